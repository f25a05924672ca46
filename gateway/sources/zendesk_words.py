"""
What Zendesk's events and triggers have in common: how a ticket is numbered and where an agent finds it.

Source: facts of Zendesk §3, §4 (ids are digits, links are made of the subdomain).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeGuard

from gateway.errors import UnreadablePayload
from gateway.sources.reading import identifier, ticket_id

if TYPE_CHECKING:
    from gateway.core.change import Json

DOMAIN: Final = "zendesk.com"
PAGE: Final = "agent/tickets/{}"
"""Where an agent finds a ticket; without a subdomain there is no link, since the account's id does not tell it."""

EMPTY_IDS: Final = ("", "0")
"""Texts that stand for "no such record". Wire: `"organization_id": "0"`."""

DIGITS_MAX: Final = 32
_NUMBER: Final = re.compile(rf"[0-9]{{1,{DIGITS_MAX}}}")


def ticket_number(value: Json, where: str) -> str:
    """
    Give a ticket's number as text; Zendesk numbers tickets, so `{{ticket.id}}` that nobody rendered is none.

    Args:
        where: how to call the place in the message, such as `"ticket_id"`.
    Raises:
        UnreadablePayload: `no_ticket_id`, `bad_ticket_id`.
    """
    if _digits(value) and value[0] != "0":
        return value
    found = ticket_id(value, where)
    if not _NUMBER.fullmatch(found) or found == "0":
        raise UnreadablePayload("bad_ticket_id", f"{where} must be the ticket's number: use {{{{ticket.id}}}}.")
    return found


def reference(value: Json) -> str | None:
    """Give the id of another record; None when the ticket has none."""
    found = value if _digits(value) else identifier(value)
    return None if found in EMPTY_IDS else found


def _digits(value: Json) -> TypeGuard[str]:
    """Say whether an id is what nearly all are; the others are read with more care, and more slowly."""
    return isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) <= DIGITS_MAX
