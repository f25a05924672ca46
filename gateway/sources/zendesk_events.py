"""
Zendesk's ticket events: `type` says what happened, `time` when, `detail` is the whole ticket as it was then.

Upper-case words, ids as strings, tags or null; no e-mail, no names, no domains, no link, no comments.

Source: developer.zendesk.com api-reference/webhooks/event-types/ticket-events (2026-11, documented); facts of Zendesk
§4, §7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import REFS, Change
from gateway.sources.base import Normalized
from gateway.sources.reading import UNKNOWN, instant_ms, instant_us, known, mapping, plain_text, strings, text, word
from gateway.sources.zendesk_words import link, reference, ticket_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Connection

SUBJECT: Final = "zen:ticket:"
LIFE: Final[Mapping[str, Life]] = {
    "created": "live",
    "undeleted": "live",
    "soft_deleted": "deleted",
    "marked_as_spam": "deleted",
    "merged": "deleted",
    "permanently_deleted": "purged",
}
"""What an event type says of the ticket's existence; a merge ends the source ticket, which `detail` shows."""

STATUSES: Final = {"archived": "closed", "deleted": "", "scrubbed": ""}
"""Statuses that are none of a ticket's work: archiving is the system's, years later; the others tell of its end."""


def event_change(kind: str, payload: Mapping[str, Json], connection: Connection) -> Normalized:
    """
    Read a ticket event.

    Args:
        kind: the event's type without `zen:event-type:ticket.`.
    Raises:
        UnreadablePayload: neither `detail` nor `subject` names a ticket.
    """
    detail = mapping(payload.get("detail"))
    ticket = ticket_number(_ticket(detail, payload), "detail.id")
    status = word(detail.get("status")) or ""
    life = LIFE.get(kind, "deleted" if status == "deleted" else "")
    if status == "scrubbed" and life != "purged":
        return Normalized(ignored="a scrubbed ticket's texts are placeholders")
    updated_at_ms = instant_ms(detail.get("updated_at"))
    event_at_us = instant_us(payload.get("time"))
    if updated_at_ms is None and event_at_us is not None:
        updated_at_ms = event_at_us // 1000
    gone = life in ("deleted", "purged")
    fields = {} if gone else _fields(detail, ticket, STATUSES.get(status, status), connection)
    change = Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields,
        refs={} if gone else {name: reference(detail[name]) for name in REFS if name in detail},
        updated_at_ms=updated_at_ms,
        event_at_us=event_at_us,
        created_at_ms=instant_ms(detail.get("created_at")),
        life=life,
        creation=kind == "created",
        complete=not gone and {"title", "status"} <= fields.keys(),
        thin=not gone and not {"title", "status"} & fields.keys(),
        sighting=status != "archived",
    )
    return Normalized((change,))


def _ticket(detail: Mapping[str, Json], payload: Mapping[str, Json]) -> Json:
    """Give `detail.id`; without one, what the signed subject says. Wire: `"subject": "zen:ticket:70881"`."""
    subject = text(payload.get("subject")) or ""
    return detail.get("id") or (subject.removeprefix(SUBJECT) if subject.startswith(SUBJECT) else "")


def _fields(detail: Mapping[str, Json], ticket: str, status: str, connection: Connection) -> dict[str, Json]:
    """Read a snapshot; a null is known to be empty, a key that is absent is unknown."""

    def said(name: str, value: Json) -> Json:
        return value if name in detail else UNKNOWN

    description = said("description", plain_text(text(detail.get("description")) or ""))
    return known(
        {
            "title": said("subject", text(detail.get("subject")) or ""),
            # Where `is_public` is false, the description is a private note.
            "description": UNKNOWN if detail.get("is_public") is False else description,
            "url": link(ticket, connection) or UNKNOWN,
            "tags": said("tags", strings(detail.get("tags")) or []),
            "type": said("type", word(detail.get("type")) or ""),
            "severity": said("priority", word(detail.get("priority")) or ""),
            "status": status or UNKNOWN,
        }
    )
