"""
Look-ups at Pylon: one issue a call, its account and, where the issue does not show an address, its contact.

Pylon tells no time of an issue's last change (`latest_message_time` moves with messages only), so what is read counts
by its arrival: what was read last is newest.

Source: docs.usepylon.com API reference (issues, accounts, contacts), documented; facts of Pylon §2, §5.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.core.lookups import Company, Person
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
from workers.helpdesks.base import domains_of
from workers.helpdesks.records import RecordClient

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.change import Json
    from workers.access import HelpdeskAccess

NO_ISSUES: Final = {"start_time": "2020-01-01T00:00:00Z", "end_time": "2020-01-01T00:00:01Z"}
"""A window that is as good as empty: asked only to see whether address and token are right."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class PylonClient(RecordClient):
    """Look-ups of one Pylon connection; the credentials' `secret` is the API token."""

    at_once = 10

    name = "Pylon"
    question = ("issues", NO_ISSUES)
    credentials = "the token: check PYLON_API_TOKEN"
    address = "PYLON_API_URL"

    def _askable(self, ids: Sequence[str]) -> list[str]:
        return [one for one in dict.fromkeys(ids) if _ID.fullmatch(one)]

    async def _user(self, user_id: str) -> Person | None:
        """Look up a contact, who may have no address."""
        row = await self._record(f"contacts/{user_id}")
        return None if row is None and await self._is_ours() else person(mapping(row))

    async def _organization(self, organization_id: str) -> Company | None:
        """Look up an account."""
        row = await self._record(f"accounts/{organization_id}")
        return None if row is None and await self._is_ours() else company(mapping(row))

    async def _ticket(self, ticket_id: str) -> Change | None:
        """Read an issue."""
        row = await self._record(f"issues/{ticket_id}")
        return None if row is None and await self._is_ours() else snapshot(mapping(row), self._access)


def person(row: Mapping[str, Json]) -> Person:
    """Read a contact."""
    return Person(email=mail_address(row.get("email")), name=text(row.get("name")) or None)


def company(row: Mapping[str, Json]) -> Company:
    """Read an account."""
    return Company(domains_of(row.get("domains")), name=text(row.get("name")) or None)


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
