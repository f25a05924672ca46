"""
The adapter that Freshdesk and Freshservice share: one dialect of two products.

Source: support.freshdesk.com 132589 (2026-01-29, documented); facts of Freshdesk §1-§4.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.errors import UnreadablePayload
from gateway.sources.freshworks_bodies import normalized
from gateway.sources.near_json import only_ticket_id, repaired
from gateway.sources.reading import json_payload
from gateway.sources.signing import basic_password, bearer, check_token, header_token, query_token, refuse_doubles

if TYPE_CHECKING:
    from gateway.core.change import Json
    from gateway.sources.base import Auth, Connection, Normalized, Reply, Request

SECRET_MIN: Final = 16


@dataclass(slots=True)
class FreshworksSource:
    """
    The adapter of one product; `name` is the only difference.

    Nothing is signed, so the secret itself is shown: `signature` and `bearer` mean the same. Replays cannot be told
    from second events; the changes of equal bodies are equal, so nothing happens twice.
    """

    name: str
    methods: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ("application/json", "text/plain")
    """A rule's own header box may declare a JSON template as text; forms and XML are not read."""

    def handshake(self, request: Request, connection: Connection) -> Reply | None:  # noqa: ARG002
        """Freshworks asks for none."""
        return None

    def check_secret(self, secret: str, auth: Auth) -> str | None:  # noqa: ARG002
        """Long enough not to be guessed, and without white space that a form or a header would lose."""
        if len(secret) < SECRET_MIN:
            return f"the secret must have at least {SECRET_MIN} characters"
        if any(mark.isspace() for mark in secret):
            return "the secret must not contain white space"
        return None

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:  # noqa: ARG002
        """
        Every carrier of a secret that is present shows an accepted one, and at least one is present.

        Wire: `Authorization: Bearer SECRET`, Basic with the secret as password, `X-Webhook-Secret: SECRET`,
            `?token=SECRET` (percent-encoded).
        Raises:
            VerificationError: `doubled_header`, `missing_token`, `bad_token`, `no_secret`.
        """
        refuse_doubles(request, ("x-webhook-secret",))
        carriers = (
            bearer(request),
            basic_password(request),
            header_token(request, "x-webhook-secret"),
            query_token(request),
        )
        check_token(connection.secrets, carriers)

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Freshworks gives none."""
        return None

    def parse(self, request: Request) -> Json:
        """
        Read the body; one that a template broke is repaired, or at least asked for its ticket's id.

        Raises:
            UnreadablePayload: `empty_body`, `not_utf8`, `too_deep`, `not_json`.
        """
        try:
            return json_payload(request.body)
        except UnreadablePayload as error:
            if error.reason != "not_json":
                raise
            return _rescued(request.body.decode("utf-8"), error)

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """See `normalized`."""
        return normalized(payload, connection)

    def acknowledge(self, *, stored: bool) -> Reply | None:  # noqa: ARG002
        """Any 2xx will do."""
        return None


def _rescued(body: str, error: UnreadablePayload) -> Json:
    meant = repaired(body)
    if meant is not None:
        with suppress(UnreadablePayload):
            return json_payload(meant.encode("utf-8"))
    found = only_ticket_id(body)
    if found is None:
        raise error
    return {"ticket_id": found}  # thin: a look-up reads the rest
