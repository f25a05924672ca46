"""
The modelled Redis is held to a real one: the same commands, the same answers, the same data.

Whole seeds of the simulation run with every command of theirs repeated on a real server, so what is compared is what
the simulation uses; then what a full server, a replica and a damaged key refuse.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from redis.connection import UnixDomainSocketConnection
from redis.exceptions import ConnectionError as Cut
from redis.exceptions import ResponseError

from gateway.store.pending import Store
from gateway.store.scripts import sources
from tests.redis_server import RedisServer
from tests.sim import plan as plans
from tests.sim.redis_data import Data, Wrong
from tests.sim.redis_lua import DENIED_WHEN_FULL, WRITES
from tests.sim.redis_net import Server
from tests.sim.run import Simulation, engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.redis
FULL = "used memory > 'maxmemory'"
REPLICA = "read only replica"
HASH_READERS = {b"hash": "HGETALL", b"string": "GET", b"set": "SMEMBERS"}


class Real:
    """A raw connection to a real server."""

    def __init__(self, path: str) -> None:
        self._connection: Any = UnixDomainSocketConnection(path=path)
        self._texts = {sha.encode(): text for sha, text in sources().values()}

    def __call__(self, *args: Any) -> Any:
        """Run one command; an error reply is given, not raised."""
        try:
            return self._say(*args)
        except ResponseError as error:
            if args[0] == b"EVALSHA" and "No matching script" in str(error):
                return self(b"EVAL", self._texts[args[1]], *args[2:])
            return error
        except Cut as error:  # LOADING and the like are connection errors to redis-py
            return error

    def _say(self, *args: Any) -> Any:
        self._connection.send_command(*args)
        return self._connection.read_response()

    def dump(self) -> dict[bytes, Any]:
        """Give everything, in the shape of `Data.dump`."""
        found: dict[bytes, Any] = {}
        for key in self(b"KEYS", b"*"):
            kind = self(b"TYPE", key)
            if kind == b"zset":
                flat = self(b"ZRANGE", key, 0, -1, b"WITHSCORES")
                found[key] = {member: float(score) for member, score in zip(flat[::2], flat[1::2], strict=True)}
            elif kind == b"hash":
                flat = self(b"HGETALL", key)
                found[key] = dict(zip(flat[::2], flat[1::2], strict=True))
            else:
                value = self(HASH_READERS[kind], key)
                found[key] = set(value) if kind == b"set" else value
        return found

    def close(self) -> None:
        self._connection.disconnect()


@pytest.fixture
def real(redis_server: RedisServer, redis_url: str) -> Iterator[Real]:
    connection = Real(redis_server.socket)
    yield connection
    connection.close()


def shape(reply: Any) -> Any:
    """Make replies comparable: what has no order is sorted, of an error its first word counts."""
    if isinstance(reply, Exception):
        return "error"
    return reply


class Mirrored(Server):
    """A modelled server whose every command is repeated on a real one."""

    real: Real
    compared = 0

    def execute(self, args: list[bytes]) -> Any:
        name = args[0].upper()
        before = self.data.ran
        reply = super().execute(args)
        if self.data.ran != before and name not in (b"INFO", b"PING"):
            told = self.real(*args)
            if name == b"HGETALL":
                told = dict(zip(told[::2], told[1::2], strict=True))
                reply_shown: Any = dict(zip(reply[::2], reply[1::2], strict=True))
            elif name == b"ZSCAN":
                told, reply_shown = sorted(told[1]), sorted(reply[1])
            else:
                reply_shown = reply
            assert shape(told) == shape(reply_shown), (args[:1], args[2:])
            type(self).compared += 1
        return reply


@pytest.mark.parametrize("seed", [2, 5, 9, 14, 21])
def test_a_real_server_answers_every_command_of_a_seed_alike_and_holds_the_same_data(seed: int, real: Real):
    simulation = Simulation(seed, server_type=Mirrored)
    server = simulation.world.server
    assert isinstance(server, Mirrored)
    server.real = real
    simulation.store_type = partial(Store, now_us=simulation.world.wall_us)
    before = Mirrored.compared
    result = simulation.run()
    assert result.violations == []
    assert Mirrored.compared - before > 300
    assert real.dump() == server.data.dump()


@pytest.mark.parametrize("name", sorted(sources()))
def test_a_full_server_refuses_the_same_scripts(name: str, real: Real, world_server: Server):
    text = sources()[name][1]
    world_server.full = True
    real(b"CONFIG", b"SET", b"maxmemory", b"1")
    try:
        refused = FULL in str(real(b"EVAL", text, b"0"))
    finally:
        real(b"CONFIG", b"SET", b"maxmemory", b"0")
    assert (FULL in str(world_server.execute([b"EVAL", text, b"0"]))) == refused


@pytest.mark.parametrize("name", sorted(sources()))
def test_a_replica_refuses_the_same_scripts(name: str, replica: Real, world_server: Server):
    text = sources()[name][1]
    world_server.readonly = True
    refused = REPLICA in str(replica(b"EVAL", text, b"0"))
    assert (REPLICA in str(world_server.execute([b"EVAL", text, b"0"]))) == refused


@pytest.mark.parametrize("name", sorted(WRITES - {b"FLUSHALL"}))
def test_a_full_server_refuses_the_same_plain_commands(name: bytes, real: Real):
    real(b"CONFIG", b"SET", b"maxmemory", b"1")
    try:
        refused = FULL in str(real(name, b"key", b"1", b"2"))
    finally:
        real(b"CONFIG", b"SET", b"maxmemory", b"0")
    arity = "wrong number" in str(real(name, b"key", b"1", b"2"))
    assert arity or refused == (name in DENIED_WHEN_FULL)


COMMANDS: list[list[bytes]] = [
    [b"SET", b"s", b"abc"],
    [b"SET", b"s2", b"abc", b"EX", b"100"],
    [b"TTL", b"s2"],
    [b"TTL", b"s"],
    [b"GETRANGE", b"s", b"0", b"0"],
    [b"GETRANGE", b"s", b"1", b"-1"],
    [b"GETRANGE", b"s", b"5", b"-1"],
    [b"GETRANGE", b"s", b"-2", b"-1"],
    [b"APPEND", b"s", b"d"],
    [b"STRLEN", b"s"],
    [b"STRLEN", b"none"],
    [b"MGET", b"s", b"none", b"z"],
    [b"ZADD", b"z", b"5", b"b", b"5", b"a", b"1.5", b"c"],
    [b"ZADD", b"z", b"NX", b"9", b"a", b"9", b"n"],
    [b"ZADD", b"z", b"XX", b"CH", b"7", b"a", b"7", b"absent"],
    [b"ZADD", b"z", b"GT", b"CH", b"1", b"a"],
    [b"ZADD", b"z", b"LT", b"CH", b"1", b"a"],
    [b"ZADD", b"other", b"XX", b"1", b"a"],
    [b"ZRANGE", b"z", b"0", b"-1", b"WITHSCORES"],
    [b"ZRANGE", b"z", b"0", b"1", b"REV", b"WITHSCORES"],
    [b"ZRANGE", b"z", b"-inf", b"5", b"BYSCORE", b"LIMIT", b"0", b"2"],
    [b"ZRANGE", b"z", b"-inf", b"+inf", b"BYSCORE", b"LIMIT", b"1", b"-1", b"WITHSCORES"],
    [b"ZCOUNT", b"z", b"2", b"+inf"],
    [b"ZMSCORE", b"z", b"a", b"none"],
    [b"ZSCORE", b"z", b"c"],
    [b"ZREMRANGEBYSCORE", b"z", b"-inf", b"1"],
    [b"ZREM", b"z", b"b", b"none"],
    [b"HSET", b"h", b"f", b"1", b"g", b"2"],
    [b"HSET", b"h", b"f"],
    [b"HSETNX", b"h", b"f", b"9"],
    [b"HINCRBY", b"h", b"f", b"41"],
    [b"HINCRBY", b"h", b"x", b"-3"],
    [b"HMGET", b"h", b"f", b"none"],
    [b"HSTRLEN", b"h", b"f"],
    [b"HLEN", b"h"],
    [b"HDEL", b"h", b"f", b"g", b"x", b"none"],
    [b"EXISTS", b"h", b"z", b"z"],
    [b"SADD", b"t", b"1", b"2", b"1"],
    [b"SCARD", b"t"],
    [b"SISMEMBER", b"t", b"2"],
    [b"HGET", b"s", b"f"],
    [b"ZADD", b"s", b"1", b"a"],
    [b"GET", b"z"],
    [b"SADD", b"z", b"1"],
    [b"ZADD", b"z", b"x", b"a"],
    [b"EXPIRE", b"t", b"50"],
    [b"EXPIRE", b"none", b"50"],
    [b"DEL", b"s", b"none"],
    [b"NOSUCH", b"s"],
]


def test_plain_commands_answer_alike_wrong_types_included(real: Real):
    data = Data(lambda: 1_800_000_000_000_000)
    for command in COMMANDS:
        try:
            reply = data.call(command[0], command[1:])
        except Wrong as error:
            reply = ResponseError(str(error))
        assert shape(real(*command)) == shape(reply), command
    assert real.dump() == data.dump()


def test_a_script_that_fails_midway_keeps_what_it_wrote(real: Real, world_server: Server):
    text = b"#!lua\nredis.call('SET', KEYS[1], 'x')\nredis.call('HSET', KEYS[1], 'f', '1')\nreturn 1"
    assert isinstance(real(b"EVAL", text, b"1", b"key"), ResponseError)
    assert isinstance(world_server.execute([b"EVAL", text, b"1", b"key"]), ResponseError)
    assert real.dump() == world_server.data.dump() == {b"key": b"x"}


def test_numbers_and_nothing_cross_lua_alike(real: Real, world_server: Server):
    text = (
        b"return {1.9, 0, -3, true, false, 'text', {1, {2}}, 2^40, redis.call('GET', 'none'), "
        b"redis.call('HMGET', 'none', 'a', 'b'), struct.pack('>I4I8', 7, 1800000000000000), "
        b"struct.unpack('>I4', 'abcdef', 2), string.format('%.0f', 1800000000000001)}"
    )
    assert real(b"EVAL", text, b"0") == world_server.execute([b"EVAL", text, b"0"])


@pytest.fixture
def world_server() -> Server:
    """A modelled server on its own."""
    return Simulation(0, plan=plans.calm()).world.server


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """A replica whose primary is away."""
    directory: Path = tmp_path_factory.mktemp("replica")
    with RedisServer(directory, replicaof="127.0.0.1 1") as server:
        connection = Real(server.socket)
        yield connection
        connection.close()


def test_the_lua_of_the_model_is_the_version_that_redis_runs(real: Real):
    assert real(b"EVAL", b"return _VERSION", b"0") == b"Lua 5.1"
    assert engine().version() == b"Lua 5.1"
