"""
Ingest: requests per CPU-second of the web process, against a raw ASGI application, a Starlette route and the naive way.

2 KB Zendesk bodies, signed, 64 keep-alive connections, no duplicates; a request is done when Redis has it. The web
process has a core for itself; Redis and the generator share the other, and their shares are figures too: a generator or
Redis near 1.00 would mean that the web process was not the bottleneck.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import redis

from tests.bench import bodies, load
from tests.bench.harness import FIRST, Effort, Figure, Ground, Table, ground
from tests.faults.processes import free_port

if TYPE_CHECKING:
    from tests.bench.harness import Child
    from tests.redis_server import RedisServer

NAME: Final = "ingest"
REQUESTS: Final = {"raw": 25_000, "starlette": 12_000, "gateway": 15_000, "always": 15_000, "naive": 3_000}
WARM_UP: Final = 500


@dataclass(slots=True)
class Web:
    """A web process and the Redis behind it."""

    port: int
    child: Child
    redis: RedisServer | None = None


def gateway(
    stage: Ground, name: str, *, core: int = FIRST, server: RedisServer | None = None, fsync: str = "everysec"
) -> Web:
    """Start our web process, with a Redis of its own unless one is given."""
    server = server or stage.redis(name, appendfsync=fsync)
    port = free_port()
    environment = {
        "REDIS_URL": server.url,
        "PORT": str(port),
        "ZENDESK_WEBHOOK_SECRET": bodies.SECRET,
        "ZENDESK_SUBDOMAIN": "lumen",
        "PENDING_MAX_TICKETS": "5000000",
        "LOG_LEVEL": "warning",
    }
    return Web(port, stage.serve(["gateway", "web"], environment, core=core, port=port), server)


def reference(stage: Ground, name: str) -> Web:
    """Start a reference application."""
    port = free_port()
    return Web(port, stage.serve(["tests.bench.references", name, str(port)], {}, core=FIRST, port=port))


def naive(stage: Ground) -> Web:
    """Start the naive gateway's web process, on uvicorn's own options."""
    server, port = stage.redis("naive"), free_port()
    words = ["uvicorn", "tests.bench.naive.app:app", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    environment = {"NAIVE_REDIS_URL": server.url, "NAIVE_SECRET": bodies.SECRET}
    return Web(port, stage.serve(words, environment, core=FIRST, port=port), server)


def measure(web: Web, amount: int) -> tuple[load.Run, float, float]:
    """
    Send `amount` requests as fast as they are answered.

    Returns:
        The run, the CPU seconds of the web process, the share of a core that Redis used.
    """
    if web.redis is not None:
        with redis.Redis.from_url(web.redis.url, socket_timeout=60) as client:
            client.flushall()
    load.closed(web.port, bodies.requests(min(WARM_UP, amount), web.port)).all_accepted(min(WARM_UP, amount))
    prepared = bodies.requests(amount, web.port)
    meter = load.Meter([web.child.pid] + ([web.redis.pid] if web.redis else [])).start()
    run = load.closed(web.port, prepared)
    used = meter.used_s()
    run.waited_s = meter.waited_s()[0]
    run.all_accepted(amount)
    return run, max(used[0], 0.01), used[1] / run.wall_s if web.redis else 0.0


def run(effort: Effort) -> list[Figure]:
    """Run the benchmark."""
    table = Table(NAME)
    with ground() as stage:
        webs = {
            "raw": reference(stage, "raw"),
            "gateway": gateway(stage, "everysec"),
            "starlette": reference(stage, "starlette"),
            "always": gateway(stage, "always", fsync="always"),
            "naive": naive(stage),
        }
        for _ in range(effort.rounds):
            for name, web in webs.items():
                amount = effort.of(REQUESTS[name])
                done, cpu_s, redis_share = measure(web, amount)
                table.add(name, amount / cpu_s)
                table.add(f"{name} wall", done.per_s)
                table.add(f"{name} web share", cpu_s / done.wall_s)
                table.add(f"{name} waited", done.waited_s / done.wall_s)
                table.add(f"{name} generator share", done.own_share)
                table.add(f"{name} redis share", redis_share)
    per = "requests per CPU-second"
    return [
        table.ratio(
            "gateway", "raw", title=per, reference="raw ASGI + HMAC", target=">= 0.50, goal 0.60, moonshot 0.70"
        ),
        table.ratio("gateway", "starlette", title=per, reference="Starlette route + json + HMAC"),
        table.ratio("gateway", "naive", title=per, reference="naive gateway", target=">= 3.8"),
        table.ratio(
            "always wall",
            "gateway wall",
            title="requests/s, appendfsync always",
            reference="everysec",
            target=">= 0.80",
        ),
        table.ratio("starlette", "raw", title=f"{per} of Starlette", reference="raw ASGI + HMAC"),
        table.ratio("naive", "raw", title=f"{per} of naive", reference="raw ASGI + HMAC"),
        *(table.figure(name, "/CPU-s", title=f"{name}: {per}") for name in webs),
        *(table.figure(f"{name} wall", "/s", title=f"{name}: requests per second") for name in webs),
        *(table.figure(f"{name} web share", "core", title=f"{name}: web process") for name in webs),
        *(table.figure(f"{name} waited", "core", title=f"{name}: ready, but others had its core") for name in webs),
        *(table.figure(f"{name} generator share", "core", title=f"{name}: generator") for name in webs),
        *(
            table.figure(f"{name} redis share", "core", title=f"{name}: Redis")
            for name in ("gateway", "always", "naive")
        ),
    ]
