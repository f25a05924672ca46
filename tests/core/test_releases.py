"""What an earlier release left in Redis is read by this one, and comes to the same item."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from gateway.core import part as parts
from gateway.core import state as states
from gateway.core.fold import fold

FRAMES = Path(__file__).resolve().parents[1] / "faults" / "frames"
CASES = [
    pytest.param(case, id=f"{path.stem}-{number}")
    for path in sorted(FRAMES.glob("release-*.json"))
    for number, case in enumerate(json.loads(path.read_text()))
]
LOOKED_UP = ("source", "email", "name", "agentEmail", "domains", "companyExternalId")


@pytest.mark.parametrize("case", CASES)
def test_frames_and_states_of_an_earlier_release_come_to_what_it_would_have_sent(case) -> None:
    part = parts.read(base64.b64decode(case["value"]))
    state = states.read(base64.b64decode(case["state"]) if case["state"] else None)
    folded = fold(state, part)
    expected = {name: value for name, value in case["expected"].items() if name not in LOOKED_UP}
    history = [{**row, "time": row["time"][:19] + "Z"} for row in folded.history or []]
    assert history == expected.pop("history")
    found = {name: folded.fields.get(name) for name in expected}
    found["tags"] = sorted(found["tags"] or ())
    assert found == expected
    assert folded.new == (case["state"] is None)


@pytest.mark.parametrize("case", CASES)
def test_what_an_earlier_release_wrote_is_written_anew_and_says_the_same(case) -> None:
    part = parts.read(base64.b64decode(case["value"]))
    again = parts.decode(parts.encode(part), part.first_us)
    assert again == part
    if case["state"]:
        state = states.read(base64.b64decode(case["state"]))
        assert state is not None
        assert states.read(state.encode()) == state


def test_some_release_is_recorded_fresh_joined_and_with_a_state() -> None:
    versions = {base64.b64decode(param.values[0]["value"])[12] for param in CASES}  # type: ignore[index]
    assert versions == {1, 2}
