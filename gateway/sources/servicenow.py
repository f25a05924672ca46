"""
ServiceNow: what a business rule of ours sends about an incident or a case.

There is no webhook product, so the script of the set-up page fixes the body (servicenow_records.py reads it). A secret
that begins with `whsec_` is a key: the script signs with it (Standard Webhooks). Any other secret is a token that the
request shows.

Source: servicenow.com docs c_ScriptingOutboundREST (2026-03-12, documented); facts of ServiceNow §1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.errors import UnreadablePayload
from gateway.sources import standard_webhooks
from gateway.sources.base import Normalized
from gateway.sources.ordinary import Shown, check_shown
from gateway.sources.servicenow_records import record_change
from gateway.sources.signing import keys

if TYPE_CHECKING:
    from gateway.core.change import Json
    from gateway.sources.base import Auth, Connection, Request


class ServiceNowSource(Shown):
    """The adapter; see the module."""

    name = "servicenow"
    signed = "HMAC-SHA256, with a time"

    def check_secret(self, secret: str, auth: Auth) -> str | None:
        """A signing key is base64 of at least 24 bytes, a token at least 16 characters."""
        if auth == "signature" and _signs(secret) and standard_webhooks.key(secret) is None:
            return "the secret must be whsec_ followed by base64 of at least 24 random bytes"
        return super().check_secret(secret, auth)

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:
        """
        Prove the signature with the keys among the secrets, or see one of the tokens among them.

        A key is never taken as a token, so who reads a signed request learns nothing that opens the door.

        Raises:
            VerificationError: see `standard_webhooks.verify` and `check_shown`.
        """
        keys(connection.secrets)  # fails closed on an empty entry
        signing = () if connection.auth == "bearer" else tuple(filter(_signs, connection.secrets))
        tokens = tuple(secret for secret in connection.secrets if secret not in signing)
        if signing and (standard_webhooks.is_signed(request) or not tokens):
            standard_webhooks.verify(request, replace(connection, secrets=signing), now_s)
        else:
            check_shown(request, tokens)

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Give the `webhook-id` that our script signs; a bare token request has none."""
        return standard_webhooks.message_id(request)

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn the script's body into a change.

        Raises:
            UnreadablePayload: `not_a_record`, `no_ticket_id`, `bad_ticket_id`.
        """
        if not isinstance(payload, dict):
            raise UnreadablePayload(
                "not_a_record", "Expected a JSON object with sysId: see the script of the set-up page."
            )
        return Normalized((record_change(payload, connection),))


def _signs(secret: str) -> bool:
    return secret.startswith(standard_webhooks.PREFIX)


SOURCE: Final = ServiceNowSource()
