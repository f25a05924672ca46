"""
Look-ups at Front: one conversation, contact or teammate a call, for an application's webhooks tell next to nothing.

A conversation's company is the account of its contact. Its description is its first message, which never changes and is
remembered for a while. A conversation that was merged away answers with a redirect: it is gone, and the redirect is not
followed, since the survivor has events of its own. Comments are never read.

Source: dev.frontapp.com/reference (conversations, messages, contacts, accounts, teammates; 2026-11, documented); facts
of Front §2, §4, §5.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.core.lookups import Company, Person
from gateway.sources.front_conversations import (
    DELETED,
    INTERNAL,
    conversation_fields,
    conversation_id,
    conversation_refs,
    moment_ms,
    page,
)
from gateway.sources.reading import html_to_text, identifier, mail_address, mapping, plain_text, text, word
from workers.helpdesks.base import HelpdeskMoved, HelpdeskUnavailable, domains_of
from workers.helpdesks.records import RecordClient, one_by_one

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.change import Json

_CONVERSATION: Final = re.compile(r"cnv_[A-Za-z0-9]{1,40}")
_CONTACT: Final = re.compile(r"crd_[A-Za-z0-9]{1,40}")
_TEAMMATE: Final = re.compile(r"tea_[A-Za-z0-9]{1,40}")
_ACCOUNT: Final = re.compile(r"acc_[A-Za-z0-9]{1,40}")
FIRST: Final = {"limit": "1", "sort_by": "created_at", "sort_order": "asc"}


class FrontClient(RecordClient):
    """Look-ups of one Front connection; the credentials' `secret` is an API token."""

    name = "Front"
    question = ("me", None)
    credentials = "the token: check FRONT_API_TOKEN"
    address = "FRONT_API_URL"

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        """Look up contacts, who write, and teammates, who answer: their ids tell them apart."""
        known = [one for one in dict.fromkeys(ids) if _CONTACT.fullmatch(one) or _TEAMMATE.fullmatch(one)]
        return await one_by_one(ids, known, self._user)

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        """Look up the accounts of contacts."""
        return await one_by_one(ids, [one for one in dict.fromkeys(ids) if _CONTACT.fullmatch(one)], self._organization)

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read conversations anew. One in the trash or merged away becomes the change that says so."""
        return await one_by_one(ids, [one for one in dict.fromkeys(ids) if _CONVERSATION.fullmatch(one)], self._ticket)

    async def _user(self, user_id: str) -> Person | None:
        if _CONTACT.fullmatch(user_id):
            row = await self._contact(user_id)
            return None if row is None else contact(mapping(row))
        row = await self._found(f"teammates/{user_id}")
        return None if row is None else teammate(mapping(row))

    async def _organization(self, organization_id: str) -> Company | None:
        row = await self._contact(organization_id)
        if row is None:
            return None
        account = mapping(mapping(row).get("account"))
        linked = mapping(mapping(mapping(row).get("_links")).get("related")).get("account")
        found = identifier(account.get("id")) or (linked.rpartition("/")[2] if isinstance(linked, str) else "")
        if "domains" not in account and _ACCOUNT.fullmatch(found):
            account = mapping(await self._memory.get(found, lambda: self._found(f"accounts/{found}")))
        return company(account)

    async def _contact(self, contact_id: str) -> Json:
        return await self._memory.get(contact_id, lambda: self._found(f"contacts/{contact_id}"))

    async def _ticket(self, ticket_id: str) -> Change | None:
        try:
            row = await self._found(f"conversations/{ticket_id}")
            if row is None:
                return None
            if not isinstance(row, dict) or conversation_id(row) != ticket_id:
                raise HelpdeskUnavailable(f"conversations/{ticket_id} answers no conversation of that id")
            if row.get("status") == DELETED or row.get("type") in INTERNAL:
                return self._change(ticket_id, row, {}, gone=True)
            fields = await self._fields(ticket_id, row)
        except HelpdeskMoved as error:
            if "/conversations/" not in error.location:
                raise
            return self._change(ticket_id, {"updated_at": self._clock()}, {}, gone=True)
        return self._change(ticket_id, row, fields, gone=False)

    async def _fields(self, ticket_id: str, row: Mapping[str, Json]) -> dict[str, Json]:
        fields = conversation_fields(row) | {"url": page(ticket_id)}
        if category := word(row.get("status_category")):  # where tickets are switched on
            fields["status"] = category
        fields["description"] = await self._memory.get(f"first {ticket_id}", lambda: self._first_text(ticket_id))
        return fields

    async def _first_text(self, ticket_id: str) -> str:
        answer = mapping(await self._found(f"conversations/{ticket_id}/messages", FIRST))
        listed = answer.get("_results")
        message = mapping(listed[0]) if isinstance(listed, list) and listed else {}
        if message.get("is_draft") is True:
            return ""
        if isinstance(plain := message.get("text"), str) and plain.strip():
            return plain_text(plain)
        return html_to_text(text(message.get("body")) or "")

    def _change(self, ticket_id: str, row: Mapping[str, Json], fields: dict[str, Json], *, gone: bool) -> Change:
        return Change(
            ticket=self._access.prefix + ticket_id,
            connection=self._access.connection,
            fields=fields,
            refs={} if gone else conversation_refs(row),
            updated_at_ms=moment_ms(row.get("updated_at")),
            created_at_ms=moment_ms(row.get("created_at")),
            life="deleted" if gone else "live",
            complete=True,
            reread=True,
        )


def contact(row: Mapping[str, Json]) -> Person:
    """Read a contact, who may have no address."""
    handles = row.get("handles")
    shown = [mapping(one).get("handle") for one in handles] if isinstance(handles, list) else []
    return Person(email=next(filter(None, map(mail_address, shown)), None), name=text(row.get("name")) or None)


def teammate(row: Mapping[str, Json]) -> Person:
    """Read a teammate."""
    name = " ".join(filter(None, (text(row.get("first_name")), text(row.get("last_name")))))
    return Person(email=mail_address(row.get("email")), name=name or None)


def company(row: Mapping[str, Json]) -> Company:
    """Read an account; without one, a company of which nothing is known."""
    domains = domains_of(row.get("domains"))
    return Company(domains, external_id=text(row.get("external_id")) or None, name=text(row.get("name")) or None)
