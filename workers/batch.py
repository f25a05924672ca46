"""
A claimed batch: tickets with their changes, states and items, between claim and settlement.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.core import part as parts
from gateway.core import state as states
from gateway.core.change import UnknownFrame, frame
from gateway.core.fold import Folded, fold
from gateway.core.ticket import Company, Found, Person, Want, wants
from gateway.store.pending import Ack, Burial, Loaded
from workers.helpdesks.base import read_company, read_person

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.core.part import Part
    from gateway.core.state import State
    from gateway.core.ticket import Item
    from gateway.store.pending import Store

log = logging.getLogger("planhat_gateway.flush")


@dataclass(slots=True)
class Held:
    """
    One claimed ticket.

    doubt: 0, 1 (a holder never settled) or 2 (its second send is outstanding).
    cut: bytes of the value that this claim has read.
    dead: it has a dead letter, whose changes are folded in.
    item: what is to be sent, once made.
    """

    ticket: str
    doubt: int
    cut: int
    dead: bool
    folded: Folded
    item: Item | None = None

    @property
    def to_delete(self) -> bool:
        """It must go in Planhat; once more after a deletion in doubt, since an older call may have landed after it."""
        return self.folded.action == "delete" or (self.folded.action == "nothing" and self.doubt == 2)

    @property
    def connection(self) -> str:
        """The connection that brought the changes; "" for changes that no connection brought."""
        return self.folded.part.connection

    def frame(self) -> bytes:
        """Give the ticket's changes as one frame, to be kept as a dead letter or for a second send."""
        return frame(parts.encode(self.folded.part), self.folded.part.first_us)

    def ack(self, state: State, *, ttl_s: int, lease_ms: int = 0) -> Ack:
        """
        Settle the ticket with its next state.

        Args:
            ttl_s: how long the state of a closed ticket lives, seconds.
            lease_ms: of the call; given after a send of a ticket in doubt, which is then sent once more.
        """
        return Ack(
            ticket=self.ticket,
            cut=self.cut,
            state=state.encode(),
            ttl_s=ttl_s if state.may_expire else None,
            resend=self.frame() if lease_ms and self.doubt == 1 else None,
            lease_ms=lease_ms,
        )

    def burial(self, reason: str, detail: str) -> Burial:
        """Make the ticket a dead letter: its changes are kept, its reason told."""
        return Burial(self.ticket, self.cut, self.frame(), reason, detail, self.connection)


@dataclass(slots=True)
class Batch:
    """
    Claimed tickets, ready to be sent.

    token: of their claim.
    suspects: it is a bisection's test.
    """

    token: str
    ready: list[Held]
    suspects: bool = False


def hold(loaded: Loaded, doubt: int) -> Held | None:
    """
    Fold a loaded ticket; None when a newer release wrote it (it is left alone) or it is damaged.
    """
    try:
        part = parts.read(loaded.value)
        if loaded.dead:
            part = parts.join(part, parts.read(loaded.dead))
        state = states.read(loaded.state)
    except (UnknownFrame, states.UnknownState) as error:
        log.warning("ticket left alone", extra={"ticket": loaded.ticket, "detail": str(error)})
        return None
    return Held(loaded.ticket, doubt, len(loaded.value), bool(loaded.dead), fold(state, part))


def read_parts(loaded: Loaded) -> Part | None:
    """Read a ticket's unsent changes as one part; None when they cannot be read."""
    try:
        return parts.read(loaded.value)
    except UnknownFrame:
        return None


def wanted(held: Iterable[Held]) -> dict[tuple[str, str], set[str]]:
    """Give the ids to look up, by (connection, kind)."""
    ids: dict[tuple[str, str], set[str]] = {}
    for one in held:
        for want in wants(one.folded):
            ids.setdefault((one.connection, want.kind), set()).add(want.id)
    return ids


async def cached(store: Store, held: Sequence[Held]) -> dict[str, Found]:
    """Give the look-up answers that Redis holds, by connection."""
    people: dict[str, dict[str, Person | None]] = {}
    companies: dict[str, dict[str, Company | None]] = {}
    for (connection, kind), ids in wanted(held).items():
        ordered = sorted(ids)
        answers = dict(zip(ordered, await store.cache_get(connection, kind, ordered), strict=True))
        known = {key: raw for key, raw in answers.items() if raw is not None}
        if kind == "user":
            people.setdefault(connection, {}).update({key: read_person(raw) for key, raw in known.items()})
        else:
            companies.setdefault(connection, {}).update({key: read_company(raw) for key, raw in known.items()})
    names = people.keys() | companies.keys()
    return {name: Found(people.get(name, {}), companies.get(name, {})) for name in names}


def lacking(held: Held, found: Mapping[str, Found]) -> frozenset[Want]:
    """Give the look-ups of a ticket that nobody has answered yet."""
    answers = found.get(held.connection, Found())
    return frozenset(
        want
        for want in wants(held.folded)
        if want.id not in (answers.people if want.kind == "user" else answers.companies)
    )
