"""Mutants do not rot, leave nothing out, and only a failed assertion counts as a catch."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.mutants.__main__ import main
from tests.mutants.mutant import ROOT, Mutant
from tests.mutants.table import MUTANTS, must_break
from tests.mutants.workshop import Seen, Workshop, judge

if TYPE_CHECKING:
    from pathlib import Path

RETRY = "gateway/core/retry.py"
ON_RETRY = "tests/core/test_retry.py::test_retry_after_counts_but_never_less_than_a_second"
REAL = ("history-not-collapsed", "put-without-dedupe", "window-one-sided")

ENDS = """
import time
import pytest

@pytest.fixture
def broken():
    raise AssertionError("in a fixture")

@pytest.fixture
def broken_after():
    yield
    raise AssertionError("after the test")

def test_passes(): pass
def test_asserts(): assert [] == [1]
def test_raises_nothing():
    with pytest.raises(ValueError): pass
def test_raises_another():
    with pytest.raises(ValueError): raise KeyError("another")
def test_group(): raise ExceptionGroup("two", [AssertionError("a"), AssertionError("b")])
def test_mixed_group(): raise ExceptionGroup("two", [AssertionError("a"), KeyError("b")])
def test_crashes(): {}["x"]
def test_imports(): import no_such_module
def test_gives_up(): pytest.fail("nothing was asserted")
def test_hangs(): time.sleep(30)
def test_in_a_fixture(broken): pass
def test_after(broken_after): pass
def test_skipped(): pytest.skip("not here")  # no skip of ours: the witness must not take one for a kill
@pytest.mark.parametrize("row", [1, 2])
def test_rows(row): assert row == 1
"""


def mutant(old: str, new: str, *tests: str, file: str = RETRY) -> Mutant:
    return Mutant("made-up", "for this test", (), file, old, new, tests or (ON_RETRY,))


@cache
def functions(file: str) -> frozenset[str]:
    """The functions and methods of a test file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("mutants"))


# ------------------------------------------------------------------------------------------------------------ the table
@pytest.mark.parametrize("one", MUTANTS, ids=[one.name for one in MUTANTS])
def test_a_mutant_can_still_be_planted_and_its_tests_exist(one: Mutant) -> None:
    text = one.text()
    assert one.new != one.old
    if one.file.endswith(".py"):
        compile(text, one.file, "exec", dont_inherit=True)
    assert one.tests
    for test in one.tests:
        file, _, name = test.partition("::")
        assert name.partition("[")[0] in functions(file), test
    assert one.file.startswith(("gateway/", "workers/")), "a bug is planted in the product"
    assert one.bug
    assert one.breaks


def test_every_mutant_is_another_one() -> None:
    assert len(MUTANTS) >= 40
    assert len({one.name for one in MUTANTS}) == len(MUTANTS)
    assert len({(one.file, one.old, one.new) for one in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("kind", ["fate", "invariant", "script", "source"])
def test_at_least_one_mutant_breaks_each(kind: str) -> None:
    """A new row, script or source: plant a bug in it, and name the test that catches it."""
    broken = {name for one in MUTANTS for name in one.breaks}
    assert not must_break()[kind] - broken
    assert not broken - frozenset().union(*must_break().values()), "there is no such thing to break"


# ------------------------------------------------------------------------------------------------------------ the judge
@pytest.mark.e2e
def test_the_witness_tells_an_assertion_from_every_other_end(workshop: Workshop) -> None:
    (workshop.folder / "tests" / "test_ends.py").write_text(ENDS, encoding="utf-8")
    (workshop.folder / "tests" / "test_unread.py").write_text("import no_such_module\n", encoding="utf-8")
    seen = workshop.run(["tests/test_ends.py"], 60, test_limit_s=1)
    ends = {one.test.partition("::test_")[2]: one.end for one in reversed(seen)}
    assert ends == {
        "passes": "passed",
        "asserts": "assertion",
        "raises_nothing": "assertion",
        "raises_another": "exception",
        "group": "assertion",
        "mixed_group": "exception",
        "crashes": "exception",
        "imports": "exception",
        "gives_up": "exception",
        "hangs": "exception",
        "in_a_fixture": "error",
        "after": "passed",
        "skipped": "skipped",
        "rows[1]": "passed",
        "rows[2]": "assertion",
    }
    assert [one.end for one in seen if one.test.endswith("::test_after")] == ["passed", "error"]

    def verdict(*names: str) -> str:
        return judge([f"tests/test_ends.py::test_{name}" for name in names], seen)[0]

    assert verdict("asserts") == verdict("raises_nothing") == verdict("group") == verdict("rows") == "killed"
    assert verdict("asserts", "rows") == "killed"
    assert verdict("passes") == verdict("asserts", "passes") == verdict("rows[1]") == "survived"
    for name in ("raises_another", "mixed_group", "crashes", "imports", "gives_up", "hangs", "in_a_fixture", "after"):
        assert verdict(name) == verdict("asserts", name) == "unjudged", name
    assert verdict("skipped") == verdict("that_is_not_there") == "unjudged"
    (unread,) = workshop.run(["tests/test_unread.py"], 60)
    assert unread.end == "error"
    assert judge(["tests/test_unread.py::test_x"], [unread])[0] == "unjudged"
    assert len(workshop.unsound(["tests/test_ends.py::test_crashes", "tests/test_ends.py::test_passes"])) == 1
    assert workshop.unsound(["tests/test_ends.py::test_gone"]) == ["tests/test_ends.py::test_gone did not run"]


def test_a_run_that_ends_early_kills_nothing() -> None:
    assert judge([ON_RETRY], [])[0] == "unjudged"
    half = [Seen(f"{ON_RETRY}[a]", "passed", "")]
    assert judge([ON_RETRY, "tests/x.py::test_y"], half)[0] == "unjudged"


@pytest.mark.e2e
def test_a_survivor_and_a_module_that_cannot_be_imported_are_no_kills(workshop: Workshop) -> None:
    before = (workshop.folder / RETRY).stat().st_mtime_ns, (workshop.folder / RETRY).read_bytes()
    survivor = workshop.try_out(mutant("RATE_LIMIT_BASE_MS: Final = 2_000", "RATE_LIMIT_BASE_MS: Final = 3_000"))
    assert (survivor.verdict, survivor.why) == ("survived", f"passes: {ON_RETRY}")
    broken = workshop.try_out(mutant("RATE_LIMIT_BASE_MS: Final = 2_000", "import no_such_module"))
    assert broken.verdict == "unjudged"
    assert "no_such_module" in broken.why
    killed = workshop.try_out(mutant("RATE_LIMIT_FLOOR_MS: Final = 1_000", "RATE_LIMIT_FLOOR_MS: Final = 999"))
    assert (killed.verdict, killed.why.partition(":")[0]) == ("killed", "AssertionError")
    assert before == ((workshop.folder / RETRY).stat().st_mtime_ns, (workshop.folder / RETRY).read_bytes())


@pytest.mark.parametrize("old", ["this stands nowhere", "Final"])
def test_a_mutant_that_has_rotted_is_no_kill(workshop: Workshop, old: str) -> None:
    rotten = workshop.try_out(mutant(old, ""))
    assert rotten.verdict == "unjudged"
    assert rotten.why.endswith(f"times in {RETRY}")


@pytest.mark.e2e
@pytest.mark.parametrize("name", REAL)
def test_a_bug_in_python_in_lua_and_in_an_adapter_is_caught(workshop: Workshop, name: str) -> None:
    (one,) = (one for one in MUTANTS if one.name == name)
    judged = workshop.try_out(one)
    assert judged.verdict == "killed", judged.why


def test_the_checkout_is_never_touched(workshop: Workshop, tmp_path: Path) -> None:
    with workshop.planted(mutant("RATE_LIMIT_FLOOR_MS: Final = 1_000", "RATE_LIMIT_FLOOR_MS: Final = 999")):
        assert "RATE_LIMIT_FLOOR_MS: Final = 999" in (workshop.folder / RETRY).read_text(encoding="utf-8")
        assert "RATE_LIMIT_FLOOR_MS: Final = 1_000" in (ROOT / RETRY).read_text(encoding="utf-8")


def test_an_unknown_name_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "no-such-mutant"]) == 2
    assert "no such mutant" in capsys.readouterr().err
