"""
Scale: what a second process costs, and whether a backlog makes its tickets dearer.

CPU-seconds per 1,000 events of one against two web processes (both on one core, so that caches and neighbours do not
differ), the same for workers, and the cost per item of claim + load + ack with backlogs of 1,000 to 1,000,000 tickets,
each on a Redis of its own (without an append-only file, whose rewrites would be measured), met in turn. The cost is CPU
time of the client and of Redis.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from gateway.store.pending import Ack
from tests.bench import bodies, load, sink
from tests.bench.drain import BATCH, fill, let_go, start_sink, worker
from tests.bench.harness import FIRST, OTHER, Effort, Figure, Ground, Table, fine_cpu_s, ground
from tests.bench.ingest import gateway
from tests.bench.load import Meter
from tests.bench.tickets import deliveries, preload, store_on, token

if TYPE_CHECKING:
    from gateway.store.pending import Delivery, Store
    from tests.bench.ingest import Web
    from tests.redis_server import RedisServer

NAME: Final = "scale"
EVENTS: Final = 12_000
TICKETS: Final = 40_000
BACKLOGS: Final = (1_000, 10_000, 100_000, 1_000_000)
TURN: Final = 1_000
TURNS: Final = 10
TEXT_CHARS: Final = 60
"""Short texts: a million pending tickets of 2 KB would need 3 GB."""
STATE: Final = b"s" * 500
LEASE_MS: Final = 600_000


def web_cost(webs: list[Web], events: int) -> float:
    """Give the CPU seconds of web processes per 1,000 events."""
    each = events // len(webs)
    prepared = [bodies.requests(each, web.port) for web in webs]
    meter = Meter([web.child.pid for web in webs]).start()
    load.closed_over([web.port for web in webs], prepared).all_accepted(each * len(webs))
    return sum(meter.used_s()) / (each * len(webs)) * 1000


def worker_cost(stage: Ground, server: RedisServer, sink_port: int, ready: list[Delivery], workers: int) -> float:
    """Give the CPU seconds of workers per 1,000 tickets."""
    sink.reset(sink_port)
    asyncio.run(fill(server.url, ready))
    more = {"PLANHAT_MAX_IN_FLIGHT": str(workers)}
    children = [worker(stage, server, sink_port, core=FIRST, **more) for _ in range(workers)]
    meter = Meter([child.pid for child in children]).start()
    asyncio.run(let_go(server.url, children[0]))
    used_s = sum(meter.used_s())
    for child in children:
        child.end()
    return used_s / len(ready) * 1000


class Backlog:
    """A Redis with so many pending tickets."""

    def __init__(self, server: RedisServer, amount: int) -> None:
        self.server, self.amount = server, amount

    def fill(self) -> None:
        """Put all of them."""

        async def put() -> None:
            redis, store = store_on(self.server.url)
            for first in range(0, self.amount, 50_000):
                some = min(50_000, self.amount - first)
                await preload(store, deliveries(first, some, text_chars=TEXT_CHARS, ids=False))
            await redis.aclose()

        asyncio.run(put())

    def cost_us(self, turns: int) -> tuple[float, float, float]:
        """Claim, load and ack `turns` times, putting back what was settled; give µs per item: client, Redis, wall."""

        async def take() -> tuple[float, float, float]:
            redis, store = store_on(self.server.url)
            client_s = server_s = wall_s = 0.0
            for turn in range(turns + 1):
                marks = time.process_time(), fine_cpu_s(self.server.pid), time.perf_counter()
                taken = await _settle(store)
                ends = time.process_time(), fine_cpu_s(self.server.pid), time.perf_counter()
                if turn:  # the first one fills caches and loads scripts
                    client_s += ends[0] - marks[0]
                    server_s += ends[1] - marks[1]
                    wall_s += ends[2] - marks[2]
                await preload(store, [one for number in taken for one in _back(number)])
            await redis.aclose()
            return client_s, server_s, wall_s

        client_s, server_s, wall_s = asyncio.run(take())
        items = turns * TURN
        return client_s / items * 1e6, server_s / items * 1e6, wall_s / items * 1e6


async def _settle(store: Store) -> list[int]:
    name = token()
    claimed = await store.claim(TURN, name, LEASE_MS)
    loaded = await store.load([one.ticket for one in claimed])
    acks = [Ack(one.ticket, len(one.value), STATE) for one in loaded]
    answers = await store.ack(name, acks)
    if len(answers) != TURN or set(answers.values()) != {"acked"}:
        raise RuntimeError(f"{len(answers)} of {TURN} tickets settled")
    return [int(one.ticket.partition(":")[2]) for one in loaded]


def _back(number: int) -> list[Delivery]:
    return deliveries(number, 1, text_chars=TEXT_CHARS, ids=False)


def run(effort: Effort) -> list[Figure]:
    """Run the benchmark."""
    table = Table(NAME)
    events = effort.of(EVENTS, step=100)
    ready = deliveries(1, max(effort.of(TICKETS, step=BATCH), 2 * BATCH))
    with ground() as stage:
        first = gateway(stage, "web")
        pair = [first, gateway(stage, "web", server=first.redis)]
        sink_port = start_sink(stage)
        server = stage.redis("workers")
        for web in pair:
            load.closed(web.port, bodies.requests(300, web.port))
        for _ in range(effort.rounds):
            table.add("web 1", web_cost(pair[:1], events))
            table.add("web 2", web_cost(pair, events))
            table.add("worker 1", worker_cost(stage, server, sink_port, ready, 1))
            table.add("worker 2", worker_cost(stage, server, sink_port, ready, 2))
    sizes = backlogs(effort, table)
    for size in sizes:
        for worker_s, redis_us in zip(table.values["worker 1"], table.values[f"backlog {size:,} redis"], strict=True):
            table.add(f"whole {size:,}", worker_s * 1000 + redis_us)
    per = "CPU-s per 1,000"
    small = f"backlog {sizes[0]:,}"
    return [
        table.ratio("web 2", "web 1", title=f"{per} events, 2 web processes", reference="1 web process"),
        table.ratio("worker 2", "worker 1", title=f"{per} tickets, 2 workers", reference="1 worker"),
        *(
            table.ratio(
                f"backlog {size:,}", small, title=f"claim+load+ack per item, {size:,} pending", target="0.8 to 1.2"
            )
            for size in sizes[1:]
        ),
        *(
            table.ratio(
                f"backlog {size:,} redis", f"{small} redis", title=f"the same, CPU of Redis alone, {size:,} pending"
            )
            for size in sizes[1:]
        ),
        *(
            table.ratio(
                f"whole {size:,}",
                f"whole {sizes[0]:,}",
                title=f"worker and Redis, CPU per ticket, {size:,} pending",
                reference=f"{small}; sum of the worker's and of Redis' part",
                target="0.8 to 1.2",
            )
            for size in sizes[1:]
        ),
        *(
            table.figure(f"backlog {size:,}", "us", title=f"CPU per item, client and Redis, {size:,} pending")
            for size in sizes
        ),
        *(
            table.figure(f"backlog {size:,} redis", "us", title=f"CPU per item, Redis alone, {size:,} pending")
            for size in sizes
        ),
        *(table.figure(f"backlog {size:,} wall", "us", title=f"wall per item, {size:,} pending") for size in sizes),
        *(table.figure(name, per, title=f"{per}: {name}") for name in ("web 1", "web 2", "worker 1", "worker 2")),
    ]


def backlogs(effort: Effort, table: Table) -> tuple[int, ...]:
    """Meet each backlog in turn; give those that were made: all with full effort, else the smaller ones."""
    most = 1_000_000 if effort.size >= 1 else 100_000 if effort.size >= 0.1 else 10_000
    sizes = tuple(size for size in BACKLOGS if size <= most)
    with ground() as stage:
        made = [Backlog(stage.redis(f"backlog{size}", core=OTHER, appendonly="no"), size) for size in sizes]
        for one in made:
            one.fill()
        for _ in range(effort.rounds):
            for one in made:
                client_us, server_us, wall_us = one.cost_us(TURNS)
                table.add(f"backlog {one.amount:,}", client_us + server_us)
                table.add(f"backlog {one.amount:,} redis", server_us)
                table.add(f"backlog {one.amount:,} wall", wall_us)
    return sizes
