"""
Gorgias: HTTP integrations that post the whole ticket, or a template of its shape, with an agreed secret.

Nothing is signed. The same messages stand in a body up to three times; only the first one is read, and only when it is
public. A body from a template has texts where the ticket has numbers, flags and nulls.

Wire: `{"id", "subject", "status", "customer": {...}, "assignee_user": {...}, "first_message": {...},
    "tags": [{"name"}], "trashed_datetime", "spam", "account": {"domain"}}`, bare or under `ticket`.
Source: docs.gorgias.com en-US/http-integrations-81822 and faq/broken-or-disconnected-http-integration (2026-11,
documented); facts of Gorgias §1-§6 (payload: public code).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload
from gateway.sources.base import Normalized
from gateway.sources.ordinary import Shown, check_account, in_first_second, page
from gateway.sources.reading import (
    UNKNOWN,
    html_to_text,
    identifier,
    instant_ms,
    is_placeholder,
    known,
    mail_address,
    mapping,
    plain_text,
    strings,
    text,
    ticket_id,
    told,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Connection, Request
    from gateway.sources.reading import Unknown

LACKS: Final = ("company",)
SNOOZED: Final = "snoozed"


class GorgiasSource(Shown):
    """The adapter; see the module."""

    name = "gorgias"

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn a ticket into its change.

        Raises:
            UnreadablePayload: `not_a_ticket`, `no_ticket_id`, `bad_ticket_id`.
            VerificationError: `account_mismatch`.
        """
        body = mapping(payload)
        shown = _row(mapping(body["ticket"]) if "ticket" in body else body)
        if not shown:
            raise UnreadablePayload("not_a_ticket", "Expected a JSON object with the ticket, alone or under ticket.")
        check_account(connection, mapping(body.get("account", shown.get("account"))).get("domain"))
        return Normalized((_change(shown, connection),), lacks=LACKS)


def _row(shown: Mapping[str, Json]) -> dict[str, Json]:
    """Leave out what is a placeholder that nobody rendered: it says nothing."""
    return {key: value for key, value in shown.items() if not is_placeholder(value)}


def _change(shown: Mapping[str, Json], connection: Connection) -> Change:
    ticket = ticket_id(shown.get("id"), "id")
    trashed_at_ms = instant_ms(shown.get("trashed_datetime"))
    gone = _is_set(shown.get("trashed_datetime")) or str(shown.get("spam")).strip().lower() == "true"
    life: Life = "deleted" if gone else "live" if shown.get("trashed_datetime", UNKNOWN) in (None, "") else ""
    fields = {} if gone else known(_fields(shown))
    updated_at_ms, created_at_ms = instant_ms(shown.get("updated_datetime")), instant_ms(shown.get("created_datetime"))
    if trashed_at_ms is not None:  # a ticket's other times may stand still when it goes to the trash
        updated_at_ms = max(trashed_at_ms, updated_at_ms or 0)
    thin = not gone and not fields.keys() & {"title", "status"}
    account = mapping(shown.get("account")).get("domain")
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields if thin or gone else fields | page(connection, "gorgias.com", f"app/ticket/{ticket}", account),
        refs={} if gone else _refs(shown),
        updated_at_ms=updated_at_ms,
        created_at_ms=created_at_ms,
        life=life,
        creation="status" in fields and in_first_second(updated_at_ms, created_at_ms),
        complete={"title", "status", "email"} <= fields.keys(),
        thin=thin,
    )


def _is_set(value: Json) -> bool:
    """Say whether a time is there, be it one that cannot be read: a template writes none as "" or `None`."""
    return isinstance(value, str) and value.strip()[:4].isdecimal()


def _fields(shown: Mapping[str, Json]) -> dict[str, Json | Unknown]:
    """Read a ticket; a null is known to be empty, a key that is absent is unknown."""
    person = _person(shown)
    status = SNOOZED if _is_set(shown.get("snooze_datetime")) else word(shown.get("status"))
    return {
        "title": told(shown, "subject", text),
        "description": _description(shown.get("first_message")),
        "tags": _tags(shown.get("tags")),
        "severity": told(shown, "priority", word),
        "status": status or UNKNOWN,
        "email": told(person, "email", mail_address),
        "name": text(person.get("name")) or UNKNOWN,
        "agentEmail": _agent(shown),
    }


def _person(shown: Mapping[str, Json]) -> dict[str, Json]:
    """Give the customer; `requester` has the same shape, is not always there, and fills what the customer lacks."""
    customer, requester = _row(mapping(shown.get("customer"))), _row(mapping(shown.get("requester")))
    return {key: customer.get(key) or requester.get(key) for key in customer | requester}


def _refs(shown: Mapping[str, Json]) -> dict[str, str | None]:
    refs: dict[str, str | None] = {}
    if customer := identifier(mapping(shown.get("customer")).get("id")):
        refs["requester_id"] = customer
    if "assignee_user" in shown:
        refs["assignee_id"] = identifier(mapping(shown["assignee_user"]).get("id"))
    return refs


def _agent(shown: Mapping[str, Json]) -> str | Unknown:
    if "assignee_user" not in shown:
        return UNKNOWN
    return mail_address(mapping(shown["assignee_user"]).get("email")) or ""


def _description(first: Json) -> str | Unknown:
    """Give the first message, if it is plainly public; internal notes are messages with `public` false."""
    message = mapping(first)
    if message.get("public") is not True:
        return UNKNOWN
    for name in ("body_text", "stripped_text"):
        if isinstance(plain := message.get(name), str) and plain.strip():
            return plain_text(plain)
    markup = message.get("body_html")
    return html_to_text(markup) if isinstance(markup, str) else UNKNOWN


def _tags(value: Json) -> list[str] | Unknown:
    """Read tags: objects with `name`, plain names, or a template's text with commas."""
    rows = value.split(",") if isinstance(value, str) else value
    if not isinstance(rows, list):
        return UNKNOWN
    return strings([row.get("name") if isinstance(row, dict) else row for row in rows]) or []


SOURCE: Final = GorgiasSource()
