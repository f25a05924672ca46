from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.change import FIELDS
from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Connection, Request
from gateway.sources.generic import SOURCE
from gateway.sources.generic_items import KINDS, READERS
from tests.sources.samples import (
    change_as_json,
    expected_of,
    names,
    outcome,
    packaged,
    packaged_request_of,
    read,
    request_of,
    said,
)

NOW = 1_791_702_000
KEY, OLD_KEY = bytes(range(32)), b"k" * 24
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OLD = "whsec_" + base64.b64encode(OLD_KEY).decode()
CONNECTION = Connection("own", "generic", (SECRET, OLD), prefix="own:")
BEARER = replace(CONNECTION, auth="bearer", secrets=("a token of ours".replace(" ", "-") + "!", "older-token-of-ours"))
BODY = b'{"type": "ticket.updated", "timestamp": "2026-10-11T07:00:00Z", "data": {"sourceId": "1", "status": "open"}}'
JSON = ("content-type", "application/json")
IDENTITY = "msg_2f"


def signature(key: bytes = KEY, identity: str = IDENTITY, moment: str = str(NOW), body: bytes = BODY) -> str:
    """Written from the specification, not from the adapter."""
    signed = identity.encode() + b"." + moment.encode() + b"." + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


GOOD = signature()
ZEROS = "v1," + base64.b64encode(bytes(32)).decode()


def request(
    shown: str | None = GOOD,
    *more: tuple[str, str],
    identity: str | None = IDENTITY,
    moment: str | None = str(NOW),
    body: bytes = BODY,
    names: str = "webhook",
) -> Request:
    rows = ((f"{names}-id", identity), (f"{names}-timestamp", moment), (f"{names}-signature", shown))
    return Request("POST", (JSON, *((name, value) for name, value in rows if value is not None), *more), "", body)


def refused(asked: Request, connection: Connection = CONNECTION, now_s: float = NOW) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, connection, now_s)
    return caught.value.reason


def verified(asked: Request, connection: Connection = CONNECTION, now_s: float = NOW) -> None:
    try:
        SOURCE.verify(asked, connection, now_s)
    except VerificationError as error:
        raise AssertionError(f"refused: {error.reason}") from error


def unreadable(body: object, *headers: tuple[str, str]) -> UnreadablePayload:
    asked = Request("POST", headers or (JSON,), "", orjson.dumps(body))
    with pytest.raises(UnreadablePayload) as caught:
        SOURCE.normalize(SOURCE.parse(asked), asked, CONNECTION)
    return caught.value


def item(row: dict[str, Any], kind: str = "ticket.upserted") -> dict[str, Any]:
    asked = request(
        body=orjson.dumps({"type": kind, "timestamp": "2026-10-11T07:00:00Z", "data": {"sourceId": "1", **row}})
    )
    (change,) = SOURCE.normalize(SOURCE.parse(asked), asked, CONNECTION).changes
    return change_as_json(change)


@pytest.mark.parametrize("name", names("generic"))
def test_every_sample_becomes_what_it_says(name):
    assert said(SOURCE, request_of("generic", name)) == expected_of("generic", name)


@pytest.mark.parametrize("name", packaged("generic"))
def test_every_packaged_sample_becomes_what_its_twin_says(name):
    assert said(SOURCE, packaged_request_of("generic", name)) == expected_of("generic", name)


# --------------------------------------------------------------------------------------------------------- signatures
def vector(body: bytes) -> Request:
    return request(
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        identity="msg_p5jXN8AQM9LWM0D4loKWxJek",
        moment="1614265330",
        body=body,
    )


@pytest.mark.parametrize("secret", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_the_published_vector_is_accepted(secret):
    connection = replace(CONNECTION, secrets=(secret,))
    verified(vector(b'{"test": 2432232314}'), connection, 1_614_265_330)
    assert refused(vector(b'{"test": 2432232315}'), connection, 1_614_265_330) == "bad_signature"


@pytest.mark.parametrize(
    "secret", [OLD.removeprefix("whsec_"), SECRET.rstrip("="), SECRET.removeprefix("whsec_").rstrip("=")]
)
def test_prefix_and_padding_of_a_secret_may_be_missing(secret):
    key = KEY if "k" * 4 not in base64.b64decode(secret.removeprefix("whsec_") + "==").decode("latin-1") else OLD_KEY
    verified(request(signature(key)), replace(CONNECTION, secrets=(secret,)))
    assert SOURCE.check_secret(secret, "signature") is None


def test_both_secrets_of_a_rotation_are_accepted_until_one_is_taken_out():
    old = request(signature(OLD_KEY))
    verified(old)
    assert refused(old, replace(CONNECTION, secrets=(SECRET,))) == "bad_signature"


@pytest.mark.parametrize(
    "shown",
    [
        f"{ZEROS} {GOOD}",
        f"{ZEROS} v2,junk {GOOD}",
        f"v1a,{GOOD[3:]} {GOOD}",
        f"  {GOOD}",
        f"v1 {GOOD} v1,",
        f"v1,!!! é {GOOD}",
        f"{signature(b'x' * 24)} {signature(OLD_KEY)}",
    ],
)
def test_one_good_entry_counts_whatever_stands_beside_it(shown):
    verified(request(shown))


@pytest.mark.parametrize(
    "shown",
    [
        "",
        " ",
        ",",
        "v1",
        "v1,",
        "v1," + ZEROS[3:],
        GOOD[3:],
        GOOD.replace("v1,", "v1,,"),
        GOOD.replace("v1,", "v2,"),
        GOOD.replace("v1,", "v1a,"),
        GOOD.replace("v1,", "V1,"),
        GOOD[:-1],
        GOOD[:-2],
        GOOD[:15],
        GOOD + "=",
        GOOD + "\n",
        GOOD + ",",
        GOOD[:8] + "!" + GOOD[8:],
        GOOD + "A",
        "v1," + base64.urlsafe_b64encode(b"\xfb" * 32).decode(),
        "v1," + base64.b64decode(GOOD[3:]).hex(),
        "v1," + base64.b64encode(base64.b64decode(GOOD[3:])[:16]).decode(),
        "v1=" + GOOD[3:],
        "none",
        "é" * 44,
        "v1,\0" + GOOD[4:],
        "A" * 65_536,
        " ".join([ZEROS] * 16 + [GOOD]),
        "x " * 20_000 + GOOD,
    ],
)
def test_a_signature_that_is_not_exactly_right_is_refused(shown):
    assert refused(request(shown)) in ("bad_signature", "missing_signature")


def test_each_header_is_needed():
    assert refused(request(None)) == "missing_signature"
    assert refused(request(identity=None)) == "missing_id"
    assert refused(request(moment=None)) == "missing_timestamp"


def test_no_other_algorithm_than_the_configured_one_is_taken():
    signed = f"{IDENTITY}.{NOW}.".encode() + BODY
    for algorithm in ("sha1", "sha512"):
        digest = base64.b64encode(hmac.new(KEY, signed, algorithm).digest()).decode()
        assert refused(request("v1," + digest)) == "bad_signature"
    assert refused(request("v1," + base64.b64encode(hashlib.sha256(signed).digest()).decode())) == "bad_signature"


@pytest.mark.parametrize(
    "moment",
    [
        "",
        f"{NOW}.9",
        f" {NOW}",
        f"{NOW} ",
        f"+{NOW}",
        f"-{NOW}",
        "1_791_702_000",
        "1e9",
        "1e400",
        "9" * 400,
        "١٧٩١٧٠٢٠٠٠",
        "".join(chr(0xFF10 + int(digit)) for digit in str(NOW)),
        "2026-10-11T07:00:00Z",
        f"{NOW}\n",
        f"0x{NOW:x}",
    ],
)
def test_a_time_that_is_not_plain_seconds_is_refused_though_signed(moment):
    asked = request(signature(moment=moment), moment=moment)
    assert refused(asked) in ("bad_timestamp", "missing_timestamp")


@pytest.mark.parametrize("off", [-301, -300, -299, 299, 300, 301, 10**9])
def test_the_window_has_two_closed_edges(off):
    asked = request()
    if abs(off) <= 300:
        verified(asked, now_s=NOW + off)
    else:
        assert refused(asked, now_s=NOW + off) == "stale_timestamp"


@pytest.mark.parametrize("identity", ["msg.2f", "msg 2f", "é", "a" * 257, "\0", "a\n", "."])
def test_an_id_that_could_shift_the_dots_is_refused_though_signed(identity):
    assert refused(request(signature(identity=identity), identity=identity)) == "bad_id"


def test_a_dot_moved_between_id_and_time_is_refused():
    signed = signature(identity="a.1", moment=str(NOW))
    assert refused(request(signed, identity="a", moment=f"1.{NOW}")) == "bad_timestamp"


@pytest.mark.parametrize(
    "body", [BODY[:-1], BODY + b"\n", b" " + BODY, BODY.replace(b" ", b""), BODY.replace(b"1", b"2", 1), b""]
)
def test_a_body_that_differs_in_one_byte_is_refused(body):
    assert refused(request(body=body)) == "bad_signature"


def test_a_signature_of_another_tenant_is_refused():
    assert refused(request(signature(b"another tenant's key....")), CONNECTION) == "bad_signature"


@pytest.mark.parametrize(
    "name",
    [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "svix-id",
        "content-type",
        "content-encoding",
        "authorization",
    ],
)
def test_a_doubled_header_is_refused_even_when_both_are_equal(name):
    value = dict(request().headers).get(name, "x")
    more = ((name, value),) if name in dict(request().headers) else ((name, value), (name, value))
    assert refused(request(GOOD, *more)) == "doubled_header"


def test_the_old_svix_names_mean_the_same_but_are_never_mixed():
    verified(request(names="svix"))
    mixed = (JSON, ("webhook-id", IDENTITY), ("svix-timestamp", str(NOW)), ("webhook-signature", GOOD))
    assert refused(Request("POST", mixed, "", BODY)) == "missing_timestamp"
    forged = request(ZEROS, ("svix-id", IDENTITY), ("svix-timestamp", str(NOW)), ("svix-signature", GOOD))
    assert refused(forged) == "bad_signature"


def test_a_signed_body_need_not_be_text():
    body = b"\xff\xfe" + bytes(range(256))
    verified(request(signature(body=body), body=body))
    with pytest.raises(UnreadablePayload):
        SOURCE.parse(request(body=body))


@pytest.mark.parametrize(
    "secrets",
    [(), ("",), ("whsec_",), (SECRET, ""), ("whsec_" + base64.b64encode(b"short").decode(),), ("not base64!" * 4,)],
)
def test_a_connection_with_a_weak_secret_accepts_nothing(secrets):
    connection = replace(CONNECTION, secrets=secrets)
    assert refused(request(), connection) == "no_secret"
    assert refused(request(signature(b"")), connection) == "no_secret"


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_AAAA",
        SECRET + "\n",
        " " + SECRET,
        "plain-text-of-good-length-really",
        "whsec_whsec_" + SECRET,
        SECRET + "=",
    ],
)
def test_weak_signing_secrets_are_named_at_boot(secret):
    complaint = SOURCE.check_secret(secret, "signature")
    assert complaint
    assert len(secret) < 10 or secret.strip() not in complaint


def test_secrets_are_checked_by_how_they_are_used():
    assert SOURCE.check_secret(SECRET, "signature") is None
    assert SOURCE.check_secret("x" * 16, "bearer") is None
    assert SOURCE.check_secret("x" * 15, "bearer")
    assert SOURCE.check_secret("x x" * 16, "bearer")


# ------------------------------------------------------------------------------------------------------- bearer tokens
def bearer(value: str | None, *more: tuple[str, str]) -> Request:
    rows = () if value is None else (("authorization", value),)
    return Request("POST", (JSON, *rows, *more), "token=" + BEARER.secrets[0], BODY)


def test_a_bearer_token_is_accepted_where_it_is_configured_and_nowhere_else():
    for token in BEARER.secrets:
        SOURCE.verify(bearer(f"Bearer {token}"), BEARER, NOW)
        assert refused(bearer(f"Bearer {token}"), replace(BEARER, auth="signature")) == "no_secret"
    assert refused(bearer(f"Bearer {SECRET}")) == "missing_signature"
    assert refused(request(), BEARER) == "missing_token"


@pytest.mark.parametrize(
    "value", [None, "", "Bearer", "Bearer ", "Bearer x", "Basic x", BEARER.secrets[0], "Bearer " + "é" * 20]
)
def test_a_wrong_bearer_token_is_refused(value):
    assert refused(bearer(value), BEARER) in ("missing_token", "bad_token")


# ------------------------------------------------------------------------------------------------------------ delivery
def test_the_senders_message_id_is_the_delivery_id():
    assert SOURCE.delivery_id(request(), {}) == IDENTITY
    assert SOURCE.delivery_id(request(names="svix"), {}) == IDENTITY
    assert SOURCE.delivery_id(bearer("Bearer x", ("webhook-id", "m1")), {}) == "m1"
    assert SOURCE.delivery_id(bearer("Bearer x"), {"type": "ticket.updated"}) is None
    assert SOURCE.delivery_id(bearer("Bearer x"), {"source": "a", "id": "b"}) is None


def test_a_cloudevent_without_message_id_is_known_by_source_and_id():
    event = {"specversion": "1.0", "source": "/a", "id": "1"}
    plain = bearer(None)
    assert SOURCE.delivery_id(plain, event) == "/a 1"
    headers = bearer(None, ("ce-specversion", "1.0"), ("ce-source", "/a"), ("ce-id", "1"))
    assert SOURCE.delivery_id(headers, {"sourceId": "1"}) == "/a 1"
    batch = SOURCE.delivery_id(plain, [event, {**event, "id": "2"}])
    assert batch
    assert batch != SOURCE.delivery_id(plain, [event, {**event, "id": "3"}])
    assert SOURCE.delivery_id(plain, [event, {**event, "id": ""}]) is None
    assert SOURCE.delivery_id(plain, []) is None
    assert SOURCE.delivery_id(bearer(None, ("ce-specversion", "%ff")), event) is None
    assert len(SOURCE.delivery_id(plain, {**event, "id": "x" * 5000}) or "") == 32


# --------------------------------------------------------------------------------------------------------------- items
def test_every_writable_field_has_a_reader_and_nothing_else():
    assert set(READERS) == set(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_a_wrong_type_is_refused_with_the_fields_name(name):
    answers = []
    for wrong in (True, 1.5, [1], {"a": 1}, "text", ["text"], -1):
        body = {"type": "ticket.updated", "data": [{"id": "1"}, {"id": "2", name: wrong}]}
        answers.append(read(SOURCE, request(body=orjson.dumps(body)), CONNECTION))
    errors = [answer for answer in answers if isinstance(answer, UnreadablePayload)]
    assert len(errors) >= len(answers) - 2
    assert all(error.reason == "bad_field" and f"item 2: {name} must be" in error.detail for error in errors)


@pytest.mark.parametrize("name", FIELDS)
def test_null_clears_every_field(name):
    empty = item({name: None})["fields"][name]
    assert empty in ("", [], None)
    assert (empty is None) == (name in ("timeSpent", "companyId", "custom"))


@pytest.mark.parametrize(
    "field, value",
    [
        ("sourceId", True),
        ("sourceId", 2**60),
        ("sourceId", 1.5),
        ("sourceId", ["1"]),
        ("sourceId", "x" * 300),
        ("deleted", "yes"),
        ("updatedAt", 1_791_702_000),
        ("updatedAt", "yesterday"),
        ("createdAt", "2026-10-11"),
        ("history", {}),
        ("history", [{"status": "open"}]),
        ("history", ["open"]),
        ("history", [{"status": "open", "time": "2026-10-11T07:00:00Z"}] * 1001),
        ("timeSpent", 2**40),
    ],
)
def test_what_cannot_be_trusted_is_refused_with_its_name(field, value):
    error = unreadable({"type": "ticket.upserted", "data": {"sourceId": "1", field: value}})
    assert error.reason == "bad_field"
    assert field in error.detail


def test_an_address_that_no_mail_can_reach_is_known_to_be_empty():
    for address in ("Nadia Ferro", "nadia@", "@x.example", "a b@x.example", ""):
        assert item({"email": address})["fields"]["email"] == ""


def test_unknown_keys_are_passed_over():
    assert item({"shoeSize": 44, "source": "x"}) == item({})


def test_source_id_goes_before_id():
    assert item({"id": "9"})["ticket"] == "own:1"
    assert item({"sourceId": None, "id": 9})["ticket"] == "own:9"


@pytest.mark.parametrize("kind", KINDS)
def test_deleted_true_wins_over_every_type(kind):
    answer = item({"deleted": True, "title": "x"}, kind)
    assert answer["life"] == "deleted"
    assert "fields" not in answer
    assert "creation" not in answer


def test_the_own_stamp_goes_before_the_envelopes_time():
    answer = item({"updatedAt": "2026-10-11T06:00:00Z"})
    assert (answer["updated_at_ms"], answer["event_at_us"]) == (1_791_698_400_000, 1_791_702_000_000_000)


@pytest.mark.parametrize("count, fits", [(500, True), (501, False)])
def test_a_list_holds_500_items(count, fits):
    body = {"type": "ticket.upserted", "data": [{"sourceId": str(number)} for number in range(count)]}
    if fits:
        asked = request(body=orjson.dumps(body))
        assert len(SOURCE.normalize(SOURCE.parse(asked), asked, CONNECTION).changes) == count
    else:
        assert unreadable(body).reason == "too_many_items"


@pytest.mark.parametrize(
    "body", [None, 1, "x", [], [1], {}, {"type": None}, {"type": 5, "data": {}}, {"data": {"sourceId": "1"}}]
)
def test_what_is_no_ticket_event_is_kept_aside_with_what_is_expected(body):
    error = unreadable(body)
    assert error.reason == "not_a_ticket_event"
    assert "ticket.upserted" in error.detail


@pytest.mark.parametrize("data", [None, 1, "x", [None], [[]]])
def test_data_must_hold_objects(data):
    assert unreadable({"type": "ticket.upserted", "data": data}).reason == "not_a_ticket_event"


# --------------------------------------------------------------------------------------------------------- cloudevents
EVENT = {
    "specversion": "1.0",
    "type": "ticket.updated",
    "source": "/a",
    "id": "1",
    "data": {"sourceId": "1", "status": "open"},
}
STRUCTURED = ("content-type", "application/cloudevents+json")
BATCH = ("content-type", "application/cloudevents-batch+json")
BINARY = (("ce-specversion", "1.0"), ("ce-type", "ticket.deleted"), ("ce-source", "/a"), ("ce-id", "1"))


def changes(body: object, *headers: tuple[str, str]) -> list[dict[str, Any]]:
    asked = Request("POST", headers, "", orjson.dumps(body))
    return [change_as_json(change) for change in SOURCE.normalize(SOURCE.parse(asked), asked, CONNECTION).changes]


def test_the_same_event_means_the_same_in_every_mode():
    plain = changes({"type": "ticket.deleted", "data": {"sourceId": "1"}}, JSON)
    event = {**EVENT, "type": "ticket.deleted"}
    encoded = base64.b64encode(b'{"sourceId": "1"}').decode()
    assert (
        plain == changes(event, STRUCTURED) == changes(event, JSON) == changes([event], BATCH) == changes([event], JSON)
    )
    assert plain == changes({**event, "data": None, "data_base64": encoded}, STRUCTURED)
    assert plain == changes({"sourceId": "1"}, JSON, *BINARY)


def test_our_own_envelope_may_be_the_data_of_a_cloudevent():
    body = {"type": "ticket.upserted", "timestamp": "2026-10-11T07:00:00Z", "data": {"sourceId": "1"}}
    plain = changes(body, JSON)
    assert plain == changes({**EVENT, "data": body}, STRUCTURED)
    assert plain == changes(body, JSON, *BINARY), "the signed type goes before the one in an unsigned header"


@pytest.mark.parametrize("name", ["specversion", "type", "source", "id"])
def test_required_attributes_are_required(name):
    event = {key: value for key, value in EVENT.items() if key != name}
    for body, kind in (
        (event, STRUCTURED),
        ([EVENT, event], BATCH),
        ({**EVENT, name: ""}, STRUCTURED),
        ({**EVENT, name: 1}, STRUCTURED),
    ):
        error = unreadable(body, kind)
        assert error.reason == "bad_cloudevent"
        assert name in error.detail


@pytest.mark.parametrize(
    "body, headers",
    [
        ({**EVENT, "specversion": "0.3"}, (STRUCTURED,)),
        ([EVENT], (STRUCTURED,)),
        (EVENT, (BATCH,)),
        ([EVENT, 5], (BATCH,)),
        ({**EVENT, "data": None, "data_base64": "!!!"}, (STRUCTURED,)),
        ({}, (JSON, *BINARY, ("ce-id", "2"))),
        ({}, (JSON, *BINARY, ("ce-x", "%ff"))),
        ({}, (JSON, *BINARY, ("ce-x", "a" * 2000))),
        ({}, (JSON, *BINARY, ("ce-x", "☃"))),
        ({}, (JSON, ("ce-type", "ticket.deleted"))),
    ],
)
def test_a_broken_envelope_is_kept_aside(body, headers):
    assert unreadable(body, *headers).reason == "bad_cloudevent"


def test_percent_encoding_is_decoded_once():
    headers = [(name, "ticket%252Eupdated" if name == "ce-type" else value) for name, value in BINARY]
    asked = Request("POST", (JSON, *headers), "", b"{}")
    assert SOURCE.normalize({}, asked, CONNECTION).ignored == "type 'ticket%2Eupdated' is about no ticket"


@pytest.mark.parametrize(
    "kind", ["com.acme.ticket.updated", "com.acme.Ticket.Deleted", "ticket.update", "Ticket.Updated"]
)
def test_a_type_that_may_mean_a_ticket_is_kept_aside_rather_than_ignored(kind):
    assert unreadable({"type": kind, "data": {"id": "1"}}, JSON).reason == "unknown_type"


@pytest.mark.parametrize("kind", ["ticketing.started", "com.acme.invoice.updated", "com.acme.ticket.viewed", "ping"])
def test_any_other_type_is_ignored(kind):
    assert SOURCE.normalize({"type": kind, "data": {"id": "1"}}, Request("POST", (JSON,), "", b""), CONNECTION).ignored


def test_headers_that_only_look_like_cloudevents_change_nothing():
    assert changes({"type": "ticket.updated", "data": {"id": "1"}}, JSON, ("ce-mark", "x"))


def test_a_batch_may_be_empty_and_holds_500():
    assert changes([], BATCH) == []
    assert unreadable([EVENT] * 501, BATCH).reason == "too_many_items"
    pair = {**EVENT, "data": [{"id": "1"}] * 300}
    assert unreadable([pair, pair], BATCH).reason == "too_many_items"


@pytest.mark.parametrize("origin", ["*", "eventgrid.cloud.example", "https://x.example:8443/a"])
def test_consent_names_the_origin_that_asks(origin):
    reply = SOURCE.handshake(Request("OPTIONS", (("webhook-request-origin", origin),), "", b""), CONNECTION)
    assert reply is not None
    assert (reply.status, reply.headers["WebHook-Allowed-Origin"], reply.headers["WebHook-Allowed-Rate"]) == (
        200,
        origin,
        "*",
    )


@pytest.mark.parametrize("origin", ["", "a\r\nx: y", "a b", "é", "x" * 300])
def test_consent_echoes_nothing_strange(origin):
    assert SOURCE.handshake(Request("OPTIONS", (("webhook-request-origin", origin),), "", b""), CONNECTION) is None


def test_only_options_with_an_origin_asks_for_consent():
    assert SOURCE.handshake(Request("POST", (("webhook-request-origin", "x"),), "", b""), CONNECTION) is None
    assert SOURCE.handshake(Request("OPTIONS", (), "", b""), CONNECTION) is None
    strange = (("webhook-request-origin", "x"), ("webhook-request-rate", "1e9"))
    reply = SOURCE.handshake(Request("OPTIONS", strange, "", b""), CONNECTION)
    assert reply is not None
    assert reply.headers["WebHook-Allowed-Rate"] == "*"
    assert SOURCE.acknowledge(stored=True) is None


# --------------------------------------------------------------------------------------------------------- total
WORDS = st.sampled_from(
    [
        "type",
        "data",
        "timestamp",
        "sourceId",
        "id",
        "status",
        "email",
        "tags",
        "domains",
        "custom",
        "deleted",
        "updatedAt",
        "createdAt",
        "history",
        "time",
        "specversion",
        "source",
        "data_base64",
        "timeSpent",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from([*KINDS, "ticket.x", "1.0", "2026-10-20T07:30:15Z", "e30=", "a@b.example"])
)
BODIES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=8), max_leaves=25
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "content-type",
                "webhook-id",
                "webhook-timestamp",
                "webhook-signature",
                "svix-signature",
                "authorization",
                "ce-specversion",
                "ce-type",
                "ce-source",
                "ce-id",
                "ce-time",
                "webhook-request-origin",
            ]
        ),
        st.text(st.characters(max_codepoint=255), max_size=30)
        | st.text(max_size=10)
        | st.sampled_from(
            ["1.0", *KINDS, STRUCTURED[1], BATCH[1], GOOD, str(NOW), "v1,", "%ff", "2026-10-20T07:30:15Z"]
        ),
    ),
    max_size=8,
)


@given(BODIES, HEADERS)
def test_every_method_is_total_and_repeats_itself(body, headers):
    asked = Request("OPTIONS", tuple(headers), "", b"")
    assert SOURCE.delivery_id(asked, body) == SOURCE.delivery_id(asked, body)
    SOURCE.handshake(asked, CONNECTION)
    answer = outcome(lambda: SOURCE.normalize(body, asked, CONNECTION))
    if isinstance(answer, UnreadablePayload):
        assert answer.detail
        return
    assert answer == SOURCE.normalize(body, asked, CONNECTION)
    for change in answer.changes:
        assert change.ticket.startswith("own:")
        assert set(change.fields) <= set(FIELDS)
        change.encode()


@given(st.binary(max_size=80), HEADERS)
def test_nothing_unsigned_is_believed_and_no_header_crashes(body, headers):
    asked = Request("POST", tuple(headers), "", body)
    assert refused(asked)
    assert refused(asked, BEARER)
