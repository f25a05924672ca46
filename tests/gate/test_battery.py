"""The battery is whole: every case is there, and every test that it names."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.gate.battery import BATTERY

ROOT = Path(__file__).resolve().parents[2]


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("line", list(BATTERY))
def test_every_case_is_held_by_tests_that_exist(line: str) -> None:
    case = BATTERY[line]
    assert case.what
    assert case.held_by
    for node in case.held_by:
        path, _, name = node.partition("::")
        assert re.fullmatch(r"test_\w+", name)
        assert name in functions_of(path), f"{path} has no {name}"


def test_no_case_is_left_out() -> None:
    for letter, last in (("B", 33), ("H", 13), ("P", 9), ("L", 6)):
        assert [f"{letter}{n}" for n in range(1, last + 1)] == [line for line in BATTERY if line[0] == letter]


def test_every_test_of_the_gate_holds_a_case() -> None:
    ours = {
        f"tests/gate/{path.name}::{name}"
        for path in (ROOT / "tests" / "gate").glob("test_*.py")
        for name in functions_of(f"tests/gate/{path.name}")
        if name.startswith("test_") and path.name in ("test_wire.py", "test_slow.py", "test_hostile.py")
    }
    assert ours <= {node for case in BATTERY.values() for node in case.held_by}
