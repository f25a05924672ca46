"""
The heart: claim -> enrich -> fold -> screen -> send -> settle, as one page.

`run` looks at the due set a few times a second; `flush_once` takes one turn. A turn holds a destination slot, so calls
to one destination stay sequential (PLANHAT_MAX_IN_FLIGHT). Whatever ends a turn early leaves its claims to lapse.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.core import health as healths
from gateway.core.bisect import next_test
from gateway.core.debounce import is_due
from gateway.core.outcome import Verdict, decide
from gateway.core.ticket import Found, after_upsert, make_item, screen, unchanged, wants_reread
from gateway.errors import StoreError
from workers.batch import Held, cached, hold, lacking
from workers.settle import bury, bury_convicted, detail_of, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.health import Health
    from gateway.store.pending import View
    from workers.deps import Deps

log = logging.getLogger("planhat_gateway.flush")

TICK_S: Final = 0.2
CLAIM_LEASE_MS: Final = 30_000
LOOKUP_SNOOZE_MS: Final = 120_000
DELETE_SNOOZE_MS: Final = 600_000
UNREADABLE_SNOOZE_MS: Final = 60_000


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


async def flush_once(deps: Deps) -> float:
    """
    Take one turn: at most one call's worth of tickets.

    Returns:
        Seconds until it is worth looking again; 0 when there is more to do at once.
    """
    store = deps.store
    view = await store.look()
    if _frozen(view) or deps.quota_free_at_s > deps.monotonic():
        return TICK_S
    if deps.slot_wanted:
        deps.slot_wanted = False
        return TICK_S
    health = healths.of(await store.health()) if view.due_count or view.suspects else healths.Health()
    suspects = await _suspects(deps, view, health)
    limit = 1 if view.pause.stopped else healths.batch_limit(health, deps.settings.batch_max_items)
    if not suspects and not _batch_is_due(deps, view, limit, health):
        return TICK_S
    token = deps.token()
    if not await store.take_slot(token, deps.settings.max_in_flight, CLAIM_LEASE_MS):
        return TICK_S
    give_slot = True
    try:
        if suspects:
            claimed = await store.claim_named(suspects, token, CLAIM_LEASE_MS)
        else:
            claimed = await store.claim(limit, token, CLAIM_LEASE_MS)
        if not claimed:
            await _forget(deps, suspects)
            return TICK_S
        loaded = await store.load([one.ticket for one in claimed])
        doubts = {one.ticket: one.doubt for one in claimed}
        held = [one for one in (hold(ticket, doubts[ticket.ticket]) for ticket in loaded) if one]
        unreadable = sorted({ticket.ticket for ticket in loaded} - {one.ticket for one in held})
        if unreadable:
            await store.unsuspect(unreadable)
            await store.release(token, unreadable, not_before_ms=view.now_ms + UNREADABLE_SNOOZE_MS)
        if suspects == (health.convicted,) and held:
            await bury_convicted(deps, token, held[0])
            return 0.0
        ready = await _prepare(deps, view, token, held, suspects=bool(suspects))
        for chunk in _chunks(ready, deps.settings.batch_max_bytes):
            verdict = await _send(deps, token, chunk, view=view, suspects=bool(suspects))
            if verdict is Verdict.AMBIGUOUS:
                give_slot = False
            if verdict not in (Verdict.ACK_ALL, Verdict.PER_ITEM, Verdict.READ_BACK, Verdict.BISECT):
                sent = {one.ticket for one in chunk}
                await store.release(token, [one.ticket for one in ready if one.ticket not in sent])
                break
        return 0.0
    except asyncio.CancelledError:
        give_slot = False  # a call may be under way: like its tickets, its slot is held until it cannot land any more
        raise
    finally:
        if give_slot:
            await store.give_slot(token)


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


async def _forget(deps: Deps, suspects: Sequence[str]) -> None:
    """Let suspects go that hold nothing unsent any more; those that somebody holds stay."""
    empty = [one.ticket for one in await deps.store.peek(suspects) if not one.value]
    await deps.store.unsuspect(empty)


async def _prepare(deps: Deps, view: View, token: str, held: Sequence[Held], *, suspects: bool) -> list[Held]:
    """
    Settle what need not be sent, park what must wait, bury what cannot go; give what goes.

    A suspect that must wait is none any more: it would be asked for by name again and again, and others never.
    """
    store, settings = deps.store, deps.settings
    found = await cached(store, held)
    waiting: list[str] = []
    deleting: list[str] = []
    acks, burials, ready = [], [], []
    skipped = 0
    for one in held:
        folded = one.folded
        helpdesk = deps.helpdesks.get(one.connection)
        if one.to_delete:
            deleting.append(one.ticket)
        elif folded.action == "nothing" and not (helpdesk and wants_reread(folded)):
            acks.append(one.ack(folded.state, ttl_s=settings.ticket_memory_ttl_s))
        elif helpdesk and (wants_reread(folded) or lacking(one, found)):
            waiting.append(one.ticket)
        else:
            reason = _make(deps, one, found.get(one.connection) or Found(), has_helpdesk=helpdesk is not None)
            if reason:
                burials.append(one.burial(reason, detail_of(reason, one.connection, has_helpdesk=helpdesk is not None)))
            elif one.item and not one.doubt and unchanged(folded, one.item):
                acks.append(one.ack(after_upsert(folded, one.item, None), ttl_s=settings.ticket_memory_ttl_s))
                skipped += 1
            else:
                ready.append(one)
    if suspects:
        await store.unsuspect([*waiting, *deleting])
    await store.release(token, waiting, not_before_ms=view.now_ms + LOOKUP_SNOOZE_MS, lane="lookups")
    await store.release(token, deleting, not_before_ms=view.now_ms + DELETE_SNOOZE_MS, lane="deletes")
    await store.ack(token, acks)
    await bury(deps, token, burials)
    if skipped:
        await store.count({"skipped_unchanged": skipped})
    return ready


def _make(deps: Deps, one: Held, found: Found, *, has_helpdesk: bool) -> str | None:
    """
    Make a ticket's item, or say why it cannot go; a thin delivery that nobody can resolve has a reason of its own.
    """
    settings = deps.settings
    if wants_reread(one.folded) and not has_helpdesk and not one.folded.part.fields:
        return "no_credentials"
    try:
        one.item = make_item(
            one.folded,
            found,
            ticket=one.ticket,
            source=settings.source_of(one.connection),
            with_history=settings.history == "full",
        )
        return screen(one.folded, one.item, max_bytes=settings.batch_max_bytes - 2)  # its brackets
    except Exception:  # one ticket's odd value must not stop all others for ever
        log.exception("a ticket's values cannot be used", extra={"ticket": one.ticket})
        return "damaged"


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


async def _send(deps: Deps, token: str, chunk: list[Held], *, view: View, suspects: bool) -> Verdict:
    """Reserve quota, make sure of the claim, call Planhat, settle by what it answered."""
    store, settings = deps.store, deps.settings
    wait_ms = await store.reserve(
        limit_per_minute=settings.calls_per_minute, kind="probe" if view.pause.stopped else "call", epoch=deps.epoch
    )
    if wait_ms:
        deps.quota_free_at_s = deps.monotonic() + wait_ms / 1000
        await store.release(token, [one.ticket for one in chunk])
        return Verdict.PAUSE
    lease_ends_s = deps.monotonic() + deps.call_lease_ms / 1000
    lost = await store.extend([one.ticket for one in chunk], token, deps.call_lease_ms)
    sending = [one for one in chunk if one.ticket not in lost]
    if not sending or not await store.extend_slot(token, deps.call_lease_ms):
        await store.release(token, [one.ticket for one in sending])
        return Verdict.PAUSE

    async def still_ours() -> bool:
        return deps.monotonic() < lease_ends_s - 1.0

    outcome = await deps.planhat.upsert([one.item.body for one in sending if one.item], before_last_chunk=still_ours)
    decision = decide(outcome, [one.ticket for one in sending])
    await settle(deps, token, sending, outcome, decision, suspects=suspects, stopped=bool(view.pause.stopped))
    return decision.verdict
