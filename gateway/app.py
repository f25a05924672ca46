"""
Composition root of the web process: settings in, application out.

`create_app(settings)` wires the door to the bridge; `serve(settings)` runs it on uvicorn with our wire protocol.
`uvicorn gateway.app:app` works too, for development: the application is then made from the environment, but without the
read deadline and the header caps of `gateway/ingest/protocol.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from uvicorn.supervisors import Multiprocess

from gateway.errors import StoreError
from gateway.ingest.endpoint import PREFIX, Door
from gateway.ingest.group_commit import GroupCommit
from gateway.ingest.health import Health
from gateway.ingest.protocol import SERVER
from gateway.ingest.tally import Tally, flushing
from gateway.settings import Settings, from_process, require_redis
from gateway.sources import SOURCES
from gateway.store.client import connect
from gateway.store.pending import Store
from gateway.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.ingest.problems import Receive, Scope, Send
    from gateway.sources.base import Source
    from gateway.store.records import Delivery

log = logging.getLogger("gateway")

CLOSE_S: Final = 3.0
MAX_CONNECTIONS: Final = 3
"""Redis connections of one process (DESIGN §1)."""


class Gateway(Starlette):
    """The web application; hooks go straight to the door, past the framework, everything else through it."""

    door: Door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await self.door(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings, sources: Mapping[str, Source] = SOURCES) -> Gateway:
    """
    Make the web application; the first request connects to Redis, the end of the lifespan leaves it.

    Args:
        sources: adapters by name; those of `gateway.sources` unless a test brings its own.
    Raises:
        ConfigurationError: REDIS_URL is not set.
    """
    redis = connect(require_redis(settings), tls_verify=settings.store.tls_verify, max_connections=MAX_CONNECTIONS)
    stores = {name: Store(redis, name, limits=settings.store.limits) for name in settings.destinations}
    first = settings.destinations[0]
    tally = Tally(stores[first].count)

    def counted(store: Store) -> GroupCommit:
        async def put(deliveries: list[Delivery]) -> list[str]:
            tally.add("gateway_put_calls_total")
            return await store.put(deliveries)

        return GroupCommit(put)

    banks = {name: (counted(store), store) for name, store in stores.items()}
    health = Health(settings, stores, tally)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        for warning in settings.warnings:
            log.warning("setting", extra={"detail": warning})
        names = ", ".join(connection.name for connection in settings.connections) or "none"
        log.info("the door is open", extra={"connection": names})
        async with flushing(tally):
            yield
        with contextlib.suppress(TimeoutError, StoreError):
            async with asyncio.timeout(CLOSE_S):
                for commit, _ in banks.values():
                    await commit.close()
                await tally.flush()
        await redis.aclose()

    app = Gateway(routes=health.routes(), lifespan=lifespan, exception_handlers={404: _not_found, Exception: _defect})
    app.door = Door(
        settings.connections,
        sources,
        *banks[first],
        tally,
        max_body_bytes=settings.web.max_body_bytes,
        others=banks,
    )
    return app


def serve(settings: Settings, *, host: str = "0.0.0.0") -> None:  # noqa: S104  a web process listens to its router
    """
    Run the web process until SIGTERM or SIGINT; several worker processes when WEB_CONCURRENCY says so.

    Worker processes read the environment again, so with several the settings must come from it.

    Raises:
        ConfigurationError: REDIS_URL is not set.
    """
    require_redis(settings)
    configure_logging(settings.log.level, settings.log.form, settings.secrets())
    several = settings.web.concurrency > 1
    config = uvicorn.Config(
        "gateway.app:app" if several else create_app(settings),
        host=host,
        port=settings.web.port,
        workers=settings.web.concurrency,
        **SERVER,
    )
    if several:
        Multiprocess(config, sockets=[config.bind_socket()]).run()
    else:
        uvicorn.Server(config).run()


async def _not_found(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"status": "not_found"}, 404)


async def _defect(_request: Request, error: Exception) -> Response:
    log.error("defect in our own code", exc_info=error)
    return JSONResponse({"status": "unavailable"}, 503, {"retry-after": "30"})


def __getattr__(name: str) -> Any:
    """Make `app` from the environment when a server asks for it by name."""
    if name != "app":
        raise AttributeError(name)
    settings = from_process()
    configure_logging(settings.log.level, settings.log.form, settings.secrets())
    return create_app(settings)
