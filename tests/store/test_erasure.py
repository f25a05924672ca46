"""What is left of a ticket replaces what was read of it, at any moment of the ticket's life."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.erasure import Kept
from gateway.store.client import connect
from gateway.store.pending import Ack, Burial, Quarantined, Store
from tests.store.conftest import Clock, delivery, joined, payloads_of, size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from tests.redis_server import RedisServer

pytestmark = pytest.mark.redis


@asynccontextmanager
async def opened(server: RedisServer) -> AsyncIterator[Store]:
    client = connect(server.url)
    try:
        yield Store(client)
    finally:
        await client.aclose()


async def left_by_nobody(redis: Redis) -> set[str]:
    """The keys that hold anything but counters, clocks and delivery ids."""
    names = {name.decode().removeprefix("gw:{planhat}:") for name in await redis.keys("*")}
    return {name for name in names if not name.startswith(("seen:", "counters", "meta"))}


async def put_and_state(store: Store, ticket: str = "t") -> None:
    """A ticket with a state and something unsent."""
    await store.put([delivery(None, (ticket, b"old"))])
    await store.claim(1, "before", 1_000)
    await store.ack("before", [Ack(ticket, size(b"old"), b"state", ttl_s=600)])
    await store.put([delivery(None, (ticket, b"new"))])


async def test_of_an_idle_ticket_nothing_is_left_anywhere(store: Store, redis: Redis) -> None:
    await put_and_state(store)
    for lane in ("lookups", "deletes", "unread"):
        await store.claim(1, "w", 1_000)
        await store.release("w", ["t"], lane=lane, group=1)
    kept = await store.kept(["t"])
    assert kept["t"].state == b"state"
    assert await store.forget("f", {"t": (kept["t"], Kept())}) == {"t": "done"}
    assert await left_by_nobody(redis) == set()


async def test_what_changed_meanwhile_is_not_touched(store: Store) -> None:
    await put_and_state(store)
    kept = await store.kept(["t"])
    await store.put([delivery(None, ("t", b"newer"))])
    assert await store.forget("f", {"t": (kept["t"], Kept())}) == {"t": "changed"}
    (loaded,) = await store.peek(["t"])
    assert payloads_of(loaded.value) == [b"new", b"newer"]
    assert loaded.state == b"state"


@pytest.mark.parametrize("part", ["value", "state", "dead", "row"])
async def test_each_part_is_compared(store: Store, part: str) -> None:
    await put_and_state(store)
    kept = (await store.kept(["t"]))["t"]
    other = Kept(**{**{name: getattr(kept, name) for name in Kept.__slots__}, part: getattr(kept, part) + b"x"})
    assert await store.forget("f", {"t": (other, Kept())}) == {"t": "changed"}
    moved = Kept(kept.value + kept.state, b"", kept.dead, kept.row)
    assert await store.forget("f", {"t": (moved, Kept())}) == {"t": "changed"}


async def test_each_ticket_of_a_call_has_its_own_end(store: Store) -> None:
    names = [f"t{n}" for n in range(250)]
    await store.put([delivery(None, *((name, b"x") for name in names))])
    kept = await store.kept(names)
    await store.put([delivery(None, ("t7", b"y"), ("t249", b"y"))])
    ends = await store.forget("f", {name: (kept[name], Kept()) for name in names})
    assert {name for name, end in ends.items() if end == "changed"} == {"t7", "t249"}
    assert (await store.look()).pending == 2


async def test_a_holder_settles_nothing_any_more(store: Store, clock: Clock, redis: Redis) -> None:
    await put_and_state(store)
    await store.claim(1, "worker", 1_000)
    kept = await store.kept(["t"])
    assert await store.forget("f", {"t": (kept["t"], Kept())}) == {"t": "held"}
    assert await store.extend(["t"], "worker", 1_000) == {"t"}
    assert await store.ack("worker", [Ack("t", size(b"new"), b"again", ttl_s=None)]) == {"t": "gone"}
    assert await store.bury("worker", [Burial("t", size(b"new"), joined(b"x"), "refused", "says why")]) == {"t": "gone"}
    assert await store.release("worker", ["t"]) == 0
    assert not await store.compact("worker", "t", size(b"new"), joined(b"x"))
    assert await store.states(["t"]) == [None]
    clock.forward(1_001)
    claimed = await store.claim(10, "next", 1_000)
    assert [one.ticket for one in claimed] == ["t"]
    assert await store.load(["t"]) == []
    assert await left_by_nobody(redis) == set()


async def test_a_change_after_the_erasure_of_a_held_ticket_waits_for_the_claim_and_goes_twice(
    store: Store, clock: Clock
) -> None:
    await put_and_state(store)
    await store.claim(1, "worker", 1_000)
    kept = await store.kept(["t"])
    await store.forget("f", {"t": (kept["t"], Kept())})
    await store.put([delivery(None, ("t", b"later"))])
    assert await store.claim(10, "early", 1_000) == []
    clock.forward(1_001)
    ((ticket, doubt),) = await store.claim(10, "next", 1_000)
    assert (ticket, doubt) == ("t", 1), "a call of the holder may land late, so the change is sent once more"
    (loaded,) = await store.load(["t"])
    assert payloads_of(loaded.value) == [b"later"]


async def test_a_ticket_in_doubt_stays_in_its_place_until_it_is_swept(store: Store, clock: Clock, redis: Redis) -> None:
    await put_and_state(store)
    await store.claim(1, "gone", 1_000)
    clock.forward(1_001)
    await store.claim(1, "worker", 1_000)
    await store.ack("worker", [Ack("t", size(b"new"), b"state", resend=joined(b"new"), lease_ms=1_000)])
    kept = await store.kept(["t"])
    assert await store.forget("f", {"t": (kept["t"], Kept())}) == {"t": "done"}
    assert await store.claim_named(["t"], "early", 1_000) == []
    clock.forward(2_001)
    await store.claim(10, "next", 1_000)
    assert await store.load(["t"]) == []
    assert await left_by_nobody(redis) == set()


async def test_what_is_left_keeps_its_place_and_its_time_to_live(store: Store, redis: Redis) -> None:
    await put_and_state(store)
    before = await redis.zscore(store.keys.due, "t")
    kept = await store.kept(["t"])
    rest = Kept(joined(b"rest"), b"less", b"", b"")
    assert await store.forget("f", {"t": (kept["t"], rest)}) == {"t": "done"}
    assert await store.kept(["t"]) == {"t": rest}
    assert await redis.zscore(store.keys.due, "t") == before
    assert 0 < await redis.ttl(store.keys.state("t")) <= 600


async def test_a_dead_letter_goes_or_is_replaced(store: Store) -> None:
    for name in ("gone", "less"):
        await store.put([delivery(None, (name, b"x"))])
        await store.claim(1, "w", 1_000)
        await store.bury("w", [Burial(name, size(b"x"), joined(b"x"), "refused", "the words of Planhat")])
    kept = await store.kept(["gone", "less"])
    rest = Kept(b"", b"", joined(b"y"), b'{"reason":"refused","detail":"words"}')
    assert await store.forget("f", {"gone": (kept["gone"], Kept()), "less": (kept["less"], rest)})
    (row,) = await store.dead_letters()
    assert (row.id, row.detail) == ("less", "words")
    assert await store.replay_tickets(["gone", "less"]) == 1
    (loaded,) = await store.peek(["less"])
    assert payloads_of(loaded.value) == [b"y"]


async def test_a_walk_meets_everything_and_nothing_of_other_destinations(store: Store, redis: Redis) -> None:
    other = Store(redis, "other")
    for one in (store, other):
        await one.put([delivery(None, *((f"c{n}", b"x") for n in range(1_500)))])
        await one.cache_set("desk", "user", {"7": b"seven"}, 60)
    await put_and_state(store, "s")
    tickets: list[str] = []
    cached: dict[str, bytes] = {}
    cursor = 0
    while True:
        cursor, found, answers = await store.walk(cursor)
        tickets += found
        cached |= answers
        if not cursor:
            break
    assert set(tickets) == {*(f"c{n}" for n in range(1_500)), "s"}
    assert cached == {store.keys.cache("desk", "user", "7"): b"seven"}
    assert await store.forget_cached(list(cached)) == 1
    assert await store.cache_get("desk", "user", ["7"]) == [None]
    assert await other.cache_get("desk", "user", ["7"]) == [b"seven"]


async def test_dead_letters_and_quarantine_are_walked_too(store: Store) -> None:
    assert await store.walk_dead(0) == (0, [])
    assert await store.walk_quarantine(0) == (0, {})
    await store.put([delivery(None, ("t", b"x"))])
    await store.claim(1, "w", 1_000)
    await store.bury("w", [Burial("t", size(b"x"), joined(b"x"), "refused", "why")])
    ident = await store.quarantine(Quarantined("desk", "not_json", "why", "POST", (("a", "header"),), "q=1", b"body"))
    assert await store.walk_dead(0) == (0, ["t"])
    cursor, found = await store.walk_quarantine(0)
    assert cursor == 0
    assert found.keys() == {ident}
    assert b"header" in found[ident]
    assert found[ident].endswith(b"\nbody")


async def test_words_are_swapped_only_while_they_are_what_was_read(store: Store, redis: Redis) -> None:
    await store.set_health({"record": "said ada", "other": "x"})
    await store.stop("refused", "ada is bad", "hash", 1_000)
    assert await store.reword(lambda said: said.replace("ada", "?")) == 2
    assert await store.health() == {"record": "said ?", "other": "x"}
    assert (await store.pause_state()).detail == "? is bad"
    assert await store.reword(lambda said: said.replace("ada", "?")) == 0
    args: list[Any] = ["record", "not this", "new"]
    assert await store.scripts.run("swap", [store.keys.health], args) == 0
    assert (await store.health())["record"] == "said ?"


async def test_a_full_redis_can_forget(own_server: RedisServer) -> None:
    with own_server:
        async with opened(own_server) as store:
            await store.put([delivery(None, ("t", b"x" * 1000))])
            kept = await store.kept(["t"])
            await store.command("CONFIG", "SET", "maxmemory", 1)
            assert await store.forget("f", {"t": (kept["t"], Kept())}) == {"t": "done"}
            assert (await store.look()).pending == 0


async def test_the_file_is_written_anew_where_there_is_one_and_where_it_is_allowed(own_server: RedisServer) -> None:
    with own_server:
        async with opened(own_server) as store:
            assert await store.rewrite_file() is True
            await store.command("ACL", "SETUSER", "default", "-bgrewriteaof")
            assert await store.rewrite_file() is False
            await store.command("CONFIG", "SET", "appendonly", "no")
            assert await store.rewrite_file() is None
