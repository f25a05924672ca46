"""Dead letters and quarantine: seen, replayed, closed, never lost silently."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import PendingFull
from gateway.store.dead_letters import is_quarantine_id
from gateway.store.pending import Ack, Burial, Quarantined, Store
from tests.store.conftest import Clock, delivery, joined, payloads_of, size

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.store.records import DeadRow, Kind


async def bury(store: Store, *tickets: str, reason: str = "refused") -> None:
    await store.put([delivery(None, *((ticket, b"1") for ticket in tickets))])
    await store.claim_named(list(tickets), "b", 1_000)
    await store.bury("b", [Burial(ticket, 13, joined(b"1"), reason, f"why {ticket}") for ticket in tickets])


def unreadable(body: bytes = b"{", *, reason: str = "not_json", dedupe: bytes | None = None) -> Quarantined:
    return Quarantined("zendesk", reason, "detail", "POST", (("content-type", "a/b"),), "x=1", body, dedupe)


async def test_replayed_dead_letter_is_due_now_and_no_longer_dead(store: Store, clock: Clock) -> None:
    await bury(store, "t")
    clock.forward(9_000)
    assert await store.replay_tickets(["t", "unknown"]) == 1
    assert await store.replay_tickets(["t"]) == 0
    assert await store.dead_letters() == []
    view = await store.look()
    assert (view.dead, view.due_count, view.oldest_due_ms) == (0, 1, clock.now_ms)
    assert [(payloads_of(one.value), one.dead) for one in await store.peek(["t"])] == [([b"1"], None)]


async def test_replay_into_a_held_ticket_survives_the_holders_ack(store: Store, clock: Clock) -> None:
    await bury(store, "t")
    await store.put([delivery(None, ("t", b"2"))])
    await store.claim(1, "k", 5_000)
    assert await store.replay_tickets(["t"]) == 1
    assert await store.claim(1, "k2", 5_000) == []
    assert await store.ack("k", [Ack("t", size(b"2"), b"s")]) == {"t": "acked"}
    assert [payloads_of(one.value) for one in await store.peek(["t"])] == [[b"1"]]
    assert await store.claim(1, "k3", 5_000) == [("t", 0)]


async def test_list_gives_both_kinds_newest_first_with_filters(store: Store, clock: Clock) -> None:
    await bury(store, "t1", reason="missing_email")
    clock.forward(10)
    first = await store.quarantine(unreadable())
    clock.forward(10)
    await bury(store, "t2")
    clock.forward(10)
    second = await store.quarantine(unreadable(reason="no_ticket_id"))
    every = [row.id for row in await store.dead_letters()]
    assert every == [second, "t2", first, "t1"]
    assert [row.id for row in await store.dead_letters(limit=2, offset=1)] == ["t2", first]
    assert [row.id for row in await store.dead_letters(kind="ticket")] == ["t2", "t1"]
    assert [row.id for row in await store.dead_letters(kind="delivery", reason="not_json")] == [first]
    assert [row.detail for row in await store.dead_letters(reason="missing_email")] == ["why t1"]
    view = await store.look()
    assert (view.dead, view.quarantined) == (2, 2)


async def test_list_walks_many_pages(store: Store) -> None:
    tickets = [f"t{i:04}" for i in range(1_100)]
    for start in range(0, 1_100, 500):
        await bury(store, *tickets[start : start + 500], reason="odd" if start else "even")
    assert len(await store.dead_letters()) == 1_100
    assert len(await store.dead_letters(reason="even")) == 500
    assert len(await store.dead_letters(limit=700)) == 700


async def test_show_gives_everything_that_is_kept(store: Store, clock: Clock) -> None:
    await bury(store, "t")
    ident = await store.quarantine(unreadable(b"\xff\x00"))
    ticket, quarantined = await store.show("t"), await store.show(ident)
    assert ticket and quarantined
    assert base64.b64decode(ticket["frames"]) == joined(b"1")
    assert (ticket["kind"], ticket["reason"], ticket["at_ms"]) == ("ticket", "refused", clock.now_ms)
    assert base64.b64decode(quarantined["body"]) == b"\xff\x00"
    assert (quarantined["kind"], quarantined["method"], quarantined["query"]) == ("delivery", "POST", "x=1")
    assert await store.show("unknown") is None
    assert await store.show("q-0123456789abcdef") is None


async def test_quarantined_delivery_comes_back_whole(store: Store, clock: Clock) -> None:
    kept = unreadable(b"\xff\x00{", dedupe=b"d" * 16)
    ident = await store.quarantine(kept)
    assert is_quarantine_id(ident)
    found = await store.quarantined(ident)
    assert found is not None
    assert found.at_ms == clock.now_ms
    assert (found.headers, found.query, found.body, found.dedupe) == (kept.headers, kept.query, kept.body, kept.dedupe)
    assert await store.quarantined("q-0123456789abcdef") is None


async def test_repeat_with_a_delivery_id_is_kept_once_and_one_without_is_kept_again(store: Store, redis: Any) -> None:
    ids = [await store.quarantine(unreadable(dedupe=b"d" * 16))]
    bytes_before = await redis.hget(store.keys.meta, "quarantine_bytes")
    ids.append(await store.quarantine(unreadable(dedupe=b"d" * 16)))
    assert ids[0] == ids[1]
    assert await redis.hget(store.keys.meta, "quarantine_bytes") == bytes_before
    others = [await store.quarantine(unreadable()) for _ in range(2)]
    assert len({*ids, *others}) == 3
    assert (await store.look()).quarantined == 3


async def test_quarantine_is_capped_in_bytes_and_closing_makes_room(
    make_store: Callable[..., Store], redis: Any
) -> None:
    store = make_store(quarantine_max_bytes=2_000)
    ident = await store.quarantine(unreadable(b"x" * 1_000))
    with pytest.raises(PendingFull) as full:
        await store.quarantine(unreadable(b"x" * 1_000))
    assert full.value.cap == "quarantine"
    assert (await store.look()).quarantined == 1
    assert await store.close_quarantined([ident, "q-0123456789abcdef"]) == 1
    assert await redis.hget(store.keys.meta, "quarantine_bytes") == b"0"
    assert await store.quarantine(unreadable(b"x" * 1_000))


async def test_discard_removes_both_kinds_for_good(store: Store, redis: Any) -> None:
    await bury(store, "t", "u")
    ident = await store.quarantine(unreadable())
    assert await store.discard(["t", ident, "unknown"]) == 2
    assert await store.discard(["t", ident]) == 0
    assert [row.id for row in await store.dead_letters()] == ["u"]
    assert await redis.hget(store.keys.meta, "quarantine_bytes") == b"0"
    assert await redis.hlen(store.keys.dead_frame) == 1


async def test_expiry_gives_each_row_that_it_removed(store: Store, clock: Clock, redis: Any) -> None:
    tickets = [f"t{i}" for i in range(600)]
    await bury(store, *tickets[:300])
    await bury(store, *tickets[300:])
    old = await store.quarantine(unreadable())
    clock.forward(60_000)
    await bury(store, "young")
    young = await store.quarantine(unreadable())
    gone = await store.expire(60)
    assert {row.id for row in gone} == {*tickets, old}
    assert all(row.reason for row in gone)
    assert {row.id for row in await store.dead_letters()} == {"young", young}
    assert await redis.hlen(store.keys.dead_row) == 1
    assert await redis.hlen(store.keys.dead_frame) == 1
    assert await redis.hlen(store.keys.quarantine_body) == 1
    assert int(await redis.hget(store.keys.meta, "quarantine_bytes")) > 0
    assert await store.expire(60) == []


async def test_no_young_one_goes_in_the_place_of_one_that_is_replayed_meanwhile(redis: Any, clock: Clock) -> None:
    class Raced(Store):
        """A bridge on which the old ones are replayed just before they would be removed."""

        async def _older(self, kind: Any, ttl_s: int) -> Any:
            old = await super()._older(kind, ttl_s)
            await self.replay_tickets([row.id for row in old])
            return old

    store = Raced(redis, now_us=clock)
    await bury(store, "old")
    clock.forward(60_000)
    await bury(store, "young")
    assert await store.expire(60) == []
    assert [row.id for row in await store.dead_letters()] == ["young"]


async def test_each_row_is_told_of_before_it_is_removed(store: Store, clock: Clock) -> None:
    await bury(store, *(f"t{i}" for i in range(600)))
    await store.quarantine(unreadable())
    clock.forward(60_000)
    told: list[str] = []

    def tell(row: DeadRow) -> None:
        told.append(row.id)
        if len(told) == 550:
            raise RuntimeError("the process dies here")

    with pytest.raises(RuntimeError):
        await store.expire(60, tell)
    left = {row.id for row in await store.dead_letters()}
    assert {f"t{i}" for i in range(600)} - left <= set(told)
    assert len(left) == 101
    gone = await store.expire(60, lambda row: told.append(row.id))
    assert {row.id for row in gone} == left
    assert left <= set(told)


async def test_what_ages_while_others_are_replayed_is_told_of_too(store: Store, clock: Clock) -> None:
    await bury(store, "first")
    clock.forward(1)
    await bury(store, "second")
    clock.forward(59_999)

    class Replaying(Store):
        """Somebody replays the oldest in the moment between reading and removing."""

        async def _older(self, kind: Kind, ttl_s: int) -> list[DeadRow]:
            old = await super()._older(kind, ttl_s)
            await self.replay_tickets(["first"])
            clock.forward(1)
            return old

    told: list[str] = []
    gone = await Replaying(store.redis, now_us=clock).expire(60, lambda row: told.append(row.id))
    assert [row.id for row in gone] == ["second"]
    assert told == ["first", "second"]


async def test_row_that_cannot_be_read_is_still_listed(store: Store, redis: Any) -> None:
    await bury(store, "t", "u")
    await redis.hset(store.keys.dead_row, mapping={"t": b"{", "u": b"[]"})
    assert {row.reason for row in await store.dead_letters()} == {"unreadable_row"}


@pytest.mark.parametrize("ident", ["", "q-", "q-0123456789ABCDEF", "q-0123456789abcde", "zendesk:1"])
def test_ticket_ids_are_not_taken_for_quarantine_ids(ident: str) -> None:
    assert not is_quarantine_id(ident)
