from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.sources
from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.zendesk import INVOCATION, SIGNATURE, SOURCE, TEST_SECRET, TIMESTAMP
from gateway.sources.zendesk_events import LIFE
from tests.sources.samples import change_as_json, expected_of, names, outcome, packaged_request_of, said
from tests.sources.signers import sign

if TYPE_CHECKING:
    from gateway.core.change import Change

SECRET = "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA="
MOMENT = "2021-07-25T10:00:00Z"
NOW = 1_627_207_200.0
BODY = b'{"say": "hello"}'
RIGHT = "Rry/4TtIdFyawtXXp8QdI6tlAUUQ/5kL1OTp5qo/ZIk="
CONNECTION = Connection("zendesk", "zendesk", (SECRET,), prefix="Z-", subdomain="northgate", account_id="31")
MEMBERSHIP = base64.b64decode(
    "ewoJInR5cGUiOiAiemVuOmV2ZW50LXR5cGU6dXNlci5ncm91cF9tZW1iZXJzaGlwX2NyZWF0ZWQiLAoJImFjY291bnRfaWQiOiAxMjUxNDQwMywK"
    "CSJpZCI6ICI2YjliYmFkZi01NzI1LTRlOTItYmViZS03YjcxMDExYmY1ZjEiLAoJInN1YmplY3QiOiAiemVuOnVzZXI6NjU5Njg0ODMxNTkwMSIs"
    "CgkidGltZSI6ICIyMDk5LTA3LTA0VDA1OjMzOjE4WiIsCgkiemVuZGVza19ldmVudF92ZXJzaW9uIjogIjIwMjItMDYtMjAiLAoJImRldGFpbCI6"
    "IHsKCQkiY3JlYXRlZF9hdCI6ICIyMDk5LTA3LTA0VDA1OjI3OjU4WiIsCgkJImRlZmF1bHRfZ3JvdXBfaWQiOiAiMCIsCgkJImVtYWlsIjogInVz"
    "ZXIubmFtZUBleGFtcGxlLmNvbSIsCgkJImV4dGVybmFsX2lkIjogIiIsCgkJImlkIjogIjY1OTY4NDgzMTU5MDEiLAoJCSJvcmdhbml6YXRpb25f"
    "aWQiOiAiMCIsCgkJInJvbGUiOiAiZW5kLXVzZXIiLAoJCSJ1cGRhdGVkX2F0IjogIjIwOTktMDctMDRUMDU6MzM6MThaIgoJfSwKCSJldmVudCI6"
    "IHsgImdyb3VwIjogeyAiaWQiOiAiMSIgfSB9Cn0K"
)
UTF8 = base64.b64decode("eyJzdWJqZWN0IjoiVGVzwq10IOKYgyDDqSDwn5iAIiwibiI6MX0=")
EVENT_TYPE = b'{"event_type": "foo.bar","data": {"key": "value"}}'


def shown(signature: str, moment: str = MOMENT, body: bytes = BODY, *more: tuple[str, str]) -> Request:
    return Request("POST", ((SIGNATURE, signature), (TIMESTAMP, moment), *more), "", body)


def made(moment: str, body: bytes = BODY, secret: str = SECRET) -> Request:
    """A right signature over any timestamp text."""
    digest = hmac.new(secret.encode(), moment.encode("utf-8", "surrogatepass") + body, hashlib.sha256).digest()
    return shown(base64.b64encode(digest).decode(), moment, body)


def refused(asked: Request, connection: Connection = CONNECTION, now_s: float = NOW) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, connection, now_s)
    return caught.value.reason


def read(body: Any, connection: Connection = CONNECTION) -> Change:
    asked = Request("POST", (), "", orjson.dumps(body))
    (change,) = SOURCE.normalize(SOURCE.parse(asked), asked, connection).changes
    return change


def changed(body: Any, connection: Connection = CONNECTION) -> dict[str, Any]:
    return change_as_json(read(body, connection))


def event(kind: str, detail: Any = None, **more: Any) -> dict[str, Any]:
    detail = {"id": "7", "subject": "A", "status": "OPEN"} if detail is None else detail
    return {"type": f"zen:event-type:{kind}", "account_id": 31, "detail": detail} | more


def reason(body: Any, connection: Connection = CONNECTION) -> str:
    asked = Request("POST", (), "", orjson.dumps(body))
    answer = outcome(lambda: SOURCE.normalize(SOURCE.parse(asked), asked, connection))
    assert isinstance(answer, UnreadablePayload)
    assert answer.detail
    return answer.reason


# ------------------------------------------------------------------------------------------------------------- vectors
@pytest.mark.parametrize(
    "secret, moment, body, signature",
    [
        (TEST_SECRET, "1531420618", EVENT_TYPE, "qtmu3iClLKujnujOBkwe7yjI34o5CzsLD04Uy4LbE2A="),
        (TEST_SECRET, "1234", MEMBERSHIP, "10IqYzYTLHRftNsNE+im0DeOM6/JactIRuy0XCHJ9B8="),
        (SECRET, MOMENT, BODY, RIGHT),
        (TEST_SECRET, "2026-07-22T10:00:00Z", b"", "Vkek8gND7LZLBmaCYkPfWqG0roHsw88HFS3GJh60xcM="),
        (TEST_SECRET, "2026-07-22T10:00:00Z", UTF8, "et430b90X4FzqEuSFMHhOAyqe8UhapybiVv5BlGOZo0="),
    ],
)
def test_published_and_computed_vectors_are_accepted(secret, moment, body, signature):
    SOURCE.verify(shown(signature, moment, body), replace(CONNECTION, secrets=(secret,), tolerance_s=0), NOW)


@pytest.mark.parametrize(
    "secret, moment, body, signature",
    [
        (SECRET, MOMENT, BODY, "tRDSF7URY8BLCDlaBcQ7FHu051Zk+aAB0NKMP53teMw="),  # body before timestamp, an old page
        (TEST_SECRET, "1531420618", EVENT_TYPE, "P8qTNPVpoIy/k5UcXtiu2jeXNQ95wqGYNuArtW2RWk0="),  # decoded secret
        (TEST_SECRET, "1531420618", EVENT_TYPE, "aad9aede20a52caba39ee8ce064c1eef28c8df8a390b3b0b0f4e14cb82db1360"),
    ],
)
def test_vectors_of_known_mistakes_are_refused(secret, moment, body, signature):
    connection = replace(CONNECTION, secrets=(secret,), tolerance_s=0)
    assert refused(shown(signature, moment, body), connection) == "bad_signature"


def test_the_public_test_secret_signs_nothing_for_a_connection_and_is_refused_at_boot():
    assert refused(made(MOMENT, secret=TEST_SECRET)) == "bad_signature"
    assert "test secret" in (SOURCE.check_secret(TEST_SECRET, "signature") or "")
    assert SOURCE.check_secret(SECRET, "signature") is None


# ------------------------------------------------------------------------------------------------------------- battery
@pytest.mark.parametrize(
    "signature",
    [
        RIGHT[:-1],
        RIGHT[:24],
        RIGHT.rstrip("="),
        RIGHT + "=",
        RIGHT + "\n",
        " " + RIGHT,
        RIGHT.replace("/", "_"),
        RIGHT[:10] + "!!!" + RIGHT[10:],
        RIGHT[:-2] + "l=",  # the same bytes with a stray bit
        "v1," + RIGHT,
        "sha256=" + RIGHT,
        RIGHT + "," + RIGHT,
        RIGHT + " " + RIGHT,
        base64.b64encode(hmac.new(SECRET.encode(), MOMENT.encode() + BODY, "sha1").digest()).decode(),
        base64.b64encode(hmac.new(SECRET.encode(), MOMENT.encode() + BODY, "sha512").digest()).decode(),
        base64.b64encode(hmac.new(SECRET.encode(), BODY, "sha256").digest()).decode(),
        base64.b64encode(hmac.new(b"", MOMENT.encode() + BODY, "sha256").digest()).decode(),
        hmac.new(SECRET.encode(), MOMENT.encode() + BODY, "sha256").hexdigest(),
    ],
)
def test_a_signature_that_is_not_exactly_right_is_refused(signature):
    assert refused(shown(signature)) == "bad_signature"


@pytest.mark.parametrize(
    "moment",
    [
        "1627207200.9",
        "\u0661\u0666\u0662\u0667\u0662\u0660\u0667\u0662\u0660\u0660",
        "\uff11\uff16\uff12\uff17\uff12\uff10\uff17\uff12\uff10\uff10",
        "1_627_207_200",
        " 1627207200",
        "1627207200 ",
        "+1627207200",
        "-1",
        "1e9",
        "1e400",
        "1" * 400,
        "0x60fd",
        "2021-07-25",
        "2021-07-25T10:00:00",
        "2021-07-25 10:00:00Z",
        "2021-07-25T10:00:00z",
        "2021-02-30T10:00:00Z",
        "2021-07-25T25:00:00Z",
        "2021-07-25T10:00:00.1234567890Z",
        "2021-07-25T10:00:00Z\n",
        "2021-W29-7T10:00:00Z",
        "20210725T100000Z",
        "\uff12021-07-25T10:00:00Z",
    ],
)
def test_a_time_that_is_not_strictly_written_is_refused_though_signed(moment):
    assert refused(made(moment)) == "bad_timestamp"


@pytest.mark.parametrize(
    "moment", ["1627207200", MOMENT, "2021-07-25T10:00:00.123456789Z", "2021-07-25T12:00:00+02:00"]
)
def test_both_ways_to_write_a_time_are_read(moment):
    SOURCE.verify(made(moment), CONNECTION, NOW)


def test_a_byte_cannot_move_between_time_and_body():
    asked = made("1627207200", b"7{}")
    assert refused(replace(asked, headers=(asked.headers[0], (TIMESTAMP, "16272072007")), body=b"{}"))
    assert refused(replace(asked, headers=(asked.headers[0], (TIMESTAMP, "162720720")), body=b"07{}"))


def test_a_time_without_seconds_cannot_be_signed_into_the_future():
    assert refused(made("999999999999")) == "stale_timestamp"


def test_unsigned_headers_prove_and_change_nothing():
    asked = shown(RIGHT, MOMENT, BODY, ("x-zendesk-account-id", "666"), ("x-zendesk-webhook-id", "other"))
    SOURCE.verify(asked, CONNECTION, NOW)
    assert reason(event("ticket.created", {}, subject="zen:user:1")) == "no_ticket_id"


def test_basic_and_bearer_show_the_secret_where_it_is_configured():
    connection = replace(CONNECTION, auth="bearer")
    word = base64.b64encode(f"gateway:{SECRET}".encode()).decode()
    for value in (f"Bearer {SECRET}", f"Basic {word}"):
        SOURCE.verify(Request("POST", (("authorization", value),), "", BODY), connection, NOW)
        assert refused(Request("POST", (("authorization", value),), "", BODY)) == "missing_signature"
    assert refused(Request("POST", (), "token=" + SECRET, BODY), connection) == "missing_token"
    assert SOURCE.check_secret(TEST_SECRET, "bearer") is None


# ------------------------------------------------------------------------------------------------------------- account
@pytest.mark.parametrize("account", [32, "32", "", [31], {"a": 1}, True, 31.0, 2**60])
def test_a_body_of_another_account_is_refused(account):
    for body in (event("ticket.created", account_id=account), {"ticket_id": "7", "account_id": account}):
        with pytest.raises(VerificationError) as caught:
            read(body)
        assert caught.value.reason == "account_mismatch"
        assert read(body, replace(CONNECTION, account_id=None)).ticket == "Z-7"


@pytest.mark.parametrize("account", [31, "31", None])
def test_a_body_of_the_own_account_or_of_none_is_taken(account):
    assert read(event("ticket.created", account_id=account)).ticket == "Z-7"
    assert read({"ticket_id": "7", "account_id": account}).ticket == "Z-7"


# -------------------------------------------------------------------------------------------------------------- events
def test_an_event_is_known_by_its_signed_id_and_a_trigger_by_its_invocation():
    asked = Request("POST", ((INVOCATION, "01M07AA00MZJ23QBBR5MKZWDEM"),), "", b"")
    assert SOURCE.delivery_id(asked, event("ticket.created", id="uuid-1")) == "uuid-1"
    assert SOURCE.delivery_id(asked, event("ticket.created")) is None
    assert SOURCE.delivery_id(asked, {"ticket_id": "7", "id": "7"}) == "01M07AA00MZJ23QBBR5MKZWDEM"
    assert SOURCE.delivery_id(Request("POST", (), "", b""), {"ticket_id": "7"}) is None
    assert SOURCE.delivery_id(asked, []) == "01M07AA00MZJ23QBBR5MKZWDEM"


def test_there_is_no_handshake_and_any_answer_will_do():
    assert SOURCE.handshake(Request("GET", (), "", b""), CONNECTION) is None
    assert SOURCE.acknowledge(stored=True) is None


@pytest.mark.parametrize("kind, life", LIFE.items())
def test_what_ends_a_ticket_says_nothing_else(kind, life):
    change = read(event(f"ticket.{kind}", {"id": "7", "subject": "A", "status": "OPEN", "assignee_id": "1"}))
    assert change.life == life
    assert change.creation == (kind == "created")
    if life != "live":
        assert not change.fields
        assert not change.refs
        assert needs_lookup(change) == ()
        assert not change.thin


@pytest.mark.parametrize("kind", ["csat_received", "followers_changed", "a_type_of_next_year", ""])
def test_a_type_without_a_meaning_of_its_own_is_read_as_a_snapshot(kind):
    assert changed(event(f"ticket.{kind}"))["fields"]["status"] == "open"


@pytest.mark.parametrize("kind", ["ticketing.created", "user.created", "organization.deleted", "x" * 500])
def test_an_event_about_something_else_is_ignored_with_its_name(kind):
    asked = Request("POST", (), "", b"")
    answer = SOURCE.normalize(event(kind), asked, CONNECTION)
    assert not answer.changes
    assert kind[:64] in answer.ignored
    assert len(answer.ignored) < 120


def test_a_scrubbed_ticket_writes_nothing_but_its_end():
    asked = Request("POST", (), "", b"")
    scrubbed = {"id": "7", "subject": "SCRUBBED", "status": "SCRUBBED"}
    for kind in ("status_changed", "soft_deleted", "created"):
        assert SOURCE.normalize(event(f"ticket.{kind}", scrubbed), asked, CONNECTION).ignored
    assert read(event("ticket.permanently_deleted", scrubbed)).life == "purged"


def test_a_key_that_is_absent_is_unknown_and_a_null_clears():
    url = {"url": "https://northgate.zendesk.com/agent/tickets/7"}
    assert changed(event("ticket.created", {"id": "7", "status": "NEW"}))["fields"] == {"status": "new"} | url
    cleared = dict.fromkeys(("subject", "description", "tags", "type", "priority", "status", "assignee_id"))
    answer = changed(event("ticket.tags_changed", {"id": "7"} | cleared))
    assert answer["fields"] == {"title": "", "description": "", "tags": [], "type": "", "severity": ""} | url
    assert answer["refs"] == {"assignee_id": None}


@pytest.mark.parametrize("detail", [None, [], "x", 7, {}, {"id": None}, {"id": ""}, {"id": 0}])
def test_the_signed_subject_names_a_ticket_whose_detail_does_not(detail):
    body = event("ticket.created", subject="zen:ticket:70881") | {"detail": detail}
    assert read(body).ticket == "Z-70881"
    assert read(body).thin
    assert reason(body | {"subject": "zen:user:70881"}) == "no_ticket_id"
    assert reason(body | {"subject": ["zen:ticket:1"]}) == "no_ticket_id"


def test_the_stamp_is_the_tickets_and_falls_back_on_the_events():
    answer = read(
        event("ticket.created", {"id": "7", "updated_at": "2026-10-12T09:20:31Z"}, time="2026-10-12T09:20:40Z")
    )
    assert (answer.updated_at_ms, answer.event_at_us) == (1_791_796_831_000, 1_791_796_840_000_000)
    answer = read(event("ticket.created", {"id": "7", "updated_at": "yesterday"}, time="2026-10-12T09:20:31.9999999Z"))
    assert (answer.updated_at_ms, answer.event_at_us) == (1_791_796_831_999, 1_791_796_831_999_999)
    answer = read(event("ticket.created", time=None))
    assert (answer.updated_at_ms, answer.event_at_us) == (None, None)


@pytest.mark.parametrize(
    "subdomain, url",
    [
        ("northgate", "https://northgate.zendesk.com/agent/tickets/7"),
        ("help.northgate.example", "https://help.northgate.example/agent/tickets/7"),
        (None, None),
    ],
)
def test_a_link_is_made_of_the_subdomain(subdomain, url):
    connection = replace(CONNECTION, subdomain=subdomain)
    assert read(event("ticket.created"), connection).fields.get("url") == url
    assert read({"ticket_id": "7", "status": "Open"}, connection).fields.get("url") == url
    assert "url" not in read({"ticket_id": "7"}, connection).fields


@pytest.mark.parametrize(
    "value", ["7 ", "0", "-7", "+7", "7.0", "seven", "{{ticket.id}}", "7:8", "\u0667", "7" * 33, 7.5, True]
)
def test_what_is_no_ticket_number_is_kept_aside(value):
    if value == "7 ":
        assert read({"ticket_id": value}).ticket == "Z-7"
        return
    assert reason({"ticket_id": value, "status": "Open"}) == "bad_ticket_id"
    assert reason(event("ticket.created", {"id": value})) == "bad_ticket_id"


@pytest.mark.parametrize("value", [[], {}, [7], {"id": 7}])
def test_a_container_is_no_ticket_number(value):
    assert reason({"ticket_id": value}) == "bad_ticket_id"


# ------------------------------------------------------------------------------------------------------------ triggers
def test_nested_and_flat_keys_mean_the_same():
    flat = {
        "ticket_title": "A",
        "ticket_status": "Open",
        "ticket_requester_email": "a@b.example",
        "agent_email": "c@d.example",
    }
    nested = {
        "subject": "A",
        "status": "Open",
        "requester": {"email": "a@b.example"},
        "assignee": {"email": "c@d.example"},
    }
    assert read({"ticket_id": "7"} | flat) == read({"ticket": {"id": 7} | nested})


@pytest.mark.parametrize("prefix", ["", "ticket_"])
def test_every_key_may_be_spelled_as_its_placeholder(prefix):
    spelled = {
        "title": "A",
        "updated_at_with_timestamp": "2026-10-12T12:05Z",
        "created_at_with_timestamp": "2026-10-12T12:00:00Z",
        "url_with_protocol": "https://northgate.zendesk.com/agent/tickets/7",
        "requester_id": "31",
        "organization_id": "32",
        "assignee_id": "33",
    }
    answer = read({"id": 7} | {prefix + key: value for key, value in spelled.items()})
    assert (answer.updated_at_ms, answer.created_at_ms) == (1_791_806_700_000, 1_791_806_400_000)
    assert answer.fields == {"title": "A", "url": "https://northgate.zendesk.com/agent/tickets/7"}
    assert answer.refs == {"requester_id": "31", "organization_id": "32", "assignee_id": "33"}


@pytest.mark.parametrize(
    "shown",
    [
        {"requester": {"first_name": "Liv", "last_name": "Aune"}},
        {"requester": {"name": "", "first_name": "Liv ", "last_name": "Aune"}},
        {"requester_first_name": "Liv", "requester_last_name": "Aune"},
        {"requester": {"first_name": "Liv Aune", "last_name": ""}},
        {"requester": {"full_name": "Liv Aune", "first_name": "Liv"}},
    ],
)
def test_a_name_may_come_in_parts(shown):
    assert read({"id": 7, "title": "A"} | shown).fields["name"] == "Liv Aune"
    assert "name" not in read({"id": 7, "title": "A", "requester": {"first_name": "", "last_name": None}}).fields


def test_an_organization_may_stand_under_the_requester_and_the_tickets_own_wins():
    answer = read({"id": 7, "requester": {"organization": {"id": 31, "external_id": "np-3"}}})
    assert (answer.refs, answer.fields["companyExternalId"]) == ({"organization_id": "31"}, "np-3")
    answer = read({"id": 7, "requester": {"organization": {"id": 31}}, "organization": {"id": "32"}})
    assert answer.refs == {"organization_id": "32"}


@pytest.mark.parametrize("value", [3, True, ["High"], {"name": "High"}])
def test_a_priority_that_is_no_text_clears_nothing(value):
    assert read({"id": 7, "title": "A", "priority": value, "ticket_type": value}).fields.keys() == {"title", "url"}


def test_the_agents_address_stands_beside_an_assignee_without_one():
    assert (
        read({"id": 7, "assignee": {"name": "O"}, "assignee_email": "O@d.example"}).fields["agentEmail"]
        == "o@d.example"
    )
    assert read({"id": 7, "assignee": {"email": ""}}).fields["agentEmail"] == ""
    assert read({"id": 7, "assignee": {"email": None}}).fields == {}
    assert read({"id": 7, "assignee_email": "Oda Brekke"}).fields["agentEmail"] == ""


@pytest.mark.parametrize(
    "shown_tags, tags",
    [("a b  a", ["a", "b"]), ("", []), (["a", " b ", "a"], ["a", "b"]), ([], []), (7, None), (None, None), ({}, None)],
)
def test_tags_are_words_or_a_list(shown_tags, tags):
    assert read({"id": 7, "tags": shown_tags}).fields.get("tags") == tags


@pytest.mark.parametrize(
    "link, url",
    [
        ("sub.zendesk.com/agent/tickets/7", "https://sub.zendesk.com/agent/tickets/7"),
        ("http://sub.example/7", "http://sub.example/7"),
        ("not a link", "https://northgate.zendesk.com/agent/tickets/7"),
        ("", "https://northgate.zendesk.com/agent/tickets/7"),
    ],
)
def test_a_link_gets_its_scheme(link, url):
    assert read({"id": 7, "status": "Open", "link": link}).fields["url"] == url
    assert read({"id": 7, "status": "Open", "link": "", "ticket_url": link}).fields["url"] == url


@pytest.mark.parametrize("value", ["-", "", " - "])
def test_a_dash_is_no_priority_and_no_type(value):
    fields = read({"id": 7, "priority": value, "ticket_type": value}).fields
    assert (fields["severity"], fields["type"]) == ("", "")
    assert read({"id": 7, "priority": None, "ticket_type": None}).thin


@pytest.mark.parametrize(
    "description, plain",
    [
        ("------\n\nLiv Aune, Oct 12, 2026, 06:41\n\nHello", "Hello"),
        ("------\r\n\r\nLiv Aune, 12. okt. 2026, 06:41\r\n\r\nHello", "Hello"),
        ("----------\n\nLiv Aune, Oct 12, 2026, 06:41", ""),
        ("------\n\nDear all, nothing works\n\nHello", "------\n\nDear all, nothing works\n\nHello"),
        ("Hello\n------\n\nLiv Aune, Oct 12, 2026, 06:41\n\nx", "Hello\n------\n\nLiv Aune, Oct 12, 2026, 06:41\n\nx"),
        ("-----\n\nfive, 5", "-----\n\nfive, 5"),
        ("", ""),
        (7, "7"),
    ],
)
def test_the_header_before_a_description_and_nothing_else_is_taken_off(description, plain):
    assert read({"id": 7, "description": description}).fields["description"] == plain


@pytest.mark.parametrize(
    "hostile",
    [
        "-" * 900_000,
        "------\n" + " " * 900_000,
        "------\n" + "a, " * 300_000,
        ("-" * 6 + "\n") * 120_000,
        " \n" * 450_000,
    ],
)
def test_a_megabyte_of_almost_a_header_is_read_in_a_moment(hostile):
    started = time.perf_counter()
    read({"id": 7, "description": hostile + "x"})
    assert time.perf_counter() - started < 2


def test_a_template_without_a_person_needs_a_look_up_and_an_address_that_is_none_is_known():
    assert needs_lookup(read({"id": 7})) == ("ticket", "requester_email")
    assert needs_lookup(read({"id": 7, "status": "Open", "requester_email": ""})) == ("requester_email",)
    assert read({"id": 7, "requester_email": "Liv"}).fields["email"] == ""
    rich = {"requester": {"id": "1", "email": "a@b.example"}, "organization": {"id": 2}, "assignee": {"id": "0"}}
    assert needs_lookup(read({"id": 7, "status": "Open"} | rich)) == ("company",)
    assert read({"id": 7, "requester_id": 1, "organization_id": "", "assignee_id": None}).refs == {"requester_id": "1"}


RENDERED = {
    "ticket.id": "7",
    "ticket.title": "A",
    "ticket.description": "----------\\n\\nLiv Aune, Oct 12, 2026, 06:41\\n\\nHello",
    "ticket.status": "Open",
    "ticket.priority": "-",
    "ticket.ticket_type": "Task",
    "ticket.tags": "a b",
    "ticket.link": "https://northgate.zendesk.com/agent/tickets/7",
    "ticket.created_at_with_timestamp": "2026-10-12T06:41:09Z",
    "ticket.updated_at_with_timestamp": "2026-10-12T09:20:31Z",
    "ticket.requester.id": "1",
    "ticket.requester.name": "Liv Aune",
    "ticket.requester.email": "liv@b.example",
    "ticket.organization.id": "2",
    "ticket.organization.external_id": "np-3",
    "ticket.assignee.id": "3",
    "ticket.assignee.email": "oda@d.example",
}


def test_the_templates_of_the_set_up_page_are_read_in_full():
    page = (Path(gateway.sources.__file__).parent / "README.md").read_text()
    section = page[page.index("## Zendesk") : page.index("## Freshdesk")]
    thin, full = (
        read(orjson.loads(re.sub(r"\{\{(.+?)\}\}", lambda found: RENDERED[found[1]], block)))
        for block in re.findall(r"```json\n(.+?)```", section, re.DOTALL)
    )
    assert change_as_json(thin) == {"ticket": "Z-7", "thin": True, "updated_at_ms": 1_791_796_831_000}
    assert needs_lookup(full) == ()
    assert full.complete
    assert (full.created_at_ms, full.updated_at_ms) == (1_791_787_269_000, 1_791_796_831_000)
    assert full.refs == {"requester_id": "1", "organization_id": "2", "assignee_id": "3"}
    assert full.fields == {
        "title": "A",
        "description": "Hello",
        "url": RENDERED["ticket.link"],
        "tags": ["a", "b"],
        "type": "task",
        "severity": "",
        "status": "open",
        "email": "liv@b.example",
        "name": "Liv Aune",
        "agentEmail": "oda@d.example",
        "companyExternalId": "np-3",
    }


PACKAGED_TWINS = {"full_trigger": "trigger_full", "thin_trigger": "trigger_thin"}


@pytest.mark.parametrize("name", ["created", "status_changed", "soft_deleted", "thin_trigger", "full_trigger"])
def test_every_packaged_sample_becomes_what_its_twin_says(name):
    twin = PACKAGED_TWINS.get(name, name)
    assert twin in names("zendesk")
    assert said(SOURCE, packaged_request_of("zendesk", name)) == expected_of("zendesk", twin)


KEYS = st.sampled_from(
    [
        "ticket",
        "ticket_id",
        "id",
        "type",
        "detail",
        "subject",
        "time",
        "status",
        "priority",
        "tags",
        "description",
        "link",
        "requester",
        "organization",
        "assignee",
        "email",
        "name",
        "external_id",
        "updated_at",
        "created_at",
        "is_public",
        "assignee_id",
        "organization_id",
        "requester_id",
        "account_id",
        "ticket_type",
        "assignee_email",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.sampled_from(["OPEN", "DELETED", "SCRUBBED", "ARCHIVED", "7", "0", "zen:ticket:7", "2026-10-12T09:20:31.5Z"])
    | st.sampled_from(["zen:event-type:ticket.created", "zen:event-type:ticket.merged", "zen:event-type:user.x"])
)
BODIES = st.dictionaries(
    KEYS, st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=8))
)


@given(BODIES)
def test_normalize_is_total(body):
    connection = replace(CONNECTION, account_id=None)
    answer = outcome(lambda: SOURCE.normalize(body, Request("POST", (), "", b""), connection))
    if isinstance(answer, UnreadablePayload):
        assert answer.reason
        return
    for change in answer.changes:
        assert change.ticket.startswith("Z-")
        assert change.ticket.removeprefix("Z-").isdigit()
        assert not (change.complete and change.thin)
        change.encode()


@given(st.binary(max_size=64), st.floats(1, 4e9))
def test_what_a_sender_signs_is_accepted_at_its_moment_and_not_when_anything_moves(body, at_s):
    asked = Request("POST", tuple(sign("zendesk", SECRET, body, {}, at_s).items()), "", body)
    SOURCE.verify(asked, CONNECTION, at_s)
    assert refused(replace(asked, body=body + b"x"), now_s=at_s) == "bad_signature"
    assert refused(asked, now_s=at_s + 302) == "stale_timestamp"
