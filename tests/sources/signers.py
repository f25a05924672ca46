"""
The senders' side of each source: how a helpdesk proves a request. Written after the vendors' pages, not after ours.

Source: developer.zendesk.com "Verifying webhooks"; standard-webhooks.md 1.0.0; Freshdesk 132589 (custom headers).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


class Signer(NamedTuple):
    """
    How a source proves a request.

    proof: the header that holds the signature or the secret.
    needed: every header without which nothing is proved.
    moment: the header of the signed time; None when nothing is dated.
    secrets: four secrets of the source's own form: current, old, taken out, another tenant's. No two sources share one.
    binds: the proof covers the body; always so where a time is signed beside it.
    dates: puts the signed time (Unix s) into a JSON object, where it stands in the body itself.
    phrase: a secret may hold blanks, as an example of the vendor's own does.
    routed: the proof covers the address too; `headers` takes the connection's name behind the time.
    """

    headers: Callable[..., dict[str, str]]
    proof: str
    needed: tuple[str, ...]
    moment: str | None
    secrets: tuple[str, str, str, str]
    binds: bool = False
    dates: Callable[[dict[str, Any], float], None] | None = None
    phrase: bool = False
    routed: bool = False


def base64_hmac(key: bytes, message: bytes) -> str:
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


def zendesk(secret: str, body: bytes, now_s: float) -> dict[str, str]:
    moment = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "x-zendesk-webhook-signature": base64_hmac(secret.encode(), moment.encode() + body),
        "x-zendesk-webhook-signature-timestamp": moment,
    }


def webhook_secret(secret: str, body: bytes, now_s: float) -> dict[str, str]:
    return {"x-webhook-secret": secret}


def standard_webhooks(secret: str, body: bytes, now_s: float) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    moment = str(int(now_s))
    return {
        "webhook-id": "msg_8f1c",
        "webhook-timestamp": moment,
        "webhook-signature": "v1," + base64_hmac(key, b".".join((b"msg_8f1c", moment.encode(), body))),
    }


def chatwoot(secret: str, body: bytes, now_s: float) -> dict[str, str]:
    moment = str(int(now_s))
    digest = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"x-chatwoot-signature": f"sha256={digest}", "x-chatwoot-timestamp": moment}


def front(secret: str, body: bytes, now_s: float) -> dict[str, str]:
    moment = str(int(now_s * 1000))
    return {
        "x-front-signature": base64_hmac(secret.encode(), moment.encode() + b":" + body),
        "x-front-request-timestamp": moment,
    }


def help_scout(secret: str, body: bytes, now_s: float) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha1).digest()
    return {"x-helpscout-signature": base64.b64encode(digest).decode()}


def gateway_token(secret: str, body: bytes, now_s: float) -> dict[str, str]:
    return {"x-gateway-token": secret}


def body_hex(header: str, prefix: str = "", algorithm: str = "sha256") -> Callable[[str, bytes, float], dict[str, str]]:
    return lambda secret, body, now_s: {header: prefix + hmac.new(secret.encode(), body, algorithm).hexdigest()}


def hubspot(secret: str, body: bytes, now_s: float, route: str = "desk") -> dict[str, str]:
    """After HubSpot's page; the suite's connection is called desk."""
    moment = str(int(now_s * 1000))
    signed = f"POSThttps://gateway.example/webhooks/{route}".encode() + body + moment.encode()
    return {
        "host": "gateway.example",
        "x-hubspot-request-timestamp": moment,
        "x-hubspot-signature-v3": base64_hmac(secret.encode(), signed),
    }


def plain_date(event: dict[str, Any], now_s: float) -> None:
    moment = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    event["webhookMetadata"] = {"webhookDeliveryAttemptTimestamp": moment}


def linear_date(event: dict[str, Any], now_s: float) -> None:
    event["webhookTimestamp"] = round(now_s * 1000)


ZOHO_KEYS: Final[dict[str, RSAPrivateKey]] = {}
"""Public half, as the gateway is given it -> the private half, which only Zoho has."""


def zoho_secret(form: str = "pem") -> str:
    private = rsa.generate_private_key(65537, 2048)
    raw = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if form == "set":
        numbers = private.public_key().public_numbers()
        n, e = (base64url(number.to_bytes(size, "big")) for number, size in ((numbers.n, 256), (numbers.e, 3)))
        raw = orjson.dumps({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k1", "n": n, "e": e}]})
    secret = base64.b64encode(raw).decode()
    ZOHO_KEYS[secret] = private
    return secret


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def jwt(private: RSAPrivateKey, claims: dict[str, Any], head: dict[str, Any] | None = None) -> str:
    """A JWT by hand, after RFC 7515, so that it shares nothing with what verifies it."""
    parts = (head or {"typ": "JWT", "alg": "RS256", "kid": "k1"}, claims)
    signed = ".".join(base64url(orjson.dumps(part)) for part in parts)
    return signed + "." + base64url(private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))


def zoho_desk(secret: str, body: bytes, now_s: float) -> dict[str, str]:
    claims = {"iss": "orgId:4711", "aud": "webhookId:9", "iat": int(now_s), "exp": int(now_s) + 600}
    return {"x-zdesk-jwt": jwt(ZOHO_KEYS[secret], claims)}


def _texts(form: Callable[[bytes], str]) -> tuple[str, str, str, str]:
    current, old, gone, foreign = (form(word * 4) for word in (b"heron-01", b"quay--02", b"mill--03", b"gate--04"))
    return current, old, gone, foreign


SIGNERS: Final[Mapping[str, Signer]] = {
    "zendesk": Signer(
        zendesk,
        "x-zendesk-webhook-signature",
        ("x-zendesk-webhook-signature", "x-zendesk-webhook-signature-timestamp"),
        "x-zendesk-webhook-signature-timestamp",
        _texts(lambda raw: base64.b64encode(raw).decode()),
    ),
    "freshdesk": Signer(
        webhook_secret, "x-webhook-secret", ("x-webhook-secret",), None, _texts(lambda raw: raw.decode().upper())
    ),
    "freshservice": Signer(
        webhook_secret, "x-webhook-secret", ("x-webhook-secret",), None, _texts(lambda raw: "Service-" + raw.decode())
    ),
    "jira_service_management": Signer(
        body_hex("x-hub-signature", "sha256="),
        "x-hub-signature",
        ("x-hub-signature",),
        None,
        _texts(lambda raw: "Jira" + raw.hex()),
        binds=True,
        phrase=True,
    ),
    "intercom": Signer(
        body_hex("x-hub-signature", "sha1=", "sha1"),
        "x-hub-signature",
        ("x-hub-signature",),
        None,
        _texts(lambda raw: "Intercom" + raw.hex()),
        binds=True,
    ),
    "hubspot": Signer(
        hubspot,
        "x-hubspot-signature-v3",
        ("x-hubspot-signature-v3", "x-hubspot-request-timestamp", "host"),
        "x-hubspot-request-timestamp",
        _texts(lambda raw: "HubSpot" + raw.hex()),
        routed=True,
    ),
    "kustomer": Signer(
        body_hex("x-kustomer-webhook-signature"),
        "x-kustomer-webhook-signature",
        ("x-kustomer-webhook-signature",),
        None,
        _texts(lambda raw: "Kustomer" + raw.hex()),
        binds=True,
    ),
    "zammad": Signer(
        body_hex("x-hub-signature", "sha1=", "sha1"),
        "x-hub-signature",
        ("x-hub-signature",),
        None,
        _texts(lambda raw: "Zammad" + raw.hex()),
        binds=True,
    ),
    "chatwoot": Signer(
        chatwoot,
        "x-chatwoot-signature",
        ("x-chatwoot-signature", "x-chatwoot-timestamp"),
        "x-chatwoot-timestamp",
        _texts(lambda raw: "Chatwoot" + raw.hex()),
    ),
    "gorgias": Signer(
        gateway_token, "x-gateway-token", ("x-gateway-token",), None, _texts(lambda raw: "Gorgias" + raw.hex())
    ),
    "osticket": Signer(
        webhook_secret, "x-webhook-secret", ("x-webhook-secret",), None, _texts(lambda raw: "OsTicket" + raw.hex())
    ),
    "servicenow": Signer(
        standard_webhooks,
        "webhook-signature",
        ("webhook-signature", "webhook-id", "webhook-timestamp"),
        "webhook-timestamp",
        _texts(lambda raw: "whsec_" + base64.b64encode(raw + b"!").decode()),
    ),
    "front": Signer(
        front,
        "x-front-signature",
        ("x-front-signature", "x-front-request-timestamp"),
        "x-front-request-timestamp",
        _texts(lambda raw: "Front" + raw.hex()),
    ),
    "help_scout": Signer(
        help_scout,
        "x-helpscout-signature",
        ("x-helpscout-signature",),
        None,
        _texts(lambda raw: "HelpScout" + raw.hex()),
        binds=True,
    ),
    "salesforce": Signer(
        webhook_secret, "x-webhook-secret", ("x-webhook-secret",), None, _texts(lambda raw: "Salesforce" + raw.hex())
    ),
    "github": Signer(
        body_hex("x-hub-signature-256", "sha256="),
        "x-hub-signature-256",
        ("x-hub-signature-256",),
        None,
        _texts(lambda raw: "GitHub" + raw.hex()),
        binds=True,
        phrase=True,
    ),
    "linear": Signer(
        body_hex("linear-signature"),
        "linear-signature",
        ("linear-signature",),
        None,
        _texts(lambda raw: "Linear" + raw.hex()),
        binds=True,
        dates=linear_date,
    ),
    "plain": Signer(
        body_hex("plain-request-signature"),
        "plain-request-signature",
        ("plain-request-signature",),
        None,
        _texts(lambda raw: "Plain" + raw.hex()),
        binds=True,
        dates=plain_date,
    ),
    "pylon": Signer(
        body_hex("x-pylon-signature"),
        "x-pylon-signature",
        ("x-pylon-signature",),
        None,
        _texts(lambda raw: "Pylon" + raw.hex()),
        binds=True,
    ),
    "zoho_desk": Signer(
        zoho_desk,
        "x-zdesk-jwt",
        ("x-zdesk-jwt",),
        None,
        (zoho_secret(), zoho_secret("set"), zoho_secret(), zoho_secret()),
    ),
    "generic": Signer(
        standard_webhooks,
        "webhook-signature",
        ("webhook-signature", "webhook-id", "webhook-timestamp"),
        "webhook-timestamp",
        _texts(lambda raw: "whsec_" + base64.b64encode(raw).decode()),
    ),
}


def dated(source: str, body: bytes, now_s: float) -> bytes:
    """What a helpdesk sends at `now_s`: the body as it is, unless the time that is signed stands in it."""
    dates = SIGNERS[source].dates
    try:
        event = orjson.loads(body) if dates else None
    except orjson.JSONDecodeError:
        return body
    if dates is None or not isinstance(event, dict):
        return body
    dates(event, now_s)
    return orjson.dumps(event)


def sign(
    source: str, secret: str, body: bytes, headers: Mapping[str, str], now_s: float, route: str = "desk"
) -> dict[str, str]:
    """What a helpdesk sends: the headers of a request (lower-case names) and its proof of the body at `now_s`."""
    signer = SIGNERS[source]
    where = (route,) if signer.routed else ()
    return {**headers, **signer.headers(secret, body, now_s, *where)}
