"""The express lane makes byte for byte what the long way makes, or declines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import part as parts
from gateway.core import state as states
from gateway.core.change import Change, frame
from gateway.core.fold import fold
from gateway.core.lone import lone
from gateway.core.lookups import Found, wants, wants_reread
from gateway.core.ticket import after_delete, after_upsert, make_item, screen, unchanged

AT: Final = 1_764_000_000_000
ARRIVAL_US: Final = (AT + 60_000) * 1000
MAX_BYTES: Final = 5_000

moments = st.sampled_from([AT, AT + 1, AT + 2, AT + 60_000, AT + 90_000_000])
"""The last lies too far ahead of the arrival."""
domains = st.sampled_from(["lumen.example", "kestrel.example", "gmail.com"])
emails = st.one_of(st.none(), st.just(""), domains.map(lambda domain: f"ada@{domain}"))
texts = st.sampled_from(["", "Scanner drops parcels", 'Ünïcode "quoted" \\ text'])
fields = st.fixed_dictionaries(
    {},
    optional={
        "title": texts,
        "description": st.one_of(texts, st.just("x" * 6_000)),
        "tags": st.lists(st.sampled_from(["a", "b"]), max_size=2),
        "status": st.sampled_from(["open", "pending", "closed", "archived", "", None]),
        "severity": st.sampled_from(["high", None]),
        "email": emails,
        "name": st.sampled_from(["Ada", "", None]),
        "agentEmail": st.sampled_from(["agent@lumen.example", None]),
        "domains": st.lists(domains, max_size=2),
        "companyExternalId": st.sampled_from(["c-1", "", None]),
        "companyId": st.sampled_from(["5f0", None]),
        "custom": st.dictionaries(st.sampled_from(["Plan", "Tier"]), st.integers(0, 9), max_size=2),
        "timeSpent": st.integers(0, 500),
    },
)
snapshots = st.fixed_dictionaries(
    {
        "title": texts,
        "status": st.sampled_from(["open", "pending", "closed"]),
        "email": domains.map(lambda domain: f"ada@{domain}"),
        "name": st.just("Ada"),
        "agentEmail": st.sampled_from(["agent@lumen.example", None]),
        "domains": st.lists(domains, max_size=2),
        "companyExternalId": st.sampled_from(["c-1", None]),
    }
)
often_false = st.sampled_from([False, False, False, True])
changes = st.builds(
    Change,
    ticket=st.just("desk-7"),
    connection=st.sampled_from(["zendesk", "zendesk", "zendesk", ""]),
    fields=st.one_of(snapshots, snapshots, fields),
    refs=st.sampled_from([{}, {}, {}, {"requester_id": "5"}, {"assignee_id": None}]),
    updated_at_ms=st.one_of(moments, moments, st.none()),
    event_at_us=st.one_of(st.none(), st.integers(0, 3)),
    life=st.sampled_from(["", "live", "live", "live", "deleted", "purged"]),
    creation=st.booleans(),
    complete=st.booleans(),
    thin=often_false,
    reread=often_false,
    sighting=st.booleans(),
    history=st.sampled_from([(), (), (), ((AT - 5, "new"),)]),
    history_known=st.booleans(),
)
plain = st.builds(
    Change,
    ticket=st.just("desk-7"),
    connection=st.just("zendesk"),
    fields=st.one_of(snapshots, snapshots, fields),
    updated_at_ms=moments,
    event_at_us=st.integers(0, 3),
    life=st.sampled_from(["", "live", "live"]),
    creation=st.booleans(),
    complete=st.booleans(),
)
"""Those that the express lane is for, if they are newer than what was sent."""
any_change = st.one_of(plain, plain, plain, changes)


def long_way(value: bytes, state: bytes | None, *, full_history: bool) -> tuple[Any, ...] | None:
    """What the fold makes; None when the ticket is not to be sent as it is."""
    folded = fold(states.read(state), parts.read(value))
    if folded.action != "upsert" or wants_reread(folded) or wants(folded):
        return None
    item = make_item(folded, Found(), ticket="desk-7", source=folded.part.connection, with_history=full_history)
    if screen(folded, item, max_bytes=MAX_BYTES) or unchanged(folded, item):
        return None
    after = after_upsert(folded, item, "65f1")
    open_history = bool(folded.state.sightings) and not folded.state.history_known
    new = folded.new or folded.state.gone
    return item, after.encode(), after.may_expire, new, open_history, folded.part.connection


def express(value: bytes, state: bytes | None, *, full_history: bool) -> tuple[Any, ...] | None:
    made = lone(value, state, ticket="desk-7", source_of=str, full_history=full_history, max_bytes=MAX_BYTES)
    if made is None:
        return None
    return made.item, made.encode("65f1"), made.closed, made.new, made.history_open, made.connection


def sent(state: bytes | None, change: Change, *, deleted: bool) -> bytes | None:
    """The state after a change was sent, or its deletion carried out."""
    folded = fold(states.read(state), parts.read(frame(change.encode(), ARRIVAL_US)))
    if deleted or folded.action != "upsert":
        return after_delete(folded).encode()
    item = make_item(folded, Found(), ticket="desk-7", source="zendesk")
    return after_upsert(folded, item, None).encode()


@settings(max_examples=1_500, deadline=None)
@given(
    before=st.lists(st.tuples(any_change, often_false), max_size=2),
    now=st.one_of(st.tuples(any_change), st.tuples(any_change), st.tuples(changes, changes)),
    full_history=st.booleans(),
)
def test_the_express_lane_makes_what_the_long_way_makes_or_declines(before, now, full_history):
    state = None
    for change, deleted in before:
        state = sent(state, change, deleted=deleted)
    value = b"".join(frame(change.encode(), ARRIVAL_US + number) for number, change in enumerate(now))
    made = express(value, state, full_history=full_history)
    if made is not None:
        assert made == long_way(value, state, full_history=full_history)


def snapshot(at_ms: int = AT, **changed: Any) -> Change:
    values = {"title": "Scanner", "status": "open", "email": "ada@lumen.example", "name": "Ada"}
    return Change("desk-7", "zendesk", values | changed, updated_at_ms=at_ms, life="live", complete=True, creation=True)


def test_a_new_ticket_and_its_later_snapshots_take_the_express_lane():
    state, items = None, []
    for number, status in enumerate(("open", "pending", "closed", "open")):
        value = frame(snapshot(AT + number, status=status).encode(), ARRIVAL_US)
        made = express(value, state, full_history=True)
        assert made is not None
        assert made == long_way(value, state, full_history=True)
        state = made[1]
        items.append(made[0])
    assert [row["status"] for row in orjson.loads(items[-1].body)["history"]] == ["open", "pending", "closed", "open"]


@pytest.mark.parametrize(
    "change",
    [
        replace(snapshot(), refs={"requester_id": "5"}),
        replace(snapshot(), thin=True),
        replace(snapshot(), life="deleted"),
        replace(snapshot(), updated_at_ms=None),
        replace(snapshot(), updated_at_ms=AT + 200_000_000),
        replace(snapshot(), history=((AT, "new"),)),
        replace(snapshot(), connection=""),
        snapshot(email=None),
        snapshot(email="ada@gmail.com"),
        snapshot(description="x" * 9_000),
        replace(snapshot(), fields={}),
        replace(snapshot(), fields={"email": "ada@lumen.example"}, complete=False, creation=False),
    ],
)
def test_what_is_not_plain_goes_the_long_way(change):
    assert express(frame(change.encode(), ARRIVAL_US), None, full_history=True) is None


@pytest.mark.parametrize(
    "value",
    [b"", b"\0" * 12, b"\0" * 40, frame(snapshot().encode(), 1)[:-1], frame(b"\x09" + snapshot().encode()[1:], 1)],
)
def test_what_cannot_be_read_goes_the_long_way(value):
    assert express(value, None, full_history=True) is None


@pytest.mark.parametrize("state", [b"", b"{}", b"[]", b'{"v":2}', b"null", b"\xff"])
def test_a_state_that_cannot_be_read_sends_the_ticket_the_long_way(state):
    assert express(frame(snapshot().encode(), ARRIVAL_US), state, full_history=True) is None


def test_an_older_or_smaller_change_and_one_that_was_sent_go_the_long_way():
    state = sent(None, snapshot(AT + 5, status="open", tags=["a"]), deleted=False)
    for change in (snapshot(AT, tags=["a"]), snapshot(AT + 9), snapshot(AT + 9, tags=["a"])):
        assert express(frame(change.encode(), ARRIVAL_US), state, full_history=True) is None
