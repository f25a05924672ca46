from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.hubspot import SIGNATURE, SOURCE, TIMESTAMP, addresses
from tests.sources.samples import change_as_json, outcome

SECRET = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
BODY = b"{'example_field':'example_value'}"
NOW = 1_791_787_269.5
MOMENT = "1791787269500"
PUBLIC = Connection("hubspot", "hubspot", (SECRET,), prefix="H-", public_url="https://gateway.mill.example")
HOST = replace(PUBLIC, public_url=None)
HOOK = "https://gateway.mill.example/webhooks/hubspot"


def made(
    url: str = HOOK, body: bytes = BODY, *, secret: str = SECRET, moment: str = MOMENT, method: str = "POST"
) -> str:
    message = f"{method}{url}".encode() + body + moment.encode()
    return base64.b64encode(hmac.new(secret.encode(), message, hashlib.sha256).digest()).decode()


def asked(
    signature: str,
    *,
    body: bytes = BODY,
    query: str = "",
    moment: str = MOMENT,
    host: str = "gateway.mill.example",
    more: tuple[tuple[str, str], ...] = (),
) -> Request:
    headers = (("host", host), (SIGNATURE, signature), (TIMESTAMP, moment), *more)
    return Request("POST", headers, query, body)


def refused(request: Request, connection: Connection = PUBLIC, now_s: float = NOW) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(request, connection, now_s)
    return caught.value.reason


def event(kind: str = "ticket.propertyChange", **more: Any) -> dict[str, Any]:
    row = {
        "subscriptionType": kind,
        "objectId": 7,
        "occurredAt": 1_791_787_269_120,
        "portalId": 58,
        "subscriptionId": 5,
    }
    return {key: value for key, value in (row | more).items() if value is not ...}


def read(*events: Any, connection: Connection = PUBLIC) -> list[dict[str, Any]]:
    answer = SOURCE.normalize(list(events), Request("POST", (), "", b""), connection)
    return [change_as_json(change) for change in answer.changes]


# ---------------------------------------------------------------------------------------------------------- vectors
@pytest.mark.parametrize(
    "moment, signature",
    [
        ("1693657560000", "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),  # the Python client's tests
        ("1700000300000", "RnbPH7+UMKVkbV32P8bz450N4M56aPmcru1+D3kSDtw="),  # the Ruby client's tests
    ],
)
def test_published_vectors_are_what_our_own_signing_makes(moment, signature):
    """The vectors' address is no hook of ours, so they prove the message: method + address + body + time."""
    assert made("https://www.example.com/webhook_uri", moment=moment) == signature


def test_a_request_signed_for_our_public_address_is_accepted():
    SOURCE.verify(asked(made()), PUBLIC, NOW)
    SOURCE.verify(asked(made(HOOK + "/")), PUBLIC, NOW)
    SOURCE.verify(asked(made(), host="10.0.0.7:8000"), PUBLIC, NOW)
    below = replace(PUBLIC, public_url="https://mill.example/hooks")
    SOURCE.verify(asked(made("https://mill.example/hooks/webhooks/hubspot")), below, NOW)


def test_the_host_header_proves_nothing_where_the_public_address_is_known():
    for url in ("https://evil.example/webhooks/hubspot", "http://gateway.mill.example/webhooks/hubspot"):
        assert refused(asked(made(url), host="evil.example")) == "bad_signature"
        assert refused(asked(made(url))) == "bad_signature"


def test_without_a_public_address_the_host_header_says_what_was_called():
    for scheme in ("https", "http"):
        SOURCE.verify(asked(made(f"{scheme}://localhost:8000/webhooks/hubspot"), host="localhost:8000"), HOST, NOW)
    assert refused(asked(made(), host="other.example"), HOST) == "bad_signature"
    assert refused(asked(made(), host=""), HOST) == "missing_host"
    assert refused(Request("POST", asked(made()).headers[1:], "", BODY), HOST) == "missing_host"


@pytest.mark.parametrize(
    "name, value",
    [
        ("x-forwarded-host", "gateway.mill.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=gateway.mill.example"),
    ],
)
def test_what_a_proxy_adds_has_no_influence(name, value):
    assert refused(asked(made(), host="inner", more=((name, value),)), HOST) == "bad_signature"


@pytest.mark.parametrize(
    "query, signed",
    [
        ("a=1", "?a=1"),
        ("b=2&a=1", "?b=2&a=1"),
        ("to=%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B", "?to=:/?@!$'()*,;"),
        ("to=%3a%20%26%25%2B+", "?to=%3a%20%26%25%2B+"),  # everything else stays as it was sent
    ],
)
def test_the_query_is_signed_with_some_escapes_decoded(query, signed):
    SOURCE.verify(asked(made(HOOK + signed), query=query), PUBLIC, NOW)
    assert refused(asked(made(), query=query)) == "bad_signature"


def test_the_method_is_signed():
    assert refused(asked(made(method="GET"))) == "bad_signature"


@pytest.mark.parametrize(
    "moment",
    [
        "1791787269500.0",
        " 1791787269500",
        "+1791787269500",
        "1_791_787_269_500",
        "\u0661\u0667\u0669\u0661",
        "-1",
        "1e12",
        "1" * 16,
        "2026-10-12T06:41:09Z",
    ],
)
def test_a_time_that_is_no_plain_milliseconds_is_refused(moment):
    assert refused(asked(made(), moment=moment)) == "bad_timestamp"


@pytest.mark.parametrize("off_ms, fresh", [(300_000, True), (-300_000, True), (300_001, False), (-300_001, False)])
def test_the_window_counts_milliseconds(off_ms, fresh):
    moment = str(1_791_787_269_500 + off_ms)
    request = asked(made(moment=moment), moment=moment)
    if fresh:
        SOURCE.verify(request, PUBLIC, NOW)
    else:
        assert refused(request) == "stale_timestamp"


def test_seconds_in_place_of_milliseconds_are_stale():
    assert refused(asked(made(moment="1791787269"), moment="1791787269")) == "stale_timestamp"


@pytest.mark.parametrize(
    "signature",
    [
        hashlib.sha256(SECRET.encode() + BODY).hexdigest(),  # version 1
        hashlib.sha256(f"{SECRET}POST{HOOK}".encode() + BODY).hexdigest(),  # version 2
        made()[:-1],
        made() + "=",
        "sha256=" + made(),
        hmac.new(SECRET.encode(), f"POST{HOOK}".encode() + BODY + MOMENT.encode(), "sha256").hexdigest(),
    ],
)
def test_older_versions_and_other_spellings_are_refused(signature):
    assert refused(asked(signature)) == "bad_signature"
    older = (("x-hubspot-signature", signature), ("x-hubspot-signature-version", "v1"))
    assert refused(Request("POST", (("host", "gateway.mill.example"), *older), "", BODY)) == "missing_signature"


def test_a_byte_cannot_move_between_body_and_time():
    right = made(body=b"[7")
    SOURCE.verify(asked(right, body=b"[7"), PUBLIC, NOW)
    assert refused(asked(right, body=b"[71", moment=MOMENT[1:])) == "stale_timestamp"  # the same bytes in all
    assert refused(asked(right, body=b"[", moment="7" + MOMENT)) == "stale_timestamp"


def test_an_address_is_never_empty():
    assert addresses(asked(made(), query="x=1"), PUBLIC) == [
        b"https://gateway.mill.example/webhooks/hubspot?x=1",
        b"https://gateway.mill.example/webhooks/hubspot/?x=1",
    ]
    assert len(addresses(asked(made()), HOST)) == 4


# ------------------------------------------------------------------------------------------------------------- portal
def test_events_of_another_portal_are_left_out_and_alone_refused():
    mine = replace(PUBLIC, account_id="58")
    rows = read(event(), event(objectId=8, portalId=59), event(objectId=9, portalId="58"), connection=mine)
    assert [row["ticket"] for row in rows] == ["H-7", "H-9"]
    assert [row["ticket"] for row in read(event(portalId=...), connection=mine)] == ["H-7"]
    with pytest.raises(VerificationError, match="account_mismatch"):
        read(event(portalId=59), event(portalId=60), connection=mine)
    assert read(connection=mine) == []


# ----------------------------------------------------------------------------------------------------------- delivery
def test_an_array_is_known_by_what_identifies_its_events():
    def known(payload: Any) -> str | None:
        return SOURCE.delivery_id(Request("POST", (), "", b""), payload)

    first = known([event(), event(objectId=8)])
    assert first
    assert first == known([event(attemptNumber=3, eventId=9), event(objectId=8)])
    assert len({first, known([event()]), known(event(objectId=8)), known([event(occurredAt=1)])}) == 4
    assert known(event()) == known([event()])
    assert known([]) is known([7, None]) is known("x") is None


# ------------------------------------------------------------------------------------------------------------- events
@pytest.mark.parametrize(
    "name, value, fields",
    [
        ("subject", " a \n b ", {"title": "a b"}),
        ("subject", None, {"title": ""}),
        ("subject", 7, {"title": "7"}),
        ("content", "a\n\n\n\nb", {"description": "a\n\nb"}),
        ("content", ["x"], {"description": ""}),
        ("hs_ticket_priority", "URGENT", {"severity": "urgent"}),
        ("hs_ticket_priority", None, {"severity": ""}),
        ("hs_pipeline_stage", "4", {}),
        ("hubspot_owner_id", "9", {}),
        (None, "x", {}),
        (["subject"], "x", {}),
    ],
)
def test_three_properties_are_read_and_every_event_asks_for_the_rest(name, value, fields):
    (row,) = read(event(propertyName=name, propertyValue=value))
    assert row.get("fields", {}) == fields
    assert row["thin"]


def test_a_property_without_a_value_is_unknown_not_empty():
    (row,) = read(event(propertyName="subject"))
    assert "fields" not in row


@pytest.mark.parametrize(
    "kind, more, side",
    [
        ("ticket.associationChange", {"associationType": "TICKET_TO_COMPANY"}, "from"),
        ("ticket.associationChange", {"associationType": "TICKET_TO_TICKET"}, "from"),
        ("ticket.associationChange", {"associationType": "CONTACT_TO_TICKET"}, "to"),
        ("ticket.associationChange", {"associationType": None}, "from"),
        ("object.associationChange", {"toObjectTypeId": "0-5", "fromObjectTypeId": "0-1"}, "to"),
        ("object.associationChange", {"toObjectTypeId": "0-5", "fromObjectTypeId": "0-5"}, "from"),
        ("object.associationChange", {"objectTypeId": "0-5"}, "from"),
        ("ticket.associationChange", {"associationType": "contact_to_ticket"}, "to"),
        # A label of the account says nothing of the sides; the types of the two ids do.
        (
            "object.associationChange",
            {"associationType": "USER_DEFINED", "toObjectTypeId": "0-5", "fromObjectTypeId": "0-1"},
            "to",
        ),
        (
            "object.associationChange",
            {"associationType": 16, "toObjectTypeId": "0-1", "fromObjectTypeId": "0-5"},
            "from",
        ),
    ],
)
def test_an_association_names_the_ticket_on_one_of_two_sides(kind, more, side):
    (row,) = read(event(kind, objectId=..., fromObjectId=70, toObjectId=71, **more))
    assert row["ticket"] == ("H-70" if side == "from" else "H-71")


@pytest.mark.parametrize(
    "kind", ["contact.creation", "object.creation", "ticketing.creation", "", "contact.associationChange"]
)
def test_events_about_something_else_are_no_changes(kind):
    assert read(event(kind, objectTypeId="0-1")) == []
    answer = SOURCE.normalize([event(kind)], Request("POST", (), "", b""), PUBLIC)
    assert answer.ignored


@pytest.mark.parametrize(
    "more, survivor, gone",
    [
        ({"primaryObjectId": 7, "mergedObjectIds": [8, 9, 8], "newObjectId": 7}, "H-7", ["H-8", "H-9"]),
        ({"primaryObjectId": 7, "mergedObjectIds": [8], "newObjectId": 10}, "H-10", ["H-8", "H-7"]),
        ({"primaryObjectId": 7, "mergedObjectIds": [7, None, True]}, "H-7", []),
        ({"primaryObjectId": 7, "mergedObjectIds": "8"}, "H-7", []),
        ({"primaryObjectId": 7, "mergedObjectIds": [8], "newObjectId": 0}, "H-7", ["H-8"]),
        ({"primaryObjectId": "7", "mergedObjectIds": ["8"], "newObjectId": None}, "H-7", ["H-8"]),
    ],
)
def test_a_merge_ends_what_went_into_the_survivor(more, survivor, gone):
    first, *others = read(event("ticket.merge", **more))
    assert (first["ticket"], first["life"], first["thin"]) == (survivor, "live", True)
    assert [row["ticket"] for row in others] == gone
    assert all(row["life"] == "deleted" and "thin" not in row for row in others)


def test_a_merge_without_a_winner_is_kept_aside():
    answer = outcome(lambda: read(event("ticket.merge", primaryObjectId=None)))
    assert isinstance(answer, UnreadablePayload)
    assert answer.reason == "no_ticket_id"


def test_what_a_complete_record_lacks_is_all_of_it():
    answer = SOURCE.normalize([event("ticket.creation")], Request("POST", (), "", b""), PUBLIC)
    assert needs_lookup(answer.changes[0], answer.lacks) == ("ticket", "requester_email", "company")


@pytest.mark.parametrize("payload", [[7], [None], [[]], [{"objectId": 1}], {"subscriptionType": 7}, "x", None])
def test_what_is_no_event_keeps_the_whole_array_aside(payload):
    answer = outcome(lambda: SOURCE.normalize(payload, Request("POST", (), "", b""), PUBLIC))
    assert isinstance(answer, UnreadablePayload)
    assert answer.reason == "not_an_event"
