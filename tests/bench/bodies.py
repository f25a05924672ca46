"""
Signed requests of about 2 KB, as Zendesk sends them: prebuilt bytes, each with an event id of its own.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from datetime import UTC, datetime
from itertools import count
from typing import Final

SECRET: Final = "aGVyb24tbWlsbC1xdWF5LWdhdGUtYmVuY2gtMDE="
HOOK: Final = "/webhooks/zendesk"
CREATED: Final = "zen:event-type:ticket.created"
PEOPLE: Final = ("9100000004711", "9100000000042")
ORGANIZATION: Final = "4400000000560"
ORIGIN_MS: Final = 1_764_000_000_000
TEXT: Final = (
    "The loading dock scanner drops every third parcel since the update of last night. We restarted the bridge twice, "
    "swapped the cable and the reader, and the counter at gate 7 still shows fewer parcels than the belt has carried. "
)
_SERIAL = count(1)
_EVENT, _TICKET, _TIME = "00000000-event-0000", "00000000ticket", "2026-01-01T00:00:00.000000Z"


def event(ticket: str, event_id: str, at: str) -> dict[str, object]:
    """Give a ticket event of about 2 KB, a full snapshot as event subscriptions send it; no two say the same."""
    return {
        "account_id": 48210733,
        "detail": {
            "actor_id": "9100000004711",
            "assignee_id": "9100000000042",
            "brand_id": "7100000000001",
            "created_at": "2025-10-12T06:41:09Z",
            "custom_status": "8800000000301",
            "description": f"{(TEXT * 6)[:1200]} {event_id}",
            "external_id": None,
            "form_id": "6600000000012",
            "group_id": "5500000000034",
            "id": ticket,
            "is_public": True,
            "organization_id": "4400000000560",
            "priority": "HIGH",
            "requester_id": "9100000004711",
            "status": "OPEN",
            "subject": "Scanner at the loading dock drops parcels",
            "submitter_id": "9100000004711",
            "tags": ["scanner", "dock-7", "hardware", "priority-customer"],
            "type": "PROBLEM",
            "updated_at": at,
            "via": {"channel": "web_form"},
        },
        "event": {"current": "OPEN", "previous": "NEW"},
        "id": event_id,
        "subject": f"zen:ticket:{ticket}",
        "time": at,
        "type": "zen:event-type:ticket.status_changed",
        "zendesk_event_version": "2022-11-06",
    }


def requests(amount: int, port: int, *, tickets: int = 0) -> list[bytes]:
    """
    Give whole HTTP requests, signed now, none of them a duplicate of any other of this process.

    Args:
        amount: how many.
        tickets: they speak about so many tickets in turn, the first time of each as its creation; 0 for an update of a
            ticket of its own each.
    """
    moment = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    base = hmac.new(SECRET.encode(), moment, "sha256")
    updated = _template(event(_TICKET, _EVENT, _TIME), port, moment)
    created = _template(event(_TICKET, _EVENT, _TIME) | {"type": CREATED, "event": {}}, port, moment)
    first, made = next(_SERIAL), []
    for at in range(amount):
        serial = next(_SERIAL)
        head, template = created if at < tickets else updated
        number = b"%014d" % (10_000_000 + (first + at % tickets if tickets else serial))
        stamp = datetime.fromtimestamp((ORIGIN_MS + serial) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
        body = (
            template.replace(_TICKET.encode(), number)
            .replace(_EVENT.encode(), b"%08x-event-%04x" % (serial >> 16, serial & 0xFFFF))
            .replace(_TIME.encode(), stamp)
        )
        mac = base.copy()
        mac.update(body)
        made.append(head + base64.b64encode(mac.digest()) + b"\r\n\r\n" + body)
    return made


def _template(payload: dict[str, object], port: int, moment: bytes) -> tuple[bytes, bytes]:
    """Give the head up to the signature, and a body with placeholders of the final length."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    head = (
        f"POST {HOOK} HTTP/1.1\r\n"
        f"host: 127.0.0.1:{port}\r\n"
        "user-agent: Zendesk Webhook\r\n"
        "accept: */*\r\n"
        "accept-encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\r\n"
        "content-type: application/json; charset=utf-8\r\n"
        "x-zendesk-account-id: 48210733\r\n"
        "x-zendesk-webhook-id: 01KB7Q2M5XN8V4T1C9R6HJ3WDE\r\n"
        "x-zendesk-webhook-invocation-id: 01KB7Q4ZP2G6S8Y0A5KFM1NXRT\r\n"
        f"content-length: {len(body)}\r\n"
        f"x-zendesk-webhook-signature-timestamp: {moment.decode()}\r\n"
        "x-zendesk-webhook-signature: "
    )
    return head.encode(), body


def body_bytes() -> int:
    """Give the length of one body."""
    return len(_template(event(_TICKET, _EVENT, _TIME), 0, b"")[1])
