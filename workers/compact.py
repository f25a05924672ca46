"""
Compaction: memory grows with tickets, not with events.

While a destination cannot be sent to, a ticket's changes are joined with each other (never with the state) and written
back as one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from gateway.core import part as parts
from gateway.core.change import UnknownFrame, frame, frames

if TYPE_CHECKING:
    from workers.deps import Deps

log = logging.getLogger("planhat_gateway.compact")

LONG_BYTES: Final = 4_096
PAGE: Final = 500
CLAIM_LEASE_MS: Final = 30_000


async def compact(deps: Deps) -> int:
    """
    Join the changes of tickets whose value has grown long. Run by arq's clock.

    A ticket that somebody holds is passed over; one with a single frame, or with frames of another release, is left.

    Returns:
        How many tickets were compacted.
    """
    done = 0
    cursor = 0
    while True:
        cursor, names = await deps.store.long_values(cursor, PAGE, LONG_BYTES)
        if names:
            done += await _compact(deps, names)
        if not cursor:
            break
    if done:
        log.info("tickets compacted", extra={"count": done})
        await deps.store.count({"compacted": done})
    return done


async def _compact(deps: Deps, names: list[str]) -> int:
    """Compact those of some tickets that hold more than one frame and that nobody holds."""
    several = [one.ticket for one in await deps.store.peek(names) if _frames(one.value) > 1]
    token = deps.token()
    claimed = await deps.store.claim_named(several, token, CLAIM_LEASE_MS)
    left, done = [], 0
    for one in await deps.store.load([one.ticket for one in claimed]):
        try:
            part = parts.read(one.value)
        except UnknownFrame:
            left.append(one.ticket)
            continue
        if await deps.store.compact(token, one.ticket, len(one.value), frame(parts.encode(part), part.first_us)):
            done += 1
    await deps.store.release(token, left)
    return done


def _frames(value: bytes) -> int:
    try:
        return sum(1 for _ in frames(value))
    except UnknownFrame:
        return 0
