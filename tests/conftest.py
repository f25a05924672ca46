"""What every room's tests share: a real Redis for the session, empty for each test."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest
import redis

from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for the session; a test that harms its server starts one of its own."""
    with tempfile.TemporaryDirectory(prefix="gw-redis-") as directory, RedisServer(directory) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of an empty Redis: everything in it is removed before each test."""
    with redis.Redis(unix_socket_path=redis_server.socket) as client:
        client.flushall()
    return redis_server.url
