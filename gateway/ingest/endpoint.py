"""
The door: one POST becomes one `put`, and is answered when Redis has it.

A raw ASGI application, because a framework's request and response objects cost half of the throughput of this path.
The order is fixed: caps before anything, then the signature over the raw bytes, then one parse, then one write. Nothing
before the signature costs more than a bounded check, and nothing after it is ever lost: what cannot be read is kept
whole in quarantine.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from gateway.errors import (
    PayloadTooLarge,
    StoreError,
    StoreUnavailable,
    UnknownConnection,
    UnreadablePayload,
    VerificationError,
)
from gateway.ingest.problems import MethodRefused, UnsupportedMedia, answer_headers, problem, refuse, respond
from gateway.sources.base import Connection, Normalized, Reply, Request, Source
from gateway.store.records import Delivery, Quarantined
from gateway.telemetry import Redaction, Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.core.change import Change
    from gateway.ingest.group_commit import GroupCommit
    from gateway.ingest.problems import Receive, Scope, Send
    from gateway.ingest.tally import Tally
    from gateway.store.pending import Store

log = logging.getLogger("gateway.ingest")

PREFIX: Final = "/webhooks/"
SMALL_BODY_BYTES: Final = 64 * 1024
LARGE_BODIES_BYTES: Final = 64 * 1024 * 1024
ANSWERS: Final = "gateway_answers_total"
DETAIL_MAX: Final = 500
CLOSED: Final = "closed"
"""The status that a deleted ticket gets where `on_delete = close`."""

_SECRET_HEADERS: Final = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-webhook-secret", "x-api-key", "x-auth-token"}
)


class _Gone(Exception):
    """The client left before its request was whole; nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class _Gate:
    """One connection with what is looked up once."""

    connection: Connection
    source: Source
    allow: tuple[str, ...]
    content_types: frozenset[str]


class _Answer(NamedTuple):
    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]


class Door:
    """
    The ASGI application under `/webhooks/`.

    Args:
        connections: every configured source.
        sources: adapters by name.
        commit: writes deliveries, several in one call.
        store: keeps unreadable deliveries.
        tally: counts; its labels are connection names and our own words.
        max_body_bytes: larger bodies are answered 413.
        clock: Unix time, seconds.
    """

    def __init__(
        self,
        connections: Iterable[Connection],
        sources: Mapping[str, Source],
        commit: GroupCommit,
        store: Store,
        tally: Tally,
        *,
        max_body_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._gates = {
            one.name: _Gate(
                one,
                sources[one.source],
                ("POST", *sources[one.source].methods),
                frozenset(sources[one.source].content_types),
            )
            for one in connections
        }
        self._commit = commit
        self._store = store
        self._tally = tally
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._throttle = Throttle()
        self._redact = Redaction(secret for gate in self._gates.values() for secret in gate.connection.secrets)
        self._large_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong has its row in `problems`, and none of them is 500."""
        name = scope["path"][len(PREFIX) :].removesuffix("/")
        gate = self._gates.get(name)
        try:
            answer = await self._answer(gate, name, scope, receive)
        except _Gone:
            return
        except asyncio.CancelledError:  # the process stops; swallowed, since this answer is the task's last act
            await refuse(send, StoreUnavailable("away"), close=True)
        except Exception as error:  # noqa: BLE001  the table answers, and `_note` writes it down
            self._note(name, gate, error)
            expects = any(key == b"expect" for key, _ in scope["headers"])
            await refuse(send, error, close=expects)
        else:
            await respond(send, *answer)

    async def _answer(self, gate: _Gate | None, name: str, scope: Scope, receive: Receive) -> _Answer:
        if gate is None:
            raise UnknownConnection(name)
        if scope["method"] != "POST":
            return self._handshake(gate, scope)
        length = _check_head(gate, scope["headers"])
        if length > self._max_body_bytes:
            raise PayloadTooLarge
        body = await self._body(receive)
        request = _request(scope, body)
        connection, source = gate.connection, gate.source
        reply = source.handshake(request, connection)
        if reply is not None:
            return _reply(reply)
        try:
            source.verify(request, connection, self._clock())
        except VerificationError:
            raise
        except Exception as error:
            self._defect(connection.name, error)
            raise VerificationError("internal_error") from error
        return await self._take(gate, request)

    async def _take(self, gate: _Gate, request: Request) -> _Answer:
        """Store an authentic delivery, one way or the other."""
        connection, source = gate.connection, gate.source
        delivery_id: str | None = None
        try:
            try:
                payload = source.parse(request)
            except UnreadablePayload:
                delivery_id = source.delivery_id(request, None)
                raise
            delivery_id = source.delivery_id(request, payload)
            normalized = on_delete(source.normalize(payload, request, connection), connection)
            payloads = _payloads(normalized.changes)
        except VerificationError:  # a body of another account: authentic for somebody else
            raise
        except UnreadablePayload as error:
            return await self._quarantine(gate, request, delivery_id, error)
        except Exception as error:  # noqa: BLE001  an adapter's defect must not lose what is authentic
            self._defect(connection.name, error)
            detail = "This release could not read the body; it is kept whole and can be replayed after an update."
            return await self._quarantine(gate, request, delivery_id, UnreadablePayload("internal_error", detail))
        said: dict[str, Any] = {"status": "ignored", "delivery_id": delivery_id}
        if payloads:
            outcome = await self._commit.put(Delivery(dedupe(connection.name, delivery_id, request.body), payloads))
            said["status"] = outcome
            said["tickets"] = list(dict.fromkeys(ticket for ticket, _ in payloads))
        else:
            outcome = "ignored"
            said["reason"] = normalized.ignored or "nothing for tickets"
        self._tally.add(ANSWERS, connection=connection.name, outcome=outcome)
        return _said(source, 202 if outcome == "accepted" else 200, said, stored=bool(payloads))

    async def _quarantine(
        self, gate: _Gate, request: Request, delivery_id: str | None, error: UnreadablePayload
    ) -> _Answer:
        name = gate.connection.name
        headers = ((key, self._redact(value)) for key, value in request.headers if key not in _SECRET_HEADERS)
        kept = await self._store.quarantine(
            Quarantined(
                connection=name,
                reason=error.reason,
                detail=self._redact(error.detail)[:DETAIL_MAX],
                method=request.method,
                headers=tuple(headers),
                query=self._redact(request.query),
                body=request.body,
                dedupe=dedupe(name, delivery_id, request.body),
            )
        )
        self._tally.add(ANSWERS, connection=name, outcome="quarantined")
        self._write(logging.WARNING, "delivery quarantined", connection=name, reason=error.reason, quarantine_id=kept)
        said = {"status": "quarantined", "delivery_id": delivery_id, "reason": error.reason, "id": kept}
        return _said(gate.source, 202, said, stored=True)

    def _handshake(self, gate: _Gate, scope: Scope) -> _Answer:
        if scope["method"] in gate.allow:
            reply = gate.source.handshake(_request(scope, b""), gate.connection)
            if reply is not None:
                return _reply(reply)
        raise MethodRefused(gate.allow)

    async def _body(self, receive: Receive) -> bytes:
        """
        Read the body, never more than the cap.

        Bodies beyond 64 KiB share a fixed room, so that many senders of large ones cannot fill the memory, nor keep
        out the small bodies that helpdesks send.
        """
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            if len(message["body"]) > self._max_body_bytes:
                raise PayloadTooLarge
            return bytes(message["body"])
        chunks: list[bytes] = []
        size = reserved = 0
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise _Gone
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > self._max_body_bytes:
                    raise PayloadTooLarge
                if size > SMALL_BODY_BYTES:
                    self._large_bytes += size - reserved
                    reserved = size
                    if self._large_bytes > LARGE_BODIES_BYTES:
                        raise StoreUnavailable("busy", "too many large bodies at once")
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
                message = await receive()
        finally:
            self._large_bytes -= reserved

    # What is written down

    def _note(self, name: str, gate: _Gate | None, error: Exception) -> None:
        """Count and log an answer that is not a success; at most a few lines a minute of a kind."""
        if gate is None:
            self._tally.add("gateway_unknown_connection_total")
            self._write(logging.INFO, "request for an unknown connection", kind="unknown", detail=name[:64])
            return
        row = problem(error)
        self._tally.add(ANSWERS, connection=name, outcome=row.word)
        if isinstance(error, VerificationError):
            self._tally.add("gateway_refused_total", connection=name, reason=error.reason)
            self._write(logging.WARNING, "delivery refused", connection=name, reason=error.reason)
        elif isinstance(error, StoreError):
            self._write(
                logging.ERROR, "delivery not stored, sender is asked to come back", connection=name, reason=str(error)
            )
        elif row.status >= 500:
            self._defect(name, error)
        else:
            self._write(logging.INFO, "request refused", connection=name, reason=row.word)

    def _defect(self, name: str, error: Exception) -> None:
        """Log where our own code failed, without the error's text, which may quote the payload."""
        self._tally.add("gateway_adapter_errors_total", connection=name)
        where = " < ".join(
            f"{one.name}:{one.lineno}" for one in reversed(traceback.extract_tb(error.__traceback__)[-6:])
        )
        self._write(logging.ERROR, "defect in our own code", connection=name, kind=type(error).__name__, detail=where)

    def _write(self, level: int, message: str, **fields: Any) -> None:
        passes, left_out = self._throttle.allow(f"{message}|{fields.get('connection', '')}", time.monotonic())
        if left_out:
            fields["suppressed"] = left_out
        if passes:
            log.log(level, message, extra=fields)


def on_delete(normalized: Normalized, connection: Connection) -> Normalized:
    """
    Apply the connection's wish about deletions to what a delivery means.

    `delete` passes them on, `close` turns each into the status `closed`, `ignore` leaves them out.
    """
    if connection.on_delete == "delete" or not any(map(_deletes, normalized.changes)):
        return normalized
    if connection.on_delete == "ignore":
        rest = tuple(change for change in normalized.changes if not _deletes(change))
        return Normalized(rest, "" if rest else "deletions are ignored on this connection")
    return Normalized(tuple(_closed(change) if _deletes(change) else change for change in normalized.changes))


def dedupe(connection: str, delivery_id: str | None, body: bytes) -> bytes | None:
    """
    Give the key under which a delivery is known again: 16 bytes over connection, sender's id and body.

    A sender without ids is never deduplicated by content: two equal comments are two events.
    """
    if delivery_id is None:
        return None
    key = connection.encode() + b"\0" + hashlib.sha256(body).digest() + delivery_id.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(key, digest_size=16).digest()


def _payloads(changes: Iterable[Change]) -> tuple[tuple[str, bytes], ...]:
    """Encode changes; one that Redis could not take must fail here, alone, and not in a call shared with others."""
    payloads = tuple((change.ticket, change.encode()) for change in changes)
    if not all(ticket.encode() for ticket, _ in payloads):
        raise ValueError("a change without a ticket")
    return payloads


def _deletes(change: Change) -> bool:
    return change.life in ("deleted", "purged")


def _closed(change: Change) -> Change:
    return replace(change, life="", fields={**change.fields, "status": CLOSED}, sighting=True, thin=False)


def _check_head(gate: _Gate, headers: list[tuple[bytes, bytes]]) -> int:
    """
    Refuse what the headers alone tell; doubled headers are left to the adapter, which answers 401.

    Returns:
        The declared length in bytes, 0 for a chunked body.
    """
    length = 0
    for name, value in headers:
        if name == b"content-length":
            length = int(value)  # the parser has let digits through only
        elif name == b"content-type":
            media = value.partition(b";")[0].strip().lower().decode("latin-1")
            if media not in gate.content_types:
                raise UnsupportedMedia(media)
        elif name == b"content-encoding" and value.strip().lower() not in (b"identity", b""):
            raise UnsupportedMedia("content-encoding")
    return length


def _request(scope: Scope, body: bytes) -> Request:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    return Request(scope["method"], headers, scope["query_string"].decode("latin-1"), body)


def _reply(reply: Reply) -> _Answer:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in reply.headers.items()
    ]
    if not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", b"%d" % len(reply.body)))
    return _Answer(reply.status, reply.body, headers)


def _said(source: Source, status: int, said: dict[str, Any], *, stored: bool) -> _Answer:
    reply = source.acknowledge(stored=stored)
    if reply is not None:
        return _reply(reply)
    body = orjson.dumps(said)
    return _Answer(status, body, answer_headers(body))
