"""
The judge: reads the sender's log and the sink's log, never the gateway.

I1 nothing accepted is lost · I2 the sink holds the newest state · I3 no ticket goes back · I4 each status once
· I5 batch limits · I6 quota · I12 no ticket in two flights · I15 what is missing is a dead letter with a reason.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.helpdesk import Helpdesk

WINDOW_S = 60.0
HARNESS = "by=the-harness"
"""Query of calls to the sandbox that are not the gateway's."""


def _seconds(history: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"status": row["status"], "time": row["time"][:19] + "Z"} for row in history]


def judge(
    helpdesk: Helpdesk, accepted: dict[str, set[int]], state: dict[str, Any], dead: list[dict[str, Any]]
) -> list[str]:
    """
    Compare what Planhat holds with the truth, field by field.

    Args:
        accepted: ticket -> versions whose delivery was answered 2xx.
        state: the sink's tickets in write shape, by sourceId.
        dead: rows of `dead list --json`.
    """
    violations = []
    reasons = {row["ticket"]: row["reason"] for row in dead}
    for ticket in helpdesk.tickets.values():
        key = f"zendesk:{ticket.id}"
        if not ticket.versions:
            continue
        missing = {version.number for version in ticket.versions} - accepted.get(ticket.id, set())
        if missing:
            violations.append(f"{key}: the sender gave up on versions {sorted(missing)}")
            continue
        expected, held = helpdesk.expected(ticket), state.get(key)
        if expected is None:
            if held is not None:
                violations.append(f"{key}: Planhat holds a ticket it must not hold")
            if ticket.deleted_at_ms is None and not reasons.get(key):
                violations.append(f"{key}: neither in Planhat nor a dead letter with a reason")
            continue
        if held is None:
            violations.append(f"{key}: lost (dead letter: {reasons.get(key)})")
            continue
        violations += _differences(key, expected, held)
    return violations


def judge_left_behind(expected: dict[str, dict[str, Any]], state: dict[str, Any]) -> list[str]:
    """Compare tickets that an earlier release left in Redis with what it would have sent, by sourceId."""
    return [
        said
        for key, fields in expected.items()
        for said in (_differences(key, fields, state[key]) if key in state else [f"{key}: lost"])
    ]


def _differences(key: str, expected: dict[str, Any], held: dict[str, Any]) -> list[str]:
    found = []
    for name, value in expected.items():
        there = held.get(name)
        if name == "tags":
            there = sorted(there or [])
        if name == "history":
            there = _seconds(there or [])
        if there != value:
            found.append(f"{key}.{name}: Planhat holds {there!r}, the helpdesk {value!r}")
    return found


def busiest_minute(calls: list[float]) -> int:
    """Give the most calls in any 60 s; `calls` are their times, seconds, in any order."""
    ordered, start, most = sorted(calls), 0, 0
    for end, at in enumerate(ordered):
        while at - ordered[start] >= WINDOW_S:
            start += 1
        most = max(most, end - start + 1)
    return most


def judge_log(path: Path, quota: int) -> tuple[list[str], dict[str, int]]:
    """
    Read the sink's log: batch limits, quota, regressions, flights.

    Returns:
        Violations, and figures.
    """
    violations: list[str] = []
    calls: list[float] = []
    newest: dict[str, int] = {}
    figures = {"calls": 0, "puts": 0, "items": 0, "largest_put": 0, "writes": 0, "busiest_minute": 0}
    faults: dict[str, int] = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if row["kind"] == "write":
            figures["writes"] += 1
            item = row.get("item") or {}
            number = re.search(r" v(\d+)$", item.get("title", ""))
            key = row["sourceId"]
            if number:
                if int(number[1]) < newest.get(key, -1):
                    violations.append(f"{key}: went back from v{newest[key]} to v{number[1]} (I3)")
                newest[key] = int(number[1])
            statuses = [entry["status"] for entry in item.get("history", [])]
            if any(one == other for one, other in pairwise(statuses)):
                violations.append(f"{key}: a status stands twice in a row in the history (I4)")
            if not item and row["op"] != "delete":
                violations.append(f"{key}: an empty write")
            continue
        if row["query"] == HARNESS:
            continue
        calls.append(row["mono_s"])
        figures["calls"] += 1
        if row["fault"]:
            faults[row["fault"]] = faults.get(row["fault"], 0) + 1
        if row["method"] == "PUT":
            figures["puts"] += 1
            figures["items"] += row["items"]
            figures["largest_put"] = max(figures["largest_put"], row["items"])
        if row.get("overlaps"):
            violations.append(f"two flights of {row['overlaps']} (I12)")
    figures["busiest_minute"] = busiest_minute(calls)
    if figures["largest_put"] > 5000:
        violations.append(f"a call of {figures['largest_put']} items (I5)")
    if figures["busiest_minute"] > quota:
        violations.append(f"{figures['busiest_minute']} calls in 60 s, the quota is {quota} (I6)")
    figures.update({f"fault_{name}": count for name, count in sorted(faults.items())})
    return violations, figures
