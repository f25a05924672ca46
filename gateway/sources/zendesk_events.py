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
from gateway.sources.ordinary import page
from gateway.sources.reading import instant_ms, instant_us, mapping, ms_of, plain_text, strings, text, word
from gateway.sources.zendesk_words import DOMAIN, PAGE, reference, ticket_number

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
    updated_at, event_at = detail.get("updated_at"), payload.get("time")
    event_at_us = instant_us(event_at)
    updated_at_ms = None if updated_at == event_at else instant_ms(updated_at)
    if updated_at_ms is None:
        updated_at_ms = ms_of(event_at_us)
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
        complete="title" in fields and "status" in fields,
        thin=not gone and "title" not in fields and "status" not in fields,
        sighting=status != "archived",
    )
    return Normalized((change,))


def _ticket(detail: Mapping[str, Json], payload: Mapping[str, Json]) -> Json:
    """Give `detail.id`; without one, what the signed subject says. Wire: `"subject": "zen:ticket:70881"`."""
    if found := detail.get("id"):
        return found
    subject = text(payload.get("subject")) or ""
    return subject.removeprefix(SUBJECT) if subject.startswith(SUBJECT) else ""


def _description(value: Json) -> str:
    return plain_text(value if isinstance(value, str) else text(value) or "")


def _fields(detail: Mapping[str, Json], ticket: str, status: str, connection: Connection) -> dict[str, Json]:
    """Read a snapshot; a null is known to be empty, a key that is absent is unknown."""
    fields: dict[str, Json] = {}
    if "subject" in detail:
        fields["title"] = text(detail["subject"]) or ""
    if "description" in detail and detail.get("is_public") is not False:  # where it is, this is a private note
        fields["description"] = _description(detail["description"])
    fields |= page(connection, DOMAIN, PAGE.format(ticket))
    if "tags" in detail:
        fields["tags"] = strings(detail["tags"]) or []
    if "type" in detail:
        fields["type"] = word(detail["type"]) or ""
    if "priority" in detail:
        fields["severity"] = word(detail["priority"]) or ""
    if status:
        fields["status"] = status
    return fields
