"""
Look-ups at Help Scout: one conversation or customer a call.

They find the customer's address where a webhook shows only an id, read what a thin webhook names, and tell a deletion
from a body that somebody relabelled. Help Scout knows a customer's company by name only, so companies are found by
the mail domain and nothing is asked for them.

Source: developer.helpscout.com mailbox-api (conversations, customers, users; 2026-11, documented); facts of Help Scout
§4, §5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.change import Change
from gateway.core.lookups import Person
from gateway.sources.help_scout_conversations import (
    SPAM,
    conversation_fields,
    conversation_refs,
    number_of,
    updated_at_ms,
)
from gateway.sources.reading import instant_ms, mail_address, mapping, text
from workers.helpdesks.base import HelpdeskMoved, HelpdeskUnavailable
from workers.helpdesks.oauth import ClientCredentials
from workers.helpdesks.records import RecordClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from gateway.core.change import Json


class HelpScoutClient(RecordClient):
    """Look-ups of one Help Scout connection; of the credentials `user` is the app's id, `secret` its secret."""

    name = "Help Scout"
    question = ("users/me", None)
    credentials = "the app: check HELP_SCOUT_API_CLIENT_ID and HELP_SCOUT_API_CLIENT_SECRET"
    address = "HELP_SCOUT_API_URL"

    def _auth(self) -> httpx.Auth:
        access = self._access
        token_url = f"{access.base_url}/oauth2/token"
        return ClientCredentials(token_url, access.user, access.secret, monotonic=self._monotonic)

    async def _user(self, user_id: str) -> Person | None:
        """Look up a customer; agents come with their address in every conversation."""
        row = await self._found(f"customers/{user_id}")
        return None if row is None else customer(mapping(row))

    async def _organization(self, organization_id: str) -> None:
        """Give no company: Help Scout has neither their domains nor an external id."""

    async def _ticket(self, ticket_id: str) -> Change | None:
        """Read a conversation. Spam, and one that is deleted or merged away, becomes the change that says so."""
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


def customer(row: Mapping[str, Json]) -> Person:
    """Read a customer; of several addresses the first."""
    emails = mapping(row.get("_embedded")).get("emails")
    shown = [mapping(one).get("value") for one in emails] if isinstance(emails, list) else []
    name = " ".join(filter(None, (text(row.get("firstName")), text(row.get("lastName")))))
    return Person(email=next(filter(None, map(mail_address, shown)), None), name=name or None)
