"""
The keys, codes and labels of Freshdesk and Freshservice, and what they are in Planhat.

A row is a flat object: a template's keys with or without `ticket_`, nested people as `requester_email`. Values of
templates are HTML-escaped text, values of app events are plain.

Source: facts of Freshdesk §3, §4.1, §5, §8 (recorded and documented); tests/samples/freshdesk.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

from gateway.sources.reading import (
    UNKNOWN,
    Unknown,
    html_to_text,
    identifier,
    is_placeholder,
    known,
    mail_address,
    plain_text,
    strings,
    text,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json

STATUS: Final = {
    "2": "open",
    "3": "pending",
    "4": "resolved",
    "5": "closed",
    "6": "waiting on customer",
    "7": "waiting on third party",
}
"""Codes of a fresh account; 6, 7 and everything above may have been renamed, so a label always goes first."""

STATUSES: Final[Mapping[str, Mapping[str, str]]] = {
    "freshdesk": STATUS,
    "freshservice": {code: label for code, label in STATUS.items() if code <= "5"},
}
"""Product -> its codes; Freshservice gives 6 and 7 to nothing, so an account may."""

PRIORITY: Final = {"1": "low", "2": "medium", "3": "high", "4": "urgent"}

_ESCAPED_TAG: Final = re.compile(r"&lt;/?[a-zA-Z]")
_WEB: Final = re.compile(r"https?://\S+", re.IGNORECASE)
_BARE_WEB: Final = re.compile(r"(?://)?((?:[\w-]{1,63}\.)+[A-Za-z]{2,24}(?::[0-9]{1,5})?(?:/\S*)?)")


def first(row: Mapping[str, Json], *names: str) -> Json | Unknown:
    """Give the first value that is not empty among `ticket_NAME` and NAME; else the empty one; else UNKNOWN."""
    empty: Json | Unknown = UNKNOWN
    for key in (key for name in names for key in (f"ticket_{name}", name)):
        value = row.get(key, UNKNOWN)
        if value is UNKNOWN or is_placeholder(value):
            continue  # a placeholder that the helpdesk left in says nothing
        if value not in (None, "", [], {}) and not (isinstance(value, str) and not value.strip()):
            return value
        empty = None
    return empty


def is_true(row: Mapping[str, Json], name: str) -> bool:
    """Say whether a flag is set, as JSON's true or as the text "true"."""
    value = first(row, name)
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def _line(value: Json | Unknown, *, templated: bool) -> str | Unknown:
    """Give one line of text; "" when known to be empty. Templates escape `&` and `<`, app events do not."""
    found = "" if value is None else text(value)
    if found is None:  # a list or an object where a text belongs, or UNKNOWN
        return UNKNOWN
    return " ".join((html.unescape(found) if templated else found).split())


def _description(row: Mapping[str, Json], *, templated: bool) -> str | Unknown:
    """Prefer the helpdesk's own plain text; a text that it cut short is unknown rather than half a text."""
    plain, markup = first(row, "description_text"), first(row, "description")
    if isinstance(plain, str) and not is_true(row, "is_description_text_truncated"):
        return plain_text(html.unescape(plain) if templated else plain)
    if isinstance(markup, str):
        if is_true(row, "is_description_truncated"):
            return UNKNOWN
        escaped = templated and "<" not in markup and _ESCAPED_TAG.search(markup)
        return html_to_text(html.unescape(markup) if escaped else markup)
    return "" if plain is None or markup is None else UNKNOWN


def _list(value: Json | Unknown, *, templated: bool) -> list[str] | Unknown:
    """Give a comma-joined text or an array as a list of texts."""
    found = value.split(",") if isinstance(value, str) else [] if value is None else value
    texts = strings(found)
    return UNKNOWN if texts is None else [html.unescape(item) if templated else item for item in texts]


def _coded(value: Json | Unknown, codes: Mapping[str, str]) -> str | None:
    """Give a label in lower case, a known code's word, an unknown code as text; None when nothing is said."""
    shown = text(None if value is UNKNOWN else value)
    return None if shown is None else codes.get(shown, word(html.unescape(shown)))


def fields_of(row: Mapping[str, Json], *, templated: bool, statuses: Mapping[str, str] = STATUS) -> dict[str, Json]:
    """
    Give the Planhat fields that a flat row shows; what it shows empty clears.

    Args:
        templated: values are a template's HTML-escaped text.
        statuses: what codes mean in this product.
    """
    status, priority = first(row, "status_name", "status"), first(row, "priority_name", "priority")
    name = _line(first(row, "contact_name", "requester_name", "name"), templated=templated)
    if not name or name is UNKNOWN:
        parts = [
            first(row, *(f"{who}_{part}{mark}name" for who in ("contact", "requester") for mark in ("", "_")))
            for part in ("first", "last")
        ]
        name = " ".join(part.strip() for part in parts if isinstance(part, str)) or name
    mails: dict[str, Json | Unknown] = {}
    for field, names in {
        "email": ("contact_email", "requester_email", "email"),
        "agentEmail": ("agent_email", "responder_email"),
    }.items():
        shown = _line(first(row, *names), templated=templated)
        mails[field] = shown if shown is UNKNOWN else mail_address(shown) or ""
    domains = _list(first(row, "company_domains", "company_domain", "department_domains"), templated=templated)
    fields: dict[str, Json | Unknown] = {
        "title": _line(first(row, "subject", "title"), templated=templated),
        "description": _description(row, templated=templated),
        "tags": _list(first(row, "tags"), templated=templated),
        "type": _line(first(row, "ticket_type", "type"), templated=templated),
        "severity": "" if priority is None else _coded(priority, PRIORITY) or UNKNOWN,
        "product": _line(first(row, "product_name", "product", "product_description"), templated=templated),
        "status": _coded(status, statuses) or UNKNOWN,  # a ticket always has one: an empty one is not known
        "name": name,
        "domains": domains if isinstance(domains, Unknown) else [domain.lower() for domain in domains],
        "companyExternalId": _line(
            first(row, "company_unique_external_id", "company_external_id"), templated=templated
        ),
    }
    return known(fields | mails)


def refs_of(row: Mapping[str, Json]) -> dict[str, str | None]:
    """Give the helpdesk's record ids of requester, company (department) and agent."""
    found = {
        "requester_id": first(row, "requester_id", "contact_id"),
        "organization_id": first(row, "company_id", "department_id"),
        "assignee_id": first(row, "responder_id", "agent_id"),
    }
    return {name: identifier(value) for name, value in found.items() if value is None or identifier(value)}


def url_of(row: Mapping[str, Json], domain: str | None, ticket: str, source: str) -> dict[str, Json]:
    """Give the ticket's link for people: the payload's own, else one made of the helpdesk's domain."""
    shown = first(row, "url", "portal_url")
    if isinstance(shown, str):
        link = html.unescape(shown.strip())
        bare = _BARE_WEB.fullmatch(link)
        if _WEB.fullmatch(link) or bare:
            return {"url": link if bare is None else f"https://{bare[1]}"}
    host = (domain or "").strip().lower().removeprefix("https://").rstrip("/")
    host = host if "." in host or not host else f"{host}.{source}.com"
    number = ticket.rpartition("-")[2]  # Freshservice's INC-9 stands under 9
    return {"url": f"https://{host}/helpdesk/tickets/{number}"} if _BARE_WEB.fullmatch(host) else {}
