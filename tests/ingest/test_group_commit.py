"""Deliveries that arrive together share one call, and each is answered for itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import PendingFull, StoreUnavailable
from gateway.ingest.group_commit import GroupCommit
from gateway.store.records import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable


class Bridge:
    """Takes puts, one event at a time, and remembers them."""

    def __init__(self, *, fails: Exception | None = None) -> None:
        self.calls: list[list[str]] = []
        self.open = 0
        self.most_open = 0
        self.go = asyncio.Event()
        self.go.set()
        self.fails = fails

    async def put(self, deliveries: list[Delivery]) -> list[str]:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.calls.append([delivery.payloads[0][0] for delivery in deliveries])
        await asyncio.sleep(0)
        await self.go.wait()
        self.open -= 1
        if self.fails is not None:
            raise self.fails
        return ["duplicate" if delivery.dedupe == b"d" else "accepted" for delivery in deliveries]


def delivery(ticket: str, size: int = 10, dedupe: bytes | None = None) -> Delivery:
    return Delivery(dedupe, ((ticket, b"x" * size),))


def run(test: Callable[[], object]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_arrivals_during_a_call_share_the_next_one() -> None:
    async def test() -> None:
        bridge = Bridge()
        commit = GroupCommit(bridge.put)
        answers = await asyncio.gather(*(commit.put(delivery(str(n))) for n in range(300)))
        assert answers == ["accepted"] * 300
        assert len(bridge.calls) == 3
        assert [ticket for one in bridge.calls for ticket in one] == [str(n) for n in range(300)]
        assert bridge.most_open == 1

    run(test)


def test_who_comes_while_a_call_ends_is_not_forgotten() -> None:
    async def test() -> None:
        async def at_once(deliveries: list[Delivery]) -> list[str]:
            return ["accepted"] * len(deliveries)

        commit = GroupCommit(at_once)

        async def come(steps: int) -> None:
            for n in range(200):
                for _ in range((steps + n) % 5):
                    await asyncio.sleep(0)
                assert await commit.put(delivery("1")) == "accepted"

        async with asyncio.timeout(5):
            await asyncio.gather(*map(come, range(5)))

    run(test)


def test_each_waiter_gets_its_own_answer() -> None:
    async def test() -> None:
        commit = GroupCommit(Bridge().put)
        given = [delivery(str(n), dedupe=b"d" if n % 2 else None) for n in range(10)]
        assert await asyncio.gather(*map(commit.put, given)) == ["accepted", "duplicate"] * 5

    run(test)


def test_nobody_is_answered_before_its_call_returned() -> None:
    async def test() -> None:
        bridge = Bridge()
        bridge.go.clear()
        commit = GroupCommit(bridge.put)
        waiting = [asyncio.ensure_future(commit.put(delivery(str(n)))) for n in range(5)]
        await asyncio.sleep(0.02)
        assert not any(one.done() for one in waiting)
        bridge.go.set()
        assert await asyncio.gather(*waiting) == ["accepted"] * 5

    run(test)


def test_a_call_is_bounded_in_bytes_and_a_giant_travels_alone() -> None:
    async def test() -> None:
        bridge = Bridge()
        commit = GroupCommit(bridge.put, max_bytes=100)
        sizes = {"a": 60, "b": 60, "giant": 500, "c": 40, "d": 40}
        await asyncio.gather(*(commit.put(delivery(name, size)) for name, size in sizes.items()))
        assert bridge.calls == [["a"], ["b"], ["giant"], ["c", "d"]]

    run(test)


def test_two_calls_may_be_open_when_allowed() -> None:
    async def test() -> None:
        bridge = Bridge()
        commit = GroupCommit(bridge.put, in_flight=2, max_deliveries=5)
        await asyncio.gather(*(commit.put(delivery(str(n))) for n in range(40)))
        assert bridge.most_open == 2
        assert sum(map(len, bridge.calls)) == 40

    run(test)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), PendingFull("pending"), ValueError("defect")])
def test_an_error_reaches_every_waiter_of_its_call_and_the_next_call_is_fresh(error: Exception) -> None:
    async def test() -> None:
        bridge = Bridge(fails=error)
        commit = GroupCommit(bridge.put)
        ends = await asyncio.gather(*(commit.put(delivery(str(n))) for n in range(7)), return_exceptions=True)
        assert ends == [error] * 7
        bridge.fails = None
        assert await commit.put(delivery("8")) == "accepted"

    run(test)


def test_when_redis_is_away_the_queue_does_not_wait_for_one_time_out_each() -> None:
    async def test() -> None:
        bridge = Bridge(fails=StoreUnavailable("timeout"))
        commit = GroupCommit(bridge.put, max_deliveries=2)
        ends = await asyncio.gather(*(commit.put(delivery(str(n))) for n in range(50)), return_exceptions=True)
        assert {type(end) for end in ends} == {StoreUnavailable}
        assert len(bridge.calls) == 1

    run(test)


def test_a_store_that_answers_too_few_is_an_error_for_all() -> None:
    async def test() -> None:
        async def short(_deliveries: list[Delivery]) -> list[str]:
            return ["accepted"]

        commit = GroupCommit(short)
        ends = await asyncio.gather(*(commit.put(delivery(str(n))) for n in range(3)), return_exceptions=True)
        assert [isinstance(end, ValueError) for end in ends[1:]] == [True, True]

    run(test)


def test_a_client_that_leaves_harms_nobody() -> None:
    async def test() -> None:
        bridge = Bridge()
        bridge.go.clear()
        commit = GroupCommit(bridge.put)
        first = asyncio.ensure_future(commit.put(delivery("first")))
        await asyncio.sleep(0.01)
        others = [asyncio.ensure_future(commit.put(delivery(str(n)))) for n in range(6)]
        await asyncio.sleep(0.01)
        first.cancel()  # its call is open
        others[2].cancel()  # its call has not begun: it is not sent at all
        await asyncio.sleep(0.01)
        bridge.go.set()
        ends = await asyncio.gather(*others, return_exceptions=True)
        assert [str(end) for n, end in enumerate(ends) if n != 2] == ["accepted"] * 5
        assert bridge.calls == [["first"], ["0", "1", "3", "4", "5"]]
        assert await commit.put(delivery("after")) == "accepted"

    run(test)


def test_the_queue_is_bounded() -> None:
    async def test() -> None:
        bridge = Bridge()
        bridge.go.clear()
        commit = GroupCommit(bridge.put, max_waiting=10)
        waiting = [asyncio.ensure_future(commit.put(delivery(str(n)))) for n in range(10)]
        await asyncio.sleep(0.01)
        with pytest.raises(PendingFull, match="queue"):
            commit.submit(delivery("11"), lambda _: None)
        with pytest.raises(PendingFull, match="queue"):
            await commit.put(delivery("11"))
        bridge.go.set()
        await asyncio.gather(*waiting)
        assert await commit.put(delivery("12")) == "accepted"

    run(test)


def test_close_waits_until_everything_is_answered() -> None:
    async def test() -> None:
        bridge = Bridge()
        commit = GroupCommit(bridge.put, max_deliveries=2)
        waiting = [asyncio.ensure_future(commit.put(delivery(str(n)))) for n in range(9)]
        await asyncio.sleep(0)
        await commit.close()
        assert sum(map(len, bridge.calls)) == 9
        assert await asyncio.gather(*waiting) == ["accepted"] * 9

    run(test)


def test_a_stopped_process_leaves_no_waiter_hanging() -> None:
    async def test() -> None:
        bridge = Bridge()
        bridge.go.clear()
        commit = GroupCommit(bridge.put, max_deliveries=2)
        waiting = [asyncio.ensure_future(commit.put(delivery(str(n)))) for n in range(5)]
        await asyncio.sleep(0.01)
        for call in asyncio.all_tasks() - {asyncio.current_task(), *waiting}:
            call.cancel()
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(end) for end in ends} == {StoreUnavailable}

    run(test)
