"""Where a turn could wedge, burn calls or say something wrong: suspects that cannot go, a full Redis, a shutdown."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from gateway.core import state as states
from gateway.core.change import Change
from gateway.core.lookups import Person
from gateway.core.outcome import BulkOutcome
from gateway.core.placing import Placing
from gateway.store.pending import Delivery
from tests.workers.conftest import T0
from workers import deletes, flush, main
from workers.enrich import AT_ONCE, enrich_once
from workers.helpdesks.base import HelpdeskError, HelpdeskUnavailable
from workers.planhat.client import DeleteAnswer, ListAnswer
from workers.planhat.wire import Row
from workers.read_back import read_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.lookups import Company
    from tests.workers.conftest import Desk

POISON = {"title": "POISON", "status": "open", "email": "ada@kestrel.example"}


class Helpdesk:
    """Knows everybody but the broken ids, which always end in a failure of the call."""

    at_once = 20

    def __init__(self, *broken: str) -> None:
        self.broken = broken

    async def _each(self, ids: Sequence[str]) -> dict[str, Person | None]:
        found: dict[str, Person | None] = {}
        for one in ids:
            if one in self.broken:
                error: HelpdeskError = HelpdeskUnavailable("HTTP 500")
                error.found = found
                raise error
            found[one] = Person(f"p{one}@kestrel.example")
        return found

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        return await self._each(ids)

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        return dict.fromkeys(ids)

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        await self._each(ids)
        return {}

    async def probe(self) -> str | None:
        return None

    async def aclose(self) -> None:
        return None


async def suspect(desk: Desk, ticket: str) -> None:
    await desk.store.regroup({ticket: 2})


async def test_a_suspect_that_must_be_looked_up_is_no_suspect_any_more(desk: Desk) -> None:
    desk.deps.helpdesks = {"zendesk": Helpdesk()}
    await desk.put("zendesk:1", fields={"title": "t", "status": "open"}, refs={"requester_id": "7"})
    await suspect(desk, "zendesk:1")
    await desk.flush(2)
    view = await desk.store.look()
    assert (view.suspects, view.lookups, view.parked) == (0, 1, 1)
    assert await flush.flush_once(desk.deps) > 0


async def test_a_suspect_that_was_deleted_is_no_suspect_any_more(desk: Desk) -> None:
    await desk.put("zendesk:1", life="deleted", fields={}, complete=False, creation=False)
    await suspect(desk, "zendesk:1")
    await desk.flush(2)
    view = await desk.store.look()
    assert (view.suspects, view.deletes, view.parked) == (0, 1, 1)


async def test_a_suspect_that_cannot_be_read_does_not_hold_the_others(desk: Desk) -> None:
    await desk.store.put([Delivery(None, (("zendesk:1", b"\x63future"),))])
    await desk.put("zendesk:2")
    await suspect(desk, "zendesk:1")
    await suspect(desk, "zendesk:2")
    await desk.flush(6)
    view = await desk.store.look()
    assert set(desk.tickets) == {"zendesk:2"}
    assert (view.suspects, view.parked, view.leased) == (0, 1, 0)


async def test_a_probe_among_suspects_is_another_one_each_time(desk: Desk) -> None:
    desk.deps.jitter = random.Random(7).random
    for number in range(4):
        await desk.put(f"zendesk:{number}", fields=POISON if number < 2 else {**POISON, "title": "fine"})
        await desk.store.regroup({f"zendesk:{number}": 0})
    await desk.store.set_health({"record": '{"mode":"open","fails":4}'})
    for ticket in range(4):  # nothing but suspects
        await desk.store.command("ZADD", desk.store.keys.due, 9_000_000_000_000_000, f"zendesk:{ticket}")
    desk.sandbox.change_faults({"poison500": 1})
    for _ in range(12):
        await desk.flush()
        await desk.skip_pause()
    assert {"zendesk:2", "zendesk:3"} & set(desk.tickets)


async def test_one_damaged_value_does_not_wedge_the_others(desk: Desk) -> None:
    await desk.put("zendesk:1", fields={"title": "t", "status": "open", "email": 5})
    await desk.put("zendesk:2")
    await desk.settle()
    assert set(desk.tickets) == {"zendesk:2"}
    assert await desk.dead() == {"zendesk:1": "damaged"}


async def have_read_back(desk: Desk) -> None:
    """A ticket that was forgotten and changed, its history read from Planhat and sent."""
    await desk.put(at=0)
    await desk.settle()
    await desk.store.command("DEL", desk.store.keys.state("zendesk:1"))
    await desk.put(at=9, creation=False, fields={"title": "t", "status": "solved", "email": "ada@kestrel.example"})
    await desk.settle()
    assert await read_back(desk.deps) == 1
    await desk.settle()


async def test_a_read_back_leaves_the_source_alone(desk: Desk) -> None:
    await have_read_back(desk)
    assert len(desk.tickets["zendesk:1"]["history"]) == 2
    assert desk.tickets["zendesk:1"]["source"] == "zendesk"


async def test_a_read_back_leaves_a_fixed_company_alone(desk: Desk) -> None:
    desk.settings(placings={"zendesk": Placing(external_id="acct-1")})
    await have_read_back(desk)
    ticket = desk.tickets["zendesk:1"]
    assert len(ticket["history"]) == 2
    assert ticket["companyExternalId"] == "acct-1"
    assert "domains" not in ticket


async def test_a_read_back_that_finds_nothing_delays_no_change(desk: Desk) -> None:
    await desk.put("zendesk:1")
    await desk.store.park("unread", ["zendesk:1"], 0)
    assert await read_back(desk.deps) == 0
    await desk.flush()
    assert set(desk.tickets) == {"zendesk:1"}


async def test_a_full_redis_is_emptied(desk: Desk) -> None:
    await desk.put("zendesk:1")
    await desk.put("zendesk:2", creation=False, fields={"title": "t", "status": "open", "email": "a@k.example"})
    await desk.store.command("CONFIG", "SET", "maxmemory", "1")
    try:
        await desk.flush()
        view = await desk.store.look()
        assert (view.pending, view.leased) == (0, 0)
        assert len(desk.tickets) == 2
    finally:
        await desk.store.command("CONFIG", "SET", "maxmemory", "0")


async def test_a_full_redis_takes_what_planhat_s_health_taught(desk: Desk) -> None:
    await desk.put("zendesk:1")
    desk.sandbox.change_faults({"unavailable": 1})
    await desk.store.command("CONFIG", "SET", "maxmemory", "1")
    try:
        for _ in range(3):
            await desk.flush()
            await desk.skip_pause()
        assert (await desk.store.health())["record"].count('"mode":"probing"') == 1
    finally:
        await desk.store.command("CONFIG", "SET", "maxmemory", "0")


class Hanging:
    """A Planhat that never answers."""

    def __init__(self) -> None:
        self.called = asyncio.Event()

    async def _hang(self, *_: object, **__: object) -> None:
        self.called.set()
        await asyncio.Event().wait()

    upsert = list_tickets = delete = _hang


@pytest.mark.parametrize("work", ["flush", "delete"])
async def test_a_call_abandoned_at_shutdown_keeps_ticket_and_slot_until_it_cannot_land_any_more(
    desk: Desk, work: str
) -> None:
    await desk.put(at=0)
    if work == "delete":
        await desk.settle()
        await desk.put(at=5, life="deleted", fields={}, complete=False, creation=False)
        await desk.flush()
    hanging = Hanging()
    desk.deps.planhat = hanging  # type: ignore[assignment]
    turn = flush.flush_once(desk.deps) if work == "flush" else deletes.delete_once(desk.deps)
    task = asyncio.create_task(turn)
    await hanging.called.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert (await desk.store.look()).leased == 1
    assert await desk.store.command("ZCARD", desk.store.keys.slots) == 1


async def test_a_list_that_cannot_be_read_is_not_asked_for_again_at_once(desk: Desk) -> None:
    await desk.put()
    desk.sandbox.change_faults({"silent": 1})

    async def refused(**_: object) -> object:
        return ListAnswer(None, BulkOutcome("clear", 403, detail="no permission"))

    desk.deps.planhat.list_tickets = refused  # type: ignore[assignment, method-assign]
    await desk.flush(8)
    assert desk.puts() == [1]
    assert (await desk.store.look()).pending == 1


async def test_listings_for_deletions_stay_in_their_share_of_the_quota(desk: Desk) -> None:
    desk.settings(calls_per_minute=10)
    for number in range(8):
        await desk.put(f"zendesk:{number}", life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()
    for _ in range(4):
        await desk.delete()
        for number in range(8):
            await desk.store.command("ZADD", desk.store.keys.lane("deletes"), "XX", 1, f"zendesk:{number}")
    assert await desk.store.calls_last_minute() <= 2


async def test_one_helpdesk_s_waiting_tickets_hide_no_other_s(desk: Desk) -> None:
    desk.deps.helpdesks = {"zendesk": Helpdesk("7"), "freshdesk": Helpdesk()}
    await desk.put("zendesk:1", fields={"title": "t", "status": "open"}, refs={"requester_id": "7"})
    await desk.flush()
    store = desk.store
    value = await store.command("GET", store.keys.change("zendesk:1"))
    for number in range(2, AT_ONCE + 2):
        await store.command("SET", store.keys.change(f"zendesk:{number}"), value)
        await store.command("ZADD", store.keys.due, 9_000_000_000_000_000, f"zendesk:{number}")
        await store.command("ZADD", store.keys.lane("lookups"), number, f"zendesk:{number}")
    change = Change("freshdesk:1", "freshdesk", {"title": "t", "status": "open"}, {"requester_id": "8"}, T0)
    await store.put([Delivery(None, (("freshdesk:1", change.encode()),))])
    await desk.flush()
    ready = 0
    for _ in range(4):
        ready += await enrich_once(desk.deps, "freshdesk")
    assert ready == 1


async def test_one_record_that_always_fails_hides_no_other(desk: Desk) -> None:
    desk.deps.helpdesks = {"zendesk": Helpdesk("1")}
    desk.deps.jitter = random.Random(7).random
    for number in range(1, 6):
        said = {"title": "t", "status": "open"}
        await desk.put(f"zendesk:{number}", fields=said, refs={"requester_id": str(number)})
    await desk.put("zendesk:1", fields={}, thin=True, complete=False, creation=False)
    await desk.flush()
    for _ in range(30):
        with suppress(HelpdeskError):
            await enrich_once(desk.deps, "zendesk")
    await desk.wake()
    await desk.settle()
    assert len(desk.tickets) == 4


class Job:
    """An arq whose job is cancelled because arq gave up."""

    closed = 0

    async def async_run(self) -> None:
        raise ConnectionError("redis is away")

    async def close(self) -> None:
        raise asyncio.CancelledError

    @property
    def pool(self) -> Job:
        return self

    async def aclose(self, *, close_connection_pool: bool) -> None:
        assert close_connection_pool
        Job.closed += 1


async def test_arq_giving_up_in_the_middle_of_a_job_stops_no_worker(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = asyncio.Event()
    monkeypatch.setattr(main, "_arq_worker", lambda _: Job())
    monkeypatch.setattr(main, "ARQ_AGAIN_S", 0.01)
    clock = asyncio.create_task(main._clock([desk.deps], stop))
    await asyncio.sleep(0.1)
    assert not clock.done()
    assert Job.closed > 1, "a connection is left open each time"
    stop.set()
    await clock


async def test_a_loop_that_was_cancelled_ends_the_worker_in_order() -> None:
    stop = asyncio.Event()
    ended = []

    async def loop() -> None:
        await stop.wait()
        ended.append("orderly")

    async def cancelled() -> None:
        raise asyncio.CancelledError

    await main._run_all([cancelled(), loop()], stop)
    assert ended == ["orderly"]


class Deleting:
    """A Planhat that knows some `_id`s of the ticket; `rows` None says that nothing can be listed."""

    def __init__(self, *known: str, rows: list[str] | None, answer: DeleteAnswer | None = None) -> None:
        self.known, self.rows, self.answer = list(known), rows, answer
        self.asked: list[str] = []

    async def delete(self, planhat_id: str) -> DeleteAnswer:
        self.asked.append(planhat_id)
        if self.answer:
            return self.answer
        if planhat_id not in self.known:
            return DeleteAnswer("gone", 404, "Not Found")
        self.known.remove(planhat_id)
        return DeleteAnswer("done", 200)

    async def list_tickets(self, **_: object) -> ListAnswer:
        if self.rows is None:
            return ListAnswer(None, BulkOutcome("clear", 404))
        rows = [Row(one, "zendesk:1", "", "", (), "") for one in self.rows]
        return ListAnswer(rows, BulkOutcome("clear", 200))


async def deleting(desk: Desk, planhat: Deleting) -> None:
    """A ticket that Planhat called `old` is to be deleted."""
    await desk.put(at=0)
    await desk.settle()
    state = states.read((await desk.store.states(["zendesk:1"]))[0])
    assert state
    state.planhat_id = "old"
    await desk.store.command("SET", desk.store.keys.state("zendesk:1"), state.encode())
    await desk.put(at=5, life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()
    desk.deps.planhat = planhat  # type: ignore[assignment]
    await desk.delete()


async def test_a_404_of_a_wrong_address_is_no_deletion(desk: Desk) -> None:
    planhat = Deleting(rows=None)
    await deleting(desk, planhat)
    assert (await desk.store.look()).pending == 1
    assert await desk.store.cache_get("planhat", "deletion", ["zendesk:1"]) == [b"gone"], "none is believed called"
    assert "deleted" not in await desk.store.counters()


async def test_a_ticket_that_planhat_holds_under_another_id_is_deleted_there(desk: Desk) -> None:
    planhat = Deleting("new", rows=["new"])
    await deleting(desk, planhat)
    assert planhat.asked == ["old", "new"]
    assert (await desk.store.look()).pending == 0


async def test_a_ticket_that_planhat_does_not_list_either_is_deleted(desk: Desk) -> None:
    await deleting(desk, Deleting(rows=[]))
    assert (await desk.store.look()).pending == 0


async def test_a_refused_deletion_is_not_taken_for_done_when_the_list_does_not_show_the_ticket(desk: Desk) -> None:
    await deleting(desk, Deleting("old", rows=[], answer=DeleteAnswer("refused", 500)))
    state = states.read((await desk.store.states(["zendesk:1"]))[0])
    assert state
    state.planhat_id = None
    await desk.store.command("SET", desk.store.keys.state("zendesk:1"), state.encode())
    await desk.store.command("ZADD", desk.store.keys.lane("deletes"), 1, "zendesk:1")
    await desk.delete()
    assert (await desk.store.look()).pending == 1
    await desk.store.command("ZADD", desk.store.keys.lane("deletes"), 1, "zendesk:1")
    await desk.delete()
    assert await desk.dead() == {"zendesk:1": "unconfirmed"}


async def test_one_convicted_that_is_no_suspect_any_more_holds_no_other(desk: Desk) -> None:
    await desk.put("zendesk:1")
    await suspect(desk, "zendesk:1")
    await desk.store.set_health({"record": '{"convicted":"zendesk:9"}'})
    await desk.flush(4)
    assert set(desk.tickets) == {"zendesk:1"}
    await desk.put("zendesk:9")
    await desk.settle()
    assert await desk.dead() == {}


async def test_listings_never_use_up_what_deletions_need(desk: Desk) -> None:
    desk.settings(calls_per_minute=5)  # one call a minute for deletions
    planhat = Deleting("x", rows=["x"])
    await desk.put("zendesk:1", life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()
    desk.deps.planhat = planhat  # type: ignore[assignment]
    for _ in range(3):
        await desk.delete()
        await desk.store.command("ZADD", desk.store.keys.lane("deletes"), "XX", 1, "zendesk:1")
        await desk.store.command("DEL", desk.store.keys.calls, desk.store.keys.calls_delete)
    assert planhat.asked == ["x"]
    assert (await desk.store.look()).pending == 0


async def test_a_long_backlog_lets_a_deletion_have_the_slot(desk: Desk) -> None:
    await desk.put(at=0)
    await desk.settle()
    await desk.put(at=5, life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()
    await desk.put("zendesk:2")
    assert await desk.store.take_slot("a call of the flush", 1, 60_000)
    await desk.delete()
    assert desk.deps.slot_wanted
    await desk.store.give_slot("a call of the flush")
    await desk.flush()
    assert "zendesk:2" not in desk.tickets, "the flush lets one turn pass"
    await desk.delete()
    assert desk.tickets == {}
    await desk.flush()
    assert set(desk.tickets) == {"zendesk:2"}


async def test_a_thin_delivery_about_a_deleted_ticket_is_read_anew_since_it_may_be_restored(desk: Desk) -> None:
    desk.deps.helpdesks = {"zendesk": Helpdesk()}
    await desk.put(at=0)
    await desk.settle()
    await desk.put(at=5, life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()
    await desk.delete()
    await desk.put(at=9, fields={}, thin=True, complete=False, creation=False)
    await desk.flush()
    assert (await desk.store.look()).lookups == 1
