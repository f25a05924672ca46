"""
What every benchmark shares: pinned processes, CPU time, figures, rounds.

A figure is a list of values, one per round; a ratio is made within a round, so that a noisy neighbour meets both sides.
Nothing here asserts a time.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.faults.processes import ROOT, clean, free_port
from tests.redis_server import RedisServer, tied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PROC: Final = Path("/proc/self/stat")
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
FIRST, OTHER = (0, 1) if (os.cpu_count() or 1) > 1 else (0, 0)
"""The core of what is measured, and the core of everything around it."""


@dataclass(frozen=True, slots=True)
class Effort:
    """
    How much a run does.

    rounds: alternating rounds.
    size: share of the full work of one round, 0..1.
    """

    rounds: int = 5
    size: float = 1.0

    def of(self, count: int, *, step: int = 1) -> int:
        """Give a share of `count`, a multiple of `step`, at least one step."""
        return max(step, int(count * self.size) // step * step)


@dataclass(slots=True)
class Figure:
    """
    One line of a report.

    values: one per round. reference: what a ratio is a ratio to; "" for an absolute value, which is only context.
    target: as the design states it; "" where it states none.
    """

    bench: str
    name: str
    values: list[float]
    unit: str = ""
    reference: str = ""
    target: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.values)

    def row(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "bench": self.bench,
            "name": self.name,
            "unit": self.unit,
            "reference": self.reference,
            "median": self.median,
            "low": min(self.values),
            "high": max(self.values),
            "rounds": self.values,
            "target": self.target,
            "note": self.note,
        }


@dataclass(slots=True)
class Table:
    """Values by name while the rounds run; becomes figures at the end."""

    bench: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> float:
        """Note the value of one round."""
        self.values.setdefault(name, []).append(value)
        return value

    def figure(self, name: str, unit: str, *, title: str = "", target: str = "", note: str = "") -> Figure:
        """Make an absolute figure, context for the ratios."""
        return Figure(self.bench, title or name, self.values[name], unit, "", target, note)

    def ratio(self, name: str, to: str, *, title: str = "", reference: str = "", target: str = "") -> Figure:
        """Make a ratio of two names, round by round."""
        pairs = zip(self.values[name], self.values[to], strict=True)
        values = [value / base if base else 0.0 for value, base in pairs]
        return Figure(self.bench, title or name, values, "x", reference or to, target)


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where the system can."""
    if hasattr(os, "sched_setaffinity") and core < (os.cpu_count() or 1):
        with suppress(OSError):
            os.sched_setaffinity(pid, {core})


def cpu_s(pid: int) -> float:
    """Give the CPU seconds (user and system, all threads) that a process has used."""
    if not PROC.exists():  # macOS: [[days-]hours:]minutes:seconds
        parts = _ps(pid, "cputime").replace("-", ":").split(":")
        return sum(float(part) * unit for part, unit in zip(reversed(parts), (1, 60, 3600, 86_400), strict=False))
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _ps(pid: int, column: str) -> str:
    return subprocess.run(["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout


def fine_cpu_s(pid: int) -> float:
    """Give the same to the nanosecond, of the threads that live now; for work shorter than many clock ticks."""
    try:
        threads = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
        return sum(int(thread.read_bytes().split()[0]) for thread in threads) / 1e9 if threads else cpu_s(pid)
    except (OSError, IndexError):
        return cpu_s(pid)


def waited_s(pid: int) -> float:
    """Give the seconds that a main thread stood ready while others had its core; 0 where nobody counts them."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def memory_mb(pid: int, name: str = "VmRSS") -> float:
    """Give the resident memory of a process, MB (10^6); `VmHWM` is its peak, where the system knows it."""
    if not PROC.exists():
        return int(_ps(pid, "rss")) * 1024 / 1e6
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(name)


class Child:
    """
    One process of a benchmark, on one core, gone with us.

    Args:
        arguments: after `python -m`.
        environment: all it sees beside PATH and the like.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], directory: Path, *, core: int) -> None:
        self.log = directory / f"{arguments[0].replace('.', '_')}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                tied([sys.executable, "-m", *arguments]),
                cwd=ROOT,
                env=clean({"PYTHONUNBUFFERED": "1", **environment}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.pid = self.process.pid
        pin(self.pid, core)

    @property
    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        return cpu_s(self.pid)

    def words(self) -> str:
        """Give the end of its log."""
        return self.log.read_text(errors="replace")[-3000:]

    def wait_for(self, ready: Callable[[], bool], *, timeout_s: float = 30.0, what: str = "") -> None:
        """Wait until `ready`; a child that ends before is an error with its last words."""
        until = time.monotonic() + timeout_s
        while not ready():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{what or 'a process'} did not get ready:\n{self.words()}")
            time.sleep(0.005)

    def end(self) -> None:
        """Send SIGTERM, wait; kill what does not end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Ground:
    """What a benchmark stands on: a directory, its children and servers, all ended with it."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="gw-bench-")
        self.path = Path(self._directory.name)
        self._children: list[Child] = []
        self._servers: list[RedisServer] = []

    def child(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None, *, core: int) -> Child:
        """Start `python -m ARGUMENTS` on a core."""
        child = Child(arguments, environment or {}, self.path, core=core)
        self._children.append(child)
        return child

    def redis(self, name: str, *, core: int = OTHER, **config: str | int) -> RedisServer:
        """Start a Redis with an append-only file on a loopback port, as production has it, on a core."""
        server = RedisServer(self.path / name, port=free_port(), **config).start()
        self._servers.append(server)
        pin(server.pid, core)
        return server

    def serve(self, arguments: Sequence[str], environment: Mapping[str, str], *, core: int, port: int) -> Child:
        """Start a process and wait until something listens on its port."""
        child = self.child(arguments, environment, core=core)
        child.wait_for(lambda: listens(port), what=" ".join(arguments))
        return child

    def end_children(self, *, keep: int = 0) -> None:
        """End all children but the first `keep`."""
        for child in self._children[keep:]:
            child.end()
        del self._children[keep:]

    def close(self) -> None:
        """End everything."""
        for child in reversed(self._children):
            child.end()
        for server in self._servers:
            server.kill()
        self._directory.cleanup()


@contextmanager
def ground() -> Iterator[Ground]:
    """Give a ground, and this process to the other core, while the block runs."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    pin(0, OTHER)
    made = Ground()
    try:
        yield made
    finally:
        made.close()
        if before is not None:
            os.sched_setaffinity(0, before)


def listens(port: int) -> bool:
    """Say whether somebody accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> int:
    """Give the status of a GET, 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
