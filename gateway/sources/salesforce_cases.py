"""
A Case as Salesforce names its fields, from an outbound message or from its API: the same names, the same dates.

A field that is not ticked, and a null in an outbound message, are left out: what is absent is unknown. Ids have 15
characters that differ by case, or 18 whose last three say which of them are capitals; both become the 18.

Source: developer.salesforce.com docs/atlas.en-us.object_reference.meta Case (2026-11, documented); facts of Salesforce
§2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload
from gateway.sources.reading import UNKNOWN, instant_ms, instant_us, known, mail_address, prose, text, told, word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json
    from gateway.sources.base import Connection

ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
CASE: Final = "500"
"""What every Case's id begins with."""
QUEUE: Final = "00G"
"""What a queue's id begins with: a Case that lies there has no agent."""

REFS: Final = {"requester_id": "ContactId", "organization_id": "AccountId", "assignee_id": "OwnerId"}
_ID: Final = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


def case_change(row: Mapping[str, Json], connection: Connection) -> Change:
    """
    Read a Case out of an outbound message.

    Raises:
        UnreadablePayload: `no_ticket_id`, `bad_ticket_id`.
    """
    ticket = _ticket(row.get("Id"))
    fields, refs = case_fields(row), case_refs(row)
    thin = not {"title", "status"} <= fields.keys()
    modstamp, created_at_ms = row.get("SystemModstamp"), instant_ms(row.get("CreatedDate"))
    updated_at_ms = instant_ms(row.get("LastModifiedDate") or modstamp)  # perhaps only the other one is ticked
    whole = not thin and bool(fields.get("email") or refs.get("requester_id"))
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields if thin else fields | link(ticket, connection.subdomain),
        refs=refs,
        updated_at_ms=updated_at_ms,
        # What Salesforce itself changed moves this one only: it tells equal edits apart.
        event_at_us=instant_us(modstamp),
        created_at_ms=created_at_ms,
        creation=whole and updated_at_ms is not None and updated_at_ms == created_at_ms,
        complete=whole,
        thin=thin,
    )


def case_fields(row: Mapping[str, Json]) -> dict[str, Json]:
    """Give the Planhat fields that a Case shows; a nil is known to be empty."""
    status = word(row.get("Status")) or ("closed" if _is_true(row.get("IsClosed")) else UNKNOWN)
    contact, supplied = mail_address(row.get("ContactEmail")), mail_address(row.get("SuppliedEmail"))
    name = text(row.get("SuppliedName")) if supplied and contact in (None, supplied) else None
    return known(
        {
            "title": told(row, "Subject", text),
            "description": told(row, "Description", prose),
            "type": told(row, "Type", word),
            "severity": told(row, "Priority", word),
            "status": status,
            "email": contact or supplied or UNKNOWN,
            "name": name or UNKNOWN,
        }
    )


def case_refs(row: Mapping[str, Json]) -> dict[str, str | None]:
    """Give contact, account and owner by id; a nil is known to be nobody."""
    shown = {ref: row[name] for ref, name in REFS.items() if name in row}
    found = {ref: widened(value) for ref, value in shown.items() if not value or widened(value)}
    owner = found.get("assignee_id")
    return found | {"assignee_id": None} if owner and owner.startswith(QUEUE) else found


def widened(value: Json) -> str | None:
    """Give an id of 15 characters as the 18 that anything but case may compare; None for what is no id."""
    found = value.strip() if isinstance(value, str) else ""
    if not _ID.fullmatch(found):
        return None
    if len(found) == 18:
        return found
    groups = (found[at : at + 5] for at in (0, 5, 10))
    return found + "".join(ALPHABET[sum(mark.isupper() << at for at, mark in enumerate(group))] for group in groups)


def link(ticket: str, domain: str | None) -> dict[str, Json]:
    """Give the agent's page of a Case; never made of the addresses in a message, which come from the sender."""
    site = (domain or "").removesuffix(".my.salesforce.com").removesuffix(".lightning.force.com")
    return {"url": f"https://{site}.lightning.force.com/lightning/r/Case/{ticket}/view"} if site else {}


def _ticket(value: Json) -> str:
    if not value:
        raise UnreadablePayload("no_ticket_id", "A Case without Id: tick the field Id of the outbound message.")
    found = widened(value)
    if found is None:
        raise UnreadablePayload("bad_ticket_id", "The Id of a Case must have 15 or 18 letters and digits.")
    return found


def _is_true(value: Json) -> bool:
    return value is True or (isinstance(value, str) and value.strip() in ("true", "1"))
