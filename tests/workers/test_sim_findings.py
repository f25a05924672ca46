"""What the simulation found, each as one small scenario (deploy/docs/incidents.md tells the stories)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.workers.conftest import Desk


async def test_an_update_that_was_dropped_is_not_confirmed_by_a_status_that_did_not_change(desk: Desk) -> None:
    await desk.put(at=0)
    await desk.settle()
    await desk.put(at=5, creation=False, fields={"title": "newer", "status": "open", "email": "ada@1.kestrel.example"})
    desk.sandbox.change_faults({"next": ["silent"]})
    await desk.settle()
    assert desk.tickets["zendesk:1"]["title"] == "newer"
    assert desk.puts() == [1, 1, 1]
    assert await desk.dead() == {}


async def test_a_created_ticket_that_planhat_did_not_count_is_confirmed_by_one_listing(desk: Desk) -> None:
    await desk.put(at=0)
    desk.sandbox.change_faults({"next": ["partial"]})
    await desk.settle()
    assert await desk.dead() == {}
    assert desk.tickets["zendesk:1"]["status"] == "open"
