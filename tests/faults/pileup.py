"""
The sender of a long outage: hundreds of thousands of signed events over a few kept-alive connections, and the truth
about them. Source `generic` (Standard Webhooks), several tickets in each delivery.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

T = TypeVar("T")
STATUSES: Final = ("open", "pending", "waiting", "solved")
WORDS: Final = "the export of our invoices stops halfway and the browser shows a blank page since this morning "
BASE_MS: Final = 1_780_000_000_000


def iso(at_ms: int) -> str:
    """Write a time with milliseconds, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"


@dataclass(slots=True)
class Truth:
    """What is true of one ticket: newest version, the statuses it had, its place among the tickets, when it came."""

    version: int = -1
    statuses: list[tuple[str, str]] = field(default_factory=list)
    first_sent: int = 0
    sent_at_s: float = 0.0


class Tickets:
    """Tickets of a system of one's own, and the events about them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.truth: dict[str, Truth] = {}

    def event(self, key: str) -> dict[str, Any]:
        """Give a ticket its next version, as the item that tells it."""
        one = self.truth.setdefault(key, Truth(first_sent=len(self.truth)))
        one.version += 1
        status = self.chance.choice(STATUSES) if one.version else "new"
        number = int(key.rpartition("-")[2])
        at = iso(BASE_MS + one.version * 1000)
        if not one.statuses or one.statuses[-1][0] != status:
            one.statuses.append((status, at))
        return {
            "id": key,
            "title": f"Ticket {key} v{one.version}",
            "description": WORDS * 3,
            "status": status,
            "email": f"person{number % 5000}@org{number % 400}.example",
            "domains": [f"org{number % 400}.example"],
            "tags": ["export", "billing"][: number % 3],
            "createdAt": iso(BASE_MS),
            "updatedAt": at,
        }

    def wrong(self, key: str, held: dict[str, Any]) -> str:
        """Say how what Planhat holds differs from the truth; "" when it does not."""
        one = self.truth[key]
        history = [(row["status"], row["time"]) for row in held.get("history") or []]
        if held.get("title") != f"Ticket {key} v{one.version}":
            return f"{key}: Planhat holds {held.get('title')!r}, the newest is v{one.version} (I2)"
        return "" if history == one.statuses else f"{key}: the history is {history}, not {one.statuses} (I4)"


class Hook:
    """
    One generic hook, and connections that stay open to it.

    Args:
        secret: `whsec_...`.
    """

    def __init__(self, port: int, secret: str) -> None:
        self.port, self._key = port, base64.b64decode(secret.removeprefix("whsec_"))
        self.answers: dict[int, int] = {}
        self._count = 0

    def request(self, kind: str, items: list[dict[str, Any]]) -> bytes:
        """Write and sign one delivery."""
        self._count += 1
        ident, moment = f"msg_{self._count}", str(int(time.time()))
        body = json.dumps({"type": kind, "timestamp": iso(int(time.time() * 1000)), "data": items}).encode()
        digest = hmac.new(self._key, b".".join((ident.encode(), moment.encode(), body)), hashlib.sha256).digest()
        head = (
            f"POST /webhooks/generic HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"webhook-id: {ident}\r\nwebhook-timestamp: {moment}\r\ncontent-length: {len(body)}\r\n"
            f"webhook-signature: v1,{base64.b64encode(digest).decode()}\r\n\r\n"
        )
        return head.encode() + body

    async def send(self, requests: Iterator[bytes], connections: int, rate_per_s: float) -> None:
        """Send requests over some connections at about a rate; each is repeated until it is answered 2xx."""
        began, sent = time.monotonic(), 0

        async def work() -> None:
            nonlocal sent
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                for request in requests:
                    sent += 1
                    await asyncio.sleep(max(0.0, began + sent / rate_per_s - time.monotonic()))
                    while not 200 <= (status := await _exchange(reader, writer, request)) < 300:
                        self.answers[status] = self.answers.get(status, 0) + 1
                        await asyncio.sleep(0.5)
                    self.answers[status] = self.answers.get(status, 0) + 1
            finally:
                writer.close()

        await asyncio.gather(*(work() for _ in range(connections)))


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    await reader.readexactly(length)
    return int(head[9:12])


def grouped(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut what comes into groups of `size`, the last one smaller."""
    group: list[T] = []
    for one in items:
        group.append(one)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
