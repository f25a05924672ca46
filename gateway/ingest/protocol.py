"""
The wire under the door: uvicorn's httptools protocol with the limits that it lacks.

Bare uvicorn waits for ever for the rest of a request and, with httptools, takes headers without end. Here each request
has an absolute deadline for its last byte, headers have caps, trailers are never mixed with headers, and nothing that
an unauthenticated sender does writes a log line.

Source: uvicorn 0.54 `protocols/http/httptools_impl.py`; uvicorn issue #157 (no read time-out, open since 2018).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.ingest.problems import overloaded

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

DEADLINE_S: Final = 10.0
KEEP_ALIVE_S: Final = 95
"""Longer than the idle time of routers (Heroku 90 s), so that it is the router that closes."""
GRACE_S: Final = 20
"""Requests under way at SIGTERM get this long; with the close of Redis it stays under the 25 s that platforms give."""
MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100
MAX_PIPELINED: Final = 4
MAX_CONNECTIONS: Final = 2_500


SERVER: Final[dict[str, Any]] = {
    "http": "gateway.ingest.protocol:DeadlineProtocol",
    "ws": "none",
    "lifespan": "on",
    "interface": "asgi3",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
    "timeout_keep_alive": KEEP_ALIVE_S,
    "timeout_graceful_shutdown": GRACE_S,
    "backlog": 2048,
}
"""How uvicorn runs us; concurrency is limited by our protocol, whose 503 asks the sender to come back."""


class _Refused(Exception):
    """A request that is not answered by the application; leaves the parser through its callback."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class DeadlineProtocol(HttpToolsProtocol):
    """
    One connection; made by uvicorn for every client.

    Class attributes are its limits, so that a test can have a subclass with shorter ones.
    """

    deadline_s: float = DEADLINE_S
    """From the first byte of a request (or from the connect) to its last byte."""
    max_head_bytes: int = MAX_HEAD_BYTES
    max_headers: int = MAX_HEADERS
    max_pipelined: int = MAX_PIPELINED
    max_connections: int = MAX_CONNECTIONS
    """Above it requests are answered 503; at twice as many the connection is dropped."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = False  # its lines would carry `?token=`
        self._receiving_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._fed_bytes = 0
        self._body_bytes = 0
        self._closing = False
        self._stalled = False

    # Connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a client that connects and says nothing is slow too."""
        super().connection_made(transport)
        if len(self.connections) > 2 * self.max_connections:
            transport.abort()
            return
        self._receiving_since = self.loop.time()
        self._timer = self.loop.call_later(self.deadline_s, self._look_at_deadline)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave no timer and no waiting request behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, keeping count of what is neither body nor a finished request."""
        if self._closing:
            return
        self._unset_keepalive_if_required()
        if self._receiving_since is None:
            self._receiving_since = self.loop.time()
        in_head = self._in_head
        self._fed_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._close_when_answered()  # no protocol but HTTP/1 is spoken here; the request itself is answered
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, _Refused) else HTTPStatus.BAD_REQUEST)
        else:
            if in_head and self._in_head and self._fed_bytes > self.max_head_bytes:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            elif not self._in_head and self._fed_bytes > 9 * self._body_bytes + 2 * self.max_head_bytes:
                self._refuse(HTTPStatus.BAD_REQUEST)  # chunk extensions or trailers without end

    # Parser

    def on_message_begin(self) -> None:
        """Start the clock and the counts of one request."""
        super().on_message_begin()
        self._receiving_since = self.loop.time()
        self._in_head = True
        self._fed_bytes = self._body_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; a trailer is passed over, since the application has already read the headers."""
        if self._in_head:
            if len(self.headers) >= self.max_headers:
                raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Hand the request to the application, or refuse it."""
        size, hosts = len(self.url), 0
        for name, value in self.headers:
            size += len(name) + len(value) + 4
            if name == b"host":
                hosts += 1
            elif name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue"
        if size > self.max_head_bytes:
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if hosts != 1 and (hosts > 1 or self.parser.get_http_version() == "1.1"):
            raise _Refused(HTTPStatus.BAD_REQUEST)
        if len(self.pipeline) >= self.max_pipelined:
            raise _Refused(HTTPStatus.TOO_MANY_REQUESTS)
        busy = len(self.connections) > self.max_connections
        self.app = overloaded if busy else self.config.loaded_app
        super().on_headers_complete()
        self._in_head = False

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; what follows an answer is read and dropped until the deadline."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the clock: the request is whole."""
        self._receiving_since = None
        self._in_head = True
        self._fed_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, unless the connection is to end here."""
        super().on_response_complete()
        if self._closing and not self.pipeline and (self.cycle.response_complete or self.cycle.disconnected):
            self.transport.close()

    # Ends

    def _look_at_deadline(self) -> None:
        """Close a connection whose request is overdue; one timer per connection, not one per request."""
        if self.transport.is_closing():
            self.transport.abort()  # closed one deadline ago and still not flushed: the peer does not read
            return
        if self.flow.write_paused and self._stalled:
            self.transport.abort()
            return
        self._stalled = self.flow.write_paused
        wait_s = self.deadline_s
        if self._receiving_since is not None:
            wait_s = self._receiving_since + self.deadline_s - self.loop.time()
            if wait_s <= 0:
                wait_s = self.deadline_s
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        self._timer = self.loop.call_later(wait_s, self._look_at_deadline)

    def _close_when_answered(self) -> None:
        cycle = self._latest()
        self._closing = True
        if cycle is None or cycle.response_complete:
            self.transport.close()
        else:
            cycle.keep_alive = False

    def _latest(self) -> RequestResponseCycle | None:
        """Give the request that was handed to the application last; uvicorn's annotation forgets that there is none."""
        return self.cycle

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer outside the application and close; an answer that is under way is let out first."""
        cycle = self._latest()
        self._closing = True
        answered = cycle is not None and not self._in_head
        if cycle is not None and not cycle.response_complete:
            if cycle.more_body:  # the application waits for a rest that will not be read
                cycle.disconnected = True
                cycle.message_event.set()
                answered = cycle.response_started
            if self.pipeline or not cycle.more_body:
                self.flow.pause_reading()  # earlier requests are whole and get their answers, then the end
                return
        if not answered:
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode("ascii"))
        self.transport.close()
