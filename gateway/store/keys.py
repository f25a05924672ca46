"""
Every key in Redis, built here and nowhere else.

The destination is the hash tag: all keys of one destination live in one slot, so a script may touch any of them.
Tickets have a segment of their own at the end, so that no ticket id can name another key.
"""

from __future__ import annotations

import re
from typing import Final

LANES: Final = ("lookups", "deletes", "unread")
"""Lists of tickets that wait for a look-up, a DELETE, a read-back. Hints: `due` is the truth."""

BUCKETS: Final = 5
"""Buckets of delivery ids that are asked; each is a quarter of DEDUPE_TTL_S, so an id is known for 1 to 1.25 of it."""

_DESTINATION: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Keys:
    """
    The keys of one destination.

    Raises:
        ValueError: the destination holds a character that would break the hash tag or the segments.
    """

    def __init__(self, destination: str) -> None:
        if not _DESTINATION.fullmatch(destination):
            raise ValueError(f"destination {destination!r} is not 1-64 letters, digits, '.', '_' or '-'")
        base = f"gw:{{{destination}}}:"
        self.destination = destination
        self.base = base
        self.due = base + "due"
        self.lease = base + "lease"
        self.doubt = base + "doubt"
        self.suspects = base + "suspects"
        self.meta = base + "meta"
        self.dead = base + "dead"
        self.dead_row = base + "dead:row"
        self.dead_frame = base + "dead:frame"
        self.quarantine = base + "quarantine"
        self.quarantine_row = base + "quarantine:row"
        self.quarantine_body = base + "quarantine:body"
        self.calls = base + "calls"
        self.calls_delete = base + "calls:delete"
        self.pause = base + "pause"
        self.health = base + "health"
        self.slots = base + "slots"
        self.counters = base + "counters"
        self.probe = base + "probe"
        self.change_prefix = base + "change:"
        self.change_prefix_bytes = len(self.change_prefix)
        self.state_prefix = base + "state:"
        self.cache_prefix = base + "cache:"

    def change(self, ticket: str) -> str:
        """Give the key of a ticket's frames."""
        return self.change_prefix + ticket

    def state(self, ticket: str) -> str:
        """Give the key of what was sent last of a ticket."""
        return self.state_prefix + ticket

    def lane(self, lane: str) -> str:
        """
        Give the key of a lane.

        Raises:
            ValueError: no lane of that name.
        """
        if lane not in LANES:
            raise ValueError(f"no lane {lane!r}; there are {', '.join(LANES)}")
        return self.base + lane

    def seen(self, bucket: int) -> list[str]:
        """Give the keys of the delivery ids, the bucket of now first, then the older ones that are still asked."""
        return [f"{self.base}seen:{bucket - back}" for back in range(BUCKETS)]

    def cache(self, connection: str, kind: str, ident: str) -> str:
        """Give the key of a cached look-up answer."""
        return f"{self.cache_prefix}{connection}:{kind}:{ident}"
