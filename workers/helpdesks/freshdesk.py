"""
Look-ups at Freshdesk: one ticket a call, with its requester and company in the same answer.

The account's quota is shared with its webhooks, so agents, companies and status names are remembered for a while. A
ticket's change carries all that was found, and no ids that would ask for the same again.

Source: developers.freshdesk.com/api (tickets, contacts, companies, agents, ticket_fields), documented; facts of
Freshdesk §5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from gateway.core.change import Change
from gateway.core.lookups import Company, Person
from gateway.sources.freshworks_fields import STATUS, fields_of, url_of
from gateway.sources.reading import instant_ms, mail_address, mapping, text
from workers.helpdesks.base import HelpdeskRefused, HelpdeskUnavailable, domains_of, record_id
from workers.helpdesks.records import RecordClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json

FIXED_STATUSES: Final = frozenset({"2", "3", "4", "5"})
"""Codes whose meaning no account can change; all others are asked for."""


class FreshdeskClient(RecordClient):
    """Look-ups of one Freshdesk connection; the credentials' `secret` is the API key."""

    name = "Freshdesk"
    question = ("agents/me", None)
    credentials = "the key: check FRESHDESK_API_KEY"
    address = "FRESHDESK_DOMAIN"

    def _auth(self) -> httpx.Auth:
        return httpx.BasicAuth(self._access.secret, "X")

    async def _user(self, user_id: str) -> Person | None:
        """Look up a contact, or an agent, who may be a requester too."""
        row = await self._api.get(f"contacts/{user_id}")
        if row is None:
            row = mapping(await self._agent(user_id)).get("contact")
        return None if row is None and await self._is_ours() else person(mapping(row))

    async def _organization(self, organization_id: str) -> Company | None:
        """Look up a company. It has no external id unless the account answers one."""
        row = await self._company(organization_id)
        return None if row is None and await self._is_ours() else company(mapping(row))

    async def _ticket(self, ticket_id: str) -> Change | None:
        """Read a ticket. A deleted or spam one becomes the change that says so."""
        row = await self._api.get(f"tickets/{ticket_id}", {"include": "requester,company"})
        if row is None and await self._is_ours():
            return None
        if not isinstance(row, dict) or record_id(row.get("id")) != ticket_id:
            raise HelpdeskUnavailable(f"tickets/{ticket_id} answers no ticket of that number")
        gone = row.get("deleted") is True or row.get("spam") is True
        fields: dict[str, Json] = {}
        if not gone:
            row_with_names = await self._named(row)
            fields = fields_of(row_with_names, templated=False)
            fields |= url_of({}, self._access.site, ticket_id, self._access.source)
        return Change(
            ticket=self._access.prefix + ticket_id,
            connection=self._access.connection,
            fields=fields,
            updated_at_ms=instant_ms(row.get("updated_at")),
            created_at_ms=instant_ms(row.get("created_at")),
            life="deleted" if gone else "live",
            complete=True,
            reread=True,
        )

    async def _named(self, row: Mapping[str, Json]) -> dict[str, Json]:
        """Put names in place of ids: the same flat keys that webhooks have, read by the same function."""
        flat = {name: row.get(name) for name in ("subject", "description", "type", "tags", "priority", "status")}
        if isinstance(row.get("description_text"), str):
            flat["description_text"] = row["description_text"]
        flat["status_name"] = await self._status_name(text(row.get("status")))
        requester = mapping(row.get("requester"))
        if not requester and (requester_id := record_id(row.get("requester_id"))):
            someone = await self._user(requester_id)
            requester = {"email": someone.email, "name": someone.name} if someone else {}
        flat |= {"requester_email": requester.get("email"), "requester_name": requester.get("name")}
        responder_id = record_id(row.get("responder_id"))
        agent = mapping(mapping(await self._agent(responder_id)).get("contact")) if responder_id else {}
        flat["agent_email"] = agent.get("email")
        found = mapping(row.get("company"))
        company_id = record_id(row.get("company_id")) or record_id(found.get("id"))
        if company_id and "domains" not in found:  # the ticket's company is brief: id and name
            found = mapping(await self._company(company_id))
        flat["company_domains"] = list(company(found).domains)
        if external_id := company(found).external_id:
            flat["company_external_id"] = external_id
        return flat

    async def _status_name(self, code: str | None) -> str | None:
        """Give the account's own word for a status code; None leaves it to the usual meaning."""
        if code is None or code in FIXED_STATUSES:
            return None
        names = await self._memory.get("statuses", self._status_names)
        return mapping(names).get(code)

    async def _status_names(self) -> dict[str, str]:
        try:
            listed = await self._api.get("ticket_fields", {"type": "default_status"})
        except HelpdeskRefused:  # reading fields takes more rights than reading tickets
            return dict(STATUS)
        fields = [mapping(row) for row in listed] if isinstance(listed, list) else []
        choices = next((mapping(row.get("choices")) for row in fields if row.get("type") == "default_status"), {})
        labels = {code: names[0] if isinstance(names, list) and names else names for code, names in choices.items()}
        return {code: label for code, label in labels.items() if isinstance(label, str)}

    async def _agent(self, agent_id: str) -> Json:
        return await self._memory.get(f"agent {agent_id}", lambda: self._api.get(f"agents/{agent_id}"))

    async def _company(self, company_id: str) -> Json:
        return await self._memory.get(f"company {company_id}", lambda: self._api.get(f"companies/{company_id}"))


def person(row: Mapping[str, Json]) -> Person:
    """Read a contact."""
    return Person(email=mail_address(row.get("email")), name=text(row.get("name")) or None)


def company(row: Mapping[str, Json]) -> Company:
    """Read a company."""
    domains = domains_of(row.get("domains"))
    return Company(domains, external_id=text(row.get("external_id")) or None, name=text(row.get("name")) or None)
