"""
The part of Redis that the gateway uses, in Python: strings, hashes, sets, sorted sets, expiry.

Held to a real server by tests/sim/test_redis_model.py: the same scripts, the same operations, the same answers and the
same data afterwards.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

INF = float("inf")
Reply = Any
"""bytes, int, None, or a list of replies."""


class Wrong(Exception):
    """An error reply."""


WRONGTYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


def text(score: float) -> bytes:
    """Write a score as Redis does."""
    if score == int(score) and abs(score) < 1e17:
        return b"%d" % int(score)
    return repr(score).encode()


def number(raw: bytes) -> float:
    """Read a score."""
    if raw in (b"+inf", b"inf"):
        return INF
    if raw == b"-inf":
        return -INF
    try:
        return float(raw)
    except ValueError:
        raise Wrong("ERR value is not a valid float") from None


def whole(raw: bytes) -> int:
    """Read an integer."""
    try:
        return int(raw)
    except ValueError:
        raise Wrong("ERR value is not an integer or out of range") from None


class ZSet(dict[bytes, float]):
    """A sorted set: member -> score, with its order kept until the next write."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[tuple[float, bytes]] | None = None

    def ordered(self) -> list[tuple[float, bytes]]:
        if self.order is None:
            self.order = sorted((score, member) for member, score in self.items())
        return self.order


class Data:
    """
    One database.

    Args:
        now_us: the server's clock, Unix µs.
    """

    def __init__(self, now_us: Callable[[], int]) -> None:
        self.now_us = now_us
        self.keys: dict[bytes, Any] = {}
        self.expires_us: dict[bytes, int] = {}
        self.writes = 0
        """Grows with every change of the data."""
        self.ran = 0
        """Commands and scripts that came this far."""
        self.commands: dict[bytes, Callable[[list[bytes]], Reply]] = {
            name.removeprefix("do_").upper().encode(): getattr(self, name) for name in dir(self) if name[:3] == "do_"
        }

    def call(self, name: bytes, args: list[bytes]) -> Reply:
        """
        Run one command.

        Raises:
            Wrong: an error reply.
        """
        self.ran += 1
        command = self.commands.get(name)
        if command is None:
            command = self.commands.get(name.upper())
            if command is None:
                raise Wrong(f"ERR unknown command '{name.decode()}'")
        return command(args)

    def _get(self, key: bytes, kind: type) -> Any:
        if self.expires_us:
            at = self.expires_us.get(key)
            if at is not None and at <= self.now_us():
                self._drop(key)
                return None
        value = self.keys.get(key)
        if value is not None and type(value) is not kind:
            raise Wrong(WRONGTYPE)
        return value

    def _make(self, key: bytes, kind: type) -> Any:
        value = self._get(key, kind)
        if value is None:
            value = self.keys[key] = kind()
        return value

    def _drop(self, key: bytes) -> bool:
        self.expires_us.pop(key, None)
        gone = self.keys.pop(key, None) is not None
        self.writes += gone
        return gone

    # keys

    def do_time(self, _args: list[bytes]) -> Reply:
        seconds, micros = divmod(self.now_us(), 1_000_000)
        return [b"%d" % seconds, b"%d" % micros]

    def do_ping(self, _args: list[bytes]) -> Reply:
        return b"PONG"

    def do_del(self, args: list[bytes]) -> Reply:
        return sum(self._drop(key) for key in args)

    def do_exists(self, args: list[bytes]) -> Reply:
        return sum(1 for key in args if self._alive(key))

    def _alive(self, key: bytes) -> bool:
        at = self.expires_us.get(key)
        if at is not None and at <= self.now_us():
            self._drop(key)
        return key in self.keys

    def do_expire(self, args: list[bytes]) -> Reply:
        if not self._alive(args[0]):
            return 0
        self.expires_us[args[0]] = self.now_us() + whole(args[1]) * 1_000_000
        return 1

    def do_ttl(self, args: list[bytes]) -> Reply:
        if not self._alive(args[0]):
            return -2
        at = self.expires_us.get(args[0])
        return -1 if at is None else (at - self.now_us() + 500_000) // 1_000_000

    def do_keys(self, args: list[bytes]) -> Reply:
        return [key for key in list(self.keys) if self._alive(key) and fnmatch.fnmatchcase(key, args[0])]

    def do_flushall(self, _args: list[bytes]) -> Reply:
        self.keys.clear()
        self.expires_us.clear()
        return b"OK"

    # strings

    def do_get(self, args: list[bytes]) -> Reply:
        return self._get(args[0], bytes)

    def do_mget(self, args: list[bytes]) -> Reply:
        found = (self.keys.get(key) if self._alive(key) else None for key in args)
        return [value if type(value) is bytes else None for value in found]

    def do_set(self, args: list[bytes]) -> Reply:
        key, value = args[0], args[1]
        self.expires_us.pop(key, None)
        if len(args) == 4 and args[2].upper() == b"EX":
            seconds = whole(args[3])
            if seconds <= 0:
                raise Wrong("ERR invalid expire time in 'set' command")
            self.expires_us[key] = self.now_us() + seconds * 1_000_000
        elif len(args) != 2:
            raise Wrong("ERR syntax error")
        self.keys[key] = value
        self.writes += 1
        return b"OK"

    def do_append(self, args: list[bytes]) -> Reply:
        value = (self._get(args[0], bytes) or b"") + args[1]
        self.keys[args[0]] = value
        self.writes += 1
        return len(value)

    def do_strlen(self, args: list[bytes]) -> Reply:
        return len(self._get(args[0], bytes) or b"")

    def do_getrange(self, args: list[bytes]) -> Reply:
        value = self._get(args[0], bytes) or b""
        start, end = whole(args[1]), whole(args[2])
        if start < 0:
            start = max(0, len(value) + start)
        if end < 0:
            end += len(value)
        return value[start : end + 1] if end >= 0 else b""

    # hashes

    def do_hget(self, args: list[bytes]) -> Reply:
        held = self._get(args[0], dict)
        return held.get(args[1]) if held else None

    def do_hmget(self, args: list[bytes]) -> Reply:
        held = self._get(args[0], dict) or {}
        return [held.get(field) for field in args[1:]]

    def do_hgetall(self, args: list[bytes]) -> Reply:
        held = self._get(args[0], dict) or {}
        return [part for pair in held.items() for part in pair]

    def do_hkeys(self, args: list[bytes]) -> Reply:
        return list(self._get(args[0], dict) or {})

    def do_hlen(self, args: list[bytes]) -> Reply:
        return len(self._get(args[0], dict) or {})

    def do_hstrlen(self, args: list[bytes]) -> Reply:
        return len((self._get(args[0], dict) or {}).get(args[1], b""))

    def do_hset(self, args: list[bytes]) -> Reply:
        if len(args) < 3 or not len(args) % 2:
            raise Wrong("ERR wrong number of arguments for 'hset' command")
        held = self._make(args[0], dict)
        before = len(held)
        for at in range(1, len(args), 2):
            held[args[at]] = args[at + 1]
        self.writes += 1
        return len(held) - before

    def do_hsetnx(self, args: list[bytes]) -> Reply:
        held = self._make(args[0], dict)
        if args[1] in held:
            return 0
        held[args[1]] = args[2]
        self.writes += 1
        return 1

    def do_hincrby(self, args: list[bytes]) -> Reply:
        held = self._make(args[0], dict)
        value = whole(held.get(args[1], b"0")) + whole(args[2])
        held[args[1]] = b"%d" % value
        self.writes += 1
        return value

    def do_hdel(self, args: list[bytes]) -> Reply:
        held = self._get(args[0], dict)
        if not held:
            return 0
        count = sum(held.pop(field, None) is not None for field in args[1:])
        self.writes += count
        if not held:
            self._drop(args[0])
        return count

    # sets

    def do_sadd(self, args: list[bytes]) -> Reply:
        held = self._make(args[0], set)
        before = len(held)
        held.update(args[1:])
        self.writes += 1
        return len(held) - before

    def do_scard(self, args: list[bytes]) -> Reply:
        return len(self._get(args[0], set) or ())

    def do_sismember(self, args: list[bytes]) -> Reply:
        return int(args[1] in (self._get(args[0], set) or ()))

    def do_smembers(self, args: list[bytes]) -> Reply:
        return sorted(self._get(args[0], set) or ())

    # sorted sets

    def do_zadd(self, args: list[bytes]) -> Reply:
        at, flags = 1, set()
        while args[at].upper() in (b"NX", b"XX", b"GT", b"LT", b"CH"):
            flags.add(args[at].upper())
            at += 1
        pairs = args[at:]
        if not pairs or len(pairs) % 2:
            raise Wrong("ERR syntax error")
        scores = [number(raw) for raw in pairs[::2]]
        held = self._get(args[0], ZSet)
        if held is None:
            if b"XX" in flags:
                return 0
            held = self.keys[args[0]] = ZSet()
        added = changed = 0
        for score, member in zip(scores, pairs[1::2], strict=True):
            known = held.get(member)
            if known is None:
                if b"XX" in flags:
                    continue
                held[member] = score
                added += 1
            elif b"NX" in flags or (b"GT" in flags and score <= known) or (b"LT" in flags and score >= known):
                continue
            elif score != known:
                held[member] = score
                changed += 1
        if added or changed:
            held.order = None
            self.writes += 1
        return added + changed if b"CH" in flags else added

    def do_zrem(self, args: list[bytes]) -> Reply:
        held = self._get(args[0], ZSet)
        if not held:
            return 0
        count = sum(held.pop(member, None) is not None for member in args[1:])
        if count:
            held.order = None
            self.writes += 1
            if not held:
                self._drop(args[0])
        return count

    def do_zcard(self, args: list[bytes]) -> Reply:
        return len(self._get(args[0], ZSet) or ())

    def do_zscore(self, args: list[bytes]) -> Reply:
        score = (self._get(args[0], ZSet) or {}).get(args[1])
        return None if score is None else text(score)

    def do_zmscore(self, args: list[bytes]) -> Reply:
        held = self._get(args[0], ZSet) or {}
        return [None if (score := held.get(member)) is None else text(score) for member in args[1:]]

    def do_zcount(self, args: list[bytes]) -> Reply:
        held = self._get(args[0], ZSet)
        return sum(1 for _ in _between(held, args[1], args[2])) if held else 0

    def do_zremrangebyscore(self, args: list[bytes]) -> Reply:
        held = self._get(args[0], ZSet)
        gone = [member for _, member in _between(held, args[1], args[2])] if held else []
        return self.do_zrem([args[0], *gone]) if gone else 0

    def do_zrange(self, args: list[bytes]) -> Reply:
        words = [word.upper() for word in args[3:]]
        held = self._get(args[0], ZSet)
        if not held:
            return []
        if b"BYSCORE" in words:
            rows = list(_between(held, args[1], args[2]))
            if b"LIMIT" in words:
                at = words.index(b"LIMIT")
                start, count = whole(args[4 + at]), whole(args[5 + at])
                rows = rows[start : start + count] if count >= 0 else rows[start:]
        else:
            ordered = held.ordered()
            rows = ordered[::-1] if b"REV" in words else ordered
            start, end = whole(args[1]), whole(args[2])
            start = max(0, start + len(rows)) if start < 0 else start
            end = end + len(rows) if end < 0 else end
            rows = rows[start : end + 1] if end >= 0 else []
        if b"WITHSCORES" in words:
            return [part for score, member in rows for part in (member, text(score))]
        return [member for _, member in rows]

    def do_zscan(self, args: list[bytes]) -> Reply:
        held = self._get(args[0], ZSet)
        return [b"0", [part for score, member in (held.ordered() if held else ()) for part in (member, text(score))]]

    def dump(self) -> dict[bytes, Any]:
        """Give everything, in one shape for both servers."""
        shown: dict[bytes, Any] = {}
        for key, value in self.keys.items():
            if self._alive(key):
                shown[key] = dict(value) if isinstance(value, dict) else value
        return shown


def _between(held: ZSet, low: bytes, high: bytes) -> Any:
    least, most = number(low), number(high)
    return (row for row in held.ordered() if least <= row[0] <= most)
