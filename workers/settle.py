"""
A batch's fate, carried out: what `core.outcome.decide` decided becomes acks, releases, burials, pauses.

Whoever reads this beside DESIGN §2 "A batch's fate" finds one branch per row.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.core import bisect
from gateway.core import health as healths
from gateway.core.outcome import Verdict
from gateway.core.retry import backoff_ms, rate_limit_pause_ms
from gateway.core.ticket import REASONS
from gateway.errors import StoreUnavailable
from workers.helpdesks import CLIENTS
from workers.read_back import confirmed, know_history, read_anew

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.health import Health
    from gateway.core.outcome import BulkOutcome, Decision
    from gateway.store.pending import Burial
    from workers.batch import Held
    from workers.deps import Deps

log = logging.getLogger("planhat_gateway.flush")

PROBE_EVERY_MS: Final = 60_000
BACKOFF_BASE_MS: Final = 500
BACKOFF_CAP_MS: Final = 60_000
PARK_MS: Final = 60_000
SYSTEMIC: Final = "systemic"
"""Why a destination is stopped that refused ten tickets in a row alone; only a ticket that passes ends it."""
UNCONFIRMED_TTL_S: Final = 3_600


async def settle(
    deps: Deps,
    token: str,
    sent: Sequence[Held],
    outcome: BulkOutcome,
    decision: Decision,
    *,
    suspects: bool,
    stopped: str,
) -> None:
    """
    Carry out a decision.

    Args:
        token: of the claim that holds every ticket in `sent`.
        suspects: the call was a bisection's test.
        stopped: why the destination is stopped, when the call was its probe; "" when it was none.
    """
    health = healths.of(await deps.store.health())
    before = health
    tickets = [one.ticket for one in sent]
    by_ticket = {one.ticket: one for one in sent}
    log.info(
        "planhat answered",
        extra={
            "outcome": str(decision.verdict),
            "status": outcome.status,
            "items": len(sent),
            "created_count": outcome.created,
            "updated_count": outcome.updated,
            "request_id": outcome.request_id,
            "detail": decision.detail,
        },
    )
    await deps.store.count({"calls": 1, f"calls_{decision.verdict}": 1, "items_sent": len(sent)})
    match decision.verdict:
        case Verdict.AMBIGUOUS:
            timed_out = outcome.timed_out or outcome.status in (408, 504)
            health = healths.after_ambiguous(health, len(sent), timed_out=timed_out)
        case Verdict.PAUSE:
            wait_ms = rate_limit_pause_ms(decision.wait_s, health.limited, deps.jitter())
            await deps.store.pause(wait_ms, "rate limited by Planhat (429)")
            await deps.store.release(token, tickets)
            health = replace(health, limited=health.limited + 1)
        case Verdict.STOP:
            await _stop(deps, token, tickets, decision.detail)
        case Verdict.BACK_OFF:
            tested = () if outcome.kind == "unsent" else tuple(tickets)
            health = healths.after_unavailable(health, tested, decision.detail)
            await _back_off(deps, token, tickets, health, decision)
        case Verdict.BISECT | Verdict.PER_ITEM if stopped == SYSTEMIC and not decision.acked:
            # Nothing passes yet, so nobody is to blame; the probe steps behind the others.
            await deps.store.release(token, tickets, not_before_ms=await deps.store.now_ms())
        case _:
            if stopped:
                await deps.store.resume()
            if stopped == SYSTEMIC and decision.acked:  # whatever fails alone from now on is to blame for itself
                health = replace(health, cleared=max(1, health.cleared))
            health = await _settle_items(deps, token, by_ticket, outcome, decision, health=health, suspects=suspects)
    if health != before:
        await deps.store.set_health(health.fields())


async def _stop(deps: Deps, token: str, tickets: Sequence[str], detail: str) -> None:
    """The whole call was refused, not a ticket: stop, bury nothing, probe with another ticket each time."""
    log.error("planhat refuses every call; the destination is stopped, nothing is lost", extra={"detail": detail})
    await deps.store.stop("refused", detail, token_hash=deps.settings.token_hash, probe_in_ms=PROBE_EVERY_MS)
    # The probe steps behind the others that are due; it must not wait when a new token comes.
    behind = await deps.store.now_ms() if len(tickets) == 1 else None
    await deps.store.release(token, tickets, not_before_ms=behind)


async def _back_off(deps: Deps, token: str, tickets: Sequence[str], health: Health, decision: Decision) -> None:
    """Planhat is unavailable: wait with jitter, for ever. After three in a row one ticket is sent alone."""
    wait_ms = backoff_ms(health.fails, base_ms=BACKOFF_BASE_MS, cap_ms=BACKOFF_CAP_MS, jitter=deps.jitter())
    if decision.wait_s is not None:
        wait_ms = max(wait_ms, int(decision.wait_s * 1000))
    await deps.store.pause(wait_ms, f"planhat is unavailable: {decision.detail}")
    # While probing another ticket goes each time: the one that failed steps back behind the others. Behind those that
    # are due now would not do: with little traffic it would be the oldest again before another came.
    snooze = (await deps.store.now_ms()) + wait_ms + PARK_MS if health.mode and len(tickets) == 1 else None
    await deps.store.release(token, tickets, not_before_ms=snooze)


async def _settle_items(
    deps: Deps,
    token: str,
    sent: dict[str, Held],
    outcome: BulkOutcome,
    decision: Decision,
    *,
    health: Health,
    suspects: bool,
) -> Health:
    """Planhat looked at the items: ack, look closer, bury."""
    acked = set(decision.acked)
    rest = set(decision.rest(list(sent)))
    if decision.verdict is Verdict.READ_BACK and rest:
        acked |= await _read_back(deps, token, [sent[ticket] for ticket in sorted(rest)])
        rest = set()
    await _ack(deps, token, [sent[ticket] for ticket in sent if ticket in acked], outcome, len(sent))
    words = {ticket: decision.words.get(ticket) or decision.detail for ticket in decision.suspects | rest}
    refused = set(decision.suspects)
    if decision.verdict is Verdict.BISECT:
        refused |= rest
    if len(sent) == 1 and refused:
        return await _bury_alone(deps, token, next(iter(sent.values())), words, health)
    if acked:
        health = await _after_success(deps, health, acked)
    if suspects:
        health = await _regroup(deps, acked, refused, health)
    if decision.verdict is Verdict.BISECT and rest and not suspects:
        await deps.store.release(token, sorted(rest), group=1)
    else:
        await deps.store.release(token, sorted(rest))
    await deps.store.release(token, sorted(decision.suspects), group=2)
    return health


async def _after_success(deps: Deps, health: Health, acked: set[str]) -> Health:
    """Something was taken: Planhat is well. What failed before a lone probe passed holds poison and is bisected."""
    if health.mode and health.tested:
        groups = dict(await deps.store.suspects())
        known = dict.fromkeys(health.tested, 1)  # a lone one too: 5xx convicts only the second time
        changed = bisect.after_failure({**groups, **known}, health.tested) | known
        await deps.store.regroup({ticket: group for ticket, group in changed.items() if ticket not in acked})
    return healths.after_success(health, configured=deps.settings.batch_max_items, passed=acked)


async def bury_convicted(deps: Deps, token: str, one: Held) -> None:
    """A ticket was answered 5xx alone while others passed, twice: a dead letter with Planhat's words."""
    health = healths.of(await deps.store.health())
    health = await _bury_alone(deps, token, one, {one.ticket: health.words}, replace(health, convicted="", words=""))
    await deps.store.set_health(health.fields())


async def _regroup(deps: Deps, acked: set[str], failed: set[str], health: Health) -> Health:
    """Tell the bisection what its test came to."""
    groups = dict(await deps.store.suspects())
    changed = bisect.after_failure(groups, failed) if failed else bisect.after_success(groups, acked)
    await deps.store.regroup({ticket: group for ticket, group in changed.items() if groups[ticket] != group})
    return replace(health, cleared=health.cleared + len(acked)) if changed else replace(health, found=0, cleared=0)


async def _bury_alone(deps: Deps, token: str, one: Held, words: dict[str, str], health: Health) -> Health:
    """A ticket failed alone: a dead letter with Planhat's words. Ten in a row are systemic: all ten go back, stop."""
    groups = dict(await deps.store.suspects())
    await bury(deps, token, [one.burial("refused", words[one.ticket])])
    health, back = healths.after_lone_failure(health, one.ticket)
    changed = bisect.after_failure(groups, {one.ticket})  # what shared its group is set aside
    await deps.store.regroup({ticket: group for ticket, group in changed.items() if groups[ticket] != group})
    if not groups.keys() - {one.ticket}:
        health = replace(health, found=0, cleared=0)
    if back:
        detail = f"ten tickets in a row were refused alone; the last: {words[one.ticket]}"
        log.error("planhat refuses ticket after ticket; the destination is stopped", extra={"detail": detail})
        await deps.store.stop(SYSTEMIC, detail, token_hash=deps.settings.token_hash, probe_in_ms=PROBE_EVERY_MS)
        await deps.store.replay_tickets(list(back))
        await deps.store.regroup(dict.fromkeys(back, bisect.ALONE))  # else they go first again, and stop it again
    return health


async def _read_back(deps: Deps, token: str, missing: Sequence[Held]) -> set[str]:
    """
    Planhat counted fewer than were sent and named none: one listing confirms what the call created.

    The rest is sent once more, then confirmed by its row or buried.
    """
    seen = await confirmed(deps, missing)
    if seen is None:  # Planhat may hold them or not: ambiguous, so their claims run out and they are in doubt
        await deps.store.unsuspect([one.ticket for one in missing])
        return set()
    names = [one.ticket for one in missing]
    before = dict(zip(names, await deps.store.cache_get("planhat", "unconfirmed", names), strict=True))
    # Of a ticket that Planhat held before its row proves little: the status may be the old one. It is sent once more.
    sure = {one.ticket for one in missing if one.ticket in seen and (_first(one) or before[one.ticket] == _mark(one))}
    unseen = [one for one in missing if one.ticket not in seen]
    again = {
        one.ticket: _mark(one)
        for one in missing
        if one.ticket not in sure and (one.ticket in seen or before[one.ticket] is None)
    }
    await deps.store.cache_set("planhat", "unconfirmed", again, UNCONFIRMED_TTL_S)
    await deps.store.release(token, list(again))
    burials = [one.burial("unconfirmed", REASONS["unconfirmed"]) for one in unseen if before[one.ticket] is not None]
    await bury(deps, token, burials)
    return sure


def _first(one: Held) -> bool:
    """Say whether this call is the only one that can have brought the ticket to Planhat."""
    return one.new and not one.doubt


def _mark(one: Held) -> bytes:
    """Know an item again that was sent before."""
    assert one.item is not None  # noqa: S101 - only made items are sent
    return (one.item.fields_hash + one.item.history_hash).encode()


async def _ack(deps: Deps, token: str, acked: Sequence[Held], outcome: BulkOutcome, calls_items: int) -> None:
    """Write the states, tell the history's fate, count drift and read anew what it names."""
    if not acked:
        return
    settings = deps.settings
    ttl_s, lease_ms = settings.ticket_memory_ttl_s, deps.call_lease_ms
    unknown = [one for one in acked if one.history_open] if settings.history == "full" else []
    if unknown:  # before the ack: whoever dies right after it leaves nobody behind who would ask for these histories
        await deps.store.park("unread", sorted(one.ticket for one in unknown), await deps.store.now_ms())
    ended = [one.ack_sent(outcome.ids.get(one.ticket), ttl_s=ttl_s, lease_ms=lease_ms) for one in acked]
    ends = await deps.store.ack(token, ended)
    believed_new = sum(1 for one in acked if one.new)
    if outcome.created is not None and outcome.created > believed_new:
        log.warning(
            "planhat created more tickets than were believed new: somebody else removed some",
            extra={"created_count": outcome.created, "believed_new": believed_new},
        )
        await deps.store.count({"drift_created": outcome.created - believed_new})
    all_created = outcome.created == calls_items
    # What is no longer ours was forgotten meanwhile, or is somebody else's to settle.
    brought = [one for one in acked if all_created or one.ticket in outcome.created_ids]
    ours = [one for one in brought if ends.get(one.ticket) != "gone"]
    open_ones = {one.ticket for one in unknown}
    created = sorted(one.ticket for one in ours if one.ticket in open_ones)
    try:
        await know_history(deps, dict.fromkeys(created, ()))
        await read_anew(deps, [one for one in ours if not one.new])
    except StoreUnavailable as error:
        if error.kind != "oom":
            raise
        return  # a full Redis takes no changes in, but must be emptied all the same; the listing will tell
    await deps.store.leave("unread", created)


async def bury(deps: Deps, token: str, burials: Sequence[Burial]) -> None:
    """Make dead letters; at the cap nothing is evicted: the ticket parks and is tried again."""
    if not burials:
        return
    ends = await deps.store.bury(token, burials)
    full = sorted(ticket for ticket, end in ends.items() if end == "full")
    for burial in burials:
        if ends.get(burial.ticket) == "buried":
            log.warning(
                "ticket buried", extra={"ticket": burial.ticket, "reason": burial.reason, "detail": burial.detail}
            )
    if full:
        log.error("the dead letters are at their cap; tickets park and intake answers 503", extra={"count": len(full)})
        await deps.store.release(token, full, not_before_ms=(await deps.store.now_ms()) + PARK_MS)
    await deps.store.count({"buried": len(burials) - len(full)})


def detail_of(reason: str, connection: str, *, has_helpdesk: bool) -> str:
    """Say in one sentence why, and what would help."""
    text = REASONS[reason]
    if reason not in ("missing_email", "missing_company", "incomplete", "no_credentials") or has_helpdesk:
        return text
    if connection in CLIENTS:
        return (
            f"{text}; set the API credentials of {connection} so that it can be looked up, or let the webhook send it"
        )
    return f"{text}; let the sender give it"
