from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.errors import VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.github import SOURCE
from tests.sources.samples import request_of

SECRET = "It's a Secret to Everybody"
CONNECTION = Connection("github", "github", (SECRET,))
HEADER = "x-hub-signature-256"
PING = b'{"zen": "Measure twice.", "hook_id": 1, "hook": {}}'


def signed(body: bytes, secret: str = SECRET, *more: tuple[str, str]) -> Request:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return Request("POST", ((HEADER, f"sha256={digest}"), *more), "", body)


def refused(asked: Request, connection: Connection = CONNECTION) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, connection, 0.0)
    return caught.value.reason


def sample(name: str, **more: Any) -> Any:
    return orjson.loads(request_of("github", name).body) | more


def read(payload: Any, connection: Connection = CONNECTION) -> Any:
    return SOURCE.normalize(payload, Request("POST", (), "", b""), connection)


# -------------------------------------------------------------------------------------------------------------- proofs
def test_the_published_vector_is_accepted_and_its_neighbours_are_not():
    right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    asked = Request("POST", ((HEADER, right),), "", b"Hello, World!")
    SOURCE.verify(asked, CONNECTION, 0.0)
    assert refused(replace(asked, body=b"Hello World!")) == "bad_signature"
    for other in (right[7:], right.upper(), "SHA256=" + right[7:], "sha1=" + right[7:]):
        assert refused(Request("POST", ((HEADER, other),), "", b"Hello, World!")) == "bad_signature"


def test_the_older_header_proves_nothing():
    digest = hmac.new(SECRET.encode(), b"{}", hashlib.sha1).hexdigest()
    assert refused(Request("POST", (("x-hub-signature", f"sha1={digest}"),), "", b"{}")) == "missing_signature"
    assert refused(Request("POST", ((HEADER, f"sha1={digest}"),), "", b"{}")) == "bad_signature"


@pytest.mark.parametrize("auth, secret, fine", [
    ("signature", SECRET, True),
    ("signature", "It's a\tsecret to everybody", False),
    ("bearer", SECRET, False),
    ("bearer", "It-is-a-token-of-ours", True),
])  # fmt: skip
def test_a_phrase_can_be_a_secret_and_no_token(auth, secret, fine):
    assert (SOURCE.check_secret(secret, auth) is None) == fine


# ---------------------------------------------------------------------------------------------------------------- ping
def test_a_signed_ping_is_answered_and_makes_nothing():
    reply = SOURCE.handshake(signed(PING, SECRET, ("x-github-event", "ping")), CONNECTION)
    assert reply is not None
    assert (reply.status, reply.body) == (200, b'{"status":"pong"}')
    assert read(orjson.loads(PING)).ignored


def test_a_ping_with_a_wrong_secret_is_left_to_the_proof_so_that_the_administrator_sees_it():
    asked = signed(PING, "another secret of some length", ("x-github-event", "ping"))
    assert SOURCE.handshake(asked, CONNECTION) is None
    assert refused(asked) == "bad_signature"


def test_where_nothing_can_be_proved_only_the_form_is_asked():
    asked = Request("POST", (("x-github-event", "ping"),), "", PING)
    assert SOURCE.handshake(asked, replace(CONNECTION, secrets=()))
    assert SOURCE.handshake(asked, CONNECTION) is None


@pytest.mark.parametrize("body", [b'{"action": "opened", "issue": {"id": 1}, "zen": "x"}', b"{}", b"[]", b"{", b""])
def test_the_unsigned_event_header_cannot_hide_an_issue(body):
    assert SOURCE.handshake(signed(body, SECRET, ("x-github-event", "ping")), CONNECTION) is None
    assert SOURCE.handshake(signed(PING, SECRET, ("x-github-event", "issues")), CONNECTION) is None


# ------------------------------------------------------------------------------------------------------- what it means
def test_a_delivery_is_known_by_its_guid():
    asked = signed(b"{}", SECRET, ("x-github-delivery", "1f0a9d52-9d4e"))
    assert SOURCE.delivery_id(asked, {"id": 7}) == "1f0a9d52-9d4e"
    assert SOURCE.delivery_id(signed(b"{}"), {}) is None


@pytest.mark.parametrize("account", ["660042", "tallgrass-example", "Tallgrass-Example/Meter-Firmware"])
def test_a_connection_is_bound_to_an_installation_an_owner_or_a_repository(account):
    connection = replace(CONNECTION, account_id=account)
    assert read(sample("deleted"), connection).changes
    for other in ({"installation": {"id": 1}, "repository": None}, {"installation": None, "repository": {"id": 2}}):
        with pytest.raises(VerificationError) as caught:
            read(sample("deleted", **other), connection)
        assert caught.value.reason == "account_mismatch"


def test_an_issue_lacks_what_github_does_not_know():
    found = read(sample("opened"))
    assert needs_lookup(found.changes[0], found.lacks) == ("requester_email", "company")


@pytest.mark.parametrize("action", ["created", "edited", "deleted", "transferred", "opened"])
def test_what_happens_to_a_comment_happens_not_to_its_issue(action):
    change = read(sample("comment_created", action=action)).changes[0]
    assert (change.life, change.creation, change.complete) == ("", False, True)


@pytest.mark.parametrize("action", ["edited", "reopened", "pinned", "typed", None, ["opened"], {"a": 1}])
def test_every_other_action_shows_the_issue_and_says_nothing_of_its_existence(action):
    change = read(sample("opened", action=action)).changes[0]
    assert (change.life, change.creation, change.fields["status"]) == ("", False, "open")
