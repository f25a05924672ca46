"""
Conversations of Chatwoot, and the one message of each that is read.

A conversation's `updated_at` stamps it. Older servers send none: there the last activity does, with the signed time of
sending to settle ties; where nothing is signed either, the arrival counts.

Source: facts of Chatwoot §2, §6; github.com/chatwoot/docs webhook-events.md (22c756c, 2021, public).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.sources.ordinary import page
from gateway.sources.reading import (
    identifier,
    instant_or_epoch_us,
    mail_address,
    mapping,
    ms_of,
    plain_text,
    strings,
    text,
    ticket_id,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json
    from gateway.sources.base import Connection

CREATED: Final = "conversation_created"
INCOMING: Final = ("incoming", 0)
OPENING_MS: Final = 2_000
"""A message this soon after its conversation's first second is the one that opened it."""


def account_of(event: Mapping[str, Json], shown: Mapping[str, Json]) -> Json:
    """Give the account's id: beside a message, inside one, or nowhere."""
    return mapping(event.get("account")).get("id") or shown.get("account_id") or _inside(shown).get("account_id")


def conversation_change(
    shown: Mapping[str, Json],
    description: str | None,
    account: Json,
    sent_us: int | None,
    connection: Connection,
    *,
    creation: bool,
) -> Change:
    """
    Read a conversation.

    Args:
        description: see `opening`; None leaves it as it is.
        account: see `account_of`, for the link.
        sent_us: the signed time of sending, Unix µs; None when nothing was signed.
        creation: the event is the conversation's first.
    Raises:
        UnreadablePayload: `no_ticket_id`, `bad_ticket_id`.
    """
    ticket = ticket_id(shown.get("id"), "the conversation's id")
    updated_at_ms = _ms(shown.get("updated_at"))
    if updated_at_ms is None and sent_us is not None:
        updated_at_ms = _ms(shown.get("timestamp"))
    fields = _fields(shown)
    if description:
        fields["description"] = description
    meta = mapping(shown.get("meta"))
    refs: dict[str, str | None] = {}
    if sender_id := identifier(mapping(meta.get("sender")).get("id")):
        refs["requester_id"] = sender_id
    if "assignee" in meta:
        refs["assignee_id"] = identifier(mapping(meta["assignee"]).get("id"))
    named = identifier(account) or connection.account_id
    link = page(connection, "", f"app/accounts/{named}/conversations/{ticket}") if named else {}
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields | link if "status" in fields else fields,
        refs=refs,
        updated_at_ms=updated_at_ms,
        event_at_us=sent_us,
        created_at_ms=_ms(shown.get("created_at")),
        creation=creation,
        complete={"status", "email"} <= fields.keys(),  # a conversation has no title unless it came by mail
        thin="status" not in fields,
    )


def _fields(shown: Mapping[str, Json]) -> dict[str, Json]:
    """Read a conversation; a null is known to be empty, a key that is absent is unknown."""
    fields: dict[str, Json] = {}
    if title := text(mapping(shown.get("additional_attributes")).get("mail_subject")):
        fields["title"] = title
    labels = strings(shown.get("labels"))
    if labels is not None:
        fields["tags"] = labels
    if "priority" in shown:
        fields["severity"] = word(shown["priority"]) or ""
    if status := word(shown.get("status")):
        fields["status"] = status
    meta = mapping(shown.get("meta"))
    sender, assignee = mapping(meta.get("sender")), mapping(meta.get("assignee"))
    if "email" in sender:  # null for an anonymous visitor, who may leave an address later
        fields["email"] = mail_address(sender["email"]) or ""
    if name := text(sender.get("name")):
        fields["name"] = name
    if "assignee" in meta and not assignee:
        fields["agentEmail"] = ""
    elif "email" in assignee:
        fields["agentEmail"] = mail_address(assignee["email"]) or ""
    return fields


def opening(kind: str, event: Mapping[str, Json], shown: Mapping[str, Json]) -> str | None:
    """
    Give the text of the message that opened the conversation, if this is it: incoming, public, in its first second.

    It comes as an event of its own, and inside the event of the new conversation unless another one was faster.

    Wire: `"message_type": "incoming", "private": false, "created_at": "2026-09-23T01:06:40.000Z"` in a message's event,
    `"created_at": 1790125600` in a conversation, `"messages": [{"message_type": 0, "created_at": 1790125600}]` in one.
    """
    if kind == CREATED:
        event = _inside(shown)
    elif kind != "message_created":
        return None
    content = event.get("content")
    if not isinstance(content, str) or event.get("private") is not False or event.get("message_type") not in INCOMING:
        return None
    at_ms, began_ms = _ms(event.get("created_at")), _ms(shown.get("created_at"))
    if at_ms is None or began_ms is None or not -OPENING_MS < at_ms - began_ms < OPENING_MS:
        return None
    return plain_text(content)


def _inside(shown: Mapping[str, Json]) -> Mapping[str, Json]:
    """Give the message that stands in a conversation, its last one; nothing when there is none."""
    messages = shown.get("messages")
    return mapping(messages[0]) if isinstance(messages, list) and messages else {}


def _ms(value: Json) -> int | None:
    """Give a time as Unix ms: seconds as a number, whole or not (`1789409523.455`), or ISO 8601."""
    return ms_of(instant_or_epoch_us(value, 1))
