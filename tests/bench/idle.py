"""
Idle: what a web process and a worker do when nothing happens: Redis commands per second and CPU.

Each has a Redis of its own. Commands are counted twice: all that Redis ran (`INFO commandstats`, those inside scripts
included) and those that came over the wire (`MONITOR`). The reference of CPU is one whole core.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, Final

import redis

from tests.bench.drain import start_sink, worker
from tests.bench.harness import Effort, Figure, Table, ground
from tests.bench.ingest import gateway
from tests.bench.load import Meter

if TYPE_CHECKING:
    from tests.redis_server import RedisServer

NAME: Final = "idle"
SECONDS: Final = 20.0
ROUNDS: Final = 3


class Watch:
    """Counts the commands of one Redis."""

    def __init__(self, server: RedisServer) -> None:
        self._client = redis.Redis.from_url(server.url)
        self._monitor = socket.create_connection(("127.0.0.1", int(server.config["port"])))
        self._monitor.setblocking(False)
        self._monitor.send(b"MONITOR\r\n")
        time.sleep(0.1)
        self._read()
        self._before = self._commands()

    def _commands(self) -> int:
        rows: Any = self._client.info("commandstats")
        return sum(row["calls"] for name, row in rows.items() if name not in ("cmdstat_info", "cmdstat_monitor"))

    def _read(self) -> bytes:
        seen = b""
        try:
            while piece := self._monitor.recv(1 << 20):
                seen += piece
        except BlockingIOError:
            return seen
        return seen

    def counts(self) -> tuple[int, int]:
        """Give all commands so far, and those of them that came over the wire; ends the watch."""
        ran = self._commands() - self._before
        lines = self._read().splitlines()
        self._monitor.close()
        self._client.close()
        wire = [line for line in lines if line.startswith(b"+") and b" lua]" not in line and b'"INFO"' not in line]
        return ran, len(wire)


def run(effort: Effort) -> list[Figure]:
    """Run the benchmark."""
    table = Table(NAME)
    seconds = max(1.0, SECONDS * effort.size)
    with ground() as stage:
        web = gateway(stage, "web")
        server = stage.redis("worker")
        child = worker(stage, server, start_sink(stage), PLANHAT_CALLS_PER_MINUTE="150")
        assert web.redis is not None
        time.sleep(2 * min(1.0, effort.size * 5))
        for _ in range(min(effort.rounds, ROUNDS)):
            watches = {"web": Watch(web.redis), "worker": Watch(server)}
            meter = Meter([web.child.pid, child.pid]).start()
            began = time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - began
            for (name, watch), used_s in zip(watches.items(), meter.used_s(), strict=True):
                ran, wire = watch.counts()
                table.add(f"{name} ran", ran / took)
                table.add(f"{name} wire", wire / took)
                table.add(f"{name} cpu", used_s / took)
            table.add("core", 1.0)
    return [
        table.ratio("worker cpu", "core", title="worker: CPU at rest", reference="one core", target="<= 0.01"),
        table.ratio("web cpu", "core", title="web: CPU at rest", reference="one core"),
        table.figure("worker wire", "/s", title="worker: Redis commands sent", target="<= 20"),
        table.figure("worker ran", "/s", title="worker: commands that Redis ran", note="those inside scripts included"),
        table.figure("web wire", "/s", title="web: Redis commands sent"),
        table.figure("web ran", "/s", title="web: commands that Redis ran"),
    ]
