"""The nightly run tells a pass from a failure, and both from what could not be run."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PINS = "anyio==4.16.0\nprometheus_client==0.26.0\n"
CLEAN = [
    {"name": "anyio", "version": "4.16.0", "vulns": []},
    {"name": "prometheus-client", "version": "1", "vulns": []},
]
BAD = {"name": "pyyaml", "version": "5.3", "vulns": [{"id": "PYSEC-1"}]}
SKIPPED = {"name": "anyio", "skip_reason": "Dependency not found on PyPI and could not be audited: anyio (4.16.0)"}


def fake(folder: Path, answers: dict[str, Any]) -> Path:
    """A pip-audit that gives a report on the pins, another one on the control, or says whatever it is told to."""
    command = folder / "pip-audit"
    command.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"answers = {answers!r}\n"
        "which = 'proof' if 'control' in sys.argv[sys.argv.index('-r') + 1] else 'found'\n"
        "said = answers.get(sys.argv[sys.argv.index('-s') + 1] + ' ' + which, answers.get(which))\n"
        "print(said)\nsys.exit(answers.get('code', 0))\n"
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return command


def audit(tmp_path: Path, **answers: Any) -> tuple[int, str]:
    pins = tmp_path / "pins.txt"
    pins.write_text(PINS)
    command = fake(tmp_path, {name.replace("_", " "): said for name, said in answers.items()})
    ended = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "audit.py"), str(pins), "--pip-audit", str(command)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


def said(*rows: dict[str, Any]) -> str:
    return json.dumps({"dependencies": rows, "fixes": []})


def test_it_is_clean_when_every_pin_was_looked_up_and_the_control_was_found(tmp_path: Path) -> None:
    code, words = audit(tmp_path, found=said(*CLEAN), proof=said(BAD))
    assert (code, "2 packages looked up" in words) == (0, True)


def test_a_vulnerable_pin_is_named_whatever_else_was_not_looked_up(tmp_path: Path) -> None:
    vulnerable = {"name": "anyio", "version": "4.16.0", "vulns": [{"id": "PYSEC-7"}, {"id": "CVE-1"}]}
    code, words = audit(tmp_path, found=said(vulnerable), proof="", code=1)
    assert code == 1
    assert "anyio 4.16.0: PYSEC-7, CVE-1" in words


@pytest.mark.parametrize(
    ("found", "proof"),
    [
        (said(SKIPPED, CLEAN[1]), said(BAD)),
        (said(CLEAN[0]), said(BAD)),
        (said(), said(BAD)),
        (said(*CLEAN), said({"name": "pyyaml", "version": "5.3", "vulns": []})),
        (said(*CLEAN), said({"name": "pyyaml", "skip_reason": "not found"})),
        (said(*CLEAN), ""),
        ("", said(BAD)),
        ("No known vulnerabilities found", said(BAD)),
        ("[]", said(BAD)),
        ('{"dependencies": {"anyio": 1}}', said(BAD)),
        ('{"dependencies": [1, {}, {"name": ""}]}', said(BAD)),
    ],
)
def test_a_database_that_does_not_answer_for_everything_is_no_pass(tmp_path: Path, found: str, proof: str) -> None:
    code, words = audit(tmp_path, found=found, proof=proof)
    assert code == 3
    assert words.count("not run") == 2, "both databases were asked"


def test_the_second_database_may_answer_where_the_first_does_not(tmp_path: Path) -> None:
    code, words = audit(tmp_path, found="", proof="", osv_found=said(*CLEAN), osv_proof=said(BAD))
    assert code == 0
    assert "osv: clean" in words


def test_without_the_tool_it_is_not_run(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "deploy" / "audit.py"), str(ROOT / "deploy" / "constraints.txt")]
    ended = subprocess.run(
        [*command, "--pip-audit", str(tmp_path / "nothing")], capture_output=True, check=False, timeout=60
    )
    assert ended.returncode == 3


def nightly(tmp_path: Path, *steps: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "deploy" / "nightly.sh"), *steps],
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable, "NIGHTLY_DIR": str(tmp_path / "out"), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_a_step_that_was_not_run_is_said_and_ends_the_night_with_three(tmp_path: Path) -> None:
    ended = nightly(tmp_path, "audit", PIP_AUDIT=str(fake(tmp_path, {"found": "", "proof": ""})))
    assert ended.returncode == 3
    assert re.search(r"^audit +NOT RUN$", ended.stdout, re.MULTILINE)
    assert "not run" in (tmp_path / "out" / "audit.log").read_text()


def test_a_failed_step_ends_the_night_with_one_though_another_passed(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text(f'#!/bin/sh\n[ "$1" = -m ] && exit 7\nexec {sys.executable} "$@"\n')
    broken.chmod(0o700)
    vulnerable = said(*CLEAN, {"name": "anyio", "version": "1", "vulns": [{"id": "X"}]})
    command = fake(tmp_path, {"found": vulnerable, "proof": said(BAD)})
    ended = nightly(tmp_path, "gate", "audit", PIP_AUDIT=str(command), PYTHON=str(broken))
    assert ended.returncode == 1
    assert re.search(r"^gate +FAILED$", ended.stdout, re.MULTILINE)
    assert re.search(r"^audit +FAILED$", ended.stdout, re.MULTILINE)


@pytest.mark.e2e
def test_a_step_that_passes_is_said_to_have_passed(tmp_path: Path) -> None:
    ended = nightly(tmp_path, "gate", GATE_REQUESTS="1000")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^gate +passed$", ended.stdout, re.MULTILINE)


def test_an_unknown_step_runs_nothing(tmp_path: Path) -> None:
    ended = nightly(tmp_path, "gate", "nonsense")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "nonsense" in ended.stderr


def test_every_step_is_told_in_its_head_and_named_in_its_list() -> None:
    text = (ROOT / "deploy" / "nightly.sh").read_text()
    told = re.findall(r"^#     (\w+) ", text, re.MULTILINE)
    assert told == re.search(r"STEPS=\(([\w ]+)\)", text)[1].split()  # type: ignore[index]
    for module in re.findall(r"-m (tests[\w.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_files_that_the_security_page_names_exist() -> None:
    text = (ROOT / ".github" / "SECURITY.md").read_text()
    named = re.findall(r"`((?:tests|gateway|workers|deploy)/[\w./-]+)`", text)
    assert len(named) > 4
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_image_runs_without_rights_and_writes_nothing() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    (user,) = re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)
    assert int(user) > 0
    compose = (ROOT / "deploy" / "compose.yaml").read_text()
    for words in ("read_only: true", "cap_drop: [ALL]", "no-new-privileges:true", "tmpfs: [/tmp]"):
        assert words in compose
    for name in ("web.yaml", "worker.yaml"):
        manifest = (ROOT / "deploy" / "k8s" / name).read_text()
        for words in ("runAsNonRoot: true", "readOnlyRootFilesystem: true", "allowPrivilegeEscalation: false"):
            assert words in manifest, name
