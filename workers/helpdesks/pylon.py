"""
Look-ups at Pylon: one issue a call, its account and, where the issue does not show an address, its contact.

Pylon tells no time of an issue's last change (`latest_message_time` moves with messages only), so what is read counts
by its arrival: what was read last is newest.

Source: docs.usepylon.com API reference (issues, accounts, contacts), documented; facts of Pylon §2, §5.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.core.change import Change
from gateway.core.ticket import Company, Person
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
    word,
)
from workers.helpdesks.base import Api, Bearer, HelpdeskError, HelpdeskRefused, HelpdeskUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from gateway.core.change import Json
    from workers.settings import HelpdeskAccess

T = TypeVar("T")

REMEMBER_S: Final = 1800.0
NO_ISSUES: Final = {"start_time": "2020-01-01T00:00:00Z", "end_time": "2020-01-01T00:00:01Z"}
"""A window that is as good as empty: asked only to see whether address and token are right."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class PylonClient:
    """
    Look-ups of one Pylon connection.

    Args:
        access: address and credentials; `secret` is the API token.
        transport: instead of the network, in tests.
        monotonic: seconds of a clock that never steps.
    """

    at_once = 10

    def __init__(
        self,
        access: HelpdeskAccess,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._api = Api(access.base_url, auth=Bearer(access.secret), transport=transport)
        self._monotonic = monotonic
        self._proved_until_s = float("-inf")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        """Look up contacts, who may have no address."""
        return await self._each("contacts", ids, person)

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        """Look up accounts."""
        return await self._each("accounts", ids, company)

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read issues anew."""
        return await self._each("issues", ids, lambda row: snapshot(row, self._access))

    async def probe(self) -> str | None:
        """Ask for the issues of one second."""
        try:
            answer = await self._api.get("issues", NO_ISSUES)
        except HelpdeskRefused as error:
            return f"Pylon refuses the token: check PYLON_API_TOKEN. Pylon says: {error}"
        except HelpdeskError as error:
            return f"Pylon does not answer: {error}"
        return None if isinstance(answer, dict) else "There is no Pylon API at this address: check PYLON_API_URL."

    async def _each(
        self, kind: str, ids: Sequence[str], read: Callable[[Mapping[str, Json]], T]
    ) -> dict[str, T | None]:
        found: dict[str, T | None] = dict.fromkeys(ids)
        done: dict[str, T | None] = {}
        for one in filter(_ID.fullmatch, found):
            try:
                row = await self._record(kind, one)
            except HelpdeskError as error:
                error.found = done
                raise
            done[one] = None if row is None else read(row)
        return found | done

    async def _record(self, kind: str, record: str) -> Mapping[str, Json] | None:
        answer = await self._api.get(f"{kind}/{record}")
        if answer is None:
            await self._prove()
            return None
        row = mapping(mapping(answer).get("data"))
        if identifier(row.get("id")) != record:
            raise HelpdeskUnavailable(f"{kind}/{record} answers no record of that id")
        return row

    async def _prove(self) -> None:
        """Prove once in a while that the address is right: a wrong one answers 404 to everything."""
        now_s = self._monotonic()
        if now_s < self._proved_until_s:
            return
        if await self._api.get("issues", NO_ISSUES) is None:
            raise HelpdeskUnavailable("there is no Pylon API at this address: check PYLON_API_URL")
        self._proved_until_s = now_s + REMEMBER_S


def person(row: Mapping[str, Json]) -> Person:
    """Read a contact."""
    return Person(email=mail_address(row.get("email")), name=text(row.get("name")) or None)


def company(row: Mapping[str, Json]) -> Company:
    """Read an account."""
    domains = tuple(domain.lower() for domain in strings(row.get("domains")) or ())
    return Company(domains, name=text(row.get("name")) or None)


def snapshot(row: Mapping[str, Json], access: HelpdeskAccess) -> Change:
    """Read an issue as a complete change that counts by its arrival."""
    requester, assignee = mapping(row.get("requester")), mapping(row.get("assignee"))
    custom = mapping(row.get("custom_fields"))
    email = mail_address(requester.get("email"))
    requester_id = None if email else identifier(requester.get("id"))
    fields = {
        "title": text(row.get("title")) or "",
        "description": html_to_text(text(row.get("body_html")) or ""),
        "url": text(row.get("link")) or UNKNOWN,
        "tags": strings(row.get("tags")) or [],
        "severity": (word(_custom(custom, "priority")) or "") if "priority" in custom else UNKNOWN,
        "product": (text(_custom(custom, "product")) or "") if "product" in custom else UNKNOWN,
        "status": word(row.get("state")) or UNKNOWN,
        "email": UNKNOWN if requester_id else email or "",
        "name": text(requester.get("name")) or UNKNOWN,
        "agentEmail": mail_address(assignee.get("email")) or ("" if row.get("assignee") is None else UNKNOWN),
    }
    refs = {"requester_id": requester_id, "organization_id": identifier(mapping(row.get("account")).get("id"))}
    return Change(
        ticket=access.prefix + (identifier(row.get("id")) or ""),
        connection=access.connection,
        fields=known(fields),
        refs=refs,
        created_at_ms=instant_ms(row.get("created_at")),
        life="live",
        complete=True,
        reread=True,
    )


def _custom(custom: Mapping[str, Json], slug: str) -> Json:
    return mapping(custom[slug]).get("value")
