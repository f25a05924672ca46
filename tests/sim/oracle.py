"""
The judge: a reference fold written from DESIGN's rules, which imports neither gateway nor workers.

Invariants as DESIGN §3 numbers them. While a run goes on: I3, I4, I5, I8, I12, I13. At its end: I1, I2, I4, I6, I7,
I10, I15.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.sim.planhat import Flight, Planhat
    from tests.sim.truth import Helpdesks, Rank, Said, Ticket
    from tests.sim.world import World

WINDOW_S = 60.0
KNOWN_S = 100.0
"""A statement that was accepted so long before a deletion took effect stood in no claim of that time."""
FREE_MAIL = ("gmail.com",)


def moment(at_ms: int) -> str:
    """Write a time as the history shows it."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat()[:19] + f".{at_ms % 1000:03d}Z"


class Judge:
    """Watches the sink and, at the end, compares it with what was said."""

    def __init__(self, world: World, planhat: Planhat, desks: Helpdesks) -> None:
        self.world, self.planhat, self.desks = world, planhat, desks
        self.held: dict[tuple[str, str], Rank] = {}
        """(ticket, field) -> the newest rank that the sink has held."""
        planhat.on_write = self.on_write  # type: ignore[method-assign]
        planhat.on_delete = self.on_delete  # type: ignore[method-assign]
        planhat.on_call = self.on_call  # type: ignore[method-assign]

    # while it runs

    def on_call(self, flight: Flight, body: bytes) -> None:
        """A call has arrived: its size (I5), and no ticket of it in another flight (I12)."""
        world, planhat = self.world, self.planhat
        if flight.method == "GET":
            return
        if flight.method == "PUT":
            items = json.loads(body)
            names = [item.get("sourceId", "") for item in items]
            flight.tickets = tuple(names)
            planhat.puts += 1
            planhat.items += len(items)
            planhat.largest = max(planhat.largest, len(items))
            if len(items) > world.plan.batch_items:
                world.broken(f"a call of {len(items)} items, at most {world.plan.batch_items} are allowed (I5)")
            if len(set(names)) != len(names):
                world.broken("a call holds one ticket twice (I5)")
        now_s = world.loop.now_s
        planhat.flights = [one for one in planhat.flights if one.ends_s > now_s]
        for other in planhat.flights:
            shared = set(other.tickets) & set(flight.tickets)
            if shared and not (other.paused or flight.paused or _paused(other)):
                world.broken(f"{sorted(shared)} in two flights (I12)")

    def on_write(self, source_id: str, item: dict[str, Any], flight: Flight | None) -> None:
        """A write takes effect: nothing goes back (I3), each status once (I4)."""
        world = self.world
        for name in ("title", "description", "tags"):
            if name not in item:
                continue
            rank = self.desks.ranks.get((source_id, name, json.dumps(item[name])))
            if rank is None:
                world.broken(f"{source_id}.{name}: {item[name]!r} was never said")
                continue
            known = self.held.get((source_id, name))
            if known is not None and rank < known:
                if flight is not None and (flight.paused or _paused(flight)):
                    world.seen("regressed_after_long_pause")
                else:
                    world.broken(f"{source_id}.{name}: went back to {rank} from {known} (I3)")
            self.held[source_id, name] = max(rank, known or rank)
        life = self.held.get((source_id, "gone"))
        if life is not None and source_id not in self.planhat.docs:
            newest = max((rank for (ticket, name), rank in self.held.items() if ticket == source_id and name != "gone"))
            if newest < life and not (flight is not None and (flight.paused or _paused(flight))):
                world.broken(f"{source_id}: came back older than its deletion (I3)")
        history = item.get("history")
        if history is not None:
            statuses = [entry["status"] for entry in history]
            times = [entry["time"] for entry in history]
            if any(one == other for one, other in pairwise(statuses)):
                world.broken(f"{source_id}: a status stands twice in a row in the history (I4)")
            if times != sorted(times):
                world.broken(f"{source_id}: the history is out of order (I4)")

    def on_delete(self, source_id: str, flight: Flight | None) -> None:
        """A deletion takes effect: it must be newer than what the sink holds (I3)."""
        lives = [said for said in self.desks.said if said.ticket == source_id and said.life in ("deleted", "purged")]
        if not lives:
            self.world.broken(f"{source_id}: deleted, and nobody said so (I2)")
            return
        rank = max(said.rank for said in lives)
        held = self.held.get((source_id, "title"))
        if held is not None and held > rank and not (flight is not None and (flight.paused or _paused(flight))):
            newer_live = any(
                said.rank > rank and said.life == "live" and said.rank <= held
                for said in self.desks.said
                if said.ticket == source_id and said.accepted_s < self.world.loop.now_s - KNOWN_S
            )
            if newer_live:
                self.world.broken(f"{source_id}: a deletion older than the ticket took effect (I3)")
        self.held[source_id, "gone"] = max(rank, self.held.get((source_id, "gone"), rank))

    # at the end

    def final(self, dead: dict[str, tuple[str, str]], sent: set[str]) -> None:
        """
        Compare the sink with what was said (I1, I2, I4, I15).

        Args:
            dead: dead letters, ticket -> (reason, detail).
            sent: tickets of which a delivery was accepted.
        """
        for ticket in self.desks.tickets:
            if ticket.key in sent:
                self._ticket(ticket, dead.get(ticket.key))
        for key in self.planhat.docs:
            if key not in sent and not any(one.key == key and one.before for one in self.desks.tickets):
                self.world.broken(f"{key}: in the sink, and nobody said so (I8)")
        for key, (reason, detail) in dead.items():
            if not reason or not detail:
                self.world.broken(f"{key}: a dead letter without a reason (I15)")

    def _ticket(self, ticket: Ticket, dead: tuple[str, str] | None) -> None:
        broken, key = self.world.broken, ticket.key
        said = [one for one in self.desks.said if one.ticket == key]
        doc = self.planhat.docs.get(key)
        expected = fold(said)
        reason = dead[0] if dead else ""
        if expected is None:
            if doc is not None:
                broken(f"{key}: deleted, yet in the sink (I2), dead letter {reason!r}")
            if dead:
                broken(f"{key}: deleted, yet a dead letter {reason!r}")
            return
        refusals = self._refusal(ticket, said, expected)
        if refusals:
            if _dropped(said):
                refusals.add("incomplete")
            if reason not in refusals:
                broken(f"{key}: must be a dead letter of {sorted(refusals)}, is {reason!r} (I15)")
            return
        if reason in ("incomplete", "missing_email", "missing_company") and _dropped(said):
            self.world.seen("incomplete_after_a_deletion")
            return
        if dead:
            broken(f"{key}: a dead letter {dead}, yet nothing is wrong with it (I1)")
            return
        if doc is None:
            broken(f"{key}: lost (I1)")
            return
        for name, value in expected.items():
            there = doc.fields.get(name)
            if there != value and not (value in (None, "", []) and there in (None, "", [])):
                broken(f"{key}.{name}: the sink holds {there!r}, must hold {value!r} (I2)")
        held = [(entry["status"], entry["time"]) for entry in doc.fields.get("history", [])]
        befores = [ticket.before or []]
        if (key, "gone") in self.held:  # a deletion in the sink takes the history from before the gateway with it
            befores.append([])
        wanted_history = [[(status, moment(at)) for at, status in runs(said, before)] for before in befores]
        if held not in wanted_history:
            broken(f"{key}.history: the sink holds {held}, must hold {wanted_history[0]} (I4)")

    def _refusal(self, ticket: Ticket, said: list[Said], expected: dict[str, Any]) -> set[str]:
        """Give the reasons one of which a ticket that cannot go must have; none for one that can."""
        if not expected.get("email"):
            return {"missing_email"}
        if "POISON" in str(expected.get("title")):
            return {"refused"}
        known = ticket.before is not None or any(name == "title" for held, name in self.held if held == ticket.key)
        complete = any(one.creation or one.full for one in said) or {"title", "email"} <= expected.keys()
        reasons = set()
        if ticket.key not in self.planhat.docs and not known and not complete:
            reasons.add("incomplete")
        domain = str(expected["email"]).rpartition("@")[2]
        placed = expected.get("domains") or expected.get("companyExternalId") or domain not in FREE_MAIL
        if not placed and ticket.before is None:
            reasons.add("missing_company")
        return reasons

    def quota(self) -> None:
        """No minute holds more calls than the quota (I6)."""
        calls, start = sorted(self.planhat.calls_s), 0
        for end, at_s in enumerate(calls):
            while at_s - calls[start] >= WINDOW_S:
                start += 1
            if end - start + 1 > self.world.plan.quota:
                self.world.broken(f"{end - start + 1} calls in a minute, the quota is {self.world.plan.quota} (I6)")
                return


def fold(said: list[Said]) -> dict[str, Any] | None:
    """Give what the newest of everything said comes to; None for a ticket that is gone. Last writer wins per field."""
    lives = [(one.rank, one.life in ("deleted", "purged")) for one in said if one.life]
    if any(one.life == "purged" for one in said) or (lives and max(lives)[1]):
        return None
    values: dict[str, Any] = {}
    for one in sorted(said, key=lambda one: one.rank):
        values.update(one.fields)
    return values


def runs(said: list[Said], before: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Give the first sighting of each run of one status: (at_ms, status), oldest first."""
    sightings = [(at, 0, status) for at, status in before]
    sightings += [(*one.rank, one.fields["status"]) for one in said if one.fields.get("status")]
    history: list[tuple[int, str]] = []
    for at_ms, _, status in sorted(set(sightings)):
        if not history or history[-1][1] != status:
            history.append((at_ms, status))
    return history


def _dropped(said: list[Said]) -> bool:
    """
    Say whether a ticket's revival may lack something: while it is gone, changes only move stamps (DESIGN).

    So it is when a change that is no full revival is newer than a deletion; it may have come in between the two.
    """
    gone = [one.rank for one in said if one.life in ("deleted", "purged")]
    return bool(gone) and any(
        one.rank > min(gone) and not (one.life == "live" and one.full) and one.life != "deleted" for one in said
    )


def _paused(flight: Flight) -> bool:
    process = flight.process
    return process is not None and (process.halted or process.ever_paused_at_s > flight.began_s - 90)
