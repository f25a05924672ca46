from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.change import FIELDS, REFS
from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.freshdesk import SOURCE
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

CURRENT = "heron quay? no: heronquay+2026/ä="
OLD = "the-secret-of-last-year"
CONNECTION = Connection("desk", "freshdesk", (CURRENT, OLD), prefix="FD-", subdomain="heronquay")
BODY = b'{"ticket_id": "1", "ticket_status": "Open"}'


def wire(secret: str) -> str:
    """A secret's UTF-8 bytes as a server decodes header bytes."""
    return secret.encode().decode("latin-1")


def basic(secret: str, user: str = "gateway") -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


def request(*headers: tuple[str, str], query: str = "", body: bytes = BODY) -> Request:
    return Request("POST", (("content-type", "application/json"), *headers), query, body)


def carried(secret: str) -> list[Request]:
    """The secret in each of its four carriers."""
    return [
        request(("authorization", "Bearer " + wire(secret))),
        request(("authorization", basic(secret))),
        request(("x-webhook-secret", wire(secret))),
        request(query="a=b&token=" + quote(secret, safe="")),
    ]


def refused(asked: Request, connection: Connection = CONNECTION) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, connection, 0)
    return caught.value.reason


def changed(body: object, connection: Connection = CONNECTION) -> dict[str, Any]:
    asked = request(body=orjson.dumps(body))
    (change,) = SOURCE.normalize(SOURCE.parse(asked), asked, connection).changes
    return change_as_json(change)


@pytest.mark.parametrize("name", names("freshdesk"))
def test_every_sample_becomes_what_it_says(name):
    assert said(SOURCE, request_of("freshdesk", name)) == expected_of("freshdesk", name)


@pytest.mark.parametrize("name", packaged("freshdesk"))
def test_every_packaged_sample_becomes_what_its_twin_says(name):
    assert said(SOURCE, packaged_request_of("freshdesk", name)) == expected_of("freshdesk", name)


@pytest.mark.parametrize("auth", ["signature", "bearer"])
@pytest.mark.parametrize("secret", [CURRENT, OLD])
def test_every_carrier_shows_every_secret_of_the_rotation(secret, auth):
    for asked in carried(secret):
        SOURCE.verify(asked, replace(CONNECTION, auth=auth), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        "x" + OLD[1:],
        OLD[:-1] + "x",
        OLD + "x",
        OLD[:-1],
        OLD.upper(),
        "",
        "\0" + OLD,
        "é" * 40,
        "a" * 65_536,
    ],
)
def test_a_wrong_secret_is_refused_in_every_carrier(wrong):
    for asked in carried(wrong):
        assert refused(asked) in ("bad_token", "missing_token")


def test_a_request_without_any_carrier_is_refused():
    assert refused(request()) == "missing_token"
    assert refused(request(("authorization", "Digest " + OLD))) == "missing_token"
    assert refused(request(("authorization", OLD))) == "missing_token"
    assert refused(request(query="tokens=" + OLD)) == "missing_token"
    assert refused(request(query="Token=" + OLD)) == "missing_token"


@pytest.mark.parametrize("name", ["authorization", "x-webhook-secret", "content-type", "content-encoding"])
def test_a_doubled_header_is_refused_even_when_both_are_right(name):
    value = {"authorization": "Bearer " + OLD, "x-webhook-secret": OLD}.get(name, "application/json")
    assert refused(request((name, value), (name, value), ("x-webhook-secret", OLD))) == "doubled_header"


def test_a_doubled_query_token_is_refused():
    assert refused(request(query=f"token={OLD}&token={OLD}")) == "doubled_header"


def test_a_wrong_carrier_beside_a_right_one_is_refused():
    assert refused(request(("x-webhook-secret", OLD), query="token=guess")) == "bad_token"
    assert refused(request(("x-webhook-secret", OLD), ("authorization", basic("guess")))) == "bad_token"
    SOURCE.verify(
        request(("x-webhook-secret", OLD), ("authorization", basic(OLD)), query="token=" + OLD), CONNECTION, 0
    )


@pytest.mark.parametrize("value", ["Basic !!!", "Basic " + base64.b64encode(b"no colon").decode(), "Basic aä", "Basic"])
def test_basic_that_cannot_be_read_is_refused(value):
    assert refused(request(("authorization", value))) in ("bad_token", "missing_token")


@pytest.mark.parametrize("secrets", [(), ("",), ("  ",), (OLD, "")])
def test_a_connection_without_secrets_accepts_nothing(secrets):
    for asked in (
        request(),
        request(("x-webhook-secret", "")),
        request(("x-webhook-secret", OLD)),
        request(query="token="),
    ):
        assert refused(asked, replace(CONNECTION, secrets=secrets)) in ("no_secret", "missing_token")


def test_nothing_of_a_forged_body_is_read():
    for body in (b"\xff\xfe", b"[" * 1_000_000, b""):
        assert refused(request(("x-webhook-secret", "guess"), body=body)) == "bad_token"


def test_forwarded_headers_prove_nothing():
    assert refused(request(("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.1"))) == "missing_token"


@pytest.mark.parametrize("auth", ["signature", "bearer"])
def test_weak_secrets_are_named_at_boot(auth):
    assert SOURCE.check_secret(OLD, auth) is None
    for weak in ("", "short", "x" * 15, "with a space in between", OLD + "\n"):
        complaint = SOURCE.check_secret(weak, auth)
        assert complaint
        assert not weak.strip() or weak.strip() not in complaint


def test_a_rule_has_no_id_no_handshake_and_wants_no_special_answer():
    assert SOURCE.delivery_id(request(), {"ticket_id": 1}) is None
    assert SOURCE.handshake(Request("GET", (), "", b""), CONNECTION) is None
    assert SOURCE.acknowledge(stored=True) is None


@pytest.mark.parametrize(
    "shown, ticket",
    [(7, "FD-7"), (" 7 ", "FD-7"), ("#7", "FD-7"), (" # 7", "FD-7"), ("INC-9", "FD-INC-9"), ("SR-45", "FD-SR-45")],
)
def test_ids_lose_blanks_and_hash_and_nothing_else(shown, ticket):
    assert changed({"ticket_id": shown})["ticket"] == ticket


@pytest.mark.parametrize(
    "shown", [None, "", " ", "#", True, 7.5, 2**60, 1e300, [7], {"id": 7}, "7 8", "7:8", "{{ticket.id}}", "a" * 99]
)
def test_what_is_no_id_is_kept_aside(shown):
    asked = request(body=orjson.dumps({"ticket_id": shown, "ticket_status": "Open"}))
    with pytest.raises(UnreadablePayload) as caught:
        SOURCE.normalize(SOURCE.parse(asked), asked, CONNECTION)
    assert caught.value.reason in ("no_ticket_id", "bad_ticket_id")


@pytest.mark.parametrize(
    "code, word",
    [
        (2, "open"),
        (3, "pending"),
        (4, "resolved"),
        (5, "closed"),
        (6, "waiting on customer"),
        (7, "waiting on third party"),
    ],
)
def test_codes_of_a_fresh_account_are_words(code, word):
    assert changed({"ticket_id": 1, "ticket_status": code})["fields"] == {
        "status": word,
        "url": "https://heronquay.freshdesk.com/helpdesk/tickets/1",
    }
    assert changed({"ticket_id": 1, "status": f" {code} ", "url": "x"})["fields"]["status"] == word


@pytest.mark.parametrize("action", ["deleted", "marked_as_spam", "spam"])
def test_a_rule_may_tell_a_deletion(action):
    assert changed({"ticket_id": 1, "triggered_event": f"{{ticket_action:{action}}}"}) == {
        "ticket": "FD-1",
        "life": "deleted",
    }


def test_a_triggered_event_may_be_an_object_and_a_flag_a_text():
    assert changed({"ticket_id": 1, "triggered_event": {"ticket_action": "created"}})["creation"] is True
    assert changed({"ticket_id": 1, "ticket_spam": "true"})["life"] == "deleted"
    assert changed({"ticket_id": 1, "ticket_deleted": False, "status": 2}).get("life") is None
    assert changed({"ticket_id": 1, "triggered_event": "{ticket_action:restored}"})["life"] == "live"


@pytest.mark.parametrize(
    "shown, url",
    [
        ("http://h.example/t/1", "http://h.example/t/1"),
        ("h.example/t/1?a=1&amp;b=2", "https://h.example/t/1?a=1&b=2"),
        ("//h.example/t/1", "https://h.example/t/1"),
        ("javascript:alert(1)", "https://heronquay.freshdesk.com/helpdesk/tickets/1"),
        ("", "https://heronquay.freshdesk.com/helpdesk/tickets/1"),
    ],
)
def test_the_link_is_the_payloads_own_or_made_of_the_domain(shown, url):
    assert changed({"ticket_id": 1, "ticket_url": shown, "status": 2})["fields"]["url"] == url


@pytest.mark.parametrize("domain", ["help.tallowmill.example", "https://help.tallowmill.example/"])
def test_a_whole_domain_is_taken_as_it_is(domain):
    answer = changed({"ticket_id": 1, "status": 2}, replace(CONNECTION, subdomain=domain))
    assert answer["fields"]["url"] == "https://help.tallowmill.example/helpdesk/tickets/1"
    assert "url" not in changed({"ticket_id": 1, "status": 2}, replace(CONNECTION, subdomain=None))["fields"]


def test_escaped_markup_is_read_as_markup():
    body = {"ticket_id": 1, "ticket_description": "&lt;div&gt;A &amp;amp; B&lt;/div&gt;", "ticket_subject": "A &amp; B"}
    fields = changed(body)["fields"]
    assert (fields["description"], fields["title"]) == ("A & B", "A & B")


def test_a_field_of_the_wrong_type_is_unknown_rather_than_wrong():
    body = {
        "ticket_id": 1,
        "subject": ["x"],
        "status": [2],
        "priority": {},
        "tags": 7,
        "description": 5,
        "type": {"a": 1},
    }
    answer = changed(
        {**body, "description_text": 6, "requester_email": 7, "requester": "x", "company_domains": {"a": 1}}
    )
    assert answer["fields"] == {"email": "", "url": "https://heronquay.freshdesk.com/helpdesk/tickets/1"} | {
        "severity": ""
    }


@pytest.mark.parametrize("person", ["contact", "requester"])
@pytest.mark.parametrize("parts", [("firstname", "lastname"), ("first_name", "last_name")])
def test_a_name_may_come_in_parts(person, parts):
    named = dict(zip(parts, ("Rosalind", "Obi"), strict=True))
    flat = {f"ticket_{person}_{part}": value for part, value in named.items()}
    assert changed({"ticket_id": 9, "status": "Open"} | flat)["fields"]["name"] == "Rosalind Obi"
    assert changed({"ticket": {"id": 9, "status": "Open", person: named}})["fields"]["name"] == "Rosalind Obi"


def test_nothing_private_is_ever_a_field():
    private = dict.fromkeys(
        ("ticket_latest_private_comment", "note_body", "note", "latest_private_comment"), "top secret"
    )
    body = {"freshdesk_webhook": {"ticket_id": 1, "status": 2, "triggered_event": "{note_type:private}", **private}}
    assert "secret" not in orjson.dumps(changed(body)).decode()


def test_a_template_without_a_person_needs_a_look_up():
    asked = request(body=BODY)
    (change,) = SOURCE.normalize(SOURCE.parse(asked), asked, CONNECTION).changes
    assert needs_lookup(change) == ("requester_email",)


def test_bodies_that_are_no_json_and_name_no_ticket_are_kept_aside():
    for body in (
        b"",
        b"  ",
        b"\xff\xfe{}",
        b"[" * 5000,
        b'{"a": NaN}',
        b'{"a": 1e9999999',
        b"<xml/>",
        b'{"ticket_id":"\xff"}',
    ):
        with pytest.raises(UnreadablePayload):
            SOURCE.normalize(SOURCE.parse(request(body=body)), request(body=body), CONNECTION)


@pytest.mark.parametrize("moment", [None, True, "1792481416120", -5, 0, 1e300, [1]])
def test_an_app_event_without_a_usable_time_counts_by_the_tickets_own(moment):
    body = {"event": "onTicketUpdate", "timestamp": moment, "data": {"ticket": {"id": 1, "status": 2}}}
    assert changed(body) == {"ticket": "FD-1", "fields": {"status": "open"}}


KEYS = st.sampled_from(
    [
        "freshdesk_webhook",
        "ticket",
        "ticket_id",
        "id",
        "ticket_status",
        "status",
        "ticket_subject",
        "description",
        "description_text",
        "tags",
        "requester",
        "company",
        "agent",
        "requester_email",
        "ticket_contact_email",
        "priority",
        "triggered_event",
        "event",
        "data",
        "timestamp",
        "domain",
        "spam",
        "deleted",
        "updated_at",
        "created_at",
        "conversation",
        "url",
        "company_id",
        "status_name",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["onTicketUpdate", "onTicketDelete", "onConversationCreate", "#9", "{{x}}", "2026-10-20T07:30:15Z"]
    )
)
BODIES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=8), max_leaves=25
)


@given(BODIES)
def test_normalize_is_total_and_repeats_itself(body):
    asked = request(body=b"")
    answer = outcome(lambda: SOURCE.normalize(body, asked, CONNECTION))
    if isinstance(answer, UnreadablePayload):
        assert answer.detail
        return
    assert answer == SOURCE.normalize(body, asked, CONNECTION)
    for change in answer.changes:
        assert change.ticket.startswith("FD-")
        assert len(change.ticket) > len("FD-")
        assert set(change.fields) <= set(FIELDS)
        assert set(change.refs) <= set(REFS)
        assert not (change.thin and change.fields)
        change.encode()


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:“”\\ \nticket_id0123', max_size=80).map(str.encode))
def test_reading_bytes_is_total(body):
    answer = read(SOURCE, request(body=body), CONNECTION)
    assert not isinstance(answer, UnreadablePayload) or answer.detail


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["authorization", "x-webhook-secret", "content-type", "x"]),
        st.text(st.characters(max_codepoint=255), max_size=40) | st.text(max_size=10) | st.just("Basic Og=="),
    ),
    max_size=4,
)


@given(HEADERS, st.text(max_size=40) | st.text(alphabet="token=&%25+x", max_size=40))
def test_no_headers_and_no_query_are_believed_or_crash(headers, query):
    assert refused(Request("POST", tuple(headers), query, BODY))
