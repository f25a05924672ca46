"""Slow and endless senders at a real web process with its real limits: closed within ten seconds, in flat memory."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from gateway.ingest.protocol import DEADLINE_S
from tests.gate.client import fire
from tests.gate.hostile import Attacker
from tests.gate.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

SLACK_S = 1.5
GROWTH_KIB = 16 * 1024
HEAD = b"POST /webhooks/generic HTTP/1.1\r\nHost: h\r\n"
LONG_LINE = b"X: " + b"a" * 1_000 + b"\r\n"


class Slow(NamedTuple):
    """A sender: what it says at first, what it adds every so many seconds, and how many of it there are."""

    first: bytes
    drip: bytes
    every_s: float
    amount: int


SENDERS = {
    "silent": Slow(b"", b"", 1.0, 50),
    "empty lines": Slow(b"", b"\r\n", 0.5, 25),
    "slow request line": Slow(b"PO", b"S", 0.5, 25),
    "slow headers": Slow(HEAD, b"X: y\r\n", 0.5, 200),
    "slow body": Slow(HEAD + b"Content-Length: 100000\r\n\r\n", b"x", 0.5, 200),
    "slow chunks": Slow(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.5, 25),
    "slow trailers": Slow(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", 0.5, 25),
    "long headers without end": Slow(HEAD, LONG_LINE, 0.1, 25),
    "headers without end at full speed": Slow(HEAD, LONG_LINE * 64, 0.0, 10),
    "one header without end at full speed": Slow(HEAD + b"X: ", b"a" * 65_536, 0.0, 10),
    "chunk extensions without end": Slow(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 65_536, 0.0, 10),
}


async def last(port: int, slow: Slow) -> float:
    """Be slow until the server ends it; give how many seconds it took, or more than any limit."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def drip() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(slow.drip)
                await writer.drain()
                await asyncio.sleep(slow.every_s)

    dripping = asyncio.create_task(drip())
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(DEADLINE_S * 2):
            writer.write(slow.first)
            while await reader.read(65_536):
                pass
    dripping.cancel()
    writer.transport.abort()
    return time.monotonic() - began


def test_slow_and_endless_senders_end_in_ten_seconds_and_honest_ones_are_served_meanwhile(tmp_path: Path) -> None:
    attacker = Attacker(random.Random(7))
    statuses: list[int] = []
    waits_s: list[float] = []

    async def besiege(stage: Stage) -> dict[str, list[float]]:
        async def honest() -> None:
            while True:
                began = time.monotonic()
                shots = iter([attacker.authentic()])
                await asyncio.to_thread(fire, stage.port, shots, lambda _shot, status, _answer: statuses.append(status))
                waits_s.append(time.monotonic() - began)
                await asyncio.sleep(0.2)

        serving = asyncio.create_task(honest())
        names = [name for name, slow in SENDERS.items() for _ in range(slow.amount)]
        lasted = await asyncio.gather(*(last(stage.port, SENDERS[name]) for name in names))
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        ends: dict[str, list[float]] = {}
        for name, seconds in zip(names, lasted, strict=True):
            ends.setdefault(name, []).append(seconds)
        return ends

    with Stage(tmp_path) as stage:
        fire(stage.port, attacker.shots(500), lambda *_: None)
        before_kib = stage.memory_kib()
        ends = asyncio.run(besiege(stage))
        grown_kib = stage.memory_kib("VmHWM") - before_kib
        log = stage.log()
    late = {name: max(found) for name, found in ends.items() if max(found) > DEADLINE_S + SLACK_S}
    assert late == {}
    quick = {
        name: max(found) for name, found in ends.items() if not SENDERS[name].every_s and max(found) > DEADLINE_S / 2
    }
    assert quick == {}, "what comes at full speed is cut by its size, long before its time"
    assert grown_kib < GROWTH_KIB
    assert len(statuses) > 20
    assert set(statuses) <= {200, 202}
    assert sorted(waits_s)[len(waits_s) // 2] < 1.0
    assert "Traceback" not in log
