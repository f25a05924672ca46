"""
Zendesk: webhooks of event subscriptions and of triggers, told apart by the prefix `zen:event-type:`.

Both are signed the same way. An event carries a snapshot of the ticket in `detail` (upper-case words, string ids, no
e-mail); a trigger carries whatever its template holds (zendesk_triggers.py).

Source: developer.zendesk.com documentation/webhooks/verifying, documentation/event-connectors/webhooks/
anatomy-of-a-webhook-request, api-reference/webhooks/event-types/ticket-events (2026-11, documented); facts of Zendesk
§1 (vectors), §4 (envelope).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import REFS, Change
from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Normalized
from gateway.sources.reading import (
    UNKNOWN,
    identifier,
    instant_ms,
    instant_us,
    json_payload,
    known,
    mapping,
    plain_text,
    strings,
    text,
    ticket_id,
    word,
)
from gateway.sources.signing import (
    basic_password,
    bearer,
    check_age,
    check_hmac,
    check_token,
    digest,
    keys,
    refuse_doubles,
    required,
    timestamp_s,
)
from gateway.sources.zendesk_triggers import trigger_change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Auth, Connection, Reply, Request

EVENT: Final = "zen:event-type:"
TICKET_EVENT: Final = f"{EVENT}ticket."
SIGNATURE: Final = "x-zendesk-webhook-signature"
TIMESTAMP: Final = "x-zendesk-webhook-signature-timestamp"
INVOCATION: Final = "x-zendesk-webhook-invocation-id"
TEST_SECRET: Final = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="  # noqa: S105 - public: Zendesk prints it
SECRET_MIN: Final = 16

LIFE: Final[Mapping[str, Life]] = {
    "created": "live",
    "undeleted": "live",
    "soft_deleted": "deleted",
    "marked_as_spam": "deleted",
    "merged": "deleted",
    "permanently_deleted": "purged",
}
"""What an event type says of the ticket's existence; a merge ends the source ticket, which `detail` shows."""

EMPTY_IDS: Final = ("", "0")
"""Texts that stand for "no such record" in events. Wire: `"organization_id": "0"`."""


class ZendeskSource:
    """The adapter; see the module."""

    name = "zendesk"
    methods: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ("application/json",)

    def handshake(self, request: Request, connection: Connection) -> Reply | None:  # noqa: ARG002
        """Zendesk asks for none."""
        return None

    def check_secret(self, secret: str, auth: Auth) -> str | None:
        """Refuse what anybody knows, what can be guessed, and what a copy has damaged."""
        if secret == TEST_SECRET and auth == "signature":
            return "this is Zendesk's public test secret: reveal the webhook's own signing secret and use that"
        if len(secret) < SECRET_MIN:
            return f"the secret must have at least {SECRET_MIN} characters"
        if any(mark.isspace() for mark in secret):
            return "the secret must not contain white space"
        return None

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
        signature = digest(required(request, SIGNATURE, "missing_signature"))
        timestamp = required(request, TIMESTAMP, "missing_timestamp")
        at_s = timestamp_s(timestamp)
        check_hmac(keys(connection.secrets), timestamp.encode("latin-1") + request.body, [signature])
        check_age(at_s, now_s, connection.tolerance_s)

    def delivery_id(self, request: Request, payload: Json) -> str | None:
        """An event's signed `id`; a trigger has only the invocation's, stable over the retries of one."""
        if _is_event(payload):
            return identifier(mapping(payload).get("id"))
        return identifier(request.header(INVOCATION))

    def parse(self, request: Request) -> Json:
        """Read the body. Raises UnreadablePayload."""
        return json_payload(request.body)

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
        return _event(kind, payload, connection)

    def acknowledge(self, *, stored: bool) -> Reply | None:  # noqa: ARG002
        """Any 2xx will do."""
        return None


def _is_event(payload: Json) -> bool:
    return isinstance(payload, dict) and isinstance(kind := payload.get("type"), str) and kind.startswith(EVENT)


def _event(kind: str, payload: Mapping[str, Json], connection: Connection) -> Normalized:
    """Read a ticket event: `detail` is the snapshot, `type` says what happened, `time` when."""
    detail = mapping(payload.get("detail"))
    subject = text(payload.get("subject")) or ""
    ticket = ticket_id(detail.get("id") or subject.removeprefix("zen:ticket:"), "detail.id")
    status = word(detail.get("status")) or ""
    life = LIFE.get(kind, "deleted" if status == "deleted" else "")
    if status == "scrubbed" and life != "purged":
        return Normalized(ignored="a scrubbed ticket's texts are placeholders")
    updated_at_ms = instant_ms(detail.get("updated_at"))
    created_at_ms = instant_ms(detail.get("created_at"))
    event_at_us = instant_us(payload.get("time"))
    if updated_at_ms is None and event_at_us is not None:
        updated_at_ms = event_at_us // 1000
    gone = life in ("deleted", "purged")
    fields = {} if gone else _fields(detail, ticket, status, connection)
    change = Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields,
        refs={} if gone else {name: _ref(detail[name]) for name in REFS if name in detail},
        updated_at_ms=updated_at_ms,
        event_at_us=event_at_us,
        created_at_ms=created_at_ms,
        life=life,
        creation=kind == "created",
        complete=not gone and {"title", "status"} <= fields.keys(),
        thin=not gone and "status" not in fields and "title" not in fields,
        sighting=status != "archived",  # archiving is the system's, years later; the ticket stays closed
    )
    return Normalized((change,))


def _fields(detail: Mapping[str, Json], ticket: str, status: str, connection: Connection) -> dict[str, Json]:
    """Read a snapshot; a null is known to be empty, a key that is absent is unknown."""

    def said(name: str, value: Json) -> Json:
        return value if name in detail else UNKNOWN

    private = detail.get("is_public") is False  # then the description is a private note
    return known(
        {
            "title": text(detail.get("subject")) or UNKNOWN,
            "description": UNKNOWN if private else said("description", plain_text(text(detail.get("description")) or "")),
            "url": link(ticket, connection) or UNKNOWN,
            "tags": said("tags", strings(detail.get("tags")) or []),
            "type": said("type", word(detail.get("type")) or ""),
            "severity": said("priority", word(detail.get("priority")) or ""),
            "status": ("closed" if status == "archived" else status) or UNKNOWN,
        }
    )


def link(ticket: str, connection: Connection) -> str | None:
    """Give the agent's page of a ticket; events carry none, and the account id does not tell the subdomain."""
    if not connection.subdomain:
        return None
    host = connection.subdomain if "." in connection.subdomain else f"{connection.subdomain}.zendesk.com"
    return f"https://{host}/agent/tickets/{ticket}"


def _ref(value: Json) -> str | None:
    found = identifier(value)
    return None if found in EMPTY_IDS else found


SOURCE: Final = ZendeskSource()
