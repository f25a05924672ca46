"""What the simulation found, each as one small scenario (deploy/docs/incidents.md tells the stories)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.store.pending import Store
from workers.deps import START_WITHIN_S
from workers.read_back import TRIES_MAX, read_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.store.pending import Ack
    from tests.workers.conftest import Desk


class DiesAfterAck(Store):
    """A store whose worker ends as soon as Redis has the ack."""

    async def ack(self, token: str, acks: Sequence[Ack]) -> dict[str, str]:
        answers = await super().ack(token, acks)
        if acks:
            raise asyncio.CancelledError
        return answers


async def test_an_update_that_was_dropped_is_not_confirmed_by_a_status_that_did_not_change(desk: Desk) -> None:
    await desk.put(at=0)
    await desk.settle()
    await desk.put(at=5, creation=False, fields={"title": "newer", "status": "open", "email": "ada@1.kestrel.example"})
    desk.sandbox.change_faults({"next": ["silent"]})
    await desk.settle()
    assert desk.tickets["zendesk:1"]["title"] == "newer"
    assert desk.puts() == [1, 1, 1]
    assert await desk.dead() == {}


async def test_a_deleted_ticket_is_not_listed_for_ever(desk: Desk) -> None:
    await desk.put(at=0, creation=False)
    desk.sandbox.change_faults({})
    await desk.settle()
    await desk.put(at=9, life="deleted", creation=False, complete=False, fields={})
    await desk.settle()
    await desk.delete()
    assert desk.tickets == {}
    await desk.store.park("unread", ["zendesk:1"], 1)
    assert await read_back(desk.deps) == 0
    assert (await desk.store.look()).unread == 0


async def test_a_ticket_that_the_list_never_shows_is_asked_for_ten_times_at_most(desk: Desk) -> None:
    for _ in range(TRIES_MAX):
        await desk.store.park("unread", ["zendesk:77"], 1)
        assert await read_back(desk.deps) == 0
    assert (await desk.store.look()).unread == 0


async def test_a_history_is_asked_for_although_the_worker_dies_right_after_the_ack(desk: Desk) -> None:
    store = DiesAfterAck(desk.store.redis)
    desk.deps.store = store
    await desk.put(at=0, creation=False)
    with pytest.raises(asyncio.CancelledError):
        await desk.settle()
    assert (await desk.store.look()).unread == 1


async def test_a_ticket_whose_requester_changed_with_a_lost_answer_is_found_and_deleted(desk: Desk) -> None:
    await desk.put(at=0)
    await desk.settle()
    key = desk.store.keys.state("zendesk:1")
    state = orjson.loads(await desk.store.command("GET", key))
    await desk.store.command("SET", key, orjson.dumps({**state, "id": None}))  # an answer without ids
    await desk.put(at=3, fields={"title": "t", "status": "open", "email": "bob@1.kestrel.example"})
    desk.sandbox.change_faults({"next": ["lost"]})
    await desk.flush()
    assert desk.tickets["zendesk:1"]["email"] == "bob@1.kestrel.example"
    await desk.put(at=9, life="deleted", fields={}, complete=False, creation=False)
    for _ in range(3):
        await desk.wake()
        await desk.flush()
        await desk.delete()
    assert desk.tickets == {}
    assert await desk.dead() == {}


class SlowExtensions(Store):
    """A store on which the extension of a claim takes as long as `clock` is told."""

    clock: Clock
    takes_s: float

    async def extend(self, tickets: Sequence[str], token: str, lease_ms: int) -> set[str]:
        self.clock.now_s += self.takes_s
        return await super().extend(tickets, token, lease_ms)


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_call_that_begins_long_after_its_claims_were_extended_is_not_made(desk: Desk) -> None:
    store = SlowExtensions(desk.store.redis)
    store.clock, store.takes_s = Clock(), START_WITHIN_S + 0.1
    desk.deps.store, desk.deps.monotonic = store, store.clock
    await desk.put(at=0)
    await desk.flush()
    assert desk.puts() == []
    assert (await desk.store.look()).leased == 0
    store.takes_s = 0.0
    await desk.settle()
    assert desk.puts() == [1]


async def test_an_id_that_was_answered_404_is_looked_for_first_the_next_time(desk: Desk) -> None:
    """Else two such deletions use up the deletions' share of a small quota, and none is ever left to look for them."""
    await desk.put(at=0)
    await desk.settle()
    (planhat_id,) = desk.sandbox.state()["ids"].values()
    key = desk.store.keys.state("zendesk:1")
    state = orjson.loads(await desk.store.command("GET", key))
    await desk.store.command("SET", key, orjson.dumps({**state, "id": planhat_id}))
    desk.sandbox.tickets.delete(planhat_id, 0)
    await desk.put(at=9, life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()
    desk.settings(calls_per_minute=5)  # one deletion a minute
    await desk.delete()
    assert (await desk.store.look()).pending == 1, "no quota was left for the list"
    for _ in range(2):  # one listing by the requester, one of the newest
        await desk.store.command("DEL", desk.store.keys.calls, desk.store.keys.calls_delete)
        await desk.store.command("ZADD", desk.store.keys.lane("deletes"), 1, "zendesk:1")
        await desk.delete()
    assert (await desk.store.look()).pending == 0
    assert await desk.dead() == {}
