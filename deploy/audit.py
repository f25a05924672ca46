#!/usr/bin/env python3
"""
Ask the advisory database about every pinned dependency, and tell "clean" from "nobody answered".

    python deploy/audit.py REQUIREMENTS [--pip-audit COMMAND]

pip-audit ends with 0 and "No known vulnerabilities found" when no package could be looked up at all, so its exit code
proves nothing. Here its report must name every pinned package as looked up, and a control, a version that is known to
be vulnerable, must be found in the same way.

Exit codes: 0 clean; 1 something is vulnerable; 3 not run, because the database did not answer for everything.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

CLEAN: Final = 0
VULNERABLE: Final = 1
NOT_RUN: Final = 3

CONTROL: Final = "pyyaml==5.3"
"""CVE-2020-14343 and others. A database that does not know them knows nothing."""

SERVICES: Final = ("pypi", "osv")
TIMEOUT_S: Final = 600
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)


def main(words: list[str] | None = None) -> int:
    """Audit one file of pins; say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requirements", type=Path)
    parser.add_argument("--pip-audit", default="pip-audit")
    options = parser.parse_args(words)
    pins = {_name(name) for name, _ in _PIN.findall(options.requirements.read_text(encoding="utf-8"))}
    with tempfile.TemporaryDirectory() as folder:
        control = Path(folder, "control.txt")
        control.write_text(CONTROL + "\n", encoding="utf-8")
        for service in SERVICES:
            found = report(options.pip_audit, options.requirements, service)
            proof = report(options.pip_audit, control, service)
            code, said = verdict(pins, found, proof)
            say(f"{service}: {said}")
            if code != NOT_RUN:
                return code
    return NOT_RUN


def report(command: str, requirements: Path, service: str) -> dict[str, Any] | None:
    """Give pip-audit's report on a file of pins; None when it gave none."""
    asked = [command, "-r", str(requirements), "-s", service, "--no-deps", "--disable-pip", "--format", "json"]
    try:
        ended = subprocess.run(  # noqa: S603  the command is the caller's
            [*asked, "--progress-spinner", "off"], capture_output=True, timeout=TIMEOUT_S, check=False
        )
        found = json.loads(ended.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return found if isinstance(found, dict) else None


def verdict(pins: set[str], found: dict[str, Any] | None, proof: dict[str, Any] | None) -> tuple[int, str]:
    """
    Say what two reports come to.

    Args:
        pins: names of all that had to be looked up.
        found: the report on them. proof: the report on the control.
    """
    vulnerable = [f"{row['name']} {row.get('version', '')}: {_ids(row)}" for row in _rows(found) if row.get("vulns")]
    if vulnerable:
        return VULNERABLE, "vulnerable: " + "; ".join(vulnerable)
    looked_up = {_name(row["name"]) for row in _rows(found) if "vulns" in row and not row.get("skip_reason")}
    if missing := sorted(pins - looked_up):
        return NOT_RUN, f"not run: no answer for {len(missing)} of {len(pins)} packages, such as {missing[0]}"
    if not any(row.get("vulns") for row in _rows(proof)):
        return NOT_RUN, f"not run: the database does not even know that {CONTROL} is vulnerable"
    return CLEAN, f"clean: {len(pins)} packages looked up, and the control was found"


def say(sentence: str) -> None:
    """Print one line."""
    sys.stdout.write(f"audit: {sentence}\n")


def _rows(found: dict[str, Any] | None) -> list[dict[str, Any]]:
    rows = (found or {}).get("dependencies")
    return [row for row in rows if isinstance(row, dict) and row.get("name")] if isinstance(rows, list) else []


def _ids(row: dict[str, Any]) -> str:
    return ", ".join(str(one.get("id", "?")) for one in row["vulns"])


def _name(name: str) -> str:
    """Give a package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
