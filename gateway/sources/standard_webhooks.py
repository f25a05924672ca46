"""
Standard Webhooks 1.0: the signature of systems that can be scripted, read strictly.

The specification's own verifiers raise on hostile headers and take lenient timestamps; this one has a single "no".
Policy for a signature header with junk in it: entries that cannot be read are passed over, a good one counts.

Wire: `webhook-id`, `webhook-timestamp`, `webhook-signature` (or the older `svix-` names, all three of one family).
Source: github.com/standard-webhooks/standard-webhooks spec/standard-webhooks.md 1.0.0 (2026-08-17, documented).
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

from gateway.errors import VerificationError
from gateway.sources.signing import check_age, check_hmac, digest, epoch_s, refuse_doubles, required

if TYPE_CHECKING:
    from gateway.sources.base import Connection, Request

PREFIX: Final = "whsec_"
KEY_BYTES_MIN: Final = 24
ENTRIES_MAX: Final = 16
HEADER_MAX: Final = 4096
_FAMILIES: Final = ("webhook", "svix")
_ID: Final = re.compile(r"[!-\-/-~]{1,256}")
"""Visible ASCII without the dot: a dot could move bytes from the id into the timestamp and back."""


def family(request: Request) -> str:
    """Give the prefix of the header names that the sender uses: `webhook`, or `svix` when only that stands."""
    return next((name for name in _FAMILIES if request.header(f"{name}-signature") is not None), _FAMILIES[0])


def is_signed(request: Request) -> bool:
    """Say whether the request carries a signature, right or wrong."""
    return request.header(f"{family(request)}-signature") is not None


def message_id(request: Request) -> str | None:
    """Give the sender's id of the message, the same on every retry; None when it stands nowhere or is no id."""
    found = request.header(f"{family(request)}-id") or request.header("webhook-id")
    return found if found and _ID.fullmatch(found) else None


def key(secret: str) -> bytes | None:
    """
    Give the HMAC key behind a secret; None when the secret is none.

    Args:
        secret: `whsec_` + base64 of at least 24 bytes; the prefix and the padding may be missing.
    """
    encoded = secret.removeprefix(PREFIX)
    bare = encoded.rstrip("=")
    try:
        decoded = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        return None
    canonical = base64.b64encode(decoded).decode("ascii")
    return decoded if len(decoded) >= KEY_BYTES_MIN and encoded in (canonical, canonical.rstrip("=")) else None


def verify(request: Request, connection: Connection, now_s: float) -> None:
    """
    The body, its id and its time were signed with one of the connection's secrets, at most `tolerance_s` ago or ahead.

    Args:
        now_s: our clock, Unix seconds.
    Raises:
        VerificationError: `no_secret`, `doubled_header`, `missing_signature`, `missing_id`, `bad_id`,
            `missing_timestamp`, `bad_timestamp`, `stale_timestamp`, `bad_signature`.
    """
    names = family(request)
    refuse_doubles(request, [f"{name}-{part}" for name in _FAMILIES for part in ("id", "timestamp", "signature")])
    keys = [found for secret in connection.secrets if (found := key(secret))]
    if not keys or len(keys) != len(connection.secrets):
        raise VerificationError("no_secret")
    shown = required(request, f"{names}-signature", "missing_signature")
    identity = required(request, f"{names}-id", "missing_id")
    if not _ID.fullmatch(identity):
        raise VerificationError("bad_id")
    moment = required(request, f"{names}-timestamp", "missing_timestamp")
    check_age(epoch_s(moment), now_s, connection.tolerance_s)
    check_hmac(keys, f"{identity}.{moment}.".encode("ascii") + request.body, _digests(shown))


def _digests(header: str) -> list[bytes]:
    """Read the `v1` entries among the first 16; other versions and junk are passed over."""
    if len(header) > HEADER_MAX:
        raise VerificationError("bad_signature")
    found = []
    for entry in header.split(" ", ENTRIES_MAX)[:ENTRIES_MAX]:
        try:
            found.append(digest(entry, prefix="v1,"))
        except VerificationError:
            continue
    return found
