"""The documents say what is so: settings are all there, files that are named exist, decisions name what holds them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.settings import SETTINGS as NEAR
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
    default = (row[1].split(", ") if "," in row[1] else [row[1]] * (place + 1))[place].strip() if row[1].strip() else ""
    assert default == ("" if setting.default is None else f"`{setting.default}`")


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
