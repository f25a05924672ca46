"""
Help Scout: signed conversations whose event's name stands in a header that nobody signed.

So a body is read by its own words and a header alone never destroys anything: a deletion must come with the one body
that Help Scout sends for it, an id and nothing else, and a relabelled conversation stays a conversation. Since another
record's deletion has the same body, it also asks for the conversation to be read.

Wire: `X-HelpScout-Signature: base64(HMAC-SHA1(secret, body))`, `X-HelpScout-Event: convo.status`.
Source: developer.helpscout.com/webhooks (2026-11, documented); github.com/helpscout/helpscout-api-php
examples/incoming_webhook.php (vector); facts of Help Scout §1, §3, §4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Normalized, Reply
from gateway.sources.help_scout_conversations import (
    SPAM,
    conversation_fields,
    conversation_refs,
    is_conversation,
    lacks,
    linked_number,
    number_of,
    updated_at_ms,
)
from gateway.sources.ordinary import Ordinary, check_body
from gateway.sources.reading import instant_ms, mapping, word
from gateway.sources.signing import refuse_doubles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Connection, Request

SIGNATURE: Final = "x-helpscout-signature"
EVENT: Final = "x-helpscout-event"
CONVERSATION: Final = "convo."
DELETED: Final = "convo.deleted"
STATUS: Final = "convo.status"
TEST: Final = "helpscout.test"


class HelpScoutSource(Ordinary):
    """The adapter; see the module."""

    name = "help_scout"
    signed = "HMAC-SHA1"

    def handshake(self, request: Request, connection: Connection) -> Reply | None:
        """Answer the test event, whose body is an example and no ticket; signed like any other."""
        if request.method != "POST" or _event(request) != TEST:
            return None
        try:
            if connection.secrets:  # `map try` has none and asks only what a request would be
                self.verify(request, connection, 0.0)
        except VerificationError:
            return None
        return Reply(200, b"ok", {"Content-Type": "text/plain; charset=utf-8"})

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:  # noqa: ARG002
        """
        Prove the signature over the raw body; Help Scout signs neither a time nor the event's name.

        Raises:
            VerificationError: see `check_body`; `doubled_header` for the event's name as well.
        """
        if connection.auth == "signature":
            refuse_doubles(request, (EVENT,))
        check_body(request, connection, SIGNATURE, algorithm="sha1", encoding="base64")

    def delivery_id(self, request: Request, payload: Json) -> str | None:
        """Help Scout gives none: event, conversation and its time stand for one; a body without a time has none."""
        row = mapping(payload)
        number, at_ms = number_of(row.get("id")), updated_at_ms(row)
        return f"{_event(request)[:64]} {number} {at_ms}" if number and at_ms else None

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:
        """
        Turn a conversation, a deletion or a bare notice into a change.

        Raises:
            UnreadablePayload: `not_a_conversation`, `no_ticket_id`.
        """
        if not isinstance(payload, dict):
            raise UnreadablePayload("not_a_conversation", "Expected a conversation of Help Scout as a JSON object.")
        event = _event(request)
        # Under another record's name, such as a chat's, only what is beyond doubt a conversation counts as one.
        likely = event.startswith(CONVERSATION) or not event or ("subject" in payload and _number(payload))
        if event != TEST and likely and is_conversation(payload):
            return Normalized((_snapshot(payload, event, connection),), lacks=lacks(payload))
        if event.startswith(CONVERSATION):
            gone = event == DELETED and payload.keys() == {"id"}
            return Normalized((_notice(payload, connection, gone=gone),))
        if event:
            return Normalized(ignored=f"{event[:64]} says nothing of a conversation")
        raise UnreadablePayload("not_a_conversation", "The body is no conversation, and X-HelpScout-Event is missing.")


def _event(request: Request) -> str:
    return word(request.header(EVENT)) or ""


def _number(row: Mapping[str, Json]) -> str | None:
    return number_of(row.get("id")) or linked_number(row)


def _ticket(row: Mapping[str, Json]) -> str:
    found = _number(row)
    if found is None:
        raise UnreadablePayload("no_ticket_id", "The body names no conversation: id must be its number.")
    return found


def _notice(row: Mapping[str, Json], connection: Connection, *, gone: bool) -> Change:
    """Read a body that names a conversation and says nothing of it: it is gone, or it is to be read."""
    ticket = connection.prefix + _ticket(row)
    return Change(ticket=ticket, connection=connection.name, life="deleted" if gone else "", thin=True)


def _snapshot(row: Mapping[str, Json], event: str, connection: Connection) -> Change:
    ticket = _ticket(row)
    status = word(row["status"])
    # Only what may have been spam comes back by being active: deletions have no time, so that any dated statement on
    # the conversation's existence would outweigh all of them.
    life: Life = "deleted" if status == SPAM else "live" if (event, status) == (STATUS, "active") else ""
    at_ms, created_at_ms = updated_at_ms(row), instant_ms(row.get("createdAt"))
    fields = {} if status == SPAM else conversation_fields(row, ticket)
    refs = {} if status == SPAM else conversation_refs(row)
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields,
        refs=refs,
        updated_at_ms=at_ms,
        created_at_ms=created_at_ms,
        life=life,
        creation=event == "convo.created" and at_ms is not None and at_ms == created_at_ms,
        complete="title" in fields and ("email" in fields or "requester_id" in refs),
        # A whole conversation under the name of a deletion, or one without its subject: reading it again tells.
        thin=life != "deleted" and (event == DELETED or "title" not in fields),
    )


SOURCE: Final = HelpScoutSource()
