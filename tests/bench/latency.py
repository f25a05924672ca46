"""
Latency: what a helpdesk waits for its 2xx at half of the gateway's own maximum, and what a person waits for Planhat.

The rate is fixed and counted from the time a request was due, whatever the answers do (no coordinated omission). The
reference is the raw ASGI application at the same rate. A single event on an idle system goes the whole way to the sink.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from tests.bench import bodies, load, sink
from tests.bench.drain import start_sink, worker
from tests.bench.harness import FIRST, Effort, Figure, Ground, Table, ground
from tests.bench.ingest import gateway, measure, reference
from tests.bench.tickets import seed_lookups

if TYPE_CHECKING:
    from tests.bench.ingest import Web

NAME: Final = "latency"
PROBE: Final = 8_000
SECONDS: Final = 4.0
SINGLES: Final = 40
QUIET_S: Final = 0.3
QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


def at_rate(web: Web, rate_per_s: float, seconds: float) -> load.Run:
    """Send at a fixed rate for so many seconds."""
    prepared = bodies.requests(max(100, int(rate_per_s * seconds)), web.port)
    meter = load.Meter([web.child.pid]).start()
    run = load.open_loop(web.port, prepared, rate_per_s)
    run.waited_s = meter.waited_s()[0]
    run.all_accepted(len(prepared))
    return run


def singles(stage: Ground, amount: int) -> list[float]:
    """Send one event after another to an idle system; give the seconds until the sink had each."""
    web = gateway(stage, "single")
    assert web.redis is not None
    asyncio.run(seed_lookups(web.redis.url))
    sink_port = start_sink(stage)
    child = worker(
        stage,
        web.redis,
        sink_port,
        core=FIRST,
        BATCH_QUIET_S=str(QUIET_S),
        BATCH_MAX_WAIT_S="10",
        PLANHAT_CALLS_PER_MINUTE="200",
    )
    times = []
    for at in range(amount):
        request = bodies.requests(1, web.port, tickets=1)
        began = time.monotonic()
        load.closed(web.port, request, connections=1).all_accepted(1)
        while len(calls := sink.stats(sink_port)["calls"]) <= at:
            time.sleep(0.02)
        times.append(calls[at]["ended_s"] - began)
        time.sleep(0.013 * (at % 8))  # so that events meet the worker's ticks in every phase
    child.end()
    return sorted(times)


def run(effort: Effort) -> list[Figure]:
    """Run the benchmark."""
    table = Table(NAME)
    seconds = max(0.5, SECONDS * effort.size)
    with ground() as stage:
        web, raw = gateway(stage, "latency"), reference(stage, "raw")
        for _ in range(effort.rounds):
            most, _, _ = measure(web, effort.of(PROBE))
            rate = table.add("rate", most.per_s / 2)
            for name, one in (("raw", raw), ("gateway", web)):
                done = at_rate(one, rate, seconds)
                for title, share in QUANTILES.items():
                    table.add(f"{name} {title}", load.quantile(done.latencies_s, share) * 1000)
                table.add(f"{name} waited", done.waited_s / done.wall_s)
                table.add(f"{name} late p99", load.quantile(done.late_s, 0.99) * 1000)
                table.add(f"{name} generator", done.own_share)
        waited = singles(stage, effort.of(SINGLES))
    for share, title in ((0.5, "p50"), (0.99, "p99")):
        table.add(f"single {title}", load.quantile(waited, share) - QUIET_S)
    return [
        *(
            table.ratio(f"gateway {one}", f"raw {one}", title=f"{one} at half of the maximum", reference="raw ASGI")
            for one in QUANTILES
        ),
        *(
            table.figure(f"gateway {one}", "ms", title=f"gateway: {one}", target="<= 25" if one == "p99" else "")
            for one in QUANTILES
        ),
        *(table.figure(f"raw {one}", "ms", title=f"raw: {one}") for one in QUANTILES),
        table.figure("rate", "/s", title="rate: half of the maximum"),
        table.figure("gateway late p99", "ms", title="generator: lateness p99"),
        table.figure("gateway waited", "core", title="gateway: ready, but others had its core"),
        table.figure("gateway generator", "core", title="generator: share of its core"),
        table.figure("single p50", "s", title=f"single event to the sink, above the quiet of {QUIET_S} s: p50"),
        table.figure(
            "single p99", "s", title=f"single event to the sink, above the quiet of {QUIET_S} s: p99", target="<= 0.5"
        ),
    ]
