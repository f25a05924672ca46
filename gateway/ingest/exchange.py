"""
One ordinary delivery between the wire and the door: the request as it was read, and the way back.

It stands where uvicorn keeps a `RequestResponseCycle`, and says of itself what uvicorn and our protocol ask of one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.ingest.problems import JSON_HEADERS

if TYPE_CHECKING:
    import asyncio

    from uvicorn.server import ServerState

    from gateway.ingest.endpoint import Door
    from gateway.ingest.gate import Gate
    from gateway.ingest.problems import Answer

    class Wire(Protocol):
        """What an exchange needs of the connection that it came on."""

        transport: asyncio.Transport
        server_state: ServerState

        def answered(self) -> None:
            """Go on after an answer."""


def _block(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join([b"%s: %s\r\n" % header for header in headers])


_JSON_BLOCK: Final = _block(JSON_HEADERS)
_common = lru_cache(maxsize=4)(_block)
"""The server's own headers (`date`), which are others once a second."""


class _Nobody:
    """An event that nobody waits for: the body of an exchange is taken when it is whole."""

    def set(self) -> None:
        """Wake nobody."""


_NOBODY: Final = _Nobody()


class Exchange:
    """
    One request that the door has admitted by its head.

    door, gate: who takes it when it is whole, and the connection it is for.
    headers, query, body: as they arrived; the body grows until `more_body` is False.
    keep_alive: what the client wants; False ends the connection with the answer.
    response_started, response_complete, disconnected, message_event: as uvicorn's cycle has them.
    """

    __slots__ = (
        "_wire",
        "body",
        "disconnected",
        "door",
        "gate",
        "headers",
        "keep_alive",
        "more_body",
        "query",
        "response_complete",
    )
    message_event = _NOBODY

    def __init__(  # noqa: PLR0917  keywords cost more here
        self,
        wire: Wire,
        door: Door,
        gate: Gate,
        headers: list[tuple[bytes, bytes]],
        query: bytes,
        keep_alive: bool,  # noqa: FBT001
    ) -> None:
        self._wire = wire
        self.door = door
        self.gate = gate
        self.headers = headers
        self.query = query
        self.keep_alive = keep_alive
        self.body = b""
        self.more_body = True
        self.disconnected = False
        self.response_complete = False

    @property
    def response_started(self) -> bool:
        """An answer leaves in one piece."""
        return self.response_complete

    def answer(self, answer: Answer) -> None:
        """Send the whole answer in one write; to a client that has left, nothing."""
        self.response_complete = True
        wire = self._wire
        if self.disconnected:
            return
        status, body, headers = answer
        wire.transport.write(
            b"%s%s%scontent-length: %d\r\n%s%s"
            % (
                STATUS_LINE[status],
                _JSON_BLOCK if headers is JSON_HEADERS else _block(headers),
                _common(tuple(wire.server_state.default_headers)),
                len(body),
                b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n",
                body,
            )
        )
        if not self.keep_alive:
            wire.transport.close()
        wire.answered()
