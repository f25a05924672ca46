"""
HubSpot tickets: arrays of events that name a ticket and perhaps one property. Everything else is read by a look-up.

Signed is the address that HubSpot called, so it must be known: PUBLIC_URL, else the `Host` header (README beside this
file says what that is worth). Headers that a proxy adds have no influence.

Wire: `[{"subscriptionType": "ticket.propertyChange", "objectId": 15520347761, "propertyName", "propertyValue",
    "occurredAt": ms, "portalId", ...}, ...]`, at most 100.
Source: developers.hubspot.com docs/apps/developer-platform/build-apps/authentication/request-validation and the
webhooks API guide (documented); github.com/HubSpot/hubspot-api-python tests/spec/utils/test_signature.py,
hubspot-api-ruby spec/helpers/signature_spec.rb (vectors); facts of HubSpot §1-§4.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Normalized
from gateway.sources.hubspot_events import IDENTITY, event_changes
from gateway.sources.ordinary import Ordinary, check_account, check_shown
from gateway.sources.reading import mapping
from gateway.sources.signing import (
    check_age,
    check_any_hmac,
    digest,
    epoch_ms_s,
    keys,
    refuse_doubles,
    required,
)

if TYPE_CHECKING:
    from gateway.core.change import Change, Json
    from gateway.sources.base import Connection, Request

SIGNATURE: Final = "x-hubspot-signature-v3"
TIMESTAMP: Final = "x-hubspot-request-timestamp"
LACKS: Final = ("company",)

_ESCAPES: Final = re.compile("%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)")
"""What HubSpot decodes in the address before it signs, and nothing else."""


class HubSpotSource(Ordinary):
    """The adapter; see the module."""

    name = "hubspot"
    signed = "HMAC-SHA256, with a time"

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:
        """
        Prove the version 3 signature over method, address, raw body and time, then its age.

        Versions 1 and 2 are sent along: plain hashes without a time, which are not accepted.

        Wire: `X-HubSpot-Signature-v3: base64(HMAC-SHA256(client secret as text, METHOD + URI + body + timestamp))`,
            `X-HubSpot-Request-Timestamp: 1791216009900` (ms).
        Raises:
            VerificationError: as `signing` names the reasons.
        """
        if connection.auth == "bearer":
            check_shown(request, connection.secrets)
            return
        refuse_doubles(request, (SIGNATURE, TIMESTAMP, "host"))
        offered = digest(required(request, SIGNATURE, "missing_signature"))
        timestamp = required(request, TIMESTAMP, "missing_timestamp")
        at_s = epoch_ms_s(timestamp)
        after = request.body + timestamp.encode("ascii")
        messages = [request.method.encode("latin-1") + one + after for one in addresses(request, connection)]
        check_any_hmac(keys(connection.secrets), messages, (offered,))
        check_age(at_s, now_s, connection.tolerance_s)

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """
        Give an id made of what HubSpot says identifies an event, for all events of the array.

        `eventId` is not promised to be unique.
        """
        events = payload if isinstance(payload, list) else [payload]
        known = ["\0".join(str(mapping(event).get(name)) for name in IDENTITY) for event in events]
        if not any(isinstance(event, dict) for event in events):
            return None
        return hashlib.sha256("\n".join(known).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn the events about tickets into changes, all or none; those of another portal in a mixed array are left out.

        Raises:
            UnreadablePayload: `not_an_event`, `no_ticket_id`, `bad_ticket_id`.
            VerificationError: `account_mismatch`, when every event is another portal's.
        """
        events = payload if isinstance(payload, list) else [payload]
        changes: list[Change] = []
        foreign = 0
        for place, event in enumerate(events, 1):
            if not isinstance(event, dict) or not isinstance(event.get("subscriptionType"), str):
                raise UnreadablePayload("not_an_event", f"Event {place} is no JSON object with a subscriptionType.")
            try:
                check_account(connection, event.get("portalId"))
            except VerificationError:
                foreign += 1
            else:
                changes += event_changes(event, connection)
        if events and foreign == len(events):
            raise VerificationError("account_mismatch")
        return Normalized(tuple(changes), "" if changes else "no event is about a ticket", LACKS)


def addresses(request: Request, connection: Connection) -> list[bytes]:
    """
    Give every address of ours that HubSpot may have signed: with and without the last slash.

    Raises:
        VerificationError: `missing_host` when nothing tells our address.
    """
    if connection.public_url:
        sites = [connection.public_url]
    else:
        host = required(request, "host", "missing_host")
        sites = [f"https://{host}", f"http://{host}"]
    query = f"?{request.query}" if request.query else ""
    made = [f"{site}/webhooks/{connection.name}{slash}{query}" for site in sites for slash in ("", "/")]
    return [_ESCAPES.sub(_decoded, one).encode("latin-1", "replace") for one in made]


def _decoded(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


SOURCE: Final = HubSpotSource()
