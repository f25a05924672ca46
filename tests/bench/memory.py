"""
Memory: bytes of Redis per pending ticket, delivery id, remembered ticket and history entry; RSS of the processes.

Bytes hardly vary, so two rounds do. Payload bytes are the change as it was encoded for Redis. What a worker leaves
behind after it has sent everything is the state of each ticket: with one status seen, and with eleven.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.store.pending import Delivery
from tests.bench import bodies, load, sink
from tests.bench.drain import BATCH, let_go, start_sink, worker
from tests.bench.harness import Effort, Figure, Ground, Table, ground, memory_mb
from tests.bench.ingest import gateway, measure, reference
from tests.bench.tickets import change, deliveries, preload, store_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.redis_server import RedisServer

NAME: Final = "memory"
TICKETS: Final = 20_000
EVENTS: Final = 10_000
SEEN: Final = 11
STATUSES: Final = ("open", "pending", "hold", "solved")
RAW_BYTES: Final = "payload bytes"


async def used_bytes(url: str) -> int:
    """Give the memory that Redis' data takes."""
    redis, _ = store_on(url)
    used = int((await redis.info("memory"))["used_memory_dataset"])
    await redis.aclose()
    return used


async def put(url: str, ready: Sequence[Delivery]) -> None:
    """Put deliveries while sending is held."""
    redis, store = store_on(url)
    await store.hold("benchmark")
    await preload(store, ready)
    await redis.aclose()


def histories(amount: int) -> list[Delivery]:
    """Give eleven changes of status of every ticket, the last as the one of `deliveries`."""
    made = []
    for number in range(1, amount + 1):
        for turn in range(SEEN):
            one = change(number, at_ms=bodies.ORIGIN_MS + turn * 60_000, text_chars=40)
            status = STATUSES[turn % len(STATUSES)]
            one = replace(one, fields={**one.fields, "status": status}, creation=turn == 0)
            made.append(Delivery(None, ((one.ticket, one.encode()),)))
    return made


def left_behind(stage: Ground, server: RedisServer, ready: list[Delivery], sink_port: int) -> tuple[int, float]:
    """Put, send, and give the bytes that stay in Redis and the worker's peak RSS, MB."""
    before = asyncio.run(used_bytes(server.url))
    asyncio.run(put(server.url, ready))
    child = worker(stage, server, sink_port)
    asyncio.run(let_go(server.url, child))
    peak_mb = memory_mb(child.pid, "VmHWM")
    child.end()
    sink.reset(sink_port)
    return asyncio.run(used_bytes(server.url)) - before, peak_mb


def run(effort: Effort) -> list[Figure]:
    """Run the benchmark."""
    table = Table(NAME)
    amount = max(effort.of(TICKETS, step=BATCH), BATCH)
    for at in range(min(effort.rounds, 2)):
        with ground() as stage:
            _redis(stage, table, amount)
            _processes(stage, table, effort.of(EVENTS))
            if at == 0:
                body = bodies.body_bytes()
    return [
        table.ratio("pending", "payload", title="Redis per pending ticket", reference=RAW_BYTES, target="<= 1.5"),
        table.ratio("state", "payload", title="Redis per sent ticket (state)", reference=RAW_BYTES),
        table.ratio("web", "raw", title="web: peak RSS", reference="raw ASGI"),
        table.figure(
            "payload", "B", title="payload: a change as encoded", note=f"of a ticket; a Zendesk body has {body} B"
        ),
        table.figure("pending", "B", title="Redis per pending ticket"),
        table.figure("ident", "B", title="Redis per delivery id"),
        table.figure("state", "B", title="Redis per sent ticket, 1 status seen"),
        table.figure("entry", "B", title="Redis per further history entry"),
        table.figure("web", "MB", title="web: peak RSS", target="<= 100"),
        table.figure("worker", "MB", title="worker: peak RSS, batches of 5,000", target="<= 250"),
        table.figure("raw", "MB", title="raw ASGI: peak RSS"),
    ]


def _redis(stage: Ground, table: Table, amount: int) -> None:
    sink_port = start_sink(stage)
    bare, named = stage.redis("bare"), stage.redis("named")
    with_ids, without = deliveries(1, amount), deliveries(1, amount, ids=False)
    empty = asyncio.run(used_bytes(bare.url)), asyncio.run(used_bytes(named.url))
    asyncio.run(put(bare.url, without))
    asyncio.run(put(named.url, with_ids))
    pending = (asyncio.run(used_bytes(bare.url)) - empty[0]) / amount
    table.add("pending", pending)
    table.add("ident", (asyncio.run(used_bytes(named.url)) - empty[1]) / amount - pending)
    table.add("payload", sum(len(payload) for one in without for _, payload in one.payloads) / amount)
    once, peak_mb = left_behind(stage, stage.redis("once"), without, sink_port)
    few = amount // 5
    often, _ = left_behind(stage, stage.redis("often"), histories(few), sink_port)
    table.add("worker", peak_mb)
    table.add("state", once / amount)
    table.add("entry", (often / few - once / amount) / (SEEN - 1))


def _processes(stage: Ground, table: Table, events: int) -> None:
    for name, web in (("web", gateway(stage, "web")), ("raw", reference(stage, "raw"))):
        measure(web, events)
        load.closed(web.port, bodies.requests(min(events, 640), web.port), connections=256)
        table.add(name, memory_mb(web.child.pid, "VmHWM"))
