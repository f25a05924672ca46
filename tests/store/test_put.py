"""Deliveries in: one answer each, no duplicate twice, nothing past a cap."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import PendingFull
from gateway.store.keys import Keys
from gateway.store.pending import Burial, Delivery, Store
from tests.store.conftest import Clock, delivery, joined, payloads_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis


async def test_each_delivery_of_a_group_gets_its_own_answer(store: Store) -> None:
    answers = await store.put(
        [
            delivery("a", ("t1", b"1")),
            delivery("a", ("t1", b"1")),
            delivery(None, ("t2", b"2"), ("t1", b"3")),
            delivery("b"),
        ]
    )
    assert answers == ["accepted", "duplicate", "accepted", "accepted"]
    values = {one.ticket: payloads_of(one.value) for one in await store.peek(["t1", "t2"])}
    assert values == {"t1": [b"1", b"3"], "t2": [b"2"]}
    assert await store.counters() == {"deliveries": 3, "changes": 3, "duplicates": 1}


async def test_deliveries_without_id_are_never_duplicates(store: Store) -> None:
    same = delivery(None, ("t", b"x"))
    assert await store.put([same, same]) == ["accepted", "accepted"]


async def test_duplicate_is_known_for_the_whole_ttl_and_forgotten_after_it(
    make_store: Callable[..., Store], clock: Clock, redis: Redis
) -> None:
    store = make_store(dedupe_ttl_s=400)
    one = delivery("a", ("t", b"x"))
    assert await store.put([one]) == ["accepted"]
    for _ in range(4):
        clock.forward(99_900)
        assert await store.put([one]) == ["duplicate"]
    clock.forward(100_500)
    assert await store.put([one]) == ["accepted"]
    assert 400 < await redis.ttl(store.keys.seen(clock.now_us // 100_000_000)[0]) <= 560


async def test_two_processes_with_other_ideas_of_the_bucket_find_each_others_ids(redis: Redis, clock: Clock) -> None:
    first, second = Store(redis, now_us=clock), Store(redis, now_us=clock)
    assert await first.put([delivery("a", ("t", b"x"))]) == ["accepted"]
    clock.forward(6 * 3_600_000)
    assert await second.put([delivery("a", ("t", b"x")), delivery("b", ("t", b"y"))]) == ["duplicate", "accepted"]
    assert await first.put([delivery("b", ("t", b"y"))]) == ["duplicate"]


async def test_arrivals_are_unique_though_the_clock_stands_still_or_steps_back(store: Store, clock: Clock) -> None:
    await store.put([delivery(None, ("t", b"1"), ("t", b"2"))])
    clock.forward(-60_000)
    await store.put([delivery(None, ("t", b"3"))])
    (loaded,) = await store.peek(["t"])
    assert payloads_of(loaded.value) == [b"1", b"2", b"3"]
    heads = [loaded.value[13 * i + 4 : 13 * i + 12] for i in range(3)]
    assert heads == sorted(set(heads))


async def test_due_is_the_arrival_of_the_oldest_change(store: Store, clock: Clock) -> None:
    began_ms = clock.now_ms
    await store.put([delivery(None, ("t", b"1"))])
    clock.forward(5_000)
    await store.put([delivery(None, ("t", b"2"))])
    view = await store.look()
    assert (view.oldest_due_ms, view.last_put_ms, view.due_count) == (began_ms, clock.now_ms, 1)


async def test_duplicate_does_not_postpone_the_quiet_period(store: Store, clock: Clock) -> None:
    await store.put([delivery("a", ("t", b"1"))])
    before = await store.look()
    clock.forward(1_000)
    await store.put([delivery("a", ("t", b"1"))])
    assert (await store.look()).last_put_ms == before.last_put_ms


async def test_large_delivery_is_sliced_and_answered_once(store: Store, redis: Redis) -> None:
    large = Delivery(b"L" * 16, tuple((f"t{i}", b"x") for i in range(1_234)))
    small = delivery("s", ("t1", b"y"))
    assert await store.put([small, large, large, small]) == ["accepted", "accepted", "duplicate", "duplicate"]
    assert await redis.zcard(store.keys.due) == 1_234
    assert await store.counters() == {"deliveries": 2, "changes": 1_235, "duplicates": 2}


async def test_large_delivery_that_died_midway_is_taken_in_by_its_repeat(store: Store) -> None:
    large = Delivery(b"L" * 16, tuple((f"t{i}", b"x") for i in range(600)))
    await store._put([Delivery(large.dedupe, large.payloads[:500])], last=False, capped=True)
    assert await store.put([large]) == ["accepted"]
    (loaded,) = await store.peek(["t0"])
    assert payloads_of(loaded.value) == [b"x", b"x"]
    assert await store.put([large]) == ["duplicate"]


async def test_many_small_deliveries_travel_in_calls_of_500_payloads(store: Store) -> None:
    many = [delivery(f"d{i}", (f"t{i}", b"1"), (f"t{i}", b"2"), (f"t{i}", b"3")) for i in range(400)]
    assert await store.put(many) == ["accepted"] * 400
    assert await store.put(many) == ["duplicate"] * 400
    assert (await store.counters())["changes"] == 1_200


async def test_at_the_pending_cap_nothing_of_the_call_is_written(
    make_store: Callable[..., Store], redis: Redis
) -> None:
    store = make_store(pending_max_tickets=2)
    await store.put([delivery("a", ("t1", b"1")), delivery("b", ("t2", b"1"))])
    before = await redis.dbsize()
    with pytest.raises(PendingFull) as full:
        await store.put([delivery("c", ("t1", b"2"))])
    assert full.value.cap == "pending"
    assert await redis.dbsize() == before
    assert [payloads_of(one.value) for one in await store.peek(["t1"])] == [[b"1"]]
    assert await store.put([delivery("c", ("t1", b"2"))], capped=False) == ["accepted"]


async def test_at_the_dead_letter_cap_intake_is_refused(make_store: Callable[..., Store]) -> None:
    store = make_store(dead_letter_max=1)
    await store.put([delivery(None, ("t", b"1"))])
    await store.claim(1, "k", 1_000)
    await store.bury("k", [Burial("t", 13, joined(b"1"), "refused", "")])
    with pytest.raises(PendingFull) as full:
        await store.put([delivery(None, ("t", b"2"))])
    assert full.value.cap == "dead_letters"
    await store.discard(["t"])
    assert await store.put([delivery(None, ("t", b"2"))]) == ["accepted"]


async def test_ticket_ids_may_hold_any_text(store: Store) -> None:
    odd = ["zendesk:1", "a b\r\nc", "ü{x}:due", "日本", "'--\x00"]
    await store.put([delivery(None, *((ticket, b"x") for ticket in odd))])
    assert sorted(one.ticket for one in await store.claim(10, "k", 1_000)) == sorted(odd)


async def test_puts_at_once_all_land(store: Store) -> None:
    groups = ([delivery(f"d{i}-{j}", (f"t{j}", b"x")) for j in range(20)] for i in range(20))
    answers = await asyncio.gather(*(store.put(group) for group in groups))
    assert all(answer == ["accepted"] * 20 for answer in answers)
    assert {len(payloads_of(one.value)) for one in await store.peek([f"t{j}" for j in range(20)])} == {20}


async def test_empty_tickets_and_payloads_are_refused_before_redis(store: Store) -> None:
    for bad in (("", b"x"), ("t", b"")):
        with pytest.raises(ValueError):
            await store.put([delivery(None, bad)])


@pytest.mark.parametrize("bad", ["", "a}b", "a{b", "a:b", "x" * 65])
def test_destination_that_would_break_the_keys_is_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        Keys(bad)


def test_unknown_lane_is_refused() -> None:
    with pytest.raises(ValueError):
        Keys("planhat").lane("due")


async def test_destinations_do_not_see_each_other(redis: Redis, store: Store, clock: Clock) -> None:
    other = Store(redis, "other", now_us=clock)
    await store.put([delivery("a", ("t", b"1"))])
    assert await other.put([delivery("a", ("t", b"1"))]) == ["accepted"]
    assert await other.claim(5, "k", 1_000) == [("t", 0)]
    assert (await store.look()).leased == 0
