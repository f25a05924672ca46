"""
A sink that takes `PUT /tickets` and counts: far less work than the sandbox, whose JSON would dominate a benchmark.

`python -m tests.bench.sink PORT`. It reads a body whole, counts its items by their key, tells new ids from known ones
and answers the two counts. `GET /stats` gives the calls so far, `POST /reset` forgets everything, and the ticket list
(`GET /tickets`) is empty.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass
from typing import Any, Final

import uvloop

KEY: Final = re.compile(rb'"sourceId":"([^"]+)"')


@dataclass(slots=True)
class Call:
    """One bulk call: its items, bytes, and when it came and ended (`time.monotonic`, one clock for all processes)."""

    items: int
    size_bytes: int
    came_s: float
    ended_s: float


class Sink:
    """What was taken in."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.known: set[bytes] = set()

    def take(self, body: bytes, came_s: float) -> bytes:
        """Count a body; give the answer."""
        ids = KEY.findall(body)
        before = len(self.known)
        self.known.update(ids)
        created = len(self.known) - before
        self.calls.append(Call(len(ids), len(body), came_s, time.monotonic()))
        return b'{"created":%d,"updated":%d}' % (created, len(ids) - created)

    def stats(self) -> bytes:
        """Give the calls as JSON."""
        return json.dumps({"tickets": len(self.known), "calls": [asdict(one) for one in self.calls]}).encode()

    def reset(self) -> bytes:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]
        return b"{}"


class _Protocol(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._pieces: list[bytes] = []
        self._missing = 0
        self._came_s = 0.0
        self._line = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self._line:
            data = b"".join((*self._pieces, data))
            self._pieces.clear()
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._pieces = [data]
                return
            head = data[:end].lower()
            self._line = data[: data.find(b"?" if b"?" in data[:40] else b" ", 5)]
            at = head.find(b"content-length:")
            self._missing = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._came_s = time.monotonic()
            data = data[end + 4 :]
        self._missing -= len(data)
        self._pieces.append(data)
        if self._missing <= 0:
            self._answer()

    def _answer(self) -> None:
        body, line = b"".join(self._pieces), self._line
        self._pieces.clear()
        self._line = b""
        sink = self._sink
        if line == b"PUT /tickets":
            said = sink.take(body, self._came_s)
        else:
            said = {b"GET /stats": sink.stats, b"POST /reset": sink.reset}.get(line, lambda: b"[]")()
        assert self._transport is not None
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(said) + said
        )


async def serve(port: int) -> None:
    """Serve until killed."""
    sink = Sink()
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(sink), "127.0.0.1", port)
    await server.serve_forever()


def stats(port: int) -> dict[str, Any]:
    """Ask a sink what it has taken."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=30) as answer:
        said: dict[str, Any] = json.load(answer)
        return said


def reset(port: int) -> None:
    """Let a sink forget everything."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/reset", data=b"", timeout=30) as answer:
        answer.read()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
