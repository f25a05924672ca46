"""The attacker's side of the wire: kept connections with requests sent ahead, and connections for one request."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.gate.targets import Shot

    Judge = Callable[[Shot, int, bytes], None]
    Alone = asyncio.Queue[Shot | None]

AHEAD: Final = 4
"""Requests sent before the first of them is answered."""
LANES: Final = 24
ALONE: Final = 24
ANSWER_S: Final = 15.0
PATIENCE_S: Final = 0.3
"""How long an answer to what may be half a request is waited for; whether such end in time, another test asks."""


class _Lane(asyncio.Protocol):
    """One kept connection; answers come in the order of the requests."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answers: list[tuple[int, bytes]] = []
        self._wanted = 0
        self._whole: asyncio.Future[None] | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head := self._buffer.find(b"\r\n\r\n")) >= 0:
            at = self._buffer.find(b"content-length: ", 0, head)
            length = int(self._buffer[at + 16 : self._buffer.find(b"\r", at)]) if at >= 0 else 0
            end = head + 4 + length
            if len(self._buffer) < end:
                return
            self._answers.append((int(self._buffer[9:12]), self._buffer[:end]))
            self._buffer = self._buffer[end:]
        if len(self._answers) >= self._wanted:
            self._done()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._done()

    def _done(self) -> None:
        if self._whole is not None and not self._whole.done():
            self._whole.set_result(None)

    async def ask(self, data: bytes, wanted: int) -> list[tuple[int, bytes]]:
        """Send requests, give their answers; fewer when the connection ended or nothing came in time."""
        assert self.transport is not None
        self._answers, self._wanted = [], wanted
        self._whole = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._whole
        return self._answers


async def _keep(port: int, shots: Iterator[Shot], judge: Judge, alone: Alone) -> None:
    """Fire shots on one connection, `AHEAD` at a time; those that may break it go to the others."""
    lane: _Lane | None = None
    while True:
        volley: list[Shot] = []
        for shot in shots:
            if shot.alone:
                await alone.put(shot)
                continue
            volley.append(shot)
            if len(volley) == AHEAD:
                break
        if not volley:
            break
        if lane is None or lane.closed:
            _, lane = await asyncio.get_running_loop().create_connection(_Lane, "127.0.0.1", port)
        answers = await lane.ask(b"".join([shot.data for shot in volley]), len(volley))
        for number, shot in enumerate(volley):
            judge(shot, *(answers[number] if number < len(answers) else (0, b"")))
        if len(answers) < len(volley) and lane.transport is not None:
            lane.transport.abort()
            lane.closed = True
    if lane is not None and lane.transport is not None:
        lane.transport.close()


async def _single(port: int, alone: Alone, judge: Judge) -> None:
    """Fire shots that get a connection each."""
    while (shot := await alone.get()) is not None:
        answer = b""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(shot.data)
            async with asyncio.timeout(PATIENCE_S):
                answer = await reader.read(65_536)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
        judge(shot, int(answer[9:12]) if answer[9:12].isdigit() else 0, answer)


async def _fire(port: int, shots: Iterator[Shot], judge: Judge) -> None:
    alone: Alone = asyncio.Queue(maxsize=ALONE)
    async with asyncio.TaskGroup() as group:
        for _ in range(ALONE):
            group.create_task(_single(port, alone, judge))
        await asyncio.gather(*(_keep(port, shots, judge, alone) for _ in range(LANES)))
        for _ in range(ALONE):
            await alone.put(None)


def fire(port: int, shots: Iterator[Shot], judge: Judge) -> None:
    """
    Send every shot to a loopback port.

    Args:
        judge: is told each shot's status (0 when the connection ended, or stayed silent, without one) and answer.
    """
    uvloop.run(_fire(port, shots, judge))
