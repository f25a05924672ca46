"""Deletions: what a refusal means, what an earlier call that was never answered may have done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.workers.conftest import Desk


async def gone(desk: Desk, ticket: str = "zendesk:1") -> None:
    """A ticket that Planhat holds and that must go."""
    await desk.put(ticket, at=0)
    await desk.settle()
    await desk.put(ticket, at=5, life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()


async def turn(desk: Desk, ticket: str = "zendesk:1") -> None:
    """Let its time in the lane come, and delete."""
    await desk.wake()
    await desk.store.command("ZADD", desk.store.keys.lane("deletes"), 1, ticket)
    await desk.delete()


@pytest.mark.parametrize("fault", ["redirect", "forbidden"])
async def test_a_refusal_of_every_deletion_buries_nothing_and_stops_no_batch(desk: Desk, fault: str) -> None:
    await gone(desk, "zendesk:1")
    await gone(desk, "zendesk:2")
    desk.sandbox.change_faults({f"DELETE:{fault}": 1.0})
    await desk.delete()
    assert await desk.dead() == {}
    assert await desk.store.waiting("deletes") == [], "neither is tried again before a minute is over"
    await desk.put("zendesk:3")
    await desk.flush()
    assert "zendesk:3" in desk.tickets
    desk.sandbox.change_faults({f"DELETE:{fault}": 0.0})
    for ticket in ("zendesk:1", "zendesk:2"):
        await turn(desk, ticket)
    assert set(desk.tickets) == {"zendesk:3"}


async def test_a_deletion_may_be_the_probe_that_ends_a_stop_when_nothing_else_waits(desk: Desk) -> None:
    await gone(desk)
    desk.sandbox.change_faults({"unauthorized": 1.0})
    await turn(desk)
    assert (await desk.store.pause_state()).stopped == ""  # the listing was refused, which stops nothing
    desk.sandbox.change_faults({"unauthorized": 0.0, "next": [None, "DELETE:unauthorized"]})
    await turn(desk)
    assert (await desk.store.pause_state()).stopped == "refused"
    await turn(desk)
    assert desk.tickets, "the minute of the next probe has not come"
    await desk.skip_pause()
    await turn(desk)
    assert desk.tickets == {}
    assert (await desk.store.pause_state()).stopped == ""


async def test_a_refusal_does_not_make_an_earlier_call_undone_that_was_never_answered(desk: Desk) -> None:
    await gone(desk)
    desk.sandbox.change_faults({"next": [None, "DELETE:lost"]})
    await desk.delete()
    assert desk.tickets == {}
    desk.sandbox.change_faults({"next": ["DELETE:unavailable"]})
    await turn(desk)  # the id is remembered: this one is refused for certain
    for _ in range(2):
        await desk.store.command("DEL", desk.store.keys.cache("planhat", "found", "zendesk:1"))
        await desk.skip_pause()
        await turn(desk)
    assert await desk.dead() == {}
    assert (await desk.store.look()).deletes == 0
