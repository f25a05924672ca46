"""A cancelled command never leaves its connection to the next one: no reply ever reaches another caller."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from gateway.errors import StoreUnavailable
from gateway.store.client import connect
from gateway.store.pending import Store
from tests.store.conftest import delivery

pytestmark = pytest.mark.redis


async def caller(store: Store, number: int, told: Counter[str]) -> None:
    """Ask for things that only this caller may be told."""
    mark = f"n{number}".encode()
    kind = number % 4
    if kind == 0:
        assert await store.command("ECHO", mark) == mark
    elif kind == 1:
        assert await store.commands([("ECHO", mark + b"a"), ("ECHO", mark + b"b")]) == [mark + b"a", mark + b"b"]
    elif kind == 2:
        name = mark.decode()
        assert await store.put([delivery(name, (name, mark))]) == ["accepted"]
        assert await store.claim_named([name], name, 60_000) == [(name, 0)]
    else:
        assert await store.cache_get("c", "k", [mark.decode()] * 50) == [None] * 50
    told["answered"] += 1


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
async def test_replies_never_mix_in_a_storm_of_cancels(redis_url: str, twice: bool) -> None:
    chance = random.Random(7)
    client = connect(redis_url, max_connections=3)
    store, told = Store(client), Counter[str]()

    async def one(number: int) -> None:
        task = asyncio.create_task(caller(store, number, told))
        if number % 2:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            await asyncio.sleep(chance.choice([0, 0, 0.0002, 0.001, 0.003]))
            for _ in range(2 if twice else 1):
                task.cancel()
                await asyncio.sleep(0)
        try:
            await task
        except asyncio.CancelledError:
            told["cancelled"] += 1

    for start in range(0, 1_200, 60):
        await asyncio.gather(*(one(number) for number in range(start, start + 60)))
    assert told["answered"] >= 600
    assert told["cancelled"] >= 200
    # No connection was lost on the way: all three serve at once, and no fourth was ever opened.
    answers = await asyncio.wait_for(asyncio.gather(*(store.command("ECHO", str(n)) for n in range(30))), 2)
    assert answers == [str(n).encode() for n in range(30)]
    pool = client.connection_pool
    assert len(pool._available_connections) <= 3
    assert not pool._in_use_connections
    assert pool._free._value == 3  # type: ignore[attr-defined]
    await client.aclose()


async def test_command_cut_short_by_a_deadline_closes_its_connection(redis_url: str) -> None:
    client = connect(redis_url, max_connections=1)
    store = Store(client)
    before = await store.command("CLIENT", "ID")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await store.command("BLPOP", "nothing", 5)
    assert await store.command("ECHO", b"mine") == b"mine"
    assert await store.command("CLIENT", "ID") != before
    await client.aclose()


async def test_who_finds_no_free_connection_waits_and_then_is_told(redis_url: str) -> None:
    client = connect(redis_url, max_connections=1, socket_timeout_s=0.3)
    store = Store(client)
    lent = await client.connection_pool.get_connection()
    answers = await asyncio.gather(*(store.command("PING") for _ in range(3)), return_exceptions=True)
    assert [one.kind for one in answers if isinstance(one, StoreUnavailable)] == ["timeout"] * 3
    await client.connection_pool.release(lent)
    assert await store.command("ECHO", b"x") == b"x"
    await client.aclose()
