"""
Deletions, one call each: at most a fifth of the quota, never in the way of a batch.

A ticket waits in the lane `deletes`. Its Planhat `_id` is remembered from the upsert's answer or found in the list. A
ticket that was sent and cannot be found is unconfirmed, not done; one that was never sent and is not there is done.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.core.retry import rate_limit_pause_ms
from gateway.core.ticket import REASONS, after_delete
from gateway.errors import StoreError
from workers.batch import Held, hold
from workers.deps import CLAIM_LEASE_MS, START_WITHIN_S
from workers.read_back import newest
from workers.settle import PROBE_EVERY_MS, bury

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.store.records import CallKind, Pause
    from workers.deps import Deps
    from workers.planhat.client import DeleteAnswer
    from workers.planhat.wire import Row

log = logging.getLogger("planhat_gateway.deletes")

TICK_S: Final = 0.5
SLOT_TICK_S: Final = 0.05
AT_ONCE: Final = 20
AGAIN_MS: Final = 10_000
SNOOZE_MS: Final = 60_000
HELD_MS: Final = 3_000
ROWS_OF_ONE_PERSON: Final = 500
MEMORY_S: Final = 86_400
FOUND_S: Final = 600
REFUSALS: Final = (*range(300, 400), 403, 405)
"""
Statuses that say nothing of the ticket, but of the address or a permission. They hold deletions up, not batches: a
token that may write and not delete is a likely one. What else is refused, a bulk call finds out by itself.
"""


async def run(deps: Deps, stop: asyncio.Event) -> None:
    """Carry out deletions until told to stop."""
    while not stop.is_set():
        pause_s = TICK_S
        try:
            pause_s = await delete_once(deps)
        except StoreError as error:
            log.warning("redis cannot be used, trying again", extra={"detail": str(error)})
        except Exception:
            log.exception("a deletion failed; its claim lapses and is tried again")
        try:
            await asyncio.wait_for(stop.wait(), pause_s)
        except TimeoutError:
            continue


async def delete_once(deps: Deps) -> float:
    """
    Carry out some waiting deletions.

    Returns:
        Seconds until it is worth looking again.
    """
    store = deps.store
    waiting = await store.waiting("deletes", AT_ONCE)
    if not waiting:
        return TICK_S
    pause = await store.pause_state()
    now_ms = await store.now_ms()
    if pause.held or pause.until_ms > now_ms or (pause.stopped and not _may_probe(pause, now_ms)):
        return TICK_S
    for ticket in waiting[: 1 if pause.stopped else AT_ONCE]:
        token = deps.token()
        if not await store.take_slot(token, deps.settings.max_in_flight, CLAIM_LEASE_MS):
            deps.slot_wanted = True
            return SLOT_TICK_S
        give_slot = True
        try:
            claimed = await store.claim_named([ticket], token, CLAIM_LEASE_MS, lane="deletes")
            if not claimed:
                await store.park("deletes", [ticket], now_ms + HELD_MS)
                continue
            loaded = await store.load([ticket])
            one = hold(loaded[0], claimed[0].doubt) if loaded else None
            if one is None or not one.to_delete:
                await store.leave("deletes", [ticket])
                await store.release(token, [ticket])
                continue
            give_slot = await _delete(deps, token, one, "probe" if pause.stopped else "delete")
        except asyncio.CancelledError:
            give_slot = False  # the call may be under way
            raise
        finally:
            if give_slot:
                await store.give_slot(token)
    return SLOT_TICK_S


def _may_probe(pause: Pause, now_ms: int) -> bool:
    """Say whether a deletion may find out if a refusing Planhat has changed its mind: there may be nothing else to."""
    return pause.stopped == "refused" and pause.probe_at_ms <= now_ms


async def _delete(deps: Deps, token: str, one: Held, kind: CallKind) -> bool:
    """Delete one ticket; say whether the slot may be given back (not after an ambiguous end)."""
    # What became of an earlier call that never was answered stays unknown, however a later one ends.
    before = (await deps.store.cache_get("planhat", "deletion", [one.ticket]))[0] or b""
    remembered = await _found_before(deps, one) or (before != b"gone" and one.folded.state.planhat_id) or ""
    planhat_id = remembered or await _find(deps, one, kind)
    if planhat_id is None and before == b"gone":  # Planhat does not know its `_id`, nor shows it under another
        await _done(deps, token, one)
        return True
    if planhat_id is None:
        await _not_found(deps, token, one)
        return True
    answer = await _call(deps, token, one, planhat_id, kind) if planhat_id else None
    if answer and answer.kind == "gone" and remembered:
        # A wrong address answers 404 as well, and the ticket may have got another `_id` since: the list tells.
        planhat_id = await _find(deps, one, kind)
        if planhat_id == "":
            answer = None  # nothing shows that this was Planhat's answer; the next time it is looked for first
            before = b"gone"
            await deps.store.cache_set("planhat", "found", {one.ticket: b""}, FOUND_S)
        elif planhat_id not in (None, remembered):
            answer = await _call(deps, token, one, planhat_id, kind)
    if not answer or answer.kind == "refused":
        await _remember(deps, one, before)
    if answer is None:
        await _again(deps, token, one)
        return True
    return await _settle(deps, token, one, answer, kind)


async def _call(deps: Deps, token: str, one: Held, planhat_id: str, kind: CallKind) -> DeleteAnswer | None:
    """Call Planhat; None when there is no quota for it now or the claim is lost."""
    store = deps.store
    limit = deps.settings.calls_per_minute
    await _remember(deps, one, b"called")
    began_s = deps.monotonic()
    lost = await store.extend([one.ticket], token, deps.call_lease_ms)
    if lost or not await store.extend_slot(token, deps.call_lease_ms):
        return None
    if await store.reserve(limit_per_minute=limit, kind=kind, epoch=deps.epoch):
        return None
    if deps.monotonic() - began_s > START_WITHIN_S:  # Redis was slow: the call could outlive its claim
        return None
    answer = await deps.planhat.delete(planhat_id)
    await store.count({"calls": 1, f"calls_delete_{answer.kind}": 1})
    log.info("deletion answered", extra={"ticket": one.ticket, "outcome": answer.kind, "status": answer.status})
    return answer


async def _settle(deps: Deps, token: str, one: Held, answer: DeleteAnswer, kind: CallKind) -> bool:
    """Carry out what follows from an answer; say whether the slot may be given back."""
    store = deps.store
    if answer.kind == "ambiguous":
        return False
    if answer.kind in ("done", "gone"):
        await _done(deps, token, one)
        if kind == "probe":
            await store.resume()
        return True
    if answer.status == 429:
        await store.pause(rate_limit_pause_ms(answer.retry_after_s, 0, deps.jitter()), "rate limited by Planhat (429)")
    elif answer.status == 401:
        token_hash = deps.settings.token_hash
        await store.stop("refused", answer.detail, token_hash=token_hash, probe_in_ms=PROBE_EVERY_MS)
    elif answer.status in REFUSALS:
        log.error("planhat refuses deletions; they wait, nothing is lost", extra={"detail": answer.detail})
        await _again(deps, token, one)
        await store.park("deletes", await store.waiting("deletes"), (await store.now_ms()) + PROBE_EVERY_MS)
        return True
    elif answer.status is not None and answer.status < 500:
        await bury(deps, token, [one.burial("refused", answer.detail)])
        await store.leave("deletes", [one.ticket])
        return True
    await _again(deps, token, one)
    return True


async def _remember(deps: Deps, one: Held, what: bytes) -> None:
    """Remember how far a deletion came: `called`, `gone` (its `_id` was answered 404), `not found`, or nothing."""
    await deps.store.cache_set("planhat", "deletion", {one.ticket: what}, MEMORY_S)


async def _done(deps: Deps, token: str, one: Held) -> None:
    state = after_delete(one.folded)
    lease_ms = deps.call_lease_ms
    await deps.store.ack(token, [one.ack(state, ttl_s=deps.settings.ticket_memory_ttl_s, lease_ms=lease_ms)])
    await deps.store.leave("deletes", [one.ticket])
    await deps.store.count({"deleted": 1})
    await _remember(deps, one, b"")


async def _again(deps: Deps, token: str, one: Held) -> None:
    at_ms = (await deps.store.now_ms()) + AGAIN_MS
    await deps.store.release(token, [one.ticket], not_before_ms=at_ms + SNOOZE_MS)
    await deps.store.park("deletes", [one.ticket], at_ms)


async def _found_before(deps: Deps, one: Held) -> str:
    """Give the `_id` that was found while there was no quota left to delete; "" for none."""
    (found,) = await deps.store.cache_get("planhat", "found", [one.ticket])
    return (found or b"").decode()


async def _find(deps: Deps, one: Held, kind: CallKind) -> str | None:
    """
    Find the `_id` in Planhat's list: by the requester if known, else among the newest; "" = cannot be told now.

    The requester that we know is the one of the last answer. A call without one may have brought another since, under
    whom Planhat lists the ticket now.
    """
    email = one.folded.state.kept.get("email")
    found: str | None = None
    (looked,) = await deps.store.cache_get("planhat", "looked", [one.ticket])
    if email and not looked:
        wait_ms = await deps.store.reserve(limit_per_minute=deps.settings.calls_per_minute, kind=kind, epoch=deps.epoch)
        if wait_ms:
            return ""
        answer = await deps.planhat.list_tickets(email=email, sort="-updateDate", limit=ROWS_OF_ONE_PERSON)
        await deps.store.count({"calls": 1, "calls_list": 1})
        if answer.rows is None:
            return ""
        found = _id_among(answer.rows, one.ticket)
    if found is None:
        rows = await newest(deps, frozenset({one.ticket}), kind=kind, pages=1)
        # Where quota is left for one listing only, the next try goes on with the second one.
        await deps.store.cache_set("planhat", "looked", {one.ticket: b"1" if rows is None else b""}, FOUND_S)
        if rows is None:
            return ""
        found = _id_among(rows, one.ticket)
    if found:  # else listings alone would use up the deletions' share of the quota
        await deps.store.cache_set("planhat", "found", {one.ticket: found.encode()}, FOUND_S)
    return found


def _id_among(rows: Sequence[Row], ticket: str) -> str | None:
    return next((row.id for row in rows if row.source_id == ticket), None)


async def _not_found(deps: Deps, token: str, one: Held) -> None:
    """
    The list does not show it: done when it was never sent, or a deletion was called before (its answer was lost).

    Else it is looked for once more, then buried.
    """
    store = deps.store
    (before,) = await store.cache_get("planhat", "deletion", [one.ticket])
    if not one.folded.state.sent or one.folded.action == "nothing" or before == b"called":
        await _done(deps, token, one)
        return
    if not before:
        await _remember(deps, one, b"not found")
        await _again(deps, token, one)
        return
    await bury(deps, token, [one.burial("unconfirmed", REASONS["unconfirmed"])])
    await store.leave("deletes", [one.ticket])
