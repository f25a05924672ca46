"""
Start-up: seconds from the start of a process until it is of use, against a bare interpreter.

Web: until `/readyz` answers 200, Redis proved writable. Worker: until its loops run. `--help`: until it ends.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from tests.bench import bodies
from tests.bench.drain import start_sink, worker
from tests.bench.harness import FIRST, Effort, Figure, Ground, Table, answers, ground
from tests.faults.processes import ROOT, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.redis_server import RedisServer

NAME: Final = "startup"


def timed(work: Callable[[], object]) -> float:
    """Give the seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def python(*words: str) -> None:
    """Run the interpreter to its end."""
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)


def web(stage: Ground, server: RedisServer) -> None:
    """Start a web process until it is ready, end it."""
    port = free_port()
    environment = {"REDIS_URL": server.url, "PORT": str(port), "ZENDESK_WEBHOOK_SECRET": bodies.SECRET}
    child = stage.child(["gateway", "web"], environment, core=FIRST)
    child.wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz") == 200, what="the web process")


def run(effort: Effort) -> list[Figure]:
    """Run the benchmark."""
    table = Table(NAME)
    with ground() as stage:
        server, sink_port = stage.redis("startup"), start_sink(stage)
        for _ in range(effort.rounds):
            table.add("python", timed(lambda: python("-c", "pass")))
            table.add("help", timed(lambda: python("-m", "gateway", "--help")))
            table.add("web", timed(lambda: web(stage, server)))
            table.add("worker", timed(lambda: worker(stage, server, sink_port, LOG_LEVEL="info")))
            stage.end_children(keep=1)
    return [
        table.ratio("help", "python", title="--help", reference="python -c pass"),
        table.ratio("web", "python", title="web ready", reference="python -c pass"),
        table.ratio("worker", "python", title="worker ready", reference="python -c pass"),
        table.figure("help", "s", title="--help", target="< 0.3"),
        table.figure("web", "s", title="web: until /readyz answers 200"),
        table.figure("worker", "s", title="worker: until its loops run"),
        table.figure("python", "s", title="python -c pass"),
    ]
