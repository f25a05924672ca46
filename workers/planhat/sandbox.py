"""
The double of Planhat's ticket API: a Starlette app that stores tickets in memory and misbehaves on request.

It shares no code with the rest of the project, so that the client and its double cannot be wrong the same way. It runs
in process (`httpx.ASGITransport`) and as a server (`python -m workers sandbox --token T`). What Planhat's pages leave
open is a switch here; README.md beside this file lists them.

Longer than 400 lines because one call's way (arrival, fault, token, quota, write, answer, log) is one story, told in
one place. What a ticket is stands in `sandbox_tickets.py`, which fault strikes when in `sandbox_faults.py`.

Source: https://www.planhat.com/developers/api/ pages `ticket`, `bulk-upsert`, `http-response-codes`,
`authentication-limits`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import contextlib
import signal
import socket
import struct
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qsl, unquote

import httpx
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, Route

from workers.planhat.sandbox_faults import FAULTS, Faults
from workers.planhat.sandbox_tickets import HistoryMode, Outcome, Tally, Tickets

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

MAX_ITEMS: Final = 5000
MAX_BODY_BYTES: Final = 32_000_000
WINDOW_S: Final = 60.0
REFUSALS: Final[dict[str, tuple[int, str]]] = {
    "rate_limit": (429, "Too many requests"),
    "unavailable": (503, "Service Unavailable"),
    "error": (500, "Internal Server Error"),
    "unauthorized": (401, "Unauthorized"),
    "forbidden": (403, "Forbidden"),
}


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """
    How a sandbox behaves.

    token: the only token accepted; never empty.
    seed: of every random decision and of the ids.
    quota: calls in any sliding 60 s, above it 429; 0 for no quota.
    faults: rate by fault (`sandbox_faults.FAULTS`), or by `METHOD:NAME` for one method.
    answers: the documented two counts, or every key that generic bulk answers have.
    history: whether a sent history replaces the stored one or is appended.
    unchanged: whether the minimal answer counts an unchanged item as updated or leaves it out.
    entries: error entries carry the item's ids, or are bare texts.
    companies: the tenant's companies (`_id`, `externalId`, `name`, `domains`); None when every company exists.
    poison: gives Planhat's words when an item breaks its whole call (400; 500 when they begin with "500"), else None.
    latency_ms: every write lands, and every answer leaves, this much later.
    late_s, slow_s: the same for the faults `late` and `slow`.
    late_answer_s: how long `late` waits for the caller to give up before it answers after all.
    item_share: the share of items that `partial` and `silent` strike, at least one.
    retry_after_s: sent as `Retry-After` with every 429; None, as documented, sends none.
    ignored_params: list parameters to ignore although they are documented.
    log: a file that gets one JSON line per request and per applied write.
    log_items: keep the items of every PUT in `GET /_sandbox/log`.
    log_max: requests kept in memory.
    now, monotonic: clocks, seconds.
    """

    token: str = field(repr=False)
    seed: int = 1
    quota: int = 200
    faults: Mapping[str, float] = field(default_factory=dict)
    answers: Literal["minimal", "full"] = "minimal"
    history: HistoryMode = "replace"
    unchanged: Literal["counted", "uncounted"] = "counted"
    entries: Literal["keyed", "plain"] = "keyed"
    companies: Sequence[Mapping[str, Any]] | None = None
    poison: Callable[[dict[str, Any]], str | None] | None = None
    latency_ms: int = 0
    late_s: float = 2.0
    slow_s: float = 1.0
    late_answer_s: float = 120.0
    item_share: float = 0.1
    retry_after_s: int | None = None
    ignored_params: frozenset[str] = frozenset()
    log: Path | None = None
    log_items: bool = False
    log_max: int = 100_000
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class Reply:
    """An answer before it is sent."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """One request to the API: the row it leaves in the log, its items (PUT) and its own randomness."""

    row: dict[str, Any]
    chance: random.Random
    fault: str
    items: list[Any] = field(default_factory=list)

    def keys(self) -> set[str]:
        """Give the sourceIds that this call carries."""
        return {key for item in self.items if isinstance(item, dict) and isinstance(key := item.get("sourceId"), str)}


class CallerGone(Exception):
    """The caller closed the connection; there is nobody to answer."""


def _json(status: int, body: object, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps(body), {"content-type": "application/json; charset=utf-8", **(headers or {})})


def _page(status: int, words: str) -> Reply:
    """Answer as something between the caller and Planhat does: with an HTML page."""
    page = f"<html><head><title>{status} {words}</title></head><body><h1>{status} {words}</h1></body></html>"
    return Reply(status, page.encode(), {"content-type": "text/html"})


def _bulk_refusal(words: str, status: int = 400) -> Reply:
    """Refuse a whole bulk call in the documented envelope, without naming an item."""
    return _json(status, {"created": 0, "updated": 0, "createdErrors": [words], "updatedErrors": []})


class Sandbox:
    """One double: its tickets, its quota, its faults and its memory of every call."""

    def __init__(self, config: SandboxConfig) -> None:
        if not config.token:
            raise ValueError("a sandbox needs a token")
        self.config = config
        self._log_file: IO[bytes] | None = config.log.open("ab") if config.log else None
        self._landing: set[asyncio.Task[Reply]] = set()
        self.in_flight_puts = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything; writes that have not landed yet never will. The log file is kept."""
        for task in self._landing:
            task.cancel()
        self._landing = set()
        config = self.config
        self.faults = Faults(config.faults, config.seed)
        self.tickets = Tickets(seed=config.seed, history=config.history, companies=config.companies)
        self.log: deque[dict[str, Any]] = deque(maxlen=config.log_max)
        self.calls = 0
        self.counts: Counter[str] = Counter()
        self.maxima: Counter[str] = Counter()
        self.in_flight_keys: Counter[str] = Counter()
        self.window: deque[float] = deque()
        self.arrivals: deque[float] = deque()

    def change_faults(self, asked: object) -> None:
        """
        Put other fault rates in force; the key `next` holds a list of scripted faults for the next calls.

        Raises:
            ValueError: something in it is unknown or impossible; then nothing changes but the rates before `next`.
        """
        if not isinstance(asked, dict) or not isinstance(script := asked.get("next", []), list):
            raise ValueError("expected an object of rates by fault, in it `next` a list")  # noqa: TRY004
        self.faults.change({name: rate for name, rate in asked.items() if name != "next"})
        self.faults.follow(script)

    def stats(self) -> dict[str, Any]:
        """Count what happened: calls by method and status, faults, items, and the highest values seen."""
        return {
            "calls": self.calls,
            "tickets": len(self.tickets.by_id),
            "puts_in_flight": self.in_flight_puts,
            "writes_to_land": len(self._landing),
            "counts": dict(self.counts),
            "max": dict(self.maxima),
            "unknown_fields": dict(self.tickets.unknown_fields),
        }

    def state(self) -> dict[str, Any]:
        """Everything stored, in write shape."""
        stored = self.tickets.by_id.values()
        return {
            "tickets": {ticket.fields["sourceId"]: ticket.fields for ticket in stored},
            "ids": {ticket.fields["sourceId"]: ticket.id for ticket in stored},
            "deleted": self.tickets.deleted,
            "stats": self.stats(),
        }

    # ------------------------------------------------------------------------------------------------ one call's way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one call of the API from its arrival to its answer, or to the cut of its connection."""
        if scope["type"] != "http":
            return
        call = self._arrive(scope)
        is_put = scope["method"] == "PUT"
        self.in_flight_puts += is_put
        self._highest("puts_in_flight", self.in_flight_puts)
        reply: Reply | None = None
        try:
            reply = await self._answer(call, scope, receive)
            if call.fault == "dropped" or (call.fault == "lost" and call.row["landed"]):
                reply = None
                self.in_flight_puts -= is_put
                is_put = False
                await _cut(receive, reset=call.fault == "dropped")
                return
            # counted before the answer leaves: the next call may arrive before `send` comes back
            self.in_flight_puts -= is_put
            is_put = False
            await Response(reply.body, reply.status, reply.headers)(scope, receive, send)
        except CallerGone:
            call.row["caller_gone"] = True
            reply = None
        except asyncio.CancelledError:
            call.row["caller_gone"] = True
            reply = None
            raise
        finally:
            self.in_flight_puts -= is_put
            self._leave(call, reply)

    def _arrive(self, scope: Scope) -> Call:
        now, mono = self.config.now(), self.config.monotonic()
        self.calls += 1
        method = scope["method"]
        chance = self.faults.chance(self.calls)
        row = {
            "n": self.calls,
            "at_ms": int(now * 1000),
            "mono_s": mono,
            "method": method,
            "path": scope["path"],
            "query": scope["query_string"].decode("latin-1"),
            "items": 0,
            "bytes": 0,
            "status": None,
            "fault": None,
            "landed": False,
            "caller_gone": False,
        }
        self.log.append(row)
        self._slide(self.arrivals, mono)
        self.arrivals.append(mono)
        self._highest("calls_in_60_s", len(self.arrivals))
        return Call(row, chance, self.faults.draw(chance, method))

    def _leave(self, call: Call, reply: Reply | None) -> None:
        row = call.row
        row["status"] = reply.status if reply else None
        row["took_ms"] = round((self.config.monotonic() - row["mono_s"]) * 1000, 3)
        self.counts[f"method:{row['method']}"] += 1
        self.counts[f"status:{row['status'] or 'none'}"] += 1
        self._write([{"kind": "request", **{name: value for name, value in row.items() if name != "pairs"}}])

    async def _answer(self, call: Call, scope: Scope, receive: Receive) -> Reply:
        body = await _read(receive, call.row)
        if refusal := self._refuse(call, scope):
            return refusal
        headers = self._spend()
        if headers is None:
            self.counts["quota_refusals"] += 1
            return self._too_many()
        if call.row["bytes"] > MAX_BODY_BYTES:
            return _json(413, {"error": "request entity too large"}, headers)
        if scope["method"] == "PUT" and scope["path"] == "/tickets" and (bad := self._read_items(call, scope, body)):
            return bad
        wait_s = self.config.latency_ms / 1000
        if call.fault == "gateway_timeout":
            self._struck(call)
            self._start_landing(call, scope, wait_s + self.config.late_s)
            return _page(504, "Gateway Timeout")
        if call.fault in ("late", "slow"):
            self._struck(call)
            wait_s += self.config.late_s if call.fault == "late" else self.config.slow_s
        reply = await self._land_later(call, scope, receive, wait_s) if wait_s else self._land(call, scope)
        if call.fault in ("lost", "garbage", "page") and call.row["landed"]:
            self._struck(call)
            if call.fault == "garbage":
                return Reply(200, b'{"created": 1, "upd', {"content-type": "application/json"})
            if call.fault == "page":
                return _page(200, "Please sign in")
        reply.headers.update(headers)
        return reply

    def _refuse(self, call: Call, scope: Scope) -> Reply | None:
        """Answer a call that a fault or a wrong token stops before anything else looks at it."""
        name = call.fault
        if name in REFUSALS or name in ("html", "redirect", "dropped"):
            self._struck(call)
        if name == "rate_limit":
            return self._too_many()
        if name == "forbidden" and self.config.answers == "full":
            words = "You are not permitted to perform this operation"
            return _json(403, {"created": 0, "updated": 0, "permissionErrors": [words]})
        if name in REFUSALS:
            status, words = REFUSALS[name]
            return _json(status, {"error": words})
        if name == "html":
            return _page(502, "Bad Gateway")
        if name == "redirect":
            return Reply(307, b"", {"location": f"/moved{scope['path']}"})
        if name == "dropped":
            return Reply(500, b"")  # never sent: the connection is reset instead
        return None if self._authorized(scope) else _json(401, {"error": "Unauthorized"})

    def _authorized(self, scope: Scope) -> bool:
        scheme, _, value = _header(scope, b"authorization").partition(" ")
        if scheme.lower() == "basic":
            with contextlib.suppress(binascii.Error, UnicodeDecodeError):
                return base64.b64decode(value, validate=True).decode() == f"{self.config.token}:"
        return scheme.lower() == "bearer" and value == self.config.token

    def _spend(self) -> dict[str, str] | None:
        """Take one call out of the quota and give the headers that say what is left, None when nothing is."""
        quota = self.config.quota
        if not quota:
            return {}
        mono = self.config.monotonic()
        self._slide(self.window, mono)
        if len(self.window) >= quota:
            return None
        self.window.append(mono)
        return {"x-rate-limit-limit": str(quota), "x-rate-limit-remaining": str(quota - len(self.window))}

    def _too_many(self) -> Reply:
        headers = {"x-rate-limit-limit": str(self.config.quota), "x-rate-limit-remaining": "0"}
        if self.config.retry_after_s is not None:
            headers["retry-after"] = str(self.config.retry_after_s)
        return _json(429, {"error": "Too many requests"}, headers)

    def _read_items(self, call: Call, scope: Scope, body: bytes) -> Reply | None:
        if _header(scope, b"content-type").partition(";")[0].strip().lower() != "application/json":
            return _bulk_refusal("the content type must be application/json")
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return _bulk_refusal("the body is not valid JSON")
        if not isinstance(value, (list, dict)):
            return _bulk_refusal("the body must be an array of tickets")
        call.items = value if isinstance(value, list) else [value]
        call.row["items"] = len(call.items)
        self._highest("items", len(call.items))
        if self.config.log_items:
            call.row["pairs"] = [[_text(item, "sourceId"), item] for item in call.items]
        if len(call.items) > MAX_ITEMS:
            return _bulk_refusal(f"a maximum of {MAX_ITEMS} items is allowed per request")
        return None

    # ----------------------------------------------------------------------------------------------------- the write

    async def _land_later(self, call: Call, scope: Scope, receive: Receive, wait_s: float) -> Reply:
        """Let a call take effect after a while, and answer it when its caller is still there."""
        task = self._start_landing(call, scope, wait_s)
        gone = asyncio.create_task(_until_gone(receive))
        try:
            if call.fault == "late":
                await asyncio.wait({gone}, timeout=self.config.late_answer_s)
            if not gone.done():
                await asyncio.wait({gone, task}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done() or task.cancelled():  # cancelled by a reset: nothing was written, nobody needs an answer
                raise CallerGone
            return task.result()
        finally:
            gone.cancel()

    def _start_landing(self, call: Call, scope: Scope, wait_s: float) -> asyncio.Task[Reply]:
        """Let a call take effect after a while, in a task of its own that outlives the caller."""
        keys = call.keys()
        self._overlaps(call, keys)
        self.in_flight_keys.update(keys)

        async def wait_and_land() -> Reply:
            try:
                await asyncio.sleep(wait_s)
                return self._land(call, scope, alone=False)
            finally:
                self.in_flight_keys = self.in_flight_keys - Counter(keys)

        task = asyncio.create_task(wait_and_land())
        self._landing.add(task)
        task.add_done_callback(self._landing.discard)
        return task

    def _overlaps(self, call: Call, keys: set[str]) -> None:
        both = keys & self.in_flight_keys.keys() if self.in_flight_keys else set()
        if both:
            call.row["overlaps"] = sorted(both)
            self.counts["tickets_in_two_flights"] += len(both)

    def _land(self, call: Call, scope: Scope, *, alone: bool = True) -> Reply:
        """Do what a call asks for, now."""
        if alone:
            self._overlaps(call, call.keys())
        call.row["landed"] = True
        at_ms = call.row["landed_at_ms"] = int(self.config.now() * 1000)
        method, path = scope["method"], scope["path"]
        params = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        asked = {name: value for name, value in params.items() if name not in self.config.ignored_params}
        if (method, path) == ("PUT", "/tickets"):
            return self._upsert(call, at_ms)
        if (method, path) == ("GET", "/tickets"):
            return _json(200, self.tickets.page(asked))
        if (method, path) == ("GET", "/leancompanies"):
            return _json(200, self.tickets.lean_companies(asked))
        if method == "DELETE" and path.startswith("/tickets/"):
            return self._delete(call, unquote(path.removeprefix("/tickets/")), at_ms)
        return _json(404, {"error": f"Cannot {method} {path}"})

    def _delete(self, call: Call, ticket_id: str, at_ms: int) -> Reply:
        document = self.tickets.delete(ticket_id, at_ms)
        if document is None:
            return _json(404, {"error": "Not found"})
        self._write([self._applied(call, "delete", ticket_id, document["externalId"])])
        return _json(200, document)

    def _upsert(self, call: Call, at_ms: int) -> Reply:
        if refusal := self._refuse_whole(call):
            return refusal
        struck = self._strike(call)
        tally = Tally()
        applied: list[dict[str, Any]] = []
        for index, item in enumerate(call.items):
            if index in struck:
                tally.outcomes.append(self._skip(item, "dropped" if call.fault == "silent" else "create_error"))
                continue
            outcome = self.tickets.upsert(item, at_ms)
            tally.outcomes.append(outcome)
            if self._log_file and outcome.kind in ("created", "updated", "unchanged"):
                applied.append(self._applied(call, outcome.kind, outcome.id, outcome.source_id, item))
        self._write(applied)
        for outcome in tally.outcomes:
            self.counts[f"items:{outcome.kind}"] += 1
        config = self.config
        body = tally.body(
            full=config.answers == "full",
            keyed=config.entries == "keyed",
            count_unchanged=config.unchanged == "counted",
        )
        return _json(200 if call.fault == "partial_ok" else tally.status(), body)

    def _refuse_whole(self, call: Call) -> Reply | None:
        """Refuse a bulk call that must not be applied in part: a poison item, or one key twice."""
        items = call.items
        for item in items:
            if isinstance(item, dict) and (words := self._poisoned(item)):
                self.counts["poisoned_calls"] += 1
                call.row["fault"] = "poison500" if words.startswith("500") else "poison"
                return _json(500 if words.startswith("500") else 400, {"error": words})
        seen: set[tuple[str, str]] = set()
        twice: list[Outcome] = []
        for item in items:
            for name in ("_id", "sourceId"):
                key = _text(item, name)
                if key and (name, key) in seen:
                    known = name == "_id" or key in self.tickets.by_source
                    kind: Literal["create_error", "update_error"] = "update_error" if known else "create_error"
                    source_id = _text(item, "sourceId")
                    twice.append(Outcome(kind, key if name == "_id" else "", source_id, f"{name} duplicated"))
                    break
                if key:
                    seen.add((name, key))
        if not twice:
            return None
        config = self.config
        body = Tally(twice).body(full=config.answers == "full", keyed=config.entries == "keyed", count_unchanged=True)
        return _json(400, body)

    def _poisoned(self, item: dict[str, Any]) -> str | None:
        if self.config.poison and (words := self.config.poison(item)):
            return words
        if "POISON" not in _text(item, "title"):
            return None
        if self.faults.rule("poison"):
            return "Bad Request"
        return "500 Internal Server Error" if self.faults.rule("poison500") else None

    def _strike(self, call: Call) -> set[int]:
        """Choose the items that `partial`, `partial_ok` or `silent` strike."""
        if call.fault not in ("partial", "partial_ok", "silent") or not call.items:
            return set()
        self._struck(call)
        share = self.config.item_share
        chosen = {index for index in range(len(call.items)) if call.chance.random() < share}
        return chosen or {call.chance.randrange(len(call.items))}

    def _skip(self, item: object, kind: Literal["dropped", "create_error"]) -> Outcome:
        key = _text(item, "sourceId")
        stored = self.tickets.by_source.get(key)
        if kind == "create_error" and stored:
            return Outcome("update_error", stored.id, key, "the ticket could not be saved")
        return Outcome(kind, "", key, "the ticket could not be saved")

    # ------------------------------------------------------------------------------------------------------- records

    def _struck(self, call: Call) -> None:
        """Note that a fault really happened."""
        call.row["fault"] = call.fault
        self.counts[f"fault:{call.fault}"] += 1

    def _applied(
        self, call: Call, op: str, ticket_id: str, key: str, item: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        times = {"at_ms": call.row["landed_at_ms"], "mono_s": self.config.monotonic()}
        return {"kind": "write", "n": call.row["n"], **times, "op": op, "_id": ticket_id, "sourceId": key, "item": item}

    def _write(self, rows: list[dict[str, Any]]) -> None:
        if self._log_file and rows:
            self._log_file.write(b"".join(orjson.dumps(row) + b"\n" for row in rows))
            self._log_file.flush()

    def _highest(self, name: str, value: int) -> None:
        self.maxima[name] = max(self.maxima[name], value)

    @staticmethod
    def _slide(times: deque[float], mono: float) -> None:
        while times and times[0] <= mono - WINDOW_S:
            times.popleft()

    def close(self) -> None:
        """Close the log file and let nothing land any more."""
        for task in self._landing:
            task.cancel()
        if self._log_file:
            self._log_file.close()
            self._log_file = None


# -------------------------------------------------------------------------------------------------------- plain HTTP


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _text(item: object, name: str) -> str:
    value = item.get(name) if isinstance(item, dict) else None
    return value if isinstance(value, str) else ""


async def _read(receive: Receive, row: dict[str, Any]) -> bytes:
    """Read a whole body, keeping no more of it than is allowed; `row["bytes"]` tells its true length."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        part = message.get("body", b"")
        row["bytes"] += len(part)
        if row["bytes"] <= MAX_BODY_BYTES:
            parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cut(receive: Receive, *, reset: bool) -> None:
    """
    End the connection without an answer: the caller sees it closed, or reset by the peer.

    ASGI has no word for this, so the transport is taken from uvicorn's request cycle, whose method `receive` is. In
    process there is no connection, so the error that a client would see is raised at the caller.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        if reset:
            raise httpx.ReadError("[sandbox] connection reset by peer")
        raise httpx.RemoteProtocolError("[sandbox] server disconnected without sending a response")
    if reset:
        linger_none = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_none)
    transport.abort()
    await _until_gone(receive)


def create_sandbox(config: SandboxConfig) -> Starlette:
    """
    Build the double as an app; its `state.sandbox` is the `Sandbox` behind it.

    Raises:
        ValueError: an empty token, an unknown fault or an impossible rate.
    """
    sandbox = Sandbox(config)

    async def state(_: Request) -> Response:
        return Response(orjson.dumps(sandbox.state()), media_type="application/json")

    async def stats(_: Request) -> Response:
        return Response(orjson.dumps(sandbox.stats()), media_type="application/json")

    async def log(_: Request) -> Response:
        return Response(orjson.dumps(list(sandbox.log)), media_type="application/json")

    async def faults(request: Request) -> Response:
        try:
            sandbox.change_faults(orjson.loads(await request.body()))
        except ValueError as error:
            return Response(orjson.dumps({"error": str(error)}), 400, media_type="application/json")
        answer = {"rates": sandbox.faults.rates, "next": list(sandbox.faults.script)}
        return Response(orjson.dumps(answer), media_type="application/json")

    async def reset(_: Request) -> Response:
        sandbox.reset()
        return Response(b"{}", media_type="application/json")

    control = [
        Route("/state", state),
        Route("/stats", stats),
        Route("/log", log),
        Route("/faults", faults, methods=["POST"]),
        Route("/reset", reset, methods=["POST"]),
    ]
    app = Starlette(routes=[Mount("/_sandbox", routes=control), Mount("/", app=sandbox)])
    app.state.sandbox = sandbox
    return app


# ------------------------------------------------------------------------------------------------------ command line


class _Server(uvicorn.Server):
    """Says where it listens as soon as it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            host, port = server.sockets[0].getsockname()[:2]
            sys.stdout.write(f"Planhat sandbox on http://{host}:{port}\n")
            sys.stdout.flush()


def _config(arguments: argparse.Namespace) -> SandboxConfig:
    faults: dict[str, float] = {}
    for pair in arguments.fault:
        name, equals, rate = pair.partition("=")
        faults[name] = float(rate) if equals else 1.0
    companies = orjson.loads(Path(arguments.companies).read_bytes()) if arguments.companies else None
    return SandboxConfig(
        token=arguments.token,
        seed=arguments.seed,
        quota=arguments.quota,
        faults=faults,
        answers=arguments.answers,
        history=arguments.history,
        unchanged=arguments.unchanged,
        entries=arguments.entries,
        companies=companies,
        latency_ms=arguments.latency_ms,
        late_s=arguments.late_s,
        slow_s=arguments.slow_s,
        item_share=arguments.item_share,
        retry_after_s=arguments.retry_after,
        log=Path(arguments.log) if arguments.log else None,
        log_items=arguments.log_items,
    )


FAULT_HELP: Final = "see below; RATE is the share of calls, 0 to 1, without it every call; may be repeated"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="planhat-gateway sandbox",
        description="A double of Planhat's ticket API, in memory.",
        epilog="faults: " + "; ".join(f"{name}: {what}" for name, what in FAULTS.items()),
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--token", default="sandbox-token", help="the token accepted (default sandbox-token)")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME[=RATE]", help=FAULT_HELP)
    parser.add_argument("--seed", type=int, default=1, help="of every random decision (default 1)")
    parser.add_argument("--quota", type=int, default=200, help="calls a minute, 0 for no limit (default 200)")
    parser.add_argument("--answers", choices=("minimal", "full"), default="minimal", help="of PUT (default minimal)")
    parser.add_argument("--history", choices=("replace", "append"), default="replace", help="(default replace)")
    parser.add_argument("--unchanged", choices=("counted", "uncounted"), default="counted", help="(default counted)")
    parser.add_argument("--entries", choices=("keyed", "plain"), default="keyed", help="error entries (default keyed)")
    parser.add_argument("--companies", metavar="FILE", help="JSON array of the companies that exist (default: all)")
    parser.add_argument("--latency-ms", type=int, default=0, help="of every call (default 0)")
    parser.add_argument("--late-s", type=float, default=2.0, help="when a `late` write lands (default 2)")
    parser.add_argument("--slow-s", type=float, default=1.0, help="how slow `slow` is (default 1)")
    parser.add_argument(
        "--item-share", type=float, default=0.1, help="of items struck by partial, silent (default 0.1)"
    )
    parser.add_argument("--retry-after", type=int, metavar="SECONDS", help="send Retry-After with 429 (default: none)")
    parser.add_argument("--log", metavar="FILE", help="append every request and applied write as a JSON line")
    parser.add_argument("--log-items", action="store_true", help="keep the items of every PUT for GET /_sandbox/log")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the sandbox until SIGINT or SIGTERM; prints one line with its URL when it is ready.

    Args:
        argv: the arguments after `sandbox`; the process' own when None.
    Returns:
        0 after a signal, 1 when the address is taken. Bad arguments exit with 2 through argparse.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        app = create_sandbox(_config(arguments))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    for name in (pair for pair in arguments.fault if "=" not in pair):
        sys.stderr.write(f"{name} strikes every call: {name}=0.05 would strike one in twenty.\n")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn raises a signal again once it has stopped: it means 0 here
    server = _Server(
        uvicorn.Config(
            app,
            host=arguments.host,
            port=arguments.port,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
    )
    try:
        server.run()
    except SystemExit:
        return 1
    finally:
        app.state.sandbox.close()
    return 0
