"""
Compaction: memory grows with tickets, not with events.

While a destination cannot be sent to, a ticket's changes are joined with each other (never with the state) and written
back as one. That also gives back what Redis reserves behind a value that was appended to: as much again as it holds.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.core import part as parts
from gateway.core.change import UnknownFrame, frame
from workers.deps import CLAIM_LEASE_MS

if TYPE_CHECKING:
    from workers.deps import Deps

log = logging.getLogger("planhat_gateway.compact")

OLD_MS: Final = 15_000
"""Older than this a change was not sent within BATCH_MAX_WAIT_S: something holds the destination (or the ticket) up."""
PAGE: Final = 500
LEFT_ALONE_MS: Final = 60_000
BREATH_TICKETS: Final = 20
"""After so many tickets the flush loop gets a turn."""


async def compact(deps: Deps, *, old_ms: int = OLD_MS) -> int:
    """
    Join the changes of tickets that have waited for long and hold more than one. Run by arq's clock.

    A ticket that somebody holds is passed over; one with frames of another release is left.

    Args:
        old_ms: younger tickets are left: they are about to be sent.
    Returns:
        How many tickets were compacted.
    """
    done = 0
    cursor = 0
    before_us = (await deps.store.now_us()) - old_ms * 1000
    while True:
        cursor, names = await deps.store.several_frames(cursor, PAGE, before_us)
        if names:
            done += await _compact(deps, names)
        if not cursor:
            break
    if done:
        log.info("tickets compacted", extra={"count": done})
        await deps.store.count({"compacted": done})
    return done


async def _compact(deps: Deps, names: list[str]) -> int:
    """Compact those of some tickets that nobody holds."""
    token = deps.token()
    claimed = await deps.store.claim_named(names, token, CLAIM_LEASE_MS)
    left: list[str] = []
    joins: list[tuple[str, int, bytes]] = []
    for number, one in enumerate(await deps.store.load([one.ticket for one in claimed])):
        if number % BREATH_TICKETS == 0:
            await asyncio.sleep(0)
        try:
            part = parts.read(one.value)
        except UnknownFrame:
            left.append(one.ticket)
            continue
        joins.append((one.ticket, len(one.value), frame(parts.encode(part), part.first_us)))
    done = await deps.store.compact_each(token, joins)
    if left:
        await deps.store.release(token, left, not_before_ms=(await deps.store.now_ms()) + LEFT_ALONE_MS)
    return done
