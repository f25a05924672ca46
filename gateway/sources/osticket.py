"""
osTicket: the body of a public plugin, unsigned and thin.

`status` is the event's name and not the ticket's state, `url` the front page of the help desk and not the ticket,
`staff` a login: none of them is a field of the ticket. Without the requester's address a ticket ends as a dead letter,
so the set-up page shows what to add to the plugin's array; those keys are read here, too.

Wire: `{"body": {"staff", "title", "number": "004218", "status": "created" | "updated", "url"}}`, and of our own
    `email`, `name`, `state`, `priority`, `agent_email`, `description`, `ticket_url`.
Source: github.com/luispimenta/osticket-webhook webhook.php (0856059, 2023-03-15, code); facts of osTicket §1-§6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload
from gateway.sources.base import Normalized, Reply
from gateway.sources.ordinary import Shown
from gateway.sources.reading import (
    UNKNOWN,
    html_to_text,
    known,
    mail_address,
    mapping,
    text,
    ticket_id,
    told,
    web_address,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json
    from gateway.sources.base import Connection, Request
    from gateway.sources.reading import Unknown

CREATED: Final = "created"
ACCEPTED: Final = Reply(200)
"""The plugin logs everything but exactly 200 as an error; what the body says is ours."""


class OsTicketSource(Shown):
    """The adapter; see the module."""

    name = "osticket"

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn the plugin's body into a change; there is no time in it, so it counts by its arrival.

        Raises:
            UnreadablePayload: `not_a_ticket`, `no_ticket_id`, `bad_ticket_id`.
        """
        shown = mapping(mapping(payload).get("body"))
        if not shown:
            raise UnreadablePayload("not_a_ticket", "Expected the plugin's body: an object with body.number.")
        ticket = ticket_id(shown.get("number"), "body.number")
        fields = known(_fields(shown))
        change = Change(
            ticket=connection.prefix + ticket,
            connection=connection.name,
            fields=fields,
            creation=word(shown.get("status")) == CREATED,
            complete={"title", "status", "email"} <= fields.keys(),
            thin="status" not in fields,
        )
        return Normalized((change,))

    def acknowledge(self, *, stored: bool) -> Reply | None:  # noqa: ARG002
        """Exactly 200, whatever became of it."""
        return ACCEPTED


def _fields(shown: Mapping[str, Json]) -> dict[str, Json | Unknown]:
    return {
        "title": told(shown, "title", text),
        "description": html_to_text(shown["description"]) if isinstance(shown.get("description"), str) else UNKNOWN,
        "url": web_address(shown.get("ticket_url")) or UNKNOWN,
        "severity": told(shown, "priority", word),
        "status": word(shown.get("state")) or UNKNOWN,
        "email": told(shown, "email", mail_address),
        "name": text(shown.get("name")) or UNKNOWN,
        "agentEmail": told(shown, "agent_email", mail_address),
    }


SOURCE: Final = OsTicketSource()
