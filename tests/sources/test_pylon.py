from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.pylon import SOURCE
from tests.sources.signers import body_hex

SECRET = "pylon-secret-of-this-webhook"
CONNECTION = Connection("pylon", "pylon", (SECRET,))
BODY = b'{"issue_id": "7c0d8d5e"}'
HEADER = "x-pylon-signature"
RIGHT = body_hex(HEADER)(SECRET, BODY, 0.0)[HEADER]


def shown(signature: str, body: bytes = BODY, name: str = HEADER) -> Request:
    return Request("POST", ((name, signature),), "", body)


def refused(asked: Request) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, CONNECTION, 0.0)
    return caught.value.reason


def test_a_signature_over_the_body_is_taken_at_any_time():
    for now_s in (0.0, 4e9):
        SOURCE.verify(shown(RIGHT), CONNECTION, now_s)


@pytest.mark.parametrize("signature", ["hs256=" + RIGHT, "sha256=" + RIGHT, RIGHT.upper(), RIGHT + ",x", RIGHT[:-2]])
def test_namesakes_and_other_spellings_are_refused(signature):
    assert refused(shown(signature)) == "bad_signature"


def test_a_namesakes_header_is_no_proof():
    assert refused(shown(RIGHT, name="pylon-webhook-signature")) == "missing_signature"


def test_a_delivery_has_no_id_of_its_own():
    assert SOURCE.delivery_id(shown(RIGHT), {"issue_id": "7c0d8d5e", "id": "9"}) is None


def read(body: Any) -> Any:
    return SOURCE.normalize(body, Request("POST", (), "", b""), CONNECTION).changes[0]


def test_without_a_look_up_the_ticket_lacks_itself_and_its_requester():
    assert needs_lookup(read({"issue_id": "1", "title": "A"})) == ("ticket", "requester_email")
    whole = {"issue_id": "1", "title": "A", "state": "new", "requester_email": "a@quarry.example"}
    assert needs_lookup(read(whole)) == ()
    assert read(whole).thin


@pytest.mark.parametrize("bad", ["../x", "a b", "x" * 65, "{{issue.id}}", 1.5, True, 2**60, ["1"]])
def test_an_id_that_no_issue_can_have_is_kept_aside(bad):
    with pytest.raises(UnreadablePayload) as caught:
        read({"issue_id": bad})
    assert caught.value.reason == "bad_ticket_id"
