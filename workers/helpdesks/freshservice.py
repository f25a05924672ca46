"""
Look-ups at Freshservice: one ticket a call, then its requester, department and agent.

As at Freshdesk the account's quota is shared with its webhooks, so agents, departments and status names are remembered.
Every record stands below its kind's name; requesters and agents have an address and two names of their own spelling. A
ticket may be wanted by its display form (`INC-9`), the path has the number.

Source: api.freshservice.com (tickets, requesters, agents, departments, ticket_form_fields), documented; facts of
Freshdesk §5, §6.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.core.change import Change
from gateway.core.ticket import Company, Person
from gateway.sources.freshworks_fields import STATUSES, fields_of, url_of
from gateway.sources.reading import instant_ms, mail_address, mapping, strings, text
from workers.helpdesks.base import Api, HelpdeskError, HelpdeskRefused, HelpdeskUnavailable, askable, record_id
from workers.helpdesks.memory import Memory, one_by_one

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import httpx

    from gateway.core.change import Json
    from workers.settings import HelpdeskAccess

T = TypeVar("T")

STATUS: Final = STATUSES["freshservice"]
"""Codes whose meaning no account can change; all others are asked for."""

_DISPLAY: Final = re.compile(r"[A-Z]{1,8}-([0-9]{1,20})")


class FreshserviceClient:
    """
    Look-ups of one Freshservice connection.

    Args:
        access: address and credentials; `secret` is the API key.
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
        self._api = Api(access.base_url, access.secret, "X", transport=transport)
        self._memory = Memory(monotonic)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        """Look up requesters, and agents, who may be requesters too."""
        return await self._each(ids, self._user)

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        """Look up departments, which stand where other helpdesks have companies."""
        return await self._each(ids, self._organization)

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read tickets anew. A deleted or spam ticket becomes the change that says so."""
        return await one_by_one(ids, [one for one in dict.fromkeys(ids) if askable([_number(one)])], self._ticket)

    async def probe(self) -> str | None:
        """Ask for one ticket, any."""
        try:
            answer = await self._api.get("tickets", {"per_page": "1"})
        except HelpdeskRefused as error:
            return f"Freshservice refuses the key: check FRESHSERVICE_API_TOKEN. Freshservice says: {error}"
        except HelpdeskError as error:
            return f"Freshservice does not answer: {error}"
        ours = isinstance(answer, dict)
        return None if ours else "There is no Freshservice API at this address: check FRESHSERVICE_DOMAIN."

    async def _each(self, ids: Sequence[str], ask: Callable[[str], Awaitable[T | None]]) -> dict[str, T | None]:
        return await one_by_one(ids, askable(ids), ask)

    async def _user(self, user_id: str) -> Person | None:
        row = await self._record("requesters", "requester", user_id)
        if row is None:
            row = await self._agent(user_id)
        return None if row is None and await self._is_ours() else person(mapping(row))

    async def _organization(self, department_id: str) -> Company | None:
        row = await self._department(department_id)
        return None if row is None and await self._is_ours() else department(mapping(row))

    async def _ticket(self, wanted: str) -> Change | None:
        number = _number(wanted)
        found = await self._record("tickets", "ticket", number, {"include": "requester"})
        if found is None and await self._is_ours():
            return None
        row = mapping(found)
        gone = row.get("deleted") is True or row.get("spam") is True
        fields: dict[str, Json] = {}
        if not gone:
            fields = fields_of(await self._named(row), templated=False, statuses=STATUS)
            fields |= url_of({}, self._access.site, number, self._access.source)
        return Change(
            ticket=self._access.prefix + wanted,
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
        someone: Person | None = person(requester)
        if not requester and (requester_id := record_id(row.get("requester_id"))):
            someone = await self._user(requester_id)
        flat |= {"requester_email": someone and someone.email, "requester_name": someone and someone.name}
        responder_id, department_id = record_id(row.get("responder_id")), record_id(row.get("department_id"))
        with suppress(HelpdeskRefused):  # a key that reads tickets need not read agents and departments
            flat["agent_email"] = mapping(await self._agent(responder_id)).get("email") if responder_id else None
        with suppress(HelpdeskRefused):
            found = mapping(await self._department(department_id)) if department_id else {}
            flat["department_domains"] = list(department(found).domains)
        return flat

    async def _status_name(self, code: str | None) -> str | None:
        """Give the account's own word for a status code; None leaves it to the usual meaning."""
        if code is None or code in STATUS:
            return None
        return mapping(await self._memory.get("statuses", self._status_names)).get(code)

    async def _status_names(self) -> dict[str, str]:
        """
        Read the choices of the field `status`.

        Wire: `{"ticket_fields": [{"name": "status", "choices": [{"id": 2, "value": "Open"}]}]}`.
        """
        try:
            answer = await self._api.get("ticket_form_fields")
        except HelpdeskRefused:  # reading fields takes more rights than reading tickets
            return dict(STATUS)
        listed = mapping(answer).get("ticket_fields")
        fields = [mapping(row) for row in listed] if isinstance(listed, list) else []
        choices = next((row.get("choices") for row in fields if row.get("name") == "status"), None)
        rows = [mapping(row) for row in choices] if isinstance(choices, list) else []
        named = {record_id(row.get("id")): row.get("value") for row in rows}
        return {code: label for code, label in named.items() if code and isinstance(label, str)}

    async def _agent(self, agent_id: str) -> Json:
        return await self._memory.get(f"agent {agent_id}", lambda: self._record("agents", "agent", agent_id))

    async def _department(self, department_id: str) -> Json:
        return await self._memory.get(
            f"department {department_id}", lambda: self._record("departments", "department", department_id)
        )

    async def _record(self, kind: str, name: str, number: str, query: Mapping[str, str] | None = None) -> Json:
        """Read one record; the answer must be the one that was asked for."""
        answer = await self._api.get(f"{kind}/{number}", query)
        if answer is None:
            return None
        row = mapping(answer).get(name)
        if not isinstance(row, dict) or record_id(row.get("id")) != number:
            raise HelpdeskUnavailable(f"{kind}/{number} answers no {name} of that number")
        return row

    async def _is_ours(self) -> bool:
        """Prove once in a while that address and key are right: a wrong domain answers 404 to everything."""
        if await self._memory.get("ours", lambda: self._api.get("tickets", {"per_page": "1"})) is None:
            raise HelpdeskUnavailable("there is no Freshservice API at this address: check FRESHSERVICE_DOMAIN")
        return True


def _number(wanted: str) -> str:
    """Give the number of a ticket that is wanted by its display form, `INC-9`."""
    found = _DISPLAY.fullmatch(wanted)
    return found[1] if found else wanted


def person(row: Mapping[str, Json]) -> Person:
    """Read a requester (`primary_email`), an agent (`email`) or the short form in a ticket (`name`, `email`)."""
    names = [text(row.get(name)) for name in ("first_name", "last_name")]
    whole = text(row.get("name")) or " ".join(filter(None, names))
    return Person(email=mail_address(row.get("primary_email")) or mail_address(row.get("email")), name=whole or None)


def department(row: Mapping[str, Json]) -> Company:
    """Read a department."""
    domains = tuple(domain.lower() for domain in strings(row.get("domains")) or ())
    return Company(domains, name=text(row.get("name")) or None)
