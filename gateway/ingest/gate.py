"""
What a whole request to one connection means, decided without I/O: an answer, something to write, or something to keep.

The order is fixed: the signature over the raw bytes, then one parse. What is authentic is never lost, so a body that
cannot be read, and a defect of ours while reading it, end in quarantine.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from gateway.errors import UnreadablePayload, VerificationError
from gateway.ingest.problems import JSON_HEADERS, Answer, UnsupportedMedia
from gateway.sources.base import (
    Connection,
    Discreet,
    Normalized,
    Reply,
    Request,
    Source,
    WireRequest,
    deletes,
    wished,
)
from gateway.store.records import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.core.change import Change, Json
    from gateway.ingest.notes import Notes

DEDUPE_BYTES: Final = 16

INTERNAL: Final = "This release could not read the body; it is kept whole and can be replayed after an update."


class Write(NamedTuple):
    """A delivery that is to be written before it is answered."""

    delivery: Delivery
    delivery_id: str | None


class Keep(NamedTuple):
    """An authentic request that cannot be read: to be quarantined, then answered."""

    request: Request
    delivery_id: str | None
    error: UnreadablePayload


class Gate:
    """
    One connection with its adapter and what is looked up once.

    Args:
        notes: where a defect of the adapter is written down.
    """

    def __init__(self, connection: Connection, source: Source, notes: Notes) -> None:
        self.connection = connection
        self.source = source
        self.allow = ("POST", *source.methods)
        self._content_types = frozenset(source.content_types)
        self._notes = notes
        self.ordinary_types = frozenset(
            (kind + end).encode("latin-1")
            for kind in source.content_types
            for end in ("", "; charset=utf-8", "; charset=UTF-8", ";charset=utf-8", ";charset=UTF-8")
        )
        """Content types as they are usually written, for whoever looks before reading them properly."""

    def check_head(self, headers: list[tuple[bytes, bytes]]) -> int:
        """
        Refuse what the headers alone tell; doubled headers are left to the adapter, which answers 401.

        Returns:
            The declared length in bytes, 0 for a chunked body.
        Raises:
            UnsupportedMedia: another content type, or an encoding.
        """
        length = 0
        for name, value in headers:
            if name == b"content-length":
                length = int(value)  # the parser has let digits through only
            elif name == b"content-type":
                media = value.partition(b";")[0].strip().lower().decode("latin-1")
                if media not in self._content_types:
                    raise UnsupportedMedia(media)
            elif name == b"content-encoding" and value.strip().lower() not in (b"identity", b""):
                raise UnsupportedMedia("content-encoding")
        return length

    def decide(self, request: Request, now_s: float) -> Answer | Write | Keep:
        """
        Say what is to be done with a request.

        Args:
            now_s: Unix time, seconds.
        Raises:
            VerificationError: it does not prove where it comes from; nothing of it was read.
        """
        source, connection = self.source, self.connection
        reply = source.handshake(request, connection)
        if reply is not None:
            return answer_of(reply)
        try:
            source.verify(request, connection, now_s)
        except VerificationError:
            raise
        except Exception as error:
            self._notes.defect(connection.name, error)
            raise VerificationError("internal_error") from error
        delivery_id: str | None = None
        try:
            try:
                payload = source.parse(request)
            except UnreadablePayload:
                delivery_id = source.delivery_id(request, None)
                raise
            delivery_id = source.delivery_id(request, payload)
            normalized = understood(source, payload, request, connection)
            payloads = _payloads(normalized.changes)
        except VerificationError:  # a body of another account: authentic for somebody else
            raise
        except UnreadablePayload as error:
            return Keep(request, delivery_id, error)
        except Exception as error:  # noqa: BLE001  an adapter's defect must not lose what is authentic
            self._notes.defect(connection.name, error)
            return Keep(request, delivery_id, UnreadablePayload("internal_error", INTERNAL))
        if payloads:
            return Write(Delivery(dedupe(connection.name, delivery_id, request.body), payloads), delivery_id)
        self._notes.answered(connection.name, "ignored")
        reason = normalized.ignored or "nothing for tickets"
        said = {"status": "ignored", "delivery_id": delivery_id, "reason": reason}
        return self.answer(200, said, stored=True)

    def stored(self, write: Write, outcome: str) -> Answer:
        """
        Give the answer to a delivery that is in Redis.

        Args:
            outcome: `accepted` or `duplicate`, as the store said.
        """
        self._notes.answered(self.connection.name, outcome)
        tickets = dict.fromkeys([ticket for ticket, _ in write.delivery.payloads])
        said = {"status": outcome, "delivery_id": write.delivery_id, "tickets": list(tickets)}
        return self.answer(202 if outcome == "accepted" else 200, said, stored=True)

    def answer(self, status: int, said: dict[str, Any], *, stored: bool) -> Answer:
        """Say something as JSON, or what the sender demands instead: another status, or another body altogether."""
        reply = self.source.acknowledge(stored=stored)
        if reply is not None and reply.body:
            return answer_of(reply)
        return Answer(status if reply is None else reply.status, orjson.dumps(said), JSON_HEADERS)

    def come_back(self, refusal: Answer) -> Answer:
        """Ask the sender to come back in the words that it demands, if any; our status and `Retry-After` stay."""
        try:
            reply = self.source.acknowledge(stored=False)
        except Exception as error:  # noqa: BLE001  an adapter's defect must not take the answer away
            self._notes.defect(self.connection.name, error)
            return refusal
        if reply is None or not reply.body:
            return refusal
        ours = tuple(pair for pair in refusal.headers if pair[0] != b"content-type")
        return Answer(refusal.status, reply.body, ours + answer_of(reply).headers)

    def kept(self, body: bytes) -> bytes:
        """Give what may be kept of a body."""
        return self.source.without_secrets(body) if isinstance(self.source, Discreet) else body


def request_of(method: str, headers: list[tuple[bytes, bytes]], query: bytes, body: bytes) -> Request:
    """Give a request as adapters see it."""
    return WireRequest(method, headers, query.decode("latin-1"), body)


def answer_of(reply: Reply) -> Answer:
    """Give an adapter's reply as an answer; its length is counted, not believed."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in reply.headers.items()
        if name.lower() != "content-length"
    ]
    return Answer(reply.status, reply.body, tuple(headers))


def understood(source: Source, payload: Json, request: Request, connection: Connection) -> Normalized:
    """
    What a parsed body means on this connection: the adapter's reading, the connection's rules and wish about deletions.

    Raises:
        UnreadablePayload, VerificationError: as adapters do.
    """
    if connection.rules is None:
        normalized = source.normalize(payload, request, connection)
    else:
        normalized = connection.rules.normalize(source, payload, request, connection)
    return on_delete(normalized, connection)


def on_delete(normalized: Normalized, connection: Connection) -> Normalized:
    """
    Apply the connection's wish about deletions to what a delivery means.

    `delete` passes them on, `close` turns each into the status `closed`, `ignore` leaves them out.
    """
    if connection.on_delete == "delete" or not any(map(deletes, normalized.changes)):
        return normalized
    wishes = [wished(change, connection.on_delete) for change in normalized.changes]
    changes = tuple(change for change in wishes if change is not None)
    return Normalized(changes, "" if changes else "deletions are ignored on this connection", normalized.lacks)


def dedupe(connection: str, delivery_id: str | None, body: bytes) -> bytes | None:
    """
    Give the key under which a delivery is known again: 16 bytes over connection, sender's id and body.

    A sender without ids is never deduplicated by content: two equal comments are two events.
    """
    if delivery_id is None:
        return None
    known = hashlib.sha256(body)
    known.update(b"%d\0%s\0%s" % (len(body), connection.encode(), delivery_id.encode("utf-8", "surrogatepass")))
    return known.digest()[:DEDUPE_BYTES]


def _payloads(changes: Iterable[Change]) -> tuple[tuple[str, bytes], ...]:
    """Encode changes; one that Redis could not take must fail here, alone, and not in a call shared with others."""
    payloads = tuple([(change.ticket, change.encode()) for change in changes])
    for ticket, _ in payloads:
        if not ticket.encode():
            raise ValueError("a change without a ticket")
    return payloads
