"""
The heart: claim -> enrich -> fold -> screen -> send -> settle, as one page.

`run` looks at the due set a few times a second; `flush_once` takes one turn. A turn holds a destination slot, so calls
to one destination stay sequential (PLANHAT_MAX_IN_FLIGHT). Whatever ends a turn early leaves its claims to lapse.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gateway.core import health as healths
from gateway.core.bisect import next_test
from gateway.core.debounce import is_due
from gateway.core.outcome import Verdict, decide
from gateway.errors import StoreError
from workers.deps import CLAIM_LEASE_MS, START_WITHIN_S
from workers.gather import gather, give_back, prepare
from workers.settle import bury_convicted, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.health import Health
    from gateway.store.pending import View
    from workers.batch import Batch, Held
    from workers.deps import Deps

log = logging.getLogger("planhat_gateway.flush")

TICK_S: Final = 0.2
TAKEN: Final = (Verdict.ACK_ALL, Verdict.PER_ITEM, Verdict.READ_BACK, Verdict.BISECT)
"""Verdicts of a Planhat that looked at the items."""


async def run(deps: Deps, stop: asyncio.Event) -> None:
    """
    Flush until told to stop. Survives everything that Redis or Planhat may do, and defects of its own.
    """
    while not stop.is_set():
        pause_s = TICK_S
        try:
            pause_s = await flush_once(deps)
        except StoreError as error:
            log.warning("redis cannot be used, trying again", extra={"detail": str(error)})
            pause_s = 1.0
        except Exception:
            log.exception("a turn failed; its claims lapse and are tried again")
            pause_s = 1.0
        if pause_s:
            try:
                await asyncio.wait_for(stop.wait(), pause_s)
            except TimeoutError:
                continue
    with suppress(StoreError):
        await give_back(deps, deps.ahead)


async def flush_once(deps: Deps) -> float:
    """
    Take one turn: at most one batch.

    Returns:
        Seconds until it is worth looking again; 0 when there is more to do at once.
    """
    store = deps.store
    view = await store.look()
    batch, deps.ahead = deps.ahead, None
    if _frozen(view) or deps.quota_free_at_s > deps.monotonic() or deps.slot_wanted:
        deps.slot_wanted = False
        await give_back(deps, batch)
        return TICK_S
    if batch:
        return await _take_slot_and_send(deps, view, batch, left=view.due_count)
    health = healths.of(await store.health()) if view.due_count or view.suspects else healths.Health()
    suspects = await _suspects(deps, view, health)
    limit = 1 if view.pause.stopped else healths.batch_limit(health, deps.settings.batch_max_items)
    if not suspects and not _batch_is_due(deps, view, limit, health):
        return TICK_S
    well = not suspects and not health.mode and not view.pause.stopped
    left = view.due_count - limit if well else 0
    return await _take_slot_and_send(deps, view, None, limit=limit, suspects=suspects, health=health, left=left)


async def _take_slot_and_send(
    deps: Deps,
    view: View,
    batch: Batch | None,
    *,
    limit: int = 0,
    suspects: Sequence[str] = (),
    health: Health | None = None,
    left: int,
) -> float:
    """
    Send a batch, gathered before or now, in one of the destination's slots.

    Args:
        left: due tickets beyond this batch; a full batch of them is gathered while this one is on the wire.
    """
    store, slot = deps.store, deps.token()
    if not await store.take_slot(slot, deps.settings.max_in_flight, CLAIM_LEASE_MS):
        await give_back(deps, batch)
        return TICK_S
    give_slot = True
    try:
        if batch is None:
            batch = await gather(deps, limit, suspects=suspects, lease_ms=CLAIM_LEASE_MS, now_ms=view.now_ms)
            if batch is None:
                return TICK_S
            if health and suspects == (health.convicted,) and batch.ready:
                await bury_convicted(deps, batch.token, batch.ready[0])
                return 0.0
            await prepare(deps, batch, now_ms=view.now_ms)
        verdict = await _send_batch(deps, view, slot, batch, left=left)
        give_slot = verdict is not Verdict.AMBIGUOUS
        return 0.0
    except asyncio.CancelledError:
        give_slot = False  # a call may be under way: like its tickets, its slot is held until it cannot land any more
        raise
    finally:
        if give_slot:
            await store.give_slot(slot)


async def _send_batch(deps: Deps, view: View, slot: str, batch: Batch, *, left: int) -> Verdict | None:
    """Send a batch in calls of at most BATCH_MAX_BYTES; stop at the first that was not taken."""
    verdict: Verdict | None = None
    for chunk in _chunks(batch.ready, deps.settings.batch_max_bytes):
        call = asyncio.create_task(_send(deps, slot, batch, chunk, view=view))
        try:
            if deps.ahead is None and left >= deps.settings.batch_max_items:
                deps.ahead = await _look_ahead(deps, view)
            verdict = await call
        except BaseException:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            raise
        if verdict not in TAKEN:
            sent = {one.ticket for one in chunk}
            await deps.store.release(batch.token, [one.ticket for one in batch.ready if one.ticket not in sent])
            break
    return verdict


async def _look_ahead(deps: Deps, view: View) -> Batch | None:
    """Gather the next full batch while a call is under way; its claims outlast that call."""
    lease_ms = deps.call_lease_ms + CLAIM_LEASE_MS
    try:
        batch = await gather(deps, deps.settings.batch_max_items, lease_ms=lease_ms, now_ms=view.now_ms)
        if batch:
            await prepare(deps, batch, now_ms=view.now_ms)
    except StoreError as error:
        log.warning("no look-ahead; its claims lapse", extra={"detail": str(error)})
        return None
    return batch


def _frozen(view: View) -> bool:
    """Say whether nothing may be sent now: held by hand, paused by 429 or back-off, or stopped and no probe is due."""
    pause = view.pause
    if pause.held or pause.until_ms > view.now_ms:
        return True
    return bool(pause.stopped) and pause.probe_at_ms > view.now_ms


def _batch_is_due(deps: Deps, view: View, limit: int, health: Health) -> bool:
    if not view.due_count:
        return False
    if view.pause.stopped or health.mode:
        return True
    return is_due(
        view.now_ms,
        oldest_ms=view.oldest_due_ms,
        last_put_ms=view.last_put_ms,
        due_count=view.due_count,
        quiet_ms=int(deps.settings.quiet_s * 1000),
        max_wait_ms=int(deps.settings.max_wait_s * 1000),
        full=limit,
    )


async def _suspects(deps: Deps, view: View, health: Health) -> tuple[str, ...]:
    """Give the suspects to send next; none while a healthy batch has its turn or must be the probe."""
    if not view.suspects or (health.mode and view.due_count) or view.dead >= deps.store.limits.dead_letter_max:
        return ()
    deps.suspects_turn = not deps.suspects_turn
    if view.due_count and not deps.suspects_turn and _batch_is_due(deps, view, deps.settings.batch_max_items, health):
        return ()
    groups = dict(await deps.store.suspects())
    if health.mode or view.pause.stopped:  # a probe is one ticket, rather another than those that failed
        names = sorted(groups.keys() - set(health.tested)) or sorted(groups)
        return tuple(names[(start := int(deps.jitter() * len(names))) : start + 1])
    if health.convicted in groups:
        return (health.convicted,)
    limit = healths.batch_limit(health, deps.settings.batch_max_items)
    return next_test(groups, found=health.found, cleared=health.cleared)[:limit]


def _chunks(ready: Sequence[Held], max_bytes: int) -> list[list[Held]]:
    """Cut what goes into calls of at most `max_bytes`, commas and brackets included."""
    chunks: list[list[Held]] = []
    size = max_bytes + 1
    for one in ready:
        length = len(one.item.body) + 2 if one.item else 0
        if size + length > max_bytes:
            chunks.append([])
            size = 0
        chunks[-1].append(one)
        size += length
    return chunks


async def _send(deps: Deps, slot: str, batch: Batch, chunk: list[Held], *, view: View) -> Verdict:
    """Make sure of the claim, reserve quota, call Planhat, settle by what it answered."""
    store, settings, token = deps.store, deps.settings, batch.token
    began_s = deps.monotonic()
    lease_ends_s = began_s + deps.call_lease_ms / 1000
    lost = await store.extend([one.ticket for one in chunk], token, deps.call_lease_ms)
    sending = [one for one in chunk if one.ticket not in lost]
    if not sending or not await store.extend_slot(slot, deps.call_lease_ms):
        await store.release(token, [one.ticket for one in sending])
        return Verdict.PAUSE
    wait_ms = await store.reserve(  # last, since a call must fall into the minute that it was counted in
        limit_per_minute=settings.calls_per_minute, kind="probe" if view.pause.stopped else "call", epoch=deps.epoch
    )
    if wait_ms:
        deps.quota_free_at_s = deps.monotonic() + wait_ms / 1000
        await store.release(token, [one.ticket for one in sending])
        return Verdict.PAUSE
    if deps.monotonic() - began_s > START_WITHIN_S:  # Redis was slow: the call could outlive its claims
        await store.release(token, [one.ticket for one in sending])
        return Verdict.PAUSE

    async def still_ours() -> bool:
        return deps.monotonic() < lease_ends_s - 1.0

    outcome = await deps.planhat.upsert([one.item.body for one in sending if one.item], before_last_chunk=still_ours)
    decision = decide(outcome, [one.ticket for one in sending])
    await settle(deps, token, sending, outcome, decision, suspects=batch.suspects, stopped=view.pause.stopped)
    return decision.verdict
