"""A person is taken out of what is kept, and nobody else is."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import part as parts
from gateway.core import state as states
from gateway.core.change import Change, Stamp, UnknownFrame, frame, frames
from gateway.core.erasure import Kept, erased
from gateway.core.state import State, UnknownState
from gateway.core.wanted import INSTEAD, Wanted, mentions, redacted

ADA = "ada@kestrel.example"
BO = "bo@kestrel.example"
WANTED = Wanted(ADA)
AT_US = 1_790_000_000_000_000
AT_MS = AT_US // 1000


def value(*changes: dict[str, Any], connection: str = "desk") -> bytes:
    """Frames of changes: `fields`, `refs` and what else a change says, one second after the other."""
    made = []
    for number, said in enumerate(changes):
        change = Change("t", connection, **{"updated_at_ms": AT_MS + number * 1000, **said})
        made.append(frame(change.encode(), AT_US + number))
    return b"".join(made)


def state(at: Any = 0, **kept: Any) -> bytes:
    """A state whose values stand `at` seconds after the first change."""
    names = {"email", "agentEmail", "@requester_id"} & kept.keys()
    stamps = {name: Stamp(1, AT_MS + at * 1000, 0, 0, "0" * 16) for name in names}
    return State(stamps=stamps, kept=kept, sent=True, planhat_id="ph-1").encode()


def values(raw: bytes) -> dict[str, Any]:
    return parts.read(raw).values


# Whose ticket it is


@pytest.mark.parametrize(
    "kept",
    [
        Kept(value=value({"fields": {"email": ADA, "title": "Map"}})),
        Kept(value=value({"fields": {"email": "Ada@Kestrel.example"}})),
        Kept(state=state(email=ADA, name="Ada")),
        Kept(value=value({"fields": {"status": "open"}}), state=state(email=ADA)),
        Kept(dead=value({"fields": {"email": ADA}}), row=b'{"reason":"refused"}'),
        Kept(value=value({"fields": {"title": "x"}}), dead=value({"fields": {"email": ADA}})),
        Kept(value=value({"fields": {"email": BO}}, {"fields": {"email": ADA}})),
        Kept(value=value({"fields": {"email": ADA}}), state=state(-60, email=BO)),
        Kept(value=value({"fields": {"email": ADA, "title": "x"}}, {"life": "deleted"})),
        Kept(value=value({"fields": {"email": ADA}, "refs": {"requester_id": "7"}}), state=state(-60, email=BO)),
    ],
)
def test_of_a_person_s_own_ticket_nothing_is_left(kept: Kept) -> None:
    left = erased(kept, WANTED)
    assert left is not None
    assert left.about
    assert left.kept == Kept()


@pytest.mark.parametrize(
    "kept",
    [
        Kept(value=value({"fields": {"email": BO, "description": f"{ADA} wrote"}})),
        Kept(value=value({"fields": {"email": ADA}}, {"fields": {"email": BO}})),
        Kept(value=value({"fields": {"email": ADA}}), state=state(60, email=BO)),
        Kept(value=value({"refs": {"requester_id": "8"}}), state=state(-60, email=ADA, **{"@requester_id": "7"})),
        Kept(value=value({"fields": {"email": BO, "agentEmail": ADA}}), state=state(-60, email=BO, agentEmail=ADA)),
        Kept(value=value({"fields": {"email": BO, "custom": {"cc": [ADA, {"to": f"<{ADA}>"}], ADA: 1}}})),
        Kept(dead=value({"fields": {"email": BO}}), row=orjson.dumps({"reason": "refused", "detail": f"{ADA} is bad"})),
        Kept(value=value({"fields": {"email": BO, "tags": ["vip", ADA]}}), row=f"no JSON {ADA}".encode()),
        Kept(state=state(email=BO, agentEmail=ADA)),
    ],
)
def test_from_another_s_ticket_only_the_address_goes(kept: Kept) -> None:
    left = erased(kept, WANTED)
    assert left is not None
    assert not left.about
    for before, after in zip(_four(kept), _four(left.kept), strict=True):
        assert not mentions(after, WANTED)
        assert bool(before) == bool(after)
    assert erased(left.kept, WANTED) is None, "and nothing more the second time"


def _four(kept: Kept) -> tuple[bytes, ...]:
    return kept.value, kept.state, kept.dead, kept.row


def test_what_is_left_of_another_s_ticket_says_the_rest_unchanged() -> None:
    said = {"email": BO, "agentEmail": ADA, "title": f"From {ADA}: map", "status": "open", "tags": [ADA, "vip"]}
    kept = Kept(
        value=value({"fields": {"status": "new"}}, {"fields": said, "refs": {"requester_id": "7"}, "creation": True}),
        state=state(-60, email=BO, name="Bo", agentEmail=ADA),
    )
    left = erased(kept, WANTED)
    assert left is not None
    before, after = parts.read(kept.value), parts.read(left.kept.value)
    assert after.values == {
        "email": BO,
        "title": f"From {INSTEAD}: map",
        "status": "open",
        "tags": [INSTEAD, "vip"],
        "@requester_id": "7",
    }
    assert after.stamps == {name: stamp for name, stamp in before.stamps.items() if name != "agentEmail"}
    assert replace(after, values={}, stamps={}) == replace(before, values={}, stamps={}, only=None)
    assert [arrival for arrival, _ in frames(left.kept.value)] == [before.first_us], "its place in the queue stays"
    old, new = states.read(kept.state), states.read(left.kept.state)
    assert old is not None
    assert new == replace(old, kept={"email": BO, "name": "Bo"})


@pytest.mark.parametrize(
    "kept",
    [
        Kept(),
        Kept(value=value({"fields": {"email": BO, "title": "x"}}), state=state(email=BO)),
        Kept(value=value({"fields": {"email": f"n{ADA}", "description": f"{ADA}.org x.{ADA} {ADA}-x"}})),
        Kept(dead=value({"fields": {"email": f"a+{ADA}"}}), row=f"no JSON x{ADA}".encode()),
    ],
)
def test_a_ticket_that_does_not_name_the_person_is_left_alone(kept: Kept) -> None:
    assert erased(kept, WANTED) is None


def test_a_ticket_that_names_its_requester_by_id_alone_is_theirs_once_the_id_is_known() -> None:
    wanted = replace(WANTED, ids=frozenset({("desk", "7")}))
    thin = value({"refs": {"requester_id": "7"}, "thin": True})
    left = erased(Kept(value=thin), wanted)
    assert left is not None
    assert left.about
    assert erased(Kept(value=thin), WANTED) is None
    assert erased(Kept(value=value({"refs": {"requester_id": "7"}}, connection="other")), wanted) is None
    assert erased(Kept(value=value({"refs": {"requester_id": "7"}, "fields": {"email": BO}})), wanted) is None
    moved = Kept(value=value({"refs": {"requester_id": "7"}}), state=state(-60, email=BO, **{"@requester_id": "8"}))
    theirs = erased(moved, wanted)
    assert theirs is not None
    assert theirs.about, "the ticket went over to the person"


def test_an_erased_ticket_tells_its_requester_s_id_and_planhat_s() -> None:
    said = value({"fields": {"email": ADA}, "refs": {"requester_id": "7"}})
    left = erased(Kept(value=said, state=state(-60, email=ADA)), WANTED)
    assert left is not None
    assert (left.ids, left.planhat_id) == (frozenset({("desk", "7")}), "ph-1")
    kept = erased(
        Kept(value=value({"fields": {"title": "x"}}), state=state(email=ADA, **{"@requester_id": "9"})), WANTED
    )
    assert kept is not None
    assert kept.ids == {("desk", "9")}
    alone = erased(Kept(state=state(email=ADA, **{"@requester_id": "9"})), WANTED)
    assert alone is not None
    assert alone.ids == frozenset(), "no connection, no id"


def test_what_another_release_wrote_is_not_taken_apart() -> None:
    with pytest.raises(UnknownFrame):
        erased(Kept(value=frame(b"\x09" + ADA.encode(), AT_US)), WANTED)
    with pytest.raises(UnknownState):
        erased(Kept(state=orjson.dumps({"v": 2, "k": {"email": ADA}})), WANTED)


# Where an address stands

INSIDE = f'{{"to": "Ada <{ADA}>"}}'


@pytest.mark.parametrize(
    "text",
    [
        ADA,
        ADA.upper(),
        INSIDE,
        f"a=1&mail={quote(ADA)}&b=2",
        f"text=hello+{quote(ADA)}",
        quote(quote(INSIDE)),
        INSIDE.replace("@", "\\u0040"),
        f'{{"text": "hello\\n{ADA}"}}',
        INSIDE.replace("@", "&#64;"),
        f"<a href='mailto:{ADA}'>",
        base64.b64encode(INSIDE.encode()).decode(),
        base64.urlsafe_b64encode(b"??>" + INSIDE.encode()).decode().rstrip("="),
        f'{{"data_base64": "{base64.b64encode(INSIDE.replace("@", chr(92) + "u0040").encode()).decode()}"}}',
        f"...{ADA}...",
        f"({ADA})",
        f"[{ADA}](x)",
    ],
)
def test_an_address_is_found_however_it_is_written(text: str) -> None:
    assert mentions(text.encode(), WANTED)
    assert mentions(b"\xff\xfe " + text.encode() + b" \xff", WANTED)


@pytest.mark.parametrize(
    "text", ["", "ada", "kestrel.example", f"n{ADA}", f"a.{ADA}", f"a-{ADA}", f"{ADA}.org", f"{ADA}s", "x" * 5_000]
)
def test_another_address_is_not_taken_for_it(text: str) -> None:
    assert not mentions(text.encode(), WANTED)
    assert redacted(text, WANTED) == text


def test_an_address_with_marks_and_letters_of_any_kind_is_found_and_taken_out() -> None:
    for address in ("o'neil+x@kestrel.example", "å.ßen@müller.example", "a.b@x-y.example"):
        wanted = Wanted(address)
        text = f"Von {address.upper() if address.isascii() else address}, gestern"
        assert mentions(text.encode(), wanted)
        assert redacted(text, wanted) == f"Von {INSTEAD}, gestern"


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
PLACES = st.sampled_from(["title", "description", "name", "agentEmail", "product", "type"])


@given(
    st.lists(st.tuples(PLACES, TEXTS, st.booleans(), TEXTS), max_size=5), st.sampled_from([ADA, BO, ""]), st.booleans()
)
def test_whatever_is_kept_the_address_is_gone_and_other_words_stay(
    drawn: list[tuple[str, str, bool, str]], requester: str, buried: bool
) -> None:
    changes = [
        {"fields": {place: before + (f" {ADA} " if named else "") + after}} for place, before, named, after in drawn
    ]
    changes.append({"fields": {"email": requester}} if requester else {"fields": {"status": "open"}})
    raw = value(*changes)
    kept = Kept(dead=raw, row=b"{}") if buried else Kept(value=raw)
    left = erased(kept, WANTED)
    named = requester == ADA or any(named for _, _, named, _ in drawn)
    if not named:
        assert left is None
        return
    assert left is not None
    assert left.about == (requester == ADA)
    assert not any(mentions(one, WANTED) for one in _four(left.kept))
    if not left.about:
        after = values(left.kept.dead if buried else left.kept.value)
        expected = {name: redacted(one, WANTED) if isinstance(one, str) else one for name, one in values(raw).items()}
        assert after == {name: one for name, one in expected.items() if name != "agentEmail" or one.strip() != INSTEAD}
