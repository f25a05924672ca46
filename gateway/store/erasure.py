"""What it takes to forget a person: walk over all that is kept, and put in its place what is left."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.erasure import Kept
from gateway.errors import StoreUnavailable
from gateway.store.room import Room, slices, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.store.scripts import Arg

PAGE: Final = 1_000
SLICE: Final = 100
"""Tickets of one rewriting: each may be large, and is hashed in Redis."""

_FORGOTTEN: Final = ("changed", "done", "held")


class Walked(NamedTuple):
    """One step of a walk. cursor: for the next one, 0 at the end. cached: key -> look-up answer."""

    cursor: int
    tickets: list[str]
    cached: dict[str, bytes]


class Erasure(Room):
    """Reads and rewrites everything that may name a person."""

    async def walk(self, cursor: int) -> Walked:
        """
        Take a step over all keys of the destination, roughly 1,000 of them.

        Returns:
            Tickets with unsent changes or a state, and cached look-ups. What is there from the first step to the last
            is met; what comes meanwhile may not be.
        """
        keys = self.keys
        following, found = await self.command("SCAN", cursor, "MATCH", f"{keys.base}*", "COUNT", PAGE)
        names = [text(name) for name in found]
        tickets = [
            name.removeprefix(prefix)
            for name in names
            for prefix in (keys.change_prefix, keys.state_prefix)
            if name.startswith(prefix)
        ]
        lookups = [name for name in names if name.startswith(keys.cache_prefix)]
        answers = await self.command("MGET", *lookups) if lookups else []
        cached = {name: raw for name, raw in zip(lookups, answers, strict=True) if raw is not None}
        return Walked(int(following), list(dict.fromkeys(tickets)), cached)

    async def walk_dead(self, cursor: int) -> tuple[int, list[str]]:
        """Take a step over the tickets that have a dead letter; gives the next cursor (0 at the end) and tickets."""
        return await self._walk_index(self.keys.dead, cursor)

    async def walk_quarantine(self, cursor: int) -> tuple[int, dict[str, bytes]]:
        """Take a step over the quarantine; gives the next cursor and, by id, rows and bodies as one text each."""
        keys = self.keys
        following, idents = await self._walk_index(keys.quarantine, cursor)
        if not idents:
            return following, {}
        rows, bodies = await self.commands(
            [("HMGET", keys.quarantine_row, *idents), ("HMGET", keys.quarantine_body, *idents)]
        )
        kept = zip(idents, rows, bodies, strict=True)
        return following, {ident: b"\n".join((row or b"", body or b"")) for ident, row, body in kept}

    async def kept(self, tickets: Sequence[str]) -> dict[str, Kept]:
        """
        Read everything that Redis holds of tickets, each whole.

        Keys:
            change:<ticket>, state:<ticket>, dead:frame, dead:row.
        """
        keys, found = self.keys, {}
        for part in slices(tickets):
            read: list[tuple[Arg, ...]] = [
                ("MGET", *map(keys.change, part)),
                ("MGET", *map(keys.state, part)),
                ("HMGET", keys.dead_frame, *part),
                ("HMGET", keys.dead_row, *part),
            ]
            columns = await self.commands(read, atomic=True)
            for ticket, *row in zip(part, *columns, strict=True):
                found[ticket] = Kept(*(raw or b"" for raw in row))
        return found

    async def forget(self, token: str, left: Mapping[str, tuple[Kept, Kept]]) -> dict[str, str]:
        """
        Put what is left of tickets in the place of what was read of them.

        Args:
            token: becomes that of every claim on them, so that their holders can settle nothing any more.
            left: ticket -> (as it was read, what is to be left of it).
        Returns:
            ticket -> `done`, `held` (done; a call about it may have been under way) or `changed` (nothing was done).
        Keys:
            due, lease, doubt, dead, dead:row, dead:frame, suspects, the lanes, change:<ticket>, state:<ticket>.
        Atomic:
            Each ticket.
        """
        keys = self.keys
        named = [keys.due, keys.lease, keys.doubt, keys.dead, keys.dead_row, keys.dead_frame, keys.suspects]
        named += [keys.lane("lookups"), keys.lane("deletes"), keys.lane("unread")]
        answers: dict[str, str] = {}
        for part in slices(list(left), SLICE):
            tail = [key for ticket in part for key in (keys.change(ticket), keys.state(ticket))]
            args: list[Arg] = [token, keys.change_prefix_bytes]
            for ticket in part:
                before, after = left[ticket]
                args += (_seen(before), after.value, after.state, after.dead, after.row)
            result = await self.scripts.run("forget", [*named, *tail], args)
            answers |= {ticket: _FORGOTTEN[code] for ticket, code in zip(part, result, strict=True)}
        return answers

    async def forget_cached(self, keys: Sequence[str]) -> int:
        """Remove cached look-ups by their keys (see `walk`). Gives how many there were."""
        count = 0
        for part in slices(keys):
            count += int(await self.command("DEL", *part))
        return count

    async def reword(self, rewrite: Callable[[str], str]) -> int:
        """
        Rewrite what Planhat said with its last refusals, which may quote a person. Gives how many texts changed.

        Keys:
            health, pause.
        """
        count = 0
        for key in (self.keys.health, self.keys.pause):
            for name, raw in (await self.command("HGETALL", key)).items():
                after = rewrite(text(raw))
                if after != text(raw):
                    count += await self.scripts.run("swap", [key], [name, raw, after])
        return count

    async def rewrite_file(self) -> bool | None:
        """
        Have Redis write its append-only file anew, since the old one still holds what was erased.

        Returns:
            Whether it does; None when it keeps no such file.
        """
        if (await self.command("INFO", "persistence")).get("aof_enabled") == 0:
            return None
        try:
            await self.command("BGREWRITEAOF")
        except StoreUnavailable:  # managed servers forbid it, or one is under way
            return False
        return True

    async def _walk_index(self, key: str, cursor: int) -> tuple[int, list[str]]:
        following, flat = await self.command("ZSCAN", key, cursor, "COUNT", PAGE)
        return int(following), [text(ident) for ident, _ in flat]


def _seen(kept: Kept) -> str:
    """Give the digest that the script makes of what it finds."""
    four = (kept.value, kept.state, kept.dead, kept.row)
    sizes = " ".join(str(len(raw)) for raw in four).encode()
    return hashlib.sha1(b" ".join((sizes, *four)), usedforsecurity=False).hexdigest()
