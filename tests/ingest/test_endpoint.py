"""The door: every answer of the contract, on a real server and a real Redis."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import hashlib
import hmac
import json
import logging
import time
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from gateway.app import create_app
from gateway.core.change import Change, decode_fresh, frames
from gateway.errors import UnreadablePayload
from gateway.ingest.gate import dedupe, on_delete
from gateway.settings import from_env
from gateway.sources import SOURCES
from gateway.sources.base import Connection, Normalized, Reply
from gateway.store.client import connect
from gateway.store.pending import Store
from tests.ingest.server import KEY, SECRET, call, deliver, raw, running, short, signed, ticket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

ZENDESK = "zendesk-signing-secret-0123456789"
FRESHDESK = "freshdesk-shared-canary-0123456789"
ROTATED = "whsec_" + base64.b64encode(KEY[::-1]).decode()
CAP = 64 * 1024


class Odd:
    """A source with a handshake on GET, an answer of its own, and defects on demand."""

    name = "odd"
    signed = "not"
    methods: tuple[str, ...] = ("GET",)
    content_types: tuple[str, ...] = ("application/json", "text/xml")

    def handshake(self, request: Any, connection: Any) -> Reply | None:
        if request.method == "GET" and "hub=" in request.query:
            return Reply(200, request.query.partition("hub=")[2].encode(), {"Content-Type": "text/plain"})
        return None

    def check_secret(self, secret: str, auth: Any) -> str | None:
        return None

    def verify(self, request: Any, connection: Any, now_s: float) -> None:
        if request.header("x-crash") == "verify":
            raise ZeroDivisionError("canary-payload-text")

    def delivery_id(self, request: Any, payload: Any) -> str | None:
        return None

    def parse(self, request: Any) -> Any:
        if request.header("x-crash") == "parse":
            raise RecursionError("canary-payload-text")
        return json.loads(request.body)

    def normalize(self, payload: Any, request: Any, connection: Any) -> Normalized:
        if request.header("x-crash") == "normalize":
            raise KeyError("canary-payload-text")
        if request.header("x-crash") == "unreadable":
            raise UnreadablePayload("no_ticket_id", f"canary-detail {FRESHDESK}")
        return Normalized(tuple(Change(ticket=one, connection=connection.name) for one in payload["tickets"]))

    def acknowledge(self, *, stored: bool) -> Reply | None:
        return Reply(200, b"<Ack>true</Ack>" if stored else b"<Ack/>", {"content-type": "text/xml"})


class Plain(Odd):
    """A source that demands exactly 200 and is content with our words."""

    name = "plain_200"

    def acknowledge(self, *, stored: bool) -> Reply | None:
        return Reply(200)


@pytest.fixture
def app(redis_url: str) -> Any:
    settings = from_env(
        {
            "REDIS_URL": redis_url,
            "ZENDESK_WEBHOOK_SECRET": ZENDESK,
            "FRESHDESK_WEBHOOK_SECRET": FRESHDESK,
            "GENERIC_WEBHOOK_SECRET": f"{SECRET},{ROTATED}",
            "WEBHOOK_MAX_BODY_BYTES": str(CAP),
            "LOG_FORMAT": "json",
        }
    )
    odd = Connection(name="odd", source="odd", secrets=("x" * 16,))
    plain = Connection(name="plain_200", source="plain_200", secrets=("x" * 16,))
    sources = {**SOURCES, "odd": Odd(), "plain_200": Plain()}
    return create_app(replace(settings, connections=(*settings.connections, odd, plain)), sources)


@pytest.fixture
def port(app: Any) -> Iterator[int]:
    with running(app, short(2.0)) as found:
        yield found


def ask(redis_url: str, question: Callable[[Store], Awaitable[Any]]) -> Any:
    """Ask the bridge itself."""

    async def asked() -> Any:
        redis = connect(redis_url)
        try:
            return await question(Store(redis))
        finally:
            await redis.aclose()

    return asyncio.run(asked())


def pending(redis_url: str) -> int:
    return int(ask(redis_url, lambda store: store.look()).pending)


def kept(redis_url: str, name: str) -> list[Any]:
    """Give the frames of a ticket."""
    (found,) = ask(redis_url, lambda store: store.peek([name]))
    return [decode_fresh(payload) for _, payload in frames(found.value)]


# Answers of the contract


def test_accepted_means_that_it_is_in_redis(port: int, redis_url: str) -> None:
    answer = deliver(port, ticket(7, title="Fire"), message_id="msg_1")
    assert answer.status == HTTPStatus.ACCEPTED
    assert answer.said == {"status": "accepted", "delivery_id": "msg_1", "tickets": ["generic:7"]}
    (frame,) = kept(redis_url, "generic:7")
    assert b"Fire" in frame.fields


def test_answers_are_not_for_caches_and_name_no_server(port: int) -> None:
    headers = deliver(port, ticket()).headers
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


def test_a_repeated_delivery_is_a_duplicate_without_effect(port: int, redis_url: str) -> None:
    headers = signed(ticket(7), message_id="msg_1")
    answers = [call(port, "/webhooks/generic", ticket(7), headers) for _ in range(3)]
    assert [(answer.status, answer.said["status"]) for answer in answers] == [
        (202, "accepted"),
        (200, "duplicate"),
        (200, "duplicate"),
    ]
    assert answers[1].said["tickets"] == ["generic:7"]
    assert len(kept(redis_url, "generic:7")) == 1


def test_one_id_on_two_bodies_is_two_deliveries(port: int, redis_url: str) -> None:
    assert [deliver(port, ticket(7, title=title), message_id="msg_1").status for title in "ab"] == [202, 202]
    assert len(kept(redis_url, "generic:7")) == 2


def test_several_tickets_and_several_changes_of_one_all_go_in(port: int, redis_url: str) -> None:
    items = [{"sourceId": str(n % 3), "title": f"t{n}", "status": "open"} for n in range(6)]
    body = json.dumps({"type": "ticket.updated", "timestamp": "2026-01-02T03:04:05Z", "data": items}).encode()
    assert deliver(port, body).said["tickets"] == ["generic:0", "generic:1", "generic:2"]
    assert [len(kept(redis_url, f"generic:{n}")) for n in range(3)] == [2, 2, 2]


def test_an_event_about_something_else_is_ignored(port: int, redis_url: str) -> None:
    answer = deliver(port, b'{"type": "invoice.paid", "data": {}}', message_id="msg_1")
    assert answer.status == HTTPStatus.OK
    assert answer.said["status"] == "ignored"
    assert answer.said["delivery_id"] == "msg_1"
    assert answer.said["reason"]
    assert pending(redis_url) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b'{"type": "ticket.updated", "data": {}}',
        b"[" * 5000,
        b'{"a": NaN}',
        b'"\\ud800"',
    ],
)
def test_an_authentic_body_that_cannot_be_read_is_kept_whole(port: int, redis_url: str, body: bytes) -> None:
    answer = deliver(port, body, message_id="msg_1")
    assert answer.status == HTTPStatus.ACCEPTED
    assert answer.said["status"] == "quarantined"
    assert answer.said["reason"]
    record = ask(redis_url, lambda store: store.quarantined(answer.said["id"]))
    assert (record.body, record.connection, record.method) == (body, "generic", "POST")
    assert record.reason == answer.said["reason"]
    assert pending(redis_url) == 0


def test_a_repeated_unreadable_delivery_is_kept_once(port: int, redis_url: str) -> None:
    headers = signed(b"not json", message_id="msg_1")
    ids = {call(port, "/webhooks/generic", b"not json", headers).said["id"] for _ in range(3)}
    assert len(ids) == 1
    assert ask(redis_url, lambda store: store.look()).quarantined == 1


def test_what_carries_a_secret_is_not_kept_with_a_body(port: int, redis_url: str) -> None:
    carriers = ("authorization", "proxy-authorization", "cookie", "x-webhook-secret", "x-gateway-token", "x-zdesk-jwt")
    headers = dict.fromkeys(carriers, "Unconfigured one.two.three")
    call(port, "/webhooks/odd", b'{"tickets": []}', {**headers, "x-crash": "unreadable", "x-other": "kept"})
    (row,) = ask(redis_url, lambda store: store.dead_letters())
    record = ask(redis_url, lambda store: store.quarantined(row.id))
    assert ("x-other", "kept") in record.headers
    assert not {name for name, _ in record.headers} & headers.keys()


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/nosuch",
        "/webhooks/",
        "/webhooks/generic/more",
        "/webhooks/%2e%2e",
        "/webhooks/gen\x01eric",
        "/nosuch",
        "/",
    ],
)
def test_an_unknown_connection_is_404(port: int, path: str) -> None:
    path = path.replace("\x01", "%01")
    answer = call(port, path, ticket(), signed(ticket()))
    assert answer.status == HTTPStatus.NOT_FOUND


def test_a_trailing_slash_is_forgiven_never_redirected(port: int) -> None:
    assert deliver(port, ticket(), path="/webhooks/generic/").status == HTTPStatus.ACCEPTED


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE"])
def test_other_methods_are_405_with_allow(port: int, redis_url: str, method: str) -> None:
    answer = call(port, "/webhooks/zendesk", b"{}", {}, method=method)
    assert answer.status == HTTPStatus.METHOD_NOT_ALLOWED
    assert "POST" in answer.headers["allow"]
    assert pending(redis_url) == 0


def test_a_handshake_is_answered_in_the_senders_shape(port: int) -> None:
    answer = call(port, "/webhooks/odd?hub=12345", method="GET")
    assert (answer.status, answer.said, answer.headers["content-type"]) == (200, b"12345", "text/plain")
    assert call(port, "/webhooks/odd", method="GET").status == HTTPStatus.METHOD_NOT_ALLOWED
    consent = call(
        port, "/webhooks/generic", headers={"WebHook-Request-Origin": "events.example.com"}, method="OPTIONS"
    )
    assert consent.status < 300


def test_a_sender_that_demands_its_own_answer_gets_it(port: int) -> None:
    answer = call(port, "/webhooks/odd", b'{"tickets": ["odd:1"]}')
    assert (answer.status, answer.said, answer.headers["content-type"]) == (200, b"<Ack>true</Ack>", "text/xml")
    assert call(port, "/webhooks/odd", b'{"tickets": []}').said == b"<Ack>true</Ack>"  # nothing more is wanted


def test_a_sender_that_demands_only_a_status_gets_our_words_with_it(port: int) -> None:
    answer = call(port, "/webhooks/plain_200", b'{"tickets": ["odd:1"]}')
    assert (answer.status, answer.said["status"], answer.said["tickets"]) == (200, "accepted", ["odd:1"])
    kept = call(port, "/webhooks/plain_200", b'{"tickets": ["odd:1"]}', {"x-crash": "unreadable"})
    assert (kept.status, kept.said["status"]) == (200, "quarantined")


# Caps and content


def test_a_declared_body_over_the_cap_is_413_before_it_is_read(port: int) -> None:
    answer, _ = raw(port, b"POST /webhooks/generic HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", wait_s=1)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_the_cap_is_exact(port: int) -> None:
    body = ticket(1, title="x" * CAP)[: CAP - 2] + b'"}'
    assert len(body) == CAP
    assert deliver(port, body).status == HTTPStatus.ACCEPTED
    assert deliver(port, body + b" ").status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_a_chunked_body_is_taken_and_capped_alike(port: int, redis_url: str) -> None:
    def chunked(body: bytes) -> bytes:
        head = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
        pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
        sent = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        start = f"POST /webhooks/generic HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n{head}\r\n".encode()
        return start + sent + b"0\r\n\r\n"

    answer, _ = raw(port, chunked(ticket(1, title="x" * 5000)), wait_s=1)
    assert answer.startswith(b"HTTP/1.1 202 ")
    answer, _ = raw(port, chunked(ticket(2, title="x" * (CAP + 1))), wait_s=1)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert pending(redis_url) == 1


def test_the_connection_goes_on_after_a_413_and_expect_closes_it(port: int) -> None:
    big = b"POST /webhooks/generic HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    answer, _ = raw(port, big + b"GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", wait_s=3)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"HTTP/1.1 200 " in answer
    expecting = b"POST /webhooks/generic HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n"
    answer, took_s = raw(port, expecting, wait_s=3)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer
    assert took_s < 1


@pytest.mark.parametrize(
    "headers",
    [
        {"content-encoding": "gzip"},
        {"content-encoding": "br, identity"},
        {"content-type": "text/plain"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": ""},
    ],
)
def test_another_encoding_or_media_type_is_415(port: int, headers: dict[str, str]) -> None:
    answer = call(port, "/webhooks/generic", ticket(), {**signed(ticket()), **headers})
    assert answer.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize(
    "headers", [{"content-encoding": "identity"}, {"content-type": "Application/JSON; charset=utf-8"}]
)
def test_the_same_encoding_or_media_type_in_other_words_passes(port: int, headers: dict[str, str]) -> None:
    assert call(port, "/webhooks/generic", ticket(), {**signed(ticket()), **headers}).status == HTTPStatus.ACCEPTED


def test_a_missing_content_type_passes(port: int) -> None:
    headers = signed(ticket())
    del headers["content-type"]
    assert call(port, "/webhooks/generic", ticket(), headers).status == HTTPStatus.ACCEPTED


# The battery: what proves nothing changes nothing


def tampered(case: str) -> tuple[bytes, list[tuple[str, str]]]:
    """Give a body and headers of which something is wrong."""
    body = ticket(1)
    good = signed(body, message_id="msg_1")
    mac = good["webhook-signature"]
    changes: dict[str, dict[str, str | None]] = {
        "no signature": {"webhook-signature": None},
        "no timestamp": {"webhook-timestamp": None},
        "no id": {"webhook-id": None},
        "empty signature": {"webhook-signature": ""},
        "version only": {"webhook-signature": "v1,"},
        "truncated": {"webhook-signature": mac[:-8]},
        "no comma": {"webhook-signature": mac.replace(",", "")},
        "two commas": {"webhook-signature": mac.replace(",", ",,")},
        "unknown version": {"webhook-signature": mac.replace("v1,", "v2,")},
        "junk inside": {"webhook-signature": mac[:10] + "!!" + mac[10:]},
        "no padding": {"webhook-signature": mac.rstrip("=")},
        "more padding": {"webhook-signature": mac + "="},
        "non-ASCII": {"webhook-signature": "v1,\xe9" + mac[4:]},
        "hex": {"webhook-signature": "v1," + base64.b64decode(mac[3:]).hex()},
        "last byte": {"webhook-signature": mac[:-3] + ("A" if mac[-3] != "A" else "B") + mac[-2:]},
        "fraction": {"webhook-timestamp": good["webhook-timestamp"] + ".9"},
        "underscore": {"webhook-timestamp": good["webhook-timestamp"][:3] + "_" + good["webhook-timestamp"][3:]},
        "plus": {"webhook-timestamp": "+" + good["webhook-timestamp"]},
        "400 digits": {"webhook-timestamp": "1" * 400},
        "1e9": {"webhook-timestamp": "1e9"},
        "id of another": {"webhook-id": "msg_2"},
        "id with a dot": {"webhook-id": "msg.1"},
        "long signature": {"webhook-signature": "v1," + "A" * 20_000},
    }
    if case in changes:
        good |= {name: value for name, value in changes[case].items() if value is not None}
        for name, value in changes[case].items():
            if value is None:
                del good[name]
        return body, list(good.items())
    bodies = {
        "another body": body.replace(b"fire", b"wire"),
        "re-serialised": json.dumps(json.loads(body), indent=1).encode(),
        "white space": body + b"\n",
        "not UTF-8": b"\xff\xfe\xfd",
        "deep": b"[" * 50_000,
        "empty": b"",
    }
    if case in bodies:
        return bodies[case], list(good.items())
    doubled = {
        "double signature": "webhook-signature",
        "double id": "webhook-id",
        "double timestamp": "webhook-timestamp",
    }
    if case in doubled:
        return body, [*good.items(), (doubled[case], good[doubled[case]])]
    if case == "double type":
        return body, [*good.items(), ("content-type", "application/json")]
    if case == "double encoding":
        return body, [*good.items(), ("content-encoding", "identity"), ("content-encoding", "identity")]
    if case == "stale":
        return body, list(signed(body, at_s=time.time() - 302).items())
    if case == "early":
        return body, list(signed(body, at_s=time.time() + 302).items())
    assert case == "another key"
    return body, list(signed(body, key=b"k" * 32).items())


CASES = (
    *(
        "no signature",
        "no timestamp",
        "no id",
        "empty signature",
        "version only",
        "truncated",
        "no comma",
        "two commas",
    ),
    *("unknown version", "junk inside", "no padding", "more padding", "non-ASCII", "hex", "last byte", "fraction"),
    *("underscore", "plus", "400 digits", "1e9", "id of another", "id with a dot", "long signature", "another body"),
    *(
        "re-serialised",
        "white space",
        "not UTF-8",
        "deep",
        "empty",
        "double signature",
        "double id",
        "double timestamp",
    ),
    *("double type", "double encoding", "stale", "early", "another key"),
)


def test_nothing_forged_is_accepted_and_nothing_is_a_500(port: int, redis_url: str) -> None:
    ends = {}
    for case in CASES:
        body, headers = tampered(case)
        head = b"".join(name.encode() + b": " + value.encode("latin-1") + b"\r\n" for name, value in headers)
        length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        answer, _ = raw(port, b"POST /webhooks/generic HTTP/1.1\r\nHost: h\r\n" + head + length + body)
        ends[case] = (answer[9:12], answer.partition(b"\r\n\r\n")[2])
    assert {case: end for case, end in ends.items() if end != (b"401", b'{"status":"refused"}')} == {}
    view = ask(redis_url, lambda store: store.look())
    assert (view.pending, view.quarantined) == (0, 0)


@pytest.mark.parametrize("offset_s", [-298, 0, 298])
def test_a_timestamp_inside_the_tolerance_passes(port: int, offset_s: int) -> None:
    assert deliver(port, ticket(), at_s=time.time() + offset_s).status == HTTPStatus.ACCEPTED


def test_every_rotated_secret_and_a_list_of_signatures_pass(port: int) -> None:
    assert deliver(port, ticket(), key=KEY[::-1]).status == HTTPStatus.ACCEPTED
    headers = signed(ticket())
    headers["webhook-signature"] = "v1,AAAA v9,x " + headers["webhook-signature"]
    assert call(port, "/webhooks/generic", ticket(), headers).status == HTTPStatus.ACCEPTED


def test_a_signature_of_another_connection_proves_nothing(port: int) -> None:
    for path in ("/webhooks/zendesk", "/webhooks/freshdesk"):
        assert call(port, path, ticket(), signed(ticket())).status == HTTPStatus.UNAUTHORIZED


def test_forwarding_headers_prove_nothing(port: int) -> None:
    claims = {
        "X-Forwarded-For": "127.0.0.1",
        "Forwarded": "for=127.0.0.1",
        "X-Forwarded-Proto": "https",
        "X-Real-IP": "::1",
    }
    assert call(port, "/webhooks/generic", ticket(), {"content-type": "application/json", **claims}).status == 401


def zendesk(body: bytes, secret: str = ZENDESK) -> dict[str, str]:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    mac = hmac.new(secret.encode(), moment.encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "x-zendesk-webhook-signature-timestamp": moment,
        "x-zendesk-webhook-signature": base64.b64encode(mac).decode(),
    }


def test_the_public_test_secret_of_zendesk_opens_nothing(port: int) -> None:
    body = b'{"type": "zen:event-type:ticket.status_changed", "detail": {"id": "1"}}'
    assert call(port, "/webhooks/zendesk", body, zendesk(body)).status in (200, 202)
    public = base64.b64encode(b"this_secret_is_for_testing_only").decode()
    assert call(port, "/webhooks/zendesk", body, zendesk(body, public)).status == HTTPStatus.UNAUTHORIZED


def test_a_shared_secret_in_header_or_url_is_compared_whole(port: int) -> None:
    body = b'{"freshdesk_webhook": {"ticket_id": 1, "ticket_status": "Open"}}'
    json_type = {"content-type": "application/json"}
    for wrong in ("x" + FRESHDESK[1:], FRESHDESK[:-1] + "x", FRESHDESK[:-1], FRESHDESK + "x", ""):
        assert call(port, f"/webhooks/freshdesk?token={wrong}", body, json_type).status == HTTPStatus.UNAUTHORIZED
        bearer = {**json_type, "authorization": f"Bearer {wrong}"}
        assert call(port, "/webhooks/freshdesk", body, bearer).status == HTTPStatus.UNAUTHORIZED
    assert call(port, f"/webhooks/freshdesk?token={FRESHDESK}", body, json_type).status == HTTPStatus.ACCEPTED
    bearer = {**json_type, "authorization": f"Bearer {FRESHDESK}"}
    assert call(port, "/webhooks/freshdesk", body, bearer).status == HTTPStatus.ACCEPTED


# Defects of our own


@pytest.mark.parametrize(
    ("crash", "reason"), [("parse", "internal_error"), ("normalize", "internal_error"), ("unreadable", "no_ticket_id")]
)
def test_a_defect_after_the_signature_quarantines_the_body(port: int, redis_url: str, crash: str, reason: str) -> None:
    answer = call(
        port, "/webhooks/odd", b'{"tickets": ["odd:1"]}', {"x-crash": crash, "authorization": "Bearer canary-auth"}
    )
    assert answer.said == b"<Ack>true</Ack>"
    (row,) = ask(redis_url, lambda store: store.dead_letters("delivery"))
    record = ask(redis_url, lambda store: store.quarantined(row.id))
    assert (record.reason, record.body) == (reason, b'{"tickets": ["odd:1"]}')
    assert "authorization" not in dict(record.headers)
    assert FRESHDESK not in record.detail


@pytest.mark.parametrize("tickets", ['[""]', '["odd:\\ud800"]', "[1]", '[["x"]]'])
def test_a_change_that_redis_could_not_take_fails_alone(port: int, redis_url: str, tickets: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        good = [pool.submit(deliver, port, ticket(n)) for n in range(40)]
        bad = [pool.submit(call, port, "/webhooks/odd", f'{{"tickets": {tickets}}}'.encode()) for _ in range(5)]
    assert {one.result().status for one in good} == {202}
    assert {one.result().status for one in bad} == {200}
    assert pending(redis_url) == 40
    assert ask(redis_url, lambda store: store.look()).quarantined == 5


def test_a_defect_in_verify_refuses(port: int, redis_url: str) -> None:
    answer = call(port, "/webhooks/odd", b'{"tickets": ["odd:1"]}', {"x-crash": "verify"})
    assert (answer.status, answer.said) == (401, {"status": "refused"})
    assert pending(redis_url) == 0


# on_delete and dedupe


def removal(kind: str) -> Normalized:
    fields = {"title": "t", "status": "deleted"}
    gone = Change(ticket="x:1", connection="x", fields=fields, life=kind, updated_at_ms=5, sighting=False, thin=True)  # type: ignore[arg-type]
    return Normalized((gone, Change(ticket="x:2", connection="x", fields={"status": "open"})))


@pytest.mark.parametrize("kind", ["deleted", "purged"])
def test_deletions_are_passed_on_closed_or_left_out(kind: str) -> None:
    connection = Connection(name="x", source="odd", secrets=("s" * 16,))
    assert on_delete(removal(kind), connection) == removal(kind)
    closed, other = on_delete(removal(kind), replace(connection, on_delete="close")).changes
    assert (closed.life, closed.fields, closed.updated_at_ms, closed.sighting, closed.thin) == (
        "",
        {"title": "t", "status": "closed"},
        5,
        True,
        False,
    )
    assert other == removal(kind).changes[1]
    assert on_delete(removal(kind), replace(connection, on_delete="ignore")).changes == removal(kind).changes[1:]
    alone = on_delete(Normalized(removal(kind).changes[:1]), replace(connection, on_delete="ignore"))
    assert alone.changes == ()
    assert alone.ignored


def test_a_delivery_is_known_by_connection_id_and_body() -> None:
    keys = {dedupe(*one) for one in (("a", "1", b"x"), ("b", "1", b"x"), ("a", "2", b"x"), ("a", "1", b"y"))}
    assert len(keys) == 4
    assert {len(key) for key in keys if key} == {16}
    assert dedupe("a", None, b"x") is None


# Health and metrics


def test_livez_and_readyz(port: int) -> None:
    assert call(port, "/livez", method="GET").said == {"status": "alive"}
    ready = call(port, "/readyz", method="GET")
    assert ready.status == HTTPStatus.OK
    assert ready.said["status"] == "ready"
    assert set(ready.said["connections"]) == {"zendesk", "freshdesk", "generic", "odd", "plain_200"}


def test_without_a_connection_hooks_answer_404_and_readyz_says_why(redis_url: str) -> None:
    with running(create_app(from_env({"REDIS_URL": redis_url}))) as port:
        assert deliver(port, ticket()).status == HTTPStatus.NOT_FOUND
        ready = call(port, "/readyz", method="GET")
        assert ready.status == HTTPStatus.OK
        assert "No connection is configured" in ready.said["warnings"][0]


def test_metrics_count_every_answer_and_carry_only_configured_labels(port: int) -> None:
    deliver(port, ticket())
    deliver(port, b"not json")
    call(port, "/webhooks/generic", ticket(), {"content-type": "application/json"})
    call(port, "/webhooks/canary-name", ticket())
    text = call(port, "/metrics", method="GET").said.decode()
    for line in (
        'gateway_answers_total{connection="generic",outcome="accepted"} 1.0',
        'gateway_answers_total{connection="generic",outcome="quarantined"} 1.0',
        'gateway_answers_total{connection="generic",outcome="refused"} 1.0',
        'gateway_refused_total{connection="generic",reason="missing_signature"} 1.0',
        "gateway_unknown_connection_total 1.0",
        "gateway_deliveries_total 1.0",
        'gateway_pending_tickets{destination="planhat"} 1.0',
        "gateway_redis_up 1.0",
    ):
        assert line in text
    assert "canary" not in text


def test_metrics_may_demand_a_token(redis_url: str) -> None:
    with running(create_app(from_env({"REDIS_URL": redis_url, "METRICS_TOKEN": "let-me-see"}))) as port:
        assert call(port, "/metrics", method="GET").status == HTTPStatus.UNAUTHORIZED
        for wrong in ("let-me-see", "Bearer let-me-se", "Bearer let-me-seex", "Bearer \xe9"):
            assert call(port, "/metrics", headers={"authorization": wrong}, method="GET").status == 401
        right = call(port, "/metrics", headers={"authorization": "Bearer let-me-see"}, method="GET")
        assert right.status == HTTPStatus.OK


# Together


def test_five_hundred_simultaneous_posts_share_few_calls(port: int, redis_url: str) -> None:
    async def post(number: int) -> bytes:
        body = ticket(number)
        head = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head += f"Host: h\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(b"POST /webhooks/generic HTTP/1.1\r\n" + head.encode() + body)
        answer = await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return answer[9:12]

    async def all_at_once() -> list[bytes]:
        return await asyncio.gather(*map(post, range(500)))

    assert set(asyncio.run(all_at_once())) == {b"202"}
    assert pending(redis_url) == 500
    text = call(port, "/metrics", method="GET").said.decode()
    (calls,) = [line for line in text.splitlines() if line.startswith("gateway_put_calls_total ")]
    assert float(calls.split()[1]) < 250


def test_at_the_backlog_cap_the_sender_is_asked_back(redis_url: str) -> None:
    settings = from_env({"REDIS_URL": redis_url, "GENERIC_WEBHOOK_SECRET": SECRET, "PENDING_MAX_TICKETS": "2"})
    with running(create_app(settings)) as port:
        answers = [deliver(port, ticket(n)) for n in range(3)]
        assert [answer.status for answer in answers] == [202, 202, 503]
        assert answers[2].said == {"status": "full"}
        assert 5 <= int(answers[2].headers["retry-after"]) <= 59
        assert any("PENDING_MAX_TICKETS" in one for one in call(port, "/readyz", method="GET").said["warnings"])


# Leaks


def test_no_secret_and_no_payload_reaches_a_log_or_an_answer(
    app: Any, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from gateway.telemetry import configure_logging

    canary = "canary.person@example.com"
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    configure_logging("debug", "json", from_env({"FRESHDESK_WEBHOOK_SECRET": FRESHDESK}).secrets())
    answers = []
    try:
        with running(app, short(0.5)) as port:
            json_type = {"content-type": "application/json"}
            for path, headers in (
                (f"/webhooks/freshdesk?token={FRESHDESK}", json_type),
                (f"/webhooks/freshdesk?token={FRESHDESK}x", json_type),
                ("/webhooks/freshdesk", {**json_type, "authorization": f"Bearer {FRESHDESK}"}),
                ("/webhooks/freshdesk", {**json_type, "x-webhook-secret": FRESHDESK + "x"}),
                ("/webhooks/freshdesk?token=canary-guess", json_type),
                ("/webhooks/odd", {"x-crash": "verify"}),
                ("/webhooks/odd", {"x-crash": "normalize"}),
                ("/webhooks/odd", {"x-crash": "unreadable"}),
                (f"/webhooks/nosuch?token={FRESHDESK}", json_type),
                (f"/nosuch?token={FRESHDESK}", json_type),
            ):
                for body in (ticket(1, email=canary), b'{"tickets": [], "' + canary.encode(), b""):
                    answers.append(call(port, path, body, headers))
            raw(port, f"GET /webhooks/freshdesk?token={FRESHDESK} HTTP/9\r\n\r\n".encode())
            raw(port, f"GET /webhooks/freshdesk?token={FRESHDESK} HTTP/1.1\r\n".encode())
            answers.append(call(port, "/metrics", method="GET"))
            answers.append(call(port, "/readyz", method="GET"))
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]
    captured = capsys.readouterr()
    logged = captured.out + captured.err
    assert "delivery refused" in logged
    for where in (logged, repr(answers)):
        assert FRESHDESK not in where
        assert "canary" not in where
