"""
Intercom: signed notifications about tickets and conversations, each with the whole item.

One client secret signs for every workspace of an app: whose event it is, only `app_id` in the body says.

Wire: `{"type": "notification_event", "topic": "ticket.state.updated", "id": "notif_...", "app_id", "created_at": s,
    "data": {"item": {"type": "ticket", "id", ...}}}`.
Source: developers.intercom.com docs/webhooks (webhook-notifications, setting up, webhook model; documented),
github.com/zulip/zulip zerver/webhooks/intercom/fixtures (public code); facts of Intercom §1-§4.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload
from gateway.sources.base import Normalized, Reply
from gateway.sources.intercom_items import conversation_item, item_change, ticket_item
from gateway.sources.ordinary import Ordinary, check_account, check_body
from gateway.sources.reading import epoch_us, identifier, json_payload, mapping, ms_of, ticket_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.core.change import Json
    from gateway.sources.base import Connection, Request
    from gateway.sources.intercom_items import Item

SIGNATURE: Final = "x-hub-signature"
PING: Final = "ping"
PING_MAX: Final = 4096
GONE: Final = ("conversation.deleted", "ticket.deleted")
CREATED: Final = ("ticket.created", "conversation.user.created", "conversation.admin.single.created")
ABOUT: Final = ("ticket.", "conversation.", "conversation_part.")
READ: Final[Mapping[str, Callable[[Mapping[str, Json]], Item]]] = {
    "ticket": ticket_item,
    "conversation": conversation_item,
}
"""Type of an item -> its reader."""

LACKS: Final = ("company",)


class IntercomSource(Ordinary):
    """The adapter; see the module."""

    name = "intercom"
    signed = "HMAC-SHA1"
    methods: tuple[str, ...] = ("HEAD",)

    def handshake(self, request: Request, connection: Connection) -> Reply | None:  # noqa: ARG002
        """
        Answer the probe that Intercom makes when the address is saved, and a ping that came without a signature.

        Neither tells or does anything. A ping that is signed goes the way of all requests, so that it shows at once
        whether the secret is the right one.
        """
        if request.method == "HEAD":
            return Reply(200)
        return Reply(200) if request.header(SIGNATURE) is None and _is_ping(request.body) else None

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:  # noqa: ARG002
        """
        Prove the signature over the raw body; Intercom signs no time.

        SHA-1 is Intercom's choice and never the request's: other senders use the same header with SHA-256.

        Wire: `X-Hub-Signature: sha1=hex(HMAC-SHA1(the app's client secret as text, body))`.
        Raises:
            VerificationError: see `check_body`.
        """
        check_body(request, connection, SIGNATURE, algorithm="sha1", prefix="sha1=")

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Give the notification's signed id, the same when it is sent again."""
        return identifier(mapping(payload).get("id"))

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn a notification about a ticket or a conversation into its change.

        Raises:
            UnreadablePayload: `not_a_notification`, `no_ticket_id`, `bad_ticket_id`.
            VerificationError: `account_mismatch`, a notification of another workspace.
        """
        body = mapping(payload)
        topic = body.get("topic")
        if not isinstance(topic, str) or not topic:
            raise UnreadablePayload(
                "not_a_notification", "Expected a notification of Intercom: a JSON object with topic."
            )
        check_account(connection, body.get("app_id"))
        if not topic.startswith(ABOUT):
            return Normalized(ignored=f"{topic[:64]} is about no ticket and no conversation")
        event_at_us = epoch_us(body.get("created_at"), 1)
        item = mapping(mapping(body.get("data")).get("item"))
        if topic in GONE:
            return Normalized((_gone(item, event_at_us, connection),))
        kind, shown = _found(item, topic)
        change = item_change(
            shown,
            READ[kind](shown),
            connection,
            app=body.get("app_id"),
            event_at_us=event_at_us,
            created=topic in CREATED,
        )
        return Normalized((change,), lacks=LACKS)

    def acknowledge(self, *, stored: bool) -> Reply | None:  # noqa: ARG002
        """Intercom's pages ask for 200, not for any 2xx."""
        return Reply(200)


def _is_ping(body: bytes) -> bool:
    if len(body) <= PING_MAX and b'"ping"' in body:
        with suppress(UnreadablePayload):
            return bool(mapping(json_payload(body)).get("topic") == PING)
    return False


def _found(item: Mapping[str, Json], topic: str) -> tuple[str, Mapping[str, Json]]:
    """Give the ticket or conversation that an item is, or that stands in it beside what was attached."""
    kind = "ticket" if topic.startswith("ticket.") else "conversation"
    shown = item.get("type") or kind
    if isinstance(shown, str) and shown in READ:
        return shown, item
    return kind, mapping(item.get(kind))


def _gone(item: Mapping[str, Json], event_at_us: int | None, connection: Connection) -> Change:
    """Wire: `"item": {"type": "conversation", "conversation_id": "757136429077993"}`."""
    shown = item.get("conversation_id")
    ticket = ticket_id(item.get("id") if shown is None else shown, "data.item.conversation_id")
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        updated_at_ms=ms_of(event_at_us),
        event_at_us=event_at_us,
        life="deleted",
    )


SOURCE: Final = IntercomSource()
