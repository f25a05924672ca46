from __future__ import annotations

import base64
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.front import CHALLENGE, SIGNATURE, SOURCE, TIMESTAMP
from gateway.sources.front_conversations import conversation_id
from gateway.sources.front_events import BACK, GONE
from tests.sources.samples import request_of

if TYPE_CHECKING:
    from gateway.core.change import Change

KEY, API_SECRET = "front-signing-key-0123456789", "front-api-secret-0123456789"
CONNECTION = Connection("front", "front", (KEY, API_SECRET), prefix="F-")
NOW = 1_791_787_270.0
MOMENT = "1791787270264"
BODY = request_of("front", "rule_archived").body
SYNC = b'{"type":"sync","authorization":{"id":"cmp_7hq"}}'
ECHO = "6f0e9a4d-5a1c-4f7b-8e21-3b9c1d2e4f50"


def mac(key: str, message: bytes, algorithm: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), message, algorithm).digest()).decode()


def application(body: bytes = BODY, moment: str = MOMENT, key: str = KEY, *more: tuple[str, str]) -> Request:
    signature = mac(key, moment.encode() + b":" + body, "sha256")
    return Request("POST", ((SIGNATURE, signature), (TIMESTAMP, moment), *more), "", body)


def rule(body: bytes = BODY, key: str = API_SECRET, *more: tuple[str, str]) -> Request:
    return Request("POST", ((SIGNATURE, mac(key, body, "sha1")), *more), "", body)


def refused(asked: Request, connection: Connection = CONNECTION, now_s: float = NOW) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, connection, now_s)
    return caught.value.reason


def read(body: Any, connection: Connection = CONNECTION) -> tuple[Change, ...]:
    asked = Request("POST", (), "", orjson.dumps(body))
    return SOURCE.normalize(SOURCE.parse(asked), asked, connection).changes


def event(kind: str, status: str | None = "unassigned", **more: Any) -> dict[str, Any]:
    conversation = {"id": "cnv_1", "subject": "a"} | ({} if status is None else {"status": status})
    return {"id": "evt_1", "type": kind, "emitted_at": 1791787270.5, "conversation": conversation, **more}


# ------------------------------------------------------------------------------------------------------------- proofs
def test_both_schemes_are_accepted_with_every_secret():
    for key in (KEY, API_SECRET):
        SOURCE.verify(application(key=key), CONNECTION, NOW)
        SOURCE.verify(rule(key=key), CONNECTION, NOW)
        SOURCE.verify(rule(key=key), CONNECTION, NOW + 10**8)  # a rule signs no time


def test_an_application_s_request_does_not_pass_as_a_rule_s_without_its_time():
    asked = application()
    assert refused(replace(asked, headers=asked.headers[:1])) == "missing_timestamp"
    assert refused(asked, now_s=NOW + 301) == "stale_timestamp"
    assert refused(asked, now_s=NOW - 301) == "stale_timestamp"


@pytest.mark.parametrize(
    "signature",
    [
        mac(KEY, BODY, "sha256"),  # a rule's message with an application's algorithm
        mac(KEY, MOMENT.encode() + b":" + BODY, "sha1"),  # and the other way round
        mac(KEY, MOMENT.encode() + BODY, "sha256"),
        mac(KEY, MOMENT.encode() + b"." + BODY, "sha256"),
        mac(KEY, BODY + b":" + MOMENT.encode(), "sha256"),
        mac(KEY, BODY, "sha512"),
        mac("another-key-0123456789", BODY, "sha1"),
        mac(KEY, BODY, "sha1")[:-1] + "A",
        "A" * 28,
        "A" * 44,
        "é" * 28,
        "sha1=" + mac(KEY, BODY, "sha1"),
        hmac.new(KEY.encode(), BODY, "sha1").hexdigest(),
        mac(KEY, BODY, "sha1") + "," + mac(KEY, MOMENT.encode() + b":" + BODY, "sha256"),
    ],
)
def test_no_mixture_of_the_schemes_is_accepted(signature):
    assert refused(Request("POST", ((SIGNATURE, signature), (TIMESTAMP, MOMENT)), "", BODY)) == "bad_signature"


@pytest.mark.parametrize(
    "moment", ["1791787270", "1791787270264000", "1791787270264.0", "+1791787270264", "\uff11", " 1"]
)
def test_the_time_is_read_as_milliseconds_and_strictly(moment):
    signature = mac(KEY, moment.encode() + b":" + BODY, "sha256")
    asked = Request("POST", ((SIGNATURE, signature), (TIMESTAMP, moment)), "", BODY)
    assert refused(asked) in ("stale_timestamp", "bad_timestamp")


def test_two_times_prove_nothing_for_a_rule_either():
    assert refused(rule(BODY, API_SECRET, (TIMESTAMP, "1"), (TIMESTAMP, "2"))) == "doubled_header"


def test_events_of_another_company_are_refused():
    made = replace(CONNECTION, account_id="cmp_7hq")
    envelope = {"type": "conversation_archived", "authorization": {"id": "cmp_7hq"}, "payload": event("archive")}
    assert read(envelope, made)
    assert read(event("archive"), made)  # a rule's event names no company
    with pytest.raises(VerificationError, match="account_mismatch"):
        read(envelope | {"authorization": {"id": "cmp_8"}}, made)


# ------------------------------------------------------------------------------------------------------------ handshake
def test_a_signed_sync_gets_its_challenge_back_as_plain_text():
    for asked in (application(SYNC, MOMENT, KEY, (CHALLENGE, ECHO)), rule(SYNC, KEY, (CHALLENGE, ECHO))):
        reply = SOURCE.handshake(asked, CONNECTION)
        assert reply is not None
        assert (reply.status, reply.body) == (200, ECHO.encode())
        assert reply.headers["Content-Type"].startswith("text/plain")
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "asked",
    [
        application(SYNC, MOMENT, "another-key-0123456789", (CHALLENGE, ECHO)),
        application(SYNC),
        application(SYNC, MOMENT, KEY, (CHALLENGE, "")),
        application(SYNC, MOMENT, KEY, (CHALLENGE, "a" * 257)),
        application(SYNC, MOMENT, KEY, (CHALLENGE, "a b")),
        application(SYNC, MOMENT, KEY, (CHALLENGE, "a\r\nset-cookie: b")),
        application(SYNC, MOMENT, KEY, (CHALLENGE, "é")),
        application(BODY, MOMENT, KEY, (CHALLENGE, ECHO)),
        application(b"{", MOMENT, KEY, (CHALLENGE, ECHO)),
        application(b"[]", MOMENT, KEY, (CHALLENGE, ECHO)),
        replace(application(SYNC, MOMENT, KEY, (CHALLENGE, ECHO)), method="GET"),
        Request("POST", ((CHALLENGE, ECHO),), "", SYNC),
    ],
)
def test_nothing_else_is_echoed(asked):
    assert SOURCE.handshake(asked, CONNECTION) is None


def test_without_secrets_there_is_nothing_to_prove_and_nothing_is_served():
    asked = Request("POST", ((CHALLENGE, ECHO),), "", SYNC)
    assert SOURCE.handshake(asked, replace(CONNECTION, secrets=())) is not None
    assert refused(application(), replace(CONNECTION, secrets=())) == "no_secret"


def test_a_bearer_connection_echoes_for_who_knows_the_token():
    made = replace(CONNECTION, auth="bearer")
    asked = Request("POST", (("authorization", f"Bearer {KEY}"), (CHALLENGE, ECHO)), "", SYNC)
    assert SOURCE.handshake(asked, made) is not None
    assert SOURCE.handshake(rule(SYNC, KEY, (CHALLENGE, ECHO)), made) is None


# ------------------------------------------------------------------------------------------------------------- changes
@pytest.mark.parametrize("kind", sorted(GONE))
@pytest.mark.parametrize("status", [None, "unassigned", "deleted"])
def test_the_trash_is_a_deletion_whatever_the_conversation_shows(kind, status):
    (change,) = read(event(kind, status))
    assert (change.life, change.fields, change.refs) == ("deleted", {}, {})
    assert change.event_at_us == 1791787270_500000


@pytest.mark.parametrize("kind", sorted(BACK))
@pytest.mark.parametrize("status", [None, "unassigned", "deleted"])
def test_a_restored_conversation_lives_whatever_it_shows(kind, status):
    (change,) = read(event(kind, status))
    assert change.life == "live"
    assert change.thin == (status != "unassigned")


def test_the_outer_type_of_an_envelope_counts_as_well():
    envelope = {"type": "conversation_deleted", "authorization": {"id": "cmp_7hq"}, "payload": event("", None)}
    assert read(envelope)[0].life == "deleted"


def test_a_preview_says_nothing_of_the_conversations_existence():
    (change,) = read(event("tag_added", None))
    assert (change.life, change.thin, change.complete) == ("", True, False)


def test_a_whole_conversation_lacks_the_company_whoever_takes_part():
    asked = Request("POST", (), "", b"")
    for recipient in (None, {"handle": "maud@mill.example"}, {"handle": "+4755501234"}):
        shown = event("inbound")
        shown["conversation"]["recipient"] = recipient
        answer = SOURCE.normalize(shown, asked, CONNECTION)
        assert "company" in needs_lookup(answer.changes[0], answer.lacks)
    preview = SOURCE.normalize(event("inbound", None), asked, CONNECTION)
    assert needs_lookup(preview.changes[0], preview.lacks) == ("ticket", "requester_email")


def test_a_merge_ends_the_conversations_that_it_names_and_never_the_survivor():
    target = {"_meta": {"type": "deleted_conversation_ids"}, "data": ["cnv_2", "cnv_1", "cnv_../3", 4, {"id": "cnv_5"}]}
    survivor, *gone = read(event("conversations_merged", target=target))
    assert (survivor.ticket, survivor.life) == ("F-cnv_1", "live")
    assert [(change.ticket, change.life) for change in gone] == [("F-cnv_2", "deleted"), ("F-cnv_5", "deleted")]
    for other in ({"_meta": {"type": "tag"}, "data": ["cnv_2"]}, target | {"data": "cnv_2"}, None):
        assert len(read(event("conversations_merged", target=other))) == 1


def test_a_delivery_is_known_by_the_events_signed_id():
    for body in (event("archive"), {"type": "conversation_archived", "payload": event("archive")}):
        assert SOURCE.delivery_id(rule(), body) == "evt_1"
    assert SOURCE.delivery_id(rule(), {}) is SOURCE.delivery_id(rule(), None) is None


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"_links": {"self": "https://acme.api.frontapp.com/conversations/cnv_9k"}, "id": "2x9c5v"}, "cnv_9k"),
        ({"_links": {"self": "https://api2.frontapp.com/conversations/cnv_9k?x=1"}}, "cnv_9k"),
        ({"_links": {"self": "https://api2.frontapp.com/conversations/cnv_9k/messages"}, "id": "cnv_1"}, "cnv_1"),
        ({"_links": {"self": "http://api2.frontapp.com/conversations/cnv_9k"}}, None),
        ({"_links": {"self": 7}, "id": "2x9c5v"}, None),
        ({"id": "cnv_"}, None),
        ({"id": "cnv_1/.."}, None),
        ({}, None),
    ],
)
def test_a_conversation_is_named_by_its_link_or_its_prefix(row, found):
    assert conversation_id(row) == found


def test_what_a_preview_lacks_is_told():
    asked = request_of("front", "app_inbound")
    assert needs_lookup(SOURCE.normalize(SOURCE.parse(asked), asked, CONNECTION).changes[0]) == (
        "ticket",
        "requester_email",
    )


def test_a_body_without_a_type_is_kept_aside():
    bodies: tuple[Any, ...] = ({}, {"type": 7}, {"payload": []})
    for body in bodies:
        with pytest.raises(UnreadablePayload, match="not_an_event"):
            read(body)
