"""
Zoho Desk's token: an RS256 JWT that says which organization's webhook sent something, and not what.

The key is configured, the algorithm is fixed, and nothing that the token's header offers (`jku`, `kid`, `x5u`, `jwk`)
is looked at. The keys are those of Zoho's data centre: they sign for *every* customer of it, so only the organization
in `iss` tells whose webhook it is, and `<SOURCE>_ACCOUNT_ID` must say which one is ours.

Source: desk.zoho.com/support/WebhookDocument.do (documented); RFC 7515, 7517, 7519; facts of Zoho Desk §1.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.reading import json_payload, mapping
from gateway.sources.signing import keys, refuse_doubles, required

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from gateway.core.change import Json
    from gateway.sources.base import Connection, Request

HEADER: Final = "x-zdesk-jwt"
TOKEN_MAX: Final = 8192
KEY_BITS_MIN: Final = 2048
KEYS_MAX: Final = 16
CLOCKS_S: Final = 30
"""How far two honest clocks may differ when a token ends."""

_SEGMENTS: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_MS_FROM: Final = 100_000_000_000
_MAX: Final = 10**15


def check_token(request: Request, connection: Connection, now_s: float) -> None:
    """
    The request carries a token of Zoho's, made for our organization, and not yet run out.

    Wire: `X-ZDesk-JWT: <JWT, RS256>`; claims `iss` (`orgId:<id>`), `aud` (`webhookId:<id>`), `iat`, `exp`.
    Raises:
        VerificationError: `no_secret`, `doubled_header`, `missing_signature`, `bad_signature`, `missing_timestamp`,
            `bad_timestamp`, `stale_timestamp`, `account_mismatch`.
    """
    keys(connection.secrets)
    refuse_doubles(request, (HEADER,))
    claims = _claims(required(request, HEADER, "missing_signature"), connection.secrets)
    issued_s, expires_s = _instant_s(claims, "iat"), _instant_s(claims, "exp")
    if issued_s > now_s + connection.tolerance_s or expires_s + CLOCKS_S < now_s:
        raise VerificationError("stale_timestamp")
    organization, _, webhook = (connection.account_id or "").partition("/")
    audience = claims.get("aud")
    if organization and claims.get("iss") != f"orgId:{organization}":
        raise VerificationError("account_mismatch")
    if webhook and f"webhookId:{webhook}" not in (audience if isinstance(audience, list) else [audience]):
        raise VerificationError("account_mismatch")


@lru_cache(maxsize=64)
def public_keys(secret: str) -> tuple[RSAPublicKey, ...]:
    """
    Give the keys that a configured secret holds, none when it holds none that will do.

    Args:
        secret: a PEM, or base64 (one line) of a PEM or of a JWK set as Zoho publishes it.
    """
    if secret.startswith("-----BEGIN"):
        return _from_pem(secret.replace("\\n", "\n").encode())
    try:
        raw = base64.b64decode(secret.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        return ()
    return _from_pem(raw) if raw.startswith(b"-----BEGIN") else _from_set(raw)


def _from_pem(pem: bytes) -> tuple[RSAPublicKey, ...]:
    # Imported late: 60 ms and 10 MB that only Zoho's connections need.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        return _strong(load_pem_public_key(pem))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return ()


def _from_set(raw: bytes) -> tuple[RSAPublicKey, ...]:
    from jwt import InvalidKeyError  # noqa: PLC0415  as above
    from jwt.algorithms import RSAAlgorithm  # noqa: PLC0415

    try:
        listed = mapping(json_payload(raw)).get("keys")
        rows = listed[:KEYS_MAX] if isinstance(listed, list) else []
        found = [RSAAlgorithm.from_jwk(row) for row in rows if isinstance(row, dict) and row.get("kty") == "RSA"]
    except (UnreadablePayload, InvalidKeyError, ValueError, TypeError, AttributeError):
        return ()
    return tuple(key for one in found for key in _strong(one))


def _strong(key: object) -> tuple[RSAPublicKey, ...]:
    """Give the key if it is RSA, public and long enough; a private key has no business here."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415

    return (key,) if isinstance(key, RSAPublicKey) and key.key_size >= KEY_BITS_MIN else ()


def _claims(token: str, secrets: tuple[str, ...]) -> dict[str, Json]:
    """Give what a token says once a configured key has proved it; every key is tried, so that none shows."""
    from jwt import PyJWS  # noqa: PLC0415  as above
    from jwt.exceptions import PyJWTError  # noqa: PLC0415

    accepted = [key for secret in secrets for key in public_keys(secret)]
    if not accepted:
        raise VerificationError("no_secret")
    _strict(token)
    checker = PyJWS(algorithms=["RS256"])
    proved: bytes | None = None
    for key in accepted:
        try:
            proved = checker.decode(token, key=key, algorithms=["RS256"])
        except (PyJWTError, ValueError, TypeError):
            continue
    if proved is None:
        raise VerificationError("bad_signature")
    return _object(proved)


def _strict(token: str) -> None:
    """Refuse what a lenient reader would let through: junk, stray bits, another algorithm, a header of any depth."""
    if len(token) > TOKEN_MAX or not _SEGMENTS.fullmatch(token):
        raise VerificationError("bad_signature")
    header, _, signature = map(_decoded, token.split("."))
    if _object(header).get("alg") != "RS256" or not signature:
        raise VerificationError("bad_signature")


def _decoded(segment: str) -> bytes:
    """Read base64url without padding that encodes back to itself."""
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (ValueError, binascii.Error) as error:
        raise VerificationError("bad_signature") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") != segment:
        raise VerificationError("bad_signature")
    return raw


def _object(raw: bytes) -> dict[str, Json]:
    try:
        found = json_payload(raw)
    except UnreadablePayload as error:
        raise VerificationError("bad_signature") from error
    if not isinstance(found, dict):
        raise VerificationError("bad_signature")
    return found


def _instant_s(claims: dict[str, Json], name: str) -> float:
    """Read a time as Unix seconds; the vendor's page says milliseconds and shows seconds, so its size tells."""
    value = claims.get(name)
    if value is None:
        raise VerificationError("missing_timestamp")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MAX:
        raise VerificationError("bad_timestamp")
    return value / 1000 if value >= _MS_FROM else float(value)
