"""
The status history: a set of sightings, and the list that Planhat is sent.

A sighting is one status seen at one stamp. Sightings form a set, so joining them is commutative, associative and
idempotent; the list is derived anew each time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.core.change import Json

SIGHTINGS_MAX: Final = 256


class Sighting(NamedTuple):
    """
    One status, seen once.

    at_ms: the stamp's time (Unix ms); it becomes the history entry's time.
    tie: orders sightings of one millisecond (the stamp's event time, Unix µs).
    status: the helpdesk's word.
    """

    at_ms: int
    tie: int
    status: str


def runs(sightings: Iterable[Sighting]) -> list[Sighting]:
    """
    Give the first sighting of each run of one status, oldest first.

    What Planhat's own history told has no tie; where we saw the same at the same time, ours says in which order.
    """
    firsts: list[Sighting] = []
    ordered = sorted(sightings)
    seen = {(at_ms, status) for at_ms, tie, status in ordered if tie} if len(ordered) > 1 else ()
    for sighting in ordered:
        if seen and not sighting.tie and (sighting.at_ms, sighting.status) in seen:
            continue
        if not firsts or firsts[-1].status != sighting.status:
            firsts.append(sighting)
    return firsts


def trim(sightings: Iterable[Sighting], limit: int = SIGHTINGS_MAX) -> frozenset[Sighting]:
    """
    Keep at most `limit` sightings.

    Up to `limit` nothing is lost and the join stays exact. Beyond it the inner members of runs go first, because they
    do not show in the history (only a later arrival from between them could make them matter); then the middle goes,
    so that the ticket's beginning and its present survive.
    """
    ordered = sorted(set(sightings))
    if len(ordered) > limit:
        last = len(ordered) - 1
        ordered = [
            sighting
            for index, sighting in enumerate(ordered)
            if index in (0, last) or not ordered[index - 1].status == sighting.status == ordered[index + 1].status
        ]
    if len(ordered) > limit:
        half = limit // 2
        ordered = ordered[:half] + ordered[-(limit - half) :]
    return frozenset(ordered)


def instant(at_ms: int) -> str:
    """
    Write a Unix time (ms) as Planhat reads it: ISO 8601, milliseconds, Z. Out-of-range times are clamped.

    Source: facts of the ticket endpoint, `history[].time`.
    """
    minutes, ms = divmod(min(max(at_ms, 0), 253_402_300_799_999), 60_000)
    return f"{_minute(minutes)}{ms // 1000:02d}.{ms % 1000:03d}Z"


@lru_cache(maxsize=4096)
def _minute(minutes: int) -> str:
    return datetime.fromtimestamp(minutes * 60, UTC).isoformat()[:17]


def history(sightings: Iterable[Sighting]) -> list[dict[str, Json]]:
    """Give the `history` field: every run of a status once, `[{status, time}]`, oldest first."""
    return [{"status": status, "time": instant(at_ms)} for at_ms, _, status in runs(sightings)]
