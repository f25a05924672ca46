"""
Is this process alive, can it do its work, what has it counted: `/livez`, `/readyz`, `/metrics`.

Readiness means that a webhook posted now would be stored. Weak surroundings (no persistence, an evicting policy, no
connection) are named as warnings: they are the administrator's to mend and no reason to take the process out.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.errors import StoreError, StoreUnavailable
from gateway.ingest.problems import retry_after_s
from gateway.telemetry import Sample, exposition, samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from gateway.ingest.tally import Tally
    from gateway.settings import Settings
    from gateway.store.pending import Store, View

NO_STORE: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
NO_CONNECTION: Final = (
    "No connection is configured, so every webhook is answered 404: set <SOURCE>_WEBHOOK_SECRET, "
    "for example ZENDESK_WEBHOOK_SECRET."
)


class Health:
    """
    The three routes over one store.

    Args:
        settings: for the connections and the token that `/metrics` demands.
        store: the bridge.
        tally: counts of this process that Redis has not seen yet.
    """

    def __init__(self, settings: Settings, store: Store, tally: Tally) -> None:
        self._settings = settings
        self._store = store
        self._tally = tally

    def routes(self) -> list[Route]:
        """Give the routes for the application."""
        return [
            Route("/livez", self.livez, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def livez(self, _request: Request) -> Response:
        """Answer while the process runs, whatever Redis does."""
        return JSONResponse({"status": "alive"}, headers=NO_STORE)

    async def readyz(self, _request: Request) -> Response:
        """Answer 200 when a webhook would be stored, else 503 with what fails."""
        warnings = list(self._settings.warnings)
        if not self._settings.connections:
            warnings.insert(0, NO_CONNECTION)
        connections = [connection.name for connection in self._settings.connections]
        try:
            await self._store.writable()
            warnings += await self._store.weaknesses()
        except StoreError as error:
            failing = {"redis": f"{type(error).__name__}: {getattr(error, 'kind', None) or getattr(error, 'cap', '')}"}
            said: dict[str, Any] = {"status": "failing", "failing": failing, "warnings": warnings, "connections": connections}
            return JSONResponse(said, 503, {**NO_STORE, "retry-after": str(retry_after_s())})
        return JSONResponse({"status": "ready", "failing": {}, "warnings": warnings, "connections": connections}, headers=NO_STORE)

    async def metrics(self, request: Request) -> Response:
        """Give the figures of all processes; only `gateway_redis_up 0` and our own when Redis is away."""
        token = self._settings.web.metrics_token
        if token is not None:
            given = request.headers.getlist("authorization")
            wanted = f"Bearer {token}".encode()
            if len(given) != 1 or not hmac.compare_digest(given[0].encode("latin-1"), wanted):
                return JSONResponse({"status": "refused"}, 401, {**NO_STORE, "www-authenticate": "Bearer"})
        try:
            await self._tally.flush()
            found = [*samples(await self._store.counters()), *_gauges(await self._store.look(), self._store.destination)]
            found.append(Sample("gateway_redis_up", {}, 1))
        except StoreUnavailable:
            found = [*samples(self._tally.waiting()), Sample("gateway_redis_up", {}, 0)]
        return Response(exposition(found), media_type="text/plain; version=0.0.4", headers=NO_STORE)
