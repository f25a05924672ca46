"""What each trouble of Redis is called, and that none of it half-applies or loses anything. On real servers."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from redis import exceptions

from gateway.errors import PendingFull, StoreUnavailable
from gateway.store.client import classify, connect
from gateway.store.pending import Ack, Burial, Limits, Quarantined, Store
from tests.redis_server import RedisServer
from tests.store.conftest import delivery, joined, payloads_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.redis


@asynccontextmanager
async def opened(server: RedisServer, *, timeout_s: float = 5.0) -> AsyncIterator[Store]:
    client = connect(server.url, socket_timeout_s=timeout_s)
    try:
        yield Store(client)
    finally:
        await client.aclose()


async def kind_of(work: object) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        await work  # type: ignore[misc]
    return caught.value.kind


async def test_killed_redis_is_away_and_gives_everything_back_when_it_returns(own_server: RedisServer) -> None:
    with own_server:
        async with opened(own_server) as store:
            await store.put([delivery("a", ("t", b"1"))])
            own_server.kill()
            assert await kind_of(store.put([delivery("b", ("t", b"2"))])) == "away"
            assert await kind_of(store.look()) == "away"
            assert await kind_of(store.peek(["t"])) == "away"
            own_server.start()
            assert await store.put([delivery("a", ("t", b"1")), delivery("b", ("t", b"2"))]) == [
                "duplicate",
                "accepted",
            ]
            assert [payloads_of(one.value) for one in await store.peek(["t"])] == [[b"1", b"2"]]


async def test_timed_out_put_may_be_applied_and_its_repeat_is_a_duplicate(own_server: RedisServer) -> None:
    with own_server:
        async with opened(own_server, timeout_s=0.2) as store:
            await store.put([delivery("warm", ("w", b"1"))])
            os.kill(own_server.pid, signal.SIGSTOP)
            try:
                assert await kind_of(store.put([delivery("a", ("t", b"1"))])) == "timeout"
            finally:
                os.kill(own_server.pid, signal.SIGCONT)
            async with opened(own_server) as patient:
                for _ in range(100):
                    if [one.value for one in await patient.peek(["t"])] != [b""]:
                        break
                    await asyncio.sleep(0.01)
            assert await store.put([delivery("a", ("t", b"1"))]) == ["duplicate"]
            assert [payloads_of(one.value) for one in await store.peek(["t"])] == [[b"1"]]


async def test_put_that_waited_in_a_paused_server_is_not_doubled(own_server: RedisServer) -> None:
    with own_server:
        async with opened(own_server, timeout_s=0.2) as store:
            await store.put([delivery("warm", ("w", b"1"))])
            await store.command("CLIENT", "PAUSE", 400, "WRITE")
            assert await kind_of(store.put([delivery("a", ("t", b"1"))])) == "timeout"
            await asyncio.sleep(0.4)
            await store.put([delivery("a", ("t", b"1"))])
            assert [payloads_of(one.value) for one in await store.peek(["t"])] == [[b"1"]]


async def test_demoted_primary_is_readonly_and_its_connections_are_dropped(own_server: RedisServer) -> None:
    with own_server:
        async with opened(own_server) as store:
            await store.put([delivery("a", ("t", b"1"))])
            await store.claim(1, "k", 60_000)
            before = await store.command("CLIENT", "ID")
            await store.command("REPLICAOF", "127.0.0.1", "1")
            assert await kind_of(store.put([delivery("b", ("t", b"2"))])) == "readonly"
            assert await kind_of(store.ack("k", [Ack("t", 13, b"s")])) == "readonly"
            assert await kind_of(store.prove_writable()) == "readonly"
            assert await store.command("CLIENT", "ID") != before
            await store.command("REPLICAOF", "NO", "ONE")
            assert await store.ack("k", [Ack("t", 13, b"s")]) == {"t": "acked"}
            assert await store.put([delivery("b", ("t", b"2"))]) == ["accepted"]


async def test_loading_redis_says_so(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", key_load_delay=100) as server:
        async with opened(server) as store:
            await store.commands(
                [("SET", "k", i) for i in range(10_000)]
            )  # a loading Redis answers every 1,024 commands
            restart = asyncio.create_task(asyncio.to_thread(server.restart))
            kinds = set()
            while not restart.done():
                try:
                    await store.look()
                except StoreUnavailable as error:
                    kinds.add(error.kind)
                await asyncio.sleep(0.005)
            await restart
            assert "loading" in kinds
            assert kinds <= {"loading", "away", "timeout"}
            assert (await store.look()).pending == 0


async def test_full_redis_refuses_intake_whole_and_can_be_emptied(own_server: RedisServer) -> None:
    with own_server:
        async with opened(own_server) as cautious:
            store = Store(cautious.redis, limits=Limits(memory_fraction=1e9))
            names = [f"t{i}" for i in range(6)]
            await store.put([delivery(None, *((name, b"1") for name in names))])
            await store.claim(6, "k", 60_000)
            await store.bury("k", [Burial("t5", 13, joined(b"1"), "refused", "")])
            held = await store.quarantine(Quarantined("z", "not_json", "", "POST", (), "", b"{"))
            keys_before = await store.command("DBSIZE")
            await store.command("CONFIG", "SET", "maxmemory", 1)
            with pytest.raises(StoreUnavailable) as full:
                await store.put([delivery("a", ("new", b"1"), ("t0", b"2"))])
            assert full.value.kind == "oom"
            record = Quarantined("z", "not_json", "", "POST", (), "", b"{")
            assert await kind_of(store.quarantine(record)) == "oom"
            assert await kind_of(store.prove_writable()) == "oom"
            assert await store.command("DBSIZE") == keys_before
            assert [payloads_of(one.value) for one in await store.load(["t0"])] == [[b"1"]]
            assert await store.extend(names[:5], "k", 60_000) == set()
            assert await store.ack("k", [Ack("t0", 13, b"state")]) == {"t0": "acked"}
            assert await store.bury("k", [Burial("t1", 13, joined(b"1"), "refused", "")]) == {"t1": "buried"}
            assert await store.compact("k", "t2", 13, joined(b"1"))
            assert await store.release("k", ["t3"], lane="lookups", group=1) == 1
            assert await store.waiting("lookups") == ["t3"]
            assert await store.ready("lookups", ["t3"]) == 0
            assert await store.regroup({"t3": 2}) == 1
            assert await store.unsuspect(["t3"]) == 0
            assert await store.claim_named(["t3"], "k2", 1_000) == [("t3", 0)]
            assert await store.claim(9, "k3", 1_000) == [("t2", 0)]
            assert await store.park("lookups", ["t3"], 1) == 1
            assert await store.replay_tickets(["t5"]) == 1
            assert await store.discard(["t1", held]) == 2
            assert await store.expire(0) == []
            assert await store.reserve(limit_per_minute=5) == 0
            assert await store.take_slot("slot", 1, 1_000)
            assert (await store.ensure_epoch(None))[1] is False
            await store.pause(1, "429")
            await store.stop("unauthorized", "", "", 1)
            assert (await store.look()).pending == 4


async def test_redis_that_is_nearly_full_is_seen_before_the_script(own_server: RedisServer) -> None:
    with own_server:
        async with opened(own_server) as store:
            used = (await store.command("INFO", "memory"))["used_memory"]
            await store.command("CONFIG", "SET", "maxmemory", int(used / 0.9))
            with pytest.raises(PendingFull) as full:
                await store.put([delivery("a", ("t", b"1"))])
            assert full.value.cap == "memory"
            assert await store.put([delivery("a", ("t", b"1"))], capped=False) == ["accepted"]
            await store.command("CONFIG", "SET", "maxmemory", 0)
            with pytest.raises(PendingFull):
                await store.put([delivery("b", ("t", b"1"))])
            await asyncio.sleep(1.0)
            assert await store.put([delivery("b", ("t", b"1"))]) == ["accepted"]


async def test_key_of_a_wrong_type_ends_the_put_before_its_first_write(redis: Any) -> None:
    store = Store(redis)
    for damaged in (store.keys.change("t2"), store.keys.counters, store.keys.due, store.keys.meta, store.keys.dead):
        await redis.flushall()
        await redis.lpush(damaged, "x")
        assert await kind_of(store.put([delivery("a", ("t1", b"1"), ("t2", b"1"))])) == "error"
        assert [key.decode() for key in await redis.keys("*")] == [damaged]


async def test_damaged_ticket_ends_the_ack_before_its_first_write(redis: Any) -> None:
    store = Store(redis)
    await store.put([delivery(None, ("good", b"1"), ("bad", b"1"))])
    await store.claim(2, "k", 60_000)
    await redis.delete(store.keys.change("bad"))
    await redis.lpush(store.keys.change("bad"), "x")
    assert await kind_of(store.ack("k", [Ack("good", 13, b"s"), Ack("bad", 13, b"s")])) == "error"
    assert await store.states(["good"]) == [None]
    assert await store.ack("k", [Ack("good", 13, b"s")]) == {"good": "acked"}


async def test_primary_without_the_replicas_it_must_have_says_so(own_server: RedisServer) -> None:
    with own_server:
        async with opened(own_server) as store:
            await store.command("CONFIG", "SET", "min-replicas-to-write", 1)
            assert await kind_of(store.put([delivery("a", ("t", b"1"))])) == "noreplicas"
            assert await kind_of(store.prove_writable()) == "noreplicas"


async def test_redis_that_runs_a_long_script_is_busy(own_server: RedisServer) -> None:
    with own_server:
        async with opened(own_server) as store, opened(own_server) as other:
            await store.look()
            await store.command("CONFIG", "SET", "lua-time-limit", 20)
            endless = asyncio.create_task(other.command("EVAL", "while true do end", 0))
            await asyncio.sleep(0.1)
            assert await kind_of(store.look()) == "busy"
            await store.command("SCRIPT", "KILL")
            assert await kind_of(endless) == "error"
            assert (await store.look()).pending == 0


async def test_wrong_password_is_auth_and_an_encoded_one_is_decoded(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", requirepass="p@ss/w:rd %") as server:
        async with opened(server) as store:
            assert (await store.look()).pending == 0
        for url in (server.url.replace("p%40", "wrong"), f"unix://{server.socket}"):
            client = connect(url)
            assert await kind_of(Store(client).look()) == "auth"
            assert await kind_of(Store(client).peek(["t"])) == "auth"
            await client.aclose()


@pytest.mark.parametrize(
    "error, kind",
    [
        (exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots, but ..."), "misconf"),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), "noreplicas"),
        (exceptions.ResponseError("BUSY Redis is busy running a script."), "busy"),
        (exceptions.ResponseError("UNKILLABLE Sorry the script already executed write commands"), "busy"),
        (exceptions.ResponseError("TRYAGAIN Multiple keys request during rehashing of slot"), "tryagain"),
        (exceptions.ResponseError("MOVED 1 127.0.0.1:7001"), "moved"),
        (exceptions.ResponseError("MASTERDOWN Link with MASTER is down"), "away"),
        (exceptions.ResponseError("CLUSTERDOWN The cluster is down"), "away"),
        (exceptions.ResponseError("OOM command not allowed when used memory > 'maxmemory'."), "oom"),
        (exceptions.ResponseError("WRONGTYPE Operation against a key"), "error"),
        (exceptions.OutOfMemoryError("command not allowed"), "oom"),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), "readonly"),
        (exceptions.ConnectionError("The previous master is now a slave"), "readonly"),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (exceptions.ConnectionError("LOADING Redis is loading the dataset in memory"), "loading"),
        (exceptions.ConnectionError("invalid username-password pair or user is disabled."), "auth"),
        (exceptions.NoPermissionError("this user has no permissions"), "auth"),
        (exceptions.TimeoutError("Timeout reading from socket"), "timeout"),
        (TimeoutError(), "timeout"),
        (exceptions.ConnectionError("Connection closed by server."), "away"),
        (ConnectionResetError("reset"), "away"),
        (OSError("no route"), "away"),
        (exceptions.RedisError("what is this"), "error"),
        (exceptions.ResponseError("x" * 9_000), "error"),
    ],
)
def test_every_trouble_has_a_name(error: Exception, kind: str) -> None:
    named = classify(error)
    assert named.kind == kind
    assert 0 < len(named.detail) <= 300
