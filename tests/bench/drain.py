"""
Drain: tickets per second of one worker process on one core, everything included, against a loop that encodes and PUTs.

Tickets are put as the web process puts them while sending is held; then the hold ends. The rate is taken at the sink,
from the end of the first call to the end of the last: as many whole cycles (claim, load, fold, PUT, settle) as batches.
Redis and the sink share the other core.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Final

from tests.bench import sink
from tests.bench.harness import FIRST, OTHER, Effort, Figure, Ground, Table, ground, memory_mb
from tests.bench.load import Meter
from tests.bench.tickets import deliveries, preload, store_on
from tests.faults.processes import free_port

if TYPE_CHECKING:
    from gateway.store.pending import Delivery
    from tests.bench.harness import Child
    from tests.redis_server import RedisServer

NAME: Final = "drain"
BATCH: Final = 5_000
TICKETS: Final = 50_000
LEAST: Final = 2 * BATCH
"""The rate needs a whole cycle between two calls."""
QUOTA_PER_S: Final = 200 * BATCH / 60
"""What Planhat's soft quota of 200 calls a minute can take."""


def worker(stage: Ground, server: RedisServer, sink_port: int, *, core: int = FIRST, **more: str) -> Child:
    """Start a worker and wait until its loops run."""
    environment = {
        "REDIS_URL": server.url,
        "PLANHAT_API_URL": f"http://127.0.0.1:{sink_port}",
        "PLANHAT_API_TOKEN": "bench-token-of-a-private-app",
        "PLANHAT_CALLS_PER_MINUTE": "9000",
        "LOG_LEVEL": "info",
        **more,
    }
    child = stage.child(["workers"], environment, core=core)
    child.wait_for(lambda: "worker started" in child.words(), what="the worker")
    return child


def start_sink(stage: Ground) -> int:
    """Start a sink; give its port."""
    port = free_port()
    stage.serve(["tests.bench.sink", str(port)], {}, core=OTHER, port=port)
    return port


async def fill(url: str, ready: list[Delivery]) -> None:
    """Empty the bridge, hold sending, put everything."""
    redis, store = store_on(url)
    await redis.flushall()
    await store.hold("benchmark")
    await preload(store, ready)
    await redis.aclose()


async def let_go(url: str, child: Child, *, timeout_s: float = 60.0) -> float:
    """End the hold and wait until nothing is pending; give the seconds that `child`, the worker, took for it."""
    redis, store = store_on(url)
    began = time.monotonic()
    await store.unhold()
    while (await store.look()).pending:
        if time.monotonic() - began > timeout_s:
            raise TimeoutError(f"the worker does not drain:\n{child.words()}")
        await asyncio.sleep(0.05)
    took = time.monotonic() - began
    await redis.aclose()
    return took


def measure(child: Child, url: str, sink_port: int, amount: int) -> dict[str, float]:
    """Drain what is held; give rates and shares."""
    meter = Meter([child.pid]).start()
    took_s = asyncio.run(let_go(url, child))
    cpu_s = meter.used_s()[0]
    said: dict[str, Any] = sink.stats(sink_port)
    calls = said["calls"]
    if said["tickets"] != amount:
        raise RuntimeError(f"the sink holds {said['tickets']} of {amount} tickets:\n{child.words()}")
    wall_s = calls[-1]["ended_s"] - calls[0]["ended_s"] or float("inf")
    return {
        "per_s": (amount - calls[0]["items"]) / wall_s,
        "per_cpu_s": amount / cpu_s,
        "calls": len(calls),
        "item_bytes": sum(one["size_bytes"] for one in calls) / amount,
        "cpu_share": cpu_s / took_s,
        "waited": meter.waited_s()[0] / took_s,
        "rss_mb": memory_mb(child.pid, "VmHWM"),
    }


def encode_and_put(stage: Ground, sink_port: int, batches: int) -> dict[str, float]:
    """Run the reference loop."""
    words = ["tests.bench.drain_reference", f"http://127.0.0.1:{sink_port}", str(batches), str(BATCH)]
    child = stage.child(words, core=FIRST)
    if child.process.wait(120):
        raise RuntimeError(child.words())
    said = json.loads(child.words())
    amount = batches * BATCH
    return {"per_s": amount / said["wall_s"], "per_cpu_s": amount / said["cpu_s"]}


def run(effort: Effort) -> list[Figure]:
    """Run the benchmark."""
    table = Table(NAME)
    amount = max(effort.of(TICKETS, step=BATCH), LEAST)
    ready = deliveries(1, amount)
    with ground() as stage:
        server = stage.redis("drain")
        sink_port = start_sink(stage)
        for _ in range(effort.rounds):
            base = encode_and_put(stage, sink_port, amount // BATCH)
            sink.reset(sink_port)
            asyncio.run(fill(server.url, ready))
            child = worker(stage, server, sink_port)
            done = measure(child, server.url, sink_port, amount)
            child.end()
            sink.reset(sink_port)
            for name, value in done.items():
                table.add(f"worker {name}", value)
            for name, value in base.items():
                table.add(f"loop {name}", value)
            table.add("quota", QUOTA_PER_S)
    return [
        table.ratio(
            "worker per_s",
            "quota",
            title="tickets/s",
            reference=f"quota of 200 calls/min, {QUOTA_PER_S:,.0f}/s",
            target=">= 1, moonshot 2",
        ),
        table.ratio(
            "worker per_s", "loop per_s", title="tickets/s", reference="encode and PUT", target=">= 0.10, moonshot 0.20"
        ),
        table.ratio("worker per_cpu_s", "loop per_cpu_s", title="tickets per CPU-second", reference="encode and PUT"),
        table.figure("worker per_s", "/s", title="worker: tickets/s"),
        table.figure("worker per_cpu_s", "/CPU-s", title="worker: tickets per CPU-second"),
        table.figure("worker cpu_share", "core", title="worker: share of its core"),
        table.figure("worker waited", "core", title="worker: ready, but others had its core"),
        table.figure("worker calls", "calls", title=f"worker: calls for {amount:,} tickets"),
        table.figure("worker item_bytes", "B", title="worker: bytes per item sent"),
        table.figure("worker rss_mb", "MB", title="worker: peak RSS", target="<= 250"),
        table.figure("loop per_s", "/s", title="encode and PUT: tickets/s"),
        table.figure("loop per_cpu_s", "/CPU-s", title="encode and PUT: tickets per CPU-second"),
    ]
