"""One ticket, one flight: what must be so right before a call and after one, whatever happened in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.core.outcome import BulkOutcome, ErrorEntry
from gateway.store.pending import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.workers.conftest import Desk


class Taken(Store):
    """A bridge on which somebody else is quicker, just before the claim is made sure of."""

    async def extend(self, *args: Any) -> set[str]:
        await self.command("HSET", self.keys.lease, "zendesk:1", "somebody else")
        return await super().extend(*args)


class Slotless(Store):
    """A bridge on which the slot lapses just before the claim is made sure of."""

    async def extend(self, *args: Any) -> set[str]:
        await self.command("DEL", self.keys.slots)
        return await super().extend(*args)


class Answering:
    """A Planhat that gives one answer to every batch (None: takes all of it), and remembers whose tickets it saw."""

    def __init__(self, outcome: BulkOutcome) -> None:
        self.outcome: BulkOutcome | None = outcome
        self.seen: list[list[str]] = []

    async def upsert(self, items: Sequence[bytes], **_: object) -> BulkOutcome:
        self.seen.append([orjson.loads(item)["sourceId"] for item in items])
        return self.outcome or BulkOutcome("clear", 200, created=0, updated=len(items))


async def test_a_ticket_whose_claim_was_lost_is_not_sent(desk: Desk) -> None:
    await desk.put("zendesk:1")
    await desk.put("zendesk:2")
    desk.deps.store = Taken(desk.store.redis)
    await desk.flush()
    assert set(desk.tickets) == {"zendesk:2"}
    assert desk.puts() == [1]


async def test_who_lost_the_slot_sends_nothing(desk: Desk) -> None:
    await desk.put()
    desk.deps.store = Slotless(desk.store.redis)
    await desk.flush()
    view = await desk.store.look()
    assert desk.puts() == []
    assert (view.pending, view.leased) == (1, 0)


@pytest.mark.parametrize(("stopped_s", "sent"), [(0.0, True), (3.9, True), (4.5, False), (60.0, False)])
async def test_the_last_piece_of_a_body_is_not_written_when_the_lease_is_over(
    desk: Desk, *, stopped_s: float, sent: bool
) -> None:
    now_s, planhat = 1000.0, desk.deps.planhat

    class Stopped:
        """A Planhat on the way to which the process is stopped for a while."""

        async def upsert(self, items: Sequence[bytes], **more: Any) -> BulkOutcome:
            nonlocal now_s
            now_s += stopped_s
            return await planhat.upsert(items, **more)

    desk.deps.monotonic = lambda: now_s
    desk.deps.planhat = Stopped()  # type: ignore[assignment]
    await desk.put()
    await desk.flush()
    assert bool(desk.tickets) == sent, "the claim holds for 5 s here, and 1 s of them must be left"


@pytest.mark.parametrize("fault", ["lost", "garbage", "html"])
async def test_after_an_ambiguous_end_the_slot_is_held_as_long_as_the_tickets(desk: Desk, fault: str) -> None:
    await desk.put("zendesk:1")
    desk.sandbox.change_faults({"next": [fault]})
    await desk.flush()
    await desk.put("zendesk:2")
    await desk.flush()
    assert desk.puts() == [1], "nothing else goes while the call may still be under way"
    assert await desk.store.command("ZCARD", desk.store.keys.slots) == 1


async def test_an_update_that_was_dropped_is_not_confirmed_by_the_ticket_s_old_row(desk: Desk) -> None:
    await desk.put(at=0)
    await desk.settle()
    await desk.put(at=5, creation=False, fields={"title": "new", "status": "open", "email": "ada@1.kestrel.example"})
    desk.sandbox.change_faults({"next": ["silent"]})
    await desk.settle()
    assert desk.tickets["zendesk:1"]["title"] == "new"
    assert desk.puts() == [1, 1, 1]


async def test_an_update_that_was_dropped_twice_is_not_confirmed_by_another_status(desk: Desk) -> None:
    await desk.put(at=0)
    await desk.settle()
    await desk.put(at=5, creation=False, fields={"title": "t", "status": "solved", "email": "ada@1.kestrel.example"})
    desk.sandbox.change_faults({"silent": 1})
    await desk.settle()
    assert desk.tickets["zendesk:1"]["status"] == "open"
    assert await desk.dead() == {"zendesk:1": "unconfirmed"}


async def test_each_item_that_an_error_names_goes_alone(desk: Desk) -> None:
    names = [f"zendesk:{number}" for number in range(5)]
    for name in names:
        await desk.put(name)
    errors = tuple(ErrorEntry(f"{name} is odd", frozenset((name,))) for name in names[:2])
    planhat = Answering(BulkOutcome("clear", 206, created=0, updated=3, entries=errors))
    desk.deps.planhat = planhat  # type: ignore[assignment]
    await desk.flush()
    planhat.outcome = None
    await desk.settle()
    assert sorted(planhat.seen[0]) == names
    assert sorted(planhat.seen[1:]) == [[names[0]], [names[1]]]
    assert (await desk.store.look()).pending == 0


async def test_every_call_to_planhat_was_reserved_first(desk: Desk) -> None:
    for number in range(4):
        await desk.put(f"zendesk:{number}")
    desk.sandbox.change_faults({"next": ["silent"]})
    await desk.settle()
    for number in range(2):
        await desk.put(f"zendesk:{number}", at=5, life="deleted", fields={}, complete=False, creation=False)
    await desk.put("zendesk:never", life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()
    for _ in range(4):
        await desk.delete()
    methods = [row["method"] for row in desk.sandbox.log]
    assert {method: methods.count(method) for method in set(methods)} == {"PUT": 2, "GET": 4, "DELETE": 2}
    assert await desk.store.calls_last_minute() == len(methods)


async def test_looking_for_what_is_to_be_deleted_stays_in_the_share_of_deletions(desk: Desk) -> None:
    desk.settings(calls_per_minute=10)
    names = [f"zendesk:{number}" for number in range(4)]
    for name in names:
        await desk.put(name)
    await desk.settle()
    for name in names:
        await desk.put(name, at=5, life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()
    for _ in range(4):
        await desk.delete()
        for name in names:
            await desk.store.command("ZADD", desk.store.keys.lane("deletes"), "XX", 1, name)
    assert await desk.store.calls_last_minute() <= 1 + 2


async def test_an_unavailable_planhat_is_left_alone_for_a_while(desk: Desk) -> None:
    await desk.put()
    desk.sandbox.change_faults({"unavailable": 1})
    await desk.flush(3)
    view = await desk.store.look()
    assert desk.puts() == [1]
    assert view.pause.until_ms > view.now_ms
    assert (view.pending, view.leased) == (1, 0)


async def test_an_unavailable_planhat_is_left_alone_as_long_as_it_asks(desk: Desk) -> None:
    await desk.put()
    desk.deps.planhat = Answering(BulkOutcome("clear", 503, retry_after_s=30.0))  # type: ignore[assignment]
    await desk.flush()
    view = await desk.store.look()
    assert view.pause.until_ms - view.now_ms > 25_000


async def test_a_stopped_destination_is_probed_with_another_ticket_each_time(desk: Desk) -> None:
    names = {f"zendesk:{number}" for number in range(3)}
    for name in sorted(names):
        await desk.put(name)
    planhat = Answering(BulkOutcome("clear", 401, detail="Unauthorized"))
    desk.deps.planhat = planhat  # type: ignore[assignment]
    for _ in range(4):
        await desk.flush()
        await desk.skip_pause()
    assert set(planhat.seen[0]) == names
    probes = planhat.seen[1:]
    assert [len(probe) for probe in probes] == [1, 1, 1]
    assert {name for probe in probes for name in probe} == names
    assert await desk.dead() == {}
