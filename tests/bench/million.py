"""
A million: one worker takes 1,000,000 pending tickets to the sink, in how many calls, and does a batch grow dearer?

One round is one whole drain of tickets of 2 KB. The flatness is the time per ticket of the first tenth of the calls (a
full bridge) against that of the last tenth (an almost empty one). Redis has no append-only file here, as in `scale`.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from tests.bench import sink
from tests.bench.drain import BATCH, QUOTA_PER_S, let_go, start_sink, worker
from tests.bench.harness import OTHER, Effort, Figure, Table, fine_cpu_s, ground, memory_mb
from tests.bench.tickets import deliveries, preload, store_on

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME: Final = "million"
TICKETS: Final = 1_000_000
SLICE: Final = 50_000
PATIENCE_S: Final = 600.0


async def fill(url: str, amount: int) -> None:
    """Hold sending and put everything, as web processes would."""
    redis, store = store_on(url)
    await redis.flushall()
    await store.hold("benchmark")
    for first in range(0, amount, SLICE):
        await preload(store, deliveries(first, min(SLICE, amount - first), ids=False))
    await redis.aclose()


def per_ticket_us(calls: Sequence[dict[str, Any]]) -> float:
    """Give the time per ticket of calls that follow each other, µs."""
    return fmean((after["ended_s"] - before["ended_s"]) / after["items"] * 1e6 for before, after in pairwise(calls))


def run(effort: Effort) -> list[Figure]:
    """Run the benchmark, at most twice: a round takes minutes."""
    table = Table(NAME)
    amount = effort.of(TICKETS, step=10 * BATCH)
    with ground() as stage:
        server = stage.redis("million", core=OTHER, appendonly="no")
        sink_port = start_sink(stage)
        for _ in range(min(effort.rounds, 2)):
            sink.reset(sink_port)
            asyncio.run(fill(server.url, amount))
            before_s = fine_cpu_s(server.pid)
            child = worker(stage, server, sink_port)
            asyncio.run(let_go(server.url, child, timeout_s=PATIENCE_S))
            rss_mb = memory_mb(child.pid, "VmHWM")
            child.end()
            said = sink.stats(sink_port)
            calls = said["calls"]
            if said["tickets"] != amount:
                raise RuntimeError(f"the sink holds {said['tickets']} of {amount} tickets")
            tenth = max(2, len(calls) // 10)
            table.add("calls", len(calls))
            table.add("last", per_ticket_us(calls[-tenth - 1 :]))
            table.add("first", per_ticket_us(calls[: tenth + 1]))
            table.add("per_s", (amount - calls[0]["items"]) / (calls[-1]["ended_s"] - calls[0]["ended_s"]))
            table.add("quota", QUOTA_PER_S)
            table.add("redis", (fine_cpu_s(server.pid) - before_s) / amount * 1e6)
            table.add("rss_mb", rss_mb)
    return [
        table.figure("calls", "calls", title=f"calls for {amount:,} tickets", target="<= 210 for 1,000,000"),
        table.ratio(
            "first",
            "last",
            title="wall per ticket, the first tenth of the calls",
            reference="the last tenth",
            target="<= 1.2",
        ),
        table.ratio("per_s", "quota", title="tickets/s", reference=f"quota, {QUOTA_PER_S:,.0f}/s", target=">= 1"),
        table.figure("redis", "us", title="CPU of Redis per ticket"),
        table.figure("rss_mb", "MB", title="worker: peak RSS", target="<= 250"),
    ]
