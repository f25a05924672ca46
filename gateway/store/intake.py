"""The near end of the bridge: deliveries in, with caps and without duplicates."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway.errors import PendingFull, StoreUnavailable
from gateway.store.records import Delivery, Limits
from gateway.store.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis.asyncio import Redis

    from gateway.store.scripts import Arg

PUT_PAYLOADS: Final = 500
"""Payloads of one script call."""

MEMORY_POLL_S: Final = 1.0
_NO_CAP: Final = 2**53


class Intake(Room):
    """Takes deliveries in."""

    def __init__(
        self,
        redis: Redis,
        destination: str = "planhat",
        *,
        limits: Limits | None = None,
        now_us: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(redis, destination, limits=limits, now_us=now_us)
        self._bucket_s = max(1, -(-self.limits.dedupe_ttl_s // 4))
        self._bucket = 0
        self._memory_polled_s = float("-inf")
        self._memory_full = False

    async def put(self, deliveries: Sequence[Delivery], *, capped: bool = True) -> list[str]:
        """
        Take deliveries in. The return is the acknowledgement: everything is in Redis.

        Up to 500 payloads travel in one call. A larger single delivery travels in slices, of which the last writes its
        id: a crash between leads to a repeat, and the fold absorbs what came twice.

        Args:
            deliveries: those of many requests may share a call; each gets its own answer.
            capped: False takes in although a cap is reached (changes that a worker read itself).
        Returns:
            `accepted` or `duplicate` per delivery, in order.
        Raises:
            PendingFull: `pending`, `dead_letters` or `memory`. Nothing of the call was written.
            StoreUnavailable: as named; after `timeout` or `away` a call may have been applied, which a repeat of the
                same delivery ids finds out.
        Keys:
            due, meta, counters, dead, seen:<bucket>, change:<ticket>.
        Atomic:
            Per call of up to 500 payloads.
        """
        if capped and await self._memory_is_full():
            raise PendingFull("memory")
        answers: list[str] = []
        for call in _calls(deliveries):
            if len(call) == 1 and len(call[0].payloads) > PUT_PAYLOADS:
                answers.append(await self._put_sliced(call[0], capped=capped))
            else:
                answers += await self._put(call, last=True, capped=capped)
        return answers

    async def put_own(self, payloads: Sequence[tuple[str, bytes]]) -> None:
        """Put changes of our own making, `(ticket, payload)`: without an id, over any cap. None are none."""
        if payloads:
            await self.put([Delivery(dedupe=None, payloads=tuple(payloads))], capped=False)

    async def _put_sliced(self, delivery: Delivery, *, capped: bool) -> str:
        starts = range(0, len(delivery.payloads), PUT_PAYLOADS)
        for start in starts:
            part = Delivery(delivery.dedupe, delivery.payloads[start : start + PUT_PAYLOADS])
            (answer,) = await self._put([part], last=start == starts[-1], capped=capped and start == 0)
            if answer == "duplicate":
                break
        return answer

    async def _put(self, deliveries: Sequence[Delivery], *, last: bool, capped: bool) -> list[str]:
        keys, limits = self.keys, self.limits
        changes: list[str] = []
        tail: list[Arg] = []
        for dedupe, payloads in deliveries:
            tail += (dedupe or b"", len(payloads))
            for ticket, payload in payloads:
                if not ticket or not payload:
                    raise ValueError("a payload needs a ticket and content")
                changes.append(keys.change_prefix + ticket)
                tail.append(payload)
        caps = (limits.pending_max_tickets, limits.dead_letter_max) if capped else (_NO_CAP, _NO_CAP)
        told, number = self.writer.told, self.writer.number()
        for _ in range(3):
            head = (self.scripts.now(), self._bucket, self._bucket_s, *caps, keys.change_prefix_bytes, int(last))
            answer = await self.scripts.run(
                "put",
                [keys.due, keys.meta, keys.counters, keys.dead, *keys.seen(self._bucket), *changes],
                [*head, self.writer.name, told, number, *tail],
            )
            if isinstance(answer, list):
                self.writer.confirmed(number)
                return ["accepted" if one else "duplicate" for one in answer]
            word, _, value = answer.decode().partition(":")
            if word == "full":
                raise PendingFull(value)
            self._bucket = int(value)  # the bucket of delivery ids goes by Redis' clock; ours was another
        raise StoreUnavailable("error", "the bucket of delivery ids keeps changing")

    async def _memory_is_full(self) -> bool:
        """Ask Redis once a second how full it is; the script itself cannot."""
        now_s = time.monotonic()
        if now_s - self._memory_polled_s >= MEMORY_POLL_S:
            self._memory_polled_s = now_s
            info = await self.command("INFO", "memory")
            most = int(info.get("maxmemory", 0))
            self._memory_full = most > 0 and int(info["used_memory"]) > self.limits.memory_fraction * most
        return self._memory_full


def _calls(deliveries: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """Group deliveries into calls of at most 500 payloads; a larger delivery stands alone."""
    call: list[Delivery] = []
    payloads = 0
    for delivery in deliveries:
        if call and payloads + len(delivery.payloads) > PUT_PAYLOADS:
            yield call
            call, payloads = [], 0
        call.append(delivery)
        payloads += len(delivery.payloads)
    if call:
        yield call
