"""Counts wait in the process and reach Redis together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.errors import StoreUnavailable
from gateway.ingest.tally import Tally, flushing

if TYPE_CHECKING:
    from collections.abc import Mapping


class Carried:
    def __init__(self) -> None:
        self.calls: list[dict[str, int]] = []
        self.fails: Exception | None = None

    async def __call__(self, counts: Mapping[str, int]) -> None:
        if self.fails is not None:
            raise self.fails
        self.calls.append(dict(counts))


def test_a_thousand_refusals_are_one_call() -> None:
    async def test() -> None:
        carried = Carried()
        tally = Tally(carried)
        for _ in range(1000):
            tally.add("gateway_refused_total", connection="zendesk", reason="bad_signature")
        await tally.flush()
        await tally.flush()
        assert carried.calls == [{"gateway_refused_total|connection=zendesk|reason=bad_signature": 1000}]

    asyncio.run(test())


def test_counts_survive_an_outage_of_redis() -> None:
    async def test() -> None:
        carried = Carried()
        carried.fails = StoreUnavailable("away")
        tally = Tally(carried)
        tally.add("a")
        await tally.flush()
        tally.add("a")
        assert tally.waiting() == {"a": 2}
        carried.fails = None
        await tally.flush()
        assert carried.calls == [{"a": 2}]

    asyncio.run(test())


def test_flushing_goes_on_after_a_defect_and_ends_with_a_last_flush() -> None:
    async def test() -> None:
        carried = Carried()
        carried.fails = RuntimeError("defect")
        tally = Tally(carried)
        async with flushing(tally, every_s=0.01):
            tally.add("lost")
            await asyncio.sleep(0.03)
            carried.fails = None
            tally.add("a")
            await asyncio.sleep(0.03)
            assert {"a": 1} in carried.calls
            tally.add("b")
        assert {"b": 1} in carried.calls

    asyncio.run(test())
