"""
Zoho Desk: arrays of events, each with the ticket or only those of its fields that were subscribed to.

A token says who sends and not what (zoho_desk_token.py): whoever catches one can send any body until it runs out.
Times are the ticket's own; labels of statuses are the department's own words.

Source: desk.zoho.com/support/WebhookDocument.do, Desk API documentation on webhooks (documented); the vendor's sample
as others recorded it; facts of Zoho Desk §1-§4, §6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Normalized, Reply
from gateway.sources.ordinary import Ordinary, check_shown
from gateway.sources.reading import (
    UNKNOWN,
    epoch_us,
    html_to_text,
    identifier,
    instant_ms,
    known,
    mail_address,
    mapping,
    text,
    ticket_id,
    told,
    word,
)
from gateway.sources.zoho_desk_token import HEADER, check_token, public_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Auth, Connection, Request, Source

LIFE: Final[Mapping[str, Life]] = {"Ticket_Add": "live", "Ticket_Update": "", "Ticket_Delete": "deleted"}
"""The events of tickets; threads, comments, contacts and accounts say nothing of a ticket's fields."""

ENDS: Final = ("isTrashed", "isDeleted", "isSpam")
"""Flags that a ticket no agent sees any more carries; shown as false they say that it exists."""


class ZohoDeskSource(Ordinary):
    """The adapter; see the module."""

    name = "zoho_desk"
    signed = "RSA, with a time"
    methods: tuple[str, ...] = ("GET",)

    def handshake(self, request: Request, connection: Connection) -> Reply | None:  # noqa: ARG002
        """Answer the check of the address: a GET, or a POST without events or token. Neither changes anything."""
        if request.method == "GET":
            return Reply(200)
        empty = request.body.strip() in (b"", b"{}", b"[]") and request.header(HEADER) is None
        return Reply(200) if request.method == "POST" and empty else None

    def check_secret(self, secret: str, auth: Auth) -> str | None:
        """A secret is a public key of Zoho's, or a token of ours where `auth` is `bearer`."""
        if auth == "bearer":
            return super().check_secret(secret, auth)
        wanted = (
            "it must be Zoho's public RSA key (2048 bits or more): base64, in one line, of the key set that Zoho "
            "publishes or of a PEM"
        )
        return None if public_keys(secret) else wanted

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:
        """
        Prove the token, or where `auth` is `bearer` the secret, which may stand in the URL.

        Raises:
            VerificationError: see `zoho_desk_token.check_token`, `ordinary.check_shown`.
        """
        if connection.auth == "bearer":
            check_shown(request, connection.secrets)
        else:
            check_token(request, connection, now_s)

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Zoho gives none; what happened to which ticket in which millisecond happens once."""
        events = _events(payload)
        event = mapping(events[0]) if events and len(events) == 1 else {}
        named = [event.get("eventType"), mapping(event.get("payload")).get("id"), event.get("eventTime")]
        found = [identifier(one) for one in named]
        return ":".join(one for one in found if one) if all(found) else None

    def parse(self, request: Request) -> Json:
        """Read the body; an empty one with a token is the check of the address. Raises UnreadablePayload."""
        return super().parse(request) if request.body.strip() else []

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn an array of events into changes, all or none. Relays that wrap it in `{"body": [...]}` are read as well.

        Raises:
            UnreadablePayload: `unknown_shape`, `no_ticket_id`, `bad_ticket_id`.
            VerificationError: `account_mismatch`, another organization.
        """
        events = _events(payload)
        if events is None:
            raise UnreadablePayload("unknown_shape", "Expected an array of events of Zoho Desk.")
        changes = []
        ignored, lacks = "no events in the array", False
        for event in events:
            kind = mapping(event).get("eventType")
            if not isinstance(kind, str):
                raise UnreadablePayload("unknown_shape", "An event has no eventType.")
            organization = (connection.account_id or "").partition("/")[0]
            if organization and identifier(event.get("orgId")) != organization:
                raise VerificationError("account_mismatch")
            if kind in LIFE:
                row = mapping(event.get("payload"))
                changes.append(_change(kind, row, event, connection))
                lacks |= changes[-1].life != "deleted" and _count(row) not in (None, "0")
            else:
                ignored = f"{kind[:64]} says nothing of a ticket's fields"
        return Normalized(tuple(changes), "" if changes else ignored, ("tags",) if lacks else ())

    def acknowledge(self, *, stored: bool) -> Reply | None:  # noqa: ARG002
        """Zoho counts everything but exactly 200 as failed."""
        return Reply(200)


def _events(payload: Json) -> list[Json] | None:
    inner = payload["body"] if isinstance(payload, dict) and "body" in payload else payload
    if isinstance(inner, dict):
        return [inner] if inner else []
    return inner if isinstance(inner, list) else None


def _change(kind: str, row: Mapping[str, Json], event: Mapping[str, Json], connection: Connection) -> Change:
    """Read one event; `prevState` is what was before, and is never looked at."""
    ticket = ticket_id(row.get("id"), "payload.id")
    event_at_us = epoch_us(event.get("eventTime"), 1000)
    updated_at_ms = instant_ms(row.get("modifiedTime"))
    ends = [row[name] for name in ENDS if name in row]
    gone = kind == "Ticket_Delete" or any(end is True for end in ends)
    life: Life = "deleted" if gone else "live" if False in ends else LIFE[kind]
    if event_at_us is not None and (gone or updated_at_ms is None):  # a deletion does not count as a modification
        updated_at_ms = max(updated_at_ms or 0, event_at_us // 1000)
    fields = {} if gone else _fields(row, ticket)
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields,
        refs={} if gone else _refs(row),
        updated_at_ms=updated_at_ms,
        event_at_us=event_at_us,
        created_at_ms=instant_ms(row.get("createdTime")),
        life=life,
        creation=kind == "Ticket_Add" and not gone,
        complete={"title", "status", "email"} <= fields.keys(),
        thin=not gone and "title" not in fields,
    )


def _fields(row: Mapping[str, Json], ticket: str) -> dict[str, Json]:
    """Read what is there: an update may show only some fields, and those that it leaves out stay as they are."""
    contact, assignee = mapping(row.get("contact")), mapping(row.get("assignee"))
    email = row.get("email") or contact.get("email")
    names = [text(contact.get(name)) for name in ("firstName", "lastName")]
    fields: dict[str, Json] = {
        "title": told(row, "subject", text),
        "description": html_to_text(text(row["description"]) or "") if "description" in row else UNKNOWN,
        "url": _url(row.get("webUrl"), ticket),
        "tags": [] if _count(row) == "0" else UNKNOWN,
        "severity": told(row, "priority", word),
        "status": word(row.get("status")) or word(row.get("statusType")) or UNKNOWN,
        "email": (mail_address(email) or "") if email or "email" in row else UNKNOWN,
        "name": " ".join(name for name in names if name) or UNKNOWN,
        "agentEmail": mail_address(assignee.get("email") or assignee.get("emailId")) or UNKNOWN,
    }
    return known(fields)


def _count(row: Mapping[str, Json]) -> str | None:
    """How many tags the ticket has, as text; the tags themselves need a look-up. Wire: `"tagCount": "2"`."""
    return identifier(row.get("tagCount"))


def _url(value: Json, ticket: str) -> Json:
    """Give the ticket's page; some senders show the start page instead, which names no ticket."""
    found = text(value) or ""
    return found if found.startswith("https://") and ticket in found else UNKNOWN


def _refs(row: Mapping[str, Json]) -> dict[str, str | None]:
    """Give the ids of contact and agent; 17 to 19 digits, always as text."""
    named = {"requester_id": "contactId", "assignee_id": "assigneeId"}
    return {ref: identifier(row[name]) for ref, name in named.items() if name in row}


SOURCE: Final[Source] = ZohoDeskSource()
