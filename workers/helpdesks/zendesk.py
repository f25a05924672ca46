"""
Look-ups at Zendesk: `show_many` for people, organizations and tickets, at most 100 ids a call.

The REST dialect: ids are integers, words lower case, absent values null. The link is built from the subdomain; the
`url` of a REST record is its API address.

Source: developer.zendesk.com api-reference/ticketing (users, organizations, tickets: show_many), documented; facts of
Zendesk §6, §8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from gateway.core.change import Change
from gateway.core.lookups import Company, Person
from gateway.sources.reading import instant_ms, mail_address, plain_text, strings, text, word
from workers.helpdesks.base import Api, HelpdeskError, HelpdeskUnavailable, askable, domains_of, record_id
from workers.helpdesks.records import by_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from gateway.core.change import Json, Life
    from workers.access import HelpdeskAccess

T = TypeVar("T")

SHOW_MANY_MAX: Final = 100

LIFE: Final[dict[str, Life]] = {"deleted": "deleted", "scrubbed": "purged"}
"""Statuses that are ends of a ticket, not states of it."""


class ZendeskClient:
    """
    Look-ups of one Zendesk connection.

    Args:
        access: address and credentials; `user` is the agent's e-mail.
        transport: instead of the network, in tests.
    """

    at_once = SHOW_MANY_MAX

    def __init__(self, access: HelpdeskAccess, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._access = access
        self._api = Api(access.base_url, f"{access.user}/token", access.secret, transport=transport)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        """Look up requesters and agents; a person may have no address."""
        return await self._show_many("users", ids, person)

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        """Look up organizations."""
        return await self._show_many("organizations", ids, company)

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read tickets anew. A ticket that is shown as deleted becomes the change that says so."""
        return await self._show_many("tickets", ids, lambda row: snapshot(row, self._access))

    async def probe(self) -> str | None:
        """Ask who we are. Zendesk answers 200 with an anonymous user when it does not know the token."""
        try:
            answer = await self._api.get("users/me")
        except HelpdeskError as error:
            return f"Zendesk refuses or does not answer: {error}"
        user = answer.get("user") if isinstance(answer, dict) else None
        if not isinstance(user, dict):
            return "There is no Zendesk API at this address: check ZENDESK_SUBDOMAIN."
        if record_id(user.get("id")) is None:
            return "Zendesk does not know these credentials: check ZENDESK_API_EMAIL and ZENDESK_API_TOKEN."
        return None

    async def _show_many(
        self, kind: str, ids: Sequence[str], read: Callable[[Mapping[str, Json]], T]
    ) -> dict[str, T | None]:
        """Ask in groups of at most 100. A record that the answer leaves out does not exist."""

        async def ask(group: Sequence[str]) -> dict[str, T]:
            return {one: read(row) for one, row in (await self._group(kind, group)).items()}

        return await by_group(ids, askable(ids), SHOW_MANY_MAX, ask)

    async def _group(self, kind: str, group: Sequence[str]) -> dict[str, Mapping[str, Json]]:
        answer = await self._api.get(f"{kind}/show_many", {"ids": ",".join(group)})
        listed = answer.get(kind) if isinstance(answer, dict) else None
        if not isinstance(listed, list):
            raise HelpdeskUnavailable(f"{kind}/show_many answers without a list of {kind}")
        rows: dict[str, Mapping[str, Json]] = {
            one: row for row in listed if isinstance(row, dict) and (one := record_id(row.get("id")))
        }
        if answer.get("next_page") and not rows.keys() >= set(group):
            raise HelpdeskUnavailable(f"{kind}/show_many answers a part of {len(group)} {kind}")
        return rows


def person(row: Mapping[str, Json]) -> Person:
    """Read a user."""
    return Person(email=mail_address(row.get("email")), name=text(row.get("name")) or None)


def company(row: Mapping[str, Json]) -> Company:
    """Read an organization."""
    domains = domains_of(row.get("domain_names"))
    return Company(domains, external_id=text(row.get("external_id")) or None, name=text(row.get("name")) or None)


def snapshot(row: Mapping[str, Json], access: HelpdeskAccess) -> Change:
    """Read a ticket as a complete change, stamped with its own `updated_at`."""
    ticket = record_id(row.get("id")) or ""
    status = word(row.get("status")) or ""
    life = LIFE.get(status, "live")
    refs = {name: record_id(row.get(name)) for name in ("requester_id", "organization_id", "assignee_id")}
    return Change(
        ticket=access.prefix + ticket,
        connection=access.connection,
        fields=_fields(row, ticket, status, access.site) if life == "live" else {},
        refs=refs if life == "live" else {},
        updated_at_ms=instant_ms(row.get("updated_at")),
        created_at_ms=instant_ms(row.get("created_at")),
        life=life,
        complete=True,
        reread=True,
        sighting=status != "archived",
    )


def _fields(row: Mapping[str, Json], ticket: str, status: str, site: str) -> dict[str, Json]:
    fields: dict[str, Json] = {
        "title": text(row.get("subject")) or "",
        "description": plain_text(text(row.get("description")) or ""),
        "url": f"https://{site}/agent/tickets/{ticket}",
        "tags": strings(row.get("tags")) or [],
        "type": word(row.get("type")) or "",
        "severity": word(row.get("priority")) or "",
        "status": "closed" if status == "archived" else status,
    }
    if row.get("is_public") is False:  # the description is the first comment, and every comment is private
        del fields["description"]
    if not site:
        del fields["url"]
    if not status:
        del fields["status"]
    return fields
