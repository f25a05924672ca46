"""What the workers' clockwork needs beside the moves: long values, suspects nobody holds, histories to read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.store.room import Room, slices, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Upkeep(Room):
    """Reads and small writes of the workers' clockwork."""

    async def long_values(self, cursor: int, count: int, least_bytes: int) -> tuple[int, list[str]]:
        """
        Walk over the pending tickets and give those whose unsent changes take at least `least_bytes`.

        Args:
            cursor: 0 to begin, then what the last call gave.
        Returns:
            The next cursor (0 = done) and the tickets; a ticket may come twice.
        Keys:
            due, change:<ticket>.
        """
        following, flat = await self.command("ZSCAN", self.keys.due, cursor, "COUNT", count)
        tickets = [text(ticket) for ticket in flat[::2]]
        lengths = await self.commands(("STRLEN", self.keys.change(ticket)) for ticket in tickets) if tickets else []
        long = [ticket for ticket, length in zip(tickets, lengths, strict=True) if length >= least_bytes]
        return int(following), long

    async def suspect(self, groups: Mapping[str, int]) -> None:
        """Make suspects of tickets that nobody need hold; see `Lanes.suspects` for the groups."""
        for part in slices(list(groups.items())):
            await self.command(
                "ZADD", self.keys.suspects, *(word for ticket, group in part for word in (group, ticket))
            )

    async def await_history(self, tickets: Sequence[str], at_ms: int) -> None:
        """Note tickets whose history in Planhat is to be read back from `at_ms` on; they may have nothing unsent."""
        for part in slices(tickets):
            await self.command("ZADD", self.keys.lane("unread"), *(word for ticket in part for word in (at_ms, ticket)))

    async def histories(self, limit: int) -> list[str]:
        """Give the tickets whose history is to be read back now, oldest first."""
        now_ms = await self.now_ms()
        rows = await self.command("ZRANGE", self.keys.lane("unread"), "-inf", now_ms, "BYSCORE", "LIMIT", 0, limit)
        return [text(ticket) for ticket in rows]
