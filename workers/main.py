"""
Composition root of the worker process: the flush loop and arq's Worker side by side.

arq is clock and host only: its cron calls `compact`, `expire_dead_letters` and `read_back`; no job carries a payload.
The flush loop has a Redis client of its own and goes on with arq down; arq is restarted when it gives up.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import secrets
import signal
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from arq import cron
from arq.connections import ArqRedis
from arq.worker import Worker

from gateway.errors import StoreError
from gateway.store.client import connect
from gateway.store.pending import Store
from workers import companies, deletes, enrich, flush
from workers.compact import compact
from workers.deps import Deps
from workers.helpdesks import open_helpdesks
from workers.planhat.client import PlanhatClient
from workers.read_back import read_back
from workers.retention import expire_dead_letters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from arq.typing import WorkerCoroutine
    from redis.asyncio import Redis

    from workers.settings import WorkerSettings

log = logging.getLogger("planhat_gateway.worker")

GC_ALLOCATIONS: Final = 100_000
GRACE_S: Final = 20.0
"""How long a call may go on after SIGTERM; then it is abandoned as ambiguous. The platform kills at 30 s."""
EPOCH_EVERY_S: Final = 5.0
ARQ_POLL_S: Final = 1.0
ARQ_AGAIN_S: Final = 2.0
WAITING_FOR_CREDENTIALS: Final = ("no_credentials", "missing_email", "missing_company", "incomplete")
"""Reasons that new helpdesk credentials may mend."""


async def main(destinations: Sequence[WorkerSettings]) -> int:
    """
    Run a worker until SIGTERM or SIGINT.

    Args:
        destinations: the settings of each, at least one.
    Returns:
        The process' exit code: 0 after a signal, 1 when a loop ended by itself.
    """
    # A batch is 5,000 tickets of small objects that all live until it is settled: looking through them for cycles each
    # 700 allocations costs a third of the worker's time and finds none.
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 100)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    return 0 if await run(destinations, stop) else 1


async def run(destinations: Sequence[WorkerSettings], stop: asyncio.Event) -> bool:
    """
    Run every loop of a worker until `stop` is set, then let what is under way end, at most `GRACE_S`.

    Every destination and every helpdesk has loops of its own, so that a slow one delays no other.

    Returns:
        Whether it ended because it was told to.
    """
    first = destinations[0]
    redis = connect(first.redis_url, tls_verify=first.redis_tls_verify, max_connections=2)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(redis.aclose)
        every = [await _deps(settings, redis, stack) for settings in destinations]
        loops = [_clock(every, stop)]
        for deps in every:
            loops += [flush.run(deps, stop), deletes.run(deps, stop), _watch_epoch(deps, stop)]
            loops += [enrich.run(deps, connection, stop) for connection in deps.helpdesks]
            if deps.settings.resolves_companies:
                loops.append(companies.run(deps, stop))
        asked = await _run_all(loops, stop)
    log.info("worker ended")
    return asked


async def _deps(settings: WorkerSettings, redis: Redis, stack: AsyncExitStack) -> Deps:
    """Make the means of one destination; `stack` closes them."""
    planhat = PlanhatClient(settings.api_url, settings.api_token, timeout_s=settings.timeout_s)
    helpdesks = open_helpdesks(settings)
    stack.push_async_callback(planhat.aclose)
    for helpdesk in helpdesks.values():
        stack.push_async_callback(helpdesk.aclose)
    return Deps(
        store=Store(redis, settings.destination, limits=settings.limits),
        planhat=planhat,
        settings=settings,
        token=lambda: secrets.token_hex(8),
        jitter=random.SystemRandom().random,
        monotonic=time.monotonic,
        helpdesks=helpdesks,
    )


async def _run_all(loops: list[Coroutine[Any, Any, None]], stop: asyncio.Event) -> bool:
    """Run the loops; a loop that ends before it should stops the process, so that the platform starts it anew."""
    tasks = [asyncio.create_task(one) for one in loops]
    stopping = asyncio.create_task(stop.wait())
    log.info("worker started")
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    for task in done:
        if task is not stopping and not task.cancelled() and task.exception() is not None:
            log.error("a loop ended", exc_info=task.exception())
    _, late = await asyncio.wait(tasks, timeout=GRACE_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, stopping, return_exceptions=True)
    return stopping in done


async def _watch_epoch(deps: Deps, stop: asyncio.Event) -> None:
    """Know Redis' epoch; when it ended, data was lost: say so. The quota's window then starts full (`epoch.lua`)."""
    welcomed = False
    while not stop.is_set():
        try:
            deps.epoch, lost = await deps.store.ensure_epoch(deps.epoch)
            if lost:
                log.error("redis lost data since this process started; a catch-up from the helpdesk is needed")
            if not welcomed:
                await _welcome(deps)
                welcomed = True
        except StoreError as error:
            log.warning("redis cannot be used, trying again", extra={"detail": str(error)})
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EPOCH_EVERY_S)


async def _welcome(deps: Deps) -> None:
    """Use what is new in the settings: another token resumes a stopped destination, new credentials replay tickets."""
    pause = await deps.store.pause_state()
    if pause.stopped and pause.token_hash != deps.settings.token_hash:
        log.info("a new token: the destination is resumed", extra={"reason": pause.stopped})
        await deps.store.resume()
    known = "".join(sorted(deps.helpdesks)) and deps.settings.credentials_hash
    if known and await deps.store.fingerprint("credentials") != known:
        rows = [row for reason in WAITING_FOR_CREDENTIALS for row in await deps.store.dead_letters(reason=reason)]
        replayed = await deps.store.replay_tickets([row.id for row in rows if row.kind == "ticket"])
        log.info("new helpdesk credentials", extra={"count": replayed})
        await deps.store.set_fingerprint("credentials", known)


async def _clock(every: Sequence[Deps], stop: asyncio.Event) -> None:
    """Host arq's Worker as the clock; it exits when Redis is away or full, so it is started again."""
    while not stop.is_set():
        worker = _arq_worker(every)
        pool = worker.pool
        running = asyncio.create_task(worker.async_run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not running.done():
            running.cancel()
        failed = (await asyncio.gather(running, return_exceptions=True))[0]
        # Closing cancels arq's jobs and then waits for them: their end must not be taken for the end of this loop.
        await asyncio.gather(worker.close(), return_exceptions=True)
        await asyncio.gather(pool.aclose(close_connection_pool=True), return_exceptions=True)
        if not stop.is_set():
            log.warning("arq gave up and is started again", extra={"detail": str(failed)})
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), ARQ_AGAIN_S)


def _arq_worker(every: Sequence[Deps]) -> Worker:
    settings = every[0].settings
    pool = connect(settings.redis_url, tls_verify=settings.redis_tls_verify, max_connections=1).connection_pool
    return Worker(
        functions=[],
        cron_jobs=[
            cron(_job(compact), name="compact", second=20, keep_result=0, timeout=300),
            cron(_job(read_back), name="read_back", second={5, 35}, keep_result=0, timeout=120),
            cron(
                _job(expire_dead_letters), name="expire_dead_letters", minute=17, second=0, keep_result=0, timeout=300
            ),
        ],
        redis_pool=ArqRedis(connection_pool=pool, job_serializer=_write, job_deserializer=orjson.loads),
        queue_name=f"gw:{{{settings.destination}}}:arq",
        ctx={"deps": every},
        handle_signals=False,
        poll_delay=ARQ_POLL_S,
        keep_result=0,
        max_jobs=3,
        health_check_interval=15,
        job_serializer=_write,
        job_deserializer=orjson.loads,
    )


def _write(data: dict[str, Any]) -> bytes:
    """Write what arq keeps of a job: JSON, never pickle, which would run whatever lies in Redis."""
    return orjson.dumps(data, default=str)


def _job(work: Callable[[Deps], Awaitable[int]]) -> WorkerCoroutine:
    """
    Make an arq job of a piece of work; arq's ctx becomes typed here, and no exception reaches arq.

    It is done for all destinations at once: one that does not answer takes no other's turn.
    """

    async def one(deps: Deps) -> None:
        try:
            await work(deps)
        except StoreError as error:
            log.warning("a job could not use redis", extra={"job": job.__qualname__, "detail": str(error)})
        except Exception:
            log.exception("a job failed; the next tick tries again", extra={"job": job.__qualname__})

    async def job(ctx: dict[str, Any]) -> None:
        await asyncio.gather(*(one(deps) for deps in ctx["deps"]))

    job.__qualname__ = work.__name__
    return cast("WorkerCoroutine", job)
