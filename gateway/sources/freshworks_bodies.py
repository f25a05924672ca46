"""
How Freshdesk and Freshservice speak of a ticket: rule bodies and app events, turned into changes.

A rule's webhook has no event name, no id and no time that can be trusted: it counts by arrival. A marketplace app's
event has codes instead of labels and real times: it is stamped. Notes and comments are never read, so a private one
cannot leave.

Source: facts of Freshdesk §3-§7 (simple and advanced content, placeholders, app events; recorded and documented).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload
from gateway.sources.base import Normalized
from gateway.sources.freshworks_fields import STATUSES, fields_of, first, is_true, refs_of, url_of
from gateway.sources.reading import UNKNOWN, Unknown, identifier, instant_ms, mapping, text, ticket_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Connection

PEOPLE: Final = ("requester", "contact", "company", "department", "agent", "responder")
"""Objects that templates and app events nest; their keys are read as `requester_email` and so on."""

_ID: Final = re.compile(r"\w[\w-]{0,63}")
_ACTION: Final = re.compile(r"ticket_action['\"]?\s{0,8}:\s{0,8}['\"]?\s{0,8}([a-z_]{1,40})", re.IGNORECASE)
_GONE: Final = frozenset(("deleted", "spam", "spammed", "marked_as_spam", "marked_spam"))
_BACK: Final = frozenset(("created", "restored", "undeleted", "unspam", "unspammed"))
_APP_EVENT: Final = re.compile(r"on[A-Z][A-Za-z]{2,60}")
_APP_TICKET: Final = re.compile(r"on(?:Support|Service)?Ticket(Create|Update|Delete)")
_MS_FROM: Final = 100_000_000_000
_MS_TO: Final = 253_402_300_799_999


def normalized(payload: Json, connection: Connection) -> Normalized:
    """
    Turn a rule's body or an app's event into changes.

    Raises:
        UnreadablePayload: `not_a_ticket`, `no_ticket_id`, `bad_ticket_id`.
    """
    body = mapping(payload)
    event, data = body.get("event"), body.get("data")
    if isinstance(event, str) and _APP_EVENT.fullmatch(event) and isinstance(data, dict):
        return _app_event(event, data, body, connection)
    return Normalized((_rule(_unwrapped(body), connection),))


def _unwrapped(body: Mapping[str, Json]) -> dict[str, Json]:
    """Take the wrappers off: `freshdesk_webhook` and `ticket` may both be there, either, or none."""
    inner = body.get("freshdesk_webhook", body)
    nested = mapping(inner).get("ticket", inner)
    if not isinstance(inner, dict) or not isinstance(nested, dict) or not nested:
        raise UnreadablePayload(
            "not_a_ticket", "Expected a JSON object with ticket_id, alone or under freshdesk_webhook or ticket."
        )
    return _flat(inner) | _flat(nested)


def _flat(box: Mapping[str, Json]) -> dict[str, Json]:
    """Give keys in lower case, nested people as `requester_email`; what was already flat wins."""
    lower = {key.strip().lower(): value for key, value in box.items()}
    nested = {
        f"{person}_{key.lower()}": value
        for person in PEOPLE
        for key, value in mapping(lower.get(person, lower.get(f"ticket_{person}"))).items()
    }
    return nested | lower


def _rule(body: dict[str, Json], connection: Connection) -> Change:
    action = _ACTION.search(str(body.get("triggered_event", ""))[:1000])
    did = action[1].lower() if action else ""
    ticket = _ticket_id(first(body, "id_numeric", "id", "display_id"))
    gone = did in _GONE or is_true(body, "deleted") or is_true(body, "spam")
    fields = {} if gone else fields_of(body, templated=True, statuses=STATUSES[connection.source])
    thin = not fields and not gone
    link = {} if thin or gone else url_of(body, connection.subdomain, ticket, connection.source)
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields | link,
        refs={} if gone else refs_of(body),
        created_at_ms=instant_ms(first(body, "created_at_iso", "created_at")),
        life="deleted" if gone else "live" if did in _BACK else "",
        creation=did == "created",
        complete=all(fields.get(name) for name in ("title", "status", "email")),
        thin=thin,
    )


def _app_event(event: str, data: Mapping[str, Json], body: Mapping[str, Json], connection: Connection) -> Normalized:
    """Read an event of the app platform; its `timestamp` (ms, in old versions s) is when it happened."""
    moment = body.get("timestamp")
    at_ms = None
    if isinstance(moment, int | float) and not isinstance(moment, bool) and 0 < moment <= _MS_TO:
        at_ms = int(moment if moment >= _MS_FROM else moment * 1000)
    event_at_us = None if at_ms is None else at_ms * 1000
    kind = _APP_TICKET.fullmatch(event)
    if kind is None:
        about = mapping(data.get("conversation")).get("ticket_id")
        if not event.startswith("onConversation") or identifier(about) is None:
            return Normalized(ignored=f"app event {event} changes no ticket")
        ticket = connection.prefix + _ticket_id(about)
        return Normalized((Change(ticket=ticket, connection=connection.name, event_at_us=event_at_us, thin=True),))
    # A ticket's own `email` and `name` are null beside a requester: they say nothing of the requester.
    own = {key: value for key, value in _flat(mapping(data.get("ticket"))).items() if key not in ("email", "name")}
    ticket = _ticket_id(first(own, "id", "display_id") if own else data.get("ticket_id"))
    row = _flat({key: value for key, value in data.items() if key in PEOPLE}) | own
    flags = [_flag(name, own, data) for name in ("deleted", "spam")]
    gone = kind[1] == "Delete" or True in flags
    fields = {} if gone else fields_of(row, templated=False, statuses=STATUSES[connection.source])
    shown = kind[1] == "Create" or False in flags
    life: Life = "deleted" if gone else "live" if shown else ""
    updated_at_ms = instant_ms(own.get("updated_at"))
    change = Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields | (url_of(row, text(body.get("domain")) or "", ticket, connection.source) if fields else {}),
        refs={} if gone else refs_of(row),
        updated_at_ms=at_ms if updated_at_ms is None else updated_at_ms,
        event_at_us=event_at_us,
        created_at_ms=instant_ms(own.get("created_at")),
        life=life,
        creation=kind[1] == "Create",
        complete=all(fields.get(name) for name in ("title", "status", "email")),
        thin=not fields and not gone,
    )
    return Normalized((change,))


def _flag(name: str, ticket: Mapping[str, Json], data: Mapping[str, Json]) -> bool | None:
    """
    Say what a flag is now: by the change told in the ticket or beside it, else by the ticket's own; None when untold.

    Wire: `"changes": {"deleted": [false, true]}`.
    """
    for box in (ticket, data):
        change = mapping(box.get("changes")).get(name)
        if isinstance(change, list) and len(change) == 2 and isinstance(change[1], bool):
            return change[1]
    return True if is_true(ticket, name) else False if ticket.get(name) is False else None


def _ticket_id(value: Json | Unknown) -> str:
    """Give 9 for 9, " 9 " and "#9", and Freshservice's display form INC-9 as it is."""
    bare = value.strip().lstrip("#").strip() if isinstance(value, str) else value
    found = ticket_id(None if bare is UNKNOWN else bare, "ticket_id")
    if not _ID.fullmatch(found):
        raise UnreadablePayload("bad_ticket_id", "ticket_id is no ticket number: check its placeholder {{ticket.id}}.")
    return found
