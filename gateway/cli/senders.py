"""
The senders' side: what a helpdesk does to a body before it posts it. For `demo` and `send-sample`.

Written after the vendors' pages and not after `gateway/sources`, so that both cannot be wrong the same way.

Source: developer.zendesk.com "Verifying webhooks"; standard-webhooks.md 1.0.0; Freshdesk 132589 (custom headers);
docs.github.com validating-webhook-deliveries; linear.app/developers/webhooks; www.plain.com/docs/request-signing;
kb.help.usepylon.com 6080966819; desk.zoho.com/support/WebhookDocument.do;
dev.frontapp.com/docs/application-webhooks; developer.helpscout.com/webhooks; Salesforce "Outbound Messaging".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.cli import Misuse

if TYPE_CHECKING:
    from collections.abc import Callable

    Sender = Callable[[str, bytes, float, str], dict[str, str]]


JSON: Final = "application/json"


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


def shown(secret: str, _body: bytes, _now_s: float, _delivery_id: str) -> dict[str, str]:
    """Senders that sign nothing and can set a header of our choice."""
    return {"content-type": "application/json", "x-webhook-secret": secret}


def zammad(secret: str, body: bytes, _now_s: float, delivery_id: str) -> dict[str, str]:
    """Sign as Zammad: sha1=hex(HMAC-SHA1(token as text, body))."""
    return {
        "content-type": "application/json; charset=utf-8",
        "user-agent": "Zammad User Agent",
        "x-zammad-delivery": delivery_id,
        "x-hub-signature": "sha1=" + hmac.digest(secret.encode(), body, hashlib.sha1).hex(),
    }


def chatwoot(secret: str, body: bytes, now_s: float, delivery_id: str) -> dict[str, str]:
    """Sign as Chatwoot: sha256=hex(HMAC-SHA256(secret as text, timestamp.body))."""
    moment = str(int(now_s))
    return {
        "content-type": "application/json",
        "x-chatwoot-delivery": delivery_id,
        "x-chatwoot-timestamp": moment,
        "x-chatwoot-signature": "sha256="
        + hmac.digest(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hex(),
    }


def servicenow(secret: str, body: bytes, now_s: float, delivery_id: str) -> dict[str, str]:
    """Sign as our business rule does with a key; any other secret is shown."""
    send = standard_webhooks if secret.startswith("whsec_") else freshdesk
    return send(secret, body, now_s, delivery_id)


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


def hubspot(secret: str, body: bytes, now_s: float, url: str) -> dict[str, str]:
    """Sign as HubSpot, version 3: base64(HMAC-SHA256(client secret as text, method + URL + body + time in ms))."""
    moment = str(int(now_s * 1000))
    digest = hmac.digest(secret.encode(), f"POST{url}".encode() + body + moment.encode(), hashlib.sha256)
    return {
        "content-type": "application/json",
        "user-agent": "HubSpot Connect 2.0 (http://dev.hubspot.com/) - Webhooks",
        "x-hubspot-request-timestamp": moment,
        "x-hubspot-signature-v3": base64.b64encode(digest).decode(),
    }


def over_body(header: str, prefix: str = "", *, delivery: str = "", algorithm: str = "sha256") -> Sender:
    """
    Sign as many do: hex(HMAC(secret as text, body)) in one header, nothing but the body signed.

    Args:
        prefix: what stands before the digits.
        delivery: the header of the delivery's id, for those who send one.
    """

    def sign(secret: str, body: bytes, _now_s: float, delivery_id: str) -> dict[str, str]:
        digest = hmac.digest(secret.encode(), body, algorithm)
        named = {delivery: delivery_id} if delivery else {}
        return {"content-type": "application/json", header: prefix + digest.hex(), **named}

    return sign


def zoho_desk(secret: str, body: bytes, now_s: float, _delivery_id: str) -> dict[str, str]:
    """Sign as Zoho Desk: an RS256 token that does not cover the body, made with a private key of your own."""
    import jwt

    try:
        events = orjson.loads(body)
        organization = events[0]["orgId"]
    except (ValueError, LookupError, TypeError):
        organization = "0"
    claims = {"iss": f"orgId:{organization}", "aud": "webhookId:0", "iat": int(now_s), "exp": int(now_s) + 300}
    pem = secret if secret.startswith("-----BEGIN") else (generic_key(secret) or b"").decode("latin-1")
    try:
        token = jwt.encode(claims, pem.replace("\\n", "\n"), algorithm="RS256")
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:  # a public key cannot sign
        raise Misuse(
            "Zoho signs with a key that only Zoho has. For a test make a pair of your own: give its private half "
            "(PEM, or base64 of it) as --secret, and set the public half as ZOHO_DESK_WEBHOOK_SECRET."
        ) from error
    return {"content-type": "application/json", "x-zdesk-jwt": token}


def front(secret: str, body: bytes, now_s: float, _delivery_id: str) -> dict[str, str]:
    """Sign as a Front application: base64(HMAC-SHA256(signing key as text, timestamp in ms:body))."""
    moment = str(int(now_s * 1000))
    digest = hmac.digest(secret.encode(), f"{moment}:".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "x-front-request-timestamp": moment,
        "x-front-signature": base64.b64encode(digest).decode(),
    }


def help_scout(secret: str, body: bytes, _now_s: float, _delivery_id: str) -> dict[str, str]:
    """Sign as Help Scout: base64(HMAC-SHA1(secret as text, body)); the event's name comes with the sample."""
    digest = hmac.digest(secret.encode(), body, hashlib.sha1)
    return {"content-type": "application/json", "x-helpscout-signature": base64.b64encode(digest).decode()}


def salesforce(secret: str, _body: bytes, _now_s: float, _delivery_id: str) -> dict[str, str]:
    """Salesforce signs nothing and shows the secret in the URL; a header keeps it out of logs on the way here."""
    return {"content-type": "text/xml; charset=utf-8", "soapaction": '""', "x-webhook-secret": secret}


def _with_attempt(event: dict[str, Any], now_s: float) -> None:
    moment = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event["webhookMetadata"] = {**event.get("webhookMetadata", {}), "webhookDeliveryAttemptTimestamp": moment}


def _with_timestamp(event: dict[str, Any], now_s: float) -> None:
    event["webhookTimestamp"] = int(now_s * 1000)


DATES: Final[dict[str, Callable[[dict[str, Any], float], None]]] = {"plain": _with_attempt, "linear": _with_timestamp}
"""How the senders that sign a time in the body put it there."""


def dated(source: str, body: bytes, now_s: float | None = None) -> bytes:
    """
    Give the body that a source sends at a time; most put the time into a header and leave the body as it is.

    Args:
        now_s: Unix time of the sending; now when None.
    """
    if source not in DATES:
        return body
    event = orjson.loads(body)
    DATES[source](event, time.time() if now_s is None else now_s)
    return orjson.dumps(event)


SENDERS: Final[dict[str, Sender]] = {
    "zendesk": zendesk,
    "freshdesk": freshdesk,
    "freshservice": freshdesk,
    "kustomer": over_body("x-kustomer-webhook-signature"),
    "zammad": zammad,
    "chatwoot": chatwoot,
    "gorgias": shown,
    "osticket": shown,
    "servicenow": servicenow,
    "generic": standard_webhooks,
    "jira_service_management": over_body("x-hub-signature", "sha256=", delivery="x-atlassian-webhook-identifier"),
    "intercom": over_body("x-hub-signature", "sha1=", algorithm="sha1"),
    "hubspot": hubspot,
    "github": over_body("x-hub-signature-256", "sha256=", delivery="x-github-delivery"),
    "linear": over_body("linear-signature", delivery="linear-delivery"),
    "plain": over_body("plain-request-signature"),
    "pylon": over_body("x-pylon-signature"),
    "zoho_desk": zoho_desk,
    "front": front,
    "help_scout": help_scout,
    "salesforce": salesforce,
}


SIGN_THE_URL: Final = ("hubspot",)
"""Senders who sign the address instead of giving a delivery an id."""


def signed(
    source: str,
    secret: str,
    body: bytes,
    *,
    auth: str = "signature",
    delivery_id: str = "",
    now_s: float | None = None,
    url: str = "",
) -> dict[str, str]:
    """
    Give the headers with which a source sends a body, signature included (lower-case names).

    Args:
        auth: of the connection; with `bearer` nothing is signed, the secret is shown.
        delivery_id: the sender's id of the delivery, the same on its retries; a new one when empty.
        now_s: Unix time of the signature; now when None.
        url: the address that is called, for those who sign it.
    Raises:
        Misuse: this release cannot send as that source, or not with that secret.
    """
    if source not in SENDERS:
        raise Misuse(f"This release cannot sign as {source!r}, only as {', '.join(SENDERS)}.")
    if auth == "bearer":
        return {**freshdesk(secret, body, 0, ""), "content-type": "text/xml" if source == "salesforce" else JSON}
    last = url if source in SIGN_THE_URL else delivery_id or f"msg_{secrets.token_hex(12)}"
    return SENDERS[source](secret, body, time.time() if now_s is None else now_s, last)


def new_generic_secret() -> str:
    """Make a secret for a generic connection: `whsec_` and base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
