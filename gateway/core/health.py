"""
A destination's health: what several calls in a row teach, as a pure state machine.

    ""  ──3 unavailable in a row──► probing ──the lone probe passes──► "" (what failed is bisected)
                                       └──────the probe fails too────► open ──a probe passes──► ""

While probing or open one ticket is sent alone, another each time. A ticket that is answered 5xx alone while another
passes gets a strike; the second one convicts it, since the first may have been Planhat coming back just then. A
time-out halves the batch size, ten clean calls double it again. Ten lone failures in a row are systemic: nobody is
buried. Not so when something of the same search has passed: then each that fails alone is to blame for itself.

Source: DESIGN §2 "A batch's fate".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Mode = Literal["", "probing", "open"]
FAILURES_BEFORE_PROBE: Final = 3
LONE_FAILURES_MAX: Final = 10
CLEAN_CALLS_TO_GROW: Final = 10
CUTS_BEFORE_HALVING: Final = 2
SMALL_CALL_ITEMS: Final = 100


@dataclass(frozen=True, slots=True)
class Health:
    """
    What the last calls of a destination came to.

    fails: unavailable answers (500, 503, unreachable) in a row.
    mode: see the module's drawing.
    tested: the tickets of the call that failed last; bisected when a lone probe passes.
    batch_items: items per call after time-outs; 0 = the configured maximum.
    clean: calls in a row without a time-out, counted only while `batch_items` is reduced.
    lone: tickets that were buried after failing alone, since the last success.
    found, cleared: of the bisection under way, poison items found and items cleared.
    limited: 429 answers in a row. cut: connections cut in a row.
    struck: a ticket that was answered 5xx alone while another passed, once. convicted: the same, twice.
    words: what Planhat said with the last 5xx.
    """

    fails: int = 0
    mode: Mode = ""
    tested: tuple[str, ...] = ()
    batch_items: int = 0
    clean: int = 0
    lone: tuple[str, ...] = ()
    found: int = 0
    cleared: int = 0
    limited: int = 0
    cut: int = 0
    struck: str = ""
    convicted: str = ""
    words: str = ""

    def fields(self) -> dict[str, str]:
        """Write the health as it stands on the bridge."""
        return {"record": orjson.dumps(asdict(self)).decode()}


def of(fields: Mapping[str, str]) -> Health:
    """Read a health; anything unreadable counts as good health, since this is only experience, no ticket's state."""
    try:
        data: dict[str, Any] = orjson.loads(fields.get("record", "{}"))
        known = {name: data[name] for name in Health.__dataclass_fields__ if name in data}
        return Health(**{**known, "tested": tuple(known.get("tested", ())), "lone": tuple(known.get("lone", ()))})
    except (ValueError, TypeError, AttributeError):
        return Health()


def batch_limit(health: Health, configured: int) -> int:
    """How many items the next call may carry: one while probing, fewer after time-outs."""
    if health.mode:
        return 1
    return min(configured, health.batch_items or configured)


def after_success(health: Health, *, configured: int, passed: Collection[str] = ()) -> Health:
    """
    A call was answered and something of it was taken.

    Args:
        passed: the tickets taken.
    """
    clean = health.clean + 1 if health.batch_items else 0
    batch_items = health.batch_items
    if batch_items and clean >= CLEAN_CALLS_TO_GROW:
        batch_items, clean = batch_items * 2, 0
        if batch_items >= configured:
            batch_items = 0
    struck, convicted = "" if health.struck in passed else health.struck, health.convicted
    if health.mode and len(health.tested) == 1 and health.tested[0] not in passed:
        (alone,) = health.tested
        struck, convicted = ("", alone) if alone == struck else (alone, convicted)
    return replace(
        health,
        fails=0,
        mode="",
        tested=(),
        lone=(),
        limited=0,
        cut=0,
        batch_items=batch_items,
        clean=clean,
        struck=struck,
        convicted=convicted,
    )


def after_ambiguous(health: Health, sent: int, *, timed_out: bool) -> Health:
    """
    A call of `sent` items ended without a clear answer.

    A time-out halves the next calls, and so do two cut connections in a row: a server that refuses a large body early
    often cuts instead of answering 413. A small call cannot have been too large.
    """
    cut = 0 if timed_out else health.cut + 1
    if sent <= SMALL_CALL_ITEMS or (not timed_out and cut < CUTS_BEFORE_HALVING):
        return replace(health, cut=cut, clean=0)
    return replace(health, cut=0, clean=0, batch_items=max(SMALL_CALL_ITEMS, sent // 2))


def after_unavailable(health: Health, tested: tuple[str, ...], words: str = "") -> Health:
    """
    A call was answered 500 or 503, or Planhat could not be reached.

    Args:
        tested: the tickets of the call; empty when it was never sent, which says nothing of them.
        words: Planhat's.
    """
    fails = health.fails + 1
    if health.mode:  # who fails alone after it has failed before is under suspicion until another has passed
        alone = tested if len(tested) == 1 and tested[0] in health.tested else ()
        return replace(health, fails=fails, mode="open", tested=alone)
    mode: Mode = "probing" if fails >= FAILURES_BEFORE_PROBE else ""
    return replace(health, fails=fails, mode=mode, tested=tested, words=words)


def after_lone_failure(health: Health, ticket: str) -> tuple[Health, tuple[str, ...]]:
    """
    A ticket failed alone and was buried.

    Returns:
        The next health, and the tickets that go back because ten lone failures in a row are systemic (mostly none).
    """
    lone = (*(known for known in health.lone if known != ticket), ticket)
    if len(lone) >= LONE_FAILURES_MAX and not health.cleared:
        return replace(health, lone=(), found=0, cleared=0), lone
    return replace(health, lone=lone[-LONE_FAILURES_MAX + 1 :], found=health.found + 1), ()
