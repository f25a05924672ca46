"""
The moves on Redis: one Lua file each, run by its name.

EVALSHA first; a server that does not know the script (restart, failover, SCRIPT FLUSH) gets it whole, once.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, RedisError

from gateway.store.client import guarded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from redis.asyncio import Redis

Arg = str | bytes | int


@cache
def sources() -> Mapping[str, tuple[str, bytes]]:
    """Give every script of this package: name -> (SHA-1 in hex, text)."""
    files = resources.files("gateway.store").joinpath("lua").iterdir()
    texts = {file.name.removesuffix(".lua"): file.read_bytes() for file in files if file.name.endswith(".lua")}
    return {name: (hashlib.sha1(text, usedforsecurity=False).hexdigest(), text) for name, text in texts.items()}


class Scripts:
    """
    Runs scripts on one Redis.

    Args:
        now_us: gives the time that scripts take for now, Unix µs. Only the simulation passes it; without it scripts ask
            Redis.
    """

    def __init__(self, redis: Redis, now_us: Callable[[], int] | None = None) -> None:
        self._redis = redis
        self._execute: Callable[..., Awaitable[Any]] = redis.execute_command
        self._sources = sources()
        self._now_us = now_us

    def now(self) -> Arg:
        """Give the `now_us` argument of scripts: empty means Redis' own time."""
        return self._now_us() if self._now_us else b""

    async def run(self, name: str, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """
        Run one script, one round trip.

        Raises:
            StoreUnavailable: Redis could not run it. It may have been applied when the kind is `timeout` or `away`.
        """
        sha, text = self._sources[name]
        async with guarded(self._redis):
            try:
                return await self._execute("EVALSHA", sha, len(keys), *keys, *args)
            except NoScriptError:
                return await self._execute("EVAL", text, len(keys), *keys, *args)

    async def run_each(self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[Arg]]]) -> list[Any]:
        """
        Run one script many times, each atomic by itself, in one round trip.

        Args:
            calls: keys and arguments of each.
        Raises:
            StoreUnavailable: as `run`; any of them may have been applied.
        """
        sha, _ = self._sources[name]
        pipe: Any = self._redis.pipeline(transaction=False)
        for keys, args in calls:
            pipe.execute_command("EVALSHA", sha, len(keys), *keys, *args)
        async with guarded(self._redis):
            answers: list[Any] = await pipe.execute(raise_on_error=False)
            failed = [one for one in answers if isinstance(one, RedisError) and not isinstance(one, NoScriptError)]
            if failed:
                raise failed[0]
        for at, (keys, args) in enumerate(calls):
            if isinstance(answers[at], NoScriptError):
                answers[at] = await self.run(name, keys, args)
        return answers
