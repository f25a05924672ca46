"""
What clients of helpdesks without batch calls share: one record a call, and an answer is remembered for a while.

The process's own memory stands before the cache in Redis, which holds people and companies only: agents, tags, status
names and the proof that the address is right are asked for once in half an hour.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from workers.helpdesks.base import HelpdeskError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.core.change import Json

T = TypeVar("T")

REMEMBER_S: Final = 1800.0
REMEMBER_MAX: Final = 10_000


class Memory:
    """
    Answers of the last half hour.

    Args:
        monotonic: seconds of a clock that never steps.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._held: dict[str, tuple[float, Json]] = {}

    def __len__(self) -> int:
        return len(self._held)

    async def get(self, key: str, ask: Callable[[], Awaitable[Json]]) -> Json:
        """Give an answer that is young enough, or ask; "no such record" is not remembered. Raises HelpdeskError."""
        now_s = self._monotonic()
        held = self._held.get(key)
        if held is not None and now_s - held[0] < REMEMBER_S:
            return held[1]
        answer = await ask()
        if answer is not None:
            if len(self._held) >= REMEMBER_MAX:
                self._held.clear()
            self._held[key] = (now_s, answer)
        return answer


async def one_by_one(
    ids: Sequence[str], asked: Sequence[str], ask: Callable[[str], Awaitable[T | None]]
) -> dict[str, T | None]:
    """
    Ask for each record by itself.

    Args:
        ids: as they were wanted; each becomes a key of the answer.
        asked: those of them that a record can have.
    Raises:
        HelpdeskError: `found` holds what was read before.
    """
    done: dict[str, T | None] = {}
    for one in asked:
        try:
            done[one] = await ask(one)
        except HelpdeskError as error:
            error.found = done
            raise
    return dict.fromkeys(ids) | done
