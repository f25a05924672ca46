"""The far end of the bridge: claim, load, extend, and the four ways to let go (ack, release, bury, compact)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.store.records import Ack, Burial, Claimed, Loaded
from gateway.store.room import SLICE, Room, number, slices, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.store.scripts import Arg

ASIDE_MS: Final = 600_000
"""How far a suspect moves on when it is met among the due tickets."""

SETTLE_SLICE: Final = 500
_ACK_HEAD: Final = struct.Struct(">IIIB")
_ACKED: Final = ("gone", "acked", "resend")
_BURIED: Final = ("gone", "buried", "full")


class Leases(Room):
    """
    Claims and their ends.

    A token must be unique per claim. Every method takes any number of tickets and works in slices, each of them atomic;
    a call that fails midway may be repeated with the same arguments.
    """

    async def claim(self, limit: int, token: str, lease_ms: int) -> list[Claimed]:
        """
        Claim due tickets, oldest first; suspects are left out.

        Args:
            limit: at most so many tickets.
            lease_ms: how long the claim holds.
        Keys:
            due, lease, doubt, suspects.
        """
        keys = self.keys
        claimed: list[Claimed] = []
        while len(claimed) < limit:
            size = min(SLICE, limit - len(claimed))
            tickets, doubts, met = await self.scripts.run(
                "claim",
                [keys.due, keys.lease, keys.doubt, keys.suspects],
                [self.scripts.now(), size, token, lease_ms, ASIDE_MS],
            )
            claimed += _claimed(tickets, doubts)
            if met < size:
                break
        return claimed

    async def claim_named(
        self, tickets: Sequence[str], token: str, lease_ms: int, *, lane: str | None = None
    ) -> list[Claimed]:
        """
        Claim named tickets: those with something unsent that nobody else holds, snoozed ones and suspects too.

        A ticket that waits for its second send is left out until its time, unless it is a suspect or stands in `lane`:
        it came there because its time had come.
        """
        keys = self.keys
        free = keys.lane(lane) if lane else keys.suspects
        claimed: list[Claimed] = []
        for part in slices(tickets):
            taken, doubts = await self.scripts.run(
                "claim_named",
                [keys.due, keys.lease, keys.doubt, free],
                [self.scripts.now(), token, lease_ms, *part],
            )
            claimed += _claimed(taken, doubts)
        return claimed

    async def load(self, tickets: Sequence[str]) -> list[Loaded]:
        """
        Read what claimed tickets hold. Those with nothing unsent are left out, and taken out of `due`.

        Keys:
            change:<ticket>, state:<ticket>, dead:frame.
        """
        loaded = await self.peek(tickets)
        empty = [one.ticket for one in loaded if not one.value]
        for part in slices(empty):
            keys = self.keys
            await self.scripts.run(
                "sweep",
                [keys.due, keys.lease, keys.doubt, keys.suspects, *map(keys.change, part)],
                [keys.change_prefix_bytes],
            )
        return [one for one in loaded if one.value] if empty else loaded

    async def peek(self, tickets: Sequence[str]) -> list[Loaded]:
        """Read what tickets hold, claimed or not; a value may be empty."""
        loaded: list[Loaded] = []
        keys = self.keys
        for part in slices(tickets):
            read: tuple[Arg, ...] = ("MGET", *map(keys.change, part), *map(keys.state, part))
            both, any_dead = await self.commands([read, ("EXISTS", keys.dead_frame)])
            dead = await self.command("HMGET", keys.dead_frame, *part) if any_dead else [None] * len(part)
            values = (value or b"" for value in both[: len(part)])
            loaded += [Loaded(*row) for row in zip(part, values, both[len(part) :], dead, strict=True)]
        return loaded

    async def extend(self, tickets: Sequence[str], token: str, lease_ms: int) -> set[str]:
        """
        Move the end of claims to now + `lease_ms`.

        Returns:
            The tickets that are no longer ours; empty when all are.
        """
        lost: set[str] = set()
        for part in slices(tickets):
            gone = await self.scripts.run(
                "extend", [self.keys.due, self.keys.lease], [self.scripts.now(), token, lease_ms, *part]
            )
            lost |= {ticket.decode() for ticket in gone}
        return lost

    async def ack(self, token: str, acks: Sequence[Ack]) -> dict[str, str]:
        """
        Settle sent tickets: cut what was sent, write the state, drop the claim.

        Returns:
            ticket -> `acked`, `resend` (kept, to be sent once more) or `gone` (no longer ours: settled or taken over).
        Raises:
            ValueError: a resend that is not one whole frame.
        Keys:
            due, lease, doubt, suspects, dead, dead:row, dead:frame, change:<ticket>, state:<ticket>.
        """
        keys = self.keys
        answers: dict[str, str] = {}
        for part in slices(list({one.ticket: one for one in acks}.values()), SETTLE_SLICE):
            tail: list[str] = []
            args: list[Arg] = [self.scripts.now(), token, keys.change_prefix_bytes]
            for one in part:
                tail += (keys.change_prefix + one.ticket, keys.state_prefix + one.ticket)
                head = _ACK_HEAD.pack(one.cut, one.ttl_s or 0, one.lease_ms, one.close_dead)
                args += (head, one.state, whole(one.resend) if one.resend else b"")
            named = [keys.due, keys.lease, keys.doubt, keys.suspects, keys.dead, keys.dead_row, keys.dead_frame]
            result = await self.scripts.run("ack", [*named, *tail], args)
            answers |= {one.ticket: _ACKED[code] for one, code in zip(part, result, strict=True)}
        return answers

    async def release(
        self,
        token: str,
        tickets: Sequence[str],
        *,
        not_before_ms: int | None = None,
        lane: str | None = None,
        group: int | None = None,
    ) -> int:
        """
        Give tickets back unsent, due since their first arrival.

        Args:
            not_before_ms: a snooze, Unix ms by Redis' clock.
            lane: also wait in `lookups`, `deletes` or `unread`.
            group: also stand among the suspects, in this group.
        Returns:
            How many were still ours.
        """
        keys, count = self.keys, 0
        lane_key = keys.lane(lane or "lookups")
        for part in slices(tickets):
            count += await self.scripts.run(
                "release",
                [keys.due, keys.lease, keys.suspects, lane_key, *map(keys.change, part)],
                [
                    *(self.scripts.now(), token, keys.change_prefix_bytes, not_before_ms or 0, int(lane is not None)),
                    b"" if group is None else group,
                ],
            )
        return count

    async def bury(self, token: str, burials: Sequence[Burial]) -> dict[str, str]:
        """
        Make tickets dead letters; what arrived after the claim stays due.

        Returns:
            ticket -> `buried`, `gone` (no longer ours) or `full` (at the cap: nothing moved, the claim still holds).
        Raises:
            ValueError: a frame that is not one whole frame.
        Keys:
            due, lease, doubt, suspects, dead, dead:row, dead:frame, change:<ticket>.
        """
        keys = self.keys
        answers: dict[str, str] = {}
        for part in slices(list({one.ticket: one for one in burials}.values()), SETTLE_SLICE):
            args: list[Arg] = [self.scripts.now(), token, keys.change_prefix_bytes, self.limits.dead_letter_max]
            for one in part:
                row = {"reason": one.reason, "detail": one.detail, "connection": one.connection}
                args += (one.cut, whole(one.frame), orjson.dumps(row))
            named = [keys.due, keys.lease, keys.doubt, keys.suspects, keys.dead, keys.dead_row, keys.dead_frame]
            result = await self.scripts.run("bury", [*named, *(keys.change(one.ticket) for one in part)], args)
            answers |= {one.ticket: _BURIED[code] for one, code in zip(part, result, strict=True)}
        return answers

    async def several_frames(self, cursor: int, count: int, before_us: int) -> tuple[int, list[str]]:
        """
        Walk the pending tickets for those that hold more than one frame.

        Args:
            cursor: 0 to begin, then what the last call gave.
            count: roughly how many tickets to look at.
            before_us: those whose first frame arrived later (Unix µs) are left out.
        Returns:
            The next cursor (0 at the end) and the tickets; one may come twice.
        Keys:
            due, change:<ticket>.
        """
        keys = self.keys
        following, rows = await self.command("ZSCAN", keys.due, cursor, "COUNT", count)
        tickets = [ticket.decode() for ticket, _ in rows]
        found: list[str] = []
        for part in slices(tickets):
            grown = await self.scripts.run("grown", [*map(keys.change, part)], [before_us])
            found += [part[index - 1] for index in grown]
        return int(following), found

    async def compact(self, token: str, ticket: str, cut: int, frame: bytes) -> bool:
        """Replace the first `cut` bytes by one whole frame, give the ticket back; False when it is no longer ours."""
        return bool(await self.compact_each(token, [(ticket, cut, frame)]))

    async def compact_each(self, token: str, joins: Sequence[tuple[str, int, bytes]]) -> int:
        """
        Replace, ticket by ticket, the first bytes of its value by one whole frame, and give the tickets back.

        Args:
            joins: ticket, how many bytes were read, the frame that says the same.
        Returns:
            How many were still ours.
        Raises:
            ValueError: something that is not one whole frame.
        Keys:
            due, lease, change:<ticket>.
        """
        keys, count = self.keys, 0
        for part in slices(joins, SETTLE_SLICE):
            calls = [
                ((keys.due, keys.lease, keys.change(ticket)), (token, ticket, cut, whole(frame)))
                for ticket, cut, frame in part
            ]
            count += sum(await self.scripts.run_each("compact", calls))
        return count


def _claimed(tickets: list[bytes], doubts: list[Any]) -> list[Claimed]:
    return [Claimed(ticket.decode(), number(doubt)) for ticket, doubt in zip(tickets, doubts, strict=True)]
