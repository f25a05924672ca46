"""
Kustomer: signed envelopes around a whole conversation that names customer, agents and tags by id only.

Wire: `{"id": event, "name": "kustomer.conversation.update", "orgName", "data": {"id": conversation, "attributes",
    "relationships"}, "changes", "createdAt"}`.
Source: developer.kustomer.com docs/events/delivery-and-retries and outbound-webhooks (2026-11, documented); facts of
Kustomer §1, §2 (envelope: public code).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload
from gateway.sources.base import Normalized
from gateway.sources.ordinary import Ordinary, check_account, check_body, page
from gateway.sources.reading import identifier, instant_or_epoch_us, mapping, ms_of, text, ticket_id, word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Connection, Request

SIGNATURE: Final = "x-kustomer-webhook-signature"
EVENT: Final = "kustomer."
CONVERSATION: Final = "kustomer.conversation."
LACKS: Final = ("company", "tags")


class KustomerSource(Ordinary):
    """The adapter; see the module."""

    name = "kustomer"
    signed = "HMAC-SHA256"

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:  # noqa: ARG002
        """
        Prove the signature over the raw body; Kustomer signs no time.

        Wire: `X-Kustomer-Webhook-Signature: hex(HMAC-SHA256(the webhook's token as text, body))`.
        Raises:
            VerificationError: see `check_body`.
        """
        check_body(request, connection, SIGNATURE, algorithm="sha256")

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Give the envelope's signed id, the same over an hour of retries."""
        return identifier(mapping(payload).get("id"))

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn an event of a conversation into its change; the event's name is the one in the signed body.

        Raises:
            UnreadablePayload: `not_an_event`, `no_ticket_id`, `bad_ticket_id`.
            VerificationError: `account_mismatch`.
        """
        event = mapping(payload)
        kind = event.get("name")
        if not isinstance(kind, str) or not kind.startswith(EVENT):
            raise UnreadablePayload("not_an_event", "Expected an event of Kustomer: its name begins with kustomer.")
        check_account(connection, event.get("org"), event.get("orgName"))
        if not kind.startswith(CONVERSATION):
            return Normalized(ignored=f"{kind[:64]} says nothing of a conversation's fields")
        return Normalized((_change(kind.removeprefix(CONVERSATION), event, connection),), lacks=LACKS)


def _change(verb: str, event: Mapping[str, Json], connection: Connection) -> Change:
    data = mapping(event.get("data"))
    if "attributes" not in data and isinstance(data.get("data"), dict):  # one public sample nests it once more
        data = mapping(data["data"])
    shown = mapping(data.get("attributes"))
    ticket = ticket_id(data.get("id") or event.get("dataId"), "data.id")
    gone = verb.startswith("delete") or shown.get("spam") is True
    life: Life = "deleted" if gone else "live" if verb == "create" or shown.get("spam") is False else ""
    event_at_us = moment_us(event.get("createdAt"))
    updated_at_ms = ms_of(moment_us(shown.get("updatedAt") or shown.get("modifiedAt")))
    if updated_at_ms is None:
        updated_at_ms = ms_of(event_at_us)
    fields = {} if gone else fields_of(shown)
    thin = not gone and "status" not in fields  # every conversation has one: this is less than the conversation
    org = page(connection, "kustomerapp.com", f"app/conversations/{ticket}", event.get("orgName"))
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields | org if fields else {},
        refs={} if gone else refs_of(shown, mapping(data.get("relationships"))),
        updated_at_ms=updated_at_ms,
        event_at_us=event_at_us,
        created_at_ms=ms_of(moment_us(shown.get("createdAt"))),
        life=life,
        creation=verb == "create" and not gone,
        complete="status" in fields and "createdAt" in shown,  # `name` may be absent
        thin=thin,
    )


def moment_us(value: Json) -> int | None:
    """Give an instant, Unix microseconds, from ISO 8601 or Unix milliseconds. Wire: `2026-10-22T01:00:43.536Z`."""
    return instant_or_epoch_us(value, 1000)


def fields_of(shown: Mapping[str, Json]) -> dict[str, Json]:
    """Read the attributes; a null is known to be empty, a key that is absent is unknown."""
    fields: dict[str, Json] = {}
    if "name" in shown:
        fields["title"] = text(shown["name"]) or ""
    if status := word(shown.get("status")):
        fields["status"] = status
    if "priority" in shown:  # 1 to 5; which end is urgent is nowhere written, so the number stays
        fields["severity"] = text(shown["priority"]) or ""
    if shown.get("tags") == []:  # else they are ids of tags: their names stay unknown
        fields["tags"] = []
    return fields


def refs_of(shown: Mapping[str, Json], related: Mapping[str, Json]) -> dict[str, str | None]:
    """
    Name the customer twice: for the address, and for the company, which is found through the customer.

    Wire: `"assignedUsers": ["66e4..."]`, `"customer": {"data": {"type": "customer", "id": "62e5..."}}`. A conversation
    may exist before its customer is linked.
    """
    refs: dict[str, str | None] = {}
    if customer := identifier(mapping(mapping(related.get("customer")).get("data")).get("id")):
        refs = {"requester_id": customer, "organization_id": customer}
    users = shown.get("assignedUsers")
    if isinstance(users, list):
        refs["assignee_id"] = next((found for user in users if (found := identifier(user))), None)
    return refs


SOURCE: Final = KustomerSource()
