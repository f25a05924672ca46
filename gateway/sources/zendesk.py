"""
Zendesk: webhooks of event subscriptions and of triggers, told apart by the prefix `zen:event-type:`.

Both are signed the same way. An event carries a snapshot of the ticket (zendesk_events.py), a trigger whatever its
template holds (zendesk_triggers.py).

Source: developer.zendesk.com documentation/webhooks/verifying, documentation/event-connectors/webhooks/
anatomy-of-a-webhook-request, api-reference/webhooks/event-types/ticket-events (2026-11, documented); facts of Zendesk
§1 (vectors), §4 (envelope).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Normalized
from gateway.sources.ordinary import Ordinary, weakness
from gateway.sources.reading import identifier
from gateway.sources.signing import (
    basic_password,
    bearer,
    check_age,
    check_base64_hmac,
    check_token,
    keys,
    refuse_doubles,
    required,
    timestamp_s,
)
from gateway.sources.zendesk_events import event_change
from gateway.sources.zendesk_triggers import trigger_change

if TYPE_CHECKING:
    from gateway.core.change import Json
    from gateway.sources.base import Auth, Connection, Request

EVENT: Final = "zen:event-type:"
TICKET_EVENT: Final = f"{EVENT}ticket."
SIGNATURE: Final = "x-zendesk-webhook-signature"
TIMESTAMP: Final = "x-zendesk-webhook-signature-timestamp"
INVOCATION: Final = "x-zendesk-webhook-invocation-id"
TEST_SECRET: Final = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="  # noqa: S105 - public: Zendesk prints it


class ZendeskSource(Ordinary):
    """The adapter; see the module."""

    name = "zendesk"
    signed = "HMAC-SHA256, with a time"

    def check_secret(self, secret: str, auth: Auth) -> str | None:
        """Refuse what anybody knows, what can be guessed, and what a copy has damaged."""
        if secret == TEST_SECRET and auth == "signature":
            return "this is Zendesk's public test secret: reveal the webhook's own signing secret and use that"
        return weakness(secret)

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:
        """
        Prove the signature over timestamp and raw body, then its age.

        Wire: `X-Zendesk-Webhook-Signature: base64(HMAC-SHA256(secret as text, timestamp + body))`,
            `X-Zendesk-Webhook-Signature-Timestamp: 2021-03-25T05:09:27Z`. With `auth = "bearer"`:
            `Authorization: Bearer SECRET`, or Basic with the secret as password.
        Raises:
            VerificationError: as `signing` names the reasons.
        """
        if connection.auth == "bearer":
            refuse_doubles(request, ())
            check_token(connection.secrets, (bearer(request), basic_password(request)))
            return
        refuse_doubles(request, (SIGNATURE, TIMESTAMP))
        signature = required(request, SIGNATURE, "missing_signature")
        timestamp = required(request, TIMESTAMP, "missing_timestamp")
        at_s = timestamp_s(timestamp)
        check_base64_hmac(keys(connection.secrets), timestamp.encode("latin-1") + request.body, signature)
        check_age(at_s, now_s, connection.tolerance_s)

    def delivery_id(self, request: Request, payload: Json) -> str | None:
        """An event's signed `id`; a trigger has only the invocation's, stable over the retries of one."""
        if _is_event(payload):
            return identifier(payload.get("id"))
        return identifier(request.header(INVOCATION))

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn an event or a trigger's body into changes.

        Raises:
            UnreadablePayload: no ticket id, or no JSON object.
            VerificationError: `account_mismatch`, a body of another Zendesk account.
        """
        if not isinstance(payload, dict):
            raise UnreadablePayload("unknown_shape", "The body is no JSON object: use the template of the set-up page.")
        account = payload.get("account_id")
        if connection.account_id and account is not None and identifier(account) != connection.account_id:
            raise VerificationError("account_mismatch")
        if not _is_event(payload):
            return Normalized((trigger_change(payload, connection),))
        kind = payload["type"].removeprefix(TICKET_EVENT)
        if kind == payload["type"]:
            return Normalized(ignored=f"{payload['type'].removeprefix(EVENT)[:64]} says nothing of a ticket's fields")
        return event_change(kind, payload, connection)


def _is_event(payload: Json) -> bool:
    return isinstance(payload, dict) and isinstance(kind := payload.get("type"), str) and kind.startswith(EVENT)


SOURCE: Final = ZendeskSource()
