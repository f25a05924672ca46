"""The fold is a join: any order, any duplication, any flush in between leads to the same ticket."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import part as parts
from gateway.core import state as states
from gateway.core.change import Change, UnknownFrame, frame, frames
from gateway.core.fold import fold
from gateway.core.history import Sighting, history, runs, trim
from gateway.core.lookups import Found
from gateway.core.part import Part, join, join_all
from gateway.core.state import State  # noqa: TC001 - a dataclass field of a test double
from gateway.core.ticket import after_delete, after_upsert, make_item, unchanged

T0 = 1_790_000_000_000
ARRIVAL = (T0 + 3_600_000) * 1000


def part(change: Change, arrival_us: int = ARRIVAL) -> Part:
    return parts.decode(change.encode(), arrival_us)


statuses = st.sampled_from(["new", "open", "pending", "solved", "closed"])


@st.composite
def changes(draw: st.DrawFn) -> tuple[Change, int]:
    """Draw a change and its arrival (unique by construction of the caller)."""
    life: Any = draw(st.sampled_from(["", "", "", "", "live", "deleted", "purged"]))
    fields: dict[str, Any] = {}
    if draw(st.booleans()):
        fields["status"] = draw(statuses)
    if draw(st.booleans()):
        fields["title"] = draw(st.sampled_from(["a", "b", ""]))
    if draw(st.booleans()):
        fields["tags"] = draw(st.lists(st.sampled_from(["x", "y"]), max_size=2))
    if draw(st.booleans()):
        fields["email"] = draw(st.sampled_from(["p@kestrel.example", "q@kestrel.example"]))
    stamp = draw(st.one_of(st.none(), st.integers(T0, T0 + 5)))
    change = Change(
        ticket="zendesk:1",
        connection="zendesk",
        fields=fields,
        refs={"requester_id": draw(st.sampled_from(["7", "8"]))} if draw(st.booleans()) else {},
        updated_at_ms=stamp,
        event_at_us=draw(st.one_of(st.none(), st.integers(T0 * 1000, T0 * 1000 + 3))),
        life=life,
        creation=draw(st.booleans()),
        complete=draw(st.booleans()),
        thin=draw(st.booleans()),
        reread=draw(st.booleans()),
        sighting=draw(st.booleans()),
    )
    return change, draw(st.integers(0, 1000))


def delivered(drawn: list[tuple[Change, int]]) -> list[Part]:
    return [part(change, ARRIVAL + index * 1000 + offset % 1000) for index, (change, offset) in enumerate(drawn)]


@given(st.lists(changes(), min_size=1, max_size=6), st.randoms())
def test_join_is_commutative_associative_and_idempotent(drawn: list[tuple[Change, int]], random: Any) -> None:
    given_parts = delivered(drawn)
    expected = join_all(given_parts)
    shuffled = given_parts + random.sample(given_parts, k=len(given_parts) // 2)
    random.shuffle(shuffled)
    assert join_all(shuffled) == expected
    while len(shuffled) > 1:  # any bracketing
        index = random.randrange(len(shuffled) - 1)
        shuffled[index : index + 2] = [join(shuffled[index], shuffled[index + 1])]
    assert shuffled[0] == expected


@given(st.lists(changes(), min_size=1, max_size=6))
def test_a_joined_frame_reads_back_as_the_same_part(drawn: list[tuple[Change, int]]) -> None:
    expected = join_all(delivered(drawn))
    assert parts.decode(parts.encode(expected), expected.first_us) == expected


class Sink:
    """Planhat as a partial-update map, and the state that an ack writes."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.ticket: dict[str, Any] = {}

    def flush(self, joined: Part) -> None:
        folded = fold(states.read(self.state.encode()) if self.state else None, joined)
        if folded.action == "upsert":
            item = make_item(folded, Found(), ticket="zendesk:1", source="zendesk")
            if not unchanged(folded, item):
                self.ticket.update(folded.fields)
                if folded.history is not None:
                    self.ticket["history"] = folded.history
            self.state = after_upsert(folded, item, None)
        else:
            self.ticket = {}
            self.state = after_delete(folded)


@settings(max_examples=300)
@given(st.lists(changes(), min_size=1, max_size=7), st.randoms())
def test_flushes_anywhere_in_between_lead_to_the_same_ticket(drawn: list[tuple[Change, int]], random: Any) -> None:
    # Values that arrive while a ticket is gone are dropped on purpose (a revival must be complete): life is fixed here.
    drawn = [(Change(**{**_asdict(change), "life": "", "thin": False}), arrival) for change, arrival in drawn]
    given_parts = delivered(drawn)
    once = Sink()
    once.flush(join_all(given_parts))
    random.shuffle(given_parts)
    often = Sink()
    pending: list[Part] = []
    for one in given_parts + random.sample(given_parts, k=len(given_parts) // 2):
        pending.append(one)
        if random.random() < 0.5:
            often.flush(join_all(pending))
            pending = []
    if pending:
        often.flush(join_all(pending))
    assert often.ticket == once.ticket
    assert often.state is not None
    assert once.state is not None
    assert often.state.stamps == once.state.stamps
    assert often.state.sightings == once.state.sightings


def _asdict(change: Change) -> dict[str, Any]:
    return {name: getattr(change, name) for name in Change.__dataclass_fields__}


@given(st.lists(changes(), min_size=1, max_size=7), st.randoms())
def test_the_ticket_exists_or_not_whatever_the_order(drawn: list[tuple[Change, int]], random: Any) -> None:
    given_parts = delivered(drawn)
    once, often = Sink(), Sink()
    once.flush(join_all(given_parts))
    random.shuffle(given_parts)
    for one in given_parts:
        often.flush(one)
    assert once.state is not None
    assert often.state is not None
    assert often.state.gone == once.state.gone
    assert often.state.life == once.state.life


def test_newer_value_wins_per_field() -> None:
    older = part(Change("t", "c", fields={"title": "old", "status": "open"}, updated_at_ms=T0))
    newer = part(Change("t", "c", fields={"title": "new"}, updated_at_ms=T0 + 1))
    joined = join(newer, older)
    assert joined.values["title"] == "new"
    assert joined.values["status"] == "open"


def test_an_unstamped_value_loses_to_a_stamped_one_whatever_the_arrival() -> None:
    unstamped = part(Change("t", "c", fields={"title": "late"}), ARRIVAL + 10**9)
    stamped = part(Change("t", "c", fields={"title": "stamped"}, updated_at_ms=T0))
    assert join(unstamped, stamped).values["title"] == "stamped"


def test_arrival_orders_unstamped_changes() -> None:
    first = part(Change("t", "c", fields={"title": "first"}), ARRIVAL)
    second = part(Change("t", "c", fields={"title": "second"}), ARRIVAL + 1)
    assert join(second, first).values["title"] == "second"


def test_a_stamp_a_day_ahead_counts_as_unstamped_and_is_flagged() -> None:
    future = part(Change("t", "c", fields={"title": "2099"}, updated_at_ms=T0 + 10**12))
    now = part(Change("t", "c", fields={"title": "now"}, updated_at_ms=T0))
    assert future.future == 1
    assert join(future, now).values["title"] == "now"


def test_a_delete_beats_an_update_at_a_tie() -> None:
    deleted = part(Change("t", "c", life="deleted", updated_at_ms=T0))
    live = part(Change("t", "c", life="live", updated_at_ms=T0))
    joined = join(live, deleted)
    assert joined.life is not None
    assert joined.life[1] == "deleted"


def test_a_purged_ticket_never_comes_back() -> None:
    purged = part(Change("t", "c", life="purged", updated_at_ms=T0))
    live = part(Change("t", "c", life="live", complete=True, updated_at_ms=T0 + 9))
    assert fold(None, join(live, purged)).action == "delete"


def test_while_deleted_changes_only_move_stamps() -> None:
    sink = Sink()
    sink.flush(part(Change("t", "c", fields={"title": "a", "email": "p@k.example"}, creation=True, updated_at_ms=T0)))
    sink.flush(part(Change("t", "c", life="deleted", updated_at_ms=T0 + 1)))
    assert sink.ticket == {}
    folded = fold(sink.state, part(Change("t", "c", fields={"title": "b"}, updated_at_ms=T0 + 2)))
    assert folded.action == "nothing"
    assert folded.fields == {}
    assert folded.state.stamps["title"].at_ms == T0 + 2


def test_an_undelete_older_than_a_dropped_value_is_not_complete() -> None:
    sink = Sink()
    sink.flush(part(Change("t", "c", life="deleted", updated_at_ms=T0)))
    sink.flush(part(Change("t", "c", fields={"title": "dropped"}, updated_at_ms=T0 + 5)))
    undelete = Change("t", "c", fields={"title": "a"}, life="live", complete=True, updated_at_ms=T0 + 2)
    assert not fold(sink.state, part(undelete)).complete
    fresh = Change("t", "c", fields={"title": "a"}, life="live", complete=True, updated_at_ms=T0 + 6)
    assert fold(sink.state, part(fresh)).complete


def test_a_revival_by_a_snapshot_older_than_what_was_sent_is_not_complete() -> None:
    sink = Sink()
    core = {"title": "a", "email": "p@k.example"}
    sink.flush(part(Change("t", "c", fields=core, creation=True, updated_at_ms=T0 + 1)))
    sink.flush(part(Change("t", "c", life="deleted", updated_at_ms=T0 + 2)))
    undelete = part(Change("t", "c", life="live", fields={"status": "open"}, updated_at_ms=T0 + 3))
    old = part(Change("t", "c", fields=core | {"title": "old"}, complete=True, updated_at_ms=T0))
    assert not fold(sink.state, parts.join(undelete, old)).complete
    fresh = part(Change("t", "c", fields=core, complete=True, updated_at_ms=T0 + 1))
    assert fold(sink.state, parts.join(undelete, fresh)).complete


def test_a_revival_that_does_not_bring_all_that_was_dropped_after_the_deletion_is_not_complete() -> None:
    sink = Sink()
    first = {"title": "a", "email": "p@k.example", "description": "text"}
    sink.flush(part(Change("t", "c", fields=first, creation=True, updated_at_ms=T0)))
    sink.flush(part(Change("t", "c", life="deleted", updated_at_ms=T0 + 1)))
    sink.flush(part(Change("t", "c", fields={"tags": ["vip"]}, updated_at_ms=T0 + 3)))
    core = {"title": "b", "email": "p@k.example", "status": "open"}
    undelete = Change("t", "c", fields={**core, "tags": []}, life="live", complete=True, updated_at_ms=T0 + 2)
    snapshot = Change("t", "c", fields=core, complete=True, updated_at_ms=T0 + 4)
    revival = parts.join(part(undelete), part(snapshot))
    assert not fold(sink.state, revival).complete
    whole = Change("t", "c", fields={**core, "tags": ["vip"]}, complete=True, updated_at_ms=T0 + 5)
    assert fold(sink.state, parts.join(revival, part(whole))).complete, "what was told before the deletion went with it"


def test_history_is_left_out_until_it_is_known() -> None:
    snapshot = Change("t", "c", fields={"status": "open"}, complete=True, updated_at_ms=T0)
    assert fold(None, part(snapshot)).history is None
    created = Change("t", "c", fields={"status": "new"}, creation=True, updated_at_ms=T0 - 5)
    assert fold(None, join(part(snapshot), part(created))).history == [
        {"status": "new", "time": "2026-09-21T14:13:19.995Z"},
        {"status": "open", "time": "2026-09-21T14:13:20.000Z"},
    ]


def test_runs_of_one_status_collapse_to_their_first() -> None:
    seen = [Sighting(3, 0, "open"), Sighting(1, 0, "open"), Sighting(2, 0, "open"), Sighting(4, 0, "closed")]
    assert [row.at_ms for row in runs(seen)] == [1, 4]
    assert [row["status"] for row in history(seen)] == ["open", "closed"]


def test_sightings_of_one_millisecond_are_ordered_by_event_time() -> None:
    assert [row.status for row in runs([Sighting(1, 9, "solved"), Sighting(1, 2, "pending")])] == ["pending", "solved"]


def test_trimming_drops_what_does_not_show_before_what_shows() -> None:
    seen = [Sighting(at, 0, "open" if at < 400 else "closed") for at in range(500)]
    assert runs(trim(seen)) == runs(seen)
    assert len(trim(seen)) <= 256
    every_other = [Sighting(at, 0, str(at)) for at in range(500)]
    kept = trim(every_other)
    assert len(kept) == 256
    assert {every_other[0], every_other[-1]} <= kept


@given(st.binary(max_size=60))
def test_reading_any_bytes_raises_nothing_but_unknown_frame(value: bytes) -> None:
    try:
        parts.read(value)
    except UnknownFrame:
        return


@given(st.binary(min_size=1, max_size=40), st.integers(0, 2**50))
def test_reading_any_payload_raises_nothing_but_unknown_frame(payload: bytes, arrival_us: int) -> None:
    try:
        parts.read(frame(payload, arrival_us))
    except UnknownFrame:
        return


@given(st.binary(max_size=40))
def test_reading_any_state_raises_nothing_but_unknown_state(raw: bytes) -> None:
    try:
        states.read(raw)
    except states.UnknownState:
        return


def test_frames_read_back_in_order_of_arrival() -> None:
    value = frame(b"\x01a", 5) + frame(b"\x01bc", 6)
    assert list(frames(value)) == [(5, b"\x01a"), (6, b"\x01bc")]
    with pytest.raises(UnknownFrame):
        list(frames(value[:-1]))


def test_a_newer_release_s_frame_and_state_are_left_alone() -> None:
    with pytest.raises(UnknownFrame):
        parts.read(frame(b"\x09x", 1))
    with pytest.raises(UnknownFrame):  # though all the rest of it could be read
        parts.read(frame(b"\x09" + parts.encode(Part())[1:], 1))
    with pytest.raises(states.UnknownState):
        states.read(b'{"v":2}')
    assert states.read(None) is None


def test_what_planhat_told_of_the_same_moment_stands_once():
    ours = [Sighting(5, 7, "open"), Sighting(5, 9, "solved")]
    told = [Sighting(5, 0, "open"), Sighting(5, 0, "solved")]
    assert [row.status for row in runs([*told, *ours])] == ["open", "solved"]


def test_what_was_sent_before_a_deletion_and_is_newer_than_it_must_come_again_with_the_revival():
    def said(tie: int, life: Any = "live", *, complete: bool = True) -> Part:
        fields = {} if life == "deleted" else {"title": f"v{tie}", "email": "p@kestrel.example"}
        return part(Change("zendesk:1", "zendesk", fields, {}, T0, tie, life=life, complete=complete))

    state = fold(None, said(3)).state
    state = fold(replace(state, sent=True), said(6, "", complete=False)).state
    gone = replace(fold(replace(state, sent=True), said(4, "deleted")).state, gone=True)
    assert not fold(gone, said(5)).complete
    assert fold(gone, said(7)).complete
