from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.errors import VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.plain import SOURCE
from tests.sources.samples import request_of

SECRET = "plain-secret-of-the-workspace"
NOW = 1_792_062_354.5
CONNECTION = Connection("plain", "plain", (SECRET,), account_id="w_01J9QK7B2M4S6T8V0X1Y3Z5A7C")
HEADER = "plain-request-signature"


def signed(body: bytes, secret: str = SECRET, *more: tuple[str, str]) -> Request:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return Request("POST", ((HEADER, digest), *more), "", body)


def event(**more: Any) -> bytes:
    asked = request_of("plain", "status_done")
    return orjson.dumps(orjson.loads(asked.body) | more)


def refused(asked: Request, connection: Connection = CONNECTION, now_s: float = NOW) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, connection, now_s)
    return caught.value.reason


def read(body: bytes, connection: Connection = CONNECTION) -> Any:
    asked = Request("POST", (), "", body)
    return SOURCE.normalize(SOURCE.parse(asked), asked, connection)


# ------------------------------------------------------------------------------------------------------------- vectors
def test_the_published_vector_is_accepted_though_its_body_is_no_event():
    right = "1bff4699de4fb5202a4b1e6cefd7b5fdfb02d19a67a1eb371dd417a45b0a47df"
    connection = replace(CONNECTION, secrets=("secret",))
    asked = Request("POST", ((HEADER, right),), "", b"hello-world")
    SOURCE.verify(asked, connection, NOW)
    assert refused(replace(asked, body=b"hello-world\n"), connection) == "bad_signature"
    assert refused(Request("POST", ((HEADER, right.upper()),), "", b"hello-world"), connection) == "bad_signature"


# ---------------------------------------------------------------------------------------------------------------- time
def test_the_time_of_the_attempt_counts_and_not_the_events():
    SOURCE.verify(signed(event(timestamp="2020-01-01T00:00:00.000Z")), CONNECTION, NOW)
    for off in (-300, 300):
        SOURCE.verify(signed(event()), CONNECTION, NOW + off)
        assert refused(signed(event()), now_s=NOW + off * 1.01) == "stale_timestamp"


def test_a_header_cannot_make_an_old_body_young():
    header = ("plain-webhook-delivery-attempt-timestamp", "2026-10-15T21:05:54.500Z")
    assert refused(signed(event(), SECRET, header), now_s=NOW + 36_000) == "stale_timestamp"


@pytest.mark.parametrize(
    "metadata, reason",
    [
        (None, "missing_timestamp"),
        ({}, "missing_timestamp"),
        ([], "missing_timestamp"),
        ({"webhookDeliveryAttemptTimestamp": None}, "missing_timestamp"),
        ({"webhookDeliveryAttemptTimestamp": 1792062354}, "bad_timestamp"),
        ({"webhookDeliveryAttemptTimestamp": "2026-10-15"}, "bad_timestamp"),
        ({"webhookDeliveryAttemptTimestamp": "2026-10-15T11:05:54.500"}, "bad_timestamp"),
    ],
)
def test_an_event_without_a_readable_time_is_refused_though_signed(metadata, reason):
    assert refused(signed(event(webhookMetadata=metadata))) == reason


def test_a_shown_secret_dates_nothing():
    asked = Request("POST", (("authorization", f"Bearer {SECRET}"),), "", event(webhookMetadata=None))
    SOURCE.verify(asked, replace(CONNECTION, auth="bearer"), NOW)


# ------------------------------------------------------------------------------------------------------- what it means
def test_an_event_is_known_by_its_signed_id_on_every_attempt():
    asked = signed(event(), SECRET, ("plain-event-id", "other"))
    assert SOURCE.delivery_id(asked, SOURCE.parse(asked)) == "pEv_01J9QM2N4P6Q8R0S2T4V6W8X0Y"
    assert SOURCE.delivery_id(asked, []) is None


@pytest.mark.parametrize("workspace", ["w_other", None, 7, ["w_01J9QK7B2M4S6T8V0X1Y3Z5A7C"]])
def test_another_workspace_is_refused(workspace):
    with pytest.raises(VerificationError) as caught:
        read(event(workspaceId=workspace))
    assert caught.value.reason == "account_mismatch"
    assert read(event(workspaceId=workspace), replace(CONNECTION, account_id=None)).changes


def test_only_the_company_is_lacking():
    found = read(event())
    assert needs_lookup(found.changes[0], found.lacks) == ("company",)


def test_a_thread_that_is_no_spam_any_more_comes_back():
    # "TODO" is Plain's word for an open thread.
    thread = {"id": "th_1", "title": "A", "status": "TODO", "customer": {"markedAsSpamAt": None}}
    assert read(event(payload={"thread": thread})).changes[0].life == "live"
    del thread["customer"]
    assert read(event(payload={"thread": thread})).changes[0].life == ""


@pytest.mark.parametrize("ticket, workspace", [("th_1", "w_1/../x"), ("th_1?a", "w_1"), ("th_1", None)])
def test_a_link_is_made_of_ids_only(ticket, workspace):
    thread = {"id": ticket, "title": "A"}
    found = read(event(payload={"thread": thread}, workspaceId=workspace), replace(CONNECTION, account_id=None))
    assert "url" not in found.changes[0].fields
