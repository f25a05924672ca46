"""
The quota of Planhat calls and whatever makes a destination wait, shared by every process.

A reservation is never given back. The window slides over the last 60 s, with a second of guard.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.store.room import Room, number
from gateway.store.states import read_pause

if TYPE_CHECKING:
    from gateway.store.records import CallKind, Pause

DELETE_SHARE: Final = 0.2
"""Of the quota, at most, for deletes (but always one call)."""

GUARD_S: Final = 1.0
"""By so much is the window longer than a minute (reserve.lua)."""

RESERVE_TRIES: Final = 3
SLOW_WAIT_MS: Final = 1_000
_MOST_REMEMBERED: Final = 16


class Budget(Room):
    """Calls, pauses, stops, the epoch, and the slots of calls in flight."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._renewed: dict[str, str] = {}

    async def reserve(
        self, *, limit_per_minute: int, kind: CallKind = "call", n: int = 1, epoch: str | None = None
    ) -> int:
        """
        Reserve calls to Planhat, all or none.

        Args:
            kind: `delete` may take a fifth of the quota (but always one call); `probe` goes through a stop.
            epoch: Redis' epoch as the caller knows it (`ensure_epoch`). When Redis has lost it, the window counts as
                full for a minute; the caller may go on passing the old one.
        Returns:
            0 when reserved, else how many ms to wait before asking again. A reservation whose answer took longer than
            the window's guard is not used: the call would fall into another minute than the one it was counted in.
        Raises:
            ValueError: `n` is more than a minute can ever give.
        Keys:
            calls, calls:delete, pause, meta.
        """
        share = max(1, int(limit_per_minute * DELETE_SHARE))
        if not 1 <= n <= (share if kind == "delete" else limit_per_minute):
            raise ValueError(f"{n} calls of kind {kind} never fit into {limit_per_minute} a minute")
        keys, known = self.keys, epoch
        for _ in range(RESERVE_TRIES):
            known = self._renewed.get(known, known) if known else None
            began_s = time.monotonic()
            wait = await self.scripts.run(
                "reserve",
                [keys.calls, keys.calls_delete, keys.pause, keys.meta],
                [self.scripts.now(), kind, n, limit_per_minute, share, secrets.token_hex(8), known or b""],
            )
            if not isinstance(wait, int):
                known, _ = await self.ensure_epoch(known)
            elif wait or time.monotonic() - began_s <= GUARD_S:
                return wait
        return SLOW_WAIT_MS

    async def calls_last_minute(self) -> int:
        """Give how many calls were reserved in the window of the last minute."""
        return int(await self.command("ZCOUNT", self.keys.calls, await self.now_ms() - 60_000, "+inf"))

    async def ensure_epoch(self, known: str | None) -> tuple[str, bool]:
        """
        Say whether Redis still has the memory it had; to be asked every few seconds.

        Args:
            known: the epoch from the last time; None at a first start (the window is then as Redis remembers it).
        Returns:
            The epoch now, and whether the known one is lost: the last seconds of changes may be lost with it.
        Keys:
            meta, counters.
        """
        current = self._renewed.get(known, known) if known else None
        number = self.writer.number()
        epoch, lost = await self.scripts.run(
            "epoch",
            [self.keys.meta, self.keys.counters],
            [self.scripts.now(), current or b"", secrets.token_hex(8), self.writer.name, self.writer.told, number],
        )
        self.writer.confirmed(number)
        name = epoch.decode()
        if current and lost:
            while len(self._renewed) >= _MOST_REMEMBERED:
                del self._renewed[next(iter(self._renewed))]
            self._renewed[current] = name
            if known:
                self._renewed[known] = name
        return name, bool(lost) or (known is not None and known != name)

    async def pause(self, until_ms_from_now: int, reason: str) -> int:
        """Pause all workers for so many ms; never shortens a pause. Gives its end, Unix ms."""
        args = [self.scripts.now(), until_ms_from_now, reason]
        return number(await self.scripts.run("pause", [self.keys.pause], args))

    async def stop(self, reason: str, detail: str, token_hash: str, probe_in_ms: int) -> int:
        """Stop the destination; only probes go, the next in `probe_in_ms`. Gives the time of that probe, Unix ms."""
        args = [self.scripts.now(), reason, detail, token_hash, probe_in_ms]
        return number(await self.scripts.run("stop", [self.keys.pause], args))

    async def resume(self) -> bool:
        """End a stop; a pause and a hold stay. Gives whether there was one."""
        return bool(await self.command("HDEL", self.keys.pause, "stopped", "detail", "token_hash", "probe_at_ms"))

    async def hold(self, reason: str | None = None) -> None:
        """Hold the destination by hand: nothing is sent until `unhold`. Without a reason an earlier one stays."""
        await self.command("HSET" if reason else "HSETNX", self.keys.pause, "held", reason or "by hand")

    async def unhold(self) -> bool:
        """End a hold. Gives whether there was one."""
        return bool(await self.command("HDEL", self.keys.pause, "held"))

    async def pause_state(self) -> Pause:
        """Give why the destination does not send, if it does not."""
        return read_pause(await self.command("HGETALL", self.keys.pause))

    async def take_slot(self, token: str, max_in_flight: int, lease_ms: int) -> bool:
        """Take one of the destination's slots; False when all are taken."""
        return await self._slot("take", token, max_in_flight, lease_ms)

    async def extend_slot(self, token: str, lease_ms: int) -> bool:
        """Move the end of a slot to now + `lease_ms`; False when it is no longer ours."""
        return await self._slot("extend", token, 0, lease_ms)

    async def give_slot(self, token: str) -> bool:
        """Give a slot back; False when it was no longer ours."""
        return await self._slot("give", token, 0, 0)

    async def _slot(self, move: str, token: str, most: int, lease_ms: int) -> bool:
        args = [self.scripts.now(), move, token, most, lease_ms]
        return bool(await self.scripts.run("slot", [self.keys.slots], args))
