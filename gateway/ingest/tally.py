"""
What the door counts, kept in the process and carried to Redis every few seconds.

A refused request never costs a write to Redis, so a flood of forgeries cannot reach the bridge. A process that is
killed loses the figures of its last seconds, never a delivery.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from gateway.errors import StoreError
from gateway.telemetry import counter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

log = logging.getLogger("gateway.ingest")

FLUSH_EVERY_S: Final = 3.0


class Tally:
    """
    Counters of this process that are not yet in Redis.

    Args:
        carry: adds counts to those in Redis (`gateway.store.pending.Store.count`).
    """

    def __init__(self, carry: Callable[[Mapping[str, int]], Awaitable[None]]) -> None:
        self._carry = carry
        self._counts: dict[str, int] = {}
        self._fields: dict[tuple[object, ...], str] = {}

    def add(self, name: str, **labels: str) -> None:
        """Count one; labels come from configuration or from our own words."""
        key = (name, *labels.items())
        self.count(self._fields.get(key) or self._fields.setdefault(key, counter(name, **labels)))

    def count(self, field: str) -> None:
        """Count one of a counter that was named before (`gateway.telemetry.counter`)."""
        self._counts[field] = self._counts.get(field, 0) + 1

    def waiting(self) -> dict[str, int]:
        """Give the counts that Redis has not seen yet."""
        return dict(self._counts)

    async def flush(self) -> None:
        """Carry everything over; what cannot be carried now stays for the next time."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            await self._carry(counts)
        except StoreError:
            for field, count in counts.items():
                self._counts[field] = self._counts.get(field, 0) + count

    async def keep_flushing(self, every_s: float = FLUSH_EVERY_S) -> None:
        """Flush until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.flush()
            except Exception:
                log.exception("counters could not be carried to Redis")


@contextlib.asynccontextmanager
async def flushing(tally: Tally, every_s: float = FLUSH_EVERY_S) -> AsyncIterator[None]:
    """Flush in the background while the block runs."""
    task = asyncio.create_task(tally.keep_flushing(every_s))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await tally.flush()
