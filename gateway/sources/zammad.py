"""
Zammad: the whole ticket and the article that fired the trigger, without an event's name.

Every delivery means "this is the ticket now". Only the first article of a ticket is its description, and only when it
is public; no other article is read. `state` and `priority` are texts or objects, by version.

Wire: `{"ticket": {"id", "state", "customer": {...}, "owner": {...}, ...}, "article": {"id", "body", "internal"}}`.
Source: github.com/zammad/zammad-admin-documentation manage/webhook/payload.rst and add.rst (32eafb7, 2026-07-24),
zammad/zammad lib/user_agent.rb (code); facts of Zammad §1-§4.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload
from gateway.sources.base import Normalized
from gateway.sources.ordinary import Ordinary, check_body, in_first_second, page
from gateway.sources.reading import (
    UNKNOWN,
    html_to_text,
    identifier,
    instant_ms,
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

    from gateway.core.change import Json
    from gateway.sources.base import Connection, Request
    from gateway.sources.reading import Unknown

SIGNATURE: Final = "x-hub-signature"
DELIVERY: Final = "x-zammad-delivery"
MERGED: Final = "merged"
NOBODY: Final = "-"
"""Login of the user whom Zammad makes the owner of a ticket that nobody owns."""

LACKS: Final = ("tags",)
_RANK: Final = re.compile(r"[0-9]{1,3} ")
"""What stands before a priority's name. Wire: `"name": "2 normal"`."""


class ZammadSource(Ordinary):
    """The adapter; see the module."""

    name = "zammad"
    signed = "HMAC-SHA1"

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:  # noqa: ARG002
        """
        Prove the signature over the raw body; Zammad signs no time, and nothing when no token is set.

        SHA-1 is Zammad's choice and never the request's: other senders use the same header with SHA-256.

        Wire: `X-Hub-Signature: sha1=hex(HMAC-SHA1(signature token as text, body))`.
        Raises:
            VerificationError: see `check_body`.
        """
        check_body(request, connection, SIGNATURE, algorithm="sha1", prefix="sha1=")

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Give the job's id, the same over its retries. Not signed, so it counts together with the body only."""
        return identifier(request.header(DELIVERY))

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn the default payload, or a template of its shape, into the ticket's change.

        Raises:
            UnreadablePayload: `not_a_ticket`, `no_ticket_id`, `bad_ticket_id`.
        """
        body = mapping(payload)
        shown = mapping(body.get("ticket"))
        if not shown:
            raise UnreadablePayload(
                "not_a_ticket", "Expected Zammad's default payload: an object with ticket and article."
            )
        return Normalized((_change(shown, mapping(body.get("article")), connection),), lacks=LACKS)


def _change(shown: Mapping[str, Json], article: Mapping[str, Json], connection: Connection) -> Change:
    ticket = ticket_id(shown.get("id"), "ticket.id")
    gone = _name(shown.get("state")) == MERGED  # the survivor is not named
    fields = {} if gone else known(_fields(shown, article))
    updated_at_ms, created_at_ms = instant_ms(shown.get("updated_at")), instant_ms(shown.get("created_at"))
    thin = not gone and not fields.keys() & {"title", "status"}
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields if thin or gone else fields | page(connection, "", f"#ticket/zoom/{ticket}"),
        refs={} if gone else _refs(shown),
        updated_at_ms=updated_at_ms,
        created_at_ms=created_at_ms,
        life="deleted" if gone else "",
        creation="status" in fields and in_first_second(updated_at_ms, created_at_ms),
        complete={"title", "status", "email"} <= fields.keys(),
        thin=thin,
    )


def _fields(shown: Mapping[str, Json], article: Mapping[str, Json]) -> dict[str, Json | Unknown]:
    """Read a ticket; a null is known to be empty, a key that is absent is unknown."""
    customer, owner = _person(shown, "customer"), _person(shown, "owner")
    names = (text(customer.get("firstname")) or "", text(customer.get("lastname")) or "")
    return {
        "title": told(shown, "title", text),
        "description": _description(shown, article),
        "tags": _tags(shown.get("tags")),
        "severity": _RANK.sub("", _name(shown["priority"]) or "", count=1) if "priority" in shown else UNKNOWN,
        "product": text(_label(shown["group"])) or "" if "group" in shown else UNKNOWN,
        "status": _name(shown.get("state")) or UNKNOWN,
        "email": mail_address(customer.get("email")) or "" if "customer" in shown else UNKNOWN,
        "name": " ".join(filter(None, names)) if customer.keys() & {"firstname", "lastname"} else UNKNOWN,
        "agentEmail": mail_address(owner.get("email")) or "" if "owner" in shown else UNKNOWN,
        "domains": _domains(shown),
    }


def _description(shown: Mapping[str, Json], article: Mapping[str, Json]) -> str | Unknown:
    """Give the first article's text; any other article, and one that is not plainly public, is not read."""
    ids, body = shown.get("article_ids"), article.get("body")
    found = identifier(article.get("id"))  # a template may write ids as texts
    is_first = isinstance(ids, list) and found is not None and [identifier(one) for one in ids[:1]] == [found]
    if not is_first or article.get("internal") is not False or not isinstance(body, str):
        return UNKNOWN
    return plain_text(body) if article.get("content_type") == "text/plain" else html_to_text(body)


def _person(shown: Mapping[str, Json], role: str) -> Mapping[str, Json]:
    """Give a user, empty for nobody; where people are expanded to texts, it is the login, mostly the address."""
    value = shown.get(role)
    person = {"email": value, "login": value} if isinstance(value, str) else mapping(value)
    return {} if person.get("login") == NOBODY else person


def _refs(shown: Mapping[str, Json]) -> dict[str, str | None]:
    customer, owner = _person(shown, "customer"), _person(shown, "owner")
    refs: dict[str, str | None] = {}
    if found := identifier(customer.get("id", shown.get("customer_id"))):
        refs["requester_id"] = found
    if "owner" in shown:
        refs["assignee_id"] = identifier(owner.get("id", shown.get("owner_id"))) if owner else None
    return refs


def _label(value: Json) -> Json:
    """Give the name of a state, priority or group, which is a text or an object with `name`."""
    return value.get("name") if isinstance(value, dict) else value


def _name(value: Json) -> str | None:
    return word(_label(value))


def _tags(value: Json) -> list[str] | Unknown:
    """Zammad's own payload has none; a template may add them as a list or joined by commas."""
    found = strings(value.split(",") if isinstance(value, str) else value)
    return UNKNOWN if found is None else found


def _domains(shown: Mapping[str, Json]) -> list[str] | Unknown:
    """Give the organization's mail domain; without one the customer's own mail domain will do."""
    organization = shown.get("organization", UNKNOWN)
    if not (organization is None or isinstance(organization, dict)):
        return UNKNOWN
    domain = text(mapping(organization).get("domain")) or ""
    return [domain.lower()] if domain else []


SOURCE: Final = ZammadSource()
