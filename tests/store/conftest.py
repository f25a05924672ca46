"""A store on the session's Redis, with its own time or with Redis'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from gateway.core.change import FRAME_HEAD_BYTES, frame, frames
from gateway.store.client import connect
from gateway.store.pending import Delivery, Limits, Store
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from redis.asyncio import Redis

START_US = 1_764_000_000_000_000


@dataclass
class Clock:
    """The time that scripts take for now, Unix µs; moves only when told."""

    now_us: int = START_US

    def __call__(self) -> int:
        return self.now_us

    @property
    def now_ms(self) -> int:
        return self.now_us // 1000

    def forward(self, ms: float) -> None:
        self.now_us += int(ms * 1000)


def delivery(ident: str | None, *payloads: tuple[str, bytes]) -> Delivery:
    """A delivery with a readable id."""
    return Delivery(ident.encode().ljust(16, b".") if ident else None, payloads)


def payloads_of(value: bytes) -> list[bytes]:
    """The payloads of a ticket's value, in order."""
    return [payload for _, payload in frames(value)]


def size(*payloads: bytes) -> int:
    """How long the frames of these payloads are, bytes."""
    return sum(FRAME_HEAD_BYTES + len(payload) for payload in payloads)


def joined(*payloads: bytes, at_us: int = START_US) -> bytes:
    """One whole frame that stands for several payloads."""
    return frame(b"+".join(payloads), at_us)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url, socket_timeout_s=5.0)
    yield client
    await client.aclose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(redis: Redis, clock: Clock) -> Store:
    """A store whose time moves only when `clock` is told."""
    return Store(redis, now_us=clock)


@pytest.fixture
def make_store(redis: Redis, clock: Clock) -> Callable[..., Store]:
    """Makes a store with other limits on the same Redis and clock."""

    def make(**limits: float) -> Store:
        return Store(redis, limits=Limits(**limits), now_us=clock)  # type: ignore[arg-type]

    return make


@pytest.fixture
def own_server(tmp_path: Path) -> RedisServer:
    """A server that the test may harm; not started."""
    return RedisServer(tmp_path / "redis")
