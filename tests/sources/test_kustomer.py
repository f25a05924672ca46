"""Kustomer: the signature, names that are signed and names that are not, and one customer for address and company."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.errors import VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.kustomer import SOURCE
from tests.sources.samples import request_of
from tests.sources.signers import body_hex

if TYPE_CHECKING:
    from gateway.core.change import Change

TOKEN = "a-webhook-token-of-kustomer"
CONNECTION = Connection("desk", "kustomer", (TOKEN,), prefix="K-", subdomain="heronquay")


def event(**attributes: Any) -> dict[str, Any]:
    shown = {"status": "open", "updatedAt": "2026-10-19T09:02:11.398Z", **attributes}
    return {
        "id": "e1",
        "name": "kustomer.conversation.update",
        "org": "51f0",
        "data": {"id": "c1", "attributes": shown},
    }


def read(payload: dict[str, Any], connection: Connection = CONNECTION) -> Change:
    (change,) = SOURCE.normalize(payload, Request("POST", (), "", b""), connection).changes
    return change


def test_the_signature_is_bare_lower_case_hex_over_the_raw_body():
    body = b'{"id": "e1"}'
    signed = Request("POST", tuple(body_hex("x-kustomer-webhook-signature")(TOKEN, body, 0).items()), "", body)
    SOURCE.verify(signed, CONNECTION, 0)
    SOURCE.verify(signed, CONNECTION, 10**9)  # no time is signed
    shown = signed.header("x-kustomer-webhook-signature") or ""
    for other in (shown.upper(), "sha256=" + shown, shown[:40]):
        with pytest.raises(VerificationError):
            SOURCE.verify(Request("POST", (("x-kustomer-webhook-signature", other),), "", body), CONNECTION, 0)


def test_the_delivery_is_known_by_the_envelopes_id_and_the_ticket_by_the_datas():
    asked = request_of("kustomer", "created")
    payload = SOURCE.parse(asked)
    assert SOURCE.delivery_id(asked, payload) == payload["id"] != payload["data"]["id"]
    assert SOURCE.delivery_id(asked, None) is None
    assert read(payload).ticket == "K-" + payload["data"]["id"]


def test_a_customer_is_asked_for_its_address_and_for_its_company():
    asked = request_of("kustomer", "created")
    change = read(SOURCE.parse(asked))
    assert change.refs["requester_id"] == change.refs["organization_id"]
    lacks = SOURCE.normalize(SOURCE.parse(asked), asked, CONNECTION).lacks
    assert needs_lookup(change, lacks) == ("requester_email", "company", "agent_email", "tags")
    bare = read(SOURCE.parse(request_of("kustomer", "snoozed")))
    assert needs_lookup(bare, lacks) == ("requester_email", "company")


@pytest.mark.parametrize("shown, kept", [(5, "5"), ("3", "3"), (None, ""), (True, ""), ([], "")])
def test_a_priority_stays_the_number_that_it_is(shown, kept):
    assert read(event(priority=shown)).fields["severity"] == kept


@pytest.mark.parametrize("users, agent", [(["u1", "u2"], "u1"), ([None, "u2"], "u2"), ([], None), ([7.5], None)])
def test_the_first_of_the_assigned_users_is_the_agent(users, agent):
    assert read(event(assignedUsers=users)).refs == {"assignee_id": agent}
    assert read(event(assignedUsers="u1")).refs == {}


def test_a_conversation_without_its_status_is_less_than_the_conversation_and_read_anew():
    change = read(event(status=None, name="Belt slips"))
    assert (change.thin, change.complete, change.fields["title"]) == (True, False, "Belt slips")
    assert "ticket" in needs_lookup(change)
    assert not read(event()).thin


@pytest.mark.parametrize("shown", ["2026-10-19T09:02:11.398Z", "2026-10-19T11:02:11.398+02:00", 1_792_400_531_398])
def test_times_are_texts_or_milliseconds(shown):
    body = event(updatedAt=shown, createdAt=shown) | {"createdAt": shown}
    change = read(body)
    assert change.updated_at_ms == change.created_at_ms == 1_792_400_531_398
    assert change.event_at_us == 1_792_400_531_398_000
    assert read(event(updatedAt=None, modifiedAt=shown)).updated_at_ms == 1_792_400_531_398


def test_bodies_of_another_organisation_are_refused_where_one_is_configured():
    payload = orjson.loads(request_of("kustomer", "created").body)
    for account in ("51f0a7c3d2e4b6001a9900aa", "heronquay"):
        assert read(payload, Connection("desk", "kustomer", (TOKEN,), account_id=account)).fields
    with pytest.raises(VerificationError):
        read(payload, Connection("desk", "kustomer", (TOKEN,), account_id="acme"))


def test_spam_that_is_none_any_more_lives():
    assert read(event(spam=True)).life == "deleted"
    assert read(event(spam=False)).life == "live"
    assert read(event()).life == ""
