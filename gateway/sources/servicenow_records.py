"""
Records of ServiceNow, as our business rule writes them, and the common variations of it.

The numbers of `state` mean something else in each table (3 is "On Hold" for an incident and "Closed" for a case), so
the label goes first. Times are UTC without saying so. Seconds are their finest grain; `sys_mod_count`, where the script
sends it, puts the updates of one second in order.

Wire: `{"eventType": "insert" | "update" | "delete", "tableName", "sysId", "number", "shortDescription", "state",
    "state_label", "priority", "contact_email", "active": "true", "sys_updated_on": "2026-10-06 07:12:31", "url"}`.
Source: facts of ServiceNow §2-§6 (tables documented, some of the numbers general knowledge).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.sources.reading import (
    UNKNOWN,
    instant_ms,
    known,
    mail_address,
    mapping,
    plain_text,
    text,
    ticket_id,
    web_address,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Connection
    from gateway.sources.reading import Unknown

LIFE: Final[Mapping[str, Life]] = {"insert": "live", "create": "live", "delete": "deleted"}
"""The event word decides: a delete rule still carries the last state."""

_EVENT: Final = re.compile(
    r"(?:(?:before|after)[ _]?|(?:incident|case|sn_customerservice_case)[._])?(insert|create|delete)(?:e?d)?"
)
"""How scripts write it. Wire: `"delete"`, `"deleted"`, `"after_delete"`, `"incident_deleted"`."""

STATES: Final[Mapping[str, Mapping[str, str]]] = {
    "incident": {
        "1": "new",
        "2": "in progress",
        "3": "on hold",
        "6": "resolved",
        "7": "closed",
        "8": "canceled",
    },
    "sn_customerservice_case": {
        "1": "new",
        "10": "open",
        "18": "awaiting info",
        "6": "resolved",
        "3": "closed",
    },
}
TABLES: Final = {"INC": "incident", "CS": "sn_customerservice_case"}
"""Prefix of a number for people -> its table, where the body does not name it. Wire: `"number": "INC0048127"`."""

EMAIL: Final = ("contact_email", "caller_email", "contactEmail", "callerEmail", "contact.email", "caller_id.email")
NAME: Final = ("contact_name", "caller_name", "contactName", "callerName", "contact.name", "caller_id.name")
AGENT: Final = ("assigned_to_email", "assignedToEmail", "assigned_to.email")
SECOND_US: Final = 1_000_000
_NUMBER: Final = re.compile(r"([A-Z]{2,8})[0-9]+")
_UTC: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}")
_RANK: Final = re.compile(r"[0-9]{1,3} - ")
"""What stands before a priority's label. Wire: `"4 - Low"`."""


def record_change(shown: Mapping[str, Json], connection: Connection) -> Change:
    """
    Read a record.

    Raises:
        UnreadablePayload: `no_ticket_id`, `bad_ticket_id`.
    """
    ticket = ticket_id(_first(shown, "sysId", "sys_id"), "sysId")
    event = _EVENT.fullmatch(word(_first(shown, "eventType", "event_type", "operation", "action")) or "")
    life = LIFE[event[1]] if event else ""
    gone = life == "deleted"
    fields = {} if gone else known(_fields(shown))
    updated_at_ms = _utc_ms(_stored(shown, "sys_updated_on", "updatedOn"))
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields,
        updated_at_ms=updated_at_ms,
        event_at_us=None if updated_at_ms is None else updated_at_ms * 1000 + _within_second(shown, gone=gone),
        created_at_ms=_utc_ms(_stored(shown, "sys_created_on", "createdOn")),
        life=life,
        creation=life == "live",
        complete={"title", "status", "email"} <= fields.keys(),
        thin=not gone and not fields.keys() & {"title", "status"},
    )


def _within_second(shown: Mapping[str, Json], *, gone: bool) -> int:
    """Give the order of an update among those of its second, µs: its count of modifications; a deletion is the last."""
    count = text(_stored(shown, "sys_mod_count")) or ""
    known_count = int(count) if count.isascii() and count.isdecimal() and len(count) <= 6 else 0
    return SECOND_US - 1 if gone else min(known_count, SECOND_US - 2)


def _fields(shown: Mapping[str, Json]) -> dict[str, Json | Unknown]:
    """Read a record; what it shows empty is known to be empty, a key that is absent is unknown."""
    title, description = _first(shown, "shortDescription", "short_description"), _first(shown, "description")
    return {
        "title": UNKNOWN if title is None else text(title) or "",
        "description": plain_text(description) if isinstance(description, str) else UNKNOWN,
        "url": web_address(_first(shown, "url")) or UNKNOWN,
        "severity": _priority(shown),
        "product": _text(shown, "product", "cmdb_ci"),
        "status": _status(shown) or UNKNOWN,
        "email": _mail(shown, *EMAIL),
        "name": _text(shown, *NAME) or UNKNOWN,
        "agentEmail": _mail(shown, *AGENT),
        "companyExternalId": _text(shown, "company_external_id", "companyExternalId") or UNKNOWN,
    }


def _status(shown: Mapping[str, Json]) -> str | None:
    """Give the label; else the word of a number whose table is known; else what `active` tells."""
    if label := word(_first(shown, "state_label", "stateLabel")):
        return label
    state = text(_first(shown, "state")) or ""
    table = text(_stored(shown, "tableName", "table_name", "table", "sys_class_name"))
    number = _NUMBER.fullmatch(text(_first(shown, "number")) or "")
    states = STATES.get(table or (TABLES.get(number[1], "") if number else ""), {})
    if state and not state.isdecimal():
        return word(state)
    closed = "closed" if word(str(_first(shown, "active"))) == "false" else None
    return states.get(state, closed)


def _priority(shown: Mapping[str, Json]) -> str | Unknown:
    """Give the label without its rank; a bare number stays one, since each instance names them."""
    found = text(_first(shown, "priority_label", "priorityLabel", "priority"))
    return UNKNOWN if found is None else _RANK.sub("", word(found) or "", count=1)


def _text(shown: Mapping[str, Json], *names: str) -> str | Unknown:
    found = text(_first(shown, *names))
    return UNKNOWN if found is None else found


def _mail(shown: Mapping[str, Json], *names: str) -> str | Unknown:
    found = _first(shown, *names)
    return UNKNOWN if found is None else mail_address(found) or ""


def _stored(shown: Mapping[str, Json], *names: str) -> Json:
    """Give what `_first` gives, as the record holds it: shown times are in the zone and the format of some user."""
    return _first(shown, *names, form="value")


def _first(shown: Mapping[str, Json], *names: str, form: str = "display_value") -> Json:
    """
    Give the first value that says something; "" when one of the keys is there and empty; None when none is there.

    Wire: a value, or both forms of it: `{"display_value": "Open", "value": "10"}`; `"caller_id.email": "a@b.example"`
        or `"caller_id": {"email": "a@b.example"}`.
    """
    found = [value for name in names if (value := _at(shown, name)) is not UNKNOWN]
    values = [mapping(value).get(form, value) for value in found]
    said = [value for value in values if value not in ("", None)]
    return said[0] if said else "" if values else None


def _at(shown: Mapping[str, Json], name: str) -> Json | Unknown:
    """Give what stands under a key, or below it where the key is a walk; UNKNOWN when nothing does."""
    head, _, tail = name.partition(".")
    return shown[name] if name in shown else mapping(shown.get(head)).get(tail, UNKNOWN)


def _utc_ms(value: Json) -> int | None:
    """Give `2026-10-06 07:00:00`, which is UTC, or ISO 8601 as Unix ms."""
    bare = isinstance(value, str) and _UTC.fullmatch(value.strip())
    return instant_ms(f"{value.strip()}Z" if bare else value)
