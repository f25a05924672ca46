"""
A ticket's state: what is known of what Planhat holds. A few hundred bytes, no texts.

Planhat's PUT is a partial update and unsent values stand in the changes, so the state needs only stamps, not values;
except the few (`KEPT`) that every item must carry. Only an ack writes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway.core.change import FIELDS, REFS, Json, Stamp
from gateway.core.history import Sighting
from gateway.core.part import Lived, StampTable

KEPT: Final = ("email", "name", "agentEmail", "domains", "companyExternalId", "companyId")
"""
Fields whose last values are kept and sent with every item: Planhat drops an item without an e-mail and cannot place it
without a company; and values that come from look-ups stand in no change, so an older call that lands late could not
be healed without them.
"""

NAME: Final = dict(zip("abcdefghijklmnopqrs", (*FIELDS, *("@" + ref for ref in REFS)), strict=True))
LETTER: Final = {name: letter for letter, name in NAME.items()}
"""One letter for each field in a stored state. The order is for ever: a new field gets the next letter."""

CLOSED: Final = frozenset({"closed", "archived"})
"""Status words after which a state may expire."""


@dataclass(slots=True)
class State:
    """
    What is known of a ticket that was sent.

    stamps: field or `@ref` -> stamp of the value that Planhat holds (or that was dropped while the ticket was gone).
    kept: the last values of `KEPT`, and of refs (`@requester_id`, ...), so that an unchanged ref needs no look-up.
    life: the latest statement on the ticket's existence.
    dropped: the latest stamp of values that were dropped while the ticket was gone; a revival must be newer.
    history_known: the sightings hold everything that Planhat's history may hold.
    fields_hash, history_hash: of what was sent last, 16 hex digits each, "" = nothing.
    planhat_id: Planhat's `_id` when an answer or a listing told it.
    sent: an upsert was acknowledged. gone: a deletion was carried out after it.
    closed: the last status sent means closed.
    """

    stamps: dict[str, Stamp] = field(default_factory=dict)
    kept: dict[str, Json] = field(default_factory=dict)
    life: Lived | None = None
    dropped: Stamp | None = None
    sightings: frozenset[Sighting] = frozenset()
    history_known: bool = False
    fields_hash: str = ""
    history_hash: str = ""
    planhat_id: str | None = None
    sent: bool = False
    gone: bool = False
    closed: bool = False

    @property
    def may_expire(self) -> bool:
        """A closed or deleted ticket's state may be forgotten after TICKET_MEMORY_TTL_S; an open one's never."""
        return self.closed or self.gone

    def encode(self) -> bytes:
        """Write the state."""
        table = StampTable()
        letters: dict[int, str] = {}
        others: dict[str, int] = {}
        last, index = None, 0
        for name, stamp in self.stamps.items():
            if stamp is not last:  # values of one delivery share the very object
                last, index = stamp, table.index(stamp)
            if name in LETTER:
                letters[index] = letters.get(index, "") + LETTER[name]
            else:
                others[name] = index
        data: dict[str, Any] = {
            "v": 1,
            "f": [letters.get(index, "") for index in range(len(table.rows))],
            "k": self.kept,
            "l": (table.index(self.life[0]), self.life[1]) if self.life else None,
            "d": table.index(self.dropped) if self.dropped else None,
            "h": sorted(self.sightings),
            "fh": self.fields_hash,
            "hh": self.history_hash,
            "id": self.planhat_id,
            "b": (self.history_known << 0) | (self.sent << 1) | (self.gone << 2) | (self.closed << 3),
        }
        data["s"] = table.rows
        if others:
            data["o"] = others
        return orjson.dumps(data, default=tuple)


class UnknownState(Exception):
    """A state of a version this release cannot read: the ticket is left alone."""


def read(raw: bytes | None) -> State | None:
    """
    Read a state; None stays None.

    Raises:
        UnknownState: another version or damaged bytes.
    """
    if raw is None:
        return None
    try:
        data = orjson.loads(raw)
        if data["v"] != 1:
            raise UnknownState(f"state version {data['v']}")
        stamps = [Stamp(*row) for row in data["s"]]
        life, bits = data["l"], data["b"]
        return State(
            stamps={
                **{NAME[letter]: stamps[index] for index, letters in enumerate(data["f"]) for letter in letters},
                **{name: stamps[index] for name, index in data.get("o", {}).items()},
            },
            kept=data["k"],
            life=(stamps[life[0]], life[1]) if life else None,
            dropped=stamps[data["d"]] if data["d"] is not None else None,
            sightings=frozenset(Sighting(*row) for row in data["h"]),
            history_known=bool(bits & 1),
            fields_hash=data["fh"],
            history_hash=data["hh"],
            planhat_id=data["id"],
            sent=bool(bits & 2),
            gone=bool(bits & 4),
            closed=bool(bits & 8),
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UnknownState(f"damaged state: {error}") from error
