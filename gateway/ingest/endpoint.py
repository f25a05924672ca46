"""
The door: one POST becomes one `put`, and is answered when Redis has it.

Two ways lead through it, and both end in the same `Gate.decide` and the same group commit. The wide one is a raw ASGI
application, because a framework's request and response objects cost half of the throughput of this path: it takes every
method, size and shape. The short one (`admit`, `take`) is for the ordinary delivery that our own protocol has read
whole: no scope, no task, no messages (deploy/decisions/0007-the-hot-path.md). Caps stand before anything; nothing
before the signature costs more than a bounded check.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.errors import PayloadTooLarge, StoreUnavailable, UnknownConnection
from gateway.ingest.gate import Gate, Keep, Write, answer_of, dedupe, request_of
from gateway.ingest.notes import Notes
from gateway.ingest.problems import MethodRefused, refusal, respond
from gateway.store.records import Quarantined
from gateway.telemetry import Redaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.ingest.exchange import Exchange
    from gateway.ingest.group_commit import GroupCommit
    from gateway.ingest.problems import Answer, Receive, Scope, Send
    from gateway.ingest.tally import Tally
    from gateway.sources.base import Connection, Source
    from gateway.store.pending import Store

PREFIX: Final = "/webhooks/"
SMALL_BODY_BYTES: Final = 64 * 1024
LARGE_BODIES_BYTES: Final = 64 * 1024 * 1024
DETAIL_MAX: Final = 500

_SECRET_HEADERS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-webhook-secret",
        "x-gateway-token",
        "x-api-key",
        "x-auth-token",
        "x-zdesk-jwt",
    }
)
_UNORDINARY: Final = frozenset({b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"})


class _Gone(Exception):
    """The client left before its request was whole; nobody waits for an answer."""


class Door:
    """
    The ASGI application under `/webhooks/`, with a short way for our own protocol.

    Args:
        connections: every configured source.
        sources: adapters by name.
        commit: writes deliveries, several in one call.
        store: keeps unreadable deliveries.
        tally: counts; its labels are connection names and our own words.
        max_body_bytes: larger bodies are answered 413.
        clock: Unix time, seconds.
        others: destination -> (commit, store), for the connections of other destinations than the first.
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
        others: Mapping[str, tuple[GroupCommit, Store]] | None = None,
    ) -> None:
        self._notes = Notes(tally)
        self._gates = {one.name: Gate(one, sources[one.source], self._notes) for one in connections}
        self._gates_by_path = {(PREFIX + name).encode(): gate for name, gate in self._gates.items()}
        first = (commit, store)
        banks = {name: (others or {}).get(gate.connection.destination, first) for name, gate in self._gates.items()}
        self._commits = {name: bank[0] for name, bank in banks.items()}
        self._stores = {name: bank[1] for name, bank in banks.items()}
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._redact = Redaction(secret for gate in self._gates.values() for secret in gate.connection.secrets)
        self._large_bytes = 0
        self._keeping: set[asyncio.Task[None]] = set()

    # The wide way: any ASGI server, any request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong has its row in `problems`, and none of them is 500."""
        name = scope["path"][len(PREFIX) :].removesuffix("/")
        gate = self._gates.get(name)
        try:
            answer = await self._answer(gate, name, scope, receive)
        except _Gone:
            return
        except asyncio.CancelledError:  # the process stops; swallowed, since this answer is the task's last act
            answer = _refused(gate, StoreUnavailable("away"), close=True)
        except Exception as error:  # noqa: BLE001  the table answers, and the notes keep it
            if gate is None:
                self._notes.unknown(name)
            else:
                self._notes.refused(name, error)
            expects = any(key == b"expect" for key, _ in scope["headers"])
            answer = _refused(gate, error, close=expects)
        await respond(send, answer)

    async def _answer(self, gate: Gate | None, name: str, scope: Scope, receive: Receive) -> Answer:
        if gate is None:
            raise UnknownConnection(name)
        if scope["method"] != "POST":
            return _handshake(gate, scope)
        if gate.check_head(scope["headers"]) > self._max_body_bytes:
            raise PayloadTooLarge
        body = await self._body(receive)
        request = request_of(scope["method"], scope["headers"], scope["query_string"], body)
        decided = gate.decide(request, self._clock())
        if isinstance(decided, Write):
            return gate.stored(decided, await self._commits[name].put(decided.delivery))
        return await self._quarantine(gate, decided) if isinstance(decided, Keep) else decided

    async def _body(self, receive: Receive) -> bytes:
        """
        Read the body, never more than the cap.

        Bodies beyond 64 KiB share a fixed room, so that many senders of large ones cannot fill the memory, nor keep
        out the small bodies that helpdesks send.
        """
        chunks: list[bytes] = []
        size = reserved = 0
        more = True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                chunk = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(chunk)
                if size > self._max_body_bytes:
                    raise PayloadTooLarge
                if size > SMALL_BODY_BYTES:
                    self._large_bytes += size - reserved
                    reserved = size
                    if self._large_bytes > LARGE_BODIES_BYTES:
                        raise StoreUnavailable("busy", "too many large bodies at once")
                chunks.append(chunk)
            return b"".join(chunks)
        finally:
            self._large_bytes -= reserved

    async def _quarantine(self, gate: Gate, keep: Keep) -> Answer:
        name, request, error = gate.connection.name, keep.request, keep.error
        headers = ((key, self._redact(value)) for key, value in request.headers if key not in _SECRET_HEADERS)
        kept = await self._stores[name].quarantine(
            Quarantined(
                connection=name,
                reason=error.reason,
                detail=self._redact(error.detail)[:DETAIL_MAX],
                method=request.method,
                headers=tuple(headers),
                query=self._redact(request.query),
                body=gate.kept(request.body),
                dedupe=dedupe(name, keep.delivery_id, request.body),
            )
        )
        self._notes.quarantined(name, error.reason, kept)
        said = {"status": "quarantined", "delivery_id": keep.delivery_id, "reason": error.reason, "id": kept}
        return gate.answer(202, said, stored=True)

    # The short way: our own protocol, the ordinary delivery

    def admit(self, path: bytes, headers: Mapping[bytes, bytes]) -> Gate | None:
        """
        Give the gate of an ordinary POST, by its head alone: None sends it the wide way, which decides for itself.

        Args:
            path: the request target before "?", as it arrived.
            headers: lower-case names, none of them doubled.
        """
        gate = self._gates_by_path.get(path)
        if gate is None or not headers.keys().isdisjoint(_UNORDINARY):
            return None
        length = int(headers.get(b"content-length", b"0"))  # the parser has let digits through only
        media = headers.get(b"content-type")
        ordinary = length <= SMALL_BODY_BYTES and length <= self._max_body_bytes
        return gate if ordinary and (media is None or media in gate.ordinary_types) else None

    def take(self, exchange: Exchange) -> None:
        """Answer an admitted request that has been read whole, now or when Redis has it; raises nothing."""
        gate = exchange.gate
        try:
            request = request_of("POST", exchange.headers, exchange.query, exchange.body)
            exchange.body = b""  # what waits for Redis shall not hold it, nor keep it in the processor's cache
            decided = gate.decide(request, self._clock())
            if isinstance(decided, Write):
                self._commits[gate.connection.name].submit(decided.delivery, partial(self._stored, exchange, decided))
            elif isinstance(decided, Keep):
                task = asyncio.get_running_loop().create_task(self._keep(exchange, decided))
                self._keeping.add(task)
                task.add_done_callback(self._keeping.discard)
            else:
                exchange.answer(decided)
        except Exception as error:  # noqa: BLE001  the table answers, and the notes keep it
            self._refuse(exchange, error)

    def _stored(self, exchange: Exchange, write: Write, end: str | Exception) -> None:
        if isinstance(end, Exception):
            self._refuse(exchange, end)
            return
        try:
            answer = exchange.gate.stored(write, end)
        except Exception as error:  # noqa: BLE001  as above; neighbours of the same call must not feel it
            self._refuse(exchange, error)
        else:
            exchange.answer(answer)

    async def _keep(self, exchange: Exchange, keep: Keep) -> None:
        try:
            answer = await self._quarantine(exchange.gate, keep)
        except Exception as error:  # noqa: BLE001  as above
            self._refuse(exchange, error)
        else:
            exchange.answer(answer)

    def _refuse(self, exchange: Exchange, error: Exception) -> None:
        self._notes.refused(exchange.gate.connection.name, error)
        exchange.answer(_refused(exchange.gate, error))


def _refused(gate: Gate | None, error: Exception, *, close: bool = False) -> Answer:
    """Give what the table says of an error; who is to come back may demand it in other words."""
    answer = refusal(error, close=close)
    return gate.come_back(answer) if gate and answer.status == 503 else answer


def _handshake(gate: Gate, scope: Scope) -> Answer:
    if scope["method"] in gate.allow:
        request = request_of(scope["method"], scope["headers"], scope["query_string"], b"")
        reply = gate.source.handshake(request, gate.connection)
        if reply is not None:
            return answer_of(reply)
    raise MethodRefused(gate.allow)
