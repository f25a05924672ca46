"""
Look-ups at the helpdesk, beside the flush loop and never in its way.

A ticket that lacks something waits in the lane `lookups`. Here the helpdesk is asked in batches; answers go into the
cache (people, organizations) or back onto the bridge as a change of their own (a re-read ticket). A failing look-up
never buries; only "no such ticket" does, unless it proves a deletion.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change, UnknownFrame
from gateway.core.fold import fold
from gateway.core.lookups import Company, Person, wants, wants_reread
from gateway.core.retry import backoff_ms
from gateway.core.state import UnknownState
from gateway.core.state import read as read_state
from gateway.core.ticket import REASONS
from gateway.errors import StoreError
from gateway.sources.base import wished
from gateway.store.pending import Ack
from workers.batch import hold, joined
from workers.deps import CLAIM_LEASE_MS
from workers.helpdesks.base import HelpdeskBusy, HelpdeskError, write_company, write_person
from workers.settle import bury

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.store.pending import Loaded
    from workers.batch import Held
    from workers.deps import Deps
    from workers.helpdesks.base import Helpdesk

log = logging.getLogger("planhat_gateway.enrich")

TICK_S: Final = 0.2
AT_ONCE: Final = 500
CACHE_TTL_S: Final = 3_600
NEGATIVE_TTL_S: Final = 600
RETRY_BASE_MS: Final = 1_000
RETRY_CAP_MS: Final = 60_000


@dataclass(slots=True)
class Ask:
    """What one connection's tickets want: ids to look up, which tickets wait for them, which are said to be deleted."""

    tickets: dict[str, str] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)
    organizations: set[str] = field(default_factory=set)
    doomed: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)


async def run(deps: Deps, connection: str, stop: asyncio.Event) -> None:
    """
    Look up for one connection until told to stop. Each helpdesk has a loop of its own, so a slow one delays no other.
    """
    fails = 0
    while not stop.is_set():
        pause_s = TICK_S
        try:
            await enrich_once(deps, connection)
            fails = 0
        except HelpdeskBusy as error:
            pause_s = max(
                error.retry_after_s or 0, backoff_ms(1, base_ms=1000, cap_ms=60_000, jitter=deps.jitter()) / 1000
            )
            log.info("helpdesk asks to wait", extra={"connection": connection, "wait_s": round(pause_s, 1)})
        except HelpdeskError as error:
            fails += 1
            pause_s = backoff_ms(fails, base_ms=RETRY_BASE_MS, cap_ms=RETRY_CAP_MS, jitter=deps.jitter()) / 1000
            log.warning("helpdesk look-up failed", extra={"connection": connection, "detail": str(error)})
            await _count(deps, "lookups_failed")
        except StoreError as error:
            log.warning("redis cannot be used, trying again", extra={"detail": str(error)})
            pause_s = 1.0
        except Exception:
            log.exception("a look-up failed")
            pause_s = 1.0
        try:
            await asyncio.wait_for(stop.wait(), pause_s)
        except TimeoutError:
            continue


async def _count(deps: Deps, name: str) -> None:
    try:
        await deps.store.count({name: 1})
    except StoreError:
        log.debug("not counted", extra={"detail": name})


async def enrich_once(deps: Deps, connection: str) -> int:
    """
    Look up what this connection's waiting tickets lack.

    Returns:
        How many tickets became ready.
    """
    waiting = await deps.store.waiting("lookups", AT_ONCE)
    if not waiting:
        return 0
    ask = _collect(await deps.store.peek(waiting), connection, deps.settings.prefix_of(connection))
    if len(waiting) == AT_ONCE:  # those of other helpdesks step back, so that they hide none of ours
        await _step_back(deps, set(waiting) - ask.waiting)
    try:
        await _look_up(deps, connection, ask)
    except HelpdeskError:
        await _step_back(deps, ask.waiting)
        raise
    await deps.store.ready("lookups", sorted(ask.waiting))
    return len(ask.waiting)


async def _step_back(deps: Deps, tickets: set[str]) -> None:
    """Put tickets behind all others that wait."""
    await deps.store.park("lookups", sorted(tickets), await deps.store.now_ms())


async def _look_up(deps: Deps, connection: str, ask: Ask) -> None:
    """Read tickets, then people and organizations; a ticket that cannot be read keeps nobody from the latter."""
    helpdesk = deps.helpdesks[connection]
    failed: HelpdeskError | None = None
    try:
        await _reread(deps, helpdesk, connection, ask)
    except HelpdeskBusy:
        raise
    except HelpdeskError as error:
        failed = error
    await _fetch(deps, helpdesk, connection, ask)
    if failed:
        raise failed


def _shuffled(deps: Deps, ids: set[str]) -> list[str]:
    """Give ids in another order each time, so that one that always fails does not hide the same others for ever."""
    return sorted(sorted(ids), key=lambda _: deps.jitter())


def _collect(loaded: Sequence[Loaded], connection: str, prefix: str) -> Ask:
    ask = Ask()
    for one in loaded:
        try:
            part = joined(one)
            folded = fold(read_state(one.state), part)
        except (UnknownFrame, UnknownState):
            continue
        if part.connection and part.connection != connection:
            continue
        if part.connection:
            ask.waiting.add(one.ticket)
            if wants_reread(folded):
                ask.tickets[one.ticket.removeprefix(prefix)] = one.ticket
            if part.life and part.life[1] == "deleted":
                ask.doomed.add(one.ticket)
        for want in wants(folded):
            (ask.users if want.kind == "user" else ask.organizations).add(want.id)
    return ask


async def _fetch(deps: Deps, helpdesk: Helpdesk, connection: str, ask: Ask) -> None:
    """Ask for people and organizations that the cache lacks."""
    for kind, wanted in (("user", ask.users), ("organization", ask.organizations)):
        ids = _shuffled(deps, wanted)
        held = await deps.store.cache_get(connection, kind, ids)
        missing = [one for one, raw in zip(ids, held, strict=True) if raw is None]
        for start in range(0, len(missing), helpdesk.at_once):
            part = missing[start : start + helpdesk.at_once]
            try:
                found = await (helpdesk.users(part) if kind == "user" else helpdesk.organizations(part))
            except HelpdeskError as error:
                await _keep(deps, connection, kind, error.found)
                raise
            await _keep(deps, connection, kind, found)
            await deps.store.count({f"lookups_{kind}": len(part)})


async def _keep(deps: Deps, connection: str, kind: str, found: Mapping[str, object]) -> None:
    """Put answers into the cache; "no such record" for a shorter time, since one may yet be made."""
    known = {key: written for key, answer in found.items() if (written := _written(answer)) is not None}
    nobody = dict.fromkeys(found.keys() - known.keys(), write_person(None))
    await deps.store.cache_set(connection, kind, known, CACHE_TTL_S)
    await deps.store.cache_set(connection, kind, nobody, NEGATIVE_TTL_S)


def _written(answer: object) -> bytes | None:
    match answer:
        case Person():
            return write_person(answer)
        case Company():
            return write_company(answer)
    return None


async def _reread(deps: Deps, helpdesk: Helpdesk, connection: str, ask: Ask) -> None:
    """Read tickets anew; each answer is a change stamped with its own time, put like any other."""
    bare = _shuffled(deps, set(ask.tickets))
    for start in range(0, len(bare), helpdesk.at_once):
        part = bare[start : start + helpdesk.at_once]
        asked_us = await deps.store.now_us()  # a change that comes in after it is not in the answer
        try:
            found: Mapping[str, object] = await helpdesk.tickets(part)
        except HelpdeskError as error:
            await _take(deps, connection, ask, error.found, asked_us)
            raise
        await _take(deps, connection, ask, found, asked_us)
        await deps.store.count({"lookups_ticket": len(part)})
    if bare:
        log.info("tickets read anew", extra={"connection": connection, "count": len(bare)})


async def _take(deps: Deps, connection: str, ask: Ask, found: Mapping[str, object], asked_us: int) -> None:
    """
    Put re-read tickets; what they in turn need looked up is asked for in the same round.

    That the helpdesk does not know a ticket proves a deletion which it told before; alone it may be a missing right.
    """
    rules = deps.settings.rules.get(connection)
    payloads = []
    for bare, change in found.items():
        ticket = ask.tickets[bare]
        if not isinstance(change, Change):
            if ticket not in ask.doomed:
                await _bury_unknown(deps, ticket)
                ask.waiting.discard(ticket)
                continue
            change = Change(ticket, connection, updated_at_ms=asked_us // 1000, life="deleted", reread=True)  # noqa: PLW2901
        ruled = rules.of_change(change) if rules else change
        if ruled is not None:
            ruled = wished(ruled, deps.settings.on_delete.get(connection, "delete"))
        if ruled is None:
            await _leave_out(deps, ticket)
            ask.waiting.discard(ticket)
            continue
        payloads.append((ticket, replace(ruled, event_at_us=asked_us).encode()))
        refs = {name: str(value) for name, value in change.refs.items() if value}
        ask.users |= {refs[name] for name in ("requester_id", "assignee_id") if name in refs}
        ask.organizations |= {refs[name] for name in ("organization_id",) if name in refs}
    await deps.store.put_own(payloads)


async def _bury_unknown(deps: Deps, ticket: str) -> None:
    """The helpdesk says that there is no such ticket."""
    token = deps.token()
    one = await _claimed(deps, token, ticket)
    if one:
        await bury(deps, token, [one.burial("not_found", REASONS["not_found"])])
        await deps.store.leave("lookups", [ticket])


async def _leave_out(deps: Deps, ticket: str) -> None:
    """The connection's rules leave the ticket out, which only its re-reading showed: nothing is sent of it."""
    token = deps.token()
    one = await _claimed(deps, token, ticket)
    if one:
        log.info("left out by the connection's rules", extra={"ticket": ticket, "connection": one.connection})
        await deps.store.ack(token, [Ack(ticket, len(one.loaded.value), one.loaded.state or b"")])
        await deps.store.leave("lookups", [ticket])


async def _claimed(deps: Deps, token: str, ticket: str) -> Held | None:
    claimed = await deps.store.claim_named([ticket], token, CLAIM_LEASE_MS)
    loaded = await deps.store.load([ticket]) if claimed else []
    one = hold(loaded[0], claimed[0].doubt) if loaded else None
    if claimed and one is None:
        await deps.store.release(token, [ticket])
    return one
