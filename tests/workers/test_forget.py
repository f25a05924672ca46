"""Forgetting a person beside a running worker: whatever it holds at that moment, it writes nothing back."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cli.forget import Forgotten, forgotten
from tests.store.dump import dump
from workers import flush
from workers.read_back import read_back

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.workers.conftest import Desk

ADA = "ada.lovelace@kestrel.example"
BO = "bo@kestrel.example"


def fields(email: str, **more: Any) -> dict[str, Any]:
    title = "Lovelace's engine" if email == ADA else "Map"
    return {"title": title, "status": "open", "email": email, **more}


async def traces(desk: Desk) -> list[bytes]:
    """Pieces of the person that still stand in Redis."""
    held = (await dump(desk.store.redis)).lower()
    return [piece for piece in (b"ada.lovelace", b"lovelace") if piece in held]


class Meanwhile:
    """A Planhat during whose calls something else happens: before the answer, or after it was given."""

    def __init__(self, planhat: Any, work: Callable[[], Awaitable[object]], *, before: bool) -> None:
        self._planhat, self._work, self._before = planhat, work, before

    async def upsert(self, items: Any, **more: Any) -> Any:
        if self._before:
            await self._work()
        answer = await self._planhat.upsert(items, **more)
        if not self._before:
            await self._work()
        return answer


async def forget(desk: Desk) -> Forgotten:
    return await forgotten(desk.store, ADA)


@pytest.mark.parametrize("creation", [True, False])
@pytest.mark.parametrize("before", [True, False])
async def test_the_answer_of_a_call_that_is_under_way_writes_nothing_of_the_person_back(
    desk: Desk, before: bool, creation: bool
) -> None:
    await desk.put("zendesk:1", fields=fields(ADA), creation=creation)
    await desk.put("zendesk:2", fields=fields(BO))
    came: list[Forgotten] = []
    planhat = desk.deps.planhat

    async def work() -> None:
        came.append(await forget(desk))

    desk.deps.planhat = Meanwhile(planhat, work, before=before)  # type: ignore[assignment]
    await desk.flush()
    desk.deps.planhat = planhat
    assert (came[0].tickets, came[0].in_flight, came[0].complete) == (["zendesk:1"], ["zendesk:1"], True)
    assert await traces(desk) == []
    assert [state is None for state in await desk.store.states(["zendesk:1", "zendesk:2"])] == [True, False]
    await read_back(desk.deps)
    await desk.wake()
    await desk.settle()
    assert await traces(desk) == []
    assert (await desk.store.look()).leased == 0
    assert await desk.dead() == {}


@pytest.mark.parametrize("fault", ["poison", "unavailable", "rate_limit", "lost", "partial"])
async def test_no_end_of_a_call_brings_the_person_back(desk: Desk, fault: str) -> None:
    for number in range(3):
        await desk.put(
            f"zendesk:{number}", fields=fields(ADA if number == 1 else BO, title="POISON" if number == 1 else "Map")
        )
    desk.sandbox.change_faults({"poison": 1} if fault == "poison" else {"next": [fault]})
    planhat = desk.deps.planhat
    desk.deps.planhat = Meanwhile(planhat, lambda: forget(desk), before=False)  # type: ignore[assignment]
    await desk.flush()
    desk.deps.planhat = planhat
    desk.sandbox.change_faults({"poison": 0})
    for _ in range(4):
        await desk.wake()
        await desk.skip_pause()
        await desk.settle(5)
    assert await traces(desk) == []
    assert (await desk.store.look()).pending == 0
    assert {"zendesk:0", "zendesk:2"} <= set(desk.tickets)


async def test_what_was_gathered_ahead_of_its_call_is_not_sent(desk: Desk) -> None:
    desk.settings(batch_max_items=1)
    for number in (1, 2, 3):
        await desk.put(f"zendesk:{number}", fields=fields(ADA if number == 2 else BO))
    await desk.flush()
    assert desk.deps.ahead is not None
    assert [one.ticket for one in desk.deps.ahead.ready] == ["zendesk:2"]
    assert (await forget(desk)).in_flight == ["zendesk:2"]
    await desk.settle()
    assert set(desk.tickets) == {"zendesk:1", "zendesk:3"}
    assert await traces(desk) == []


async def test_a_change_that_comes_afterwards_is_taken_in_and_sent_once_the_claim_has_run_out(desk: Desk) -> None:
    await desk.put(fields=fields(ADA))
    planhat = desk.deps.planhat

    async def work() -> None:
        await forget(desk)
        await desk.put(at=9, fields=fields(BO, status="solved"))

    desk.deps.planhat = Meanwhile(planhat, work, before=False)  # type: ignore[assignment]
    await desk.flush()
    desk.deps.planhat = planhat
    assert desk.tickets["zendesk:1"]["status"] == "open"
    await desk.wake()
    await desk.settle()
    assert desk.tickets["zendesk:1"]["status"] == "solved"
    assert desk.tickets["zendesk:1"]["email"] == BO
    assert await traces(desk) == []


@pytest.mark.parametrize("seed", range(4))
async def test_beside_a_running_worker_the_person_goes_and_everybody_else_arrives(desk: Desk, seed: int) -> None:
    chance = random.Random(seed)
    desk.settings(batch_max_items=5)
    desk.sandbox.change_faults({"unavailable": 0.1, "partial": 0.1})
    stop = asyncio.Event()
    running = asyncio.create_task(flush.run(desk.deps, stop))
    theirs = {f"zendesk:{number}" for number in chance.sample(range(60), 20)}
    for number in range(60):
        ticket = f"zendesk:{number}"
        email = ADA if ticket in theirs else f"bo{number}@kestrel.example"
        await desk.put(ticket, at=number, fields=fields(email))
        if number % 20 == 19:
            await forget(desk)
        await asyncio.sleep(chance.random() * 0.004)
    came = await forget(desk)
    assert came.complete
    assert await traces(desk) == []
    desk.sandbox.change_faults({"unavailable": 0, "partial": 0})
    for _ in range(400):
        await asyncio.sleep(0.02)
        await desk.skip_pause()
        view = await desk.store.look()
        if not view.pending:
            break
        if not view.due_count:
            await desk.wake()
    stop.set()
    await running
    assert await traces(desk) == []
    others = {f"zendesk:{number}" for number in range(60)} - theirs
    assert others <= set(desk.tickets)
    assert {state is None for state in await desk.store.states(sorted(theirs))} == {True}
