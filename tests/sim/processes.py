"""
Simulated processes: a web process is the real door over a real store, a worker the real loops side by side.

Each incarnation is a `Process` of its own; a crash leaves it halted for ever and a platform starts the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import httpx
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.errors import StoreError
from gateway.ingest.endpoint import Door
from gateway.ingest.exchange import Exchange
from gateway.ingest.group_commit import GroupCommit
from gateway.ingest.tally import Tally
from gateway.sources import SOURCES
from gateway.sources.base import Connection
from gateway.store.client import HEALTH_CHECK_S, Pool
from tests.sim.loop import PROCESS, Process
from tests.sim.planhat import Planhat, Transport
from tests.sim.redis_net import SimConnection
from tests.sim.truth import GENERIC_SECRET, ZENDESK_SECRET, Delivery, Helpdesks, lookup
from workers import compact, deletes, enrich, flush, main, read_back, retention
from workers.deps import Deps
from workers.helpdesks.zendesk import ZendeskClient
from workers.planhat.client import PlanhatClient
from workers.settings import WorkerSettings, from_env

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.store.pending import Store
    from tests.sim.world import World

CONNECTIONS = (
    Connection("zendesk", "zendesk", (ZENDESK_SECRET,), prefix="zendesk:", subdomain="lumen"),
    Connection("generic", "generic", (GENERIC_SECRET,), prefix="generic:"),
)
MAX_BODY_BYTES = 1_000_000
Post = "asyncio.Future[tuple[int, dict[str, Any]] | None]"


def client(world: World, process: Process | None, *, connections: int) -> Redis:
    """Open redis-py's client on our pool, as `gateway.store.client.connect` does, over a simulated socket."""
    return Redis.from_pool(
        Pool(
            connection_class=SimConnection,
            server=world.server,
            process=process,
            max_connections=connections,
            wait_s=5.0,
            socket_timeout=5.0,
            socket_connect_timeout=5.0,
            health_check_interval=HEALTH_CHECK_S,
            decode_responses=False,
            retry=Retry(NoBackoff(), 0),
        )
    )


class _Line:
    """What an `Exchange` needs of the connection that it came on."""

    def __init__(self, told: Callable[[int, bytes], None]) -> None:
        self.transport = self
        self.server_state = self
        self.default_headers: list[tuple[bytes, bytes]] = []
        self._told = told

    def write(self, data: bytes) -> None:
        head, _, body = data.partition(b"\r\n\r\n")
        self._told(int(head[9:12]), body)

    def close(self) -> None:
        return

    def answered(self) -> None:
        return


class Web(Process):
    """A web process: the door with its group commit, and whoever waits for an answer of it."""

    def __init__(self, world: World, name: str, skew_s: float, store_of: Callable[[Redis], Store]) -> None:
        super().__init__(world.loop, name, skew_s)
        self.world = world
        self.waiting: set[asyncio.Future[Any]] = set()
        self.redis = client(world, self, connections=3)
        self.store = store_of(self.redis)
        self.tally = Tally(self.store.count)
        self.commit = GroupCommit(self.store.put)
        self.door = Door(
            CONNECTIONS, SOURCES, self.commit, self.store, self.tally, max_body_bytes=MAX_BODY_BYTES, clock=self.wall_s
        )
        world.loop.spawn(self, self.tally.keep_flushing())

    def take(self, delivery: Delivery, answer: asyncio.Future[Any], *, wide: bool, cancel_in_s: float | None) -> None:
        """Begin to answer one request; runs inside the process."""
        path, headers = delivery.path.encode(), delivery.headers(self.world.wall_us() / 1_000_000)
        gate = None if wide else self.door.admit(path, dict(headers))

        def told(status: int, body: bytes) -> None:
            if not answer.done():
                answer.set_result((status, json.loads(body)))

        if gate is not None:
            line: Any = _Line(told)
            exchange = Exchange(line, self.door, gate, headers, b"", True)
            exchange.body = delivery.body
            self.door.take(exchange)
            return
        task = self.world.loop.create_task(self._wide(delivery, headers, told))
        if cancel_in_s is not None:
            self.world.loop.call_later(cancel_in_s, self._cancel, task)

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        if task.cancel():
            self.world.seen("web_cancel")

    async def _wide(
        self, delivery: Delivery, headers: list[tuple[bytes, bytes]], told: Callable[[int, bytes], None]
    ) -> None:
        parts = [delivery.body[:40], delivery.body[40:]]
        status = 0

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.001)
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                told(status, message["body"])

        scope = {"type": "http", "method": "POST", "path": delivery.path, "headers": headers, "query_string": b""}
        await self.door(scope, receive, send)


class HelpdeskTransport(httpx.AsyncBaseTransport):
    """The way to the helpdesk's API from one process."""

    def __init__(self, world: World, desks: Helpdesks) -> None:
        self._world, self._desks = world, desks
        self._rate = world.plan.rates.get("helpdesk_fails", 0.0)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        world, process = self._world, PROCESS.get()
        if process is not None and process.ghost:
            raise httpx.ConnectError("the process is gone")
        world.awaits["helpdesk"] += 1
        await asyncio.sleep(world.chance.uniform(0.01, 0.2))
        if not world.calm and world.chance.random() < self._rate:
            world.met(process, "helpdesk_fails")
            status = world.chance.choice((429, 500, 503, 0, 200))
            if not status:
                raise httpx.ReadTimeout("no answer")
            headers = {"retry-after": "1"} if status == 429 else {}
            return httpx.Response(status, headers=headers, content=b"<html>oops</html>")
        answer = lookup(self._desks, request.url.path, request.url.params.get("ids", "").split(","))
        if answer is None:
            return httpx.Response(404)
        return httpx.Response(200, content=json.dumps(answer).encode())


def worker_settings(world: World) -> WorkerSettings:
    """Read a worker's settings as a real one does."""
    plan = world.plan
    return from_env(
        {
            "REDIS_URL": "redis://simulated",
            "PLANHAT_API_TOKEN": "planhat-token-0123456789",
            "PLANHAT_API_URL": "https://api.planhat.invalid",
            "PLANHAT_CALLS_PER_MINUTE": str(plan.quota),
            "PLANHAT_MAX_IN_FLIGHT": str(plan.max_in_flight),
            "PLANHAT_TIMEOUT_S": str(plan.timeout_s),
            "PLANHAT_HOLD_S": str(plan.hold_s),
            "BATCH_MAX_ITEMS": str(plan.batch_items),
            "BATCH_QUIET_S": "0.5",
            "BATCH_MAX_WAIT_S": "2",
            "ZENDESK_SUBDOMAIN": "lumen",
            "ZENDESK_API_EMAIL": "ops@lumen.example",
            "ZENDESK_API_TOKEN": "zendesk-token-0123456789",
        }
    )


class Worker(Process):
    """A worker process: every loop that `workers.main.run` starts, with arq's clock replaced by a virtual one."""

    def __init__(
        self,
        world: World,
        name: str,
        skew_s: float,
        *,
        settings: WorkerSettings,
        planhat: Planhat,
        desks: Helpdesks,
        store_of: Callable[[Redis], Store],
    ) -> None:
        super().__init__(world.loop, name, skew_s)
        self.world = world
        self.stop = asyncio.Event()
        self.ended = False
        self.grace_s = 20.0
        self.redis = client(world, self, connections=2)
        transport = Transport(planhat, timeout_s=settings.timeout_s, hold_s=settings.hold_s)
        access = settings.helpdesks[0]
        chance = world.chance
        self.deps = Deps(
            store=store_of(self.redis),
            planhat=PlanhatClient(
                settings.api_url,
                settings.api_token,
                timeout_s=settings.timeout_s,
                transport=transport,
                wall_s=self.wall_s,
            ),
            settings=settings,
            token=lambda: f"{name}-{chance.getrandbits(48):012x}",
            jitter=chance.random,
            monotonic=lambda: world.loop.now_s + 1_000.0,
            helpdesks={"zendesk": ZendeskClient(access, transport=HelpdeskTransport(world, desks))},
        )
        world.loop.spawn(self, self._run())

    async def _run(self) -> None:
        """Run the loops as `workers.main._run_all` does, with a grace of its own."""
        deps, stop = self.deps, self.stop
        loops = [
            flush.run(deps, stop),
            deletes.run(deps, stop),
            main._watch_epoch(deps, stop),
            *(enrich.run(deps, connection, stop) for connection in deps.helpdesks),
            self._cron(read_back.read_back, 7.0),
            self._cron(compact.compact, 6.0),
            self._cron(retention.expire_dead_letters, 40.0),
        ]
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(one) for one in loops]
        stopping = loop.create_task(stop.wait())
        await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        _, late = await asyncio.wait(tasks, timeout=self.grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                self.world.broken(f"a loop ended with {task.exception()!r}")
        self.ended = True

    async def _cron(self, work: Callable[[Deps], Awaitable[int]], every_s: float) -> None:
        wait_s = every_s * self.world.chance.random()
        while not self.stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), wait_s)
            if not self.stop.is_set():
                with contextlib.suppress(StoreError):
                    await work(self.deps)
            wait_s = every_s if not self.world.calm else every_s * 2


async def close(process: Web | Worker) -> None:
    """Wait until what a process has begun to write is written."""
    if isinstance(process, Web):
        with contextlib.suppress(TimeoutError, StoreError):
            async with asyncio.timeout(3.0):
                await process.commit.close()
                await process.tally.flush()
