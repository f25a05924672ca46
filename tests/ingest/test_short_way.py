"""The short way of an ordinary delivery: the same answers as the wide way, and the same manners on the wire."""

from __future__ import annotations

import concurrent.futures
import json
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.app import create_app
from gateway.core.change import Change
from gateway.ingest.protocol import DeadlineProtocol
from gateway.settings import from_env
from gateway.sources import SOURCES
from gateway.sources.base import Connection, Normalized
from tests.ingest.server import SECRET, call, deliver, raw, running, short, signed, ticket

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 0.5
IGNORED = b'{"type": "invoice.paid", "data": {}}'


@pytest.fixture
def app(redis_url: str) -> Any:
    return create_app(from_env({"REDIS_URL": redis_url, "GENERIC_WEBHOOK_SECRET": SECRET, "LOG_LEVEL": "error"}))


@pytest.fixture
def port(app: Any) -> Iterator[int]:
    with running(app, short(DEADLINE_S)) as found:
        yield found


def request(body: bytes, *extra: str, version: str = "1.1", **how: Any) -> bytes:
    """Give an ordinary delivery as bytes."""
    lines = ["Host: h", *(f"{name}: {value}" for name, value in signed(body, **how).items()), *extra]
    head = f"POST /webhooks/generic HTTP/{version}\r\n" + "".join(f"{line}\r\n" for line in lines)
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def wide(body: bytes, *extra: str, **how: Any) -> bytes:
    """Give the same delivery in one chunk, which takes the wide way."""
    head, _, _ = request(body, *extra, **how).partition(b"Content-Length")
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def answers(received: bytes) -> list[tuple[int, dict[str, str], Any]]:
    """Take what came back apart: status, headers but `date`, JSON body."""
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers["content-length"])
        assert headers.pop("date")
        found.append((int(first.split()[1]), headers, json.loads(received[:length] or b"null")))
        received = received[length:]
    return found


@pytest.mark.parametrize(
    ("body", "how", "status"),
    [
        (ticket(7), {}, 202),
        (IGNORED, {}, 200),
        (b"not json", {}, 202),
        (ticket(7), {"key": b"k" * 32}, 401),
        (ticket(7), {"at_s": 1.0}, 401),
    ],
    ids=["accepted", "ignored", "quarantined", "bad signature", "stale"],
)
def test_both_ways_answer_alike(port: int, body: bytes, how: dict[str, Any], status: int) -> None:
    found = []
    for number, make in enumerate((request, wide)):
        received, _ = raw(port, make(body, "Connection: close", message_id=f"msg_{number}", **how))
        ((code, headers, said),) = answers(received)
        assert code == status
        found.append((headers | {"content-length": ""}, {key: type(value) for key, value in said.items()}))
    assert found[0] == found[1]


def test_a_delivery_is_a_duplicate_whichever_way_it_comes(port: int) -> None:
    said = []
    for make in (request, wide, request):
        received, _ = raw(port, make(ticket(7), "Connection: close", message_id="msg_1", at_s=time.time()))
        said.append(answers(received)[0][2]["status"])
    assert said == ["accepted", "duplicate", "duplicate"]


def test_one_connection_carries_many_deliveries_of_both_ways(port: int) -> None:
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        for number in range(20):
            client.sendall((wide if number % 5 == 4 else request)(ticket(number)))
            while len(answers(got)) <= number:
                got += client.recv(65536)
    assert [said["tickets"] for _, _, said in answers(got)] == [[f"generic:{number}"] for number in range(20)]


def test_deliveries_sent_ahead_are_answered_in_order(port: int) -> None:
    sent = b"".join(request(ticket(number)) for number in range(4)) + wide(ticket(4), "Connection: close")
    received, _ = raw(port, sent)
    assert [said["tickets"] for _, _, said in answers(received)] == [[f"generic:{number}"] for number in range(5)]


def test_a_delivery_in_many_pieces_is_read_whole(port: int) -> None:
    whole = request(ticket(7), "Connection: close")
    pieces = [whole[at : at + 97] for at in range(0, len(whole), 97)]
    received, _ = raw(port, *pieces, pause_s=0.005)
    assert answers(received)[0][0] == 202


@pytest.mark.parametrize(("version", "extra"), [("1.1", ["Connection: close"]), ("1.0", [])])
def test_the_connection_ends_when_the_client_says_so(port: int, version: str, extra: list[str]) -> None:
    received, took_s = raw(port, request(ticket(7), *extra, version=version), wait_s=5)
    ((status, headers, _),) = answers(received)
    assert (status, headers["connection"]) == (202, "close")
    assert took_s < DEADLINE_S


def test_garbage_behind_a_delivery_does_not_harm_its_answer(port: int) -> None:
    received, took_s = raw(port, request(ticket(7)) + b"\x00garbage\r\n\r\n", wait_s=5)
    assert answers(received)[0][0] == 202
    assert took_s < DEADLINE_S * 3


def test_a_delivery_that_stalls_is_told_408(port: int) -> None:
    received, took_s = raw(port, request(ticket(7))[:-5], wait_s=5)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert DEADLINE_S * 0.8 < took_s < DEADLINE_S * 3


def test_an_idle_connection_is_closed_after_the_keep_alive_time(app: Any) -> None:
    class Hasty(DeadlineProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.deadline_s, self.timeout_keep_alive = 0.2, 1

    with running(app, Hasty) as port, socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        for pause_s in (0.5, 0.0):
            client.sendall(request(ticket(7)))
            assert client.recv(65536).startswith(b"HTTP/1.1 202 ")
            time.sleep(pause_s)
        begun = time.monotonic()
        assert client.recv(65536) == b""
        assert 0.8 < time.monotonic() - begun < 1.6


def test_a_client_that_leaves_before_its_answer_harms_nobody(port: int) -> None:
    for number in range(50):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(request(ticket(number)))
    received, _ = raw(port, request(ticket(99), "Connection: close"))
    assert answers(received)[0][0] == 202


@pytest.mark.parametrize(
    "target", ["/webhooks/generic?a=b", "/webhooks/generic?a#b", "/webhooks/generic/", "http://h/webhooks/generic"]
)
def test_every_spelling_of_the_address_finds_the_connection(port: int, target: str) -> None:
    sent = request(ticket(7), "Connection: close").replace(b"/webhooks/generic", target.encode(), 1)
    received, _ = raw(port, sent)
    assert answers(received)[0][0] == 202


class Mute:
    """A source that takes everything and fails when it is to acknowledge."""

    name = "mute"
    signed = "not"
    methods: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ("application/json",)

    def handshake(self, request: Any, connection: Any) -> None:
        return None

    def check_secret(self, secret: str, auth: Any) -> str | None:
        return None

    def verify(self, request: Any, connection: Any, now_s: float) -> None:
        return None

    def delivery_id(self, request: Any, payload: Any) -> str | None:
        return None

    def parse(self, request: Any) -> Any:
        return None

    def normalize(self, payload: Any, request: Any, connection: Any) -> Normalized:
        return Normalized((Change(ticket="mute:1", connection=connection.name),))

    def acknowledge(self, *, stored: bool) -> None:
        raise ZeroDivisionError


def test_a_defect_in_an_acknowledgement_is_not_felt_by_the_neighbours_of_its_call(redis_url: str) -> None:
    settings = from_env({"REDIS_URL": redis_url, "GENERIC_WEBHOOK_SECRET": SECRET})
    mute = Connection(name="mute", source="mute", secrets=("x" * 16,))
    app = create_app(replace(settings, connections=(*settings.connections, mute)), {**SOURCES, "mute": Mute()})
    with running(app) as port, concurrent.futures.ThreadPoolExecutor(20) as pool:
        good = [pool.submit(deliver, port, ticket(number)) for number in range(40)]
        bad = [pool.submit(call, port, "/webhooks/mute", b"{}", {"content-type": "application/json"}) for _ in range(9)]
        assert {one.result().status for one in good} == {202}
        assert {one.result().status for one in bad} == {503}
        assert all("retry-after" in one.result().headers for one in bad)
