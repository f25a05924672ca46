"""
How a request proves where it comes from: strict readers and constant-time comparisons, shared by the adapters.

Every function takes bytes or header text as it arrived and raises nothing but VerificationError. Readers are strict
because lenient ones have been forged: `base64.b64decode` skips junk, `int` takes Unicode digits, `bytes.fromhex` takes
spaces. An HMAC or a token is compared with *every* configured secret, so that time tells nothing about which one fits.

Reasons raised: `no_secret`, `doubled_header`, `missing_signature`, `bad_signature`, `missing_timestamp`,
`bad_timestamp`, `stale_timestamp`, `missing_host`, `missing_token`, `bad_token`.

Longer than 200 lines because every way to prove a request stands here once; it is no adapter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote_to_bytes

from gateway.errors import VerificationError
from gateway.sources.reading import ordinary_instant_us

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.sources.base import Request

Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["base64", "hex"]

DIGEST_BYTES: Final[dict[Algorithm, int]] = {"sha1": 20, "sha256": 32, "sha512": 64}
ALWAYS_SINGLE: Final = ("content-type", "content-encoding", "authorization")
"""Headers that no honest sender repeats and that two hops could read differently."""

_EPOCH: Final = re.compile(r"[0-9]{1,12}")
_EPOCH_MS: Final = re.compile(r"[0-9]{1,15}")
_HEX: Final = re.compile(r"[0-9a-f]+")
_ISO: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_TOKEN_MAX: Final = 4096


def refuse_doubles(request: Request, names: Iterable[str]) -> None:
    """
    A header that two hops could read differently proves nothing.

    Args:
        names: lower-case header names; `ALWAYS_SINGLE` is checked besides.
    Raises:
        VerificationError: `doubled_header`.
    """
    if request.doubled:
        for name in (*names, *ALWAYS_SINGLE):
            if request.count(name) > 1:
                raise VerificationError("doubled_header")


def required(request: Request, name: str, reason: str) -> str:
    """
    Give a header that must stand exactly once (lower-case name).

    Raises:
        VerificationError: `reason` when it is absent or empty, `doubled_header` when it stands twice.
    """
    if request.doubled and request.count(name) > 1:
        raise VerificationError("doubled_header")
    value = request.header(name)
    if not value:
        raise VerificationError(reason)
    return value


@lru_cache(maxsize=256)
def keys(secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    """
    Give the secrets as HMAC keys: their text in UTF-8, never decoded, never empty.

    Raises:
        VerificationError: `no_secret` when the list or one entry of it is empty or blank (fails closed).
    """
    if not secrets or any(not secret.strip() for secret in secrets):
        raise VerificationError("no_secret")
    return tuple(secret.encode("utf-8", "surrogatepass") for secret in secrets)


def base64_bytes(value: str, length: int) -> bytes:
    """
    Read canonical standard base64 of exactly `length` bytes: padded, no junk, no URL-safe alphabet, no stray bits.

    Raises:
        VerificationError: `bad_signature`.
    """
    if len(value) != 4 * ((length + 2) // 3):
        raise VerificationError("bad_signature")
    return _canonical_base64(value, "bad_signature", length)


def hex_bytes(value: str, length: int) -> bytes:
    """
    Read exactly `length` bytes of lower-case hex.

    Raises:
        VerificationError: `bad_signature`.
    """
    if len(value) != 2 * length or not _HEX.fullmatch(value):
        raise VerificationError("bad_signature")
    return bytes.fromhex(value)


def digest(value: str, *, algorithm: Algorithm = "sha256", encoding: Encoding = "base64", prefix: str = "") -> bytes:
    """
    Read a signature as the vendor writes it; algorithm and encoding come from the adapter, never from the request.

    Args:
        value: the header's text.
        prefix: what must stand before the encoded digest, such as `sha256=`, in exactly this case.
    Raises:
        VerificationError: `bad_signature`.
    """
    if not value.startswith(prefix):
        raise VerificationError("bad_signature")
    read = base64_bytes if encoding == "base64" else hex_bytes
    return read(value[len(prefix) :], DIGEST_BYTES[algorithm])


def check_hmac(
    hmac_keys: Sequence[bytes], message: bytes, digests: Sequence[bytes], *, algorithm: Algorithm = "sha256"
) -> None:
    """
    One of the digests is the HMAC of the message under one of the keys.

    Args:
        hmac_keys: every accepted key, none of them empty (see `keys`).
        message: the signed bytes as the vendor composes them.
        digests: decoded signatures that the request offers (a rotation list may offer several).
    Raises:
        VerificationError: `no_secret`, `bad_signature`.
    """
    check_any_hmac(hmac_keys, (message,), digests, algorithm=algorithm)


def check_any_hmac(
    hmac_keys: Sequence[bytes], messages: Sequence[bytes], digests: Sequence[bytes], *, algorithm: Algorithm = "sha256"
) -> None:
    """
    One of the digests is the HMAC of one of a few messages: where the sender signs what we cannot see exactly.

    Args:
        messages: every way in which the sender may have composed what it signed, such as its spellings of our address.
    Raises:
        VerificationError: `no_secret`, `bad_signature`.
    """
    _refuse_empty(hmac_keys)
    matched = False
    for key in hmac_keys:
        for message in messages:
            expected = _mac(key, message, algorithm)
            for offered in digests:
                matched |= hmac.compare_digest(expected, offered)
    if not matched:
        raise VerificationError("bad_signature")


def check_base64_hmac(hmac_keys: Sequence[bytes], message: bytes, shown: str) -> None:
    """
    A header is, byte for byte, the base64 of the HMAC-SHA256 of the message under one of the keys.

    Stricter than reading it and cheaper: no other spelling of the same bytes passes.

    Raises:
        VerificationError: `no_secret`, `bad_signature`.
    """
    _refuse_empty(hmac_keys)
    offered = shown.encode("latin-1", "replace")
    matched = False
    for key in hmac_keys:
        matched |= hmac.compare_digest(base64.b64encode(_mac(key, message, "sha256")), offered)
    if not matched:
        raise VerificationError("bad_signature")


def _refuse_empty(hmac_keys: Sequence[bytes]) -> None:
    if not hmac_keys or not all(hmac_keys):
        raise VerificationError("no_secret")


def _mac(key: bytes, message: bytes, algorithm: Algorithm) -> bytes:
    """Give the HMAC (RFC 2104) from the states behind the padded key: a third cheaper than a new one each time."""
    inner, outer = _states(key, algorithm)
    inner, outer = inner.copy(), outer.copy()
    inner.update(message)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=256)
def _states(key: bytes, algorithm: Algorithm) -> tuple[hashlib._Hash, hashlib._Hash]:
    block = hashlib.new(algorithm).block_size
    padded = (key if len(key) <= block else hashlib.new(algorithm, key).digest()).ljust(block, b"\0")
    inner, outer = bytes(byte ^ 0x36 for byte in padded), bytes(byte ^ 0x5C for byte in padded)
    return hashlib.new(algorithm, inner), hashlib.new(algorithm, outer)


def epoch_s(value: str) -> int:
    """
    Read Unix seconds: `[0-9]{1,12}`, nothing else.

    Raises:
        VerificationError: `bad_timestamp`.
    """
    if not _EPOCH.fullmatch(value):
        raise VerificationError("bad_timestamp")
    return int(value)


def epoch_ms_s(value: str) -> float:
    """
    Read Unix milliseconds as seconds: `[0-9]{1,15}`, nothing else.

    Raises:
        VerificationError: `bad_timestamp`.
    """
    if not _EPOCH_MS.fullmatch(value):
        raise VerificationError("bad_timestamp")
    return int(value) / 1000


def iso_s(value: str) -> float:
    """
    Read one ISO 8601 form as Unix seconds: `YYYY-MM-DDTHH:MM:SS`, 0-9 fractional digits, `Z` or an offset.

    Raises:
        VerificationError: `bad_timestamp`.
    """
    ordinary_us = ordinary_instant_us(value)
    if ordinary_us is not None:
        return ordinary_us / 1_000_000
    match = _ISO.fullmatch(value)
    if not match:
        raise VerificationError("bad_timestamp")
    moment, fraction, zone = match.groups()
    try:
        at_s = datetime.fromisoformat(moment + zone).timestamp()
    except ValueError as error:
        raise VerificationError("bad_timestamp") from error
    return at_s + float(f"0.{fraction or 0}")


@lru_cache(maxsize=256)
def timestamp_s(value: str) -> float:
    """
    Read a timestamp that a vendor writes as ISO 8601 or as Unix seconds (Zendesk does both).

    Kept, since whatever is signed within one second shows the same one.

    Raises:
        VerificationError: `bad_timestamp`.
    """
    return float(epoch_s(value)) if _EPOCH.fullmatch(value) else iso_s(value)


def check_age(at_s: float, now_s: float, tolerance_s: int) -> None:
    """
    A signed time is at most `tolerance_s` away from now, in either direction, both edges included.

    Args:
        at_s: the signed time, Unix seconds.
        now_s: our clock, Unix seconds.
        tolerance_s: seconds; 0 switches the check off (zendesk.md §10).
    Raises:
        VerificationError: `stale_timestamp`.
    """
    if tolerance_s and abs(now_s - at_s) > tolerance_s:
        raise VerificationError("stale_timestamp")


def bearer(request: Request) -> bytes | None:
    """
    Give the token of `Authorization: Bearer TOKEN`; None when the header is absent or of another scheme.

    Raises:
        VerificationError: `doubled_header`, `bad_token`.
    """
    return _authorization(request, "bearer")


def basic_password(request: Request) -> bytes | None:
    """
    Give the password of `Authorization: Basic base64(user:password)`; None when absent or of another scheme.

    Raises:
        VerificationError: `doubled_header`, `bad_token`.
    """
    encoded = _authorization(request, "basic")
    if encoded is None:
        return None
    pair = _canonical_base64(encoded.decode("latin-1"), "bad_token")
    _, colon, password = pair.partition(b":")
    if not colon:
        raise VerificationError("bad_token")
    return password


def header_token(request: Request, name: str) -> bytes | None:
    """
    Give the raw bytes of a header that carries a secret (lower-case name); None when absent.

    Raises:
        VerificationError: `doubled_header`, `bad_token`.
    """
    if request.count(name) > 1:
        raise VerificationError("doubled_header")
    value = request.header(name)
    return None if value is None else _raw(value)


def query_token(request: Request, name: str = "token") -> bytes | None:
    """
    Give the percent-decoded value of a query parameter; `+` stands for itself. None when absent.

    Raises:
        VerificationError: `doubled_header` when it stands twice, `bad_token`.
    """
    found = [value for part in request.query.split("&") for key, _, value in [part.partition("=")] if key == name]
    if len(found) > 1:
        raise VerificationError("doubled_header")
    return unquote_to_bytes(_raw(found[0])) if found else None


def check_token(secrets: tuple[str, ...], offered: Iterable[bytes | None]) -> None:
    """
    Every offered token is one of the secrets, compared by hash in constant time; at least one is offered.

    Args:
        secrets: every accepted secret as text.
        offered: what `bearer`, `basic_password`, `header_token` and `query_token` gave; None entries are skipped.
    Raises:
        VerificationError: `no_secret`, `missing_token`, `bad_token`.
    """
    accepted = [hashlib.sha256(key).digest() for key in keys(secrets)]
    tokens = [token for token in offered if token is not None]
    if not tokens:
        raise VerificationError("missing_token")
    refused = False
    for token in tokens:
        shown = hashlib.sha256(token).digest()
        matched = False
        for expected in accepted:
            matched |= hmac.compare_digest(expected, shown)
        refused |= not matched
    if refused:
        raise VerificationError("bad_token")


def _authorization(request: Request, scheme: str) -> bytes | None:
    """Give what follows a scheme (compared without regard to case) in the Authorization header."""
    if request.count("authorization") > 1:
        raise VerificationError("doubled_header")
    shown, _, token = (request.header("authorization") or "").partition(" ")
    return _raw(token.strip(" ")) if shown.lower() == scheme else None


def _canonical_base64(value: str, reason: str, length: int | None = None) -> bytes:
    """Decode base64 that encodes back to itself, optionally of one length."""
    try:
        decoded = base64.b64decode(value.encode("ascii"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise VerificationError(reason) from error
    if base64.b64encode(decoded).decode("ascii") != value or length not in (None, len(decoded)):
        raise VerificationError(reason)
    return decoded


def _raw(value: str) -> bytes:
    """Give a header's bytes back (headers are decoded as latin-1); refuse what no header can hold or is too long."""
    if len(value) > _TOKEN_MAX:
        raise VerificationError("bad_token")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise VerificationError("bad_token") from error
