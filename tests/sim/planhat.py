"""
A modelled Planhat behind httpx' transport. It shares no code with workers/planhat, neither the wire nor the sandbox.

It does what the facts say a real one may do: drop items silently, refuse a whole call or single items, answer with
counts that leave somebody out, with HTML, with half a JSON, late or never, and let a call that was given up land
seconds later.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from tests.sim.loop import PROCESS

if TYPE_CHECKING:
    from tests.sim.loop import Process
    from tests.sim.world import World

POISON_CALL = "POISON-CALL"
POISON_ITEM = "POISON-ITEM"
POISON_500 = "POISON-500"
PAGE = "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>{}</h1>try again later</body></html>"
HTML = {"content-type": "text/html"}


@dataclass
class Doc:
    """One ticket as Planhat holds it."""

    id: str
    fields: dict[str, Any]
    updated: int = 0


@dataclass
class Flight:
    """One call under way: from its last byte to its answer, or to its landing when nobody waits any more."""

    process: Process | None
    method: str
    tickets: tuple[str, ...]
    began_s: float
    ends_s: float = float("inf")
    paused: bool = False


@dataclass
class Planhat:
    """
    The tenant: documents by sourceId, every call that reached it.

    revoked, away: every call is refused, or nobody answers.
    """

    world: World
    docs: dict[str, Doc] = field(default_factory=dict)
    calls_s: list[float] = field(default_factory=list)
    flights: list[Flight] = field(default_factory=list)
    largest: int = 0
    puts: int = 0
    items: int = 0
    revoked: bool = False
    away: bool = False
    skipped: set[str] = field(default_factory=set)
    _number: int = 0
    _updates: int = 0

    # what the judge hooks in

    def on_write(self, source_id: str, item: dict[str, Any], flight: Flight | None) -> None:
        """A write is about to take effect."""

    def on_delete(self, source_id: str, flight: Flight | None) -> None:
        """A deletion is about to take effect."""

    def on_call(self, flight: Flight, body: bytes) -> None:
        """A call has arrived whole."""

    # effects

    def upsert(self, items: list[dict[str, Any]], flight: Flight | None, skip: str = "") -> dict[str, Any]:
        """Apply a bulk call; give Planhat's own counts."""
        created: list[dict[str, str]] = []
        updated: list[dict[str, str]] = []
        errors: list[dict[str, str]] = []
        same = 0
        for item in items:
            source_id = item.get("sourceId", "")
            if POISON_ITEM in str(item.get("title")):
                errors.append({"sourceId": source_id, "message": f"Validation failed for {source_id}: title"})
                continue
            if not item.get("email"):
                self.world.seen("planhat_dropped_silently")
                self.world.broken(f"{source_id}: sent without an e-mail, which Planhat drops silently (I15)")
                continue
            if source_id == skip and source_id not in self.skipped:
                self.skipped.add(source_id)  # twice could not be told from a Planhat that does not count
                self.world.seen("planhat_skipped_item")
                continue
            self.skipped.discard(source_id)
            doc = self.docs.get(source_id)
            if doc is None:
                if not (item.get("domains") or item.get("companyExternalId") or item.get("companyId")):
                    self.world.broken(f"{source_id}: created without a company")
                    continue
                self._number += 1
                doc = self.docs[source_id] = Doc(f"5f{self._number:06x}", {})
                created.append({"_id": doc.id, "sourceId": source_id})
                self.on_write(source_id, item, flight)
            else:
                self.on_write(source_id, item, flight)
                if all(doc.fields.get(name) == value for name, value in item.items()):
                    same += 1
                    continue
                updated.append({"_id": doc.id, "sourceId": source_id})
            doc.fields.update(item)
            self._updates += 1
            doc.updated = self._updates
        if flight is not None:
            flight.ends_s = min(flight.ends_s, self.world.loop.now_s)
        self.world.active()
        self.world.note(
            "landed", [(one["sourceId"], "created") for one in created] + [one["sourceId"] for one in updated]
        )
        return {
            "created": len(created),
            "createdErrors": [],
            "insertsKeys": created,
            "updated": len(updated),
            "updatedErrors": errors,
            "updatesKeys": updated,
            "nonupdates": same,
        }

    def delete(self, planhat_id: str, flight: Flight | None) -> bool:
        """Remove a document."""
        if flight is not None:
            flight.ends_s = min(flight.ends_s, self.world.loop.now_s)
        self.world.active()
        for source_id, doc in self.docs.items():
            if doc.id == planhat_id:
                self.on_delete(source_id, flight)
                del self.docs[source_id]
                return True
        return False

    def listing(self, query: httpx.QueryParams) -> list[dict[str, Any]]:
        """List documents, those updated last first."""
        docs = sorted(self.docs.items(), key=lambda pair: -pair[1].updated)
        if "email" in query and self.world.chance.random() < 0.7:  # a filter may be ignored
            docs = [pair for pair in docs if pair[1].fields.get("email") == query["email"]]
        start = int(query.get("offset", 0))
        return [
            {
                "_id": doc.id,
                "externalId": source_id,
                "email": doc.fields.get("email"),
                "status": doc.fields.get("status"),
                "history": doc.fields.get("history", []),
                "updateDate": "2027-01-15T08:00:00.000Z",
            }
            for source_id, doc in docs[start : start + int(query.get("limit", 500))]
        ]


class Transport(httpx.AsyncBaseTransport):
    """
    The way to Planhat from one process.

    Args:
        timeout_s, hold_s: what the worker believes; a call that is given up lands at most `hold_s` later.
    """

    def __init__(self, planhat: Planhat, *, timeout_s: float, hold_s: float) -> None:
        self.planhat = planhat
        self.timeout_s, self.hold_s = timeout_s, hold_s
        self._rates = [(name, rate) for name, rate in planhat.world.plan.rates.items() if name.startswith("planhat_")]

    def _fate(self) -> str:
        world = self.planhat.world
        if world.calm:
            return ""
        if self.planhat.away:
            return world.chance.choice(("planhat_refused_connection", "planhat_timeout_never", "planhat_html"))
        at = world.chance.random()
        for name, rate in self._rates:
            at -= rate
            if at < 0:
                return name
        return ""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        planhat, process = self.planhat, PROCESS.get()
        world, loop = planhat.world, planhat.world.loop
        if process is not None and process.ghost:
            raise httpx.ConnectError("the process is gone")
        chance = world.chance
        began_s = loop.now_s
        world.awaits["planhat"] += 1
        fate = self._fate()
        await asyncio.sleep(chance.uniform(0.002, 0.03))
        if fate == "planhat_refused_connection":
            world.met(process, "planhat_away" if planhat.away else fate)
            raise httpx.ConnectError("Connection refused")
        body = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
        flight = Flight(process, request.method, (), loop.now_s)
        if process is not None:
            flight.paused = process.ever_paused_at_s > began_s - self.timeout_s - self.hold_s - 60
        planhat.on_call(flight, body)
        planhat.calls_s.append(loop.now_s)
        planhat.flights.append(flight)
        world.note("call", f"{request.method} {request.url.path} {flight.tickets} {fate}")
        answer: asyncio.Future[Any] = loop.create_future()
        outside, loop.current = loop.current, None
        ends_by_s = began_s + self.timeout_s + self.hold_s - 0.02
        self._serve(request, body, flight, fate, answer, ends_by_s)
        loop.current = outside
        if fate == "planhat_crash" and process is not None:
            world.kill(process)
        elif fate == "planhat_pause" and process is not None:
            world.freeze(process)
        elif fate == "planhat_cancel":
            task = asyncio.current_task()
            if task is not None:
                loop.call_later(chance.uniform(0.0, 0.1), task.cancel)
        try:
            told = await answer
        except asyncio.CancelledError:
            if fate.startswith(("planhat_timeout", "planhat_cancel")):
                world.met(process, fate)
            raise
        if planhat.away and not world.calm:
            world.met(process, "planhat_away")
        elif fate:
            world.met(process, fate)
        if isinstance(told, Exception):
            raise told
        status, headers, content = told
        return httpx.Response(status, headers=headers, content=content)

    def _serve(
        self, request: httpx.Request, body: bytes, flight: Flight, fate: str, answer: asyncio.Future[Any], by_s: float
    ) -> None:
        """Decide when the call takes effect and what is answered."""
        world, chance, loop = self.planhat.world, self.planhat.world.chance, self.planhat.world.loop
        delay_s = chance.uniform(0.02, 0.25)

        def effect() -> tuple[int, dict[str, str], bytes]:
            return self._effect(request, body, flight, fate)

        def end() -> None:
            flight.ends_s = min(flight.ends_s, loop.now_s)

        def say(status: int, headers: dict[str, str], content: bytes) -> None:
            end()
            if not answer.done():
                answer.set_result((status, headers, content))

        def tell(told: Any) -> None:
            if not answer.done():
                answer.set_result(told)

        def apply() -> None:
            if fate == "planhat_timeout_late" and answer.cancelled():
                world.seen("planhat_landed_after_time_out")
            effect()
            end()

        later = loop.call_later
        match fate:
            case "planhat_429":
                headers = chance.choice(({}, {"retry-after": "2"}, {"retry-after": "-5"}, {"retry-after": "0"}, HTML))
                later(delay_s, say, 429, headers, b'{"message":"Too many requests"}')
            case "planhat_5xx":
                later(delay_s, say, chance.choice((500, 503)), {}, b'{"message":"internal"}')
            case "planhat_html":
                status = chance.choice((502, 503, 504, 502))
                if status != 503 and chance.random() < 0.5:
                    later(chance.uniform(0.01, max(0.02, by_s - loop.now_s)), apply)
                else:
                    later(delay_s, end)
                later(delay_s, tell, (status, HTML, PAGE.format(status).encode()))
            case "planhat_timeout_never":
                end()
            case "planhat_timeout_late":
                later(chance.uniform(0.01, max(0.02, by_s - loop.now_s)), apply)
            case "planhat_lost_answer":
                later(delay_s, apply)
                later(delay_s, tell, httpx.ReadError("connection reset"))
            case "planhat_cut_before":
                if chance.random() < 0.4:
                    later(chance.uniform(0.01, max(0.02, by_s - loop.now_s)), apply)
                else:
                    end()
                later(delay_s, tell, chance.choice((httpx.ReadError("cut"), httpx.RemoteProtocolError("disconnected"))))
            case "planhat_slow":
                later(chance.uniform(0.3, self.timeout_s * 0.9), lambda: say(*effect()))
            case _:
                later(delay_s, lambda: say(*effect()))

    def _effect(
        self, request: httpx.Request, body: bytes, flight: Flight, fate: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Carry a call out; give what is answered."""
        planhat, chance = self.planhat, self.planhat.world.chance
        if planhat.revoked:
            planhat.world.seen("token_revoked")
            return 401, {}, b'{"message":"Unauthorized: the token was revoked"}'
        if request.method == "GET":
            if fate in ("planhat_garbage", "planhat_partial_counts"):
                return 200, {}, b'{"oops":'
            return 200, {}, json.dumps(planhat.listing(request.url.params)).encode()
        if request.method == "DELETE":
            done = planhat.delete(request.url.path.rsplit("/", 1)[1], flight)
            return (200, {}, b'{"n":1,"ok":1}') if done else (404, {}, b'{"message":"no such ticket"}')
        items = json.loads(body)
        titles = [str(item.get("title")) for item in items]
        if any(POISON_500 in title for title in titles):
            return 500, {}, b'{"message":"Cannot read properties of undefined"}'
        if any(POISON_CALL in title for title in titles):
            return 400, {}, b'{"message":"Cast to string failed for a value of title"}'
        if fate == "planhat_partial_counts" and chance.random() < 0.5:
            counts = planhat.upsert(items, flight, skip=chance.choice(items).get("sourceId", ""))
            return 200, {}, json.dumps({**counts, "insertsKeys": [], "updatesKeys": []}).encode()
        counts = planhat.upsert(items, flight)
        if fate == "planhat_partial_counts":
            short = {"created": 0, "updated": max(0, len(items) - 1 - chance.randint(0, len(items) - 1))}
            return chance.choice((200, 206)), {}, json.dumps(short).encode()
        if fate == "planhat_garbage":
            said = json.dumps(counts).encode()
            return 200, {}, chance.choice((b"", said[: len(said) // 2], PAGE.format("ok").encode(), b"[]", b"{}"))
        if counts["updatedErrors"]:
            return chance.choice((200, 206, 400)), {}, json.dumps(counts).encode()
        return 200, {}, json.dumps(counts).encode()
