"""
Look-ups at Intercom: contacts in batches, companies through their contacts, admins from their list.

Webhooks name a company by its id or, where none is named, by its contact behind `contact:`; admins stand behind
`admin:`, for `users` takes both. A ticket is a kind of conversation with the same ids: what is no ticket may be a
conversation.

Source: github.com/intercom/Intercom-OpenAPI descriptions/2.11 (contacts, companies, admins, tickets, conversations);
facts of Intercom §5.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.core.lookups import Company, Person
from gateway.sources.base import Connection
from gateway.sources.intercom_items import OF_ADMIN, OF_CONTACT, conversation_item, item_change, ticket_item
from gateway.sources.reading import identifier, mail_address, mapping, text
from workers.helpdesks.base import (
    Api,
    Bearer,
    HelpdeskError,
    HelpdeskUnavailable,
    askable,
    chunks,
    plain_ids,
    rows_of,
    website_domain,
)
from workers.helpdesks.memory import Memory
from workers.helpdesks.records import one_by_one

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from gateway.core.change import Change, Json
    from workers.access import HelpdeskAccess

VERSION: Final = {"intercom-version": "2.11"}
SEARCH_MAX: Final = 50
BUSY_S: Final = 10.0
"""Calls are given out in slices of ten seconds."""


class IntercomClient:
    """
    Look-ups of one Intercom connection.

    Args:
        access: address and credentials; `secret` is the app's access token.
        transport: instead of the network, in tests.
        monotonic: seconds of a clock that never steps.
        clock: Unix time, seconds.
    """

    at_once = SEARCH_MAX

    def __init__(
        self,
        access: HelpdeskAccess,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._clock = clock
        self._api = Api(
            access.base_url, auth=Bearer(access.secret), headers=VERSION, busy_s=BUSY_S, transport=transport
        )
        self._memory = Memory(monotonic)
        self._connection = Connection(
            access.connection, access.source, (), prefix=access.prefix, subdomain=access.site or None
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        """Look up contacts and admins; a visitor may have no address."""
        found: dict[str, Person | None] = dict.fromkeys(ids)
        done: dict[str, Person | None] = {}
        try:
            for group in chunks(plain_ids([one for one in ids if not one.startswith(OF_ADMIN)]), SEARCH_MAX):
                done.update(await self._contacts(group))
            for one in found:
                if one.startswith(OF_ADMIN) and askable([one.removeprefix(OF_ADMIN)]):
                    done[one] = await self._admin(one.removeprefix(OF_ADMIN))
        except HelpdeskError as error:
            error.found = done
            raise
        return found | done

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        """Look up companies, by id or through a contact; a contact without one has an empty one."""
        known = [one for one in dict.fromkeys(ids) if plain_ids([one.removeprefix(OF_CONTACT)])]
        return await one_by_one(ids, known, self._company)

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read tickets and conversations anew."""
        return await one_by_one(ids, askable(ids), self._ticket)

    async def probe(self) -> str | None:
        """Ask who we are."""
        try:
            await self._app()
        except HelpdeskError as error:
            return (
                f"Intercom refuses or does not answer: check INTERCOM_API_TOKEN and INTERCOM_DOMAIN. It says: {error}"
            )
        return None

    async def _contacts(self, group: Sequence[str]) -> dict[str, Person | None]:
        """Search for many at once; the index is late, so whoever is not in it is asked for alone."""
        question = {
            "query": {"field": "id", "operator": "IN", "value": list(group)},
            "pagination": {"per_page": SEARCH_MAX},
        }
        answer = await self._api.post("contacts/search", question)
        rows = {text(row.get("id")): row for row in rows_of(answer, "data", "contacts/search")}
        found: dict[str, Person | None] = {}
        for one in group:
            row = rows.get(one) or await self._api.get(f"contacts/{one}")
            found[one] = None if row is None else person(mapping(row))
        return found

    async def _admin(self, admin_id: str) -> Person | None:
        listed = mapping(await self._memory.get("admins", self._admins))
        row = listed.get(admin_id) or await self._memory.get(
            f"admin {admin_id}", partial(self._api.get, f"admins/{admin_id}")
        )
        return None if row is None else person(mapping(row))

    async def _admins(self) -> dict[str, Json]:
        answer = await self._api.get("admins")
        return {one: row for row in rows_of(answer, "admins", "admins") if (one := identifier(row.get("id")))}

    async def _company(self, company_id: str) -> Company | None:
        if company_id.startswith(OF_CONTACT):
            contact = company_id.removeprefix(OF_CONTACT)
            answer = await self._api.get(f"contacts/{contact}/companies")
            if answer is None and await self._app():
                return None
            rows = rows_of(answer, "data", f"contacts/{contact}/companies")
            return company(rows[0]) if rows else Company()
        row = await self._api.get(f"companies/{company_id}")
        return None if row is None and await self._app() else company(mapping(row))

    async def _ticket(self, ticket_id: str) -> Change | None:
        read_at_us = int(
            self._clock() * 1_000_000
        )  # Intercom's times are whole seconds: of two readings the later holds
        app = await self._app()
        row, read = await self._api.get(f"tickets/{ticket_id}"), ticket_item
        if row is None:
            row, read = await self._api.get(f"conversations/{ticket_id}"), conversation_item
        if row is None:
            return None
        if not isinstance(row, dict) or identifier(row.get("id")) != ticket_id:
            raise HelpdeskUnavailable(f"tickets/{ticket_id} answers nothing of that id")
        change = item_change(row, read(row), self._connection, app=app, event_at_us=read_at_us, created=False)
        return replace(change, life="live", complete=True, thin=False, reread=True)

    async def _app(self) -> str:
        """Give the workspace's id, which also proves that address and token are right: a wrong host answers 404."""
        me = mapping(await self._memory.get("me", partial(self._api.get, "me")))
        app = text(mapping(me.get("app")).get("id_code"))
        if not app:
            raise HelpdeskUnavailable("there is no Intercom API at this address: me tells no app")
        return app


def person(row: Mapping[str, Json]) -> Person:
    """Read a contact or an admin."""
    return Person(email=mail_address(row.get("email")), name=text(row.get("name")) or None)


def company(row: Mapping[str, Json]) -> Company:
    """
    Read a company. `company_id` is what the customer's own system calls it, `id` is Intercom's.

    Wire: `{"id": "6a0c31", "company_id": "acct-3107", "name": "Quill Harbor", "website": "https://www.mill.example"}`.
    """
    domain = website_domain(row.get("website"))
    return Company(
        (domain,) if domain else (),
        external_id=text(row.get("company_id")) or None,
        name=text(row.get("name")) or None,
    )
