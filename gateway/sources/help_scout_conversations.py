"""
A Help Scout conversation as a webhook or the API shows it (v2), and as old webhooks still do (v1).

Notes and line items among the threads are never read. `preview` is the shortened newest text, not a description. Spam
counts as deleted; its end is a conversation that became active again.

Source: developer.helpscout.com/webhooks, mailbox-api/endpoints/conversations/get, webhooks/objects/conversation (v1)
(2026-11, documented); helpscout-api-php tests/Payloads/ConversationPayloads.php (code); facts of Help Scout §2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.sources.reading import (
    UNKNOWN,
    html_to_text,
    identifier,
    instant_ms,
    known,
    mail_address,
    mapping,
    strings,
    text,
    told,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json
    from gateway.sources.reading import Unknown

STATUSES: Final = ("active", "pending", "closed", "spam")
SPAM: Final = "spam"
CUSTOMER: Final = ("primaryCustomer", "customer")
AGENT: Final = ("assignee", "owner")
UPDATED: Final = ("userUpdatedAt", "userModifiedAt", "modifiedAt")
OWN: Final = ("subject", "mailboxId", "number")
"""What only conversations have; one is enough to tell, together with a status."""

UNSAID: Final = ("note", "lineitem", "forwardchild")
"""Threads that no customer sees."""

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,19}")
_WEB: Final = re.compile(r"https://secure\.helpscout\.net/[\w./?=&%-]{1,300}")
_API: Final = re.compile(r"https://api\.helpscout\.net/v2/conversations/([1-9][0-9]{0,19})/?")


def is_conversation(row: Mapping[str, Json]) -> bool:
    """Say whether a body is a conversation by its own words, whatever a header calls it."""
    return word(row.get("status")) in STATUSES and any(name in row for name in OWN)


def number_of(value: Json) -> str | None:
    """Give a record's number as text; None when it is none."""
    found = identifier(value)
    return found if found and _NUMBER.fullmatch(found) else None


def linked_number(row: Mapping[str, Json]) -> str | None:
    """
    Give the conversation that a link names, whatever the link is called; it is read, never followed.

    Wire: not documented; `{"_links": {"self": {"href": "https://api.helpscout.net/v2/conversations/3170412"}}}` or a
        text.
    """
    links = mapping(row.get("_links"))
    shown = (links.get("self"), links.get("conversation"), *row.values())
    texts = (mapping(link).get("href") if isinstance(link, dict) else link for link in shown)
    matches = (_API.fullmatch(link) for link in texts if isinstance(link, str))
    return next((match[1] for match in matches if match), None)


def updated_at_ms(row: Mapping[str, Json]) -> int | None:
    """Give when somebody last changed the conversation, Unix ms."""
    return next((at_ms for name in UPDATED if (at_ms := instant_ms(row.get(name))) is not None), None)


def conversation_fields(row: Mapping[str, Json], number: str) -> dict[str, Json]:
    """Give the Planhat fields that a conversation shows; what it shows empty clears."""
    customer = _one(row, CUSTOMER)
    creator = mapping(row.get("createdBy"))
    if creator.get("type") != "customer":  # an agent may have written for the customer
        creator = {}
    email = mail_address(customer.get("email")) or mail_address(creator.get("email"))
    same = not creator or mail_address(creator.get("email")) == email
    return known(
        {
            "title": told(row, "subject", text),
            "description": _description(row),
            "url": _url(row, number),
            "tags": _tags(row.get("tags")),
            "status": word(row.get("status")) or UNKNOWN,
            "email": email or UNKNOWN,
            "name": _name(customer) or (_name(creator) if same else "") or UNKNOWN,
            "agentEmail": _agent(row),
        }
    )


def conversation_refs(row: Mapping[str, Json]) -> dict[str, str | None]:
    """Give the customer's id; an agent's would be a number of another kind, and comes with the address anyway."""
    customer = number_of(_one(row, CUSTOMER).get("id"))
    return {"requester_id": customer} if customer else {}


def lacks(row: Mapping[str, Json]) -> tuple[str, ...]:
    """Give what a conversation does not tell: the company never, the agent's address not where only an id is shown."""
    return ("company",) if _agent(row) is not UNKNOWN or not _one(row, AGENT) else ("company", "agent_email")


def _one(row: Mapping[str, Json], names: tuple[str, ...]) -> Mapping[str, Json]:
    return next((found for name in names if (found := mapping(row.get(name)))), {})


def _name(person: Mapping[str, Json]) -> str:
    names = (("first", "firstName"), ("last", "lastName"))
    parts = (text(person.get(new)) or text(person.get(old)) for new, old in names)
    return " ".join(part for part in parts if part)


def _agent(row: Mapping[str, Json]) -> str | Unknown:
    """Give the assignee's address, "" when nobody has the conversation."""
    if not any(name in row for name in AGENT):
        return UNKNOWN
    agent = _one(row, AGENT)
    return mail_address(agent.get("email")) or (UNKNOWN if agent else "")


def _tags(value: Json) -> list[str] | Unknown:
    """Give the tags. Wire: v2 `[{"id", "color", "tag": "vip"}]`, v1 `["vip"]`."""
    if not isinstance(value, list):
        return UNKNOWN
    return strings([item.get("tag", item.get("name")) if isinstance(item, dict) else item for item in value]) or []


def _description(row: Mapping[str, Json]) -> str | Unknown:
    """Give the oldest text that the customer can see, if the threads came along (in v2 `threads` is their number)."""
    embedded = mapping(row.get("_embedded")).get("threads")
    threads = embedded if isinstance(embedded, list) else row.get("threads")
    listed = [mapping(thread) for thread in threads] if isinstance(threads, list) else []
    said = [
        (at_ms, thread["body"])
        for thread in listed
        if isinstance(thread.get("body"), str)
        and (at_ms := instant_ms(thread.get("createdAt"))) is not None
        and thread.get("type") not in UNSAID
        and thread.get("state") in (None, "published")
    ]
    return html_to_text(min(said)[1]) if said else UNKNOWN


def _url(row: Mapping[str, Json], number: str) -> str | Unknown:
    """Give the agents' page. Wire: `https://secure.helpscout.net/conversation/<id>/<number>/`."""
    shown = mapping(mapping(row.get("_links")).get("web")).get("href")
    if isinstance(shown, str) and _WEB.fullmatch(shown):
        return shown
    for_people = number_of(row.get("number"))
    return f"https://secure.helpscout.net/conversation/{number}/{for_people}" if for_people else UNKNOWN
