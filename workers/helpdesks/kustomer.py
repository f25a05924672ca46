"""
Look-ups at Kustomer: conversations, customers, their companies, agents and tags, one record a call.

A webhook names the customer where the company is wanted (gateway/sources/kustomer.py), since only the customer knows
it: `organizations` takes ids of customers. `users` takes ids of customers and of agents, records of two kinds.

Source: developer.kustomer.com api (conversations, customers, companies, users, tags), documented; facts of Kustomer §5.
"""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.core.change import Change
from gateway.core.ticket import Company, Person
from gateway.sources.kustomer import fields_of, refs_of
from gateway.sources.reading import identifier, instant_ms, mail_address, mapping, text
from workers.helpdesks.base import Api, Bearer, HelpdeskError, HelpdeskRefused, HelpdeskUnavailable
from workers.helpdesks.memory import Memory, one_by_one

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import httpx

    from gateway.core.change import Json
    from workers.settings import HelpdeskAccess

T = TypeVar("T")

_ID: Final = re.compile(r"[A-Za-z0-9]{1,64}")
"""Ids are 24 hex digits; nothing that could name another path is asked for."""


class KustomerClient:
    """
    Look-ups of one Kustomer connection.

    Args:
        access: address and credentials; `secret` is an API key.
        transport: instead of the network, in tests.
        monotonic: seconds of a clock that never steps.
    """

    at_once = 20

    def __init__(
        self,
        access: HelpdeskAccess,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._api = Api(access.base_url, auth=Bearer(access.secret), transport=transport)
        self._memory = Memory(monotonic)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        """Look up customers, and agents."""
        return await self._each(ids, self._user)

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        """Look up the companies of customers; a customer without one has an empty one."""
        return await self._each(ids, self._organization)

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read conversations anew, with the names of their tags."""
        return await self._each(ids, self._ticket)

    async def probe(self) -> str | None:
        """Ask for one customer, any."""
        try:
            answer = await self._api.get("customers", {"pageSize": "1"})
        except HelpdeskRefused as error:
            return f"Kustomer refuses the key: check KUSTOMER_API_TOKEN and its roles. Kustomer says: {error}"
        except HelpdeskError as error:
            return f"Kustomer does not answer: {error}"
        return None if isinstance(answer, dict) else "There is no Kustomer API at this address: check KUSTOMER_DOMAIN."

    async def _each(self, ids: Sequence[str], ask: Callable[[str], Awaitable[T | None]]) -> dict[str, T | None]:
        return await one_by_one(ids, [one for one in dict.fromkeys(ids) if _ID.fullmatch(one)], ask)

    async def _user(self, user_id: str) -> Person | None:
        row = await self._customer(user_id)
        if row is None:
            row = await self._memory.get(f"user {user_id}", partial(self._record, "users", user_id))
        return None if row is None and await self._is_ours() else person(mapping(row))

    async def _organization(self, customer_id: str) -> Company | None:
        row = await self._customer(customer_id)
        if row is None and await self._is_ours():
            return None
        named = mapping(mapping(mapping(mapping(row).get("relationships")).get("company")).get("data")).get("id")
        company_id = identifier(named)
        if company_id is None or not _ID.fullmatch(company_id):
            return Company()
        found = await self._memory.get(f"company {company_id}", partial(self._record, "companies", company_id))
        return company(mapping(found))

    async def _ticket(self, conversation_id: str) -> Change | None:
        row = await self._record("conversations", conversation_id)
        if row is None and await self._is_ours():
            return None
        row, shown = mapping(row), mapping(mapping(row).get("attributes"))
        gone = shown.get("spam") is True
        fields: dict[str, Json] = {}
        if not gone:
            fields = fields_of(shown) | await self._tags(shown.get("tags"))
            if self._access.site:
                fields["url"] = f"https://{self._access.site}/app/conversations/{conversation_id}"
        return Change(
            ticket=self._access.prefix + conversation_id,
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
                row = await self._memory.get(f"tag {tag_id}", partial(self._record, "tags", tag_id))
            except HelpdeskRefused:  # reading tags takes a role of its own
                return {}
            if name := text(mapping(mapping(row).get("attributes")).get("name")):
                names.append(name)
        return {"tags": list(dict.fromkeys(names))} if isinstance(ids, list) else {}

    async def _customer(self, customer_id: str) -> Json:
        return await self._memory.get(f"customer {customer_id}", partial(self._record, "customers", customer_id))

    async def _record(self, kind: str, record_id: str) -> Json:
        """Read one record; the answer must be the one that was asked for."""
        answer = await self._api.get(f"{kind}/{record_id}")
        if answer is None:
            return None
        row = mapping(answer).get("data")
        if not isinstance(row, dict) or identifier(row.get("id")) != record_id:
            raise HelpdeskUnavailable(f"{kind}/{record_id} answers no record of that id")
        return row

    async def _is_ours(self) -> bool:
        """Prove once in a while that address and key are right: a wrong address answers 404 to everything."""
        if await self._memory.get("ours", lambda: self._api.get("customers", {"pageSize": "1"})) is None:
            raise HelpdeskUnavailable("there is no Kustomer API at this address: check KUSTOMER_DOMAIN")
        return True


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
