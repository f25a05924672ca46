"""
Deliveries that arrive together share one `put`: one round trip to Redis, one answer each.

A waiter is answered only after the script that wrote its own delivery returned, so a 2xx still means "in Redis".
Measured: 1.5 to 2 times the requests per second of one call per delivery, and a flat p99 when Redis is 2-3 ms away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from gateway.errors import PendingFull, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gateway.store.records import Delivery

MAX_DELIVERIES: Final = 128
MAX_BYTES: Final = 512 * 1024
MAX_WAITING: Final = 2_000


class _Waiter(NamedTuple):
    delivery: Delivery
    size_bytes: int
    answer: asyncio.Future[str]


class GroupCommit:
    """
    Collects deliveries while a call is in flight and sends what has gathered as the next call.

    Args:
        put: writes deliveries and gives one answer each, in order (`gateway.store.pending.Store.put`).
        in_flight: calls open at once; two pay only when Redis is more than 2 ms away.
        max_deliveries, max_bytes: of one call; a larger single delivery travels alone.
        max_waiting: deliveries not yet answered; beyond it `PendingFull("queue")`.
    """

    def __init__(
        self,
        put: Callable[[list[Delivery]], Awaitable[list[str]]],
        *,
        in_flight: int = 1,
        max_deliveries: int = MAX_DELIVERIES,
        max_bytes: int = MAX_BYTES,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._put = put
        self._in_flight = in_flight
        self._max_deliveries = max_deliveries
        self._max_bytes = max_bytes
        self._max_waiting = max_waiting
        self._queue: deque[_Waiter] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._waiting = 0

    async def put(self, delivery: Delivery) -> str:
        """
        Write one delivery together with its neighbours.

        Returns:
            The store's answer for it, `accepted` or `duplicate`.
        Raises:
            PendingFull: the queue, or a cap of the store, is full; nothing was written.
            StoreUnavailable: the call that carried it failed; it may or may not have been written.
        """
        if self._waiting >= self._max_waiting:
            raise PendingFull("queue")
        loop = asyncio.get_running_loop()
        size_bytes = 0
        for _, payload in delivery.payloads:
            size_bytes += len(payload)
        waiter = _Waiter(delivery, size_bytes, loop.create_future())
        self._waiting += 1
        self._queue.append(waiter)
        if len(self._calls) < self._in_flight:
            self._calls.add(loop.create_task(self._run()))
        try:
            return await waiter.answer
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Wait until everything that was taken in is answered."""
        while self._calls:
            await asyncio.wait(self._calls)

    async def _run(self) -> None:
        batch: list[_Waiter] = []
        try:
            while batch := self._gather():
                try:
                    answers = await self._put([waiter.delivery for waiter in batch])
                    for waiter, answer in zip(batch, answers, strict=True):
                        if not waiter.answer.done():
                            waiter.answer.set_result(answer)
                except Exception as error:  # noqa: BLE001  every waiter of this call gets its error
                    _fail(batch, error)
                    if isinstance(error, StoreUnavailable) and error.kind in ("away", "timeout"):
                        self._fail_queue(error)  # else the last in the queue would wait for many time-outs
        finally:  # only a cancelled call leaves waiters behind
            stopping = StoreUnavailable("away", "the process is stopping")
            _fail(batch, stopping)
            self._fail_queue(stopping)
            # Here, not in a callback, which would run later: who comes between would start no call and wait for ever.
            self._calls.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _fail_queue(self, error: Exception) -> None:
        _fail(self._queue, error)
        self._queue.clear()

    def _gather(self) -> list[_Waiter]:
        batch: list[_Waiter] = []
        size = 0
        while self._queue and len(batch) < self._max_deliveries:
            if self._queue[0].answer.done():  # its client has gone before anything was sent
                self._queue.popleft()
                continue
            size += self._queue[0].size_bytes
            if batch and size > self._max_bytes:
                break
            batch.append(self._queue.popleft())
        return batch


def _fail(batch: Iterable[_Waiter], error: Exception) -> None:
    for waiter in batch:
        if not waiter.answer.done():
            waiter.answer.set_exception(error)
