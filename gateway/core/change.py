"""
A change, its stamp, and the frame it travels in.

A change is what one delivery says of one ticket. A frame is a change as Redis holds it: opaque bytes behind a length
and an arrival, appended to the ticket's value by `store/lua/put.lua` and never parsed there.

    value   := frame*
    frame   := length (u32, big endian, of payload) · arrival_us (u64, big endian) · payload
    payload := version (1 byte) · body
    fresh   (version 1) := header_length (u16, big endian) · header (JSON array) · fields (JSON object)
    joined  (version 2) := JSON object, written by `core.fold.encode_part` (compaction, burial, second sends)

Source: DESIGN §2 "Redis holds changes; Python folds them".
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict."""

Life = Literal["", "live", "deleted", "purged"]
"""What a change says of the ticket's existence; "" says nothing. `purged` is final."""

FIELDS: Final = (
    "title",
    "description",
    "url",
    "tags",
    "type",
    "severity",
    "product",
    "status",
    "timeSpent",
    "email",
    "name",
    "agentEmail",
    "domains",
    "companyExternalId",
    "companyId",
    "custom",
)
"""Planhat's write fields that a change may carry. `sourceId`, `source` and `history` are made by the fold."""

REFS: Final = ("requester_id", "organization_id", "assignee_id")
"""Ids of the helpdesk's own records that look-ups turn into e-mail, company and agent."""

FUTURE_LIMIT_MS: Final = 24 * 3600 * 1000
"""A stamp further ahead of its arrival than this counts as unstamped (DESIGN §2)."""

DIGEST_CHARS: Final = 16

FRESH: Final = 1
JOINED: Final = 2
_FRAME_HEAD: Final = struct.Struct(">IQ")
FRAME_HEAD_BYTES: Final = _FRAME_HEAD.size
_HEADER_LENGTH: Final = struct.Struct(">H")
_FRESH_MARK: Final = bytes((FRESH,))


class Stamp(NamedTuple):
    """
    When something was said, as an order. Later wins; a delete beats an update at a tie; the digest settles the rest.

    stamped: 1 when the source gave a time, 0 when only the arrival counts.
    at_ms: the source's `updated_at` (Unix ms), or the arrival (Unix ms) of an unstamped change.
    tie: the source's event time (Unix µs), or the arrival (Unix µs, unique per destination).
    gone: 1 for a delete.
    digest: 16 hex digits over the change's content.
    """

    stamped: int
    at_ms: int
    tie: int
    gone: int
    digest: str


@dataclass(slots=True)
class Change:
    """
    What one delivery says of one ticket, before its arrival is known. Made by a source adapter or a look-up.

    Nobody changes one; not frozen, because making one is part of the hot path and `frozen` triples its price.

    ticket: Planhat `sourceId`, the connection's prefix included. Never empty.
    connection: the connection that brought it.
    fields: Planhat fields (`FIELDS`) that are known; known-empty values clear (`tags: []`, texts "", others None).
    refs: helpdesk record ids (`REFS`) that look-ups may resolve; known-empty is None.
    updated_at_ms: the source's own time of this state, Unix ms; None when the source gives none that can be trusted.
    event_at_us: the source's time of the event, Unix µs; None when unknown.
    created_at_ms: when the ticket was created, Unix ms; None when unknown.
    life: what this says of the ticket's existence.
    creation: this delivery is about the ticket's creation.
    complete: `fields` and `refs` are a full snapshot of the ticket.
    thin: says only that something changed; a look-up must read the ticket.
    reread: the answer of such a look-up; `event_at_us` is then Redis' time when it was asked for.
    sighting: the status in `fields` is a sighting for the history.
    history: sightings known from elsewhere (a read-back from Planhat), `(at_ms, status)`.
    history_known: nothing older than the sightings can exist in Planhat.
    """

    ticket: str
    connection: str
    fields: Mapping[str, Json] = field(default_factory=dict)
    refs: Mapping[str, str | None] = field(default_factory=dict)
    updated_at_ms: int | None = None
    event_at_us: int | None = None
    created_at_ms: int | None = None
    life: Life = ""
    creation: bool = False
    complete: bool = False
    thin: bool = False
    reread: bool = False
    sighting: bool = True
    history: tuple[tuple[int, str], ...] = ()
    history_known: bool = False

    def encode(self) -> bytes:
        """Give the fresh payload (without length and arrival) of this change."""
        fields = self.fields
        body = orjson.dumps(fields if type(fields) is dict else dict(fields))
        flags = (
            (1 if self.creation else 0)
            | (2 if self.complete else 0)
            | (4 if self.thin else 0)
            | (8 if self.reread else 0)
            | (16 if self.sighting else 0)
            | (32 if self.history_known else 0)
        )
        head: list[Json] = [
            self.connection,
            flags,
            self.life,
            self.updated_at_ms,
            self.event_at_us,
            self.created_at_ms,
            dict(self.refs) or None,
            self.history or None,
        ]
        open_header = orjson.dumps(head)
        digest = hashlib.sha256(open_header + body).hexdigest()[:DIGEST_CHARS]
        header = open_header[:-1] + f',"{digest}"]'.encode("ascii")
        return b"".join((_FRESH_MARK, _HEADER_LENGTH.pack(len(header)), header, body))


class Fresh(NamedTuple):
    """A fresh payload taken apart; `fields` is still encoded JSON, so that a lone change can be spliced."""

    connection: str
    creation: bool
    complete: bool
    thin: bool
    reread: bool
    sighting: bool
    history_known: bool
    life: Life
    updated_at_ms: int | None
    event_at_us: int | None
    created_at_ms: int | None
    refs: dict[str, str | None]
    history: list[list[Json]]
    digest: str
    fields: bytes

    def stamp(self, arrival_us: int) -> Stamp:
        """
        Give the order of this change, its arrival known.

        Args:
            arrival_us: Redis' time of the put, Unix µs, unique per destination.
        """
        gone = 1 if self.life in ("deleted", "purged") else 0
        at_ms = self.updated_at_ms
        if at_ms is None or at_ms > arrival_us // 1000 + FUTURE_LIMIT_MS:
            return Stamp(0, arrival_us // 1000, arrival_us, gone, self.digest)
        return Stamp(1, at_ms, self.event_at_us or 0, gone, self.digest)


class UnknownFrame(Exception):
    """A frame of a version this release cannot read (a rolling deploy): the ticket is left alone."""


def frame(payload: bytes, arrival_us: int) -> bytes:
    """Put length and arrival before a payload. `put.lua` does the same for fresh payloads."""
    return _FRAME_HEAD.pack(len(payload), arrival_us) + payload


def frames(value: bytes) -> Iterator[tuple[int, bytes]]:
    """
    Take a ticket's value apart: `(arrival_us, payload)` in order of arrival.

    Raises:
        UnknownFrame: the value ends inside a frame.
    """
    at = 0
    while at < len(value):
        if len(value) - at < FRAME_HEAD_BYTES:
            raise UnknownFrame("the value ends inside a frame head")
        length, arrival_us = _FRAME_HEAD.unpack_from(value, at)
        at += FRAME_HEAD_BYTES
        if length == 0 or len(value) - at < length:
            raise UnknownFrame("the value ends inside a frame")
        yield arrival_us, value[at : at + length]
        at += length


def decode_fresh(payload: bytes) -> Fresh:
    """
    Read the header of a fresh payload.

    Raises:
        UnknownFrame: another version, or bytes that are no frame.
    """
    if payload[0] != FRESH:
        raise UnknownFrame(f"frame version {payload[0]}")
    try:
        (length,) = _HEADER_LENGTH.unpack_from(payload, 1)
        (connection, flags, life, updated, event, created, refs, history, digest) = orjson.loads(
            payload[3 : 3 + length]
        )
    except (struct.error, ValueError) as error:
        raise UnknownFrame(f"unreadable header: {error}") from error
    return Fresh(
        connection,
        bool(flags & 1),
        bool(flags & 2),
        bool(flags & 4),
        bool(flags & 8),
        bool(flags & 16),
        bool(flags & 32),
        life,
        updated,
        event,
        created,
        refs or {},
        history or [],
        digest,
        payload[3 + length :],
    )
