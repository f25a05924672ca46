"""
The fold: state + changes -> the next state, and what Planhat must be told.

Pure, total over every readable part, and a join: the same deliveries in any order, with any duplication and with
flushes anywhere in between, lead to the same ticket in Planhat (DESIGN §2, invariants I2-I4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gateway.core.change import REFS
from gateway.core.history import history, trim
from gateway.core.part import GONE, Part, later_life
from gateway.core.state import KEPT, State

if TYPE_CHECKING:
    from gateway.core.change import Json

Action = Literal["upsert", "delete", "nothing"]


@dataclass(slots=True)
class Folded:
    """
    What a ticket's changes come to.

    state: the next state, to be completed by `ticket.sent` and written by the ack.
    action: what Planhat must be told; "nothing" when the ticket is gone there as well or is not to be sent.
    fields: known values not older than what Planhat holds, by field.
    refs: helpdesk ids by ref name, the values that hold now (of these changes or kept).
    new_refs: names of refs whose value differs from the one that was resolved last.
    email_is_newest: `fields` carries an e-mail at least as new as the requester's id.
    new: nothing was ever sent of this ticket, as far as is known.
    complete: the changes may create (or revive) the ticket: they hold a full record not older than what was dropped.
    history: the list to send, None when it must be left out.
    part: the changes that were folded.
    """

    state: State
    action: Action
    fields: dict[str, Json]
    refs: dict[str, str]
    new_refs: frozenset[str]
    email_is_newest: bool
    new: bool
    complete: bool
    history: list[dict[str, Json]] | None
    part: Part


def fold(state: State | None, part: Part) -> Folded:
    """
    Fold a ticket's changes into its state.

    Args:
        state: what was sent last; None for a ticket never sent (or forgotten).
        part: the join of its unsent changes.
    """
    before = state or State()
    life = later_life(before.life, part.life)
    gone = life is not None and life[1] in GONE
    held = before.stamps
    values: dict[str, Json]
    if not held or (part.only and part.only >= max(held.values())):  # nothing is older than what Planhat holds
        values, stamps = dict(part.values), {**held, **part.stamps}
    else:
        values, stamps = {}, dict(held)
        for name, stamp in part.stamps.items():
            # At least as new as what Planhat holds; an equal stamp is the same value again.
            if name not in held or stamp >= held[name]:
                stamps[name], values[name] = stamp, part.values[name]
    refs: dict[str, Json] = {}
    new_refs = []
    for ref in REFS:
        name = "@" + ref
        kept = before.kept.get(name)
        refs[ref] = kept
        if name in values:
            refs[ref] = values.pop(name)
            if refs[ref] != kept or kept is None:
                new_refs.append(ref)
    sightings = trim(before.sightings | part.sightings) if before.sightings else part.sightings
    after = State(
        stamps=stamps,
        kept=before.kept,
        life=life,
        # Whatever was sent goes with the ticket, be it newer than its deletion: a revival must bring it again.
        dropped=max(filter(None, (*stamps.values(), before.dropped)), default=None) if gone else before.dropped,
        sightings=sightings,
        # A creation proves it: nothing can be older.
        history_known=before.history_known or part.history_known or part.creation,
        fields_hash=before.fields_hash,
        history_hash=before.history_hash,
        planhat_id=before.planhat_id,
        sent=before.sent,
        gone=before.gone,
        closed=before.closed,
    )
    requester, email = stamps.get("@requester_id"), stamps.get("email")
    return Folded(
        state=after,
        action=_action(before, gone=gone),
        fields={} if gone else values,
        refs={name: str(value) for name, value in refs.items() if value},
        new_refs=frozenset(new_refs),
        email_is_newest="email" in values and email is not None and (requester is None or email >= requester),
        new=not before.sent,
        complete=_complete(before, part),
        history=history(sightings) if after.history_known and not gone else None,
        part=part,
    )


def _action(before: State, *, gone: bool) -> Action:
    if not gone:
        return "upsert"
    return "nothing" if before.gone else "delete"


def _complete(before: State, part: Part) -> bool:
    """
    Say whether the changes hold a full record.

    A ticket that Planhat is believed to hold needs none. An unknown or deleted one does: a full snapshot, a creation,
    or at least title and e-mail; and nothing newer may have been dropped while it was gone, nor anything that the
    snapshot does not name.
    """
    if before.sent and not before.gone:
        return True
    full = part.snapshot
    if full is None and (part.creation or {"title", "email"} <= part.values.keys()):
        full = part.oldest
    return full is not None and (before.dropped is None or (full >= before.dropped and not _lacks(before, part)))


def _lacks(before: State, part: Part) -> bool:
    """
    Say whether a value that was told after the deletion, and dropped, comes with none of the changes as new.

    What was told before the deletion went with it. Times of the source and of arrival tell nothing of each other.
    """
    if before.life is None:
        return False
    died = before.life[0]
    return any(
        stamp > died
        and stamp.stamped == died.stamped
        and ((brought := part.stamps.get(name)) is None or brought < stamp)
        for name, stamp in before.stamps.items()
    )


def keeps(folded: Folded) -> dict[str, Json]:
    """Give the last known values that every item carries (`KEPT`)."""
    kept: dict[str, Json] = {name: folded.state.kept[name] for name in KEPT if name in folded.state.kept}
    kept.update({name: folded.fields[name] for name in KEPT if name in folded.fields})
    return kept
