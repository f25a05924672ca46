"""
A part: what some of a ticket's changes say together. Parts join in any order, any number of times, to the same part.

Every piece of a part is a join of its own: values by the later stamp, life by the later stamp with `purged`
final, sightings by union, flags by or, arrivals by min or max. Hence `join` is commutative, associative, idempotent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.core.change import FRESH, JOINED, Fresh, Json, Life, Stamp, UnknownFrame, decode_fresh, frames
from gateway.core.history import Sighting, trim

if TYPE_CHECKING:
    from collections.abc import Iterable

GONE: Final = ("deleted", "purged")
Lived = tuple[Stamp, Life]


@dataclass(slots=True)
class Part:
    """
    What some changes of one ticket say.

    values: field, or "@" and ref -> the value of the latest stamp. stamps: the same names -> that stamp.
    life: the latest statement on the ticket's existence; None when nothing was said.
    snapshot: the latest stamp of a complete snapshot among the changes.
    thin_us: arrival of the latest change that asks for a re-read; 0 = none.
    reread_us: when the latest re-read was asked for (Redis' time): what arrived after it is not in it; 0 = none.
    unstamped_us: arrival of the latest change without a usable stamp that is no re-read; 0 = none.
    future: changes whose stamp lay too far ahead and was not used.
    first_us: the earliest arrival; the ticket's place in the queue.
    only: the stamp that all values share, as those of one delivery do; spares comparing them one by one.
    """

    connection: str = ""
    values: dict[str, Json] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    life: Lived | None = None
    sightings: frozenset[Sighting] = frozenset()
    snapshot: Stamp | None = None
    creation: bool = False
    history_known: bool = False
    created_at_ms: int | None = None
    thin_us: int = 0
    reread_us: int = 0
    unstamped_us: int = 0
    future: int = 0
    first_us: int = 0
    only: Stamp | None = field(default=None, compare=False)

    @property
    def oldest(self) -> Stamp | None:
        """The earliest stamp of a value; None without values."""
        return self.only or min(self.stamps.values(), default=None)

    @property
    def newest(self) -> Stamp | None:
        """The latest stamp of a value; None without values."""
        return self.only or max(self.stamps.values(), default=None)

    @property
    def fields(self) -> dict[str, Json]:
        """The values of Planhat's fields, refs left out."""
        return {name: value for name, value in self.values.items() if name[0] != "@"}


def part_of(fresh: Fresh, arrival_us: int) -> Part:
    """Make the part of one fresh change that arrived at `arrival_us` (Unix µs)."""
    stamp = fresh.stamp(arrival_us)
    gone = fresh.life in GONE
    values: dict[str, Json] = {} if gone else orjson.loads(fresh.fields)
    says_fields = bool(values)
    status = values.get("status")
    seen = [Sighting(int(at), 0, str(status)) for at, status in fresh.history]
    if fresh.sighting and isinstance(status, str) and status:
        seen.append(Sighting(stamp.at_ms, stamp.tie, status))
    if not gone:
        for name, value in fresh.refs.items():
            values["@" + name] = value
    return Part(
        connection=fresh.connection,
        values=values,
        stamps=dict.fromkeys(values, stamp),
        life=(stamp, fresh.life) if fresh.life else None,
        sightings=frozenset(seen),
        snapshot=stamp if fresh.complete and not gone else None,
        creation=fresh.creation,
        history_known=fresh.history_known,
        created_at_ms=fresh.created_at_ms,
        thin_us=arrival_us if fresh.thin else 0,
        reread_us=min(fresh.event_at_us or arrival_us, arrival_us) if fresh.reread else 0,
        unstamped_us=arrival_us if (says_fields or gone) and not stamp.stamped and not fresh.reread else 0,
        future=0 if stamp.stamped or fresh.updated_at_ms is None else 1,
        first_us=arrival_us,
        only=stamp if values else None,
    )


def later_life(one: Lived | None, other: Lived | None) -> Lived | None:
    """Give the statement that holds: `purged` is final, else the later stamp (a delete beats an update at a tie)."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda lived: (lived[1] == "purged", lived[0], lived[1]))


def join(one: Part, other: Part) -> Part:
    """Say in one part what both say."""
    arrivals = [us for us in (one.first_us, other.first_us) if us]
    snapshots = [stamp for stamp in (one.snapshot, other.snapshot) if stamp]
    values, stamps = dict(one.values), dict(one.stamps)
    for name, stamp in other.stamps.items():
        if name not in stamps or stamp > stamps[name]:
            stamps[name], values[name] = stamp, other.values[name]
    created = [ms for ms in (one.created_at_ms, other.created_at_ms) if ms is not None]
    return Part(
        connection=max(one.connection, other.connection),
        values=values,
        stamps=stamps,
        life=later_life(one.life, other.life),
        sightings=trim(one.sightings | other.sightings),
        snapshot=max(snapshots, default=None),
        creation=one.creation or other.creation,
        history_known=one.history_known or other.history_known,
        created_at_ms=min(created, default=None),
        thin_us=max(one.thin_us, other.thin_us),
        reread_us=max(one.reread_us, other.reread_us),
        unstamped_us=max(one.unstamped_us, other.unstamped_us),
        future=max(one.future, other.future),
        first_us=min(arrivals, default=0),
    )


def read(value: bytes) -> Part:
    """
    Read a ticket's value (any frames) into one part.

    Raises:
        UnknownFrame: a frame of another release, or bytes that are no frames: leave the ticket alone.
    """
    joined: Part | None = None
    for arrival_us, payload in frames(value):
        part = decode(payload, arrival_us)
        joined = part if joined is None else join(joined, part)
    return joined or Part()


def decode(payload: bytes, arrival_us: int) -> Part:
    """
    Read one payload.

    Raises:
        UnknownFrame: another version or damaged bytes.
    """
    if payload[0] == FRESH:
        try:
            return part_of(decode_fresh(payload), arrival_us)
        except (ValueError, TypeError, AttributeError) as error:
            raise UnknownFrame(f"damaged frame: {error}") from error
    if payload[0] != JOINED:
        raise UnknownFrame(f"frame version {payload[0]}")
    try:
        return _decode_joined(orjson.loads(payload[1:]), arrival_us)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UnknownFrame(f"damaged frame: {error}") from error


def _decode_joined(data: dict[str, Any], arrival_us: int) -> Part:
    stamps = [Stamp(*row) for row in data["s"]]
    life = data.get("l")
    return Part(
        connection=data["c"],
        values={name: value for name, (_, value) in data["f"].items()},
        stamps={name: stamps[index] for name, (index, _) in data["f"].items()},
        life=(stamps[life[0]], life[1]) if life else None,
        sightings=frozenset(Sighting(*row) for row in data["h"]),
        snapshot=stamps[data["n"]] if data.get("n") is not None else None,
        creation=data["cr"],
        history_known=data["hk"],
        created_at_ms=data["ca"],
        thin_us=data["t"],
        reread_us=data["rr"],
        unstamped_us=data["u"],
        future=data["fu"],
        first_us=arrival_us,
    )


class StampTable:
    """Writes each distinct stamp once and gives its index; fields of one delivery share one."""

    def __init__(self) -> None:
        self.rows: list[Stamp] = []
        self._index: dict[Stamp, int] = {}
        self._last: Stamp | None = None
        self._last_index = 0

    def index(self, stamp: Stamp) -> int:
        """Give the row of `stamp`, adding it when it is new."""
        if stamp is self._last:  # the fields of one delivery share the very object
            return self._last_index
        index = self._index.setdefault(stamp, len(self.rows))
        if index == len(self.rows):
            self.rows.append(stamp)
        self._last, self._last_index = stamp, index
        return index


def encode(part: Part) -> bytes:
    """Write a part as a joined payload; its arrival (`first_us`) goes into the frame's head."""
    table = StampTable()
    data: dict[str, Any] = {
        "c": part.connection,
        "f": {name: (table.index(stamp), part.values[name]) for name, stamp in part.stamps.items()},
        "l": (table.index(part.life[0]), part.life[1]) if part.life else None,
        "h": sorted(part.sightings),
        "n": table.index(part.snapshot) if part.snapshot else None,
        "cr": part.creation,
        "hk": part.history_known,
        "ca": part.created_at_ms,
        "t": part.thin_us,
        "rr": part.reread_us,
        "u": part.unstamped_us,
        "fu": part.future,
    }
    data["s"] = table.rows
    return bytes((JOINED,)) + orjson.dumps(data, default=tuple)


def join_all(parts: Iterable[Part]) -> Part:
    """Join any number of parts."""
    joined = Part()
    for part in parts:
        joined = join(joined, part)
    return joined
