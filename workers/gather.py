"""
The first half of a turn: claim -> load -> fold -> look-ups known? -> items. What need not be sent is settled here.

A batch may be gathered while the call before it is still under way (look-ahead), so that neither Redis nor Planhat
waits for the other; its claims then last as long as that call can take.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.lone import lone
from gateway.core.lookups import Found, unproved, wants_reread
from gateway.core.ticket import after_upsert, make_item, screen, unchanged
from gateway.store.room import SLICE
from workers.batch import Batch, Held, cached, hold, lacking
from workers.settle import bury, detail_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.store.pending import Loaded, Store
    from workers.deps import Deps
    from workers.settings import WorkerSettings

log = logging.getLogger("planhat_gateway.flush")

LOOKUP_SNOOZE_MS: Final = 120_000
DELETE_SNOOZE_MS: Final = 600_000
UNREADABLE_SNOOZE_MS: Final = 60_000
COMPANY_SNOOZE_MS: Final = 300_000
LIST_SNOOZE_MS: Final = 5_000
"""As long as the company list was never read."""
UNKNOWN_COMPANY: Final = "unknown_company"
BREATH_TICKETS: Final = 50
"""After so many tickets the loop gets a turn: a body under way must not wait for the next batch's arithmetic."""


async def gather(deps: Deps, limit: int, *, suspects: Sequence[str] = (), lease_ms: int, now_ms: int) -> Batch | None:
    """
    Claim up to `limit` due tickets (or the named suspects) and make their items.

    Args:
        lease_ms: of the claims.
        now_ms: Redis' time, for snoozes.
    Returns:
        None when nothing could be claimed.
    """
    store, token = deps.store, deps.token()
    held: list[Held] = []
    unreadable: list[str] = []
    found, more = 0, limit
    following = asyncio.create_task(_read(store, token, more, suspects, lease_ms))
    try:
        while piece := await following:
            found += len(piece.doubts)
            more = 0 if suspects or len(piece.doubts) < min(SLICE, more) else more - SLICE
            following = asyncio.create_task(_read(store, token, more, suspects, lease_ms))
            readable = await _fold(deps.settings, piece)
            held += readable
            if len(readable) < len(piece.loaded):
                unreadable += {one.ticket for one in piece.loaded} - {one.ticket for one in readable}
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    if not found:
        await _forget(deps, suspects)
        return None
    if unreadable:
        await store.unsuspect(unreadable)
        await store.release(token, unreadable, not_before_ms=now_ms + UNREADABLE_SNOOZE_MS)
        await store.count({"left_alone": len(unreadable)})
    return Batch(token, held, bool(suspects))


class _Piece(NamedTuple):
    """Some claimed tickets: doubt by ticket, and what they hold."""

    doubts: dict[str, int]
    loaded: list[Loaded]


async def _read(store: Store, token: str, limit: int, suspects: Sequence[str], lease_ms: int) -> _Piece | None:
    """Claim and load a slice, while the one before it is folded; None when there is no more."""
    if limit <= 0:
        return None
    if suspects:
        claimed = await store.claim_named(suspects, token, lease_ms)
    else:
        claimed = await store.claim(min(SLICE, limit), token, lease_ms)
    doubts = {one.ticket: one.doubt for one in claimed}
    return _Piece(doubts, await store.load(list(doubts))) if claimed else None


async def _fold(settings: WorkerSettings, piece: _Piece) -> list[Held]:
    """Fold what can be read; a ticket with one newer change becomes an item at once."""
    held = []
    source_of, full_history = settings.express_source_of, settings.history == "full"
    max_bytes = settings.batch_max_bytes - 2
    for number, one in enumerate(piece.loaded):
        ticket, value, state, dead = one
        quick = None
        if not dead:
            quick = lone(
                value, state, ticket=ticket, source_of=source_of, full_history=full_history, max_bytes=max_bytes
            )
        if quick:
            held.append(Held(ticket, piece.doubts[ticket], one, quick, quick.item))
        elif folded := hold(one, piece.doubts[ticket]):
            held.append(folded)
        if number % BREATH_TICKETS == 0:
            await asyncio.sleep(0)
    return held


async def give_back(deps: Deps, batch: Batch | None) -> None:
    """Release what was gathered and will not be sent now."""
    if batch:
        await deps.store.release(batch.token, [one.ticket for one in batch.ready])


async def _forget(deps: Deps, suspects: Sequence[str]) -> None:
    """Let suspects go that hold nothing unsent any more; those that somebody holds stay."""
    empty = [one.ticket for one in await deps.store.peek(suspects) if not one.value]
    await deps.store.unsuspect(empty)


async def prepare(deps: Deps, batch: Batch, *, now_ms: int) -> None:
    """
    Settle what need not be sent, park what must wait, bury what cannot go; leave in the batch what goes.

    A suspect that must wait is none any more: it would be asked for by name again and again, and others never.
    """
    store, settings, token = deps.store, deps.settings, batch.token
    found = await cached(store, [one for one in batch.ready if not one.item])
    waiting: list[str] = []
    deleting: list[str] = []
    unplaced: list[str] = []
    acks, burials, ready = [], [], []
    skipped = 0
    for number, one in enumerate(batch.ready):
        if number % BREATH_TICKETS == 0:
            await asyncio.sleep(0)
        if one.item:  # by the express lane
            ready.append(one)
            continue
        folded = one.folded
        helpdesk = deps.helpdesks.get(one.connection)
        if one.to_delete and not (helpdesk and unproved(folded)):
            deleting.append(one.ticket)
        elif folded.action == "nothing" and not (helpdesk and wants_reread(folded)):
            acks.append(one.ack(folded.state, ttl_s=settings.ticket_memory_ttl_s))
        elif helpdesk and (wants_reread(folded) or lacking(one, found)):
            waiting.append(one.ticket)
        else:
            reason = _make(deps, one, found.get(one.connection) or Found(), has_helpdesk=helpdesk is not None)
            if reason == UNKNOWN_COMPANY:
                unplaced.append(one.ticket)
            elif reason:
                burials.append(one.burial(reason, detail_of(reason, one.connection, has_helpdesk=helpdesk is not None)))
            elif one.item and not one.doubt and unchanged(folded, one.item):
                acks.append(one.ack(after_upsert(folded, one.item, None), ttl_s=settings.ticket_memory_ttl_s))
                skipped += 1
            else:
                ready.append(one)
    if batch.suspects:
        await store.unsuspect([*waiting, *deleting, *unplaced])
    await store.release(token, waiting, not_before_ms=now_ms + LOOKUP_SNOOZE_MS, lane="lookups")
    await store.release(token, deleting, not_before_ms=now_ms + DELETE_SNOOZE_MS, lane="deletes")
    snooze_ms = LIST_SNOOZE_MS if deps.company_ids is None else COMPANY_SNOOZE_MS
    await store.release(token, unplaced, not_before_ms=now_ms + snooze_ms)
    await store.ack(token, acks)
    await bury(deps, token, burials)
    if skipped:
        await store.count({"skipped_unchanged": skipped})
    if unplaced:
        await store.count({"unknown_company": len(unplaced)})
        log.info("tickets wait for their company to appear in planhat", extra={"count": len(unplaced)})
    batch.ready = ready


def _make(deps: Deps, one: Held, found: Found, *, has_helpdesk: bool) -> str | None:
    """
    Make a ticket's item, or say why it cannot go; a thin delivery that nobody can resolve has a reason of its own.
    """
    settings = deps.settings
    if wants_reread(one.folded) and not has_helpdesk and not one.folded.part.fields:
        return "no_credentials"
    placing = settings.placing_of(one.connection)
    if placing.resolve:
        found = replace(found, ids=deps.company_ids or {})
    try:
        one.item = make_item(
            one.folded,
            found,
            ticket=one.ticket,
            source=settings.source_of(one.connection),
            with_history=settings.history == "full",
            placing=placing,
        )
        reason = screen(one.folded, one.item, max_bytes=settings.batch_max_bytes - 2)  # its brackets
        kept = one.item.kept
        if reason is None and placing.resolve and kept.get("companyExternalId") and not kept.get("companyId"):
            return UNKNOWN_COMPANY
        return reason
    except Exception:  # one ticket's odd value must not stop all others for ever
        log.exception("a ticket's values cannot be used", extra={"ticket": one.ticket})
        return "damaged"
