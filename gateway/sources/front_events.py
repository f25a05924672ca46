"""
Front's events: what an application's envelope or a rule's whole event says of a conversation.

An application's payload is a preview (id and subject), so it only asks for the conversation to be read; its outer
type and the event's own differ (`conversation_archived`, `archive`). Deleted means moved to the trash; a merge names
the conversations that went away.

Wire: `{"type", "authorization": {"id": company}, "payload": event}`, or the event: `{"id", "type", "emitted_at",
    "conversation", "source", "target"}`.
Source: dev.frontapp.com/docs/application-webhooks, /reference/events (2026-11, documented); facts of Front §2, §4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload
from gateway.sources.base import Normalized
from gateway.sources.front_conversations import (
    DELETED,
    INTERNAL,
    bare_id,
    conversation_fields,
    conversation_id,
    conversation_refs,
    moment_ms,
    moment_us,
    page,
)
from gateway.sources.reading import html_to_text, mapping, ms_of, plain_text, word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Connection

GONE: Final = frozenset(("conversation_deleted", "trash"))
BACK: Final = frozenset(("conversation_restored", "restore"))
LACKS: Final = ("company",)
"""What a whole conversation never tells; a preview is read anew, and the account with it."""


def event_of(payload: Json) -> Mapping[str, Json]:
    """Give the event of a body: what an application's envelope holds, else the body itself."""
    body = mapping(payload)
    return mapping(body["payload"]) if "payload" in body else body


def event_changes(payload: Mapping[str, Json], connection: Connection) -> Normalized:
    """
    Read an event.

    Raises:
        UnreadablePayload: `not_an_event`, `no_ticket_id`.
    """
    event = event_of(payload)
    kinds = {kind for kind in (word(payload.get("type")), word(event.get("type"))) if kind}
    conversation = mapping(event.get("conversation"))
    if not kinds:
        raise UnreadablePayload("not_an_event", "The body has no type: let Front send events of conversations.")
    if not conversation:
        return Normalized(ignored=f"{min(kinds)[:64]} is about no conversation")
    if conversation.get("type") in INTERNAL:
        return Normalized(ignored="a discussion among teammates")
    found = conversation_id(conversation)
    if found is None:
        raise UnreadablePayload("no_ticket_id", "The event's conversation has no id that begins with cnv_.")
    emitted_us = moment_us(event.get("emitted_at"))
    gone = [_gone(one, emitted_us, connection) for one in _merged_away(event) if one != found]
    change = _change(found, kinds, event, emitted_us, connection)
    return Normalized((change, *gone), lacks=() if change.thin else LACKS)


def _change(
    found: str, kinds: set[str], event: Mapping[str, Json], emitted_us: int | None, connection: Connection
) -> Change:
    conversation = mapping(event["conversation"])
    fields = conversation_fields(conversation)
    status = fields.get("status")
    trashed = bool(kinds & GONE) or (status == DELETED and not kinds & BACK)
    if trashed:
        return _gone(found, emitted_us, connection)
    if status == DELETED:  # restored, and shown as it was before
        del fields["status"]
    whole = "status" in fields and "title" in fields
    created_us = moment_us(conversation.get("created_at"))
    first = whole and None not in (created_us, emitted_us) and (emitted_us or 0) <= (created_us or 0)
    if whole:
        fields["url"] = page(found)
        if first and (description := _description(event)):
            fields["description"] = description
    life: Life = "live" if whole or kinds & BACK else ""
    return Change(
        ticket=connection.prefix + found,
        connection=connection.name,
        fields=fields,
        refs=conversation_refs(conversation),
        updated_at_ms=ms_of(emitted_us),
        event_at_us=emitted_us,
        created_at_ms=moment_ms(conversation.get("created_at")),
        life=life,
        creation=first,
        complete=whole and "recipient" in conversation,
        thin=not whole,
    )


def _gone(found: str, emitted_us: int | None, connection: Connection) -> Change:
    return Change(
        ticket=connection.prefix + found,
        connection=connection.name,
        updated_at_ms=ms_of(emitted_us),
        event_at_us=emitted_us,
        life="deleted",
    )


def _merged_away(event: Mapping[str, Json]) -> Iterator[str]:
    """Give the conversations that a merge ended. Wire: `"target": {"_meta": {"type": "deleted_conversation_ids"}}`."""
    target = mapping(event.get("target"))
    data = target.get("data")
    if mapping(target.get("_meta")).get("type") == "deleted_conversation_ids" and isinstance(data, list):
        ids = dict.fromkeys(bare_id(one.get("id") if isinstance(one, dict) else one) for one in data)
        yield from filter(None, ids)


def _description(event: Mapping[str, Json]) -> str | None:
    """Give the text of the message that began the conversation; a comment is a target of another type."""
    target = mapping(event.get("target"))
    message = mapping(target.get("data"))
    if mapping(target.get("_meta")).get("type") != "message":
        return None
    if isinstance(plain := message.get("text"), str) and plain.strip():
        return plain_text(plain)
    markup = message.get("body")
    return html_to_text(markup) if isinstance(markup, str) else None
