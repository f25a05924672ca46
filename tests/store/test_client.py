"""Every way to name a Redis, and the limits that a URL cannot lift."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis as blocking
import uvloop
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedSSLConnection

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.store.client import CLIENT_NAME, SentinelPool, connect, guarded
from gateway.store.pending import Store
from tests.redis_server import RedisServer, binary, tied
from tests.store.conftest import delivery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def options(url: str, **more: Any) -> tuple[type, dict[str, Any]]:
    pool = connect(url, **more).connection_pool
    return pool.connection_class, pool.connection_kwargs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_plain_url_is_read_and_its_password_decoded() -> None:
    kind, found = options("redis://user:p%40ss%2Fw%3A@cache.example:7000/3")
    assert kind is Connection
    assert (found["host"], found["port"], found["db"]) == ("cache.example", 7000, 3)
    assert (found["username"], found["password"]) == ("user", "p@ss/w:")
    assert not found["decode_responses"]
    assert found["retry"]._retries == 0


def test_what_stands_behind_the_question_mark_cannot_turn_retries_on() -> None:
    _, found = options("redis://h/0?retry_on_timeout=true&max_connections=99&socket_timeout=900&decode_responses=1")
    assert "retry_on_timeout" not in found
    assert found["socket_timeout"] == 5.0
    assert not found["decode_responses"]
    assert connect("redis://h/0?max_connections=99").connection_pool.max_connections == 3


def test_tls_checks_certificate_and_name_unless_told_not_to() -> None:
    kind, found = options("rediss://h:6380/0")
    assert kind is SSLConnection
    strict = SSLConnection(**found).ssl_context
    assert (strict.cert_reqs, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    lenient = SSLConnection(**options("rediss://h:6380/0?ssl_cert_reqs=required", tls_verify=False)[1]).ssl_context
    assert (lenient.cert_reqs, lenient.check_hostname) == (ssl.CERT_NONE, False)


def test_unix_url_is_read() -> None:
    kind, found = options("unix:///tmp/a%20b.sock?db=2")
    assert kind is UnixDomainSocketConnection
    assert (found["path"], found["db"]) == ("/tmp/a b.sock", 2)


def test_sentinel_url_is_read() -> None:
    url = "redis+sentinel://u:p%40@one.example:26380,two.example/gw/4?sentinel_password=s%3A"
    pool = connect(url).connection_pool
    assert isinstance(pool, SentinelPool)
    assert (pool.service_name, pool.max_connections) == ("gw", 3)
    found = pool.connection_kwargs
    assert (found["username"], found["password"], found["db"]) == ("u", "p@", 4)
    asked = [node.connection_pool.connection_kwargs for node in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"], one["password"]) for one in asked] == [
        ("one.example", 26380, "s:"),
        ("two.example", 26379, "s:"),
    ]
    secure = connect("rediss+sentinel://h/gw", tls_verify=False).connection_pool
    assert secure.connection_class is SentinelManagedSSLConnection


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://:hunter2-secret@h",
        "redis://:hunter2-secret@h:port/0",
        "redis+sentinel://:hunter2-secret@h:1",
        "redis+sentinel://h/gw/x",
        "redis+sentinel:///gw",
    ],
)
def test_url_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(url)
    assert "REDIS_URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_process_never_opens_more_than_its_connections(redis_url: str) -> None:
    client = connect(redis_url, max_connections=3)
    store = Store(client)
    await asyncio.gather(*(store.look() for _ in range(200)))
    named = [one for one in await client.client_list() if one["name"] == CLIENT_NAME]
    assert len(named) == 3
    await client.aclose()


async def test_tcp_works_as_the_socket_does(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", port=free_port()) as server:
        client = connect(server.url)
        assert await Store(client).put([delivery("a", ("t", b"1"))]) == ["accepted"]
        await client.aclose()


def test_server_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as theirs:
        ours = RedisServer(tmp_path / "redis")
        with pytest.raises(RuntimeError):
            ours.start()
        for process, mark in ((theirs._process, ours._mark), (None, theirs._mark)):
            ours._process, ours._mark = process, mark
            with pytest.raises(RuntimeError):
                ours._wait()
        with blocking.Redis(unix_socket_path=theirs.socket) as client:
            assert client.ping()


@contextmanager
def sentinel(directory: Path, primary_port: int) -> Iterator[int]:
    """A Sentinel that calls the server at `primary_port` the primary of `gw`."""
    port = free_port()
    config = directory / "sentinel.conf"
    config.write_text(f"port {port}\nbind 127.0.0.1\ndir {directory}\nsentinel monitor gw 127.0.0.1 {primary_port} 1\n")
    process = subprocess.Popen(
        tied([binary(), str(config), "--sentinel"]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        with blocking.Redis(port=port) as client:
            while True:
                try:
                    client.ping()
                    break
                except blocking.exceptions.ConnectionError:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.mark.redis
async def test_after_a_failover_the_next_command_goes_to_the_new_primary(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "one", port=free_port()) as first,
        RedisServer(tmp_path / "two", port=free_port()) as second,
        sentinel(tmp_path, int(first.config["port"])) as port,
    ):
        client = connect(f"redis+sentinel://127.0.0.1:{port}/gw/0")
        store = Store(client)
        assert await store.put([delivery("a", ("t", b"1"))]) == ["accepted"]
        with blocking.Redis(port=port) as guard:
            guard.sentinel_remove("gw")
            guard.sentinel_monitor("gw", "127.0.0.1", second.config["port"], 1)
        with blocking.Redis(unix_socket_path=first.socket) as demoted:
            demoted.replicaof("127.0.0.1", 1)
        with pytest.raises(StoreUnavailable) as caught:
            await store.put([delivery("b", ("t", b"1"))])
        assert caught.value.kind == "readonly"
        assert await store.put([delivery("b", ("t", b"1"))]) == ["accepted"]
        with blocking.Redis(unix_socket_path=second.socket) as promoted:
            assert promoted.zscore(store.keys.due, "t")
        await client.aclose()
        for node in client.connection_pool.sentinel_manager.sentinels:  # type: ignore[attr-defined]
            await node.aclose()


def test_a_write_to_a_connection_that_was_just_reset_is_an_outage_under_uvloop_too(redis_server: RedisServer) -> None:
    async def work() -> None:
        client = connect(redis_server.url)
        _, writer = await asyncio.open_unix_connection(redis_server.socket)
        writer.transport.abort()
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable) as caught:
            async with guarded(client):
                writer.writelines([b"PING\r\n"])
        assert caught.value.kind == "away"
        with pytest.raises(RuntimeError):
            async with guarded(client):
                raise RuntimeError("ours")
        await client.aclose()

    uvloop.run(work())
