"""
`forget`: erase a person from everything that Redis holds, beside running workers.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import Misuse
from gateway.cli.frame import destinations_asked, emit, json_option, open_store, plain, run, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.core.erasure import Kept, Left
    from gateway.store.pending import Store

WALKS: Final = 5
"""Walks over all that is kept, until one finds nothing; what still comes then is being sent again and again."""

TRIES: Final = 5
"""At a ticket that changes between reading and erasing."""

SHOWN: Final = 50


@dataclass(slots=True)
class Forgotten:
    """
    What a person's erasure came to.

    destination: where.
    tickets: theirs, of which nothing is left. planhat_ids: of these, where the state told them.
    changes, states, dead: how many of them had unsent changes, a state, a dead letter.
    redacted: other people's tickets that named the address: it was taken out, the rest stays.
    in_flight: tickets that a worker held, so that a call about them may have been under way.
    quarantined: deliveries that named the address, removed whole. cached: look-up answers, removed.
    left: tickets that another release wrote, or that changed all the time; nothing was done about them.
    complete: a last walk over everything found nothing of the person.
    file_rewritten: Redis writes its append-only file anew, without what was erased; None when it keeps none.
    """

    destination: str = "planhat"
    tickets: list[str] = field(default_factory=list)
    planhat_ids: dict[str, str] = field(default_factory=dict)
    changes: int = 0
    states: int = 0
    dead: int = 0
    redacted: list[str] = field(default_factory=list)
    in_flight: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    cached: int = 0
    left: list[str] = field(default_factory=list)
    complete: bool = False
    file_rewritten: bool | None = None


@click.command("forget")
@click.argument("email", metavar="EMAIL")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def forget(email: str, *, yes: bool, as_json: bool) -> None:
    """
    Erase a person from everything that Redis holds: unsent changes, states, dead letters, quarantine, look-ups.

    Their tickets are erased whole; from other people's tickets the address is taken out. It is safe beside running
    workers, and nothing erased can be replayed. Planhat and the helpdesk are not touched: erase the person in the
    helpdesk first, else its next webhook brings them back. Every destination is looked at, unless --destination names
    one; --json prints a line for each. Reads REDIS_URL.

    Exit codes: 0 nothing is left; 1 something is left, or Redis cannot be used; 2 no e-mail address, or wrong settings.
    """
    from gateway.sources.reading import mail_address

    address = mail_address(email)
    if address is None:
        raise Misuse(
            f"{plain(email)!r} is no e-mail address: give it as the helpdesk has it, such as ada@mail.example."
        )
    if not yes:
        click.confirm(f"Erase what Redis holds of {address} for good?", abort=True, err=True)

    async def work() -> list[Forgotten]:
        from gateway.store.pending import Store

        async with open_store() as first:
            stores = (Store(first.redis, name, limits=first.limits) for name in destinations_asked())
            return [await forgotten(store, address) for store in stores]

    came = run(work())
    for one in came:
        if as_json:
            emit(asdict(one))
        else:
            _show(one, address, named=len(came) > 1)
    if any(one.left or not one.complete for one in came):
        raise click.exceptions.Exit(1)


async def forgotten(store: Store, address: str) -> Forgotten:
    """
    Erase a person, walk by walk, until a walk finds nothing.

    Args:
        address: their e-mail, in lower case.
    """
    eraser = _Eraser(store, address)
    came = eraser.came
    for _ in range(WALKS):
        if not await eraser.walk():
            came.complete = True
            break
    came.file_rewritten = await store.rewrite_file()
    return came


class _Eraser:
    """One erasure: what it knows of the person grows as it walks."""

    def __init__(self, store: Store, address: str) -> None:
        from gateway.core.wanted import Wanted

        self.came = Forgotten(store.keys.destination)
        self._store = store
        self._wanted = Wanted(address)
        self._token = f"forget-{secrets.token_hex(8)}"

    async def walk(self) -> int:
        """
        Walk over everything once; give how much was found.

        In the order in which things move: a replay leads from the quarantine and the dead letters to the changes, a
        burial from there to the dead letters again. So nothing slips past a walk by moving.
        """
        from gateway.core.wanted import redacted

        found = await self._quarantine() + await self._dead() + await self._keys() + await self._dead()
        return found + await self._store.reword(lambda said: redacted(said, self._wanted))

    async def _keys(self) -> int:
        found, cursor = 0, 0
        while True:
            cursor, tickets, cached = await self._store.walk(cursor)
            found += await self._cached(cached) + await self._tickets(tickets)
            if not cursor:
                return found

    async def _dead(self) -> int:
        found, cursor = 0, 0
        while True:
            cursor, tickets = await self._store.walk_dead(cursor)
            found += await self._tickets(tickets)
            if not cursor:
                return found

    async def _quarantine(self) -> int:
        from gateway.core.wanted import mentions

        found, cursor = 0, 0
        while True:
            cursor, deliveries = await self._store.walk_quarantine(cursor)
            theirs = [ident for ident, raw in deliveries.items() if mentions(raw, self._wanted)]
            found += await self._store.close_quarantined(theirs)
            self.came.quarantined += theirs
            if not cursor:
                return found

    async def _cached(self, cached: dict[str, bytes]) -> int:
        """Remove look-up answers that name the person, and learn the ids under which helpdesks know them."""
        from gateway.core.wanted import mentions

        theirs = [key for key, raw in cached.items() if mentions(raw, self._wanted)]
        for key in theirs:
            connection, _, rest = key.removeprefix(self._store.keys.cache_prefix).partition(":")
            kind, _, ident = rest.partition(":")
            if kind == "user":
                self._know({(connection, ident)})
        count = await self._store.forget_cached(theirs)
        self.came.cached += count
        return count

    async def _tickets(self, tickets: Iterable[str]) -> int:
        """Erase or redact those of the tickets that name the person; give how many do."""
        found = 0
        waiting = [ticket for ticket in tickets if ticket not in self.came.left]
        for _ in range(TRIES):
            if not waiting:
                return found
            ends = await self._once(waiting)
            waiting = [ticket for ticket, end in ends.items() if end == "changed"]
            found += len(ends) - len(waiting)
        self.came.left += waiting
        return found + len(waiting)

    async def _once(self, tickets: list[str]) -> dict[str, str]:
        """Try once; give how it ended for each ticket that names the person."""
        from gateway.core.change import UnknownFrame
        from gateway.core.erasure import erased
        from gateway.core.state import UnknownState

        kept, left = await self._store.kept(tickets), {}
        for ticket, before in kept.items():
            try:
                if after := erased(before, self._wanted):
                    left[ticket] = after
            except (UnknownFrame, UnknownState):
                self.came.left.append(ticket)
        pairs = {ticket: (kept[ticket], after.kept) for ticket, after in left.items()}
        ends = await self._store.forget(self._token, pairs)
        for ticket, end in ends.items():
            if end != "changed":
                self._note(ticket, kept[ticket], left[ticket])
            if end == "held" and ticket not in self.came.in_flight:
                self.came.in_flight.append(ticket)
        return ends

    def _note(self, ticket: str, before: Kept, after: Left) -> None:
        came = self.came
        names = came.tickets if after.about else came.redacted
        if ticket not in names:
            names.append(ticket)
        if after.planhat_id:
            came.planhat_ids[ticket] = after.planhat_id
        if after.about:
            came.changes += bool(before.value)
            came.states += bool(before.state)
            came.dead += bool(before.dead)
            self._know(after.ids)

    def _know(self, ids: Iterable[tuple[str, str]]) -> None:
        from dataclasses import replace

        self._wanted = replace(self._wanted, ids=self._wanted.ids | frozenset(ids))


def _show(came: Forgotten, address: str, *, named: bool) -> None:
    """Say to a person what was erased, and what is left to them."""
    if named:
        click.echo(f"Destination {came.destination}")
    of_these = f"{came.changes} had unsent changes, {came.states} a state, {came.dead} a dead letter"
    rows = [
        ("tickets erased", len(came.tickets), of_these),
        ("tickets redacted", len(came.redacted), "other people's, which named the address"),
        ("deliveries removed", len(came.quarantined), "quarantined ones that named the address"),
        ("look-ups removed", came.cached, "the helpdesk's answers, kept for a while"),
    ]
    table(("", "", ""), rows)
    for title, tickets in (("Erased", came.tickets), ("Redacted", came.redacted)):
        if tickets:
            more = f" and {len(tickets) - SHOWN} more" if len(tickets) > SHOWN else ""
            click.echo(f"{title}: {plain(', '.join(tickets[:SHOWN]))}{more}")
    click.echo("\nLeft to you:")
    click.echo(f"- Planhat still has what it was sent: `planhat-gateway tickets list --email {address}`, then")
    click.echo("  `planhat-gateway tickets delete _ID...`; the end user is erased in Planhat itself.")
    click.echo("- Where the helpdesk still knows the person, its next webhook brings them back.")
    if came.in_flight:
        click.echo(
            f"- A worker held {plain(', '.join(came.in_flight[:SHOWN]))}: look at Planhat again in some minutes."
        )
    if came.file_rewritten is False:
        click.echo("- Redis did not write its append-only file anew; until it does, the file holds what was erased.")
    click.echo("- Backups and snapshots of Redis, and files of `dead export`, hold what they held.")
    if came.left:
        click.echo(f"Not done (changing all the time, or of another release): {plain(', '.join(came.left))}", err=True)
    if not came.complete:
        click.echo("New data of the person keeps coming in: erase them in the helpdesk, then try again.", err=True)
