"""
Zendesk's triggers: a body as the administrator's template made it, thin or full.

A placeholder renders as text: Title Case words in the account's language, tags joined by spaces, addresses without
scheme, days without time unless `_with_timestamp`; an unknown one renders as "".

Source: support.zendesk.com 4408886858138 (placeholders, documented); facts of Zendesk §3, §8.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.sources.ordinary import page
from gateway.sources.reading import (
    UNKNOWN,
    instant_ms,
    known,
    mail_address,
    mapping,
    plain_text,
    strings,
    text,
    word,
)
from gateway.sources.zendesk_words import DOMAIN, PAGE, reference, ticket_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json
    from gateway.sources.base import Connection


def _keys(*names: str) -> tuple[str, ...]:
    """Give the spellings of some keys: a template names `{{ticket.title}}` either `title` or `ticket_title`."""
    return tuple(key for name in names for key in (name, f"ticket_{name}"))


TITLE: Final = _keys("title", "subject")
DESCRIPTION: Final = _keys("description")
STATUS: Final = _keys("status")
PRIORITY: Final = _keys("priority")
TYPE: Final = ("ticket_type",)
TYPES: Final = ("question", "incident", "problem", "task")
TAGS: Final = _keys("tags")
LINK: Final = _keys("link", "url", "url_with_protocol")
CREATED: Final = _keys("created_at", "created_at_with_timestamp")
UPDATED: Final = _keys("updated_at", "updated_at_with_timestamp")
EMAIL: Final = (*_keys("requester_email"), "email")
NAME: Final = _keys("requester_name", "requester_full_name")
NAME_PARTS: Final = ("first_name", "last_name")
AGENT: Final = (*_keys("assignee_email"), "agent_email")
COMPANY: Final = _keys("organization_external_id")
UNSET: Final = ("", "-")
"""How an unset priority or type renders. Wire: `"ticket_priority": "-"`."""

_HEADER: Final = re.compile(r"-{6,}+[ \t\r]*+\n\s*+[^\n]{1,200}, [^\n]{0,60}[0-9][^\n]{0,12}(?:\n\s*+|\Z)")
"""
What stands before a description.

Wire: a line of dashes, a blank line, `Agent Name, Feb 3, 2025, 19:59`, a blank line. Only at the very beginning, for
requesters draw lines too, and possessive, for they may send megabytes of blanks.
"""


def trigger_change(payload: Mapping[str, Json], connection: Connection) -> Change:
    """
    Read a trigger's body.

    Raises:
        UnreadablePayload: no ticket id that can be trusted.
    """
    row = dict(payload) | dict(mapping(payload.get("ticket")))
    ticket = ticket_number(_first(row, ("ticket_id", "id")), "ticket_id")
    requester = mapping(row.get("requester"))
    organization = mapping(row.get("organization")) or mapping(requester.get("organization"))
    assignee = mapping(row.get("assignee"))
    fields = _fields(row, requester, organization, assignee)
    thin = not fields.keys() & {"title", "status", "description", "tags", "severity", "type"}
    if not thin and "url" not in fields:
        fields |= page(connection, DOMAIN, PAGE.format(ticket))
    refs = {
        "requester_id": requester.get("id", _first(row, _keys("requester_id"))),
        "organization_id": organization.get("id", _first(row, _keys("organization_id"))),
        "assignee_id": assignee.get("id", _first(row, _keys("assignee_id"))),
    }
    updated_at_ms, created_at_ms = _instant_ms(row, UPDATED), _instant_ms(row, CREATED)
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields,
        # Empty tells nothing here: a placeholder that Zendesk does not know renders as empty, too.
        refs={name: found for name, value in refs.items() if (found := reference(value))},
        updated_at_ms=updated_at_ms,
        created_at_ms=created_at_ms,
        creation=updated_at_ms is not None and updated_at_ms == created_at_ms and "status" in fields,
        complete={"title", "status", "email"} <= fields.keys(),
        thin=thin,
    )


def _fields(
    row: Mapping[str, Json],
    requester: Mapping[str, Json],
    organization: Mapping[str, Json],
    assignee: Mapping[str, Json],
) -> dict[str, Json]:
    email = _first(requester, ("email",)) or _first(row, EMAIL)
    agent = text(assignee.get("email", _first(row, AGENT)))
    company = text(_first(organization, ("external_id",)) or _first(row, COMPANY))
    description = text(_first(row, DESCRIPTION))
    return known(
        {
            "title": text(_first(row, TITLE)) or UNKNOWN,
            "description": UNKNOWN if description is None else _without_header(description),
            "url": _address(text(_first(row, LINK))) or UNKNOWN,
            "tags": _tags(_first(row, TAGS)),
            "type": _type(row),
            "severity": _label(_first(row, PRIORITY)),
            "status": word(_first(row, STATUS)) or UNKNOWN,
            # An address that is no address is known and of no use: the ticket is held with its reason, never sent.
            "email": (mail_address(email) or "") if email else UNKNOWN,
            "name": _name(row, requester) or UNKNOWN,
            "agentEmail": UNKNOWN if agent is None else mail_address(agent) or "",
            "companyExternalId": company or UNKNOWN,
        }
    )


def _name(row: Mapping[str, Json], requester: Mapping[str, Json]) -> str | None:
    """Give the requester's name, whole or joined of its parts. Wire: `"requester": {"first_name": ..., ...}`."""
    if whole := text(_first(requester, ("name", "full_name")) or _first(row, NAME)):
        return whole
    parts = [text(_first(requester, (part,)) or _first(row, _keys(f"requester_{part}"))) for part in NAME_PARTS]
    return " ".join(part for part in parts if part)


def _first(row: Mapping[str, Json], names: tuple[str, ...]) -> Json:
    """Give the first of some keys that says something; "" when one is there and empty; None when none is there."""
    values = [row[name] for name in names if name in row]
    return next((value for value in values if value not in ("", None)), values[0] if values else None)


def _instant_ms(row: Mapping[str, Json], names: tuple[str, ...]) -> int | None:
    """Give the first instant; a mere day beside it is none. Wire: `"updated_at": "October 7, 2026"`."""
    return next((at_ms for name in names if (at_ms := instant_ms(row.get(name))) is not None), None)


def _without_header(description: str) -> str:
    header = _HEADER.match(description)
    return plain_text(description[header.end() :] if header else description)


def _tags(value: Json) -> Json:
    if isinstance(value, str):
        return list(dict.fromkeys(value.split()))
    listed = strings(value)
    return UNKNOWN if listed is None else listed


def _type(row: Mapping[str, Json]) -> Json:
    """Read the ticket's type; a bare `type` may as well be the template's own event word, so only known ones count."""
    label = _label(_first(row, TYPE))
    bare = word(row.get("type"))
    return bare if label is UNKNOWN and bare in TYPES else label


def _label(value: Json) -> Json:
    if not isinstance(value, str):
        return UNKNOWN
    label = word(value) or ""
    return "" if label in UNSET else label


def _address(value: str | None) -> str | None:
    """Give an address with its scheme. Wire: `sub.zendesk.com/agent/tickets/7`."""
    if not value or any(mark.isspace() for mark in value):
        return None
    return value if value.startswith(("https://", "http://")) else f"https://{value}"
