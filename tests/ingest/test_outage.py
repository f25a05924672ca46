"""Redis away, hanging or full: the sender is asked to come back, and the door opens again by itself."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from gateway.app import create_app
from gateway.settings import from_env
from tests.ingest.server import SECRET, call, deliver, running, signed, ticket
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.app import Gateway


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


def app_on(server: RedisServer) -> Gateway:
    return create_app(from_env({"REDIS_URL": server.url, "GENERIC_WEBHOOK_SECRET": SECRET}))


def comes_back(port: int) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if deliver(port, ticket("back")).status == HTTPStatus.ACCEPTED:
            return True
        time.sleep(0.05)
    return False


def test_redis_killed_means_503_with_retry_after_and_the_door_opens_again(own_redis: RedisServer) -> None:
    with running(app_on(own_redis)) as port:
        headers = signed(ticket(1), message_id="msg_1")
        assert call(port, "/webhooks/generic", ticket(1), headers).status == HTTPStatus.ACCEPTED
        own_redis.kill()
        answers = [deliver(port, ticket(2)) for _ in range(5)]
        assert {answer.status for answer in answers} == {503}
        assert all(5 <= int(answer.headers["retry-after"]) <= 59 for answer in answers)
        assert answers[0].said == {"status": "unavailable"}
        assert (
            deliver(port, b"not json").status == HTTPStatus.SERVICE_UNAVAILABLE
        )  # not quarantined, so not answered 2xx
        ready = call(port, "/readyz", method="GET")
        assert (ready.status, ready.said["failing"]) == (503, {"redis": "away"})
        assert call(port, "/livez", method="GET").status == HTTPStatus.OK
        metrics = call(port, "/metrics", method="GET")
        assert b"gateway_redis_up 0.0" in metrics.said
        own_redis.start()
        assert comes_back(port)
        assert call(port, "/webhooks/generic", ticket(1), headers).said["status"] == "duplicate"  # kept by the AOF
        text = call(port, "/metrics", method="GET").said.decode()
        assert 'gateway_answers_total{connection="generic",outcome="unavailable"} ' in text


def test_forgeries_are_refused_while_redis_is_away(own_redis: RedisServer) -> None:
    with running(app_on(own_redis)) as port:
        own_redis.kill()
        assert call(port, "/webhooks/generic", ticket(), {"content-type": "application/json"}).status == 401


@pytest.mark.slow
def test_a_hanging_redis_is_answered_503_within_seconds_for_everybody(own_redis: RedisServer) -> None:
    with running(app_on(own_redis)) as port:
        assert deliver(port, ticket(0)).status == HTTPStatus.ACCEPTED
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            with ThreadPoolExecutor(200) as pool:
                ends = {one.status for one in pool.map(lambda n: deliver(port, ticket(n)), range(200))}
            assert ends == {503}
            assert time.monotonic() - begun < 12
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        assert comes_back(port)


def test_a_full_redis_is_503_and_readyz_says_so(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "small", maxmemory="3mb", appendonly="no") as server,
        running(app_on(server)) as port,
    ):
        statuses = [deliver(port, ticket(n, title="x" * 50_000)).status for n in range(80)]
        assert set(statuses) == {202, 503}
        assert statuses[-1] == 503
        time.sleep(1.1)
        assert deliver(port, ticket("last")).said == {"status": "full"}
        warnings = call(port, "/readyz", method="GET").said["warnings"]
        assert any("% full" in warning for warning in warnings)
        assert any("append-only" in warning for warning in warnings)


def test_an_evicting_redis_is_named_by_readyz(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "evicting", maxmemory_policy="volatile-lru") as server,
        running(app_on(server)) as port,
    ):
        ready = call(port, "/readyz", method="GET")
        assert ready.status == HTTPStatus.OK
        assert any("volatile-lru" in warning for warning in ready.said["warnings"])


def test_a_read_only_redis_is_not_ready(own_redis: RedisServer) -> None:
    import redis

    with running(app_on(own_redis)) as port, redis.Redis(unix_socket_path=own_redis.socket) as client:
        client.replicaof("127.0.0.1", "1")
        assert deliver(port, ticket()).status == HTTPStatus.SERVICE_UNAVAILABLE
        ready = call(port, "/readyz", method="GET")
        assert ready.status == HTTPStatus.SERVICE_UNAVAILABLE
        client.replicaof("NO", "ONE")
        assert comes_back(port)
