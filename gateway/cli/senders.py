"""
The senders' side: what a helpdesk does to a body before it posts it. For `demo` and `send-sample`.

Written after the vendors' pages and not after `gateway/sources`, so that both cannot be wrong the same way.

Source: developer.zendesk.com "Verifying webhooks"; standard-webhooks.md 1.0.0; Freshdesk 132589 (custom headers).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING, Final

from gateway.cli import Misuse

if TYPE_CHECKING:
    from collections.abc import Callable


def zendesk(secret: str, body: bytes, now_s: float, delivery_id: str) -> dict[str, str]:
    """Sign as Zendesk: base64(HMAC-SHA256(secret as text, timestamp + body))."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s))
    digest = hmac.digest(secret.encode(), moment.encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json; charset=utf-8",
        "user-agent": "Zendesk Webhook",
        "x-zendesk-webhook-invocation-id": delivery_id,
        "x-zendesk-webhook-signature": base64.b64encode(digest).decode(),
        "x-zendesk-webhook-signature-timestamp": moment,
    }


def freshdesk(secret: str, _body: bytes, _now_s: float, _delivery_id: str) -> dict[str, str]:
    """Freshdesk signs nothing; its rule sends an agreed header."""
    return {"content-type": "application/json", "authorization": f"Bearer {secret}"}


def generic_key(secret: str) -> bytes | None:
    """Give the HMAC key behind a generic secret (`whsec_` and base64); None when it is no such secret."""
    encoded = secret.removeprefix("whsec_").rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        return None


def standard_webhooks(secret: str, body: bytes, now_s: float, delivery_id: str) -> dict[str, str]:
    """Sign as Standard Webhooks 1.0: base64(HMAC-SHA256(decoded secret, id.timestamp.body))."""
    key = generic_key(secret)
    if key is None:
        raise Misuse("The secret of a generic connection is whsec_ followed by base64.")
    moment = str(int(now_s))
    digest = hmac.digest(key, f"{delivery_id}.{moment}.".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


SENDERS: Final[dict[str, Callable[[str, bytes, float, str], dict[str, str]]]] = {
    "zendesk": zendesk,
    "freshdesk": freshdesk,
    "freshservice": freshdesk,
    "generic": standard_webhooks,
}


def signed(
    source: str, secret: str, body: bytes, *, delivery_id: str = "", now_s: float | None = None
) -> dict[str, str]:
    """
    Give the headers with which a source sends a body, signature included (lower-case names).

    Args:
        delivery_id: the sender's id of the delivery, the same on its retries; a new one when empty.
        now_s: Unix time of the signature; now when None.
    Raises:
        Failure: this release cannot send as that source.
    """
    if source not in SENDERS:
        raise Misuse(f"This release cannot sign as {source!r}, only as {', '.join(SENDERS)}.")
    identity = delivery_id or f"msg_{secrets.token_hex(12)}"
    return SENDERS[source](secret, body, time.time() if now_s is None else now_s, identity)


def new_generic_secret() -> str:
    """Make a secret for a generic connection: `whsec_` and base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
