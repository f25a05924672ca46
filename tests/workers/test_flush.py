"""The heart, on a real Redis and the sandbox: every row of "A batch's fate", and what happens around it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.core import health as healths
from gateway.store.pending import Limits
from workers.compact import compact
from workers.read_back import read_back
from workers.retention import expire_dead_letters

if TYPE_CHECKING:
    from tests.workers.conftest import Desk


async def health(desk: Desk) -> healths.Health:
    return healths.of(await desk.store.health())


async def test_a_ticket_reaches_planhat_with_its_history(desk: Desk) -> None:
    await desk.put(at=0, fields={"title": "Export", "status": "new", "email": "ada@kestrel.example"})
    await desk.put(at=5, creation=False, fields={"title": "Export", "status": "open", "email": "ada@kestrel.example"})
    await desk.flush()
    ticket = desk.tickets["zendesk:1"]
    assert ticket["title"] == "Export"
    assert ticket["status"] == "open"
    assert ticket["domains"] == ["kestrel.example"]
    assert [row["status"] for row in ticket["history"]] == ["new", "open"]
    assert desk.puts() == [1]
    assert (await desk.store.look()).pending == 0


async def test_many_changes_of_many_tickets_are_one_call(desk: Desk) -> None:
    for at in range(5):
        for number in range(9):
            await desk.put(f"zendesk:{number}", at=at)
    await desk.flush()
    assert desk.puts() == [9]


async def test_what_is_unchanged_is_not_sent_again(desk: Desk) -> None:
    await desk.put(at=0)
    await desk.settle()
    await desk.put(at=5, creation=False)
    await desk.settle()
    assert desk.puts() == [1]
    assert (await desk.store.counters())["skipped_unchanged"] == 1
    assert (await desk.store.look()).pending == 0


async def test_an_older_change_never_goes_over_a_newer_one(desk: Desk) -> None:
    await desk.put(at=9)
    await desk.settle()
    await desk.put(at=1, creation=False, fields={"title": "older", "status": "pending", "email": "x@kestrel.example"})
    await desk.settle()
    ticket = desk.tickets["zendesk:1"]
    assert (ticket["title"], ticket["status"]) == ("Ticket zendesk:1", "open")
    assert [row["status"] for row in ticket["history"]] == ["pending", "open"]


async def test_a_change_that_arrives_during_the_call_survives_the_ack(desk: Desk) -> None:
    await desk.put(at=0)
    original = desk.deps.planhat.upsert

    class Meanwhile:
        async def upsert(self, items, **more):
            answer = await original(items, **more)
            await desk.put(at=9, creation=False, fields={"status": "solved"})
            return answer

    desk.deps.planhat = Meanwhile()  # type: ignore[assignment]
    await desk.flush()
    assert (await desk.store.look()).pending == 1
    desk.deps.planhat.upsert = original  # type: ignore[method-assign]
    await desk.settle()
    assert desk.tickets["zendesk:1"]["status"] == "solved"


async def test_a_ticket_without_email_is_buried_with_its_reason_and_never_sent(desk: Desk) -> None:
    await desk.put(fields={"title": "Phone call", "status": "open"})
    await desk.put("zendesk:2")
    await desk.flush()
    assert await desk.dead() == {"zendesk:1": "missing_email"}
    assert set(desk.tickets) == {"zendesk:2"}


async def test_the_next_change_folds_with_the_dead_letter_and_closes_it(desk: Desk) -> None:
    await desk.put(at=0, fields={"title": "Phone call", "status": "open"})
    await desk.settle()
    await desk.put(at=5, complete=False, creation=False, fields={"email": "ada@kestrel.example"})
    await desk.settle()
    assert desk.tickets["zendesk:1"]["title"] == "Phone call"
    assert await desk.dead() == {}


async def test_a_thin_delivery_without_credentials_says_what_is_missing(desk: Desk) -> None:
    await desk.put(fields={}, thin=True, complete=False, creation=False)
    await desk.settle()
    assert await desk.dead() == {"zendesk:1": "no_credentials"}


async def test_named_items_go_alone_and_the_rest_is_acked(desk: Desk) -> None:
    for number in range(6):
        await desk.put(f"zendesk:{number}")
    desk.sandbox.change_faults({"next": ["partial"]})
    await desk.settle()
    assert len(desk.tickets) == 6
    assert await desk.dead() == {}
    assert desk.puts()[0] == 6
    assert set(desk.puts()[1:]) == {1}


async def test_a_poison_item_is_found_buried_with_planhat_s_words_and_the_others_pass(desk: Desk) -> None:
    for number in range(20):
        title = "POISON" if number == 7 else f"Ticket {number}"
        await desk.put(f"zendesk:{number}", fields={"title": title, "status": "open", "email": "ada@kestrel.example"})
    desk.sandbox.change_faults({"poison": 1})
    await desk.settle()
    assert await desk.dead() == {"zendesk:7": "refused"}
    assert (await desk.store.dead_letters())[0].detail == "Bad Request"
    assert len(desk.tickets) == 19
    assert len(desk.puts()) - 1 <= 5 + 2
    assert (await desk.store.look()).suspects == 0


async def test_healthy_tickets_pass_between_a_bisection_s_tests(desk: Desk) -> None:
    for number in range(16):
        title = "POISON" if number == 3 else f"Ticket {number}"
        await desk.put(f"zendesk:{number}", fields={"title": title, "status": "open", "email": "ada@kestrel.example"})
    desk.sandbox.change_faults({"poison": 1})
    await desk.flush()
    await desk.put("zendesk:healthy")
    await desk.flush(3)
    assert "zendesk:healthy" in desk.tickets
    await desk.settle()
    assert await desk.dead() == {"zendesk:3": "refused"}


async def test_a_poison_item_that_answers_500_is_bisected_once_a_lone_probe_passes(desk: Desk) -> None:
    for number in range(8):
        title = "POISON" if number == 2 else f"Ticket {number}"
        await desk.put(f"zendesk:{number}", fields={"title": title, "status": "open", "email": "ada@kestrel.example"})
    desk.sandbox.change_faults({"poison500": 1})
    for turn in range(60):
        await desk.flush()
        await desk.skip_pause()
        await desk.wake()
        if turn % 8 == 7:  # others must pass, else Planhat itself would be the one that is unwell
            await desk.put(f"zendesk:other-{turn}")
    assert await desk.dead() == {"zendesk:2": "refused"}
    assert {f"zendesk:{number}" for number in range(8) if number != 2} <= set(desk.tickets)


async def test_a_poison_item_that_answers_500_is_found_though_each_batch_holds_another(desk: Desk) -> None:
    await desk.put("zendesk:1", fields={"title": "POISON", "status": "open", "email": "ada@kestrel.example"})
    desk.sandbox.change_faults({"poison500": 1})
    for turn in range(4):  # little traffic: one more whenever the failed one has slept enough
        await desk.put(f"zendesk:{turn + 2}")
        await desk.wake()
        for _ in range(3 + 2):  # three failures, the probe, one that passes
            await desk.flush()
            await desk.skip_pause()
    assert await desk.dead() == {"zendesk:1": "refused"}
    assert len(desk.tickets) == 4


async def test_planhat_s_own_outage_convicts_nobody(desk: Desk) -> None:
    await desk.put("zendesk:1")
    desk.sandbox.change_faults({"error": 1})
    for _ in range(3):
        await desk.flush()
        await desk.skip_pause()
    desk.sandbox.change_faults({"error": 0})
    await desk.put("zendesk:2")
    await desk.settle()
    await desk.wake()
    await desk.settle()
    assert len(desk.tickets) == 2
    assert await desk.dead() == {}


async def test_ten_lone_failures_in_a_row_stop_the_destination_and_bury_nothing(desk: Desk) -> None:
    for number in range(12):
        await desk.put(
            f"zendesk:{number}", fields={"title": "POISON", "status": "open", "email": "ada@kestrel.example"}
        )
    desk.sandbox.change_faults({"poison": 1})
    for _ in range(60):
        await desk.flush()
        if (await desk.store.pause_state()).stopped:
            break
    assert (await desk.store.pause_state()).stopped == "systemic"
    assert await desk.dead() == {}
    assert (await desk.store.look()).pending == 12
    for _ in range(5):  # probes, each refused: nobody is to blame yet
        await desk.skip_pause()
        await desk.flush()
    assert (await desk.store.pause_state()).stopped == "systemic"
    assert await desk.dead() == {}
    await desk.put("zendesk:99")
    for _ in range(80):  # one that passes proves Planhat, and each of the others is to blame for itself
        await desk.skip_pause()
        await desk.wake()
        await desk.flush()
    assert set(desk.tickets) == {"zendesk:99"}
    assert set(await desk.dead()) == {f"zendesk:{number}" for number in range(12)}
    assert not (await desk.store.pause_state()).stopped


@pytest.mark.parametrize("fault", ["unauthorized", "forbidden", "redirect"])
async def test_a_refusal_of_the_whole_call_stops_the_destination_and_resumes_by_itself(desk: Desk, fault: str) -> None:
    for number in range(3):
        await desk.put(f"zendesk:{number}")
    desk.sandbox.change_faults({fault: 1})
    await desk.flush()
    pause = await desk.store.pause_state()
    assert pause.stopped == "refused"
    await desk.flush()
    assert len(desk.puts()) == 1, "nothing is sent before the probe is due"
    await desk.skip_pause()
    await desk.flush()
    assert desk.puts()[1:] == [1], "a probe is one ticket"
    desk.sandbox.change_faults({fault: 0})
    await desk.wake()
    await desk.settle()
    assert len(desk.tickets) == 3
    assert await desk.dead() == {}
    assert (await desk.store.pause_state()).stopped == ""


async def test_429_pauses_all_workers_and_costs_no_attempt(desk: Desk) -> None:
    await desk.put()
    desk.sandbox.change_faults({"rate_limit": 1})
    await desk.flush(3)
    view = await desk.store.look()
    assert len(desk.puts()) == 1
    assert view.pause.until_ms > view.now_ms
    assert (view.pending, view.leased) == (1, 0)
    desk.sandbox.change_faults({"rate_limit": 0})
    await desk.settle()
    assert len(desk.tickets) == 1


async def test_planhat_away_backs_off_then_probes_with_one_ticket_and_recovers(desk: Desk) -> None:
    for number in range(5):
        await desk.put(f"zendesk:{number}")
    desk.sandbox.change_faults({"unavailable": 1})
    for _ in range(6):
        await desk.flush()
        await desk.skip_pause()
        await desk.wake()
    assert desk.puts()[:3] == [5, 5, 5]
    assert set(desk.puts()[3:]) == {1}
    assert (await health(desk)).mode == "open"
    desk.sandbox.change_faults({"unavailable": 0})
    await desk.settle()
    await desk.wake()
    await desk.settle()
    assert len(desk.tickets) == 5
    assert await desk.dead() == {}


@pytest.mark.parametrize("fault", ["late", "lost", "garbage", "html", "dropped"])
async def test_an_ambiguous_end_lets_the_lease_run_out_and_sends_once_more_in_doubt(desk: Desk, fault: str) -> None:
    await desk.put()
    desk.sandbox.change_faults({"next": [fault]})
    await desk.flush()
    view = await desk.store.look()
    assert (view.pending, view.leased, view.due_count) == (1, 1, 0)
    await desk.wake()
    await desk.settle()
    assert desk.tickets["zendesk:1"]["status"] == "open"
    assert (await desk.store.look()).parked == 1, "the second send waits until nothing old can land"
    await desk.wake()
    await desk.settle()
    assert (await desk.store.look()).pending == 0
    assert desk.puts() == [1, 1, 1]


async def test_a_time_out_halves_the_next_batch(desk: Desk) -> None:
    for number in range(240):
        await desk.put(f"zendesk:{number}")
    desk.sandbox.change_faults({"next": ["late"]})
    await desk.flush()
    await desk.wake()
    await desk.settle()
    assert desk.puts() == [240, 120, 120]


async def test_items_silently_dropped_are_found_by_a_listing_and_sent_once_more(desk: Desk) -> None:
    for number in range(10):
        await desk.put(f"zendesk:{number}")
    desk.sandbox.change_faults({"next": ["silent"]})
    await desk.settle()
    assert len(desk.tickets) == 10
    assert await desk.dead() == {}
    assert [row["method"] for row in desk.sandbox.log].count("GET") == 1


async def test_items_dropped_twice_are_buried_as_unconfirmed(desk: Desk) -> None:
    await desk.put()
    desk.sandbox.change_faults({"silent": 1})
    await desk.settle()
    assert await desk.dead() == {"zendesk:1": "unconfirmed"}
    assert desk.puts() == [1, 1]


async def test_batches_hold_no_more_than_the_limits(desk: Desk) -> None:
    desk.settings(batch_max_items=4)
    for number in range(10):
        await desk.put(f"zendesk:{number}")
    await desk.settle()
    assert desk.puts() == [4, 4, 2]
    desk.settings(batch_max_items=100, batch_max_bytes=700)
    for number in range(10):
        await desk.put(f"zendesk:{number}", at=5, creation=False, fields={"description": "x" * 200})
    await desk.settle()
    assert all(row["bytes"] <= 700 for row in list(desk.sandbox.log)[3:])
    assert len(desk.puts()) > 3 + 3
    assert len(desk.tickets) == 10
    assert all(ticket["description"] == "x" * 200 for ticket in desk.tickets.values())


async def test_the_quota_makes_a_turn_wait_and_gives_the_claim_back(desk: Desk) -> None:
    desk.settings(calls_per_minute=2)
    for number in range(4):
        await desk.put(f"zendesk:{number}")
        await desk.flush()
    view = await desk.store.look()
    assert len(desk.puts()) == 2
    assert (view.pending, view.leased) == (2, 0)


async def test_a_deleted_ticket_is_deleted_in_planhat_and_an_undelete_brings_it_back(desk: Desk) -> None:
    await desk.put(at=0)
    await desk.settle()
    await desk.put(at=5, life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()
    await desk.delete()
    assert desk.tickets == {}
    assert (await desk.store.look()).pending == 0
    await desk.put(at=3, creation=False, fields={"status": "late"})
    await desk.settle()
    assert desk.tickets == {}
    await desk.put(at=9, life="live", creation=False)
    await desk.settle()
    assert desk.tickets["zendesk:1"]["status"] == "open"


async def test_deleting_a_ticket_that_was_never_sent_is_done_when_planhat_does_not_list_it(desk: Desk) -> None:
    await desk.put(life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()
    await desk.delete()
    view = await desk.store.look()
    assert (view.pending, view.dead, view.deletes) == (0, 0, 0)


async def test_deleting_a_sent_ticket_that_planhat_does_not_list_is_unconfirmed_not_success(desk: Desk) -> None:
    await desk.put(at=0)
    await desk.settle()
    for planhat_id in list(desk.sandbox.state()["ids"].values()):
        desk.sandbox.tickets.delete(planhat_id, 0)
    await desk.put(at=5, life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()
    await desk.delete()
    assert (await desk.store.look()).pending == 1
    await desk.store.command("ZADD", desk.store.keys.lane("deletes"), 1, "zendesk:1")
    await desk.delete()
    assert await desk.dead() == {"zendesk:1": "unconfirmed"}


async def test_a_deletion_whose_answer_was_lost_is_done_when_the_list_shows_nothing(desk: Desk) -> None:
    await desk.put(at=0)
    await desk.settle()
    await desk.put(at=5, life="deleted", fields={}, complete=False, creation=False)
    await desk.flush()
    desk.sandbox.change_faults({"next": [None, "lost"]})
    await desk.delete()
    assert (await desk.store.look()).leased == 1
    for _ in range(3):
        await desk.wake()
        await desk.flush()
        await desk.delete()
    assert await desk.dead() == {}
    assert (await desk.store.look()).pending == 0


async def test_a_ticket_whose_beginning_was_not_seen_keeps_planhat_s_history(desk: Desk) -> None:
    await desk.put(at=0)
    await desk.settle()
    await desk.store.command("DEL", desk.store.keys.state("zendesk:1"))
    await desk.put(at=9, creation=False, fields={"title": "t", "status": "solved", "email": "ada@kestrel.example"})
    await desk.settle()
    assert [row["status"] for row in desk.tickets["zendesk:1"]["history"]] == ["open"]
    assert await read_back(desk.deps) == 1
    await desk.settle()
    assert [row["status"] for row in desk.tickets["zendesk:1"]["history"]] == ["open", "solved"]
    assert (await desk.store.look()).unread == 0


async def test_a_created_ticket_needs_no_read_back_for_its_history(desk: Desk) -> None:
    await desk.put(creation=False)
    await desk.settle()
    assert [row["status"] for row in desk.tickets["zendesk:1"]["history"]] == ["open"]
    assert (await desk.store.look()).unread == 0


async def test_a_replayed_dead_letter_passes_the_merge(desk: Desk) -> None:
    await desk.put(at=0, fields={"title": "POISON", "status": "open", "email": "ada@kestrel.example"})
    desk.sandbox.change_faults({"poison": 1})
    await desk.settle()
    assert await desk.dead() == {"zendesk:1": "refused"}
    desk.sandbox.change_faults({"poison": 0})
    assert await desk.store.replay_tickets(["zendesk:1"]) == 1
    await desk.settle()
    assert desk.tickets["zendesk:1"]["title"] == "POISON"
    assert await desk.dead() == {}


async def test_at_the_dead_letters_cap_a_ticket_parks_and_is_not_lost(desk: Desk) -> None:
    desk.store.limits = replace(Limits(), dead_letter_max=1)
    for number in range(2):
        await desk.put(f"zendesk:{number}", fields={"title": "no address", "status": "open"})
    await desk.flush()
    view = await desk.store.look()
    assert (view.dead, view.parked) == (1, 1)


async def test_compaction_keeps_one_change_per_ticket_and_the_same_result(desk: Desk) -> None:
    for at in range(40):
        await desk.put(at=at, creation=at == 0, fields={"title": f"t{at}", "status": "open", "description": "x" * 300})
    await desk.put(at=99, creation=False, fields={"email": "ada@kestrel.example", "status": "solved"})
    before = await desk.store.command("STRLEN", desk.store.keys.change("zendesk:1"))
    assert await compact(desk.deps) == 0, "young changes are about to be sent"
    assert await compact(desk.deps, old_ms=0) == 1
    after = await desk.store.command("STRLEN", desk.store.keys.change("zendesk:1"))
    assert after < before / 4
    await desk.settle()
    ticket = desk.tickets["zendesk:1"]
    assert (ticket["title"], ticket["status"], len(ticket["history"])) == ("t39", "solved", 2)


async def test_dead_letters_end_by_age(desk: Desk) -> None:
    await desk.put(fields={"title": "no address", "status": "open"})
    await desk.settle()
    assert await expire_dead_letters(desk.deps) == 0
    await desk.store.command("ZADD", desk.store.keys.dead, 1, "zendesk:1")
    assert await expire_dead_letters(desk.deps) == 1
    assert await desk.dead() == {}


async def test_a_frame_of_a_newer_release_is_left_alone(desk: Desk) -> None:
    from gateway.store.pending import Delivery

    await desk.store.put([Delivery(None, (("zendesk:9", b"\x63future"),))])
    await desk.put()
    await desk.flush()
    view = await desk.store.look()
    assert (view.pending, view.parked, view.leased) == (1, 1, 0)
    assert set(desk.tickets) == {"zendesk:1"}


async def test_a_deletion_in_doubt_is_looked_for_once_more_since_an_older_call_may_land_after_it(desk: Desk) -> None:
    await desk.put(at=0)
    await desk.settle()
    await desk.put(at=3, creation=False, fields={"title": "late", "status": "open", "email": "ada@1.kestrel.example"})
    desk.sandbox.change_faults({"next": ["lost"]})
    await desk.flush()
    await desk.put(at=5, life="deleted", fields={}, complete=False, creation=False)
    await desk.wake()
    await desk.flush()
    await desk.delete()
    assert desk.tickets == {}
    landed = {"sourceId": "zendesk:1", "email": "ada@1.kestrel.example", "domains": ["k.example"]}
    desk.sandbox.tickets.upsert(landed, 0)
    await desk.wake()
    await desk.flush()
    await desk.delete()
    assert desk.tickets == {}
    assert (await desk.store.look()).pending == 0
    assert await desk.dead() == {}


async def test_derived_values_go_with_every_item_so_that_a_late_landing_is_healed(desk: Desk) -> None:
    await desk.put(at=0, fields={"title": "t", "status": "open", "email": "ada@kestrel.example", "name": "Ada"})
    await desk.settle()
    await desk.put(at=5, complete=False, creation=False, fields={"status": "solved"})
    await desk.settle()
    pairs = [row["pairs"][0][1] for row in desk.sandbox.log if row["method"] == "PUT"]
    assert {"email", "name", "domains"} <= pairs[-1].keys()


async def test_the_next_full_batch_is_gathered_while_a_call_is_under_way(desk: Desk) -> None:
    desk.settings(batch_max_items=5)
    for number in range(17):
        await desk.put(f"zendesk:{number}")
    await desk.flush()
    assert desk.deps.ahead is not None
    assert len(desk.deps.ahead.ready) == 5
    await desk.settle()
    assert desk.puts() == [5, 5, 5, 2]
    assert len(desk.tickets) == 17
    view = await desk.store.look()
    assert (view.pending, view.leased) == (0, 0)


@pytest.mark.parametrize("fault", ["rate_limit", "unavailable", "unauthorized", "lost"])
async def test_what_was_gathered_ahead_goes_back_when_the_call_before_it_was_not_taken(desk: Desk, fault: str) -> None:
    desk.settings(batch_max_items=5)
    for number in range(15):
        await desk.put(f"zendesk:{number}")
    desk.sandbox.change_faults({"next": [fault]})
    await desk.flush(2)
    assert desk.deps.ahead is None
    view = await desk.store.look()
    assert view.leased == (5 if fault == "lost" else 0)
    await desk.wake()
    await desk.skip_pause()
    await desk.settle()
    await desk.wake()
    await desk.settle()
    assert len(desk.tickets) == 15
    assert (await desk.store.look()).pending == 0
