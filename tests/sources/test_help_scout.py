from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.help_scout import EVENT, SIGNATURE, SOURCE
from gateway.sources.help_scout_conversations import conversation_fields, number_of
from tests.sources.samples import outcome, request_of

if TYPE_CHECKING:
    from gateway.core.change import Change

SECRET = "help-scout-secret-0123"
CONNECTION = Connection("help_scout", "help_scout", (SECRET,), prefix="H-")
BODY = request_of("help_scout", "created").body
CONVERSATION = orjson.loads(BODY)
TEST = (EVENT, "helpscout.test")
NAMES = ("convo.created", "convo.status", "convo.deleted", "convo.merged", "customer.deleted", "tag.updated", "x", "")


def shown(signature: str, body: bytes = BODY, *headers: tuple[str, str]) -> Request:
    return Request("POST", ((SIGNATURE, signature), *headers), "", body)


def made(body: bytes, algorithm: str = "sha1", secret: str = SECRET) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, algorithm).digest()).decode()


def refused(asked: Request, connection: Connection = CONNECTION) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, connection, 0.0)
    return caught.value.reason


def named(body: Any, event: str, connection: Connection = CONNECTION) -> tuple[Change, ...]:
    asked = Request("POST", ((EVENT, event),), "", orjson.dumps(body))
    return SOURCE.normalize(SOURCE.parse(asked), asked, connection).changes


# ------------------------------------------------------------------------------------------------------------- proofs
def test_the_published_vector_is_accepted():
    connection = replace(CONNECTION, secrets=("asdfasdf",))
    SOURCE.verify(shown("7S2+kN8bZsrdAEADJ+yYfWWsf/4=", b'{"id":123}'), connection, 0.0)
    assert refused(shown("7S2+kN8bZsrdAEADJ+yYfWWsf/4=", b'{"id":124}'), connection) == "bad_signature"
    assert SOURCE.check_secret("asdfasdf", "signature")  # fit for an example only


@pytest.mark.parametrize(
    "signature",
    [
        made(BODY)[:-1],
        made(BODY) + "=",
        " " + made(BODY),
        "sha1=" + made(BODY),
        made(BODY, "sha256"),
        made(BODY, "md5"),
        hmac.new(SECRET.encode(), BODY, hashlib.sha1).hexdigest(),
        base64.urlsafe_b64encode(hmac.new(SECRET.encode(), b"~~~" * 9, "sha1").digest()).decode(),
    ],
)
def test_a_signature_that_is_not_exactly_right_is_refused(signature):
    assert refused(shown(signature)) == "bad_signature"


def test_two_events_in_one_request_prove_nothing():
    assert refused(shown(made(BODY), BODY, (EVENT, "a"), (EVENT, "b"))) == "doubled_header"


# ------------------------------------------------------------------------------------------------------- unsigned names
@pytest.mark.parametrize("event", NAMES)
def test_a_whole_conversation_is_deleted_under_no_name(event):
    (change,) = named(CONVERSATION, event)
    assert change.life in ("", "live")
    assert change.fields["status"] == "active"
    assert change.updated_at_ms == 1791787269000  # an old body stays old under a new name


@pytest.mark.parametrize("event", [name for name in NAMES if name != "convo.deleted"])
def test_an_id_alone_is_a_deletion_under_its_own_name_only(event):
    asked = Request("POST", ((EVENT, event),), "", b'{"id": 7}')
    answer = outcome(lambda: SOURCE.normalize({"id": 7}, asked, CONNECTION))
    assert isinstance(answer, UnreadablePayload) or not any(change.life for change in answer.changes)


@pytest.mark.parametrize("more", [{"deleted": True}, {"number": 1}, {"_links": {}}, {"status": "closed"}, {"Id": 7}])
def test_more_than_an_id_is_no_deletion(more):
    (change,) = named({"id": 7, **more}, "convo.deleted")
    assert (change.life, change.thin, change.fields) == ("", True, {})


@pytest.mark.parametrize("event", ["beacon.chat.created", "satisfaction.ratings", "tag.updated"])
def test_another_record_is_ignored_even_where_it_looks_like_a_conversation(event):
    chat = {"id": "8b2f-11", "status": "active", "subject": "Belt", "mailboxId": 12}
    for body in (chat, {"id": 7, "status": "active", "mailboxId": 12}):
        answer = SOURCE.normalize(body, Request("POST", ((EVENT, event),), "", b""), CONNECTION)
        assert answer.ignored
        assert not answer.changes


def test_a_conversation_without_its_subject_is_read_and_read_anew():
    (change,) = named({key: value for key, value in CONVERSATION.items() if key != "subject"}, "convo.status")
    assert (change.fields["status"], change.thin, change.complete) == ("active", True, False)
    assert "ticket" in needs_lookup(change)
    (change,) = named(CONVERSATION | {"status": "Closed", "subject": None}, "convo.status")
    assert (change.fields["status"], change.fields["title"], change.thin) == ("closed", "", False)


def test_a_deletion_asks_to_be_confirmed_by_reading():
    (change,) = named({"id": 7}, "convo.deleted")
    assert (change.ticket, change.life, change.thin, change.updated_at_ms) == ("H-7", "deleted", True, None)
    assert needs_lookup(change) == ()


def test_a_name_alone_never_says_that_nothing_is_older():
    later = CONVERSATION | {"userUpdatedAt": "2026-10-13T00:00:00Z"}
    assert named(CONVERSATION, "convo.created")[0].creation
    assert not named(later, "convo.created")[0].creation
    assert not named(CONVERSATION, "convo.status")[0].creation


# ------------------------------------------------------------------------------------------------------------ handshake
def test_the_test_event_is_answered_when_it_is_signed():
    for body in (b"{}", BODY, b"", b"\xff"):
        asked = shown(made(body), body, TEST)
        reply = SOURCE.handshake(asked, CONNECTION)
        assert reply is not None
        assert reply.status == 200
        forged = shown(made(body, secret="another-secret-0123"), body, TEST)
        for other in (forged, replace(asked, method="GET"), shown(made(body), body, (EVENT, "convo.created"))):
            assert SOURCE.handshake(other, CONNECTION) is None


def test_without_secrets_there_is_nothing_to_prove_and_nothing_is_served():
    asked = shown("x", BODY, TEST)
    assert SOURCE.handshake(asked, replace(CONNECTION, secrets=())) is not None
    assert refused(asked, replace(CONNECTION, secrets=())) == "bad_signature"


# ------------------------------------------------------------------------------------------------------------- changes
def test_a_delivery_is_known_by_event_conversation_and_time():
    def known(body: Any, event: str = "convo.status") -> str | None:
        return SOURCE.delivery_id(Request("POST", ((EVENT, event),), "", b""), body)

    assert known(CONVERSATION) == "convo.status 4406113 1791787269000"
    assert known(CONVERSATION) != known(CONVERSATION, "convo.tags")
    assert known({"id": 7}) is known({}) is known(None) is known({"userUpdatedAt": "2026-10-12T06:41:09Z"}) is None


def test_the_company_is_never_in_a_conversation():
    asked = request_of("help_scout", "created")
    answer = SOURCE.normalize(SOURCE.parse(asked), asked, CONNECTION)
    assert needs_lookup(answer.changes[0], answer.lacks) == ("company",)


@pytest.mark.parametrize(
    "assignee, missing", [({"id": 802}, ("company", "agent_email")), (None, ("company",)), ({}, ("company",))]
)
def test_an_agent_of_whom_only_the_id_is_shown_lacks_the_address(assignee, missing):
    asked = Request("POST", ((EVENT, "convo.assigned"),), "", b"")
    answer = SOURCE.normalize(CONVERSATION | {"assignee": assignee}, asked, CONNECTION)
    assert needs_lookup(answer.changes[0], answer.lacks) == missing


LINK = "https://api.helpscout.net/v2/conversations/7"


@pytest.mark.parametrize(
    "body",
    [
        {"href": LINK},
        {"link": LINK + "/"},
        {"url": {"href": LINK}},
        {"_links": {"self": LINK}},
        {"_links": {"conversation": {"href": LINK}}},
    ],
)
def test_a_webhook_that_sends_only_a_link_names_the_conversation(body):
    (change,) = named(body, "convo.created")
    assert (change.ticket, change.thin, change.life) == ("H-7", True, "")


@pytest.mark.parametrize("value", [None, True, 0, -1, 1.5, "", "0", "01", "1/2", "\uff17", "9" * 21, [1]])
def test_what_is_no_number_names_no_conversation(value):
    assert number_of(value) is None


@pytest.mark.parametrize(
    ("href", "url"),
    [
        ("https://secure.helpscout.net/conversation/7/12/", "https://secure.helpscout.net/conversation/7/12/"),
        ("https://secure.helpscout.net.example/conversation/7", "https://secure.helpscout.net/conversation/7/12"),
        ("javascript:alert(1)", "https://secure.helpscout.net/conversation/7/12"),
        (None, "https://secure.helpscout.net/conversation/7/12"),
    ],
)
def test_a_link_leads_to_help_scout_or_is_made(href, url):
    assert conversation_fields({"number": 12, "_links": {"web": {"href": href}}}, "7")["url"] == url
