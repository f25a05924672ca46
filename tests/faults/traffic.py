"""
Endless traffic of a helpdesk: tickets opened and changed, deletions, repeats, neighbours swapped, forgeries.

Seeded: the same chance gives the same parcels in the same order.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Final

from tests.faults.helpdesk import Delivery
from tests.faults.sender import Kind, Parcel

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.faults.helpdesk import Helpdesk, Ticket

FORGERIES: Final[tuple[Kind, ...]] = ("forged", "stale", "torn", "unsigned")
SHUFFLED: Final = 24
"""So many deliveries are on their way at once, and arrive in any order."""


class Traffic:
    """
    An iterator of parcels.

    Args:
        total: parcels, of every kind.
        again: share of deliveries that come once more, soon or much later.
        forged: share of parcels that nobody of ours signed.
        deletes, poison, unreadable: shares of the changes that are deletions, that carry a POISON title, and of
            authentic bodies that cannot be read.
    """

    def __init__(
        self,
        helpdesk: Helpdesk,
        chance: random.Random,
        total: int,
        *,
        again: float = 0.1,
        forged: float = 0.02,
        deletes: float = 0.0015,
        poison: float = 0.01,
        unreadable: float = 0.002,
    ) -> None:
        self.helpdesk, self.chance, self.total = helpdesk, chance, total
        self.again, self.forged, self.deletes, self.poison, self.unreadable = again, forged, deletes, poison, unreadable
        self.unopened = list(helpdesk.tickets.values())[::-1]
        self.alive: list[Ticket] = []
        self._sent: deque[Delivery] = deque(maxlen=5_000)
        self._torn = 0

    def __iter__(self) -> Iterator[Parcel]:
        on_their_way: list[Parcel] = []
        for number in range(self.total):
            while len(on_their_way) < min(SHUFFLED, self.total - number):
                on_their_way.append(self._parcel(self.total - number))
            yield on_their_way.pop(self.chance.randrange(len(on_their_way)))

    def fresh(self, count: int) -> list[Delivery]:
        """Give changes outside the stream, of tickets that nobody deletes; the caller holds the sender's lock."""
        people = self.helpdesk.users
        open_ones = [ticket for ticket in self.alive if people[ticket.requester_id]["email"]]
        return [self.helpdesk.change(one) for one in self.chance.sample(open_ones, k=min(count, len(open_ones)))]

    def _parcel(self, left: int) -> Parcel:
        chance = self.chance
        if self._sent and chance.random() < self.again:
            return Parcel(chance.choice(self._sent))
        if self.alive and chance.random() < self.forged:
            return self._forgery()
        if chance.random() < self.unreadable:
            self._torn += 1
            body = json.dumps({"n": self._torn, "detail": None, "type": 7}).encode()
            return Parcel(Delivery("", 0, body), "unreadable")
        made = self._change(left)
        self._sent.append(made)
        return Parcel(made)

    def _change(self, left: int) -> Delivery:
        chance, helpdesk = self.chance, self.helpdesk
        if self.unopened and (not self.alive or chance.random() < 1.2 * len(self.unopened) / max(1, left)):
            ticket = self.unopened.pop()
            if helpdesk.users[ticket.requester_id]["email"] and chance.random() < 0.3:
                ticket.requester_id = helpdesk.new_person()
            self.alive.append(ticket)
            return helpdesk.change(ticket)
        recent = self.alive[-200:] if chance.random() < 0.7 else self.alive
        ticket = chance.choice(recent)
        if len(self.alive) > 20 and chance.random() < self.deletes:
            self.alive.remove(ticket)
            return helpdesk.delete(ticket)
        return helpdesk.change(ticket, "POISON " if chance.random() < self.poison else "")

    def _forgery(self) -> Parcel:
        """A delivery that would make a ticket newer than it is, were it believed."""
        ticket = self.chance.choice(self.alive)
        detail = {**ticket.versions[-1].detail, "id": ticket.id, "subject": f"FORGED {ticket.id} v999999"}
        made = self.helpdesk.tell(ticket, "status_changed", 999_999, ticket.versions[-1].at_ms + 86_400_000, detail)
        return Parcel(made, self.chance.choice(FORGERIES))
