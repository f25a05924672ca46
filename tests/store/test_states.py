"""The view, health, counters, fingerprints and the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.store.pending import Ack, Pause, Store, View
from tests.store.conftest import Clock, delivery

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def test_view_of_an_empty_bridge_is_all_zero(store: Store, clock: Clock) -> None:
    assert await store.look() == View(
        now_ms=clock.now_ms,
        due_count=0,
        oldest_due_ms=None,
        last_put_ms=0,
        pending=0,
        leased=0,
        parked=0,
        suspects=0,
        lookups=0,
        deletes=0,
        unread=0,
        dead=0,
        quarantined=0,
        pause=Pause(),
    )


async def test_exact_view_tells_lapsed_claims_from_live_ones(store: Store, clock: Clock) -> None:
    await store.put([delivery(None, ("a", b"1"), ("b", b"1"), ("c", b"1"), ("d", b"1"))])
    await store.claim_named(["a"], "k1", 1_000)
    await store.claim_named(["b"], "k2", 9_000)
    await store.claim_named(["c"], "k3", 9_000)
    await store.release("k3", ["c"], not_before_ms=clock.now_ms + 9_000)
    clock.forward(2_000)
    view = await store.look(exact=True)
    assert (view.pending, view.due_count, view.leased, view.parked) == (4, 2, 1, 1)
    assert (await store.look()).leased == 2


async def test_view_is_one_round_trip(store: Store, redis: Redis) -> None:
    await store.look()
    await redis.config_resetstat()
    await store.look()
    stats = await redis.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 1
    assert not {"cmdstat_multi", "cmdstat_eval", "cmdstat_ping"} & stats.keys()


async def test_health_is_kept_as_text_and_merged(store: Store) -> None:
    assert await store.health() == {}
    await store.set_health({"fails": 2, "mode": "probing"})
    await store.set_health({"fails": 0})
    assert await store.health() == {"fails": "0", "mode": "probing"}


async def test_counters_add_up(store: Store) -> None:
    await store.count({"sent": 5, "calls": 1})
    await store.count({"sent": 2})
    assert await store.counters() == {"sent": 7, "calls": 1}


async def test_fingerprints_are_remembered_by_name(store: Store) -> None:
    assert await store.fingerprint("credentials") == ""
    await store.set_fingerprint("credentials", "abc")
    assert await store.fingerprint("credentials") == "abc"
    assert await store.fingerprint("other") == ""


async def test_cache_answers_in_order_and_forgets_in_time(store: Store, redis: Redis) -> None:
    await store.cache_set("zendesk", "user", {"1": b"a", "3": b""}, 60)
    assert await store.cache_get("zendesk", "user", ["3", "2", "1"]) == [b"", None, b"a"]
    assert await store.cache_get("zendesk", "organization", ["1"]) == [None]
    assert await store.cache_get("zendesk", "user", []) == []
    assert 0 < await redis.ttl(store.keys.cache("zendesk", "user", "1")) <= 60


async def test_time_is_that_of_redis_unless_given(store: Store, redis: Redis, clock: Clock) -> None:
    assert await store.now_ms() == clock.now_ms
    seconds, _ = await redis.time()
    assert abs(await Store(redis).now_ms() - seconds * 1_000) < 5_000


async def test_a_writable_redis_proves_it_and_leaves_no_lasting_key(store: Store, redis: Redis) -> None:
    await store.prove_writable()
    assert [await redis.ttl(key) > 0 for key in await redis.keys("*")] == [True]


async def test_a_ticket_that_went_its_way_leaves_only_its_state(store: Store, redis: Redis) -> None:
    await store.put([delivery("a", ("t", b"1"))])
    await store.claim(1, "k", 1_000)
    await store.ack("k", [Ack("t", 13, b"s")])
    left = {key.decode().removeprefix(store.keys.base).partition(":")[0] for key in await redis.keys("*")}
    assert left == {"state", "meta", "counters", "seen"}
