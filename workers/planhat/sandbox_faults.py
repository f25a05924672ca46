"""
Which fault the sandbox commits on which call: a table of names, rates that can change at run time, and a seeded draw.

The draw of a call depends on the seed and the call's number only, so two runs with the same calls misbehave alike,
whatever was changed in between.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FAULTS: Final[dict[str, str]] = {
    "rate_limit": "429 although the quota is not used up; nothing is written",
    "unavailable": "503; nothing is written",
    "error": "500; nothing is written",
    "late": "no answer while the caller waits; the write lands late_s after the request was read, caller gone or not",
    "lost": "the write is applied, then the connection is cut without an answer",
    "dropped": "the connection is reset before anything is written",
    "html": "502 with an HTML page; nothing is written",
    "gateway_timeout": "504 with an HTML page at once; the write lands late_s after the request was read",
    "garbage": "the write is applied, then 200 with a body that is no JSON",
    "page": "the write is applied, then 200 with an HTML page",
    "partial": "PUT only: random items are refused with an error entry (206, or 400 when all are)",
    "partial_ok": "PUT only: the same with 200",
    "silent": "PUT only: random items are not stored, not counted and not named",
    "unauthorized": "401; nothing is written",
    "forbidden": "403; nothing is written",
    "redirect": "307 to /moved/...; nothing is written",
    "slow": "applied and answered properly, slow_s later",
    "poison": "a rule, on at any rate above 0: a PUT with POISON in an item's title is refused whole (400), unnamed",
    "poison500": "the same with 500",
}
"""Every fault and what it does, in the order of the draw. `workers/planhat/README.md` shows the same table."""

RULES: Final = ("poison", "poison500")
"""Faults that depend on the items and not on chance."""

PUT_ONLY: Final = ("partial", "partial_ok", "silent", *RULES)
METHODS: Final = ("PUT", "GET", "DELETE")


def _split(key: str) -> tuple[str, str]:
    """Take `PUT:late` apart into method ("" for every method) and name."""
    method, colon, name = key.rpartition(":")
    return (method.upper() if colon else "", name)


def _applies(key: str, method: str) -> bool:
    wanted, name = _split(key)
    return wanted in ("", method) and (method == "PUT" or name not in PUT_ONLY)


def _rank(key: str) -> tuple[int, str]:
    return list(FAULTS).index(_split(key)[1]), key


def check_rates(rates: Mapping[str, object]) -> dict[str, float]:
    """
    Rates that can be used, by key: a fault's name, or `METHOD:NAME` for one method only.

    Raises:
        ValueError: an unknown name or method, a rate outside 0..1, or rates of one method that add up to more than 1;
            the message names every fault found.
    """
    wrong: list[str] = []
    good: dict[str, float] = {}
    for key, rate in rates.items():
        method, name = _split(key)
        if name not in FAULTS or method not in ("", *METHODS):
            wrong.append(f"unknown fault {key!r} (known: {', '.join(FAULTS)}; optionally METHOD:NAME)")
        elif isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            wrong.append(f"the rate of {key} is a number from 0 to 1, not {rate!r}")
        else:
            good[f"{method}:{name}" if method else name] = float(rate)
    for method in METHODS:
        total = sum(rate for key, rate in good.items() if _applies(key, method) and _split(key)[1] not in RULES)
        if total > 1 + 1e-9:
            wrong.append(f"the rates of {method} add up to {total:g}, more than 1")
    if wrong:
        raise ValueError("; ".join(wrong))
    return good


class Faults:
    """
    The faults of one sandbox: the rates now in force and the scripted faults that go before them.

    A scripted entry is a fault's name (`METHOD:NAME` waits for the next call of that method) or None for a call
    without a fault; each is used once, in order.
    """

    def __init__(self, rates: Mapping[str, object], seed: int) -> None:
        self.rates = check_rates(rates)
        self.seed = seed
        self.script: deque[str | None] = deque()

    def change(self, rates: Mapping[str, object]) -> None:
        """Put new rates beside or over those in force; nothing changes when one of them is refused (ValueError)."""
        self.rates = check_rates({**self.rates, **check_rates(rates)})

    def follow(self, script: Iterable[object]) -> None:
        """Append scripted faults for the next calls; nothing is appended when one of them is unknown (ValueError)."""
        entries: list[str | None] = []
        for entry in script:
            if entry is not None and (not isinstance(entry, str) or _split(entry)[1] in RULES):
                raise ValueError(f"cannot script {entry!r}")
            if isinstance(entry, str):
                check_rates({entry: 0.0})
            entries.append(entry)
        self.script.extend(entries)

    def chance(self, number: int) -> random.Random:
        """Give the source of randomness that belongs to a call, the same for the same seed and number."""
        return random.Random(f"{self.seed}/{number}")  # noqa: S311  reproducible faults, nothing secret

    def draw(self, chance: random.Random, method: str) -> str:
        """Give the fault of a call, "" for none. Takes one number from `chance` in every case."""
        point = chance.random()
        if self.script and (self.script[0] is None or _applies(self.script[0], method)):
            entry = self.script.popleft()
            return _split(entry)[1] if entry else ""
        for key in sorted(self.rates, key=_rank):
            if _applies(key, method) and _split(key)[1] not in RULES:
                point -= self.rates[key]
                if point < 0:
                    return _split(key)[1]
        return ""

    def rule(self, name: str) -> bool:
        """Whether a rule fault (`RULES`) is in force."""
        return any(_split(key)[1] == name and rate > 0 for key, rate in self.rates.items())
