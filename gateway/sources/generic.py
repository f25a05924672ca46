"""
Your own system: Standard Webhooks or a bearer token around tickets in Planhat's own words, bare or as CloudEvents.

The only source whose body is our contract (DESIGN §1), so wrong types are refused with the field's name. Keys that
are no fields are passed over: own data belongs under `custom`.

Wire: `{"type": "ticket.created|updated|upserted|deleted", "timestamp": ISO 8601, "data": {...} or [{...}, up to 500]}`.
Source: DESIGN §1 "Your own system"; standard_webhooks.py, cloudevents.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import UnreadablePayload
from gateway.sources import standard_webhooks
from gateway.sources.base import Normalized
from gateway.sources.cloudevents import BATCH, STRUCTURED, Event, consent, event_id, events
from gateway.sources.generic_items import KINDS, TIME, change_of
from gateway.sources.ordinary import SECRET_MIN, Ordinary
from gateway.sources.reading import instant_us
from gateway.sources.signing import bearer, check_token, refuse_doubles

if TYPE_CHECKING:
    from gateway.core.change import Change, Json
    from gateway.sources.base import Auth, Connection, Reply, Request, Source

ITEMS_MAX: Final = 500
EXPECTED: Final = f"Expected a JSON object with type (one of {', '.join(KINDS)}), timestamp and data."


class GenericSource(Ordinary):
    """The adapter; see the module."""

    name = "generic"
    signed = "HMAC-SHA256, with a time"
    methods: tuple[str, ...] = ("OPTIONS",)
    content_types: tuple[str, ...] = ("application/json", STRUCTURED, BATCH)

    def handshake(self, request: Request, connection: Connection) -> Reply | None:  # noqa: ARG002
        """Agree to be sent CloudEvents."""
        return consent(request)

    def check_secret(self, secret: str, auth: Auth) -> str | None:
        """A signing secret is base64 of at least 24 bytes, a bearer token at least 16 characters."""
        if any(mark.isspace() for mark in secret):
            return "the secret must not contain white space"
        if auth == "bearer":
            return None if len(secret) >= SECRET_MIN else f"a bearer token must have at least {SECRET_MIN} characters"
        if standard_webhooks.key(secret) is None:
            return "the secret must be whsec_ followed by base64 of at least 24 random bytes"
        return None

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:
        """
        The body is signed as Standard Webhooks 1.0, or the request shows the token where `auth` is `bearer`.

        Wire: `webhook-id`, `webhook-timestamp`, `webhook-signature` (or `svix-`); `Authorization: Bearer TOKEN`.
        Raises:
            VerificationError: see `standard_webhooks.verify`; `missing_token`, `bad_token`, `doubled_header`.
        """
        if connection.auth == "bearer":
            refuse_doubles(request, ("webhook-id", "svix-id"))
            check_token(connection.secrets, (bearer(request),))
        else:
            standard_webhooks.verify(request, connection, now_s)

    def delivery_id(self, request: Request, payload: Json) -> str | None:
        """Give `webhook-id`; a CloudEvent without one is known by its source and id."""
        return standard_webhooks.message_id(request) or event_id(payload, request)

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:
        """
        Give one change per item, all or none.

        Raises:
            UnreadablePayload: `not_a_ticket_event`, `unknown_type`, `too_many_items`, `no_ticket_id`, `bad_field`,
                `bad_cloudevent`.
        """
        changes: list[Change] = []
        ignored = "no events in the batch"
        opened = events(payload, request)
        for event in [_envelope(payload)] if opened is None else opened:
            kind, moment, data = _unwrapped(event)
            if not isinstance(kind, str):
                raise UnreadablePayload("not_a_ticket_event", EXPECTED)
            if kind in KINDS:
                changes += _changes(kind, moment, data, connection)
                ignored = "no items in data"
            elif _about_tickets(kind.lower()):
                raise UnreadablePayload("unknown_type", f"type {kind[:80]!r} is none of {', '.join(KINDS)}.")
            else:
                ignored = f"type {kind[:80]!r} is about no ticket"
        if len(changes) > ITEMS_MAX:
            raise UnreadablePayload("too_many_items", f"One request may hold {ITEMS_MAX} items, not {len(changes)}.")
        return Normalized(tuple(changes), "" if changes else ignored)


SOURCE: Final[Source] = GenericSource()


def _about_tickets(kind: str) -> bool:
    """Say whether a type may be meant as one of ours. Wire: `ticket.update`, `com.acme.ticket.updated`."""
    return kind.startswith("ticket.") or kind.endswith(tuple(f".{ours}" for ours in KINDS))


def _envelope(payload: Json) -> Event:
    if not isinstance(payload, dict) or "type" not in payload:
        raise UnreadablePayload("not_a_ticket_event", EXPECTED)
    return Event(payload["type"], payload.get("timestamp"), payload.get("data"))


def _unwrapped(event: Event) -> Event:
    """Open our own envelope inside a CloudEvent: its type and time are the ones that were signed."""
    data = event.data
    if isinstance(data, dict) and "data" in data and isinstance(kind := data.get("type"), str) and kind in KINDS:
        return Event(kind, data.get("timestamp", event.time), data["data"])
    return event


def _changes(kind: str, moment: Json, data: Json, connection: Connection) -> list[Change]:
    items = data if isinstance(data, list) else [data]
    if len(items) > ITEMS_MAX:
        raise UnreadablePayload("too_many_items", f"data may hold {ITEMS_MAX} items, not {len(items)}.")
    event_at_us = None if moment is None else instant_us(moment)
    if moment is not None and event_at_us is None:
        raise UnreadablePayload("bad_field", f"timestamp must be {TIME}.")
    return [change_of(item, f"item {place}", kind, event_at_us, connection) for place, item in enumerate(items, 1)]
