"""
Chatwoot: flat bodies with `event` at the top; a message's event holds its conversation inside.

The status field decides, never the event's name (an old sample says `conversation_resolved` beside `"status": "open"`).
Messages are not read, but for the one that opened the conversation, and a private note never is
(chatwoot_conversations.py).

Wire: `{"event": "conversation_updated", "id", "status", "meta": {"sender", "assignee"}, "labels", ...}`,
    `{"event": "message_created", "id": the message's, "private", "conversation": {...}, "account": {"id"}}`.
Source: github.com/chatwoot/chatwoot pull 13573 (2026-02-18), 13892 (2026-03-24) (code); chatwoot.com/hc/user-guide
articles/1677693021 (2026-02-26, documented); facts of Chatwoot §1-§6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import UnreadablePayload
from gateway.sources.base import Normalized
from gateway.sources.chatwoot_conversations import CREATED, account_of, conversation_change, opening
from gateway.sources.ordinary import Ordinary, check_account, check_shown
from gateway.sources.reading import epoch_us, identifier, mapping
from gateway.sources.signing import check_age, check_hmac, digest, epoch_s, keys, refuse_doubles, required

if TYPE_CHECKING:
    from gateway.core.change import Json
    from gateway.sources.base import Connection, Request

SIGNATURE: Final = "x-chatwoot-signature"
TIMESTAMP: Final = "x-chatwoot-timestamp"
DELIVERY: Final = "x-chatwoot-delivery"
LACKS: Final = ("company",)


class ChatwootSource(Ordinary):
    """The adapter; see the module."""

    name = "chatwoot"
    signed = "HMAC-SHA256, with a time"

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:
        """
        Prove the signature over time and raw body, then its age. Servers before 4.11.2 sign nothing: `auth = "bearer"`.

        Wire: `X-Chatwoot-Signature: sha256=hex(HMAC-SHA256(secret as text, timestamp + "." + body))`,
            `X-Chatwoot-Timestamp: 1792000000`.
        Raises:
            VerificationError: as `signing` names the reasons; with `auth = "bearer"` see `check_shown`.
        """
        if connection.auth == "bearer":
            check_shown(request, connection.secrets)
            return
        refuse_doubles(request, (SIGNATURE, TIMESTAMP))
        shown = required(request, SIGNATURE, "missing_signature")
        moment = required(request, TIMESTAMP, "missing_timestamp")
        at_s = epoch_s(moment)
        offered = digest(shown, encoding="hex", prefix="sha256=")
        check_hmac(keys(connection.secrets), moment.encode("ascii") + b"." + request.body, (offered,))
        check_age(at_s, now_s, connection.tolerance_s)

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Give the job's UUID, the same over its retries. Not signed, so it counts together with the body only."""
        return identifier(request.header(DELIVERY))

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:
        """
        Turn an event of a conversation or of a message into the conversation's change.

        Raises:
            UnreadablePayload: `not_an_event`, `no_ticket_id`, `bad_ticket_id`.
            VerificationError: `account_mismatch`: ids count per account.
        """
        event = mapping(payload)
        kind = event.get("event")
        if not isinstance(kind, str):
            raise UnreadablePayload("not_an_event", "Expected an event of Chatwoot: a JSON object with event.")
        is_message = kind.startswith("message_")
        if "typing" in kind or not (is_message or kind.startswith("conversation_")):
            return Normalized(ignored=f"{kind[:64]} says nothing of a conversation")
        shown = mapping(event.get("conversation")) if is_message else event
        account = account_of(event, shown)
        check_account(connection, account)
        # The signed time of sending; `verify` has read it.
        sent_us = epoch_us(request.header(TIMESTAMP), 1) if connection.auth == "signature" else None
        description = opening(kind, event, shown)
        change = conversation_change(shown, description, account, sent_us, connection, creation=kind == CREATED)
        return Normalized((change,), lacks=LACKS)


SOURCE: Final = ChatwootSource()
