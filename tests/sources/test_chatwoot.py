"""Chatwoot: time and body signed together, ids per account, and stamps of servers old and new."""

from __future__ import annotations

import copy
import hmac
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.change import Change, decode_fresh
from gateway.errors import VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.chatwoot import LACKS, SOURCE
from tests.sources.samples import request_of

SECRET = "a-webhook-secret-of-chatwoot"
CONNECTION = Connection("desk", "chatwoot", (SECRET,), prefix="C-", subdomain="chat.heronquay.example")
ARRIVAL_US = 1_793_000_000_000_000
NOW = 1_792_600_000


def payload(name: str = "created") -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(SOURCE.parse(request_of("chatwoot", name)))
    return found


def read(body: dict[str, Any], sent_s: str | None = None, connection: Connection = CONNECTION) -> Change:
    headers = () if sent_s is None else (("x-chatwoot-timestamp", sent_s),)
    (change,) = SOURCE.normalize(body, Request("POST", headers, "", b""), connection).changes
    return change


def proof(body: bytes, moment: str, joint: bytes = b".") -> Request:
    digest = hmac.new(SECRET.encode(), moment.encode() + joint + body, "sha256").hexdigest()
    return Request("POST", (("x-chatwoot-signature", f"sha256={digest}"), ("x-chatwoot-timestamp", moment)), "", body)


def refused(asked: Request, connection: Connection = CONNECTION) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, connection, NOW)
    return caught.value.reason


def test_time_and_body_are_signed_with_a_dot_between():
    SOURCE.verify(proof(b"{}", str(NOW)), CONNECTION, NOW)
    for joint in (b"", b":", b".."):
        assert refused(proof(b"{}", str(NOW), joint)) == "bad_signature"
    body_alone = hmac.new(SECRET.encode(), b"{}", "sha256").hexdigest()
    shown = (("x-chatwoot-signature", f"sha256={body_alone}"), ("x-chatwoot-timestamp", str(NOW)))
    assert refused(Request("POST", shown, "", b"{}")) == "bad_signature"


@pytest.mark.parametrize("moment", [f"{NOW}.0", f" {NOW}", f"+{NOW}", f"{NOW}\n", "1e9", "2026-10-19T08:15:30Z"])
def test_a_time_that_is_not_plain_seconds_is_refused_though_signed(moment):
    assert refused(proof(b"{}", moment)) == "bad_timestamp"


def test_a_dot_cannot_move_bytes_between_time_and_body():
    assert refused(replace(proof(b"1.{}", str(NOW)), headers=proof(b"{}", f"{NOW}.1").headers)) == "bad_timestamp"


def test_an_old_server_shows_its_secret_in_the_url():
    bearer = replace(CONNECTION, auth="bearer")
    SOURCE.verify(Request("POST", (), f"token={SECRET}", b"{}"), bearer, NOW)
    assert refused(Request("POST", (), f"token={SECRET}", b"{}")) == "missing_signature"
    assert refused(proof(b"{}", str(NOW)), bearer) == "missing_token"


def test_the_delivery_is_known_by_the_job():
    asked = request_of("chatwoot", "created")
    assert SOURCE.delivery_id(asked, None) == asked.header("x-chatwoot-delivery")


@pytest.mark.parametrize("configured, taken", [("2", True), ("3", False), (None, True)])
def test_ids_count_per_account_so_another_account_can_be_refused(configured, taken):
    for name in ("created", "first_message", "message_without_text"):
        connection = replace(CONNECTION, account_id=configured)
        if taken:
            assert read(payload(name), connection=connection).ticket == "C-77"
        else:
            with pytest.raises(VerificationError):
                read(payload(name), connection=connection)


def test_a_link_needs_host_and_account():
    url = "https://chat.heronquay.example/app/accounts/2/conversations/77"
    assert read(payload()).fields["url"] == url
    silent = payload() | {"messages": []}
    assert "url" not in read(silent).fields
    assert read(silent, connection=replace(CONNECTION, account_id="2")).fields["url"] == url
    assert "url" not in read(payload(), connection=replace(CONNECTION, subdomain=None)).fields


def stamp(change: Change) -> Any:
    return decode_fresh(change.encode()).stamp(ARRIVAL_US)


def test_an_old_servers_states_are_put_in_order_by_the_signed_time_when_nothing_was_said_between():
    resolved = payload("resolved_old")
    reopened = resolved | {"status": "open"}
    assert stamp(read(resolved, "1792404123")) < stamp(read(reopened, "1792404124"))
    assert stamp(read(reopened, "1792404124")) < stamp(read(reopened | {"timestamp": 1792404125}, "1792404125"))


def test_an_unsigned_time_of_sending_stamps_nothing():
    change = read(payload("resolved_old"), "1792404123", replace(CONNECTION, auth="bearer"))
    assert (change.updated_at_ms, change.event_at_us) == (None, None)
    assert read(payload(), "1792404123", replace(CONNECTION, auth="bearer")).updated_at_ms == 1_792_397_730_300


@pytest.mark.parametrize("moment", ["", "x", "1" * 13, "\u0661"])
def test_a_time_of_sending_that_cannot_be_read_is_none(moment):
    assert read(payload("resolved_old"), moment).event_at_us is None


@pytest.mark.parametrize("shown", [None, True, -1, 10**20, "soon", []])
def test_a_time_that_is_none_stamps_nothing(shown):
    assert read(payload() | {"updated_at": shown}).updated_at_ms is None


def test_times_may_be_texts():
    assert read(payload() | {"updated_at": "2026-10-19T08:15:30.300Z"}).updated_at_ms == 1_792_397_730_300


def test_company_and_agent_are_what_a_body_does_not_tell():
    assert needs_lookup(read(payload()), LACKS) == ("agent_email", "company")
    assert needs_lookup(read(payload("by_mail")), LACKS) == ("company",)
    assert needs_lookup(read(payload("anonymous")), LACKS) == ("requester_email", "agent_email", "company")


@pytest.mark.parametrize(
    "seconds, opened", [(-2, False), (-1.9, True), (0, True), (1.9, True), (2, False), (60, False)]
)
def test_only_a_message_of_the_first_moment_is_the_description(seconds, opened):
    message = payload("first_message") | {"created_at": 1_792_397_730 + seconds}
    assert ("description" in read(message).fields) == opened
    assert "description" not in read(message | {"event": "message_updated"}).fields
    assert "description" not in read(message | {"private": None}).fields


@pytest.mark.parametrize(
    "more",
    [{"private": True}, {"private": None}, {"message_type": 1}, {"message_type": 3}, {"created_at": 1_792_397_732}],
)
def test_what_a_new_conversation_holds_is_its_description_only_if_it_opened_it(more):
    created = payload("created_with_first_message")
    (message,) = created["messages"]
    assert "description" in read(created).fields
    assert "description" not in read(created | {"messages": [message | more]}).fields
    assert "description" not in read(created | {"event": "conversation_updated"}).fields
    empty: tuple[Any, ...] = (None, [], [7], {"0": message})
    for listed in empty:
        assert "description" not in read(created | {"messages": listed}).fields
