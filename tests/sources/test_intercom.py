from __future__ import annotations

import hmac
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.intercom import SIGNATURE, SOURCE
from tests.sources.samples import outcome

if TYPE_CHECKING:
    from gateway.core.change import Change

SECRET = "client-secret-of-the-app-0123"
CONNECTION = Connection("intercom", "intercom", (SECRET,), prefix="I-")
PING = b'{"type": "notification_event", "app_id": "tm7", "topic": "ping", "data": {"item": {"type": "ping"}}}'


def signature(body: bytes, algorithm: str = "sha1") -> str:
    return f"{algorithm}=" + hmac.new(SECRET.encode(), body, algorithm).hexdigest()


def asked(body: bytes, *headers: tuple[str, str], method: str = "POST") -> Request:
    return Request(method, headers, "", body)


def refused(request: Request) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(request, CONNECTION, 0.0)
    return caught.value.reason


def note(topic: str, item: Any, **more: Any) -> dict[str, Any]:
    return {"topic": topic, "app_id": "tm7", "created_at": 1_791_787_275, "data": {"item": item}} | more


def read(body: Any, connection: Connection = CONNECTION) -> Change:
    (change,) = SOURCE.normalize(body, asked(b""), connection).changes
    return change


def ticket(**more: Any) -> dict[str, Any]:
    return {"type": "ticket", "id": "7", "ticket_id": "1"} | more


def conversation(**more: Any) -> dict[str, Any]:
    return {"type": "conversation", "id": "8"} | more


def fields(item: dict[str, Any]) -> dict[str, Any]:
    found = dict(read(note(f"{item['type']}.x", item)).fields)
    found.pop("url", None)
    return found


# ------------------------------------------------------------------------------------------------------------ signature
def test_sha1_over_the_body_is_intercoms_signature_and_no_other_is():
    SOURCE.verify(asked(b"{}", (SIGNATURE, signature(b"{}"))), CONNECTION, 0.0)
    for wrong in (
        signature(b"{}", "sha256"),
        signature(b"{}").upper(),
        signature(b"{}").removeprefix("sha1="),
        signature(b"{} "),
        "sha1=" + hmac.new(b"", SECRET.encode() + b"{}", "sha1").hexdigest(),
    ):
        assert refused(asked(b"{}", (SIGNATURE, wrong))) == "bad_signature"


# ------------------------------------------------------------------------------------------------------------ handshake
def test_the_probe_of_a_saved_address_is_answered_without_a_signature():
    reply = SOURCE.handshake(asked(b"", method="HEAD"), CONNECTION)
    assert reply is not None
    assert reply.status == 200
    assert SOURCE.handshake(asked(b"", method="GET"), CONNECTION) is None
    assert SOURCE.methods == ("HEAD",)


def test_a_ping_is_answered_but_a_signed_one_shows_whether_the_secret_is_right():
    assert SOURCE.handshake(asked(PING), CONNECTION) is not None
    wrong = asked(PING, (SIGNATURE, "sha1=" + "0" * 40))
    assert SOURCE.handshake(wrong, CONNECTION) is None
    assert refused(wrong) == "bad_signature"
    right = asked(PING, (SIGNATURE, signature(PING)))
    assert SOURCE.handshake(right, CONNECTION) is None
    SOURCE.verify(right, CONNECTION, 0.0)
    assert "ping" in SOURCE.normalize(SOURCE.parse(right), right, CONNECTION).ignored


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'"ping"',
        b'{"topic": ["ping"]}',
        b'{"topic": "ticket.created", "x": "ping"}',
        b'{"topic": "ping"',
        b'{"topic": "ping", "x": "' + b"y" * 5000 + b'"}',
        b'{"topic": "ping", "x": ' + b"[" * 2000 + b"]" * 2000 + b"}",
        b'\xff"ping"',
    ],
)
def test_what_is_no_small_ping_is_no_handshake(body):
    assert SOURCE.handshake(asked(body), CONNECTION) is None


def test_intercom_asks_for_200():
    reply = SOURCE.acknowledge(stored=True)
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"")


# ------------------------------------------------------------------------------------------------------------ workspace
def test_a_notification_of_another_workspace_is_refused():
    mine = replace(CONNECTION, account_id="tm7")
    assert read(note("ticket.created", ticket()), mine).ticket == "I-7"
    assert read(note("ticket.created", ticket(), app_id=None), mine).ticket == "I-7"
    for topic in ("ticket.created", "conversation.deleted", "ping", "contact.created"):
        with pytest.raises(VerificationError, match="account_mismatch"):
            SOURCE.normalize(note(topic, ticket(), app_id="other"), asked(b""), mine)


def test_a_notification_is_known_by_its_signed_id():
    assert SOURCE.delivery_id(asked(b""), {"id": "notif_5"}) == "notif_5"
    assert SOURCE.delivery_id(asked(b""), {"id": None}) is None
    assert SOURCE.delivery_id(asked(b""), []) is None


# -------------------------------------------------------------------------------------------------------------- items
@pytest.mark.parametrize(
    "topic, item, becomes",
    [
        ("ticket.contact.attached", {"type": "ticket_contact", "id": "99", "ticket": ticket()}, "I-7"),
        ("conversation.contact.attached", {"type": "x", "id": "99", "conversation": conversation()}, "I-8"),
        ("ticket.created", {"id": "7"}, "I-7"),
        ("ticket.created", {"type": None, "id": "7"}, "I-7"),
        ("conversation_part.tag.created", conversation(), "I-8"),
        ("ticket.admin.replied", conversation(), "I-8"),
    ],
)
def test_the_ticket_is_found_in_the_item_or_beside_what_was_attached(topic, item, becomes):
    assert read(note(topic, item)).ticket == becomes


@pytest.mark.parametrize(
    "item",
    [None, [], "7", 7, {}, {"type": "ticket_part", "id": "99"}, {"type": ["ticket"], "id": "99"}, ticket(id=None)],
)
def test_an_id_of_something_else_is_never_taken_for_the_tickets(item):
    for body in (note("ticket.created", item), note("conversation.admin.closed", item)):
        answer = outcome(partial(SOURCE.normalize, body, asked(b""), CONNECTION))
        assert isinstance(answer, UnreadablePayload)
        assert (answer.reason, bool(answer.detail)) == ("no_ticket_id", True)


@pytest.mark.parametrize("item, becomes", [({"conversation_id": "8"}, "I-8"), ({"id": 8}, "I-8")])
def test_a_deletion_names_the_conversation_and_says_nothing_else(item, becomes):
    change = read(note("conversation.deleted", item))
    assert (change.ticket, change.life, change.fields, change.thin) == (becomes, "deleted", {}, False)
    assert change.updated_at_ms == 1_791_787_275_000
    assert read(note("conversation.deleted", item, created_at="soon")).updated_at_ms is None


def test_times_are_seconds_and_the_items_own_counts():
    change = read(note("ticket.created", ticket(updated_at=1_791_787_274, created_at=1_791_787_269)))
    assert (change.updated_at_ms, change.created_at_ms) == (1_791_787_274_000, 1_791_787_269_000)
    assert change.event_at_us == 1_791_787_275_000_000
    change = read(note("ticket.created", ticket(updated_at=None), created_at=None))
    assert (change.updated_at_ms, change.created_at_ms, change.event_at_us) == (None, None, None)


@pytest.mark.parametrize(
    "item, becomes",
    [
        (ticket(ticket_state={"category": "in_progress"}), {"status": "in_progress"}),
        (ticket(ticket_state="resolved"), {"status": "resolved"}),
        (ticket(ticket_state=None), {}),
        (ticket(ticket_attributes={"_default_title_": None}), {"title": ""}),
        (ticket(ticket_attributes={"_default_description_": 7}), {"description": "7"}),
        (ticket(ticket_type={"name": "Fault"}), {"type": "fault"}),
        (ticket(admin_assignee_id="0"), {"agentEmail": ""}),
        (ticket(admin_assignee_id=None), {"agentEmail": ""}),
        (ticket(admin_assignee_id=7711), {}),
        (conversation(state="snoozed", priority="priority"), {"status": "snoozed", "severity": "priority"}),
        (conversation(priority="not_priority"), {"severity": ""}),
        (conversation(tags={"tags": [{"name": "a"}, {"name": None}, 7]}), {"tags": ["a"]}),
        (conversation(tags=[]), {}),
        (conversation(title="T"), {"title": "T"}),
        (conversation(title=" Vec<int> &amp; <Header>\n lost "), {"title": "Vec<int> &amp; <Header> lost"}),
        (conversation(source={"subject": "<p>S</p>"}), {"title": "S"}),
        (conversation(title=None, source={"subject": "S"}), {"title": "S"}),
        (conversation(source={"body": "<p>a</p>"}), {"description": "a"}),
        (conversation(source={"author": {"type": "lead", "name": "N", "email": "N@Mill.example"}}),
         {"name": "N", "email": "n@mill.example"}),
        (conversation(source={"author": {"type": "admin", "name": "N", "email": "N@Mill.example"}}), {}),
        (conversation(source={"author": {"type": "bot", "email": "bot@mill.example"}}), {}),
    ],
)  # fmt: skip
def test_fields_are_read_or_left_unknown(item, becomes):
    assert fields(item) == becomes


def test_the_requester_is_the_author_unless_the_team_wrote_first():
    contacts = {"contacts": [{"id": None}, {"id": "c1"}, {"id": "c2"}]}
    customer = conversation(contacts=contacts, source={"author": {"type": "user", "id": "c2"}})
    assert read(note("conversation.x", customer)).refs == {"requester_id": "c2", "organization_id": "contact:c2"}
    agent = conversation(contacts=contacts, source={"author": {"type": "admin", "id": "a1"}})
    assert read(note("conversation.x", agent)).refs == {"requester_id": "c1", "organization_id": "contact:c1"}
    assert read(note("ticket.x", ticket(contacts=contacts, company_id="k1"))).refs == {
        "requester_id": "c1",
        "organization_id": "k1",
    }
    assert read(note("ticket.x", ticket(contacts={"contacts": "c1"}))).refs == {}


def test_an_item_without_a_requester_or_a_state_is_read_anew():
    contacts = {"contacts": [{"id": "c1"}]}
    whole = ticket(ticket_state="submitted", ticket_attributes={"_default_title_": "T"}, contacts=contacts)
    change = read(note("ticket.created", whole))
    assert (change.complete, change.thin) == (True, False)
    for name in ("ticket_state", "ticket_attributes", "contacts"):
        change = read(note("ticket.created", whole | {name: None}))
        assert (change.complete, change.thin) == (False, True)
    assert "ticket" in needs_lookup(read(note("ticket.created", whole | {"ticket_state": None})))
    assert needs_lookup(read(note("ticket.created", whole | {"contacts": None}))) == ("requester_email",)


@pytest.mark.parametrize(
    "subdomain, app, url",
    [
        (None, "tm7", "https://app.intercom.com/a/inbox/tm7/inbox/conversation/7"),
        ("app.eu.intercom.com", "tm7", "https://app.eu.intercom.com/a/inbox/tm7/inbox/conversation/7"),
        (None, "a/b", None),
        (None, None, None),
        (None, 7, None),
    ],
)
def test_a_link_is_made_of_the_workspace(subdomain, app, url):
    body = note("ticket.created", ticket(ticket_state="submitted"), app_id=app)
    assert read(body, replace(CONNECTION, subdomain=subdomain)).fields.get("url") == url
    assert "url" not in read(note("ticket.created", ticket())).fields


@pytest.mark.parametrize("body", [[], "x", None, {}, {"topic": ""}, {"topic": ["ticket.created"]}])
def test_what_is_no_notification_is_kept_aside(body):
    answer = outcome(lambda: SOURCE.normalize(orjson.loads(orjson.dumps(body)), asked(b""), CONNECTION))
    assert isinstance(answer, UnreadablePayload)
    assert answer.reason == "not_a_notification"
