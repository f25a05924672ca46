"""What is known of tickets and of the bridge: last-sent states, the view, health, counters, the look-up cache."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from gateway.store.records import Pause, View
from gateway.store.room import Room, number, slices, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROBE_TTL_S: Final = 60


class States(Room):
    """Reads, and the small writes that no ticket depends on."""

    async def look(self, *, exact: bool = False) -> View:
        """
        See the bridge at a glance, one round trip.

        Args:
            exact: tell lapsed claims from live ones; costs time by the number of claims, so not for every tick.
        Keys:
            due, lease, meta, pause, suspects, lookups, deletes, unread, dead, quarantine.
        """
        keys = self.keys
        lanes = (keys.lane("lookups"), keys.lane("deletes"), keys.lane("unread"))
        reply = await self.scripts.run(
            "look",
            [keys.due, keys.lease, keys.meta, keys.pause, keys.suspects, *lanes, keys.dead, keys.quarantine],
            [self.scripts.now(), int(exact)],
        )
        now, due, oldest, last_put, pending, claims, lapsed = reply[:7]
        suspects, lookups, deletes, unread, dead, quarantined, pause, epoch = reply[7:]
        leased = claims - lapsed
        return View(
            number(now),
            due,
            number(oldest) if oldest else None,
            number(last_put),
            pending,
            leased,
            max(0, pending - due - leased),
            suspects,
            lookups,
            deletes,
            unread,
            dead,
            quarantined,
            read_pause(dict(zip(pause[::2], pause[1::2], strict=True))),
            text(epoch),
        )

    async def states(self, tickets: Sequence[str]) -> list[bytes | None]:
        """Give the last-sent states of tickets, in order."""
        found: list[bytes | None] = []
        for part in slices(tickets):
            found += await self.command("MGET", *map(self.keys.state, part))
        return found

    async def health(self) -> dict[str, str]:
        """Give the destination's health fields (`fails`, `batch_items`, `clean`, `mode`, ...); none when all is new."""
        return {text(key): text(value) for key, value in (await self.command("HGETALL", self.keys.health)).items()}

    async def set_health(self, fields: Mapping[str, str | int]) -> None:
        """Write health fields; others stay."""
        if fields:
            await self.scripts.run("learn", [self.keys.health], [item for pair in fields.items() for item in pair])

    async def count(self, increments: Mapping[str, int]) -> None:
        """Add to counters."""
        if increments:
            await self.scripts.run(
                "count", [self.keys.counters], [item for pair in increments.items() for item in pair]
            )

    async def counters(self) -> dict[str, int]:
        """Give every counter of the destination."""
        return {text(key): int(value) for key, value in (await self.command("HGETALL", self.keys.counters)).items()}

    async def fingerprint(self, name: str) -> str:
        """Give a remembered fingerprint of the settings (`credentials`, ...); "" when none was remembered."""
        return text(await self.command("HGET", self.keys.meta, f"fingerprint:{name}"))

    async def set_fingerprint(self, name: str, value: str) -> None:
        """Remember a fingerprint of the settings."""
        await self.command("HSET", self.keys.meta, f"fingerprint:{name}", value)

    async def cache_get(self, connection: str, kind: str, ids: Sequence[str]) -> list[bytes | None]:
        """Give cached look-up answers, in order of `ids`."""
        found: list[bytes | None] = []
        for part in slices(ids):
            found += await self.command("MGET", *(self.keys.cache(connection, kind, one) for one in part))
        return found

    async def cache_set(self, connection: str, kind: str, answers: Mapping[str, bytes], ttl_s: int) -> None:
        """Keep look-up answers for `ttl_s` seconds."""
        for part in slices(list(answers.items())):
            await self.commands(
                [("SET", self.keys.cache(connection, kind, one), raw, "EX", ttl_s) for one, raw in part]
            )

    async def prove_writable(self) -> None:
        """
        Write a key that expires by itself.

        Raises:
            StoreUnavailable: Redis is away, read-only, full, ...: the kind says which.
        """
        await self.command("SET", self.keys.probe, secrets.token_hex(4), "EX", PROBE_TTL_S)


def read_pause(fields: Mapping[bytes, bytes]) -> Pause:
    """Read the pause hash; "" and 0 for what is not there."""
    return Pause(
        until_ms=number(fields.get(b"until_ms")),
        reason=text(fields.get(b"reason")),
        stopped=text(fields.get(b"stopped")),
        detail=text(fields.get(b"detail")),
        token_hash=text(fields.get(b"token_hash")),
        probe_at_ms=number(fields.get(b"probe_at_ms")),
        held=text(fields.get(b"held")),
    )
