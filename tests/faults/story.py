"""
What a fault is: a short story with a name, a place and an end that counts what was seen.

A story is a generator: `yield 2.0` lets two seconds pass (other stories go on meanwhile), `return n` says how often its
effect was observed. Whatever it broke it mends in `finally`, or the run's end does, which may come at any moment.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import redis

if TYPE_CHECKING:
    import random

    from tests.faults.stage import Stage
    from tests.faults.traffic import Traffic
    from tests.faults.watch import Watch

T = TypeVar("T")
Story = Generator[float, None, int]
PLACES: Final = ("bridge", "worker", "web", "planhat", "operator", "sender")
"""One story at a time in each place, so that an effect has one cause; places overlap as they like."""

GW: Final = "gw:{planhat}:"
NOT_STORED: Final = ("answer:503 unavailable", "worker:redis cannot be used, trying again")
"""How web and worker say that Redis could not be used."""


@dataclass
class Scene:
    """What a story may touch."""

    stage: Stage
    watch: Watch
    chance: random.Random
    traffic: Traffic

    def mark(self) -> dict[str, int]:
        """Give the counts of now, for `since`."""
        return dict(self.watch.look())

    def since(self, mark: dict[str, int], *names: str) -> int:
        """Say how often something was seen since a mark."""
        now = self.watch.look()
        return sum(now[name] - mark.get(name, 0) for name in names)

    def redis(self, *words: str | bytes | int) -> Any:
        """Ask the real Redis something, past every proxy; None when it cannot be asked now."""
        with contextlib.suppress(redis.RedisError, OSError), self.stage.client() as client:
            return client.execute_command(*words)
        return None

    def surely(self, *words: str | bytes | int) -> Story:
        """Carry out a command that may be repeated, however often Redis is away meanwhile."""
        while self.redis(*words) is None:
            yield 0.2
        return 1

    def meanwhile(self, work: Callable[[], T]) -> Generator[float, None, T]:
        """Do something that takes time in a thread, while the other stories go on."""
        with ThreadPoolExecutor(1) as pool:
            doing = pool.submit(work)
            while not doing.done():
                yield 0.05
        return doing.result()

    def errors(self, word: str) -> int:
        """Say how often Redis has answered an error since it was started."""
        with contextlib.suppress(redis.RedisError, OSError), self.stage.client() as client:
            said: dict[str, Any] = client.info("errorstats")
            return int(said.get(f"errorstat_{word}", {}).get("count", 0))
        return 0

    def run_id(self) -> str:
        """Say which start of Redis this is."""
        with contextlib.suppress(redis.RedisError, OSError), self.stage.client() as client:
            return str(client.info("server")["run_id"])
        return ""


@dataclass(frozen=True)
class Fault:
    """
    One class of fault.

    what: what is done. seen: what must be observed for it to count.
    """

    name: str
    place: str
    what: str
    seen: str
    story: Callable[[Scene], Story]


CATALOGUE: dict[str, Fault] = {}


def fault(
    place: str, name: str, what: str, seen: str
) -> Callable[[Callable[[Scene], Story]], Callable[[Scene], Story]]:
    """Enter a story into the catalogue."""

    def enter(story: Callable[[Scene], Story]) -> Callable[[Scene], Story]:
        assert place in PLACES and name not in CATALOGUE
        CATALOGUE[name] = Fault(name, place, what, seen, story)
        return story

    return enter
