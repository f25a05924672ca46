"""
Read-backs: what Planhat's own list says.

They confirm items that an answer left uncounted, and tell the history that Planhat already holds of a ticket whose
beginning was never seen.

Source: facts of the list endpoint: no filter by `sourceId`, filters may be ignored, rows carry `externalId`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.core.state import UnknownState
from gateway.core.state import read as read_state
from gateway.sources.reading import instant_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.store.records import CallKind
    from workers.batch import Held
    from workers.deps import Deps
    from workers.planhat.wire import Row

log = logging.getLogger("planhat_gateway.read_back")

PAGE_ROWS: Final = 5_000
PAGES_MAX: Final = 2
AT_ONCE: Final = 1_000
AGAIN_MS: Final = 120_000
TRIES_MAX: Final = 10
UNLISTED_TTL_S: Final = 3_600


async def newest(
    deps: Deps, wanted: frozenset[str], *, kind: CallKind = "call", pages: int = PAGES_MAX
) -> list[Row] | None:
    """
    List Planhat's tickets, those updated last first, a few pages at most, until every wanted `sourceId` was seen.

    Args:
        kind: whose share of the quota it is.
    Returns:
        The rows; None when the list could not be read now (no quota, no clear answer).
    """
    rows: list[Row] = []
    missing = set(wanted)
    for page in range(pages):
        wait_ms = await deps.store.reserve(limit_per_minute=deps.settings.calls_per_minute, kind=kind, epoch=deps.epoch)
        if wait_ms:
            return None
        answer = await deps.planhat.list_tickets(sort="-updateDate", limit=PAGE_ROWS, offset=page * PAGE_ROWS)
        await deps.store.count({"calls": 1, "calls_list": 1})
        if answer.rows is None:
            log.warning("planhat's list cannot be read", extra={"detail": answer.outcome.detail})
            return None
        rows += answer.rows
        missing -= {row.source_id for row in answer.rows if row.source_id}
        if not missing or len(answer.rows) < PAGE_ROWS:
            break
    return rows


async def confirmed(deps: Deps, missing: Sequence[Held]) -> set[str] | None:
    """Give those of the items that Planhat's list shows with the status that was sent; None when it can't be told."""
    rows = await newest(deps, frozenset(one.ticket for one in missing))
    if rows is None:
        return None
    statuses = {row.source_id: row.status for row in rows if row.source_id}
    return {
        one.ticket
        for one in missing
        if one.ticket in statuses
        and (one.item is None or one.item.status is None or one.item.status == statuses[one.ticket])
    }


async def know_history(deps: Deps, seen: dict[str, tuple[tuple[int, str], ...]]) -> None:
    """Put, as a change of its own, what Planhat's history holds; the ticket's next item carries the whole history."""
    await deps.store.put_own(
        [(ticket, Change(ticket, "", history=rows, history_known=True).encode()) for ticket, rows in seen.items()]
    )


async def read_anew(deps: Deps, drifted: Sequence[Held]) -> None:
    """
    Ask the helpdesks for tickets that Planhat created although it was believed to hold them.

    Somebody had removed them, so what was sent is all that Planhat holds. Without a helpdesk to ask, the next complete
    delivery brings the rest.
    """
    asked = [one for one in drifted if one.connection in deps.helpdesks]
    await deps.store.put_own([(one.ticket, Change(one.ticket, one.connection, thin=True).encode()) for one in asked])


async def read_back(deps: Deps) -> int:
    """
    Fill the histories of tickets whose beginning was never seen. Run by arq's clock.

    Returns:
        How many tickets' histories became known.
    """
    waiting = await deps.store.waiting("unread", AT_ONCE)
    if not waiting:
        return 0
    rows = await newest(deps, frozenset(waiting))
    if rows is None:
        return 0
    names = set(waiting)
    # One that has no state is not sent yet, or forgotten: a history alone would make no ticket of it.
    states = dict(zip(waiting, await deps.store.states(waiting), strict=True))
    seen = {row.source_id: _sightings(row) for row in rows if row.source_id and states.get(row.source_id)}
    await know_history(deps, seen)
    await deps.store.leave("unread", sorted(seen))
    await _again_or_never(deps, sorted(names - seen.keys()))
    return len(seen)


async def _again_or_never(deps: Deps, unlisted: Sequence[str]) -> None:
    """
    Ask again later for tickets that the list does not show, but not for ever: each asking costs quota.

    One that is gone, or whose history is known meanwhile, needs no asking; the next send of any other asks anew.
    """
    misses = dict(zip(unlisted, await deps.store.cache_get("planhat", "unlisted", unlisted), strict=True))
    tries = {ticket: int(raw or b"0") + 1 for ticket, raw in misses.items()}
    over = [
        ticket
        for ticket, raw in zip(unlisted, await deps.store.states(unlisted), strict=True)
        if tries[ticket] >= TRIES_MAX or _needless(raw)
    ]
    again = {ticket: b"%d" % tries[ticket] for ticket in tries.keys() - set(over)}
    await deps.store.leave("unread", over)
    await deps.store.cache_set("planhat", "unlisted", again, UNLISTED_TTL_S)
    await deps.store.park("unread", sorted(again), (await deps.store.now_ms()) + AGAIN_MS)


def _needless(raw: bytes | None) -> bool:
    try:
        state = read_state(raw)
    except UnknownState:
        return False
    return state is not None and (state.gone or state.history_known)


def _sightings(row: Row) -> tuple[tuple[int, str], ...]:
    entries = []
    for entry in row.history:
        status, at_ms = entry.get("status"), instant_ms(str(entry.get("time", "")))
        if isinstance(status, str) and status and at_ms is not None:
            entries.append((at_ms, status))
    return tuple(entries)
