"""
The witness: a pytest plugin that writes down how each test ended, from the exception itself.

A report's text cannot tell an assertion from a time-out (both are `Failed`), nor what is inside a group of exceptions.
Writes one JSON line per end to the file that GATEWAY_WITNESS names: `{"test", "end", "words"}`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

End = Literal["passed", "skipped", "assertion", "exception", "error"]
"""`assertion`: in the test itself, and nothing else; `exception`: anything else there; `error`: not in the test."""

FILE = "GATEWAY_WITNESS"


def by_assertion(error: BaseException) -> bool:
    """Say whether a test failed because something it asserts is not so: an assert, or `raises` that saw nothing."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(by_assertion, error.exceptions))
    if isinstance(error, AssertionError):
        return True
    return isinstance(error, pytest.fail.Exception) and str(error).startswith("DID NOT RAISE")


def _write(test: str, end: End, words: str) -> None:
    with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"test": test, "end": end, "words": " ".join(words.split())[:300]}) + "\n")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write down how a phase of a test ended; a set-up that went well is no end."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if report.skipped:
        _write(item.nodeid, "skipped", str(error))
    elif error is None:
        if report.when == "call":
            _write(item.nodeid, "passed", "")
    elif report.when == "call":
        _write(item.nodeid, "assertion" if by_assertion(error) else "exception", f"{type(error).__name__}: {error}")
    else:
        _write(item.nodeid, "error", f"{report.when}: {type(error).__name__}: {error}")
    return report


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Write down a file that cannot be imported."""
    if report.failed:
        _write(report.nodeid, "error", f"collection: {report.longreprtext[-300:]}")
