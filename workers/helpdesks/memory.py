"""
Answers that are remembered for a while.

The process's own memory stands before the cache in Redis, which holds people and companies only: agents, tags, status
names and the proof that the address is right are asked for once in half an hour.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.core.change import Json

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
