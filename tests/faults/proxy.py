"""
A TCP proxy of our own that harms what goes through it: cut, refused, late, half-open, answers lost.

It listens on a free loopback port in front of one server (a unix socket or a port) and runs in a thread of its own, so
that a fault run may harm it from anywhere. What it did is counted where it happened: `counts`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

CHUNK: Final = 65_536
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing resets, as a dying host or a firewall does."""


@dataclass(eq=False)
class Link:
    """
    One connection through the proxy.

    waiting: something went up and nothing has come down since. broken: bytes of it were swallowed.
    """

    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    waiting: bool = False
    broken: bool = False

    def reset(self) -> None:
        """End both sides at once."""
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()


class Proxy:
    """
    One port in front of one server.

    Args:
        target: path of a unix socket, or a port on loopback.
    """

    def __init__(self, target: str | int) -> None:
        self.target, self.port = target, 0
        self.counts: Counter[str] = Counter()
        self._links: set[Link] = set()
        self._delay_s = 0.0
        self._swallow: frozenset[str] = frozenset()
        self._lose = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen)
        return self

    def close(self) -> None:
        """End every connection and the thread."""
        if self._loop is None or self._thread is None:
            return
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self._loop = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------------------------------------------------- harm

    def cut(self) -> int:
        """Reset every connection; gives how many there were."""

        async def work() -> int:
            links = list(self._links)
            for link in links:
                link.reset()
            self.counts["cut"] += len(links)
            return len(links)

        return self._do(work)

    def refuse(self) -> None:
        """Refuse new connections, as nobody's port does, until `heal`."""

        async def work() -> int:
            if self._server:
                self._server.close()
                self._server = None
            return 0

        self._do(work)

    def delay(self, seconds: float) -> None:
        """Pass everything on so much later, both ways."""
        self._delay_s = seconds

    def swallow(self, *ways: str) -> None:
        """Be half-open: connections stay, but nothing arrives any more on the given ways (`up`, `down`)."""
        self._swallow = frozenset(ways)

    def lose_answers(self) -> None:
        """Pass requests on, and reset the connection in place of each answer."""
        self._lose = True

    def heal(self) -> None:
        """Pass everything on again; connections that lost bytes are reset, so that nobody reads a torn answer."""
        self._delay_s, self._swallow, self._lose = 0.0, frozenset(), False

        async def work() -> int:
            for link in [one for one in self._links if one.broken]:
                link.reset()
            return 0 if self._server else await self._listen()

        self._do(work)

    @property
    def waiting(self) -> bool:
        """Whether somebody has asked through here and has no answer yet."""
        return any(link.waiting for link in list(self._links))

    # ------------------------------------------------------------------------------------------------- on its thread

    def _do(self, work: Callable[[], Coroutine[Any, Any, int]]) -> int:
        assert self._loop is not None, "the proxy does not run"
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(10)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=CHUNK)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def _end(self) -> int:
        if self._server:
            self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for link in list(self._links):
            link.reset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link([writer])
        self._links.add(link)
        self.counts["connections"] += 1
        try:
            if isinstance(self.target, int):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK)
            else:
                far_reader, far_writer = await asyncio.open_unix_connection(self.target, limit=CHUNK)
            link.writers.append(far_writer)
            up, down = self._pump(link, reader, far_writer, "up"), self._pump(link, far_reader, writer, "down")
            await asyncio.gather(up, down)
        except OSError:
            if len(link.writers) == 1:
                self.counts["unreachable"] += 1
            link.reset()
        except asyncio.CancelledError:  # by `close` only; asyncio would report a cancelled connection as an error
            return
        finally:
            for one in link.writers:
                one.close()
            self._links.discard(link)

    async def _pump(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        """Pass one direction on until it ends; its end ends both."""
        while data := await reader.read(CHUNK):
            if self._delay_s:
                self.counts["delayed"] += 1
                await asyncio.sleep(self._delay_s)
            link.waiting = link.waiting or way == "up"
            if way in self._swallow:
                link.broken = True
                self.counts[f"swallowed_{way}"] += 1
                continue
            if way == "down" and self._lose:
                self.counts["answers_lost"] += 1
                link.reset()
                return
            link.waiting = way == "up"
            writer.write(data)
            await writer.drain()
        link.waiting = False
        if not (link.broken and way == "down"):  # of a half-open connection only the asker's end is felt
            for one in link.writers:
                one.close()
