"""The fault proxy does what it says, and counts it."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1024):
            self.server.heard.append(data)  # type: ignore[attr-defined]
            self.request.sendall(data)


@pytest.fixture
def echo() -> Iterator[socketserver.ThreadingTCPServer]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    server.heard = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def proxy(echo: socketserver.ThreadingTCPServer) -> Iterator[Proxy]:
    with Proxy(echo.server_address[1]) as proxy:
        yield proxy


def call(proxy: Proxy, words: bytes = b"hello") -> bytes:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=1) as link:
        link.sendall(words)
        return link.recv(1024)


def test_it_passes_everything_on(proxy: Proxy) -> None:
    assert call(proxy) == b"hello"
    assert proxy.counts["connections"] == 1


def test_a_cut_resets_open_connections(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=1) as link:
        link.sendall(b"a")
        assert link.recv(10) == b"a"
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            link.recv(10)
    assert call(proxy) == b"hello"


def test_refusing_is_as_if_nobody_listened_until_healed(proxy: Proxy) -> None:
    port = proxy.port
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        call(proxy)
    proxy.heal()
    assert proxy.port == port
    assert call(proxy) == b"hello"


def test_a_delay_holds_both_ways(proxy: Proxy) -> None:
    proxy.delay(0.1)
    began = time.monotonic()
    assert call(proxy) == b"hello"
    assert time.monotonic() - began >= 0.2


def test_half_open_answers_nobody_and_tears_nothing(proxy: Proxy, echo: socketserver.ThreadingTCPServer) -> None:
    proxy.swallow("down")
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.3) as link:
        link.sendall(b"lost")
        with pytest.raises(TimeoutError):
            link.recv(10)
        assert echo.heard == [b"lost"]  # type: ignore[attr-defined]
        assert proxy.counts["swallowed_down"] == 1
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            link.recv(10)
    proxy.swallow("up")
    with pytest.raises(TimeoutError):
        call(proxy, b"never")
    assert echo.heard == [b"lost"]  # type: ignore[attr-defined]


def test_a_lost_answer_is_a_request_that_was_done(proxy: Proxy, echo: socketserver.ThreadingTCPServer) -> None:
    proxy.lose_answers()
    with pytest.raises(ConnectionResetError):
        call(proxy, b"done")
    assert echo.heard == [b"done"]  # type: ignore[attr-defined]
    assert proxy.counts["answers_lost"] == 1


def test_it_knows_who_waits(proxy: Proxy) -> None:
    proxy.swallow("down")
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.3) as link:
        seen = [proxy.waiting]
        link.sendall(b"?")
        until = time.monotonic() + 2
        while not seen[-1] and time.monotonic() < until:
            seen.append(proxy.waiting)
        assert not seen[0]
        assert seen[-1]
