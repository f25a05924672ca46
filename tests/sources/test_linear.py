from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.errors import VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.linear import SOURCE
from tests.sources.samples import request_of

SECRET = "lin_wh_secret-of-this-webhook"
NOW = 1_791_900_000.0
CONNECTION = Connection("linear", "linear", (SECRET,), account_id="5d0f5a5b-0c50-4a8e-a1a1-6c0b8b5d3e77")


def signed(body: bytes, *more: tuple[str, str]) -> Request:
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return Request("POST", (("linear-signature", digest), *more), "", body)


def event(name: str = "created", **more: Any) -> bytes:
    return orjson.dumps(orjson.loads(request_of("linear", name).body) | more)


def refused(asked: Request, now_s: float = NOW) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, CONNECTION, now_s)
    return caught.value.reason


def read(body: bytes, connection: Connection = CONNECTION) -> Any:
    asked = Request("POST", (), "", body)
    return SOURCE.normalize(SOURCE.parse(asked), asked, connection)


# ---------------------------------------------------------------------------------------------------------------- time
def test_the_time_in_the_body_counts_in_milliseconds():
    for off in (-300, 0, 300):
        SOURCE.verify(signed(event()), CONNECTION, NOW + off)
    assert refused(signed(event()), NOW + 301) == "stale_timestamp"
    assert refused(signed(event(webhookTimestamp=1_791_900_000))) == "stale_timestamp"


def test_the_unsigned_header_is_no_time():
    header = ("linear-timestamp", str(int(NOW * 1000)))
    assert refused(signed(event(webhookTimestamp=None), header)) == "missing_timestamp"
    assert refused(signed(event(webhookTimestamp=1), header)) == "stale_timestamp"


@pytest.mark.parametrize("moment", ["1791900000000", 1.5e12, True, 0, -5, 10**18, [], {}])
def test_a_time_of_another_kind_is_refused_though_signed(moment):
    assert refused(signed(event(webhookTimestamp=moment))) == "bad_timestamp"


def test_an_event_that_is_no_object_has_no_time_and_changes_nothing():
    for body in (b"[]", b"null", b"{", b'"webhookTimestamp"'):
        SOURCE.verify(signed(body), CONNECTION, NOW)


def test_a_shown_secret_dates_nothing():
    asked = Request("POST", (("authorization", f"Bearer {SECRET}"),), "", event(webhookTimestamp=None))
    SOURCE.verify(asked, replace(CONNECTION, auth="bearer"), NOW)


# ------------------------------------------------------------------------------------------------------- what it means
def test_linear_is_answered_with_200_and_knows_a_delivery_by_its_header():
    reply = SOURCE.acknowledge(stored=True)
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"")
    assert SOURCE.delivery_id(signed(b"{}", ("linear-delivery", "c1b7f1d4")), {"id": "x"}) == "c1b7f1d4"


@pytest.mark.parametrize("workspace", ["other", None, 7])
def test_another_workspace_is_refused(workspace):
    for name in ("created", "comment"):
        with pytest.raises(VerificationError) as caught:
            read(event(name, organizationId=workspace))
        assert caught.value.reason == "account_mismatch"
    assert read(event(organizationId=workspace), replace(CONNECTION, account_id=None)).changes


def test_an_issue_lacks_what_linear_does_not_know():
    found = read(event())
    assert needs_lookup(found.changes[0], found.lacks) == ("requester_email", "agent_email", "company")


@pytest.mark.parametrize(
    "number, label, word",
    [(0, "Keine", ""), (4, "Niedrig", "low"), (7, "Severe", "severe"), (None, "Urgent", "urgent"), (7, None, None)],
)
def test_a_priority_is_its_number_and_else_its_label(number, label, word):
    data = {"id": "1", "title": "A", "priority": number, "priorityLabel": label}
    assert read(event(data=data)).changes[0].fields.get("severity") == word


@pytest.mark.parametrize(
    "action, life", [("create", "live"), ("update", ""), ("remove", "deleted"), ("restore", "live")]
)
def test_an_action_says_whether_the_issue_exists(action, life):
    change = read(event(action=action)).changes[0]
    assert (change.life, change.creation) == (life, action == "create")


def test_a_restored_issue_is_newer_than_its_removal_though_its_own_time_stands_still():
    removed, restored = read(event("removed")).changes[0], read(event("restored")).changes[0]
    assert restored.updated_at_ms > removed.updated_at_ms > read(event()).changes[0].updated_at_ms
