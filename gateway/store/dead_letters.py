"""
What a person can see and replay: tickets that could not be sent, deliveries that could not be read.

Both leave only by hand, by a newer change of the ticket that was sent, or by age; each of these is told of.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.errors import PendingFull
from gateway.store.records import DeadRow, Kind, Quarantined
from gateway.store.room import Room, number, slices, text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from gateway.store.scripts import Arg

PAGE: Final = 500
_BYTES_FIELD: Final = "quarantine_bytes"


class DeadLetters(Room):
    """Dead letters (id = sourceId) and quarantined deliveries (id = `q-` and 16 hex digits)."""

    async def show(self, ident: str) -> dict[str, Any] | None:
        """
        Give everything kept under an id; None when there is nothing.

        Returns:
            `id`, `kind`, `ticket`, `reason`, `detail`, `at_ms`, `connection`, and for a ticket `frames` (base64), for a
            delivery `method`, `headers`, `query`, `body` (base64).
        """
        kind: Kind = "delivery" if is_quarantine_id(ident) else "ticket"
        index, rows, blobs = self._hashes(kind)
        score, row, blob = await self._one(index, rows, blobs, ident)
        if score is None:
            return None
        shown = _row(kind, ident, number(score), row)
        base = {name: getattr(shown, name) for name in DeadRow.__slots__}
        content = base64.b64encode(blob or b"").decode()
        if kind == "ticket":
            return base | {"frames": content}
        more = _json(row)
        return base | {name: more.get(name) for name in ("method", "headers", "query")} | {"body": content}

    async def replay_tickets(self, idents: Sequence[str]) -> int:
        """
        Send dead letters again: their changes join their tickets', due now. Gives how many there were.

        Keys:
            due, lease, dead, dead:row, dead:frame, change:<ticket>.
        Atomic:
            A dead letter is in one place only, at any moment.
        """
        keys, count = self.keys, 0
        for part in slices(idents, PAGE):
            count += await self.scripts.run(
                "replay",
                [keys.due, keys.lease, keys.dead, keys.dead_row, keys.dead_frame, *map(keys.change, part)],
                [self.scripts.now(), keys.change_prefix_bytes],
            )
        return count

    async def discard(self, idents: Sequence[str]) -> int:
        """Remove dead letters and quarantined deliveries for good. Gives how many there were."""
        tickets = [ident for ident in idents if not is_quarantine_id(ident)]
        return await self._discard("ticket", tickets) + await self.close_quarantined(
            [ident for ident in idents if is_quarantine_id(ident)]
        )

    async def close_quarantined(self, idents: Sequence[str]) -> int:
        """Remove quarantined deliveries that were replayed. Gives how many there were."""
        return await self._discard("delivery", idents)

    async def quarantine(self, record: Quarantined) -> str:
        """
        Keep an authentic delivery that cannot be read.

        Returns:
            Its id. With a delivery id a repeat gets the same one and changes nothing.
        Raises:
            PendingFull: `quarantine`, the cap in bytes; nothing was kept.
        Keys:
            quarantine, quarantine:row, quarantine:body, meta.
        """
        digest = hashlib.blake2b(record.dedupe, digest_size=8).hexdigest() if record.dedupe else secrets.token_hex(8)
        ident = f"q-{digest}"
        row = {
            "connection": record.connection,
            "reason": record.reason,
            "detail": record.detail,
            "method": record.method,
            "headers": record.headers,
            "query": record.query,
            "dedupe": record.dedupe.hex() if record.dedupe else None,
        }
        index, rows, bodies = self._hashes("delivery")
        answer = await self.scripts.run(
            "quarantine",
            [index, rows, bodies, self.keys.meta],
            [self.scripts.now(), ident, orjson.dumps(row), record.body, self.limits.quarantine_max_bytes],
        )
        if isinstance(answer, bytes):
            raise PendingFull(answer.decode().partition(":")[2])
        return ident

    async def quarantined(self, ident: str) -> Quarantined | None:
        """Give a quarantined delivery whole; None when there is none of that id."""
        index, rows, bodies = self._hashes("delivery")
        score, raw, body = await self._one(index, rows, bodies, ident)
        if score is None or raw is None:
            return None
        row = _json(raw)
        return Quarantined(
            connection=row.get("connection", ""),
            reason=row.get("reason", ""),
            detail=row.get("detail", ""),
            method=row.get("method", "POST"),
            headers=tuple((name, value) for name, value in row.get("headers") or ()),
            query=row.get("query", ""),
            body=body or b"",
            dedupe=bytes.fromhex(row["dedupe"]) if row.get("dedupe") else None,
            at_ms=number(score),
        )

    async def expire(self, ttl_s: int, tell: Callable[[DeadRow], None] = lambda _row: None) -> list[DeadRow]:
        """
        Remove what is older than `ttl_s` seconds, in slices.

        Args:
            tell: is called with each row before it is removed, so that a crash or a lost answer leaves none untold of;
                one may be told of twice.
        Returns:
            Everything that was removed, oldest first within a kind.
        """
        gone: list[DeadRow] = []
        kinds: tuple[Kind, ...] = ("ticket", "delivery")
        for kind in kinds:
            while old := await self._older(kind, ttl_s):
                told = {(row.id, row.at_ms) for row in old}
                for row in old:
                    tell(row)
                aged, rows = await self.scripts.run(
                    "expire",
                    [*self._hashes(kind), self.keys.meta],
                    [self.scripts.now(), ttl_s * 1000, len(old), _BYTES_FIELD if kind == "delivery" else b""],
                )
                pairs = zip(aged[::2], aged[1::2], rows, strict=True)
                removed = [_row(kind, text(ident), number(score), row) for ident, score, row in pairs]
                for row in removed:
                    if (row.id, row.at_ms) not in told:  # it has taken the place of one that was replayed just now
                        tell(row)
                gone += removed
                if not removed:
                    break
        return gone

    async def _older(self, kind: Kind, ttl_s: int) -> list[DeadRow]:
        """Give the oldest of what is past its age, at most a page."""
        index, rows, _ = self._hashes(kind)
        oldest = await self.now_ms() - ttl_s * 1000
        flat = await self.command("ZRANGE", index, "-inf", oldest, "BYSCORE", "LIMIT", 0, PAGE, "WITHSCORES")
        idents, scores = flat[::2], flat[1::2]
        raws = await self.command("HMGET", rows, *idents) if idents else []
        return [
            _row(kind, text(ident), number(score), raw) for ident, score, raw in zip(idents, scores, raws, strict=True)
        ]

    async def dead_letters(
        self, kind: Kind | None = None, reason: str | None = None, limit: int | None = None, offset: int = 0
    ) -> list[DeadRow]:
        """
        Give dead letters and quarantined deliveries, newest first.

        Args:
            kind: `ticket`, `delivery`, or None for both.
            reason: only those with this reason.
            limit: at most so many, after the first `offset`; None gives all.
        """
        kinds: tuple[Kind, ...] = (kind,) if kind else ("ticket", "delivery")
        streams = [self._newest(one, reason) for one in kinds]
        heads = [await anext(stream, None) for stream in streams]
        found: list[DeadRow] = []
        while any(heads) and (limit is None or len(found) < offset + limit):
            at = max((head.at_ms, -i) for i, head in enumerate(heads) if head)[1]
            row, heads[-at] = heads[-at], await anext(streams[-at], None)
            if row:
                found.append(row)
        for stream in streams:
            await stream.aclose()
        return found[offset:]

    async def _newest(self, kind: Kind, reason: str | None) -> AsyncGenerator[DeadRow]:
        index, rows, _ = self._hashes(kind)
        start = 0
        while True:
            flat = await self.command("ZRANGE", index, start, start + PAGE - 1, "REV", "WITHSCORES")
            idents, scores = flat[::2], flat[1::2]
            raws = await self.command("HMGET", rows, *idents) if idents else []
            for ident, score, raw in zip(idents, scores, raws, strict=True):
                row = _row(kind, text(ident), number(score), raw)
                if reason is None or row.reason == reason:
                    yield row
            if len(idents) < PAGE:
                return
            start += PAGE

    async def _one(self, index: str, rows: str, blobs: str, ident: str) -> list[Any]:
        calls: list[tuple[Arg, ...]] = [("ZSCORE", index, ident), ("HGET", rows, ident), ("HGET", blobs, ident)]
        return await self.commands(calls, atomic=True)

    async def _discard(self, kind: Kind, idents: Sequence[str]) -> int:
        count = 0
        for part in slices(idents):
            field = _BYTES_FIELD if kind == "delivery" else b""
            count += await self.scripts.run("discard", [*self._hashes(kind), self.keys.meta], [field, *part])
        return count

    def _hashes(self, kind: Kind) -> tuple[str, str, str]:
        keys = self.keys
        if kind == "ticket":
            return keys.dead, keys.dead_row, keys.dead_frame
        return keys.quarantine, keys.quarantine_row, keys.quarantine_body


def is_quarantine_id(ident: str) -> bool:
    """Say whether an id is that of a quarantined delivery: `q-` and 16 hex digits."""
    return len(ident) == 18 and ident.startswith("q-") and all(digit in "0123456789abcdef" for digit in ident[2:])


def _json(raw: bytes | None) -> dict[str, Any]:
    try:
        row = orjson.loads(raw or b"{}")
    except ValueError:
        return {"reason": "unreadable_row"}
    return row if isinstance(row, dict) else {"reason": "unreadable_row"}


def _row(kind: Kind, ident: str, at_ms: int, raw: bytes | None) -> DeadRow:
    row = _json(raw)
    return DeadRow(
        id=ident,
        kind=kind,
        ticket=ident if kind == "ticket" else "",
        reason=str(row.get("reason", "")),
        detail=str(row.get("detail", "")),
        at_ms=at_ms,
        connection=str(row.get("connection", "")),
    )
