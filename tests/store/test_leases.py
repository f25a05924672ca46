"""Claims and their ends: one holder, exact cuts, nothing that arrives meanwhile is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core.change import frame
from gateway.store.client import connect
from gateway.store.pending import Ack, Burial, Claimed, Loaded, Store
from tests.store.conftest import START_US, Clock, delivery, joined, payloads_of, size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis.asyncio import Redis


async def fill(store: Store, *tickets: str) -> None:
    for ticket in tickets:
        await store.put([delivery(None, (ticket, b"1"))])


async def score(store: Store, ticket: str) -> float | None:
    found: float | None = await store.redis.zscore(store.keys.due, ticket)
    return found


async def test_oldest_are_claimed_first(store: Store, clock: Clock) -> None:
    for ticket in ("c", "a", "b"):
        await fill(store, ticket)
        clock.forward(10)
    assert await store.claim(2, "k", 1_000) == [Claimed("c", 0), Claimed("a", 0)]
    assert await store.claim(9, "k2", 1_000) == [Claimed("b", 0)]


async def test_more_than_a_slice_is_claimed_loaded_and_acked(store: Store, clock: Clock) -> None:
    tickets = [f"t{i:04}" for i in range(2_345)]
    await store.put([delivery(None, *((ticket, b"x") for ticket in tickets))])
    clock.forward(10)
    claimed = await store.claim(2_300, "k", 1_000)
    assert len(claimed) == 2_300
    loaded = await store.load([one.ticket for one in claimed])
    assert [one.ticket for one in loaded] == [one.ticket for one in claimed]
    acks = [Ack(one.ticket, len(one.value), b"state") for one in loaded]
    assert set((await store.ack("k", acks)).values()) == {"acked"}
    assert (await store.look()).pending == 45
    assert await store.states(["t0000", "t2344"]) == [b"state", None]


async def test_ticket_is_not_claimed_twice_while_the_lease_runs(store: Store, clock: Clock) -> None:
    await fill(store, "t")
    assert await store.claim(1, "k", 1_000) == [("t", 0)]
    clock.forward(999)
    assert await store.claim(1, "k2", 1_000) == []
    assert await store.claim_named(["t"], "k2", 1_000) == []


async def test_lapsed_claim_is_due_again_and_in_doubt(store: Store, clock: Clock) -> None:
    await fill(store, "t")
    await store.claim(1, "k", 1_000)
    clock.forward(1_000)
    assert await store.claim(1, "k2", 1_000) == [("t", 1)]
    assert await store.ack("k", [Ack("t", 13, b"s")]) == {"t": "gone"}
    assert await store.ack("k2", [Ack("t", 13, b"s")]) == {"t": "acked"}
    await fill(store, "t")
    assert await store.claim(1, "k3", 1_000) == [("t", 0)]


async def test_newer_change_during_lease_survives_ack(store: Store, clock: Clock) -> None:
    await fill(store, "t")
    await store.claim(1, "k", 60_000)
    (loaded,) = await store.load(["t"])
    clock.forward(500)
    await store.put([delivery(None, ("t", b"2"))])
    arrived_ms = clock.now_ms
    assert await store.ack("k", [Ack("t", len(loaded.value), b"s")]) == {"t": "acked"}
    assert [payloads_of(one.value) for one in await store.peek(["t"])] == [[b"2"]]
    assert await score(store, "t") == arrived_ms


async def test_repeated_ack_answers_gone_and_changes_nothing(store: Store) -> None:
    await fill(store, "t")
    await store.claim(1, "k", 1_000)
    one = Ack("t", 13, b"s")
    assert await store.ack("k", [one, one]) == {"t": "acked"}
    await fill(store, "t")
    assert await store.ack("k", [one]) == {"t": "gone"}
    assert (await store.look()).pending == 1


async def test_acked_state_lives_as_long_as_asked(store: Store, redis: Redis) -> None:
    await fill(store, "closed", "open", "same")
    await redis.set(store.keys.state("same"), b"old")
    await store.claim(3, "k", 1_000)
    await store.ack("k", [Ack("closed", 13, b"c", ttl_s=60), Ack("open", 13, b"o"), Ack("same", 13, b"")])
    assert 0 < await redis.ttl(store.keys.state("closed")) <= 60
    assert await redis.ttl(store.keys.state("open")) == -1
    assert await store.states(["closed", "open", "same"]) == [b"c", b"o", b"old"]


async def test_second_send_waits_twice_the_lease_and_holds_what_arrived(store: Store, clock: Clock) -> None:
    await fill(store, "t")
    await store.claim(1, "k", 1_000)
    clock.forward(1_000)
    assert await store.claim(1, "k2", 5_000) == [("t", 1)]
    await store.put([delivery(None, ("t", b"2"))])
    again = frame(b"1", START_US)
    assert await store.ack("k2", [Ack("t", 13, b"s", resend=again, lease_ms=5_000)]) == {"t": "resend"}
    assert [payloads_of(one.value) for one in await store.peek(["t"])] == [[b"1", b"2"]]
    clock.forward(9_999)
    assert await store.claim(1, "k3", 1_000) == []
    assert await store.claim_named(["t"], "k3", 1_000) == []
    assert await store.ready("lookups", ["t"]) == 0
    clock.forward(1)
    assert await store.claim(1, "k3", 1_000) == [("t", 2)]
    assert await store.ack("k3", [Ack("t", size(b"1", b"2"), b"s")]) == {"t": "acked"}
    await fill(store, "t")
    assert await store.claim(1, "k4", 1_000) == [("t", 0)]


async def test_holder_of_a_second_send_that_never_settles_leaves_doubt_again(store: Store, clock: Clock) -> None:
    await fill(store, "t")
    await store.claim(1, "k", 1_000)
    await store.ack("k", [Ack("t", 13, b"s", resend=joined(b"1"), lease_ms=1_000)])
    clock.forward(2_000)
    assert await store.claim(1, "k2", 1_000) == [("t", 2)]
    clock.forward(1_000)
    assert await store.claim(1, "k3", 1_000) == [("t", 1)]


async def test_whose_claim_lapsed_can_neither_release_nor_bury_nor_compact(store: Store, clock: Clock) -> None:
    await fill(store, "t")
    await store.claim(1, "k", 1_000)
    clock.forward(1_000)
    assert await store.claim(1, "k2", 5_000) == [("t", 1)]
    assert await store.release("k", ["t"]) == 0
    assert await store.bury("k", [Burial("t", 13, joined(b"1"), "refused", "")]) == {"t": "gone"}
    assert not await store.compact("k", "t", 13, joined(b"other"))
    assert await store.dead_letters() == []
    assert await store.claim(1, "k3", 1_000) == [], "the holder still holds it"
    assert [payloads_of(one.value) for one in await store.load(["t"])] == [[b"1"]]
    assert await store.ack("k2", [Ack("t", 13, b"s")]) == {"t": "acked"}


async def test_extend_holds_and_tells_what_was_lost(store: Store, clock: Clock) -> None:
    await fill(store, "a", "b")
    await store.claim(2, "k", 1_000)
    clock.forward(900)
    assert await store.extend(["a"], "k", 5_000) == set()
    clock.forward(200)
    assert await store.claim(2, "k2", 1_000) == [("b", 1)]
    assert await store.extend(["a", "b", "never"], "k", 5_000) == {"b", "never"}
    assert await score(store, "a") == clock.now_ms + 5_000


async def test_lapsed_claim_that_nobody_took_can_be_extended(store: Store, clock: Clock) -> None:
    await fill(store, "t")
    await store.claim(1, "k", 1_000)
    clock.forward(60_000)
    assert await store.extend(["t"], "k", 1_000) == set()
    assert await store.claim(1, "k2", 1_000) == []


async def test_release_restores_the_first_arrival_or_snoozes(store: Store, clock: Clock) -> None:
    began_ms = clock.now_ms
    await fill(store, "a", "b", "c")
    clock.forward(5_000)
    await store.claim(3, "k", 1_000)
    assert await store.release("k", ["a"]) == 1
    assert await store.release("k", ["b"], not_before_ms=clock.now_ms + 7_000, lane="lookups") == 1
    assert await store.release("k", ["c"], not_before_ms=1, group=2) == 1
    assert await store.release("k", ["a", "never"]) == 0
    assert [await score(store, ticket) for ticket in "abc"] == [began_ms, clock.now_ms + 7_000, began_ms]
    view = await store.look()
    assert (view.due_count, view.parked, view.leased, view.lookups, view.suspects) == (2, 1, 0, 1, 1)
    assert await store.waiting("lookups", 10) == ["b"]
    assert await store.suspects() == [("c", 2)]


async def test_release_leaves_no_doubt_where_there_was_none_and_keeps_it_where_there_was(
    store: Store, clock: Clock
) -> None:
    await fill(store, "t")
    await store.claim(1, "k", 1_000)
    await store.release("k", ["t"])
    assert await store.claim(1, "k2", 1_000) == [("t", 0)]
    clock.forward(1_000)
    assert await store.claim(1, "k3", 1_000) == [("t", 1)]
    await store.release("k3", ["t"])
    assert await store.claim(1, "k4", 1_000) == [("t", 1)]


async def test_snoozed_ticket_is_claimed_by_name_but_an_idle_one_is_not(store: Store, clock: Clock) -> None:
    await fill(store, "t")
    await store.claim(1, "k", 1_000)
    await store.release("k", ["t"], not_before_ms=clock.now_ms + 9_000)
    assert await store.claim(1, "k2", 1_000) == []
    assert await store.claim_named(["t", "idle"], "k2", 1_000) == [("t", 0)]
    assert await store.claim_named(["t"], "k2", 2_000) == [("t", 0)]
    assert await score(store, "t") == clock.now_ms + 2_000


async def test_lapsed_ticket_claimed_by_name_is_in_doubt(store: Store, clock: Clock) -> None:
    await fill(store, "t")
    await store.claim(1, "k", 1_000)
    clock.forward(1_000)
    assert await store.claim_named(["t"], "k2", 1_000) == [("t", 1)]


async def test_claimed_ticket_with_nothing_unsent_leaves_due(store: Store, redis: Redis) -> None:
    await fill(store, "t", "ghost")
    await redis.delete(store.keys.change("ghost"))
    assert len(await store.claim(9, "k", 1_000)) == 2
    assert [one.ticket for one in await store.load(["t", "ghost"])] == ["t"]
    view = await store.look()
    assert (view.pending, view.leased) == (1, 1)


async def test_ticket_that_is_put_between_load_and_sweep_stays(store: Store, redis: Redis) -> None:
    await fill(store, "t")
    keys = store.keys
    swept = await store.scripts.run(
        "sweep", [keys.due, keys.lease, keys.doubt, keys.suspects, keys.change("t")], [keys.change_prefix_bytes]
    )
    assert swept == 0
    assert (await store.look()).pending == 1


async def test_release_of_a_ticket_with_nothing_unsent_ends_it(store: Store, redis: Redis) -> None:
    await fill(store, "ghost")
    await store.claim(1, "k", 1_000)
    await redis.delete(store.keys.change("ghost"))
    assert await store.release("k", ["ghost"], group=1, lane="unread") == 1
    view = await store.look()
    assert (view.pending, view.leased, view.suspects, view.unread) == (0, 0, 0, 0)


async def test_bury_keeps_the_change_and_leaves_what_arrived_due(store: Store, clock: Clock) -> None:
    await fill(store, "t")
    await store.claim(1, "k", 1_000)
    clock.forward(100)
    await store.put([delivery(None, ("t", b"2"))])
    arrived_ms = clock.now_ms
    answers = await store.bury("k", [Burial("t", 13, joined(b"1"), "missing_email", "No e-mail.", "zendesk")])
    assert answers == {"t": "buried"}
    assert await store.bury("k", [Burial("t", 13, joined(b"1"), "again", "")]) == {"t": "gone"}
    assert await score(store, "t") == arrived_ms
    (loaded,) = await store.load(["t"])
    assert loaded == Loaded("t", loaded.value, None, joined(b"1"))
    assert payloads_of(loaded.value) == [b"2"]
    (row,) = await store.dead_letters()
    assert (row.id, row.reason, row.detail, row.connection) == ("t", "missing_email", "No e-mail.", "zendesk")


async def test_acked_newer_change_closes_the_dead_letter(store: Store) -> None:
    await fill(store, "t", "u")
    await store.claim(2, "k", 1_000)
    await store.bury("k", [Burial(ticket, 13, joined(b"1"), "refused", "") for ticket in ("t", "u")])
    await fill(store, "t", "u")
    await store.claim(2, "k2", 1_000)
    await store.ack("k2", [Ack("t", 13, b"s"), Ack("u", 13, b"s", close_dead=False)])
    assert [row.ticket for row in await store.dead_letters()] == ["u"]
    assert [one.dead for one in await store.peek(["t", "u"])] == [None, joined(b"1")]


async def test_full_dead_letters_move_nothing_but_take_a_known_ticket(make_store: Callable[..., Store]) -> None:
    store = make_store(dead_letter_max=1)
    await fill(store, "a", "b")
    await store.claim(2, "k", 1_000)
    burials = [Burial(ticket, 13, joined(b"1"), "refused", "") for ticket in ("a", "b")]
    assert await store.bury("k", burials) == {"a": "buried", "b": "full"}
    assert await store.extend(["b"], "k", 1_000) == set()
    await store.put([delivery(None, ("a", b"2"))], capped=False)
    await store.claim_named(["a"], "k2", 1_000)
    assert await store.bury("k2", [Burial("a", 13, joined(b"1", b"2"), "refused", "")]) == {"a": "buried"}


async def test_compact_joins_and_gives_back(store: Store, clock: Clock) -> None:
    await store.put([delivery(None, ("t", b"1"), ("t", b"2"))])
    began_ms = clock.now_ms
    await store.claim(1, "k", 60_000)
    clock.forward(50)
    await store.put([delivery(None, ("t", b"3"))])
    assert await store.compact("k", "t", size(b"1", b"2"), joined(b"1", b"2"))
    assert not await store.compact("k", "t", size(b"1+2"), joined(b"lost"))
    assert [payloads_of(one.value) for one in await store.peek(["t"])] == [[b"1+2", b"3"]]
    assert await score(store, "t") == began_ms
    assert await store.claim(1, "k2", 1_000) == [("t", 0)]


async def test_tickets_with_several_frames_are_found_by_walking(store: Store, clock: Clock) -> None:
    tickets = [f"t{i}" for i in range(700)]
    await store.put([delivery(None, *((ticket, b"x") for ticket in tickets))])
    await store.put([delivery(None, *((ticket, b"y") for ticket in tickets if ticket.endswith("7")))])
    clock.forward(1)
    await store.put([delivery(None, ("young", b"x"), ("young", b"y"))])
    cursor, found = await store.several_frames(0, 100, clock.now_us)
    while cursor:
        cursor, more = await store.several_frames(cursor, 100, clock.now_us)
        found += more
    assert set(found) == {ticket for ticket in tickets if ticket.endswith("7")}


@pytest.mark.parametrize("bad", [b"", b"short", frame(b"x", 1) + b"y", frame(b"x", 1)[:-1]])
async def test_what_is_not_one_whole_frame_is_refused_before_redis(store: Store, bad: bytes) -> None:
    with pytest.raises(ValueError):
        await store.compact("k", "t", 1, bad)
    with pytest.raises(ValueError):
        await store.bury("k", [Burial("t", 1, bad, "r", "d")])


async def test_nothing_to_do_asks_nothing_of_redis(tmp_path: Path) -> None:
    store = Store(connect(f"unix://{tmp_path}/none"))
    assert await store.claim_named([], "k", 1) == []
    assert await store.load([]) == []
    assert await store.ack("k", []) == {}
    assert await store.bury("k", []) == {}
    assert await store.release("k", []) == 0
    assert await store.extend([], "k", 1) == set()
    assert await store.unsuspect([]) == 0
    await store.leave("lookups", [])
    await store.count({})
    await store.set_health({})


async def test_many_are_compacted_at_once_even_by_a_server_that_forgot_the_script(store: Store, redis: Redis) -> None:
    tickets = [f"t{i}" for i in range(30)]
    for _ in range(2):
        await store.put([delivery(None, *((ticket, b"1") for ticket in tickets))])
    await store.claim(29, "k", 60_000)
    await redis.script_flush()
    joins = [(ticket, size(b"1", b"1"), joined(b"1", b"1")) for ticket in tickets]
    assert await store.compact_each("k", joins) == 29
    assert await store.compact_each("k", joins) == 0
    values = [payloads_of(one.value) for one in await store.peek(tickets)]
    assert sorted(map(len, values)) == [1] * 29 + [2]
