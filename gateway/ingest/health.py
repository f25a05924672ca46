"""
Is this process alive, can it do its work, what has it counted: `/livez`, `/readyz`, `/metrics`.

Readiness means that a webhook posted now would be stored. Weak surroundings (no persistence, an evicting policy, no
connection) are named as warnings: they are the administrator's to mend and no reason to take the process out.
"""

from __future__ import annotations

import hmac
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.errors import StoreError, StoreUnavailable
from gateway.ingest.problems import retry_after_s
from gateway.telemetry import Sample, exposition, samples

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request

    from gateway.ingest.tally import Tally
    from gateway.settings import Settings
    from gateway.store.pending import Store
    from gateway.store.records import Limits, View

NO_STORE: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
REDIS_MIN: Final = 7
NO_CONNECTION: Final = (
    "No connection is configured, so every webhook is answered 404: set <SOURCE>_WEBHOOK_SECRET, "
    "for example ZENDESK_WEBHOOK_SECRET."
)


class Health:
    """
    The three routes over the bridge.

    Args:
        settings: for the connections and the token that `/metrics` demands.
        stores: destination -> its side of the bridge; all on one Redis.
        tally: counts of this process that Redis has not seen yet.
    """

    def __init__(self, settings: Settings, stores: Mapping[str, Store], tally: Tally) -> None:
        self._settings = settings
        self._stores = stores
        self._store = next(iter(stores.values()))
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
            await self._store.prove_writable()
            warnings += weaknesses(await self._store.command("INFO"))
            for store in self._stores.values():
                warnings += _caps(await store.look(), store.limits)
        except StoreError as error:
            failing = {"redis": error.kind if isinstance(error, StoreUnavailable) else str(error)}
            said: dict[str, Any] = {
                "status": "failing",
                "failing": failing,
                "warnings": warnings,
                "connections": connections,
            }
            return JSONResponse(said, 503, {**NO_STORE, "retry-after": str(retry_after_s())})
        return JSONResponse(
            {"status": "ready", "failing": {}, "warnings": warnings, "connections": connections}, headers=NO_STORE
        )

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
            counted: Counter[str] = Counter()
            found: list[Sample] = []
            for name, store in self._stores.items():
                counted.update(await store.counters())
                found += _gauges(await store.look(), name)
                calls = await store.calls_last_minute()
                found.append(Sample("gateway_planhat_calls_last_minute", {"destination": name}, calls))
            found = [*samples(counted), *found, Sample("gateway_redis_up", {}, 1)]
        except StoreUnavailable:
            found = [*samples(self._tally.waiting()), Sample("gateway_redis_up", {}, 0)]
        return Response(exposition(found), media_type="text/plain; version=0.0.4", headers=NO_STORE)


def weaknesses(info: Mapping[str, Any]) -> list[str]:
    """
    What makes this Redis a weak bridge, as sentences that say what to change.

    Args:
        info: the answer of INFO, which managed servers allow where they block CONFIG; absent fields say nothing.
    """
    found = []
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(f"Redis may evict what is not sent yet (maxmemory-policy {policy}): set it to noeviction.")
    if info.get("aof_enabled") == 0:
        found.append("Redis keeps no append-only file, so a restart of Redis can lose changes: set appendonly yes.")
    most, used = int(info.get("maxmemory") or 0), int(info.get("used_memory") or 0)
    if most and used > 0.8 * most:
        found.append(
            f"Redis is {100 * used // most} % full; webhooks are answered 503 above 85 %: give it more memory."
        )
    if info.get("role") == "slave":
        found.append("REDIS_URL leads to a replica: give the address of the primary.")
    version = str(info.get("redis_version", ""))
    if (
        "valkey_version" not in info
        and version.partition(".")[0].isdigit()
        and int(version.partition(".")[0]) < REDIS_MIN
    ):
        found.append(f"Redis {version} is too old: version {REDIS_MIN} or Valkey is needed.")
    return found


def _caps(view: View, limits: Limits) -> list[str]:
    found = []
    if view.pending >= limits.pending_max_tickets:
        found.append(
            "The backlog is at PENDING_MAX_TICKETS, so webhooks are answered 503: see why nothing leaves (`status`)."
        )
    if view.dead >= limits.dead_letter_max:
        found.append("The dead letters are at DEAD_LETTER_MAX, so webhooks are answered 503: replay or discard them.")
    return found


def _gauges(view: View, destination: str) -> Iterator[Sample]:
    oldest_s = 0.0 if view.oldest_due_ms is None else max(0, view.now_ms - view.oldest_due_ms) / 1000
    figures = {
        "gateway_pending_tickets": view.pending,
        "gateway_due_tickets": view.due_count,
        "gateway_leased_tickets": view.leased,
        "gateway_parked_tickets": view.parked,
        "gateway_suspect_tickets": view.suspects,
        "gateway_dead_letters": view.dead,
        "gateway_quarantined_deliveries": view.quarantined,
        "gateway_oldest_due_seconds": oldest_s,
        "gateway_paused": int(view.pause.until_ms > view.now_ms or bool(view.pause.stopped or view.pause.held)),
    }
    for name, value in figures.items():
        yield Sample(name, {"destination": destination}, value)
