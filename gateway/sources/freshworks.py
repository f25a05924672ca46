"""
The adapter that Freshdesk and Freshservice share: one dialect of two products.

Source: support.freshdesk.com 132589 (2026-01-29, documented); facts of Freshdesk §1-§4.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.errors import UnreadablePayload
from gateway.sources.freshworks_bodies import normalized
from gateway.sources.near_json import only_ticket_id, repaired
from gateway.sources.ordinary import Shown
from gateway.sources.reading import json_payload

if TYPE_CHECKING:
    from gateway.core.change import Json
    from gateway.sources.base import Connection, Normalized, Request


class FreshworksSource(Shown):
    """
    The adapter of one product.

    Nothing is signed, so the secret itself is shown. Replays cannot be told from second events; the changes of equal
    bodies are equal, so nothing happens twice.

    Args:
        name: `freshdesk` or `freshservice`.
    """

    content_types: tuple[str, ...] = ("application/json", "text/plain")
    """A rule's own header box may declare a JSON template as text; forms and XML are not read."""

    def __init__(self, name: str) -> None:
        self.name = name

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


def _rescued(body: str, error: UnreadablePayload) -> Json:
    meant = repaired(body)
    if meant is not None:
        with suppress(UnreadablePayload):
            return json_payload(meant.encode("utf-8"))
    found = only_ticket_id(body)
    if found is None:
        raise error
    return {"ticket_id": found}  # thin: a look-up reads the rest
