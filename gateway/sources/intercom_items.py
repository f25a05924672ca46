"""
What a ticket and a conversation of Intercom are in Planhat, for notifications and for what the REST API answers.

A ticket has a type, a state and attributes, and its contacts by id only; a conversation has a state, tags and the first
message with its author. Parts (replies, notes, what bots say) are never read: their addresses are the team's.

Source: github.com/intercom/Intercom-OpenAPI descriptions/2.16 (2026-08-21, code); facts of Intercom §2, §6.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.change import Change
from gateway.sources.ordinary import page
from gateway.sources.reading import (
    UNKNOWN,
    Unknown,
    epoch_us,
    html_to_text,
    identifier,
    known,
    line,
    mail_address,
    mapping,
    ms_of,
    names,
    prose,
    text,
    ticket_id,
    told,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json
    from gateway.sources.base import Connection

CUSTOMERS: Final = ("user", "lead", "contact")
"""Authors who are customers; the others are `admin`, `bot`, `team`."""

OF_CONTACT: Final = "contact:"
"""Before a contact's id where a company's would stand: the company is to be found through the contact."""

OF_ADMIN: Final = "admin:"
"""Before an admin's id, since contacts are people, too."""

NOBODY: Final = ("0", "")
"""Ids that stand for nobody. Wire: `"admin_assignee_id": "0"`."""

URGENT: Final = "priority"
_APP: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Item(NamedTuple):
    """Fields and ids of an item; `whole` = enough to make a ticket of, the requester included."""

    fields: dict[str, Json]
    refs: dict[str, str | None]
    whole: bool


def ticket_item(shown: Mapping[str, Json]) -> Item:
    """Read a ticket; a key that is absent is unknown, a null is known to be empty."""
    attributes = mapping(shown.get("ticket_attributes"))
    state, kind = shown.get("ticket_state"), mapping(shown.get("ticket_type"))
    fields = known(
        {
            "title": told(attributes, "_default_title_", prose),
            "description": told(attributes, "_default_description_", prose),
            "type": word(kind.get("name")) or UNKNOWN,
            # Older API versions write the category itself.
            "status": word(state.get("category") if isinstance(state, dict) else state) or UNKNOWN,
            "agentEmail": _nobody(shown),
        }
    )
    company = identifier(shown.get("company_id"))
    refs = _refs(shown, None)
    if company:
        refs["organization_id"] = company
    return Item(fields, refs, {"title", "status"} <= fields.keys() and bool(refs.get("requester_id")))


def conversation_item(shown: Mapping[str, Json]) -> Item:
    """Read a conversation; its first message is the description, and whoever wrote that the requester, but an agent."""
    source = mapping(shown.get("source"))
    author = mapping(source.get("author"))
    author = author if author.get("type") in CUSTOMERS else {}
    fields = known(
        {
            "title": _title(shown, source),
            "description": UNKNOWN if "body" not in source else html_to_text(text(source["body"]) or ""),
            "tags": _tags(shown.get("tags")),
            "severity": _severity(shown.get("priority")),
            "status": word(shown.get("state")) or UNKNOWN,
            "email": mail_address(author.get("email")) or UNKNOWN,
            "name": text(author.get("name")) or UNKNOWN,
            "agentEmail": _nobody(shown),
        }
    )
    refs = _refs(shown, identifier(author.get("id")))
    return Item(fields, refs, "status" in fields and ("email" in fields or bool(refs.get("requester_id"))))


def item_change(
    shown: Mapping[str, Json], item: Item, connection: Connection, *, app: Json, event_at_us: int | None, created: bool
) -> Change:
    """
    Give the change that an item is.

    Args:
        app: the workspace's id, part of the link.
        event_at_us: when it was told, Unix µs; the stamp when the item has none.
        created: this is about its creation.
    Raises:
        UnreadablePayload: `no_ticket_id`, `bad_ticket_id`.
    """
    ticket = ticket_id(shown.get("id"), "data.item.id")
    updated_at_us = epoch_us(shown.get("updated_at"), 1)
    stamp_us = event_at_us if updated_at_us is None else updated_at_us
    created_at_us = epoch_us(shown.get("created_at"), 1)
    link = isinstance(app, str) and _APP.fullmatch(app) and item.fields
    url = page(connection, "intercom.com", f"a/inbox/{app}/inbox/conversation/{ticket}", "app") if link else {}
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=item.fields | url,
        refs=item.refs,
        updated_at_ms=ms_of(stamp_us),
        event_at_us=event_at_us,
        created_at_ms=ms_of(created_at_us),
        life="live" if created else "",
        creation=created,
        complete=item.whole,
        thin=not item.whole,
    )


def _title(shown: Mapping[str, Json], source: Mapping[str, Json]) -> str | Unknown:
    """Give the title, which is plain text, else the first message's subject, which a chat does not have."""
    if "title" not in shown and "subject" not in source:
        return UNKNOWN
    return line(shown.get("title")) or " ".join(html_to_text(text(source.get("subject")) or "").split())


def _tags(value: Json) -> list[str] | Unknown:
    """Wire: `"tags": {"type": "tag.list", "tags": [{"id": "7", "name": "export"}]}`."""
    listed = mapping(value).get("tags")
    return names(listed) if isinstance(listed, list) else UNKNOWN


def _severity(value: Json) -> str | Unknown:
    """Give the one priority there is. Wire: `"priority": "not_priority"`."""
    return UNKNOWN if value is None else value if value == URGENT else ""


def _nobody(shown: Mapping[str, Json]) -> str | Unknown:
    """An item that nobody is assigned to has no agent; an assigned one names an id, whose address is looked up."""
    return UNKNOWN if "admin_assignee_id" not in shown or _admin(shown) else ""


def _admin(shown: Mapping[str, Json]) -> str | None:
    found = identifier(shown.get("admin_assignee_id"))
    return None if found in NOBODY else found


def _refs(shown: Mapping[str, Json], requester: str | None) -> dict[str, str | None]:
    """Name the requester twice, for the address and for the company; the first contact unless it is known better."""
    refs: dict[str, str | None] = {}
    contacts = mapping(shown.get("contacts")).get("contacts")
    listed = [mapping(one).get("id") for one in contacts] if isinstance(contacts, list) else []
    found = requester or next((known_id for one in listed if (known_id := identifier(one))), None)
    if found:
        refs = {"requester_id": found, "organization_id": OF_CONTACT + found}
    if "admin_assignee_id" in shown:
        admin = _admin(shown)
        refs["assignee_id"] = None if admin is None else OF_ADMIN + admin
    return refs
