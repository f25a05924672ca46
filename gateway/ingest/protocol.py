"""
The wire under the door: uvicorn's httptools protocol with the limits that it lacks.

Bare uvicorn waits for ever for the rest of a request and, with httptools, takes headers without end. Here each request
has an absolute deadline for its last byte, headers have caps, trailers are never mixed with headers, and nothing that
an unauthenticated sender does writes a log line.

An ordinary delivery takes the short way: once it is read whole, the door gets it as an `Exchange`, without the scope,
the task and the messages of ASGI, which cost more than everything the door itself does. Every other request goes to
the application as uvicorn hands it over. One timer per connection watches the deadline and the idle time.

Source: uvicorn 0.54 `protocols/http/httptools_impl.py`; uvicorn issue #157 (no read time-out, open since 2018).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.ingest.exchange import Exchange
from gateway.ingest.problems import overloaded

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGI3Application
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

    from gateway.ingest.endpoint import Door

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


def _head_bytes(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return len(url) + sum([len(name) + len(value) + 4 for name, value in headers])


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
        self._door: Door | None = getattr(config.loaded_app, "door", None)
        self._exchange: Exchange | None = None
        self._whole: Exchange | None = None
        self._receiving_since: float | None = None
        self._idle_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._fed_bytes = self._body_bytes = self._chunk_bytes = self._seen_bytes = 0
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
        self._exchange = self._whole = None
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, keeping count of what is neither body nor a finished request."""
        if self._closing:
            return
        self._unset_keepalive_if_required()
        self._idle_since = None
        if self._receiving_since is None:
            self._receiving_since = self.loop.time()
        in_head = self._in_head
        self._chunk_bytes = len(data)
        self._fed_bytes += self._chunk_bytes
        self._seen_bytes += self._chunk_bytes
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
        whole = self._whole
        if whole is not None:  # here, because nothing may be answered inside the parser
            self._whole = None
            whole.door.take(whole)

    # Parser

    def on_message_begin(self) -> None:
        """Start the clock and the counts of one request."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._receiving_since = self.loop.time()
        self._in_head = True
        self._fed_bytes = self._body_bytes = 0
        self._seen_bytes = self._chunk_bytes

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; a trailer is passed over, since the application has already read the headers."""
        if self._in_head:
            headers = self.headers
            if len(headers) >= self.max_headers:
                raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Hand the request to the door or to the application, or refuse it."""
        url, headers = self.url, self.headers
        if self._seen_bytes > self.max_head_bytes and _head_bytes(url, headers) > self.max_head_bytes:
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        first = dict(headers)
        single = len(first) == len(headers)
        version = self.parser.get_http_version()
        if b"host" not in first:
            if version == "1.1":
                raise _Refused(HTTPStatus.BAD_REQUEST)
        elif not single and sum([name == b"host" for name, _ in headers]) > 1:
            raise _Refused(HTTPStatus.BAD_REQUEST)
        if len(self.pipeline) >= self.max_pipelined:
            raise _Refused(HTTPStatus.TOO_MANY_REQUESTS)
        busy = len(self.connections) > self.max_connections
        if not (single and version == "1.1" and not busy and self._admitted(url, first)):
            self._hand_over(first, cast("ASGI3Application", overloaded) if busy else self.config.loaded_app)
        self._in_head = False

    def _admitted(self, url: bytes, first: dict[bytes, bytes]) -> bool:
        """Take the short way when the request is an ordinary delivery and nothing on this connection waits."""
        door, cycle = self._door, self._latest()
        if door is None or not (cycle is None or cycle.response_complete) or self.flow.write_paused:
            return False
        path, _, query = url.partition(b"?")
        if self.parser.get_method() != b"POST" or b"#" in query or self.transport.is_closing():
            return False
        gate = door.admit(path, first)
        if gate is None:
            return False
        exchange = Exchange(self, door, gate, self.headers, query, self.parser.should_keep_alive())
        self._exchange = exchange
        self.cycle = exchange  # type: ignore[assignment]
        return True

    def _hand_over(self, first: dict[bytes, bytes], app: ASGI3Application) -> None:
        """Make the scope of a request and start the application on it, as uvicorn does."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers += headers
        self.expect_100_continue = first.get(b"expect", b"").lower() == b"100-continue"
        self.app = app
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; what follows an answer is read and dropped until the deadline."""
        self._body_bytes += len(body)
        if self._exchange is not None:
            self._exchange.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the clock: the request is whole."""
        self._receiving_since = None
        self._in_head = True
        self._fed_bytes = 0
        if self._exchange is None:
            super().on_message_complete()
        else:
            self._exchange.more_body = False
            self._whole, self._exchange = self._exchange, None  # what follows in the same piece is another request

    def on_response_complete(self) -> None:
        """Go on with the next request, unless the connection is to end here."""
        super().on_response_complete()
        if self._closing and not self.pipeline and (self.cycle.response_complete or self.cycle.disconnected):
            self.transport.close()

    def answered(self) -> None:
        """Wait for the next request after an exchange, or go on with what has come behind it."""
        if self._closing or self.pipeline:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
            self._idle_since = self.loop.time()

    # Ends

    def _look_at_deadline(self) -> None:
        """Close a connection that is overdue or idle; one timer per connection, not one per request."""
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
        elif self._idle_since is not None:
            left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
            if left_s <= 0:
                self.transport.close()
            else:
                wait_s = min(wait_s, left_s)
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
