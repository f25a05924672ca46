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
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import httpx

from gateway.core.change import Change
from gateway.core.lookups import Company, Person
from gateway.sources.freshworks_fields import STATUSES, fields_of, url_of
from gateway.sources.reading import instant_ms, mail_address, mapping, text
from workers.helpdesks.base import HelpdeskRefused, askable, domains_of, record_id
from workers.helpdesks.records import RecordClient, one_by_one

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.change import Json

STATUS: Final = STATUSES["freshservice"]
"""Codes whose meaning no account can change; all others are asked for."""

_DISPLAY: Final = re.compile(r"[A-Z]{1,8}-([0-9]{1,20})")


class FreshserviceClient(RecordClient):
    """Look-ups of one Freshservice connection; the credentials' `secret` is the API key."""

    name = "Freshservice"
    question = ("tickets", {"per_page": "1"})
    credentials = "the key: check FRESHSERVICE_API_TOKEN"
    address = "FRESHSERVICE_DOMAIN"

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read tickets anew. A deleted or spam ticket becomes the change that says so."""
        return await one_by_one(ids, [one for one in dict.fromkeys(ids) if askable([_number(one)])], self._ticket)

    def _auth(self) -> httpx.Auth:
        return httpx.BasicAuth(self._access.secret, "X")

    async def _user(self, user_id: str) -> Person | None:
        """Look up a requester, or an agent, who may be a requester too."""
        row = await self._record(f"requesters/{user_id}", "requester")
        if row is None:
            row = await self._agent(user_id)
        return None if row is None and await self._is_ours() else person(mapping(row))

    async def _organization(self, organization_id: str) -> Company | None:
        """Look up a department, which stands where other helpdesks have companies."""
        row = await self._department(organization_id)
        return None if row is None and await self._is_ours() else department(mapping(row))

    async def _ticket(self, ticket_id: str) -> Change | None:
        number = _number(ticket_id)
        found = await self._record(f"tickets/{number}", "ticket", {"include": "requester"})
        if found is None and await self._is_ours():
            return None
        row = mapping(found)
        gone = row.get("deleted") is True or row.get("spam") is True
        fields: dict[str, Json] = {}
        if not gone:
            fields = fields_of(await self._named(row), templated=False, statuses=STATUS)
            fields |= url_of({}, self._access.site, number, self._access.source)
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
        return await self._memory.get(f"agent {agent_id}", lambda: self._record(f"agents/{agent_id}", "agent"))

    async def _department(self, department_id: str) -> Json:
        return await self._memory.get(
            f"department {department_id}", lambda: self._record(f"departments/{department_id}", "department")
        )


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
    return Company(domains_of(row.get("domains")), name=text(row.get("name")) or None)
