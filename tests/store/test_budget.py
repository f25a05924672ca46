"""The quota is never exceeded, a pause holds for all, and a lost memory counts as a full window."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.store.client import connect
from gateway.store.pending import Delivery, Pause, Store
from tests.store.conftest import Clock

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from redis.asyncio import Redis


async def test_window_slides_and_gives_nothing_back(store: Store, clock: Clock) -> None:
    for _ in range(3):
        assert await store.reserve(limit_per_minute=3) == 0
        clock.forward(1_000)
    assert await store.reserve(limit_per_minute=3) == 58_000
    assert await store.calls_last_minute() == 3
    clock.forward(58_000)
    assert await store.reserve(limit_per_minute=3) == 0
    assert await store.reserve(limit_per_minute=3) == 1_000


async def test_several_calls_are_reserved_whole_or_not_at_all(store: Store, clock: Clock) -> None:
    assert await store.reserve(limit_per_minute=5, n=3) == 0
    assert await store.reserve(limit_per_minute=5, n=3) == 61_000
    assert await store.reserve(limit_per_minute=5, n=2) == 0
    for n in (0, 6):
        with pytest.raises(ValueError):
            await store.reserve(limit_per_minute=5, n=n)
    with pytest.raises(ValueError):
        await store.reserve(limit_per_minute=10, kind="delete", n=3)


async def test_deletes_take_a_fifth_and_count_in_the_whole(store: Store, clock: Clock) -> None:
    assert [await store.reserve(limit_per_minute=10, kind="delete") for _ in range(3)] == [0, 0, 61_000]
    assert [await store.reserve(limit_per_minute=10) for _ in range(9)] == [0] * 8 + [61_000]
    clock.forward(61_000)
    assert await store.reserve(limit_per_minute=3, kind="delete") == 0
    assert await store.reserve(limit_per_minute=3, kind="delete") == 61_000


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(1, 12),
    steps=st.lists(st.tuples(st.sampled_from(["call", "delete", "probe"]), st.integers(0, 20_000)), max_size=60),
)
def test_no_minute_ever_holds_more_calls_than_the_quota(
    redis_url: str, limit: int, steps: list[tuple[str, int]]
) -> None:
    async def run() -> None:
        client, clock = connect(redis_url), Clock()
        await client.flushall()
        store = Store(client, now_us=clock)
        calls: list[tuple[str, int]] = []
        for kind, pause_ms in steps:
            clock.forward(pause_ms)
            wait_ms = await store.reserve(limit_per_minute=limit, kind=kind)  # type: ignore[arg-type]
            if wait_ms:
                clock.forward(wait_ms)
                assert await store.reserve(limit_per_minute=limit, kind=kind) == 0  # type: ignore[arg-type]
            calls.append((kind, clock.now_ms))
        for _, at_ms in calls:
            window = [kind for kind, other_ms in calls if at_ms <= other_ms <= at_ms + 60_000]
            assert len(window) <= limit
            assert window.count("delete") <= max(1, limit // 5)
        await client.aclose()

    asyncio.run(run())


async def test_callers_at_once_never_exceed_the_quota(redis_url: str) -> None:
    client = connect(redis_url)
    store = Store(client)
    waits = await asyncio.gather(*(store.reserve(limit_per_minute=20) for _ in range(60)))
    assert waits.count(0) == 20
    await client.aclose()


async def test_pause_only_extends_and_holds_probes_too(store: Store, clock: Clock) -> None:
    await store.pause(5_000, "429")
    await store.pause(1_000, "shorter")
    assert (await store.look()).pause == Pause(until_ms=clock.now_ms + 5_000, reason="429")
    assert await store.reserve(limit_per_minute=10, kind="probe") == 5_000
    clock.forward(5_000)
    assert await store.reserve(limit_per_minute=10, kind="probe") == 0
    assert await store.pause(700, "503") == clock.now_ms + 700
    assert (await store.pause_state()).reason == "503"


async def test_only_probes_go_through_a_stop_and_move_the_next_one_on(store: Store, clock: Clock) -> None:
    probe_at_ms = await store.stop("unauthorized", "Invalid token", "hash", 60_000)
    assert probe_at_ms == clock.now_ms + 60_000
    assert await store.reserve(limit_per_minute=10) == 1_000
    clock.forward(60_000)
    assert await store.reserve(limit_per_minute=10, kind="probe") == 0
    pause = await store.pause_state()
    assert (pause.stopped, pause.detail, pause.token_hash) == ("unauthorized", "Invalid token", "hash")
    assert pause.probe_at_ms == clock.now_ms + 60_000
    assert await store.resume()
    assert not await store.resume()
    assert await store.pause_state() == Pause()
    assert await store.reserve(limit_per_minute=10) == 0


async def test_hold_by_hand_stops_everything_until_unheld(store: Store) -> None:
    await store.hold("maintenance")
    assert (await store.pause_state()).held == "maintenance"
    assert await store.reserve(limit_per_minute=10, kind="probe") == 1_000
    await store.resume()
    assert await store.reserve(limit_per_minute=10) == 1_000
    assert await store.unhold()
    assert not await store.unhold()
    assert await store.reserve(limit_per_minute=10) == 0


async def test_first_start_finds_an_empty_window(store: Store) -> None:
    epoch, lost = await store.ensure_epoch(None)
    assert not lost
    assert await store.ensure_epoch(epoch) == (epoch, False)
    assert (await store.look()).epoch == epoch
    assert await store.reserve(limit_per_minute=1, epoch=epoch) == 0


async def test_window_starts_full_when_a_running_process_sees_the_epoch_vanish(
    store: Store, redis: Redis, clock: Clock
) -> None:
    epoch, _ = await store.ensure_epoch(None)
    await redis.flushall()
    renewed, lost = await store.ensure_epoch(epoch)
    assert lost and renewed != epoch
    assert await store.reserve(limit_per_minute=100, epoch=renewed) == 61_000
    clock.forward(61_000)
    assert await store.reserve(limit_per_minute=100, epoch=renewed) == 0


async def test_reserve_itself_sees_a_lost_epoch_and_a_caller_may_keep_the_old_one(
    store: Store, redis: Redis, clock: Clock
) -> None:
    epoch, _ = await store.ensure_epoch(None)
    for _ in range(3):
        await redis.flushall()
        assert await store.reserve(limit_per_minute=100, epoch=epoch) == 61_000
        clock.forward(61_000)
        assert await store.reserve(limit_per_minute=100, epoch=epoch) == 0
    current = (await store.look()).epoch
    assert await store.ensure_epoch(epoch) == (current, True)
    assert await store.ensure_epoch(current) == (current, False)


async def test_epochs_that_vanish_often_are_not_remembered_for_ever(store: Store, redis: Redis) -> None:
    epoch: str | None = None
    for _ in range(40):
        await redis.flushall()
        epoch, _ = await store.ensure_epoch(epoch)
    assert len(store._renewed) <= 17


async def test_slots_are_fenced_leases(store: Store, clock: Clock) -> None:
    assert await store.take_slot("a", 1, 1_000)
    assert await store.take_slot("a", 1, 1_000)
    assert not await store.take_slot("b", 1, 1_000)
    assert await store.take_slot("b", 2, 5_000)
    clock.forward(999)
    assert await store.extend_slot("a", 2_000)
    clock.forward(2_000)
    assert not await store.extend_slot("a", 2_000)
    assert not await store.give_slot("a")
    assert not await store.take_slot("c", 1, 1_000)
    assert await store.give_slot("b")
    assert await store.take_slot("c", 1, 1_000)


async def test_a_redis_that_lost_its_tail_is_found_out_by_the_next_put(make_store, redis: Redis) -> None:
    worker, web, idle = make_store(), make_store(), make_store()
    epoch, _ = await worker.ensure_epoch(None)
    await web.put([Delivery(None, (("t", b"1"),))])
    kept = await redis.dump(worker.keys.meta)
    await web.put([Delivery(None, (("t", b"2"),))])
    await redis.restore(worker.keys.meta, 0, kept, replace=True)  # what a torn file or a replica that lagged leaves
    await idle.put([Delivery(None, (("t", b"3"),))])
    assert await worker.ensure_epoch(epoch) == (epoch, False), "nobody can know yet: the idle one lost nothing"
    await web.put([Delivery(None, (("t", b"4"),))])
    renewed, lost = await worker.ensure_epoch(epoch)
    assert lost and renewed != epoch
    assert await worker.reserve(limit_per_minute=100, epoch=epoch) > 0
    await web.put([Delivery(None, (("t", b"5"),))])
    assert await worker.ensure_epoch(renewed) == (renewed, False), "a loss is told once"
    assert (await worker.counters())["epochs_lost"] == 1


async def test_a_redis_that_lost_its_tail_is_found_out_by_a_beat(make_store, redis: Redis) -> None:
    one, other = make_store(), make_store()
    epoch, _ = await one.ensure_epoch(None)
    await other.ensure_epoch(None)
    kept = await redis.dump(one.keys.meta)
    assert await one.ensure_epoch(epoch) == (epoch, False)
    await redis.restore(one.keys.meta, 0, kept, replace=True)
    renewed, lost = await one.ensure_epoch(epoch)
    assert lost and renewed != epoch
    assert await other.ensure_epoch(epoch) == (renewed, True)
    assert (await one.counters())["epochs_lost"] == 1


async def test_a_loss_that_a_put_saw_is_told_though_every_worker_is_new(make_store, redis: Redis) -> None:
    web = make_store()
    await web.put([Delivery(None, (("t", b"1"),))])
    await redis.flushall()
    await web.put([Delivery(None, (("t", b"2"),))])
    await make_store().ensure_epoch(None)
    assert (await web.counters())["epochs_lost"] == 1


async def test_writes_whose_answers_were_lost_are_no_loss(store: Store) -> None:
    epoch, _ = await store.ensure_epoch(None)
    store.writer.number()  # never arrived
    assert await store.ensure_epoch(epoch) == (epoch, False)
    told = store.writer.told
    await store.put([Delivery(None, (("t", b"1"),))])
    store.writer.told = told  # arrived, but its answer did not
    assert await store.ensure_epoch(epoch) == (epoch, False)


async def test_writers_that_fell_silent_are_forgotten_after_a_day(make_store, redis: Redis, clock: Clock) -> None:
    old = make_store()
    await old.put([Delivery(None, (("t", b"1"),))])
    clock.forward(86_400_001)
    young = make_store()
    await young.ensure_epoch(None)
    fields = await cast("Awaitable[list[bytes]]", redis.hkeys(old.keys.meta))
    assert {field for field in fields if field.startswith(b"writer:")} == {f"writer:{young.writer.name}".encode()}
