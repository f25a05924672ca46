"""Figures of many seeds: accumulated over runs, shown as a table or as JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sim.run import Result

SOMETIMES = (
    # the way to Redis
    "redis_cut_before",
    "redis_cut_after",
    "redis_half",
    "redis_late",
    "redis_slow",
    "redis_silent_before",
    "redis_silent_after",
    "redis_pause_after",
    "redis_cancel_before",
    "redis_cancel_after",
    "redis_refused_connection",
    "redis_restarted",
    "redis_noscript",
    "redis_outofmemory",
    "redis_readonly",
    "redis_busyloading",
    "redis_response",
    # processes
    "worker_crash",
    "web_crash",
    "worker_stopped",
    "process_paused",
    "clock_skew",
    "lease_lapsed",
    "fenced_ack",
    "fenced_before_call",
    "second_send",
    # Planhat
    "planhat_429",
    "planhat_5xx",
    "planhat_html",
    "planhat_timeout_never",
    "planhat_timeout_late",
    "planhat_landed_after_time_out",
    "planhat_lost_answer",
    "planhat_cut_before",
    "planhat_refused_connection",
    "planhat_garbage",
    "planhat_partial_counts",
    "planhat_skipped_item",
    "planhat_slow",
    "planhat_cancel",
    "planhat_pause",
    "planhat_away",
    "token_revoked",
    "helpdesk_fails",
    # senders
    "duplicate_absorbed",
    "reordered",
    "answer_lost",
    "sender_gave_up",
    "forged_refused",
    "unreadable_quarantined",
    "web_503",
    "web_cancel",
    # people
    "held",
    "replayed",
    "dead_refused",
    "dead_missing_email",
    "dead_missing_company",
    "dead_incomplete",
)
"""Every class of fault, each counted where its effect is seen; one that never happened in a long run fails it (I11)."""

MUST_MEET_SEEDS = 200
"""From so many seeds on, a class that never happened is a failure."""
KEPT_VIOLATIONS = 200


@dataclass
class Figures:
    """What some seeds came to. `violations`: seed -> what did not hold."""

    seeds: int = 0
    violating: int = 0
    events: int = 0
    deliveries: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    ranges: list[list[int]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    awaits: Counter[str] = field(default_factory=Counter)
    violations: dict[str, list[str]] = field(default_factory=dict)

    def add(self, result: Result, cpu_s: float) -> None:
        """Add one seed."""
        self.seeds += 1
        self.events += result.events
        self.deliveries += result.deliveries
        self.virtual_s += result.virtual_s
        self.cpu_s += cpu_s
        self.counts.update(result.counts)
        self.awaits.update(result.awaits)
        if result.violations:
            self.violating += 1
            if len(self.violations) < KEPT_VIOLATIONS:
                self.violations[str(result.seed)] = result.violations[:10]
        if self.ranges and self.ranges[-1][1] == result.seed:
            self.ranges[-1][1] += 1
        else:
            self.ranges.append([result.seed, result.seed + 1])

    def join(self, other: Figures) -> None:
        """Add the figures of another run."""
        self.seeds += other.seeds
        self.violating += other.violating
        self.events += other.events
        self.deliveries += other.deliveries
        self.virtual_s += other.virtual_s
        self.cpu_s += other.cpu_s
        self.counts.update(other.counts)
        self.awaits.update(other.awaits)
        self.violations.update(other.violations)
        rows = sorted([*self.ranges, *other.ranges])
        self.ranges = rows[:1]
        for start, end in rows[1:]:
            if start <= self.ranges[-1][1]:
                self.ranges[-1][1] = max(end, self.ranges[-1][1])
            else:
                self.ranges.append([start, end])

    @property
    def faults(self) -> int:
        """How many effects of faults were seen."""
        return sum(self.counts[name] for name in SOMETIMES)

    @property
    def never(self) -> list[str]:
        """Give the classes that never happened."""
        return [name for name in SOMETIMES if not self.counts[name]]

    def as_json(self) -> dict[str, Any]:
        """Give everything as JSON values."""
        return {
            "seeds": self.seeds,
            "ranges": self.ranges,
            "deliveries": self.deliveries,
            "events": self.events,
            "awaits": dict(self.awaits),
            "faults": self.faults,
            "classes": {name: self.counts[name] for name in SOMETIMES},
            "other": {name: count for name, count in sorted(self.counts.items()) if name not in SOMETIMES},
            "never": self.never,
            "virtual_s": round(self.virtual_s),
            "cpu_s": round(self.cpu_s, 1),
            "violating": self.violating,
            "violations": self.violations,
        }


def read(path: Path) -> Figures:
    """Read accumulated figures; new ones when there are none."""
    if not path.exists():
        return Figures()
    data = json.loads(path.read_text())
    return Figures(
        data["seeds"],
        data["violating"],
        data["events"],
        data["deliveries"],
        data["virtual_s"],
        data["cpu_s"],
        data["ranges"],
        Counter({**data["classes"], **data["other"]}),
        Counter(data["awaits"]),
        data["violations"],
    )


def write(path: Path, figures: Figures) -> None:
    """Keep figures, whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(figures.as_json(), indent=1))
    fresh.replace(path)


def table(figures: Figures) -> str:
    """Show figures to a person."""
    awaits = sum(figures.awaits.values()) or 1
    lines = [
        f"seeds               {figures.seeds}  {' '.join(f'{start}..{end - 1}' for start, end in figures.ranges)}",
        f"deliveries          {figures.deliveries}",
        f"events              {figures.events}",
        f"awaits over a border {awaits}: " + ", ".join(f"{name} {count}" for name, count in figures.awaits.items()),
        f"virtual time        {figures.virtual_s / 3600:.1f} h in {figures.cpu_s:.0f} s of one core",
        f"fault effects seen  {figures.faults}, {100 * figures.faults / awaits:.1f} % of the awaits",
    ]
    lines += [
        f"  {name:32} {figures.counts[name]:>9}  {100 * figures.counts[name] / awaits:7.3f} %" for name in SOMETIMES
    ]
    others = sorted(figures.counts.keys() - set(SOMETIMES))
    lines += [f"  ({name:31} {figures.counts[name]:>8})" for name in others]
    for seed, said in figures.violations.items():
        lines += [f"VIOLATION seed {seed}: {one}" for one in said]
    lines.append(f"violating seeds     {figures.violating}")
    return "\n".join(lines)
