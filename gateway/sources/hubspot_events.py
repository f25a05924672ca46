"""
HubSpot's events about tickets: what each type says, and which properties are readable without a look-up.

A stage is an id and no status word, so `hs_pipeline_stage` says only that the ticket changed.

Source: developers.hubspot.com webhooks API guide (documented); facts of HubSpot §2, §4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.sources.reading import epoch_us, identifier, line, ms_of, prose, text, ticket_id, word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Connection

TICKETS: Final = "0-5"
"""HubSpot's type id of tickets, in events of the generic type `object`."""

IDENTITY: Final = ("portalId", "subscriptionId", "objectId", "propertyName", "occurredAt", "subscriptionType")
"""What makes an event the same event, since `eventId` does not."""

NO_RECORD: Final = (None, "0")
"""Ids that stand for no new record: a merge without one lets the primary ticket survive."""

LIFE: Final[Mapping[str, Life]] = {
    "creation": "live",
    "restore": "live",
    "merge": "live",
    "deletion": "deleted",
    "privacyDeletion": "purged",
}
"""What a type says of the ticket's existence; a merge says it of the survivor."""


PROPERTIES: Final[Mapping[str, tuple[str, Callable[[object], str | None]]]] = {
    "subject": ("title", line),
    "content": ("description", prose),
    "hs_ticket_priority": ("severity", word),
}
"""Property -> Planhat's field and its reader; null or an empty text is known to be empty."""


def event_changes(event: Mapping[str, Json], connection: Connection) -> list[Change]:
    """
    Give what an event says of tickets; nothing for an event about something else.

    Args:
        event: has a text as `subscriptionType`.
    Raises:
        UnreadablePayload: `no_ticket_id`, `bad_ticket_id`.
    """
    about, _, verb = event["subscriptionType"].partition(".")
    if about != "ticket" and not (about == "object" and TICKETS in _types(event)):
        return []
    if verb == "merge":
        return _merge(event, connection)
    place = _side(event) if verb == "associationChange" else "objectId"
    ticket = ticket_id(event.get(place), place)
    fields: dict[str, Json] = {}
    if verb == "propertyChange" and "propertyValue" in event:
        name = event.get("propertyName")
        field, read = PROPERTIES.get(name if isinstance(name, str) else "", ("", line))
        fields = {field: read(event["propertyValue"]) or ""} if field else {}
    return [_change(ticket, LIFE.get(verb, ""), event, connection, fields, creation=verb == "creation")]


def _change(
    ticket: str,
    life: Life,
    event: Mapping[str, Json],
    connection: Connection,
    fields: Mapping[str, Json],
    *,
    creation: bool = False,
) -> Change:
    gone = life in ("deleted", "purged")
    at_us = epoch_us(event.get("occurredAt"), 1000)
    at_ms = ms_of(at_us)
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields,
        updated_at_ms=at_ms,
        event_at_us=at_us,
        created_at_ms=at_ms if creation else None,
        life=life,
        creation=creation,
        thin=not gone,
    )


def _merge(event: Mapping[str, Json], connection: Connection) -> list[Change]:
    """Let the merged ones go, the winner too when the merge made a new record of both."""
    primary, new = event.get("primaryObjectId"), event.get("newObjectId")
    survivor = ticket_id(primary if identifier(new) in NO_RECORD else new, "primaryObjectId")
    merged = event.get("mergedObjectIds")
    gone = [identifier(one) for one in (*(merged if isinstance(merged, list) else ()), primary)]
    left = dict.fromkeys(one for one in gone if one and one != survivor)
    return [
        _change(survivor, LIFE["merge"], event, connection, {}),
        *(_change(one, "deleted", event, connection, {}) for one in left),
    ]


def _types(event: Mapping[str, Json]) -> tuple[Json, ...]:
    return tuple(event.get(name) for name in ("objectTypeId", "fromObjectTypeId", "toObjectTypeId"))


def _side(event: Mapping[str, Json]) -> str:
    """
    Say where an association names the ticket.

    Wire: `"associationType": "TICKET_TO_CONTACT", "fromObjectId": 15520347790, "toObjectId": 90114`; no `objectId`.
    """
    start, end = event.get("fromObjectTypeId"), event.get("toObjectTypeId")
    # Types tell more than a label, which may be the account's own.
    if (start == TICKETS) != (end == TICKETS):
        return "fromObjectId" if start == TICKETS else "toObjectId"
    kind = (text(event.get("associationType")) or "").upper()
    to_ticket = kind.endswith("_TO_TICKET") and not kind.startswith("TICKET_TO_")
    return "toObjectId" if to_ticket else "fromObjectId"
