"""The documents say what is so: settings are all there, files that are named exist, decisions name what holds them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gateway.settings import SETTINGS as NEAR
from gateway.sources import SOURCES
from tests.sources.signers import SIGNERS
from tests.sources.table import table
from workers.settings import SETTINGS as FAR

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
NAMES = sorted({setting.name for setting in (*NEAR, *FAR)})


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_stands_in_the_readme_and_in_the_example(name: str) -> None:
    assert f"`{name}`" in README
    example = (ROOT / "deploy" / ".env.example").read_text()
    shown = name.replace("<SOURCE>", "[A-Z_]+")
    assert re.search(rf"^#? ?{shown}=", example, re.MULTILINE), f"deploy/.env.example lacks {shown}"


@pytest.mark.parametrize("setting", [*NEAR, *FAR], ids=lambda setting: setting.name)
def test_the_readme_gives_each_setting_s_default(setting) -> None:
    rows = [line.split(" | ") for line in README.splitlines() if line.startswith("| ") and line.count(" | ") == 2]
    (row,) = [row for row in rows if f"`{setting.name}`" in row[0]]
    place = re.findall(r"`(.*?)`", row[0]).index(setting.name)
    defaults = row[1].strip().split(", ")
    default = defaults[place] if len(defaults) > 1 else defaults[0]
    assert default in ({"", "none"} if setting.default is None else {f"`{setting.default}`"})


def test_the_readme_s_table_of_sources_is_what_the_adapters_and_their_samples_say() -> None:
    assert table() in README, "write it anew: python -m tests.sources.table"


def test_what_the_table_says_of_signatures_is_what_the_signers_do() -> None:
    for name, source in SOURCES.items():
        dated = bool(SIGNERS[name].moment or SIGNERS[name].dates) or name == "zoho_desk"
        assert source.signed.endswith("with a time") is dated, name


def budget(path: Path) -> int:
    """How many lines a file of the gateway or the workers may have without giving its reason."""
    return 200 if path.parent == ROOT / "gateway" / "sources" else 400


CODE = [path for room in ("gateway", "workers") for path in sorted((ROOT / room).rglob("*.py"))]


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_above_its_budget_of_lines_without_a_reason(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    reason = re.search(r"\b[Ll]onger\b|\babove (?:its|the) budget\b", ast.get_docstring(ast.parse(text)) or "")
    assert len(text.splitlines()) <= budget(path) or reason, f"{len(text.splitlines())} lines"


def test_the_readme_is_short_and_marks_its_two_commands() -> None:
    assert len(README.splitlines()) <= 200
    assert README.count("<!-- .ci/run: demo -->") == 1
    assert README.count("<!-- .ci/run: test -->") == 1


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *(ROOT / "deploy").rglob("*.md")]), ids=lambda page: page.name
)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"`((?:tests|gateway|workers|deploy)/[\w./-]+)", text))
    linked = {match for match in re.findall(r"\]\(([\w./-]+)\)", text) if "://" not in match}
    missing = [name for name in named if not (ROOT / name.rstrip("/.")).exists()]
    missing += [name for name in linked if not (page.parent / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", sorted((ROOT / "deploy" / "decisions").glob("*.md")), ids=lambda page: page.name)
def test_a_decision_ends_with_what_holds_it(page: Path) -> None:
    assert page.read_text().rstrip().splitlines()[-1].startswith("Held by: ")
