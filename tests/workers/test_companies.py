"""`companyId` from Planhat's company list: a ticket of an unknown company waits, and goes when the company appears."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.placing import Placing
from gateway.store.client import connect
from gateway.store.pending import Store
from workers import companies
from workers.planhat.client import PlanhatClient
from workers.planhat.sandbox_tickets import Tickets

if TYPE_CHECKING:
    from tests.workers.conftest import Desk

PLACED = {"title": "Export", "status": "open", "email": "ada@kestrel.example", "companyExternalId": "kf-204"}
PLACING = {"zendesk": Placing(resolve=True)}


def tenant(desk: Desk, *external: str) -> None:
    """A tenant that holds these companies and one with the domains of the requesters, and no ticket yet."""
    rows = [{"_id": f"60a{number:021x}", "externalId": one, "name": one} for number, one in enumerate(external)]
    home = {"_id": "60c" + "0" * 21, "externalId": "home", "name": "home"}
    domains = ["1.kestrel.example", "2.kestrel.example"]
    desk.sandbox.tickets = Tickets(companies=[*rows, home | {"domains": domains}])


def reads(desk: Desk) -> int:
    """How often the company list was asked for."""
    return sum(row.get("path") == "/leancompanies" for row in desk.sandbox.log)


@pytest.fixture
def resolving(desk: Desk) -> Desk:
    desk.settings(placings=PLACING)
    return desk


async def test_a_ticket_goes_with_the_id_of_its_company(resolving: Desk) -> None:
    desk = resolving
    tenant(desk, "kf-204", "other")
    assert await companies.refresh(desk.deps)
    await desk.put(fields=PLACED)
    await desk.settle()
    assert desk.tickets["zendesk:1"]["companyId"] == f"60a{0:021x}"


async def test_a_ticket_of_an_unknown_company_waits_is_never_buried_and_goes_when_it_appears(resolving: Desk) -> None:
    desk = resolving
    tenant(desk, "other")
    await companies.refresh(desk.deps)
    await desk.put(fields=PLACED)
    await desk.put("zendesk:2")
    await desk.settle()
    assert set(desk.tickets) == {"zendesk:2"}, "others are not held up"
    view = await desk.store.look()
    assert (view.pending, view.parked, await desk.dead()) == (1, 1, {})
    assert (await desk.store.counters())["unknown_company"] == 1
    tenant(desk, "other", "kf-204")
    await companies.refresh(desk.deps)
    await desk.wake()
    await desk.settle()
    assert desk.tickets["zendesk:1"]["companyId"] == f"60a{1:021x}"
    assert (await desk.store.look()).pending == 0


async def test_before_the_list_was_read_a_ticket_waits_for_seconds_only(resolving: Desk) -> None:
    await resolving.put(fields=PLACED)
    await resolving.flush()
    due_ms = float(await resolving.store.command("ZSCORE", resolving.store.keys.due, "zendesk:1"))
    assert 0 < due_ms - await resolving.store.now_ms() <= 5_000
    tenant(resolving, "kf-204")
    await companies.refresh(resolving.deps)
    await resolving.wake()
    await resolving.settle()
    assert set(resolving.tickets) == {"zendesk:1"}


async def test_a_ticket_that_cannot_go_anyway_is_buried_and_does_not_wait(resolving: Desk) -> None:
    tenant(resolving)
    await companies.refresh(resolving.deps)
    await resolving.put(fields=PLACED | {"email": ""})
    await resolving.settle()
    assert await resolving.dead() == {"zendesk:1": "missing_email"}


async def test_a_ticket_without_an_external_id_goes_by_its_domain(resolving: Desk) -> None:
    tenant(resolving)
    await companies.refresh(resolving.deps)
    await resolving.put()
    await resolving.settle()
    assert set(resolving.tickets) == {"zendesk:1"}


async def test_a_list_that_cannot_be_read_leaves_the_old_one(resolving: Desk) -> None:
    tenant(resolving, "kf-204")
    assert await companies.refresh(resolving.deps)
    before = resolving.deps.company_ids
    async with PlanhatClient("http://localhost:1", "t" * 20, timeout_s=1) as away:
        resolving.deps.planhat = away
        assert not await companies.refresh(resolving.deps)
    assert resolving.deps.company_ids == before
    assert before is not None
    assert before["kf-204"] == f"60a{0:021x}"


async def test_reading_the_list_takes_quota_and_waits_for_it(resolving: Desk) -> None:
    tenant(resolving, "kf-204")
    resolving.settings(calls_per_minute=1)
    assert await companies.refresh(resolving.deps)
    assert not await companies.refresh(resolving.deps)
    assert reads(resolving) == 1
    counted = await resolving.store.counters()
    assert (counted["calls"], counted["calls_companies"]) == (1, 1)


async def test_a_held_destination_is_not_asked(resolving: Desk) -> None:
    await resolving.store.hold("by hand")
    assert not await companies.refresh(resolving.deps)
    assert reads(resolving) == 0


async def test_the_loop_goes_on_until_told_to_stop(resolving: Desk) -> None:
    tenant(resolving, "kf-204")
    stop = asyncio.Event()
    running = asyncio.create_task(companies.run(resolving.deps, stop))
    for _ in range(500):
        if resolving.deps.company_ids is not None:
            break
        await asyncio.sleep(0.01)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert reads(resolving) == 1


async def test_the_loop_waits_for_a_redis_that_is_away(resolving: Desk, caplog: pytest.LogCaptureFixture) -> None:
    stop = asyncio.Event()
    away = connect("unix:///nowhere/redis.sock")
    resolving.deps.store = Store(away)
    running = asyncio.create_task(companies.run(resolving.deps, stop))
    await asyncio.sleep(0.1)
    assert not running.done()
    stop.set()
    await asyncio.wait_for(running, 5)
    await away.aclose()
    assert "redis cannot be used" in caplog.text


async def test_the_loop_survives_a_defect(resolving: Desk) -> None:
    class Broken(PlanhatClient):
        async def companies(self) -> Any:
            stop.set()
            raise ZeroDivisionError

    stop = asyncio.Event()
    async with Broken("http://localhost:1", "t" * 20, timeout_s=1) as planhat:
        resolving.deps.planhat = planhat
        await asyncio.wait_for(companies.run(resolving.deps, stop), 5)
    assert resolving.deps.company_ids is None
