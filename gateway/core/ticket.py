"""
The Planhat item of a folded ticket: what it holds, whether it may be sent, what is known once Planhat has it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson

from gateway.core.fold import Folded, keeps
from gateway.core.placing import ORDINARY, PLACES, Placing, placed
from gateway.core.state import CLOSED, KEPT, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json
    from gateway.core.lookups import Found

REASONS: Final = {
    "missing_email": "Planhat drops a ticket without a valid e-mail of the requester silently",
    "missing_company": "Planhat cannot place a new ticket without company id, external id or a company's mail domain",
    "incomplete": "the deliveries hold only a part of a ticket that Planhat does not know yet",
    "no_credentials": "the delivery says only that the ticket changed, and nothing can read it from the helpdesk",
    "not_found": "the helpdesk says that there is no such ticket",
    "too_large": "the ticket alone is larger than BATCH_MAX_BYTES",
    "refused": "Planhat refused this ticket when it was sent alone",
    "unconfirmed": "Planhat counted fewer tickets than were sent, and a listing does not show this one",
    "damaged": "the stored change cannot be read",
}
"""Why a ticket is a dead letter, in words a person can act on."""


@dataclass(slots=True)
class Item:
    """
    What is sent of one ticket. Nobody changes one; not frozen, because that triples the price of making one.

    body: the item as JSON bytes, `history` included when it goes out.
    fields_hash, history_hash: what the state remembers of it.
    kept: the next `State.kept`.
    status: the status word that the item carries, None when it carries none.
    """

    body: bytes
    fields_hash: str
    history_hash: str
    kept: dict[str, Json]
    status: str | None


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def item_of(
    values: Mapping[str, Json], kept: dict[str, Json], history: list[dict[str, Json]] | None, history_hash: str
) -> Item:
    """
    Encode an item.

    Args:
        values: every field but the history.
        kept: the next `State.kept`.
        history: None when it must be left out.
        history_hash: of the history that was sent last.
    """
    # In the order of names, so that equal items are equal bytes whichever deliveries they come from.
    body = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
    fields_hash = _hash(body)
    if history is not None:
        encoded = orjson.dumps(history)
        history_hash = _hash(encoded)
        body = b"".join((body[:-1], b',"history":', encoded, b"}"))
    status = values.get("status")
    return Item(body, fields_hash, history_hash, kept, status if isinstance(status, str) else None)


def _people(folded: Folded, found: Found) -> dict[str, Json]:
    """Give e-mail, name and agent: the changes' own values first, then the look-ups', then those sent before."""
    fields, refs, kept = folded.fields, folded.refs, folded.state.kept
    values: dict[str, Json] = {}
    requester, assignee = refs.get("requester_id"), refs.get("assignee_id")
    person = found.people.get(requester) if requester else None
    same_person = "requester_id" not in folded.new_refs or "@requester_id" not in kept
    if folded.email_is_newest or ("email" in fields and person is None):
        values["email"] = fields["email"]
    elif person is not None:
        values["email"] = person.email
    elif same_person:
        values["email"] = kept.get("email")
    if "name" not in fields and person is not None and person.name:
        values["name"] = person.name
    elif "name" not in fields and same_person and kept.get("name"):
        values["name"] = kept["name"]
    if "agentEmail" not in fields and "assignee_id" in folded.new_refs:
        agent = found.people.get(assignee) if assignee else None
        if agent is not None or not assignee:
            values["agentEmail"] = agent.email if agent else None
    elif "agentEmail" not in fields and "agentEmail" in kept:
        values["agentEmail"] = kept["agentEmail"]
    return values


def make_item(
    folded: Folded,
    found: Found,
    *,
    ticket: str,
    source: str,
    with_history: bool = True,
    placing: Placing = ORDINARY,
) -> Item:
    """
    Put the Planhat item together.

    Args:
        ticket: the `sourceId`, prefix included.
        source: the connection's source name; "" for changes that no connection brought, which leave it as it is.
        with_history: PLANHAT_HISTORY is `full`.
        placing: the connection's company rules.
    """
    values = {name: value for name, value in folded.fields.items() if name not in PLACES}
    values.update(_people(folded, found))
    email = values.get("email") or None
    values["email"] = email
    values.update(placed(folded, found, email, placing))
    kept: dict[str, Json] = {name: values[name] for name in KEPT if name in values}
    for name, value in folded.refs.items():
        kept["@" + name] = value
    if email is None:
        del values["email"]
    named = {"sourceId": ticket, "source": source} if source else {"sourceId": ticket}
    history = folded.history if with_history else None
    return item_of({**named, **values}, kept, history, folded.state.history_hash)


def unchanged(folded: Folded, item: Item) -> bool:
    """Say whether Planhat was already sent exactly this. Never to be asked for a ticket in doubt."""
    state = folded.state
    nothing_new = not folded.fields and not folded.new_refs
    return (
        state.sent
        and not state.gone
        and item.history_hash == state.history_hash
        and (nothing_new or item.fields_hash == state.fields_hash)
    )


def screen(folded: Folded, item: Item, *, max_bytes: int) -> str | None:
    """
    Say why an item must not be sent, a key of `REASONS`; None when it may.

    Source: facts of the ticket endpoint: no e-mail = dropped silently; a create needs a company key.
    """
    if not folded.complete and folded.state.dropped is not None:
        return "incomplete"  # a revival whose newest values were dropped while it was gone, its e-mail maybe among them
    if not item.kept.get("email"):
        return "missing_email"
    if not folded.complete:
        return "incomplete"
    creates = folded.new or folded.state.gone
    if creates and not any(item.kept.get(name) for name in PLACES):
        return "missing_company"
    if len(item.body) > max_bytes:
        return "too_large"
    return None


def after_upsert(folded: Folded, item: Item, planhat_id: str | None) -> State:
    """Give the state to write once Planhat has the item. `planhat_id` is what its answer told, if anything."""
    state = folded.state
    return State(
        stamps=state.stamps,
        kept=item.kept,
        life=state.life,
        sightings=state.sightings,
        history_known=state.history_known,
        fields_hash=item.fields_hash,
        history_hash=item.history_hash,
        planhat_id=planhat_id or (None if state.gone else state.planhat_id),
        sent=True,
        closed=state.closed if item.status is None else item.status in CLOSED,
    )


def after_delete(folded: Folded) -> State:
    """Give the state to write once Planhat has the ticket no more."""
    return replace(folded.state, planhat_id=None, fields_hash="", history_hash="", gone=True, kept=keeps(folded))
