"""
Salesforce Service Cloud: outbound messages about Cases, unsigned, many in one, acknowledged as a whole.

Salesforce takes nothing but its own `Ack` for delivered and repeats for a day; so what means nothing for tickets is
acknowledged, too. Flow and Apex call-outs send JSON and belong to the source `generic`.

Source: developer.salesforce.com docs/atlas.en-us.api.meta/api/sforce_api_om_outboundmessaging_notifications.htm
(2026-11, documented); facts of Salesforce §1-§4.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Normalized, Reply
from gateway.sources.ordinary import Shown
from gateway.sources.reading import identifier, mapping
from gateway.sources.salesforce_cases import CASE, case_change, widened
from gateway.sources.salesforce_soap import EXPECTED, message, without_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Change, Json
    from gateway.sources.base import Connection, Request

NOTIFICATIONS_MAX: Final = 500
"""Salesforce sends at most a hundred."""
LACKS: Final = ("requester_name",)
"""A message holds the Case's own fields, no related record's."""

_ACK: Final = (
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>%s</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>"
)


class SalesforceSource(Shown):
    """The adapter; see the module."""

    name = "salesforce"
    content_types: tuple[str, ...] = ("text/xml", "application/xml")

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Give the notification's id, which a repeat keeps; a digest over those of a message that holds several."""
        rows = mapping(payload).get("notifications")
        ids = [identifier(mapping(row).get("id")) for row in rows] if isinstance(rows, list) else []
        named = [one for one in ids if one]
        if not named or len(named) != len(ids):
            return None
        if len(named) == 1:
            return named[0]
        return hashlib.blake2b("\n".join(sorted(named)).encode("utf-8", "replace"), digest_size=16).hexdigest()

    def parse(self, request: Request) -> Json:
        """Read the SOAP message. Raises UnreadablePayload."""
        return message(request.body)

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Give one change per Case, all or none.

        Raises:
            UnreadablePayload: `not_an_outbound_message`, `too_many_items`, `no_ticket_id`, `bad_ticket_id`.
            VerificationError: `account_mismatch`, a message of another organization.
        """
        rows = mapping(payload).get("notifications")
        if not isinstance(rows, list):
            raise UnreadablePayload("not_an_outbound_message", EXPECTED)
        if connection.account_id and widened(payload.get("organization")) != widened(connection.account_id):
            raise VerificationError("account_mismatch")
        if len(rows) > NOTIFICATIONS_MAX:
            raise UnreadablePayload("too_many_items", f"One message may hold {NOTIFICATIONS_MAX} notifications.")
        changes: list[Change] = []
        ignored = "a message without notifications"
        for row in map(mapping, rows):
            fields = mapping(row.get("fields"))
            kind = row.get("type") or _kind(fields)
            if not any(fields.values()):
                ignored = "a notification without data: its record was deleted meanwhile"
            elif kind != "Case":
                ignored = f"{str(kind)[:64] or 'a record without a type'} is no Case"
            else:
                changes.append(case_change(fields, connection))
        lacks = LACKS if any(change.fields.get("email") for change in changes) else ()
        return Normalized(tuple(changes), "" if changes else ignored, lacks)

    def acknowledge(self, *, stored: bool) -> Reply:
        """Say in SOAP whether the whole message was taken; a bare 200 counts as not delivered."""
        body = _ACK % (b"true" if stored else b"false")
        return Reply(200 if stored else 503, body, {"Content-Type": "text/xml; charset=utf-8"})

    def without_secrets(self, body: bytes) -> bytes:
        """Give a body as it may be kept: without the session id."""
        return without_session(body)


def _kind(fields: Mapping[str, Json]) -> str:
    """Tell a Case by its id where the record does not say its type."""
    found = fields.get("Id")
    return "Case" if isinstance(found, str) and found.strip().startswith(CASE) else ""


SOURCE: Final = SalesforceSource()
