"""
Front: application webhooks (previews in an envelope) and rule webhooks (whole events), signed under one header name.

Both schemes are tried with every secret, each under its own rules: an application's signature is an HMAC-SHA256 over
time and body and has 44 characters, a rule's an HMAC-SHA1 over the body and has 28. So no request can choose: neither
can be made into the other without a key, and a signature of the first kind never passes without its time.

Wire: `X-Front-Signature`, `X-Front-Request-Timestamp` (ms), `X-Front-Challenge`.
Source: dev.frontapp.com/docs/application-webhooks (2026-10-20), /docs/rule-webhooks (documented); facts of Front
§1, §3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Normalized, Reply
from gateway.sources.front_events import event_changes, event_of
from gateway.sources.ordinary import Ordinary, check_account, check_shown
from gateway.sources.reading import identifier, mapping
from gateway.sources.signing import (
    check_age,
    check_base64_hmac,
    check_hmac,
    digest,
    epoch_ms_s,
    keys,
    refuse_doubles,
    required,
)

if TYPE_CHECKING:
    from gateway.core.change import Json
    from gateway.sources.base import Connection, Request

SIGNATURE: Final = "x-front-signature"
TIMESTAMP: Final = "x-front-request-timestamp"
CHALLENGE: Final = "x-front-challenge"
RULE_CHARS: Final = 28
"""Length of a rule's signature: the base64 of 20 bytes."""

_CHALLENGE: Final = re.compile(r"[\x21-\x7e]{1,256}")


class FrontSource(Ordinary):
    """The adapter; see the module."""

    name = "front"
    signed = "HMAC-SHA256, with a time"

    def handshake(self, request: Request, connection: Connection) -> Reply | None:
        """
        Echo the challenge of a signed `sync`, as plain text; whatever is not proved falls through to `verify`.

        Its age is not looked at: an old one that somebody sends again only gets back what it brought.
        """
        challenge = request.header(CHALLENGE)
        if request.method != "POST" or challenge is None or not _CHALLENGE.fullmatch(challenge):
            return None
        try:
            if connection.secrets:  # `map try` has none and asks only what a request would be
                self._prove(request, connection)
            kind = mapping(self.parse(request)).get("type")
        except (VerificationError, UnreadablePayload):
            return None
        if kind != "sync":
            return None
        headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
        return Reply(200, challenge.encode("ascii"), headers)

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:
        """
        Prove the signature of an application, then its age, or that of a rule, which has none.

        Wire: `X-Front-Signature: base64(HMAC-SHA256(signing key, timestamp + ":" + body))` with
            `X-Front-Request-Timestamp: 1791661341504`, or `X-Front-Signature: base64(HMAC-SHA1(API secret, body))`.
        Raises:
            VerificationError: as `signing` names the reasons; with `auth = "bearer"` those of `check_shown`.
        """
        at_s = self._prove(request, connection)
        if at_s is not None:
            check_age(at_s, now_s, connection.tolerance_s)

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Give the event's id, which is signed."""
        return identifier(event_of(payload).get("id"))

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn an event into changes.

        Raises:
            UnreadablePayload: `not_an_event`, `no_ticket_id`.
            VerificationError: `account_mismatch`, an event of another company.
        """
        if not isinstance(payload, dict):
            raise UnreadablePayload("not_an_event", "Expected an event of Front as a JSON object.")
        check_account(connection, mapping(payload.get("authorization")).get("id"))
        return event_changes(payload, connection)

    def _prove(self, request: Request, connection: Connection) -> float | None:
        """Give the signed time, Unix seconds; None where none is signed."""
        if connection.auth == "bearer":
            check_shown(request, connection.secrets)
            return None
        refuse_doubles(request, (SIGNATURE, TIMESTAMP))
        signature = required(request, SIGNATURE, "missing_signature")
        if len(signature) == RULE_CHARS:
            offered = digest(signature, algorithm="sha1", encoding="base64")
            check_hmac(keys(connection.secrets), request.body, (offered,), algorithm="sha1")
            return None
        timestamp = required(request, TIMESTAMP, "missing_timestamp")
        at_s = epoch_ms_s(timestamp)
        message = timestamp.encode("latin-1") + b":" + request.body
        check_base64_hmac(keys(connection.secrets), message, signature)
        return at_s


SOURCE: Final = FrontSource()
