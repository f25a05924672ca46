"""
CloudEvents 1.0 over HTTP: the envelope around a ticket, in its three modes, and the handshake before the first one.

An envelope says nothing about tickets and signs nothing. The attributes of binary mode stand in headers, outside the
signature of Standard Webhooks; a sender that wants them protected uses structured mode.

Wire: `application/cloudevents+json` (structured), `application/cloudevents-batch+json` (batch), `ce-*` (binary).
Source: github.com/cloudevents/spec cloudevents/{spec,http-webhook}.md, bindings/http-protocol-binding.md,
formats/json-format.md (2026-07-23, documented).
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from gateway.errors import UnreadablePayload
from gateway.sources.base import Reply
from gateway.sources.reading import json_payload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json
    from gateway.sources.base import Request

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
ATTRIBUTE_MAX: Final = 1024
EVENTS_MAX: Final = 500
_REQUIRED: Final = ("specversion", "id", "source", "type")
_ORIGIN: Final = re.compile(r"[A-Za-z0-9*][A-Za-z0-9.:/*_-]{0,254}")
_RATE: Final = re.compile(r"[1-9][0-9]{0,8}")


class Event(NamedTuple):
    """An envelope opened: its type, its time as written (None when it has none) and its data."""

    type: Json
    time: Json
    data: Json


def media_type(request: Request) -> str:
    """Give the body's media type, lower case, without parameters; "" when the header is absent."""
    return (request.header("content-type") or "").partition(";")[0].strip().lower()


def events(payload: Json, request: Request) -> list[Event] | None:
    """
    Open the CloudEvents of a request, one or many; None when it carries none.

    Raises:
        UnreadablePayload: `bad_cloudevent`, `too_many_items`, and what reading `data_base64` raises.
    """
    kind = media_type(request)
    batch = isinstance(payload, list) and any(isinstance(item, dict) and "specversion" in item for item in payload)
    if kind == BATCH or (kind != STRUCTURED and batch):
        if not isinstance(payload, list):
            raise UnreadablePayload("bad_cloudevent", "A batch of CloudEvents must be a JSON array.")
        if len(payload) > EVENTS_MAX:
            raise UnreadablePayload("too_many_items", f"A batch may hold {EVENTS_MAX} events, not {len(payload)}.")
        return [_structured(item) for item in payload]
    if kind == STRUCTURED or (isinstance(payload, dict) and "specversion" in payload):
        return [_structured(payload)]
    attributes = _attributes(request)
    return [_event(attributes, payload)] if attributes else None


def event_id(payload: Json, request: Request) -> str | None:
    """Give source and id of the event, or a digest over those of a batch, as the sender's delivery id; else None."""
    try:
        headers = _attributes(request)
    except UnreadablePayload:
        return None
    envelope = payload if media_type(request) == STRUCTURED else headers or payload
    rows = payload if isinstance(payload, list) else [envelope]
    pairs = [(row.get("source"), row.get("id")) for row in rows if isinstance(row, dict) and "specversion" in row]
    named = [f"{source} {name}" for source, name in pairs if isinstance(source, str) and isinstance(name, str)]
    if not named or len(named) != len(rows) or not all(source and name for source, name in pairs):
        return None
    if len(named) == 1 and len(named[0]) <= ATTRIBUTE_MAX:
        return named[0]
    return hashlib.blake2b("\n".join(named).encode("utf-8", "replace"), digest_size=16).hexdigest()


def consent(request: Request) -> Reply | None:
    """
    Agree to be sent events by the origin that asks; the same answer for every connection, before any secret is known.

    Wire: `OPTIONS` with `WebHook-Request-Origin`, perhaps `WebHook-Request-Rate` (events a minute).
    Source: cloudevents/http-webhook.md §4 (documented); Azure Event Grid asks so.
    """
    origin = request.header("webhook-request-origin")
    if request.method != "OPTIONS" or not origin or not _ORIGIN.fullmatch(origin):
        return None
    rate = request.header("webhook-request-rate") or ""
    return Reply(
        200,
        headers={
            "WebHook-Allowed-Origin": origin,
            "WebHook-Allowed-Rate": rate if _RATE.fullmatch(rate) else "*",
            "Allow": "POST",
        },
    )


def _structured(envelope: Json) -> Event:
    if not isinstance(envelope, dict):
        raise UnreadablePayload("bad_cloudevent", "A CloudEvent must be a JSON object.")
    if envelope.get("data") is None and isinstance(encoded := envelope.get("data_base64"), str):
        try:
            body = base64.b64decode(encoded, validate=True)
        except ValueError as error:
            raise UnreadablePayload("bad_cloudevent", "data_base64 is no base64.") from error
        return _event(envelope, json_payload(body))
    return _event(envelope, envelope.get("data"))


def _event(attributes: Mapping[str, Json], data: Json) -> Event:
    for name in _REQUIRED:
        if not isinstance(value := attributes.get(name), str) or not value:
            raise UnreadablePayload("bad_cloudevent", f"The CloudEvent lacks its required attribute {name} (a text).")
    if not attributes["specversion"].startswith("1."):
        raise UnreadablePayload("bad_cloudevent", "Only CloudEvents of specversion 1.0 are read.")
    return Event(attributes["type"], attributes.get("time"), data)


def _attributes(request: Request) -> dict[str, str]:
    """Read the `ce-*` headers, percent-decoded once; {} when the request is not in binary mode."""
    found: dict[str, str] = {}
    for header, value in request.headers:
        if not header.startswith("ce-"):
            continue
        if header[3:] in found or len(value) > ATTRIBUTE_MAX:
            raise UnreadablePayload("bad_cloudevent", f"A ce- header stands twice or is over {ATTRIBUTE_MAX} long.")
        try:
            found[header[3:]] = unquote_to_bytes(value.encode("latin-1")).decode("utf-8")
        except UnicodeError as error:
            raise UnreadablePayload("bad_cloudevent", "A ce- header is not percent-encoded UTF-8.") from error
    return found if "specversion" in found or "type" in found else {}
