"""
Look-ups at Kustomer: conversations, customers, their companies, agents and tags, one record a call.

A webhook names the customer where the company is wanted (gateway/sources/kustomer.py), since only the customer knows
it: `organizations` takes ids of customers. `users` takes ids of customers and of agents, records of two kinds.

Source: developer.kustomer.com api (conversations, customers, companies, users, tags), documented; facts of Kustomer §5.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.core.lookups import Company, Person
from gateway.sources.kustomer import fields_of, refs_of
from gateway.sources.reading import identifier, instant_ms, mail_address, mapping, text
from workers.helpdesks.base import HelpdeskRefused
from workers.helpdesks.records import RecordClient

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.change import Json

_ID: Final = re.compile(r"[A-Za-z0-9]{1,64}")
"""Ids are 24 hex digits; nothing that could name another path is asked for."""


class KustomerClient(RecordClient):
    """Look-ups of one Kustomer connection; the credentials' `secret` is an API key."""

    name = "Kustomer"
    question = ("customers", {"pageSize": "1"})
    credentials = "the key: check KUSTOMER_API_TOKEN and its roles"
    address = "KUSTOMER_DOMAIN"

    def _askable(self, ids: Sequence[str]) -> list[str]:
        return [one for one in dict.fromkeys(ids) if _ID.fullmatch(one)]

    async def _user(self, user_id: str) -> Person | None:
        """Look up a customer, or an agent."""
        row = await self._customer(user_id)
        if row is None:
            row = await self._memory.get(f"user {user_id}", partial(self._record, f"users/{user_id}"))
        return None if row is None and await self._is_ours() else person(mapping(row))

    async def _organization(self, organization_id: str) -> Company | None:
        """Look up the company of a customer; a customer without one has an empty one."""
        row = await self._customer(organization_id)
        if row is None and await self._is_ours():
            return None
        named = mapping(mapping(mapping(mapping(row).get("relationships")).get("company")).get("data")).get("id")
        company_id = identifier(named)
        if company_id is None or not _ID.fullmatch(company_id):
            return Company()
        found = await self._memory.get(f"company {company_id}", partial(self._record, f"companies/{company_id}"))
        return company(mapping(found))

    async def _ticket(self, ticket_id: str) -> Change | None:
        """Read a conversation, with the names of its tags."""
        row = await self._record(f"conversations/{ticket_id}")
        if row is None and await self._is_ours():
            return None
        row, shown = mapping(row), mapping(mapping(row).get("attributes"))
        gone = shown.get("spam") is True
        fields: dict[str, Json] = {}
        if not gone:
            fields = fields_of(shown) | await self._tags(shown.get("tags"))
            if self._access.site:
                fields["url"] = f"https://{self._access.site}/app/conversations/{ticket_id}"
        return Change(
            ticket=self._access.prefix + ticket_id,
            connection=self._access.connection,
            fields=fields,
            refs={} if gone else refs_of(shown, mapping(row.get("relationships"))),
            updated_at_ms=instant_ms(shown.get("updatedAt") or shown.get("modifiedAt")),
            created_at_ms=instant_ms(shown.get("createdAt")),
            life="deleted" if gone else "live",
            complete=True,
            reread=True,
        )

    async def _tags(self, ids: Json) -> dict[str, Json]:
        """Give the names of tags; when one of them cannot be told, the tags stay as they are in Planhat."""
        names: list[str] = []
        for one in ids if isinstance(ids, list) else []:
            tag_id = identifier(one)
            if tag_id is None or not _ID.fullmatch(tag_id):
                return {}
            try:
                row = await self._memory.get(f"tag {tag_id}", partial(self._record, f"tags/{tag_id}"))
            except HelpdeskRefused:  # reading tags takes a role of its own
                return {}
            if name := text(mapping(mapping(row).get("attributes")).get("name")):
                names.append(name)
        return {"tags": list(dict.fromkeys(names))} if isinstance(ids, list) else {}

    async def _customer(self, customer_id: str) -> Json:
        return await self._memory.get(f"customer {customer_id}", partial(self._record, f"customers/{customer_id}"))


def person(row: Mapping[str, Json]) -> Person:
    """
    Read a customer or an agent.

    Wire: a customer has `"emails": [{"type": "work", "email": "a@b.example"}]`, an agent `"email"`.
    """
    shown = mapping(row.get("attributes"))
    emails = shown.get("emails")
    listed = [mapping(one).get("email") for one in emails] if isinstance(emails, list) else []
    address = next((found for one in (*listed, shown.get("email")) if (found := mail_address(one))), None)
    return Person(email=address, name=text(shown.get("displayName")) or text(shown.get("name")) or None)


def company(row: Mapping[str, Json]) -> Company:
    """Read a company; its domains are texts or, as its other lists, objects."""
    shown = mapping(row.get("attributes"))
    listed = shown.get("domains")
    texts = [text(one.get("domain") if isinstance(one, dict) else one) for one in listed if one] if listed else []
    domains = tuple(dict.fromkeys([found.lower() for found in texts if found]))
    return Company(domains, external_id=text(shown.get("externalId")) or None, name=text(shown.get("name")) or None)
