"""Waiting tickets and suspects: hints that never hold a ticket back for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.store.pending import Ack, Store
from tests.store.conftest import Clock, delivery

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def into_lane(store: Store, clock: Clock, lane: str, *tickets: str, snooze_ms: int = 60_000) -> None:
    await store.put([delivery(None, *((ticket, b"1") for ticket in tickets))])
    await store.claim_named(list(tickets), "lane", 1_000)
    await store.release("lane", list(tickets), not_before_ms=clock.now_ms + snooze_ms, lane=lane)


async def test_ready_tickets_leave_the_lane_and_are_due_now(store: Store, clock: Clock) -> None:
    await into_lane(store, clock, "lookups", "a", "b", "c")
    await store.claim_named(["b"], "holder", 5_000)
    assert await store.ready("lookups", ["a", "b", "unknown"]) == 1
    assert await store.waiting("lookups") == ["c"]
    assert await store.claim(9, "k", 1_000) == [("a", 0)]


async def test_parked_tickets_wait_in_the_lane_and_in_due(store: Store, clock: Clock) -> None:
    await into_lane(store, clock, "lookups", "a", "b", snooze_ms=1_000)
    assert await store.park("lookups", ["a", "unknown"], clock.now_ms + 5_000) == 1
    assert await store.waiting("lookups") == ["b"]
    clock.forward(1_000)
    assert await store.claim(9, "k", 1_000) == [("b", 0)]
    clock.forward(4_000)
    assert await store.waiting("lookups") == ["b", "a"] or await store.waiting("lookups") == ["a", "b"]


async def test_parking_never_brings_a_ticket_forward_nor_touches_a_holder(store: Store, clock: Clock) -> None:
    await into_lane(store, clock, "deletes", "a", snooze_ms=9_000)
    await store.park("deletes", ["a"], clock.now_ms + 1_000)
    clock.forward(1_000)
    assert await store.waiting("deletes") == ["a"]
    assert await store.claim(9, "k", 1_000) == []
    await store.claim_named(["a"], "k", 2_000)
    await store.park("deletes", ["a"], clock.now_ms + 60_000)
    clock.forward(2_000)
    assert await store.claim(9, "k2", 1_000) == [("a", 1)]


async def test_settled_tickets_fall_out_of_the_lane(store: Store, clock: Clock) -> None:
    await into_lane(store, clock, "lookups", "a", "b", "c")
    await store.claim_named(["a", "b"], "k", 1_000)
    await store.ack("k", [Ack("a", 13, b"s"), Ack("b", 13, b"s")])
    assert await store.waiting("lookups", 1) == ["c"]
    assert (await store.look()).lookups == 1


async def test_read_backs_are_for_tickets_with_nothing_unsent(store: Store, clock: Clock) -> None:
    assert await store.park("unread", ["sent"], clock.now_ms) == 1
    assert await store.waiting("unread") == ["sent"]
    assert (await store.look()).pending == 0
    await store.leave("unread", ["sent"])
    assert await store.waiting("unread") == []


async def test_suspects_are_not_claimed_among_the_due_but_by_name(store: Store, clock: Clock) -> None:
    await store.put([delivery(None, ("bad", b"1"), ("good", b"1"))])
    await store.claim_named(["bad"], "k", 1_000)
    await store.release("k", ["bad"], group=1)
    assert await store.claim(9, "k2", 1_000) == [("good", 0)]
    assert await store.claim_named(["bad"], "k3", 1_000) == [("bad", 0)]
    await store.ack("k3", [Ack("bad", 13, b"s")])
    assert await store.suspects() == []


async def test_suspects_do_not_stand_in_the_way_of_a_full_claim(store: Store, clock: Clock) -> None:
    await store.put([delivery(None, *((f"s{i}", b"1") for i in range(1_200)), *((f"t{i}", b"1") for i in range(300)))])
    clock.forward(10)
    names = [f"s{i}" for i in range(1_200)]
    await store.claim_named(names, "k", 1_000)
    await store.release("k", names, group=0)
    assert len(await store.claim(1_000, "k2", 1_000)) == 300


async def test_holder_of_a_suspect_that_lapsed_leaves_doubt_and_no_claim(store: Store, clock: Clock) -> None:
    await store.put([delivery(None, ("bad", b"1"))])
    await store.claim(1, "k", 1_000)
    await store.regroup({"bad": 2, "unknown": 2})
    clock.forward(1_000)
    assert await store.claim(9, "k2", 1_000) == []
    assert (await store.look()).leased == 0
    assert await store.claim_named(["bad"], "k3", 1_000) == [("bad", 1)]


async def test_cleared_suspects_are_due_now(store: Store, clock: Clock) -> None:
    await store.put([delivery(None, ("a", b"1"), ("b", b"1"))])
    assert await store.regroup({"a": 0, "b": 1}) == 2
    assert await store.claim(9, "k", 1_000) == []
    assert await store.unsuspect(["a"]) == 1
    assert await store.claim(9, "k", 1_000) == [("a", 0)]
    assert await store.suspects() == [("b", 1)]


async def test_regrouping_drops_what_has_nothing_unsent(store: Store, redis: Redis) -> None:
    await redis.zadd(store.keys.suspects, {"gone": 1})
    assert await store.regroup({"gone": 2}) == 0
    assert await store.suspects() == []
