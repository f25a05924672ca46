"""
What most senders have in common, so that an adapter says only what is special about its vendor.

`Ordinary` takes JSON, gives no id, asks for no handshake and is content with any 2xx. `Shown` is an ordinary sender
that signs nothing: the secret itself travels with each request. That proves who knows the secret and nothing more,
neither what was sent nor when, and whoever reads one request can send any other. So: TLS, 256 random bits, a header
rather than the URL (URLs stand in logs), and rotation when it may have been seen.

Source: facts of the sources §7.16 (schemes without a signature).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.errors import VerificationError
from gateway.sources.reading import identifier, json_payload
from gateway.sources.signing import (
    basic_password,
    bearer,
    check_hmac,
    check_token,
    digest,
    header_token,
    keys,
    query_token,
    refuse_doubles,
    required,
)

if TYPE_CHECKING:
    from gateway.core.change import Json
    from gateway.sources.base import Auth, Connection, Reply, Request
    from gateway.sources.signing import Algorithm, Encoding

SECRET_MIN: Final = 16
FIRST_SECOND_MS: Final = 1_000
SECRET_HEADERS: Final = ("x-webhook-secret", "x-gateway-token")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def weakness(secret: str) -> str | None:
    """Say what is wrong with a secret that is a text: long enough not to be guessed, no white space to be lost."""
    if len(secret) < SECRET_MIN:
        return f"the secret must have at least {SECRET_MIN} characters"
    if any(mark.isspace() for mark in secret):
        return "the secret must not contain white space"
    return None


def check_shown(request: Request, secrets: tuple[str, ...]) -> None:
    """
    Every carrier of a secret that is present shows an accepted one, and at least one is present.

    Wire: `Authorization: Bearer SECRET`, Basic with the secret as password, `X-Webhook-Secret: SECRET`,
        `X-Gateway-Token: SECRET`, `?token=SECRET` (percent-encoded).
    Raises:
        VerificationError: `doubled_header`, `missing_token`, `bad_token`, `no_secret`.
    """
    refuse_doubles(request, SECRET_HEADERS)
    named = [header_token(request, name) for name in SECRET_HEADERS]
    check_token(secrets, (bearer(request), basic_password(request), *named, query_token(request)))


def check_body(
    request: Request,
    connection: Connection,
    header: str,
    *,
    algorithm: Algorithm,
    encoding: Encoding = "hex",
    prefix: str = "",
) -> None:
    """
    A header (lower-case name) is the HMAC over the raw body, keyed with the secret as text; no time is signed.

    Where a connection's `auth` is `bearer`, the secret is shown instead (see `check_shown`).

    Raises:
        VerificationError: `doubled_header`, `missing_signature`, `bad_signature`, `no_secret`; those of `check_shown`.
    """
    if connection.auth == "bearer":
        check_shown(request, connection.secrets)
        return
    refuse_doubles(request, (header,))
    shown = required(request, header, "missing_signature")
    offered = digest(shown, algorithm=algorithm, encoding=encoding, prefix=prefix)
    check_hmac(keys(connection.secrets), request.body, (offered,), algorithm=algorithm)


class Ordinary:
    """Everything but `name`, `signed`, `verify` and `normalize`."""

    methods: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ("application/json",)

    def handshake(self, request: Request, connection: Connection) -> Reply | None:  # noqa: ARG002
        """The sender asks for none."""
        return None

    def check_secret(self, secret: str, auth: Auth) -> str | None:  # noqa: ARG002
        """See `weakness`."""
        return weakness(secret)

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """The sender gives none; the changes of equal bodies are equal, so nothing happens twice."""
        return None

    def parse(self, request: Request) -> Json:
        """Read the body. Raises UnreadablePayload."""
        return json_payload(request.body)

    def acknowledge(self, *, stored: bool) -> Reply | None:  # noqa: ARG002
        """Any 2xx will do."""
        return None


class Shown(Ordinary):
    """A sender that signs nothing: `signature` and `bearer` mean the same."""

    signed = "not: the secret is shown"

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:  # noqa: ARG002
        """
        Take the secret wherever the sender can put it; see `check_shown`.

        Raises:
            VerificationError: `doubled_header`, `missing_token`, `bad_token`, `no_secret`.
        """
        check_shown(request, connection.secrets)


def check_account(connection: Connection, *shown: Json) -> None:
    """
    A body that names its account names the configured one; one that names none is taken.

    Args:
        shown: what the body calls its account, an id and perhaps a name; None and other things say nothing.
    Raises:
        VerificationError: `account_mismatch`.
    """
    named = [found for value in shown if (found := identifier(value))]
    if connection.account_id and named and connection.account_id not in named:
        raise VerificationError("account_mismatch")


def in_first_second(updated_at_ms: int | None, created_at_ms: int | None) -> bool:
    """Say whether a ticket is as it was made: where no event's name tells, so a new one is known."""
    return updated_at_ms is not None and created_at_ms is not None and updated_at_ms - created_at_ms < FIRST_SECOND_MS


def page(connection: Connection, vendor: str, path: str, default: Json = None) -> dict[str, Json]:
    """
    Give the field `url`: a page below the helpdesk's host, empty when no host is known.

    Args:
        vendor: the domain that a bare subdomain belongs to, such as `gorgias.com`; "" for self-hosted software.
        default: the subdomain that the body names, used when none is configured and it is a plain label.
    """
    site = connection.subdomain or (default if isinstance(default, str) and _LABEL.fullmatch(default) else None)
    if not site or not ("." in site or vendor):
        return {}
    return {"url": f"https://{site if '.' in site else f'{site}.{vendor}'}/{path}"}
