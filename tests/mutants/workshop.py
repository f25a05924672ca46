"""Where bugs are planted: copies of the project, each with one bug at a time, and the judge of what the tests said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from tests.mutants import witness
from tests.mutants.mutant import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.mutants.mutant import Mutant

Verdict = Literal["killed", "survived", "unjudged"]

COPIED: Final = ("gateway", "workers", "tests", "pyproject.toml")
LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", ".hypothesis", ".pytest_cache", "*.pyc")
TEST_LIMIT_S: Final = 30
RUN_LIMIT_S: Final = 90
SOUND_LIMIT_S: Final = 600
_STEP_S: Final = 10


class Seen(NamedTuple):
    """How one test (with one set of parameters) ended, see `witness.End`."""

    test: str
    end: str
    words: str


class Judged(NamedTuple):
    """What became of a mutant; `why` says it in words."""

    name: str
    verdict: Verdict
    why: str
    took_s: float


class Workshop:
    """
    One copy of the project.

    A bug's file gets a time of its own, so that Python's cache of compiled files is never believed; what else is
    compiled stays compiled.

    Args:
        folder: an empty folder of our own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._planted = 0
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=LEFT_OUT)
            else:
                shutil.copy2(ROOT / name, folder / name)

    @contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """
        Have the bug in the copy for a while.

        Raises:
            LookupError: the old text does not stand there exactly once.
        """
        file = self.folder / mutant.file
        sound, stat = file.read_text(encoding="utf-8"), file.stat()
        bug = mutant.planted(sound)
        self._planted += 1
        try:
            file.write_text(bug, encoding="utf-8")
            os.utime(file, (stat.st_atime, stat.st_mtime + _STEP_S * self._planted))
            yield
        finally:
            file.write_text(sound, encoding="utf-8")
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def run(self, tests: Sequence[str], limit_s: float, *, test_limit_s: float = TEST_LIMIT_S) -> list[Seen]:
        """Run tests in a process of their own; give how each ended. Those that did not end are not told of."""
        seen = self.folder / "witness.jsonl"
        seen.unlink(missing_ok=True)
        arguments = ["-p", "tests.mutants.witness", "-p", "no:cacheprovider", "-q", "--timeout", str(test_limit_s)]
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments, "--hypothesis-seed", "0", *tests],
            cwd=self.folder,
            env=_environ(self.folder, seen),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(limit_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        lines = seen.read_text(encoding="utf-8").splitlines() if seen.exists() else []
        return [Seen(**json.loads(line)) for line in lines]

    def try_out(self, mutant: Mutant) -> Judged:
        """Plant a bug, run its tests, judge."""
        began_s = time.monotonic()
        try:
            with self.planted(mutant):
                verdict, why = judge(mutant.tests, self.run(mutant.tests, RUN_LIMIT_S))
        except LookupError as error:
            verdict, why = "unjudged", str(error)
        return Judged(mutant.name, verdict, why, time.monotonic() - began_s)

    def unsound(self, tests: Sequence[str]) -> list[str]:
        """Give a sentence for each of the tests that does not pass without a bug: it could prove nothing."""
        seen = self.run(tests, SOUND_LIMIT_S)
        bad = [f"{one.test} {one.end} {one.words}" for one in seen if one.end != "passed"]
        return bad + [f"{test} did not run" for test in tests if not _of(test, seen)]


def judge(tests: Sequence[str], seen: Sequence[Seen]) -> tuple[Verdict, str]:
    """
    Say what the ends of its tests mean for a mutant.

    Killed only when each of its tests failed by an assertion (with parameters: at least one of its rows did).
    An exception, a broken fixture, a file that cannot be imported, a time-out or a test that never ran prove nothing.
    """
    survived, unjudged, words = [], [], ""
    for test in tests:
        ends = _of(test, seen)
        caught = next((one for one in ends if one.end == "assertion"), None)
        if caught:
            words = words or caught.words
        elif ends and all(one.end == "passed" for one in ends):
            survived.append(test)
        else:
            other = next((one for one in [*ends, *seen] if one.end not in ("passed", "assertion")), None)
            unjudged.append(f"{test}: {f'{other.end}, {other.words}' if other else 'did not end in time'}")
    if unjudged:
        return "unjudged", "no assertion: " + "; ".join(unjudged)
    if survived:
        return "survived", "passes: " + ", ".join(survived)
    return "killed", words


def _of(test: str, seen: Sequence[Seen]) -> list[Seen]:
    return [one for one in seen if one.test == test or one.test.startswith(f"{test}[")]


def _environ(folder: Path, seen: Path) -> dict[str, Any]:
    """Give an environment without anybody's settings, where the copy is what Python imports."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "GATEWAY_TEST_REDIS_SERVER")
    given = {name: os.environ[name] for name in kept if name in os.environ}
    return given | {"PYTHONPATH": str(folder), "PYTHONHASHSEED": "0", witness.FILE: str(seen)}
