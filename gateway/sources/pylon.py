"""
Pylon: webhooks that an account's triggers send, with a body that the administrator writes.

The recommended template names the issue and nothing else (README.md beside this file), so a delivery only says "issue
N may have changed" and a look-up reads it. What the template holds besides counts by its arrival until then. A
trigger's own event word ("issue.closed") is no state.

Source: kb.help.usepylon.com 6080966819 (2024-12-09, documented); docs.usepylon.com developer/webhooks (documented);
facts of Pylon §1, §2. Others use similar header names: getpylon.com signs `hs256=`, pylonid.eu `sha256=`; both are
refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload
from gateway.sources.base import Normalized
from gateway.sources.ordinary import Ordinary, check_body
from gateway.sources.reading import UNKNOWN, known, line, mail_address, mapping, ticket_id, web_address, word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json
    from gateway.sources.base import Connection, Request, Source

SIGNATURE: Final = "x-pylon-signature"

ISSUE: Final = ("issue_id", "id")
TITLE: Final = ("title", "issue_title")
LINK: Final = ("url", "link", "issue_link", "issue_url")
STATE: Final = ("state", "issue_state")
EMAIL: Final = ("requester_email", "issue_requester_email")
NAME: Final = ("requester_name", "issue_requester_name")

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLACEHOLDER: Final = re.compile(r"\{\{[^{}]{1,200}\}\}")


class PylonSource(Ordinary):
    """The adapter; see the module."""

    name = "pylon"
    signed = "HMAC-SHA256"

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:  # noqa: ARG002
        """
        Prove the signature over the raw body. No time is signed: a body can be replayed, and then is read again.

        Wire: `X-Pylon-Signature: hex(HMAC-SHA256(secret as text, body))`, lower case, without a prefix.
        Raises:
            VerificationError: see `check_body`.
        """
        check_body(request, connection, SIGNATURE, algorithm="sha256")

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Read a template's body, flat or with the issue under `issue`.

        Raises:
            UnreadablePayload: `unknown_shape`, `no_ticket_id`, `bad_ticket_id`.
        """
        if not isinstance(payload, dict):
            raise UnreadablePayload("unknown_shape", "The body is no JSON object: use the template of the set-up page.")
        row = dict(payload) | dict(mapping(payload.get("issue")))
        ticket = ticket_id(_shown(row, ISSUE), "issue_id")
        if not _ID.fullmatch(ticket):
            raise UnreadablePayload("bad_ticket_id", "issue_id is no issue's id: use the placeholder {{issue.id}}.")
        email = _shown(row, EMAIL)
        fields = {
            "title": line(_shown(row, TITLE)) or UNKNOWN,
            "url": web_address(_shown(row, LINK)) or UNKNOWN,
            "status": word(_shown(row, STATE)) or UNKNOWN,
            "email": (mail_address(email) or "") if email else UNKNOWN,
            "name": line(_shown(row, NAME)) or UNKNOWN,
        }
        return Normalized(
            (Change(ticket=connection.prefix + ticket, connection=connection.name, fields=known(fields), thin=True),)
        )


def _shown(row: Mapping[str, Json], names: tuple[str, ...]) -> Json:
    """Give the first value that says something; a placeholder that nobody filled says nothing, but for an id."""
    for name in names:
        value = row.get(name)
        if value not in (None, "") and (names is ISSUE or not _PLACEHOLDER.search(str(value))):
            return value
    return None


SOURCE: Final[Source] = PylonSource()
