"""The battery is whole: every case is there, and every test that it names."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.gate.battery import BATTERY

if TYPE_CHECKING:
    from collections.abc import Iterator

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


SECRETIVE = re.compile(r"token|signature|digest|mac$|proof|password|offered|expected", re.IGNORECASE)
"""What a request shows, and what it is compared with."""

AT_BOOT = {"check_secret"}


def comparisons(path: Path) -> Iterator[ast.Compare]:
    """Comparisons that end at the first difference, of values whose names sound secret, outside of checks at boot."""
    tree = ast.parse(path.read_text())
    boot = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in AT_BOOT]
    allowed = {id(inner) for node in boot for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare) or id(node) in allowed:
            continue
        if any(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops):
            sides = (node.left, *node.comparators)
            names = {getattr(side, "id", getattr(side, "attr", "")) for side in sides}
            if any(SECRETIVE.search(name) and not name.isupper() for name in names):
                yield node


def test_nothing_secret_is_compared_in_a_time_that_tells_where_it_differs() -> None:
    rooms = [*(ROOT / "gateway" / "sources").glob("*.py"), *(ROOT / "gateway" / "ingest").glob("*.py")]
    found = {f"{path.name}:{node.lineno}: {ast.unparse(node)}" for path in rooms for node in comparisons(path)}
    assert found == set()
    assert "hmac.compare_digest" in (ROOT / "gateway" / "sources" / "signing.py").read_text()
