"""Zammad: SHA-1 and nothing else, whole tickets without an event's name, and notes that stay inside."""

from __future__ import annotations

import copy
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.zammad import LACKS, SOURCE
from tests.sources.samples import request_of

if TYPE_CHECKING:
    from gateway.core.change import Change

TOKEN = "a-signature-token-of-zammad"
CONNECTION = Connection("desk", "zammad", (TOKEN,), prefix="Z-", subdomain="desk.heronquay.example")


def payload(**ticket: Any) -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(SOURCE.parse(request_of("zammad", "created")))
    found["ticket"] |= ticket
    return found


def read(body: dict[str, Any], connection: Connection = CONNECTION) -> Change:
    (change,) = SOURCE.normalize(body, Request("POST", (), "", b""), connection).changes
    return change


def test_only_sha1_is_taken_because_other_senders_use_the_same_header():
    body = b'{"ticket": {"id": 7}}'
    for name in ("sha1", "sha256", "sha512"):
        digest = hmac.new(TOKEN.encode(), body, name).hexdigest()
        asked = Request("POST", (("x-hub-signature", f"{name}={digest}"),), "", body)
        if name == "sha1":
            SOURCE.verify(asked, CONNECTION, 0)
        else:
            with pytest.raises(VerificationError):
                SOURCE.verify(asked, CONNECTION, 0)
    for shown in (hashlib.sha1(TOKEN.encode()).hexdigest(), hashlib.sha1(body).hexdigest()):  # noqa: S324
        with pytest.raises(VerificationError):
            SOURCE.verify(Request("POST", (("x-hub-signature", f"sha1={shown}"),), "", body), CONNECTION, 0)


def test_the_delivery_is_known_by_the_job():
    asked = request_of("zammad", "created")
    assert SOURCE.delivery_id(asked, None) == asked.header("x-zammad-delivery")
    assert SOURCE.delivery_id(Request("POST", (), "", b""), None) is None


def test_the_link_is_made_of_the_configured_host():
    assert read(payload()).fields["url"] == "https://desk.heronquay.example/#ticket/zoom/512"
    assert "url" not in read(payload(), Connection("desk", "zammad", (TOKEN,))).fields
    assert "url" not in read({"ticket": {"id": 512}}).fields


def test_tags_are_what_a_payload_never_tells():
    assert needs_lookup(read(payload()), LACKS) == ("tags",)
    assert needs_lookup(read(payload(tags=[])), LACKS) == ()
    assert needs_lookup(read(payload(state="merged")), LACKS) == ()


@pytest.mark.parametrize(
    "shown, severity",
    [
        ("2 normal", "normal"),
        ({"name": "3 high"}, "high"),
        ("urgent", "urgent"),
        ({"id": 2}, ""),
        ("10 Low one", "low one"),
    ],
)
def test_a_priority_loses_its_rank(shown, severity):
    assert read(payload(priority=shown)).fields["severity"] == severity


@pytest.mark.parametrize("state", ["merged", {"name": "Merged"}, " merged "])
def test_a_merged_ticket_is_gone_without_a_word_of_it(state):
    change = read(payload(state=state))
    assert (change.life, change.fields, change.refs) == ("deleted", {}, {})


def test_a_ticket_that_was_not_changed_since_its_first_second_is_new():
    assert read(payload()).creation
    assert not read(payload(updated_at="2026-10-19T08:15:31.120Z")).creation
    assert not read(payload(created_at=None)).creation
    assert not read(payload(state=None)).creation


@pytest.mark.parametrize("internal", [True, "false", None, 0])
def test_an_article_that_is_not_plainly_public_is_no_description(internal):
    body = payload()
    body["article"]["internal"] = internal
    assert "description" not in read(body).fields


@pytest.mark.parametrize("ids", [[9000, 9001], [], None, "9001", [True]])
def test_an_article_that_is_not_the_first_is_no_description(ids):
    assert "description" not in read(payload(article_ids=ids)).fields


def test_who_is_not_shown_is_unknown_and_who_is_null_is_nobody():
    bare = payload()
    for name in ("customer", "owner", "organization", "customer_id"):
        bare["ticket"].pop(name)
    change = read(bare)
    assert not {"email", "name", "agentEmail", "domains"} & change.fields.keys()
    assert change.refs == {}
    assert read(payload(customer=None, owner=None)).fields["email"] == ""
