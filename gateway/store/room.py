"""What every part of the store needs: the client, the keys, the scripts, the caps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.core.change import FRAME_HEAD_BYTES
from gateway.store.client import guarded
from gateway.store.keys import Keys
from gateway.store.records import Limits
from gateway.store.scripts import Scripts
from gateway.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from redis.asyncio import Redis

    from gateway.store.scripts import Arg

SLICE: Final = 1_000
"""Tickets of one script call: larger ones block the server for more than 5 ms."""

T = TypeVar("T")


class Room:
    """
    The base of the store's parts; its only state is what this process was told by Redis (`Writer`).

    Args:
        redis: a client of `gateway.store.client.connect` (replies as bytes).
        destination: the hash tag of every key.
        now_us: see `Scripts`; only the simulation passes it.
    """

    def __init__(
        self,
        redis: Redis,
        destination: str = "planhat",
        *,
        limits: Limits | None = None,
        now_us: Callable[[], int] | None = None,
    ) -> None:
        self.redis = redis
        self.keys = Keys(destination)
        self.limits = limits or Limits()
        self.scripts = Scripts(redis, now_us)
        self.writer = Writer()
        self._execute: Callable[..., Awaitable[Any]] = redis.execute_command

    async def command(self, *args: Arg) -> Any:
        """Run one plain command. Raises StoreUnavailable."""
        async with guarded(self.redis):
            return await self._execute(*args)

    async def commands(self, calls: Iterable[tuple[Arg, ...]], *, atomic: bool = False) -> list[Any]:
        """Run several commands in one round trip, as a transaction when `atomic`. Raises StoreUnavailable."""
        pipe: Any = self.redis.pipeline(transaction=atomic)
        for call in calls:
            pipe.execute_command(*call)
        async with guarded(self.redis):
            replies: list[Any] = await pipe.execute()
        return replies

    async def now_ms(self) -> int:
        """Give the time by Redis' clock, Unix ms."""
        return int(await self.now_us()) // 1000

    async def now_us(self) -> int:
        """Give the time by Redis' clock, Unix µs."""
        if given := self.scripts.now():
            return int(given)
        seconds, micros = await self.command("TIME")
        return int(seconds) * 1_000_000 + int(micros)


def slices(items: Sequence[T], size: int = SLICE) -> Iterator[Sequence[T]]:
    """Cut a sequence into pieces of at most `size`; none for an empty one."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def text(raw: Any) -> str:
    """Read a reply as text; "" for nil."""
    return raw.decode("utf-8", "replace") if raw else ""


def number(raw: Any) -> int:
    """Read a reply (text, integer or score) as an integer; 0 for nil."""
    return int(float(raw)) if raw else 0


def whole(frame: bytes) -> bytes:
    """
    Check that bytes are one frame, head included.

    Raises:
        ValueError: the length in the head is another.
    """
    if len(frame) <= FRAME_HEAD_BYTES or int.from_bytes(frame[:4]) != len(frame) - FRAME_HEAD_BYTES:
        raise ValueError("not one whole frame")
    return frame
