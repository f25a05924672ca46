"""
The senders' side of each source: how a helpdesk proves a request. Written after the vendors' pages, not after ours.

Source: developer.zendesk.com "Verifying webhooks"; standard-webhooks.md 1.0.0; Freshdesk 132589 (custom headers).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Signer(NamedTuple):
    """
    How a source proves a request.

    proof: the header that holds the signature or the secret.
    needed: every header without which nothing is proved.
    moment: the header of the signed time; None when nothing is dated.
    secrets: four secrets of the source's own form: current, old, taken out, another tenant's.
    """

    headers: Callable[[str, bytes, float], dict[str, str]]
    proof: str
    needed: tuple[str, ...]
    moment: str | None
    secrets: tuple[str, str, str, str]


def base64_hmac(key: bytes, message: bytes) -> str:
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


def zendesk(secret: str, body: bytes, now_s: float) -> dict[str, str]:
    moment = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "x-zendesk-webhook-signature": base64_hmac(secret.encode(), moment.encode() + body),
        "x-zendesk-webhook-signature-timestamp": moment,
    }


def freshdesk(secret: str, body: bytes, now_s: float) -> dict[str, str]:
    return {"x-webhook-secret": secret}


def standard_webhooks(secret: str, body: bytes, now_s: float) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    moment = str(int(now_s))
    return {
        "webhook-id": "msg_8f1c",
        "webhook-timestamp": moment,
        "webhook-signature": "v1," + base64_hmac(key, b".".join((b"msg_8f1c", moment.encode(), body))),
    }


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
        freshdesk, "x-webhook-secret", ("x-webhook-secret",), None, _texts(lambda raw: raw.decode().upper())
    ),
    "generic": Signer(
        standard_webhooks,
        "webhook-signature",
        ("webhook-signature", "webhook-id", "webhook-timestamp"),
        "webhook-timestamp",
        _texts(lambda raw: "whsec_" + base64.b64encode(raw).decode()),
    ),
}


def sign(source: str, secret: str, body: bytes, headers: Mapping[str, str], now_s: float) -> dict[str, str]:
    """What a helpdesk sends: the headers of a request (lower-case names) and its proof of the body at `now_s`."""
    return {**headers, **SIGNERS[source].headers(secret, body, now_s)}
