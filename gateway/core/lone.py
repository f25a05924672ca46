"""
The express lane: a ticket whose only unsent change is newer than all that was sent.

Most tickets of a batch are like that. `lone` makes byte for byte what `fold`, `make_item` and `after_upsert` make of
them (held by tests/core/test_lone.py), without joining anything; whatever is not plain goes the long way.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.core.change import FIELDS, FRAME_HEAD_BYTES, FRESH, FUTURE_LIMIT_MS
from gateway.core.free_mail import company_domains
from gateway.core.history import SIGHTINGS_MAX, Sighting, history
from gateway.core.placing import PLACES
from gateway.core.state import CLOSED, KEPT, LETTER, State
from gateway.core.ticket import Item, item_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.core.change import Json

_LETTER: Final = {name: LETTER[name] for name in FIELDS}
_HEAD: Final = struct.Struct(">IQBH")
_HEAD_BYTES: Final = _HEAD.size
_CREATION, _COMPLETE, _THIN, _SIGHTING, _HISTORY_KNOWN = 1, 2, 4, 16, 32
"""Flags of a fresh payload (`Change.encode`)."""
_KNOWN, _SENT, _GONE, _CLOSED = 1, 2, 4, 8
"""Bits of a state (`State.encode`)."""
_NOTHING: Final[dict[str, Any]] = orjson.loads(State().encode())
"""The state of a ticket that was never sent."""


@dataclass(slots=True)
class Lone:
    """
    What a lone newer change comes to.

    item: screened, and not what was sent last.
    new: nothing was ever sent of this ticket, as far as is known.
    history_open: it has sightings, and older ones may exist in Planhat.
    closed: the status means closed, so the state may expire.
    state: to be written once Planhat has the item; encoded by `encode`.
    """

    connection: str
    item: Item
    new: bool
    history_open: bool
    closed: bool
    state: dict[str, Any]

    def encode(self, planhat_id: str | None) -> bytes:
        """Give the next state. `planhat_id` is what Planhat's answer told, if anything."""
        return orjson.dumps(self.state | {"id": planhat_id} if planhat_id else self.state)


def lone(
    value: bytes,
    state: bytes | None,
    *,
    ticket: str,
    source_of: Callable[[str], str],
    full_history: bool,
    max_bytes: int,
) -> Lone | None:
    """
    Make a ticket's item from its one newer change; None when the ticket must go the long way.

    Args:
        value, state: as Redis holds them.
        ticket: the `sourceId`, prefix included.
        source_of: gives a connection's source name.
        full_history: PLANHAT_HISTORY is `full`.
        max_bytes: of an item.
    """
    try:
        length, arrival_us, version, header_bytes = _HEAD.unpack_from(value)
        if length != len(value) - FRAME_HEAD_BYTES or version != FRESH:
            return None
        fields_at = _HEAD_BYTES + header_bytes
        connection, flags, life, at_ms, event_us, _, refs, told, digest = orjson.loads(value[_HEAD_BYTES:fields_at])
        if refs or told or flags & _THIN or life not in ("", "live"):
            return None
        if at_ms is None or at_ms > arrival_us // 1000 + FUTURE_LIMIT_MS:
            return None
        stamp = [1, at_ms, event_us or 0, 0, digest]
        fields: dict[str, Json] = orjson.loads(value[fields_at:])
        letters = "".join([_LETTER[name] for name in fields])
        before = _NOTHING if state is None else orjson.loads(state)
        if not letters or (state is not None and not _follows(before, stamp, letters, life)):
            return None
        bits, kept = before["b"], before["k"]
        new = not bits & _SENT
        values = _values(fields, kept)
        source = source_of(connection)
        email = values.get("email")
        if not email or not isinstance(email, str) or not source:
            return None
        if new and not (flags & (_COMPLETE | _CREATION) or ("title" in fields and "email" in fields)):
            return None
        if not values.get("domains") and (found := company_domains(email)):
            values["domains"] = list(found)
        if new and not any(values.get(name) for name in PLACES):
            return None
        status = fields.get("status")
        sightings = before["h"]
        if flags & _SIGHTING and status and isinstance(status, str):
            seen = [at_ms, event_us or 0, status]
            if seen not in sightings:
                sightings = sorted([*sightings, seen])
                if len(sightings) > SIGHTINGS_MAX:
                    return None
        known = bits & _KNOWN or flags & (_HISTORY_KNOWN | _CREATION)
        item = item_of(
            {"sourceId": ticket, "source": source, **values},
            {name: values[name] for name in KEPT if name in values},
            history([Sighting(*row) for row in sightings]) if known and full_history else None,
            before["hh"],
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error):
        return None  # the long way says what is wrong with it
    if len(item.body) > max_bytes:
        return None
    if not new and item.fields_hash == before["fh"] and item.history_hash == before["hh"]:
        return None
    closed = bool(bits & _CLOSED) if item.status is None else item.status in CLOSED
    held = "".join(before["f"])
    after = {
        "v": 1,
        "f": (held + "".join([one for one in letters if one not in held]) if held else letters,),
        "k": item.kept,
        "l": (0, life) if life else None,
        "d": None,
        "h": sightings,
        "fh": item.fields_hash,
        "hh": item.history_hash,
        "id": before["id"],
        "b": (_KNOWN if known else 0) | _SENT | (_CLOSED if closed else 0),
        "s": (stamp,),
    }
    return Lone(connection, item, new, bool(sightings) and not known, closed, after)


def _follows(before: dict[str, Any], stamp: list[Any], letters: str, life: str) -> bool:
    """Say whether a change replaces all that was sent of a ticket that Planhat holds, and needs no look-up."""
    kept, lived = before["k"], before["l"]
    return (
        before["v"] == 1
        and before["b"] & (_SENT | _GONE) == _SENT
        and before["d"] is None
        and "o" not in before
        and (lived is None or (lived[1] == "live" and life != ""))
        and "@requester_id" not in kept
        and "@organization_id" not in kept
        and "@assignee_id" not in kept
        and all(row <= stamp for row in before["s"])
        and set(letters).issuperset("".join(before["f"]))
    )


def _values(fields: dict[str, Json], kept: dict[str, Json]) -> dict[str, Json]:
    """Add to the fields what every item must carry."""
    values = dict(fields)
    for name, value in kept.items():
        if name in fields or (name == "name" and not value):
            continue
        if name != "domains" or fields.get("email", kept.get("email")) == kept.get("email"):
            values[name] = value
    return values
