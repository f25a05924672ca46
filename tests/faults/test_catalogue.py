"""Every class of fault is told of, and nothing here knows the packages it judges."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults import chaos, losses
from tests.faults.story import CATALOGUE, PLACES

HERE = Path(__file__).resolve().parent
PAGE = (HERE.parents[1] / "deploy" / "docs" / "faults.md").read_text()
NAMES = sorted({*CATALOGUE, *chaos.SENT, *losses.CLASSES})


@pytest.mark.parametrize("name", NAMES)
def test_each_class_stands_on_the_page(name: str) -> None:
    assert f"| `{name}` |" in PAGE


def test_the_page_tells_of_no_class_that_is_gone() -> None:
    told = set(re.findall(r"^\| `([a-z0-9_]+)` \|", PAGE, re.MULTILINE))
    assert told == set(NAMES)


def test_there_are_enough_classes_and_each_place_has_some() -> None:
    assert len(NAMES) >= 50
    assert {one.place for one in CATALOGUE.values()} == set(PLACES) - {"sender"}


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(SystemExit):
        chaos.arguments(["--classes", "redis_kill,no_such"])


def test_nothing_here_imports_what_it_judges() -> None:
    for path in HERE.glob("*.py"):
        assert not re.search(r"^\s*(?:from|import) (?:gateway|workers)\b", path.read_text(), re.MULTILINE), path.name
