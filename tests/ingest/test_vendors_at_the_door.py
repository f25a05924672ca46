"""Jira, Intercom and HubSpot as their servers really call: over HTTP, with the address that was called."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.app import create_app
from gateway.settings import from_env
from tests.ingest.server import call, running

if TYPE_CHECKING:
    from collections.abc import Iterator

PHRASE = "It's a Secret to Everybody"
INTERCOM = "client-secret-of-intercom-0123"
HUBSPOT = "client-secret-of-hubspot-0123"
EVENT = json.dumps([{"subscriptionType": "ticket.creation", "objectId": 7, "occurredAt": 1_791_787_269_120}]).encode()
PING = (
    b'{"type": "notification_event", "topic": "ping", "app_id": "tm7", "id": null, "data": {"item": {"type": "ping"}}}'
)
TALK = json.dumps(
    {
        "type": "notification_event",
        "topic": "conversation.user.created",
        "id": "notif_1",
        "app_id": "tm7",
        "created_at": 1_791_787_275,
        "data": {"item": {"type": "conversation", "id": "8", "state": "open", "updated_at": 1_791_787_274}},
    }
).encode()


def environment(redis_url: str, **more: str) -> dict[str, str]:
    secrets = {
        "JIRA_SERVICE_MANAGEMENT_WEBHOOK_SECRET": PHRASE,
        "INTERCOM_WEBHOOK_SECRET": INTERCOM,
        "HUBSPOT_WEBHOOK_SECRET": HUBSPOT,
    }
    return {"REDIS_URL": redis_url, **secrets, **more}


@pytest.fixture
def port(redis_url: str) -> Iterator[int]:
    with running(create_app(from_env(environment(redis_url)))) as found:
        yield found


def signed_sha1(body: bytes, secret: str = INTERCOM) -> dict[str, str]:
    mac = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
    return {"content-type": "application/json", "x-hub-signature": f"sha1={mac}"}


def signed_for(url: str, body: bytes = EVENT, *, at_s: float | None = None, **more: str) -> dict[str, str]:
    moment = str(int((time.time() if at_s is None else at_s) * 1000))
    mac = hmac.new(HUBSPOT.encode(), f"POST{url}".encode() + body + moment.encode(), hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "x-hubspot-request-timestamp": moment,
        "x-hubspot-signature-v3": base64.b64encode(mac).decode(),
        **more,
    }


def test_jiras_published_vector_is_authentic_and_kept_whole_since_it_is_no_json(port: int) -> None:
    vector = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
    headers = {"content-type": "application/json", "x-hub-signature": vector}
    answer = call(port, "/webhooks/jira_service_management", b"Hello World!", headers)
    assert (answer.status, answer.said["status"], answer.said["reason"]) == (202, "quarantined", "not_json")
    assert call(port, "/webhooks/jira_service_management", b"Hello World?", headers).status == 401
    assert call(port, "/webhooks/intercom", b"Hello World!", headers).status == 401


def test_intercoms_probe_and_pings_are_answered_and_do_nothing(port: int) -> None:
    probe = call(port, "/webhooks/intercom", method="HEAD")
    assert (probe.status, probe.said) == (200, None)
    assert call(port, "/webhooks/hubspot", method="HEAD").status == 405
    assert call(port, "/webhooks/intercom", method="GET").status == 405
    assert call(port, "/webhooks/intercom", PING, {"content-type": "application/json"}).status == 200
    assert call(port, "/webhooks/intercom", PING, signed_sha1(PING)).said["status"] == "ignored"
    assert call(port, "/webhooks/intercom", PING, signed_sha1(PING, "another-secret-0123")).status == 401


def test_intercom_is_answered_200_with_our_words(port: int) -> None:
    first, again = (call(port, "/webhooks/intercom", TALK, signed_sha1(TALK)) for _ in range(2))
    assert (first.status, first.said["status"], first.said["tickets"]) == (200, "accepted", ["intercom:8"])
    assert (again.status, again.said["status"]) == (200, "duplicate")


@pytest.mark.parametrize("path", ["/webhooks/hubspot", "/webhooks/hubspot/", "/webhooks/hubspot?a=%3A%20b"])
def test_hubspot_signs_the_address_that_it_called(port: int, path: str) -> None:
    signed = path.replace("%3A", ":")
    for scheme in ("http", "https"):
        answer = call(port, path, EVENT, signed_for(f"{scheme}://127.0.0.1:{port}{signed}"))
        assert (answer.status, answer.said["tickets"]) in ((202, ["hubspot:7"]), (200, ["hubspot:7"]))
    assert call(port, path, EVENT, signed_for(f"http://127.0.0.1:{port}/webhooks/other")).status == 401
    elsewhere: dict[str, Any] = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"}
    assert call(port, path, EVENT, signed_for(f"https://evil.example{signed}", **elsewhere)).status == 401


def test_a_replay_of_hubspots_request_is_a_duplicate_and_later_refused(port: int) -> None:
    url = f"https://127.0.0.1:{port}/webhooks/hubspot"
    headers = signed_for(url)
    assert call(port, "/webhooks/hubspot", EVENT, headers).said["status"] == "accepted"
    assert call(port, "/webhooks/hubspot", EVENT, headers).said["status"] == "duplicate"
    assert call(port, "/webhooks/hubspot", EVENT, signed_for(url, at_s=time.time() - 310)).status == 401


def test_with_a_public_address_hubspot_must_have_called_that(redis_url: str) -> None:
    settings = from_env(environment(redis_url, PUBLIC_URL="https://gateway.mill.example/"))
    with running(create_app(settings)) as port:
        right = signed_for("https://gateway.mill.example/webhooks/hubspot")
        assert call(port, "/webhooks/hubspot", EVENT, right).status == 202
        assert (
            call(port, "/webhooks/hubspot", EVENT, signed_for(f"http://127.0.0.1:{port}/webhooks/hubspot")).status
            == 401
        )
        spoofed = signed_for("https://evil.example/webhooks/hubspot", host="evil.example")
        assert call(port, "/webhooks/hubspot", EVENT, spoofed).status == 401
