"""The wire: slow, endless and malformed senders are closed in time, honest ones are served."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import resource
import socket
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from tests.ingest.server import call, raw, running, short

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 0.5
HOST = b"Host: h\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the length of the body and the number of headers; `/slow` takes its time, `/early` reads nothing."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    size, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    body = f"{size} {len(scope['headers'])}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running(echo, short(DEADLINE_S)) as found:
        yield found


def statuses(answer: bytes) -> list[int]:
    return [int(piece[:3]) for piece in answer.split(b"HTTP/1.1 ")[1:]]


def test_a_request_is_served(port: int) -> None:
    assert call(port, "/", b"x" * 1000).status == HTTPStatus.OK


def test_no_server_header_goes_out(port: int) -> None:
    assert "server" not in call(port, "/", b"").headers


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        b"POST / HT",
        b"POST / HTTP/1.1\r\nHost: h\r\nX: ",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"\r\n",
    ],
    ids=["nothing", "request line", "headers", "body", "chunk", "empty line"],
)
def test_a_stalled_sender_is_told_408_and_closed(port: int, piece: bytes) -> None:
    answer, took_s = raw(port, piece, wait_s=5)
    assert statuses(answer) == [408]
    assert DEADLINE_S * 0.8 < took_s < DEADLINE_S * 3


@pytest.mark.parametrize(
    ("head", "drip"),
    [
        (b"POST / HTTP/1.1\r\nHost: h\r\n", b"X: y\r\n"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"", b"\r\n"),
    ],
    ids=["headers", "body", "chunks", "empty lines"],
)
def test_a_dripping_sender_wins_no_time(port: int, head: bytes, drip: bytes) -> None:
    _, took_s = raw(port, head, *[drip] * 30, pause_s=0.05, wait_s=5)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(head)
        begun = time.monotonic()
        closed_s = None
        for _ in range(60):
            try:
                client.sendall(drip)
                client.settimeout(0.05)
                if not client.recv(1000):
                    closed_s = time.monotonic() - begun
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                closed_s = time.monotonic() - begun
                break
    assert closed_s is not None
    assert closed_s < DEADLINE_S * 3
    assert took_s > 0


def test_two_hundred_stalled_senders_end_and_honest_ones_are_served_meanwhile(port: int) -> None:
    clients = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(200)]
    try:
        for n, client in enumerate(clients):
            client.sendall(b"POST / HTTP/1.1\r\n" + (HOST + b"Content-Length: 9\r\n\r\nx" if n % 2 else b"Ho"))
        assert call(port, "/", b"abc").status == HTTPStatus.OK
        begun = time.monotonic()
        for client in clients:
            while client.recv(1000):
                pass
        assert time.monotonic() - begun < DEADLINE_S * 4
    finally:
        for client in clients:
            client.close()


def test_an_idle_connection_outlives_the_deadline(port: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        for _ in range(2):
            client.request("POST", "/", b"abc")
            assert client.getresponse().read().startswith(b"3 ")
            time.sleep(DEADLINE_S * 2.5)
        client.request("POST", "/", b"abc")
        assert client.getresponse().status == HTTPStatus.OK
    finally:
        client.close()


def test_endless_headers_are_cut_in_flat_memory(port: int) -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    piece = b"X-Long: " + b"a" * 8000 + b"\r\n"
    answer, _ = raw(port, b"GET / HTTP/1.1\r\n" + HOST, *[piece] * 4000, wait_s=5)
    assert statuses(answer) in ([431], [])
    one_line, _ = raw(port, b"GET / HTTP/1.1\r\n" + HOST + b"X: ", *[b"a" * 65536] * 500, wait_s=5)
    assert statuses(one_line) in ([431], [])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 20_000


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length : 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"CONNECT h:1 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
)
def test_a_malformed_request_is_refused_and_closed(port: int, request_bytes: bytes, status: int) -> None:
    answer, took_s = raw(port, request_bytes, wait_s=5)
    assert statuses(answer) == [status]
    assert took_s < DEADLINE_S


def test_a_hundred_headers_pass(port: int) -> None:
    assert call(port, "/", b"abc", {f"x-{n}": "y" for n in range(90)}).status == HTTPStatus.OK


def test_trailers_are_not_headers(port: int) -> None:
    request = (
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n"
    )
    plain, _ = raw(port, request + b"\r\n")
    trailed, _ = raw(port, request + b"X-Signature: late\r\nHost: other\r\n\r\n")
    assert plain.endswith(b"3 3")
    assert trailed.endswith(b"3 3")


def test_endless_trailers_and_chunk_extensions_are_cut(port: int) -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3"
    for end in (b"\r\nabc\r\n0\r\nX: ", b";ext="):
        answer, took_s = raw(port, head + end, *[b"a" * 65536] * 200, wait_s=5)
        assert statuses(answer) in ([400], [431], [])
        assert took_s < DEADLINE_S * 2


def test_small_chunks_pass(port: int) -> None:
    request = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer, _ = raw(port, request + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")
    assert answer.endswith(b"50000 3")


def test_pipelined_requests_are_answered_in_order_and_bounded(port: int) -> None:
    one = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n%s"
    few = b"".join(one % (n, b"x" * n) for n in range(4))
    last = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    answer, _ = raw(port, few + last)
    assert [piece.partition(b"\r\n\r\n")[2][:1] for piece in answer.split(b"HTTP/1.1 ")[1:]] == [
        b"0",
        b"1",
        b"2",
        b"3",
        b"0",
    ]
    flood, took_s = raw(port, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 5000)
    assert len(statuses(flood)) < 10
    assert took_s < DEADLINE_S * 3


def test_garbage_behind_a_good_request_does_not_harm_its_answer(port: int) -> None:
    answer, took_s = raw(port, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc" + b"\x00garbage\r\n\r\n")
    assert statuses(answer) == [200]
    assert took_s < DEADLINE_S * 3


def test_a_stalled_pipelined_request_ends_after_the_answer_before_it(port: int) -> None:
    whole = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
    answer, took_s = raw(port, whole + b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 30\r\n\r\nabc", wait_s=5)
    assert statuses(answer) in ([200], [200, 408])
    assert took_s < DEADLINE_S * 3


def test_an_upgrade_is_not_followed(port: int) -> None:
    request = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    answer, took_s = raw(port, request, wait_s=5)
    assert statuses(answer) == [200]
    assert took_s < DEADLINE_S


def test_what_follows_an_early_answer_is_dropped_and_ends_in_time(port: int) -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head = b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 10000000000\r\n\r\n"
    answer, took_s = raw(port, head, *[b"x" * 1_000_000] * 20, wait_s=5)
    assert statuses(answer) == [200]
    assert took_s < DEADLINE_S * 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 20_000


def test_a_client_that_does_not_read_is_dropped() -> None:
    async def gush(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    with running(gush, short(DEADLINE_S)) as port, socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(DEADLINE_S * 4)
        got = 0
        with contextlib.suppress(ConnectionError):
            while chunk := client.recv(1_000_000):
                got += len(chunk)
        assert got < 50_000_000


def test_above_the_connection_limit_the_answer_is_503_with_retry_after() -> None:
    with running(echo, short(DEADLINE_S, max_connections=2)) as port:
        held = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(2)]
        try:
            time.sleep(0.05)
            answer = call(port, "/", b"abc")
            assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE
            assert 5 <= int(answer.headers["retry-after"]) <= 59
        finally:
            for client in held:
                client.close()


def test_an_answer_under_way_survives_the_stop() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            begun.set()
            await asyncio.sleep(0.4)
        await echo(scope, receive, send)

    begun = threading.Event()
    answers: list[int] = []
    with running(slow) as port:
        thread = threading.Thread(target=lambda: answers.append(call(port, "/", b"abc").status))
        thread.start()
        begun.wait(5)
    thread.join(5)
    assert answers == [200]
