"""
Burst: 50,000 events about 5,000 tickets, from the first POST until the sink has the last; calls and seconds.

The gateway runs with its own defaults (quiet 2 s, at most 10 s, 150 calls a minute). The naive way runs a smaller burst
and is extrapolated in proportion: it makes one call per event, so its calls are exact and its seconds are linear. It
knows no quota; what the quota would make of its calls is a figure of its own, calculated.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from tests.bench import bodies, load, sink
from tests.bench.drain import start_sink, worker
from tests.bench.harness import FIRST, Effort, Figure, Ground, Table, ground
from tests.bench.ingest import gateway, naive
from tests.bench.tickets import seed_lookups, store_on

if TYPE_CHECKING:
    from tests.bench.harness import Child
    from tests.bench.ingest import Web

NAME: Final = "burst"
EVENTS: Final = 50_000
PER_TICKET: Final = 10
NAIVE_EVENTS: Final = 1_500
QUOTA_PER_MINUTE: Final = 200


async def settled(url: str, *, timeout_s: float = 120.0) -> None:
    """Wait until nothing is pending."""
    redis, store = store_on(url)
    until = time.monotonic() + timeout_s
    while (await store.look()).pending:
        if time.monotonic() > until:
            raise TimeoutError("the burst is not sent")
        await asyncio.sleep(0.05)
    await redis.aclose()


def ours(web: Web, sink_port: int, events: int) -> tuple[float, int]:
    """Send a burst through the gateway; give seconds and calls."""
    assert web.redis is not None
    prepared = bodies.requests(events, web.port, tickets=events // PER_TICKET)
    sink.reset(sink_port)
    began = time.monotonic()
    load.closed(web.port, prepared).all_accepted(events)
    asyncio.run(settled(web.redis.url))
    said = sink.stats(sink_port)
    if said["tickets"] != events // PER_TICKET:
        raise RuntimeError(f"the sink holds {said['tickets']} tickets of {events // PER_TICKET}")
    return said["calls"][-1]["ended_s"] - began, len(said["calls"])


def theirs(web: Web, sink_port: int, events: int) -> tuple[float, int]:
    """Send a burst through the naive gateway; give seconds and calls."""
    prepared = bodies.requests(events, web.port, tickets=events // PER_TICKET)
    sink.reset(sink_port)
    began = time.monotonic()
    load.closed(web.port, prepared).all_accepted(events)
    while len(calls := sink.stats(sink_port)["calls"]) < events:
        if time.monotonic() - began > 300:
            raise TimeoutError(f"the naive worker sent {len(calls)} of {events}")
        time.sleep(0.5)
    return calls[-1]["ended_s"] - began, len(calls)


def naive_worker(stage: Ground, web: Web, sink_port: int) -> Child:
    """Start the naive worker, arq's own command."""
    assert web.redis is not None
    environment = {"NAIVE_REDIS_URL": web.redis.url, "NAIVE_PLANHAT_URL": f"http://127.0.0.1:{sink_port}"}
    child = stage.child(["arq", "tests.bench.naive.worker.WorkerSettings"], environment, core=FIRST)
    child.wait_for(lambda: "Starting worker" in child.words(), what="the naive worker")
    return child


def run(effort: Effort) -> list[Figure]:
    """Run the benchmark."""
    table = Table(NAME)
    events = effort.of(EVENTS, step=10 * PER_TICKET)
    few = effort.of(NAIVE_EVENTS, step=10 * PER_TICKET)
    with ground() as stage:
        sink_port = start_sink(stage)
        web, other = gateway(stage, "burst"), naive(stage)
        assert web.redis is not None
        asyncio.run(seed_lookups(web.redis.url))
        worker(stage, web.redis, sink_port, PLANHAT_CALLS_PER_MINUTE="150")
        naive_worker(stage, other, sink_port)
        for _ in range(effort.rounds):
            seconds, calls = theirs(other, sink_port, few)
            scale = events / few
            table.add("naive seconds", seconds * scale)
            table.add("naive calls", calls * scale)
            table.add("naive quota minutes", calls * scale / QUOTA_PER_MINUTE)
            seconds, calls = ours(web, sink_port, events)
            table.add("seconds", seconds)
            table.add("calls", calls)
    about = f"{events:,} events about {events // PER_TICKET:,} tickets"
    extrapolated = f"extrapolated from {few:,} events"
    return [
        table.ratio("naive calls", "calls", title="calls, naive to gateway", reference="gateway", target=">= 500"),
        table.ratio("naive seconds", "seconds", title="seconds, naive to gateway", reference="gateway"),
        table.figure("calls", "calls", title="gateway: calls", note=about),
        table.figure(
            "seconds", "s", title="gateway: first POST to last answer of the sink", note="quiet of 2 s included"
        ),
        table.figure("naive calls", "calls", title="naive: calls", note=extrapolated),
        table.figure("naive seconds", "s", title="naive: seconds without a quota", note=extrapolated),
        table.figure("naive quota minutes", "min", title="naive: minutes at 200 calls a minute", note="calculated"),
    ]
