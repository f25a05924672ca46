"""
What is left of a ticket once a person is taken out of it. Pure: bytes in, bytes out.

A ticket is *about* a person when its requester has their address: nothing is left of it. Where the address only stands
in somebody else's ticket (an agent, a sentence, an earlier requester), the address goes and the rest stays, because
that is other people's news, and acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.core import part as parts
from gateway.core import state as states
from gateway.core.change import frame, frames
from gateway.core.wanted import may_hold, mentions, redacted

if TYPE_CHECKING:
    from gateway.core.change import Json, Stamp
    from gateway.core.part import Part
    from gateway.core.state import State
    from gateway.core.wanted import Wanted

ADDRESSES: Final = ("email", "agentEmail")
"""Fields that are an address or nothing: without it they are unknown."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What Redis holds of one ticket, as bytes; b"" where it holds nothing. row: the dead letter's, JSON."""

    value: bytes = b""
    state: bytes = b""
    dead: bytes = b""
    row: bytes = b""


@dataclass(frozen=True, slots=True)
class Left:
    """
    What is to be put in the place of `Kept`.

    about: the ticket is the person's, so nothing is left.
    ids: (connection, id) of its requester, where the person is named by it.
    planhat_id: Planhat's own id of the ticket, if the state told it; "" if not.
    """

    kept: Kept
    about: bool
    ids: frozenset[tuple[str, str]] = frozenset()
    planhat_id: str = ""


def erased(kept: Kept, wanted: Wanted) -> Left | None:
    """
    Take a person out of a ticket.

    Returns:
        None when nothing of them stands there.
    Raises:
        UnknownFrame, UnknownState: another release wrote it; it cannot be taken apart here.
    """
    if not any(may_hold(raw, wanted) for raw in (kept.value, kept.state, kept.dead, kept.row)):
        return None
    waiting, buried = parts.read(kept.value), parts.read(kept.dead)
    said = parts.join(waiting, buried)
    state = states.read(kept.state or None)
    if _is_requester(said, state, wanted):
        known = (state.planhat_id if state else None) or ""
        return Left(Kept(), about=True, ids=_ids(said, state), planhat_id=known)
    left = Kept(
        value=_without(kept.value, waiting, wanted),
        state=_state_without(kept.state, state, wanted),
        dead=_without(kept.dead, buried, wanted),
        row=_row_without(kept.row, wanted),
    )
    return None if left == kept else Left(left, about=False)


def _is_requester(said: Part, state: State | None, wanted: Wanted) -> bool:
    """The newest that is known of the requester decides: an address, or the id of somebody whose address is another."""
    email, email_at = _newest("email", said, state)
    ident, ident_at = _newest("@requester_id", said, state)
    known = (said.connection, str(ident)) in wanted.ids
    moved_on = state is not None and ident != state.kept.get("@requester_id", ident)
    if moved_on and (email_at is None or (ident_at is not None and email_at < ident_at)):
        return known
    return _is_address(email, wanted) or (known and not email)


def _newest(name: str, said: Part, state: State | None) -> tuple[Json, Stamp | None]:
    """Give the value with the later stamp; what a look-up told has none."""
    stamp, held = said.stamps.get(name), state.stamps.get(name) if state else None
    if stamp is not None and (held is None or stamp >= held):
        return said.values[name], stamp
    return (state.kept.get(name) if state else None), held


def _ids(said: Part, state: State | None) -> frozenset[tuple[str, str]]:
    ident = said.values.get("@requester_id") or (state.kept.get("@requester_id") if state else None)
    return frozenset({(said.connection, str(ident))}) if ident and said.connection else frozenset()


def _is_address(value: Json, wanted: Wanted) -> bool:
    return isinstance(value, str) and value.strip().lower() == wanted.address


def _without(value: bytes, part: Part, wanted: Wanted) -> bytes:
    """Join a ticket's frames into one without the address; frames of which none names it stay as they are."""
    said = (parts.decode(payload, arrival_us) for arrival_us, payload in frames(value))
    if not any(_names(one.values, wanted) for one in said):
        return value
    stays = {
        name: _json_without(part.values[name], wanted)
        for name in part.stamps
        if not (name in ADDRESSES and _is_address(part.values[name], wanted))
    }
    stamps = {name: part.stamps[name] for name in stays}
    return frame(parts.encode(replace(part, values=stays, stamps=stamps, only=None)), part.first_us)


def _state_without(raw: bytes, state: State | None, wanted: Wanted) -> bytes:
    if state is None:
        return raw
    kept = {name: value for name, value in state.kept.items() if not _names(value, wanted)}
    return raw if kept == state.kept else replace(state, kept=kept).encode()


def _row_without(row: bytes, wanted: Wanted) -> bytes:
    try:
        said = orjson.loads(row or b"{}")
    except orjson.JSONDecodeError:
        return b"{}" if mentions(row, wanted) else row
    return orjson.dumps(_json_without(said, wanted)) if _names(said, wanted) else row


def _json_without(value: Json, wanted: Wanted) -> Any:
    match value:
        case str():
            return redacted(value, wanted)
        case list():
            return [_json_without(one, wanted) for one in value]
        case dict():
            return {redacted(key, wanted): _json_without(one, wanted) for key, one in value.items()}
        case _:
            return value


def _names(value: Json, wanted: Wanted) -> bool:
    return bool(_json_without(value, wanted) != value)
