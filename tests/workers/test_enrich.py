"""Look-ups beside the flush loop: what is missing is asked for in batches, a failure holds and never buries."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.core.change import Change
from gateway.core.lookups import Company, Person
from gateway.rules import rules_of
from gateway.store.pending import Delivery
from tests.workers.conftest import T0
from workers import enrich
from workers.enrich import enrich_once
from workers.helpdesks.base import HelpdeskBusy, HelpdeskUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.workers.conftest import Desk

REFS = {"requester_id": "7", "organization_id": "5", "assignee_id": "9"}


class Helpdesk:
    """A helpdesk whose records are dicts and whose failure is a setting."""

    at_once = 2

    def __init__(self) -> None:
        self.people: dict[str, Person] = {"7": Person("ada@kestrel.example", "Ada"), "9": Person("agent@lumen.example")}
        self.companies: dict[str, Company] = {"5": Company(("kestrel.example",), "kf-204")}
        self.records: dict[str, Change] = {}
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.failure: Exception | None = None

    def _asked(self, kind: str, ids: Sequence[str]) -> None:
        self.calls.append((kind, tuple(ids)))
        if self.failure:
            raise self.failure

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        self._asked("users", ids)
        return {one: self.people.get(one) for one in ids}

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        self._asked("organizations", ids)
        return {one: self.companies.get(one) for one in ids}

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        self._asked("tickets", ids)
        return {one: self.records.get(one) for one in ids}

    async def probe(self) -> str | None:
        return None

    async def aclose(self) -> None:
        return None


@pytest.fixture
def helpdesk(desk: Desk) -> Helpdesk:
    double = Helpdesk()
    desk.deps.helpdesks = {"zendesk": double}
    return double


def record(**fields: str) -> Change:
    return Change(
        "zendesk:1",
        "zendesk",
        fields={"title": "Read anew", "status": "open", **fields},
        refs=REFS,
        updated_at_ms=T0 + 9000,
        complete=True,
        reread=True,
    )


async def test_ids_become_people_and_company_before_the_ticket_goes(desk: Desk, helpdesk: Helpdesk) -> None:
    await desk.put(fields={"title": "Export", "status": "open"}, refs=REFS)
    await desk.flush()
    assert desk.puts() == []
    assert (await desk.store.look()).lookups == 1
    assert await enrich_once(desk.deps, "zendesk") == 1
    await desk.settle()
    ticket = desk.tickets["zendesk:1"]
    assert (ticket["email"], ticket["name"]) == ("ada@kestrel.example", "Ada")
    assert ticket["agentEmail"] == "agent@lumen.example"
    assert (ticket["domains"], ticket["companyExternalId"]) == (["kestrel.example"], "kf-204")


async def test_one_person_of_many_tickets_is_asked_for_once(desk: Desk, helpdesk: Helpdesk) -> None:
    for number in range(6):
        await desk.put(f"zendesk:{number}", fields={"title": "t", "status": "open"}, refs=REFS)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    assert len(desk.tickets) == 6
    assert helpdesk.calls == [("users", ("7", "9")), ("organizations", ("5",))]


async def test_a_thin_delivery_is_read_anew_and_stamped_with_its_own_time(desk: Desk, helpdesk: Helpdesk) -> None:
    helpdesk.records["1"] = record()
    await desk.put(fields={}, thin=True, complete=False, creation=False)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    assert desk.tickets["zendesk:1"]["title"] == "Read anew"
    assert desk.tickets["zendesk:1"]["email"] == "ada@kestrel.example"
    assert (await desk.store.look()).lookups == 0


async def test_an_unstamped_delivery_only_triggers_a_re_read(desk: Desk, helpdesk: Helpdesk) -> None:
    helpdesk.records["1"] = record()
    await desk.put(fields={"title": "unstamped", "status": "closed", "email": "x@kestrel.example"}, updated_at_ms=None)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    assert desk.tickets["zendesk:1"]["title"] == "Read anew"


async def test_a_ticket_that_the_helpdesk_does_not_know_is_buried(desk: Desk, helpdesk: Helpdesk) -> None:
    await desk.put(fields={}, thin=True, complete=False, creation=False)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    assert await desk.dead() == {"zendesk:1": "not_found"}


async def test_a_person_without_address_buries_the_ticket(desk: Desk, helpdesk: Helpdesk) -> None:
    helpdesk.people["7"] = Person(None, "Phone caller")
    await desk.put(fields={"title": "Call", "status": "open"}, refs=REFS)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    assert await desk.dead() == {"zendesk:1": "missing_email"}


@pytest.mark.parametrize("failure", [HelpdeskUnavailable("down"), HelpdeskBusy(0.01)])
async def test_a_failing_look_up_holds_the_ticket_and_never_buries(
    desk: Desk, helpdesk: Helpdesk, failure: Exception
) -> None:
    helpdesk.failure = failure
    await desk.put(fields={"title": "Export", "status": "open"}, refs=REFS)
    await desk.put("zendesk:2")
    await desk.flush()
    stop = asyncio.Event()
    task = asyncio.create_task(enrich.run(desk.deps, "zendesk", stop))
    await asyncio.sleep(0.1)
    assert set(desk.tickets) == {"zendesk:2"}, "others are not held up"
    assert await desk.dead() == {}
    helpdesk.failure = None
    for _ in range(60):
        await asyncio.sleep(0.1)
        if not (await desk.store.look()).lookups:
            break
    stop.set()
    await task
    await desk.settle()
    assert set(desk.tickets) == {"zendesk:1", "zendesk:2"}


async def test_what_a_failing_call_had_read_is_kept(desk: Desk, helpdesk: Helpdesk) -> None:
    failure = HelpdeskUnavailable("cut in the middle")
    failure.found = {"7": Person("ada@kestrel.example", "Ada")}
    helpdesk.failure = failure
    await desk.put(fields={"title": "Export", "status": "open"}, refs=REFS)
    await desk.flush()
    with pytest.raises(HelpdeskUnavailable):
        await enrich_once(desk.deps, "zendesk")
    helpdesk.failure = None
    await enrich_once(desk.deps, "zendesk")
    assert helpdesk.calls == [("users", ("7", "9")), ("users", ("9",)), ("organizations", ("5",))]


async def test_a_deleted_ticket_read_anew_is_deleted(desk: Desk, helpdesk: Helpdesk) -> None:
    await desk.put(at=0)
    await desk.settle()
    helpdesk.records["1"] = Change("zendesk:1", "zendesk", updated_at_ms=T0 + 9000, life="deleted", reread=True)
    await desk.put(at=8, fields={}, thin=True, complete=False, creation=False)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.flush()
    await desk.delete()
    assert desk.tickets == {}


async def test_a_helpdesk_that_hangs_delays_no_other(desk: Desk, helpdesk: Helpdesk) -> None:
    class Hangs(Helpdesk):
        async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
            await asyncio.sleep(60)
            return {}

    desk.deps.helpdesks = {"freshdesk": Hangs(), "zendesk": helpdesk}
    slow = Change("freshdesk:1", "freshdesk", fields={"title": "t", "status": "open"}, refs=REFS, updated_at_ms=T0)
    await desk.store.put([Delivery(None, (("freshdesk:1", slow.encode()),))])
    await desk.put(fields={"title": "t", "status": "open"}, refs=REFS)
    stop = asyncio.Event()
    tasks = [asyncio.create_task(enrich.run(desk.deps, name, stop)) for name in desk.deps.helpdesks]
    for _ in range(50):
        await desk.flush()
        await asyncio.sleep(0.05)
        if "zendesk:1" in desk.tickets:
            break
    assert set(desk.tickets) == {"zendesk:1"}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Racing(Helpdesk):
    """A helpdesk whose ticket changes between its snapshot and the end of its answer."""

    then: Callable[[], Awaitable[None]] | None = None

    async def tickets(self, ids):
        found = {one: self.records.get(one) for one in ids}
        if self.then:
            then, self.then = self.then, None
            await then()
        self.calls.append(("tickets", tuple(ids)))
        return found


@pytest.mark.parametrize("stamped", [True, False])
async def test_a_delivery_that_comes_in_while_its_ticket_is_read_anew_makes_it_be_read_once_more(desk, stamped):
    double = Racing()
    desk.deps.helpdesks = {"zendesk": double}
    at_ms = T0 + 9000
    double.records["1"] = replace(record(status="open"), updated_at_ms=at_ms if stamped else None)

    async def change() -> None:
        double.records["1"] = replace(record(status="closed"), updated_at_ms=at_ms + 1000 if stamped else None)
        await desk.put(fields={}, thin=True, complete=False, creation=False)

    double.then = change
    await desk.put(fields={}, thin=True, complete=False, creation=False)
    await desk.flush()
    for _ in range(4):
        await enrich_once(desk.deps, "zendesk")
        await desk.settle()
    assert desk.tickets["zendesk:1"]["status"] == "closed"


@pytest.mark.parametrize(("wish", "status"), [("close", "closed"), ("ignore", "open")])
async def test_a_deletion_that_a_re_read_shows_becomes_what_the_connection_wishes(desk, helpdesk, wish, status):
    desk.deps.settings = replace(desk.deps.settings, on_delete={"zendesk": wish})
    await desk.put(at=0)
    await desk.settle()
    helpdesk.records["1"] = Change("zendesk:1", "zendesk", updated_at_ms=T0 + 9000, life="deleted", reread=True)
    await desk.put(at=8, fields={}, thin=True, complete=False, creation=False)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    await desk.delete()
    assert desk.tickets["zendesk:1"]["status"] == status
    assert (await desk.store.look()).pending == 0


async def test_an_unstamped_deletion_has_the_ticket_read_anew(desk: Desk, helpdesk: Helpdesk) -> None:
    helpdesk.records["1"] = record()
    await desk.put(fields={}, thin=True, complete=False, creation=False)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    del helpdesk.records["1"]
    await desk.put(fields={}, updated_at_ms=None, life="deleted", complete=False, creation=False)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.flush()
    await desk.delete()
    assert desk.tickets == {}


async def test_a_ticket_of_which_too_little_is_known_is_read_anew_before_it_is_buried(desk, helpdesk):
    helpdesk.records["1"] = record()
    await desk.put(fields={"status": "open"}, complete=False, creation=False)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    assert desk.tickets["zendesk:1"]["title"] == "Read anew"
    assert await desk.dead() == {}


# -------------------------------------------------------------------------------- rules, by re-reading
def ruled(desk: Desk, **table: object) -> None:
    made = rules_of({"source": "zendesk", **table})
    assert made is not None
    desk.settings(rules={"zendesk": made})


async def test_a_ticket_that_the_rules_leave_out_is_let_go_once_it_was_read(desk: Desk, helpdesk: Helpdesk) -> None:
    ruled(desk, only={"statuses": ["solved"]})
    helpdesk.records["1"] = record()
    await desk.put(fields={}, thin=True, complete=False, creation=False)
    await desk.put("zendesk:2")
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    view = await desk.store.look()
    assert set(desk.tickets) == {"zendesk:2"}
    assert (view.pending, view.lookups, await desk.dead()) == (0, 0, {})


async def test_a_status_that_was_read_is_renamed(desk: Desk, helpdesk: Helpdesk) -> None:
    ruled(desk, status={"open": "working"})
    helpdesk.records["1"] = record()
    await desk.put(fields={}, thin=True, complete=False, creation=False)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    assert desk.tickets["zendesk:1"]["status"] == "working"


async def test_a_deletion_that_was_read_closes_past_the_filter_of_statuses(desk: Desk, helpdesk: Helpdesk) -> None:
    ruled(desk, only={"statuses": ["open"]})
    desk.settings(on_delete={"zendesk": "close"})
    await desk.put(at=0)
    await desk.settle()
    helpdesk.records["1"] = Change("zendesk:1", "zendesk", updated_at_ms=T0 + 9000, life="deleted", reread=True)
    await desk.put(at=8, fields={}, thin=True, complete=False, creation=False)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    assert desk.tickets["zendesk:1"]["status"] == "closed"


async def test_an_undated_deletion_is_proved_by_a_re_read_before_it_is_carried_out(
    desk: Desk, helpdesk: Helpdesk
) -> None:
    helpdesk.records["1"] = replace(record(), life="live")
    await desk.put(at=0)
    await desk.settle()
    await desk.put(fields={}, updated_at_ms=None, life="deleted", complete=False, creation=False)
    await desk.flush()
    assert (await desk.store.look()).deletes == 0
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    await desk.delete()
    assert desk.tickets["zendesk:1"]["title"] == "Read anew"


async def test_what_a_dead_letter_asks_for_is_looked_up_with_the_next_change(desk: Desk, helpdesk: Helpdesk) -> None:
    desk.deps.helpdesks = {}
    await desk.put(fields={}, thin=True, complete=False, creation=False)
    await desk.flush()
    assert await desk.dead() == {"zendesk:1": "no_credentials"}
    desk.deps.helpdesks = {"zendesk": helpdesk}
    helpdesk.records["1"] = record()
    await desk.put(at=1)
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    assert helpdesk.calls[0] == ("tickets", ("1",))
    assert await desk.dead() == {}
    assert (await desk.store.look()).pending == 0


async def test_a_ticket_that_somebody_removed_in_planhat_is_read_anew_when_an_update_creates_it(desk, helpdesk):
    await desk.put(at=0)
    await desk.settle()
    (known,) = desk.sandbox.tickets.by_id
    desk.sandbox.tickets.delete(known, 0)
    helpdesk.records["1"] = replace(record(), life="live")
    await desk.put(at=8, fields={"status": "pending"}, complete=False, creation=False)
    await desk.settle()
    assert desk.tickets["zendesk:1"].get("title") is None
    await desk.flush()
    await enrich_once(desk.deps, "zendesk")
    await desk.settle()
    assert desk.tickets["zendesk:1"]["title"] == "Read anew"
