"""
The load generator: raw asyncio protocols that write prebuilt bytes, on an event loop of our own.

`closed` keeps every connection busy and finds the maximum; `open_loop` sends at fixed times whatever the answers do
and counts from the time a request was due, so that a stall shows in every request that it delayed (no coordinated
omission).
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import uvloop

from tests.bench.harness import cpu_s, waited_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CONNECTIONS = 64


@dataclass(slots=True)
class Run:
    """
    What a run came to.

    wall_s, own_cpu_s: of the whole run; the second is the generator's.
    waited_s: how long the server stood ready while others had its core; filled in by who knows its process.
    statuses: answers by status.
    latencies_s: from the due time (open loop), sorted.
    late_s: how late the generator itself wrote, sorted (open loop).
    """

    wall_s: float = 0.0
    own_cpu_s: float = 0.0
    waited_s: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        """Answers per second."""
        return sum(self.statuses.values()) / self.wall_s

    @property
    def own_share(self) -> float:
        """The share of a core that the generator used."""
        return self.own_cpu_s / self.wall_s

    def all_accepted(self, amount: int) -> None:
        """Raise unless every request was answered 202: a benchmark of refusals measures nothing."""
        if self.statuses != {202: amount}:
            raise RuntimeError(f"expected {amount} answers 202, got {self.statuses}")


class _Connection(asyncio.Protocol):
    def __init__(self, answered: Callable[[_Connection, int], None]) -> None:
        self._answered = answered
        self._buffer = b""
        self.due_s = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        head = data.find(b"\r\n\r\n")
        if head >= 0:
            at = data.find(b"content-length: ", 0, head)
            length = int(data[at + 16 : data.find(b"\r", at)]) if at >= 0 else 0
            if len(data) >= head + 4 + length:
                self._buffer = b""
                self._answered(self, int(data[9:12]))
                return
        self._buffer = data

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None or self._buffer:
            self._answered(self, 0)


async def _connect(port: int, amount: int, answered: Callable[[_Connection, int], None]) -> list[_Connection]:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: _Connection(answered), "127.0.0.1", port) for _ in range(amount)]
    return [connection for _, connection in made]


async def _closed(ports: Sequence[int], requests: Sequence[Sequence[bytes]], connections: int) -> Run:
    run, ended = Run(), asyncio.get_running_loop().create_future()
    streams = [iter(one) for one in requests]
    left = sum(map(len, requests))
    lane: dict[_Connection, int] = {}

    def answered(connection: _Connection, status: int) -> None:
        nonlocal left
        run.statuses[status] = run.statuses.get(status, 0) + 1
        left -= 1
        following = next(streams[lane[connection]], None)
        if following is not None and status:
            assert connection.transport is not None
            connection.transport.write(following)
        elif (left <= 0 or not status) and not ended.done():
            ended.set_result(None)

    opened: list[_Connection] = []
    for number, port in enumerate(ports):
        for connection in await _connect(port, connections // len(ports), answered):
            lane[connection] = number
            opened.append(connection)
    began, cpu = time.perf_counter(), time.process_time()
    for connection in opened:
        first = next(streams[lane[connection]], None)
        if first is not None and connection.transport is not None:
            connection.transport.write(first)
    await ended
    run.wall_s, run.own_cpu_s = time.perf_counter() - began, time.process_time() - cpu
    _close(opened)
    await asyncio.sleep(0)
    return run


async def _open(port: int, requests: Sequence[bytes], rate_per_s: float, connections: int) -> Run:
    run, ended = Run(), asyncio.get_running_loop().create_future()
    waiting: deque[tuple[float, bytes]] = deque()
    idle: deque[_Connection] = deque()
    left = len(requests)

    def write(connection: _Connection, due_s: float, request: bytes) -> None:
        assert connection.transport is not None
        connection.due_s = due_s
        connection.transport.write(request)

    def answered(connection: _Connection, status: int) -> None:
        nonlocal left
        run.statuses[status] = run.statuses.get(status, 0) + 1
        run.latencies_s.append(time.perf_counter() - connection.due_s)
        left -= 1
        if waiting:
            write(connection, *waiting.popleft())
        else:
            idle.append(connection)
        if (left <= 0 or not status) and not ended.done():
            ended.set_result(None)

    opened = await _connect(port, connections, answered)
    idle.extend(opened)
    began, cpu = time.perf_counter(), time.process_time()
    for at, request in enumerate(requests):
        due_s = began + at / rate_per_s
        wait_s = due_s - time.perf_counter()
        if wait_s > 0:
            await asyncio.sleep(
                max(wait_s, 0.001)
            )  # the loop knows milliseconds: what is due meanwhile follows at once
        run.late_s.append(time.perf_counter() - due_s)
        if idle:
            write(idle.popleft(), due_s, request)
        else:
            waiting.append((due_s, request))
    await ended
    run.wall_s, run.own_cpu_s = time.perf_counter() - began, time.process_time() - cpu
    run.latencies_s.sort()
    run.late_s.sort()
    _close(opened)
    await asyncio.sleep(0)
    return run


def _close(connections: Sequence[_Connection]) -> None:
    for connection in connections:
        if connection.transport is not None:
            connection.transport.close()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the generator's own garbage collection out of what it measures."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def closed(port: int, requests: Sequence[bytes], *, connections: int = CONNECTIONS) -> Run:
    """Send every request once, each connection the next as soon as its last was answered."""
    return closed_over([port], [requests], connections=connections)


def closed_over(ports: Sequence[int], requests: Sequence[Sequence[bytes]], *, connections: int = CONNECTIONS) -> Run:
    """The same over several servers at once, each with its own requests and its share of the connections."""
    with _undisturbed():
        return uvloop.run(_closed(ports, requests, connections))


def open_loop(port: int, requests: Sequence[bytes], rate_per_s: float, *, connections: int = CONNECTIONS) -> Run:
    """Send every request at its time; one that finds no idle connection waits, and its clock runs."""
    with _undisturbed():
        return uvloop.run(_open(port, requests, rate_per_s, connections))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Give the value below which `share` of the sorted values lie."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


@dataclass(slots=True)
class Meter:
    """CPU seconds of processes over a block of work."""

    pids: Sequence[int]
    _before: list[float] = field(default_factory=list)
    _waited_before: list[float] = field(default_factory=list)

    def start(self) -> Meter:
        """Begin to count."""
        self._before = [cpu_s(pid) for pid in self.pids]
        self._waited_before = [waited_s(pid) for pid in self.pids]
        return self

    def waited_s(self) -> list[float]:
        """Give how long each stood ready to run while others had its core: noise of this machine, or its neighbours."""
        return [waited_s(pid) - before for pid, before in zip(self.pids, self._waited_before, strict=True)]

    def used_s(self) -> list[float]:
        """Give what each has used since."""
        return [cpu_s(pid) - before for pid, before in zip(self.pids, self._before, strict=True)]
