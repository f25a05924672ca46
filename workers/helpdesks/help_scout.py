"""
Look-ups at Help Scout: one conversation or customer a call.

They find the customer's address where a webhook shows only an id, read what a thin webhook names, and tell a deletion
from a body that somebody relabelled. Help Scout knows a customer's company by name only, so companies are found by
the mail domain and nothing is asked for them.

Source: developer.helpscout.com mailbox-api (conversations, customers, users; 2026-11, documented); facts of Help Scout
§4, §5.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.core.change import Change
from gateway.core.ticket import Company, Person
from gateway.sources.help_scout_conversations import (
    SPAM,
    conversation_fields,
    conversation_refs,
    number_of,
    updated_at_ms,
)
from gateway.sources.reading import instant_ms, mail_address, mapping, text
from workers.helpdesks.base import (
    Api,
    HelpdeskError,
    HelpdeskMoved,
    HelpdeskRefused,
    HelpdeskUnavailable,
    askable,
)
from workers.helpdesks.memory import Memory, one_by_one
from workers.helpdesks.oauth import ClientCredentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from gateway.core.change import Json
    from workers.settings import HelpdeskAccess


class HelpScoutClient:
    """
    Look-ups of one Help Scout connection.

    Args:
        access: address and credentials; `user` is the app's id, `secret` its secret.
        transport: instead of the network, in tests.
        monotonic, clock: seconds of a clock that never steps, and Unix seconds.
    """

    at_once = 20

    def __init__(
        self,
        access: HelpdeskAccess,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        auth = ClientCredentials(f"{access.base_url}/oauth2/token", access.user, access.secret, monotonic=monotonic)
        self._api = Api(access.base_url, auth=auth, transport=transport)
        self._memory = Memory(monotonic)
        self._clock = clock

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        """Look up customers; agents come with their address in every conversation."""
        return await one_by_one(ids, askable(ids), self._customer)

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        """Give no company: Help Scout has neither their domains nor an external id."""
        return dict.fromkeys(ids)

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read conversations anew. Spam, and one that is deleted or merged away, becomes the change that says so."""
        return await one_by_one(ids, askable(ids), self._ticket)

    async def probe(self) -> str | None:
        """Ask who we are."""
        try:
            me = await self._api.get("users/me")
        except HelpdeskRefused as error:
            return (
                "Help Scout refuses the app: check HELP_SCOUT_API_CLIENT_ID and HELP_SCOUT_API_CLIENT_SECRET. "
                f"Help Scout says: {error}"
            )
        except HelpdeskError as error:
            return f"Help Scout does not answer: {error}"
        return None if isinstance(me, dict) else "There is no Help Scout API at this address: check HELP_SCOUT_API_URL."

    async def _customer(self, customer_id: str) -> Person | None:
        row = await self._found(f"customers/{customer_id}")
        return None if row is None else customer(mapping(row))

    async def _ticket(self, ticket_id: str) -> Change | None:
        try:
            row = await self._found(f"conversations/{ticket_id}", {"embed": "threads"})
        except HelpdeskMoved as error:
            if "/conversations/" not in error.location:
                raise
            row = None
        if row is None:  # the vendor says 404 for "does not exist or is deleted", 403 for what we may not see
            return self._change(ticket_id, {}, at_ms=int(self._clock() * 1000), gone=True)
        if not isinstance(row, dict) or number_of(row.get("id")) != ticket_id:
            raise HelpdeskUnavailable(f"conversations/{ticket_id} answers no conversation of that number")
        gone = row.get("status") == SPAM or row.get("state") == "deleted"
        return self._change(ticket_id, row, at_ms=updated_at_ms(row), gone=gone)

    def _change(self, ticket_id: str, row: Mapping[str, Json], *, at_ms: int | None, gone: bool) -> Change:
        return Change(
            ticket=self._access.prefix + ticket_id,
            connection=self._access.connection,
            fields={} if gone else conversation_fields(row, ticket_id),
            refs={} if gone else conversation_refs(row),
            updated_at_ms=at_ms,
            created_at_ms=instant_ms(row.get("createdAt")),
            life="deleted" if gone else "live",
            complete=True,
            reread=True,
        )

    async def _found(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Read a record; None when Help Scout has none, which only an app that it knows can be told."""
        row = await self._api.get(path, query)
        if row is None and await self._memory.get("me", lambda: self._api.get("users/me")) is None:
            raise HelpdeskUnavailable("there is no Help Scout API at this address: check HELP_SCOUT_API_URL")
        return row


def customer(row: Mapping[str, Json]) -> Person:
    """Read a customer; of several addresses the first."""
    emails = mapping(row.get("_embedded")).get("emails")
    shown = [mapping(one).get("value") for one in emails] if isinstance(emails, list) else []
    name = " ".join(filter(None, (text(row.get("firstName")), text(row.get("lastName")))))
    return Person(email=next(filter(None, map(mail_address, shown)), None), name=name or None)
