"""
The scripts do what the model does, whatever is asked of them in whatever order; and the rules hold that the model does
not know: nothing taken in disappears (I1), a duplicate has no second effect (I4, I13), one holder at a time (I12).

The tests' answer to "does the code follow the rule" is the model; to "is the rule right" the ledger and the holders.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway.core.change import FRAME_HEAD_BYTES, frame, frames
from gateway.store.client import connect
from gateway.store.pending import Ack, Burial, Delivery, Store
from tests.store.conftest import Clock
from tests.store.model import Model, Ticket

if TYPE_CHECKING:
    from collections.abc import Coroutine

NAMES = ["a", "b", "c", "d"]
LEASE_MS = 5_000

names = st.sampled_from(NAMES)
pick = st.integers(0, 2**16)
waits_ms = st.sampled_from([1, 900, 4_999, 5_000, 10_000, 700_000])


@dataclass
class Claim:
    """What a holder knows: its token and what it loaded."""

    ticket: str
    token: str
    frames: list[tuple[int, bytes]]
    dead: bytes | None

    @property
    def cut(self) -> int:
        return sum(FRAME_HEAD_BYTES + len(payload) for _, payload in self.frames)

    def joined(self) -> tuple[int, bytes]:
        """Everything it loaded, as one frame."""
        payloads = [payload for _, payload in self.frames]
        payloads += [payload for _, payload in frames(self.dead)] if self.dead else []
        return self.frames[0][0], b"+".join(payloads)

    def parts(self) -> set[bytes]:
        return set(self.joined()[1].split(b"+"))


class Bridge(RuleBasedStateMachine):
    """One Redis, one model, one clock; the ledger knows every payload that was taken in and not yet settled."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.store = self.run(self._open())
        self.model = Model(arrival_us=0)
        self.ledger: dict[bytes, str] = {}
        self.claims: list[Claim] = []
        self.holders: dict[str, tuple[str, int]] = {}
        self.number = 0

    async def _open(self) -> Store:
        client = connect(self.url)
        await client.flushall()
        return Store(client, now_us=self.clock)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.store.redis.aclose())
        self.runner.close()

    def fresh(self, letter: str) -> str:
        self.number += 1
        return f"{letter}{self.number}"

    # ---- rules

    @rule(wanted=st.lists(names, min_size=1, max_size=3), ident=st.one_of(st.none(), st.sampled_from("xyz")))
    def put(self, wanted: list[str], ident: str | None) -> None:
        payloads = [(ticket, self.fresh("p").encode()) for ticket in wanted]
        before = self.run(self.snapshot()) if ident in self.model.seen else None
        delivery = Delivery(ident.encode() * 16 if ident else None, tuple(payloads))
        (answer,) = self.run(self.store.put([delivery]))
        assert answer == self.model.put(self.clock.now_us, ident, payloads)
        if before is not None:
            assert answer == "duplicate"
            assert self.run(self.snapshot()) == before, "a duplicate had an effect"
        else:
            self.ledger |= {payload: ticket for ticket, payload in payloads}

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        token = self.fresh("k")
        claimed = self.run(self.store.claim(limit, token, LEASE_MS))
        assert claimed == self.model.claim(self.clock.now_ms, limit, token, LEASE_MS)
        self._hold([ticket for ticket, _ in claimed], token)

    @rule(asked=st.lists(names, min_size=1, max_size=3, unique=True))
    def claim_named(self, asked: list[str]) -> None:
        token = self.fresh("k")
        claimed = self.run(self.store.claim_named(asked, token, LEASE_MS))
        assert claimed == self.model.claim_named(self.clock.now_ms, asked, token, LEASE_MS)
        self._hold([ticket for ticket, _ in claimed], token)

    def _hold(self, tickets: list[str], token: str) -> None:
        for ticket in tickets:
            other, until_ms = self.holders.get(ticket, ("", 0))
            assert until_ms <= self.clock.now_ms, f"{ticket} is given to {token} while {other} holds it"
            self.holders[ticket] = (token, self.clock.now_ms + LEASE_MS)
        for one in self.run(self.store.load(tickets)):
            self.claims.append(Claim(one.ticket, token, list(frames(one.value)), one.dead))

    def _some_claim(self, which: int) -> Claim:
        return self.claims[-1 - which % min(len(self.claims), 6)]

    def _let_go(self, claim: Claim) -> None:
        assert self.holders.pop(claim.ticket)[0] == claim.token

    @precondition(lambda self: self.claims)
    @rule(which=pick, again=st.booleans())
    def ack(self, which: int, again: bool) -> None:
        one = self._some_claim(which)
        state = self.fresh("s").encode()
        resend = one.joined() if again else None
        ack = Ack(one.ticket, one.cut, state, resend=frame(resend[1], resend[0]) if resend else None, lease_ms=LEASE_MS)
        answer = self.run(self.store.ack(one.token, [ack]))[one.ticket]
        expected = self.model.ack(self.clock.now_ms, one.ticket, one.token, len(one.frames), state, resend, LEASE_MS)
        assert answer == expected
        if answer != "gone":
            self._let_go(one)
        if answer == "acked":
            for payload in one.parts():
                self.ledger.pop(payload, None)

    @precondition(lambda self: self.claims)
    @rule(which=pick, snooze_ms=st.sampled_from([0, 3_000]), group=st.sampled_from([None, None, 0, 1, 2]))
    def release(self, which: int, snooze_ms: int, group: int | None) -> None:
        one = self._some_claim(which)
        not_before_ms = self.clock.now_ms + snooze_ms if snooze_ms else 0
        done = self.run(self.store.release(one.token, [one.ticket], not_before_ms=not_before_ms or None, group=group))
        assert bool(done) == self.model.release(one.ticket, one.token, not_before_ms, group)
        if done:
            self._let_go(one)

    @precondition(lambda self: self.claims)
    @rule(which=pick)
    def bury(self, which: int) -> None:
        one = self._some_claim(which)
        arrival_us, payload = one.joined()
        burial = Burial(one.ticket, one.cut, frame(payload, arrival_us), "refused", "")
        answer = self.run(self.store.bury(one.token, [burial]))[one.ticket]
        assert answer == self.model.bury(one.ticket, one.token, len(one.frames), (arrival_us, payload))
        if answer == "buried":
            self._let_go(one)

    @precondition(lambda self: self.claims)
    @rule(which=pick)
    def compact(self, which: int) -> None:
        one = self._some_claim(which)
        made = (one.frames[0][0], b"+".join(payload for _, payload in one.frames))
        done = self.run(self.store.compact(one.token, one.ticket, one.cut, frame(made[1], made[0])))
        assert done == self.model.compact(one.ticket, one.token, len(one.frames), made)
        if done:
            self._let_go(one)

    @precondition(lambda self: self.claims)
    @rule(which=pick)
    def extend(self, which: int) -> None:
        one = self._some_claim(which)
        lost = self.run(self.store.extend([one.ticket], one.token, LEASE_MS))
        ticket = self.model.held(one.ticket, one.token)
        assert lost == (set() if ticket else {one.ticket})
        if ticket:
            ticket.score = self.clock.now_ms + LEASE_MS
            self.holders[one.ticket] = (one.token, ticket.score)

    @rule(ticket=names)
    def replay(self, ticket: str) -> None:
        assert bool(self.run(self.store.replay_tickets([ticket]))) == self.model.replay(self.clock.now_ms, ticket)

    @rule(ticket=names)
    def discard(self, ticket: str) -> None:
        kept = self.model.of(ticket).dead
        assert self.run(self.store.discard([ticket])) == (1 if kept else 0)
        if kept:
            self.model.of(ticket).dead = None
            self.claims = [one for one in self.claims if one.ticket != ticket or not one.dead]
            unsent = {part for _, payload in self.model.of(ticket).frames for part in payload.split(b"+")}
            for payload in set(kept[1].split(b"+")) - unsent:
                self.ledger.pop(payload, None)

    @rule(ticket=names)
    def unsuspect(self, ticket: str) -> None:
        self.run(self.store.unsuspect([ticket]))
        self.model.unsuspect(self.clock.now_ms, ticket)

    @rule(ms=waits_ms)
    def wait(self, ms: int) -> None:
        self.clock.forward(ms)

    # ---- what must hold after every step

    async def snapshot(self) -> dict[str, Ticket]:
        """Everything that Redis holds of tickets."""
        keys, redis = self.store.keys, self.store.redis
        due = {ticket.decode(): int(score) for ticket, score in await redis.zrange(keys.due, 0, -1, withscores=True)}
        leases = {key.decode(): value.decode() for key, value in (await redis.hgetall(keys.lease)).items()}
        doubts = {key.decode(): int(value) for key, value in (await redis.hgetall(keys.doubt)).items()}
        groups = dict(await self.store.suspects())
        listed = {row.ticket for row in await self.store.dead_letters()}
        found = {}
        for one in await self.store.peek(NAMES):
            name = one.ticket
            dead = next(frames(one.dead)) if one.dead else None
            assert (name in listed) == bool(dead)
            held = list(frames(one.value))
            found[name] = Ticket(
                held, due.get(name), leases.get(name), doubts.get(name, 0), groups.get(name), one.state, dead
            )
        assert due.keys() | leases.keys() | doubts.keys() | groups.keys() <= set(NAMES)
        return found

    @invariant()
    def redis_holds_what_the_model_holds(self) -> None:
        assert self.run(self.snapshot()) == {name: self.model.of(name) for name in NAMES}

    @invariant()
    def nothing_taken_in_has_disappeared(self) -> None:
        kept: set[tuple[str, bytes]] = set()
        for one in self.run(self.store.peek(NAMES)):
            for value in filter(None, (one.value, one.dead)):
                kept |= {(one.ticket, part) for _, payload in frames(value) for part in payload.split(b"+")}
        assert {(ticket, payload) for payload, ticket in self.ledger.items()} <= kept

    @invariant()
    def what_is_unsent_has_its_turn(self) -> None:
        view = self.run(self.store.look(exact=True))
        assert view.pending == sum(1 for one in self.model.tickets.values() if one.frames)
        assert view.due_count + view.leased + view.parked == view.pending


@pytest.mark.redis
def test_scripts_follow_the_model_and_lose_nothing(redis_url: str) -> None:
    machine = type("BridgeHere", (Bridge,), {"url": redis_url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=120,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
