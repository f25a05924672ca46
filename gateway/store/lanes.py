"""Tickets that wait for something else than their turn: look-ups, deletes, read-backs, and suspects of a bad batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.store.room import SLICE, Room, number, slices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEPT: Final = ("unread",)
"""Lanes whose tickets may have nothing unsent: a read-back is about what was sent."""


class Lanes(Room):
    """Lanes and suspects. A lane is a hint and may be lost: `due` is the truth."""

    async def waiting(self, lane: str, limit: int = SLICE) -> list[str]:
        """Give tickets whose turn in a lane has come, oldest first, at most `limit` (<= 1,000)."""
        tickets = await self.scripts.run(
            "waiting",
            [self.keys.lane(lane), self.keys.due],
            [self.scripts.now(), max(1, min(limit, SLICE)), int(lane in KEPT)],
        )
        return [ticket.decode() for ticket in tickets]

    async def ready(self, lane: str, tickets: Sequence[str]) -> int:
        """End the wait of tickets: out of the lane, due now unless somebody holds them. Gives how many became due."""
        return await self._ready(self.keys.lane(lane), tickets)

    async def park(self, lane: str, tickets: Sequence[str], at_ms: int) -> int:
        """
        Wait on, in the lane and (unless held) in `due`, until `at_ms`; a read-back (`unread`) only in its lane.

        Returns:
            How many stay in the lane.
        """
        count = 0
        for part in slices(tickets):
            count += await self.scripts.run(
                "park", [self.keys.lane(lane), self.keys.due, self.keys.lease], [at_ms, int(lane in KEPT), *part]
            )
        return count

    async def leave(self, lane: str, tickets: Sequence[str]) -> None:
        """Leave a lane; `due` stays as it is."""
        for part in slices(tickets):
            await self.command("ZREM", self.keys.lane(lane), *part)

    async def suspects(self) -> list[tuple[str, int]]:
        """Give the tickets of failed batches and their groups: 0 set aside, 1 known to hold poison, 2 to go alone."""
        rows = await self.command("ZRANGE", self.keys.suspects, 0, -1, "WITHSCORES")
        return [(ticket.decode(), number(group)) for ticket, group in zip(rows[::2], rows[1::2], strict=True)]

    async def regroup(self, groups: Mapping[str, int]) -> int:
        """Move tickets to groups of suspects; those with nothing unsent are none any more. Gives how many are."""
        count = 0
        for part in slices(list(groups.items())):
            pairs = [item for ticket, group in part for item in (group, ticket)]
            count += await self.scripts.run("regroup", [self.keys.suspects, self.keys.due], pairs)
        return count

    async def unsuspect(self, tickets: Sequence[str]) -> int:
        """Clear suspects: due now unless somebody holds them. Gives how many became due."""
        return await self._ready(self.keys.suspects, tickets)

    async def _ready(self, key: str, tickets: Sequence[str]) -> int:
        count = 0
        for part in slices(tickets):
            count += await self.scripts.run(
                "ready", [key, self.keys.due, self.keys.lease, self.keys.doubt], [self.scripts.now(), *part]
            )
        return count
