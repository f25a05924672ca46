"""
A Front conversation as rule webhooks and the API show it; previews of application webhooks hold next to nothing of it.

The customer is the conversation's recipient: the author of the newest message may be a teammate, and comments are
internal. Times are Unix seconds with a fraction. Ids are read from links, which are never followed.

Source: github.com/frontapp/front-api-specs core-api/core-api.json (2026-08-11, code); facts of Front §2, §6.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.sources.reading import (
    UNKNOWN,
    epoch_us,
    identifier,
    known,
    mail_address,
    mapping,
    ms_of,
    strings,
    text,
    told,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json
    from gateway.sources.reading import Unknown

DELETED: Final = "deleted"
INTERNAL: Final = ("discussion", "task")
"""Types of conversations among teammates."""

_CONVERSATION: Final = re.compile(r"cnv_[A-Za-z0-9]{1,40}")
_LINKED: Final = re.compile(r"https://[\w.-]{1,200}/conversations/(cnv_[A-Za-z0-9]{1,40})/?(?:\?.{0,200})?")
_CONTACT: Final = re.compile(r"https://[\w.-]{1,200}/contacts/(crd_[A-Za-z0-9]{1,40})/?(?:\?.{0,200})?")


def conversation_id(row: Mapping[str, Json]) -> str | None:
    """
    Give a conversation's id; None when it has none that can be trusted.

    Wire: older events show an `id` without prefix that differs from the real one in `_links.self`
        (`2x9c5v` beside `.../conversations/cnv_keocka`).
    """
    link = mapping(row.get("_links")).get("self")
    linked = _LINKED.fullmatch(link) if isinstance(link, str) else None
    return linked[1] if linked else bare_id(row.get("id"))


def bare_id(value: Json) -> str | None:
    """Give an id that says by its prefix that it is a conversation's; None for any other."""
    found = identifier(value)
    return found if found and _CONVERSATION.fullmatch(found) else None


def moment_us(value: Json) -> int | None:
    """Give an instant, Unix microseconds. Wire: `1791368313.544`, seconds."""
    return None if isinstance(value, str) else epoch_us(value, 1)


def moment_ms(value: Json) -> int | None:
    """Give an instant, Unix milliseconds."""
    return ms_of(moment_us(value))


def conversation_fields(row: Mapping[str, Json]) -> dict[str, Json]:
    """Give the Planhat fields that a conversation shows; what it shows empty clears."""
    recipient, assignee = mapping(row.get("recipient")), mapping(row.get("assignee"))
    return known(
        {
            "title": told(row, "subject", text),
            "tags": _tags(row.get("tags")),
            "status": word(row.get("status")) or UNKNOWN,
            # A handle may as well be a phone number: then the contact is asked for an address.
            "email": mail_address(recipient.get("handle")) or UNKNOWN,
            "name": text(recipient.get("name")) or UNKNOWN,
            "agentEmail": _agent(row, assignee),
        }
    )


def conversation_refs(row: Mapping[str, Json]) -> dict[str, str | None]:
    """Give the ids behind a conversation; the contact leads to the account, which is the company."""
    link = mapping(mapping(mapping(row.get("recipient")).get("_links")).get("related")).get("contact")
    contact = _CONTACT.fullmatch(link) if isinstance(link, str) else None
    refs: dict[str, str | None] = {"requester_id": contact[1], "organization_id": contact[1]} if contact else {}
    assignee = identifier(mapping(row.get("assignee")).get("id"))
    if assignee or ("assignee" in row and row["assignee"] is None):
        refs["assignee_id"] = assignee
    return refs


def page(conversation: str) -> str:
    """Give the page where a teammate finds a conversation."""
    return f"https://app.frontapp.com/open/{conversation}"


def _agent(row: Mapping[str, Json], assignee: Mapping[str, Json]) -> str | Unknown:
    if "assignee" not in row:
        return UNKNOWN
    return mail_address(assignee.get("email")) or (UNKNOWN if assignee else "")


def _tags(value: Json) -> list[str] | Unknown:
    """Give the names of a conversation's tags; a teammate's own tags are nobody else's business."""
    if not isinstance(value, list):
        return UNKNOWN
    return strings([tag.get("name") for tag in map(mapping, value) if tag.get("is_private") is not True]) or []
