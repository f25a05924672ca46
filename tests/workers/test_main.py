"""What a worker does when it starts and while it stands beside its loops."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.workers.conftest import worker_settings
from workers import main
from workers.helpdesks import open_helpdesks

if TYPE_CHECKING:
    from tests.workers.conftest import Desk
    from workers.deps import Deps

CREDENTIALS = {
    "ZENDESK_SUBDOMAIN": "heronquay",
    "ZENDESK_API_EMAIL": "admin@heronquay.example",
    "ZENDESK_API_TOKEN": "zd-token-0123456789",
}


@pytest.mark.parametrize("same", [True, False])
async def test_a_new_token_resumes_a_stopped_destination_at_once(desk: Desk, same: bool) -> None:
    for number in range(3):
        await desk.put(f"zendesk:{number}")
    desk.sandbox.change_faults({"unauthorized": 1})
    await desk.flush()
    desk.sandbox.change_faults({"unauthorized": 0})
    if not same:
        desk.deps.settings = worker_settings(PLANHAT_API_TOKEN="another-token-0123456789")
    await main._welcome(desk.deps)
    assert bool((await desk.store.pause_state()).stopped) == same, "a restart with the refused token changes nothing"
    await desk.flush()
    assert bool(desk.tickets) != same


async def test_new_credentials_replay_what_was_buried_for_lack_of_them(desk: Desk) -> None:
    await desk.put("zendesk:1", fields={"title": "t", "status": "open"}, refs={"requester_id": "7"})
    await desk.put("zendesk:2", fields={}, thin=True, complete=False, creation=False)
    await desk.put("zendesk:3", fields={"title": "POISON", "status": "open", "email": "ada@kestrel.example"})
    desk.sandbox.change_faults({"poison": 1})
    await desk.settle()
    assert set((await desk.dead()).values()) == {"missing_email", "no_credentials", "refused"}
    await main._welcome(desk.deps)
    assert len(await desk.dead()) == 3, "nothing is new"
    desk.deps.settings = worker_settings(**CREDENTIALS)
    desk.deps.helpdesks = open_helpdesks(desk.deps.settings)
    await main._welcome(desk.deps)
    assert await desk.dead() == {"zendesk:3": "refused"}
    assert (await desk.store.look()).due_count == 2
    await desk.flush()
    await main._welcome(desk.deps)
    assert (await desk.store.look()).lookups == 2, "and they are looked up once, not at every start"
    for helpdesk in desk.deps.helpdesks.values():
        await helpdesk.aclose()


async def test_a_redis_that_lost_its_data_is_noticed(desk: Desk) -> None:
    async def watch() -> str:
        stop = asyncio.Event()
        watching = asyncio.create_task(main._watch_epoch(desk.deps, stop))
        await asyncio.sleep(0.1)
        stop.set()
        await watching
        assert desk.deps.epoch
        return desk.deps.epoch

    first = await watch()
    assert await watch() == first
    assert "epochs_lost" not in await desk.store.counters()
    await desk.store.command("FLUSHALL")
    assert await watch() != first
    assert (await desk.store.counters()).get("epochs_lost") == 1
    assert await desk.store.reserve(limit_per_minute=200, epoch=desk.deps.epoch) > 0, "the last minute's calls count"


async def test_a_job_of_one_destination_that_hangs_takes_no_other_s_turn(desk: Desk) -> None:
    done: list[str] = []
    hangs = asyncio.Event()

    async def work(deps: Deps) -> int:
        if deps.settings.destination == "slow":
            await hangs.wait()
        if deps.settings.destination == "broken":
            raise ZeroDivisionError
        done.append(deps.settings.destination)
        return 0

    every = [
        replace(desk.deps, settings=replace(desk.deps.settings, destination=name))
        for name in ("slow", "broken", "quick")
    ]
    running = asyncio.ensure_future(main._job(work)({"deps": every}))
    await asyncio.sleep(0.05)
    assert done == ["quick"]
    hangs.set()
    await running
    assert done == ["quick", "slow"]
