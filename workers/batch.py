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
from gateway.core.lookups import Company, Found, Person, Want, wants
from gateway.core.ticket import after_upsert
from gateway.store.pending import Ack, Burial, Loaded
from workers.helpdesks.base import read_company, read_person

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.core.lone import Lone
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
    loaded: what this claim has read.
    lone: it came by the express lane; then it is folded only when somebody asks.
    item: what is to be sent, once made.
    """

    ticket: str
    doubt: int
    loaded: Loaded
    lone: Lone | None = None
    item: Item | None = None
    _folded: Folded | None = None

    @property
    def folded(self) -> Folded:
        """
        What its changes come to, a dead letter's included.

        Raises:
            UnknownFrame, UnknownState: it cannot be read.
        """
        if self._folded is None:
            self._folded = fold(states.read(self.loaded.state), joined(self.loaded))
        return self._folded

    @property
    def new(self) -> bool:
        """Planhat is believed not to hold it."""
        return self.lone.new if self.lone else self.folded.new or self.folded.state.gone

    @property
    def history_open(self) -> bool:
        """It has sightings, and Planhat may hold older ones."""
        if self.lone:
            return self.lone.history_open
        return bool(self.folded.state.sightings) and not self.folded.state.history_known

    @property
    def to_delete(self) -> bool:
        """It must go in Planhat; once more where a call was never settled, which may have brought it back."""
        if self.lone:
            return False
        return self.folded.action == "delete" or (self.folded.action == "nothing" and self.doubt > 0)

    @property
    def connection(self) -> str:
        """The connection that brought the changes; "" for changes that no connection brought."""
        return self.lone.connection if self.lone else self.folded.part.connection

    def frame(self) -> bytes:
        """Give the ticket's changes as one frame, to be kept as a dead letter or for a second send."""
        return frame(parts.encode(self.folded.part), self.folded.part.first_us)

    def ack(self, state: State, *, ttl_s: int, lease_ms: int = 0) -> Ack:
        """
        Settle the ticket with its next state.

        Args:
            ttl_s: how long the state of a closed ticket lives, seconds.
            lease_ms: of the call; given after a call about a ticket in doubt, which is then made once more.
        """
        return self._ack(state.encode(), ttl_s if state.may_expire else None, lease_ms)

    def ack_sent(self, planhat_id: str | None, *, ttl_s: int, lease_ms: int) -> Ack:
        """
        Settle the ticket after Planhat took its item.

        Args:
            planhat_id: what the answer told, if anything.
            ttl_s, lease_ms: as for `ack`.
        """
        if self.lone:
            return self._ack(self.lone.encode(planhat_id), ttl_s if self.lone.closed else None, lease_ms)
        assert self.item is not None  # noqa: S101 - only made items are sent
        return self.ack(after_upsert(self.folded, self.item, planhat_id), ttl_s=ttl_s, lease_ms=lease_ms)

    def _ack(self, state: bytes, ttl_s: int | None, lease_ms: int) -> Ack:
        resend = self.frame() if lease_ms and self.doubt == 1 else None
        return Ack(self.ticket, len(self.loaded.value), state, ttl_s, resend, lease_ms)

    def burial(self, reason: str, detail: str) -> Burial:
        """Make the ticket a dead letter: its changes are kept, its reason told."""
        return Burial(self.ticket, len(self.loaded.value), self.frame(), reason, detail, self.connection)


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
    held = Held(loaded.ticket, doubt, loaded)
    try:
        held.folded  # noqa: B018 - read now, so that what cannot be read is found here
    except (UnknownFrame, states.UnknownState) as error:
        log.warning("ticket left alone", extra={"ticket": loaded.ticket, "detail": str(error)})
        return None
    return held


def joined(loaded: Loaded) -> Part:
    """
    Read a ticket's unsent changes as one part, a dead letter's included.

    Raises:
        UnknownFrame: they cannot be read.
    """
    part = parts.read(loaded.value)
    return parts.join(part, parts.read(loaded.dead)) if loaded.dead else part


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
