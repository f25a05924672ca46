"""
One ticket in Planhat's own words, checked field by field.

Null is known to be empty: it clears a field. A mail address that no mail can reach is read as empty, so that the ticket
ends in the dead letters as `missing_email` instead of vanishing in Planhat.

Source: DESIGN §1 "Your own system"; facts of Planhat §2.2 (field types, documented).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload
from gateway.sources.reading import identifier, instant_ms, mail_address, mapping, strings, text, word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Connection

KINDS: Final[Mapping[str, tuple[Life, bool]]] = {
    "ticket.created": ("live", True),
    "ticket.updated": ("", False),
    "ticket.upserted": ("live", False),
    "ticket.deleted": ("deleted", False),
}
"""Type -> (what it says of the ticket's existence, whether it is about the creation)."""

HISTORY_MAX: Final = 1000
MINUTES_MAX: Final = 2**31 - 1
TIME: Final = 'an ISO 8601 time with a zone, such as "2026-10-14T10:00:00Z"'


def _text(value: Json) -> str | None:
    return text(value) if isinstance(value, str) else None


def _status(value: Json) -> str | None:
    return (word(value) or "") if isinstance(value, str) else None


def _mail(value: Json) -> str | None:
    return (mail_address(value) or "") if isinstance(value, str) else None


def _texts(value: Json) -> list[str] | None:
    return strings(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _domains(value: Json) -> list[str] | None:
    found = _texts(value)
    return None if found is None else [domain.lower() for domain in found]


def _minutes(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MINUTES_MAX else None


def _object(value: Json) -> dict[str, Json] | None:
    return value if isinstance(value, dict) else None


READERS: Final[Mapping[str, tuple[Callable[[Json], Json | None], str, Any]]] = {
    **dict.fromkeys(
        ("title", "description", "url", "type", "severity", "product", "name", "companyExternalId"),
        (_text, "a text", ""),
    ),
    "status": (_status, "a text", ""),
    "email": (_mail, "a text", ""),
    "agentEmail": (_mail, "a text", ""),
    "companyId": (_text, "a text", None),
    "tags": (_texts, "a list of texts", []),
    "domains": (_domains, "a list of texts", []),
    "timeSpent": (_minutes, "a whole number of minutes", None),
    "custom": (_object, "an object", None),
}
"""Planhat field -> (reader that gives None for a wrong type, what is expected, what null means)."""


def change_of(item: Json, where: str, kind: str, event_at_us: int | None, connection: Connection) -> Change:
    """
    Give the change that one item of `data` says.

    Args:
        where: how to call the item in a complaint, such as `item 3`.
        kind: one of `KINDS`.
        event_at_us: the envelope's time, Unix µs; it also stamps items without `updatedAt`.
    Raises:
        UnreadablePayload: `not_a_ticket_event`, `no_ticket_id`, `bad_field`.
    """
    if not isinstance(item, dict):
        raise UnreadablePayload("not_a_ticket_event", f"{where}: data must be an object or a list of objects.")
    ticket = _ticket_id(item, where)
    deleted = item.get("deleted")
    if deleted is not None and not isinstance(deleted, bool):
        raise _bad(where, "deleted", "true or false")
    fields = {name: _field(item, name, where) for name in READERS if name in item}
    history = _history(item, where)
    updated_at_ms = _time(item, "updatedAt", where)
    if updated_at_ms is None and event_at_us is not None:
        updated_at_ms = event_at_us // 1000
    life, creation = KINDS[kind]
    gone = life == "deleted" or deleted is True
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields={} if gone else fields,
        updated_at_ms=updated_at_ms,
        event_at_us=event_at_us,
        created_at_ms=_time(item, "createdAt", where),
        life="deleted" if gone else "live" if deleted is False else life,
        creation=creation and not gone,
        complete=not gone and all(fields.get(name) for name in ("title", "status", "email")),
        history=() if gone else history,
    )


def _ticket_id(item: Mapping[str, Json], where: str) -> str:
    shown = item.get("sourceId")
    shown = item.get("id") if shown is None else shown
    if shown is None or shown == "":
        raise UnreadablePayload("no_ticket_id", f"{where}: sourceId (or id) is missing or empty.")
    found = identifier(shown)
    if found is None:
        raise _bad(where, "sourceId", "a text of at most 256 characters or a whole number up to 2^53")
    return found


def _field(item: Mapping[str, Json], name: str, where: str) -> Json:
    read, expected, empty = READERS[name]
    value = item[name]
    found = empty if value is None else read(value)
    if found is None and value is not None:
        raise _bad(where, name, f"{expected} or null")
    return found


def _time(item: Mapping[str, Json], name: str, where: str) -> int | None:
    value = item.get(name)
    found = instant_ms(value)
    if found is None and value is not None:
        raise _bad(where, name, TIME)
    return found


def _history(item: Mapping[str, Json], where: str) -> tuple[tuple[int, str], ...]:
    """Read `[{"status": ..., "time": ...}]` as sightings."""
    rows = item.get("history")
    expected = f'a list of at most {HISTORY_MAX} {{"status": a text, "time": {TIME}}}'
    if rows is None:
        return ()
    if not isinstance(rows, list) or len(rows) > HISTORY_MAX:
        raise _bad(where, "history", expected)
    found = []
    for row in rows:
        entry = mapping(row)
        at_ms, status = instant_ms(entry.get("time")), word(entry.get("status"))
        if at_ms is None or status is None:
            raise _bad(where, "history", expected)
        found.append((at_ms, status))
    return tuple(found)


def _bad(where: str, name: str, expected: str) -> UnreadablePayload:
    return UnreadablePayload("bad_field", f"{where}: {name} must be {expected}.")
