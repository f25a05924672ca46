"""
Look-ups: which of the helpdesk's records a folded ticket wants, and what they tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.fold import Folded


class Want(NamedTuple):
    """One look-up: kind `user`, `organization` or `ticket`, and the helpdesk's id of it."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Person:
    """A helpdesk's user: address and name, None where the helpdesk has none."""

    email: str | None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Company:
    """A helpdesk's organization: its mail domains, the external id, the name."""

    domains: tuple[str, ...] = ()
    external_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """
    Answers of look-ups. A key that is missing was not looked up; None says that the helpdesk has no such record.

    ids: Planhat's company list, external id -> `companyId`.
    """

    people: Mapping[str, Person | None] = field(default_factory=dict)
    companies: Mapping[str, Company | None] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)


def wants_reread(folded: Folded) -> bool:
    """
    Say whether the ticket must be read from the helpdesk.

    Either a thin or unstamped delivery came after the last re-read; or the changes are too few for a ticket that
    Planhat does not hold, and it was never read.
    """
    part = folded.part
    if max(part.thin_us, part.unstamped_us) > part.reread_us:
        return True
    return folded.action == "upsert" and not folded.complete and not part.reread_us


def unproved(folded: Folded) -> bool:
    """Say that the ticket is to be deleted by a statement without a stamp, which a re-read could prove or disprove."""
    life = folded.part.life
    return life is not None and life[1] == "deleted" and not life[0].stamped and wants_reread(folded)


def wants(folded: Folded) -> frozenset[Want]:
    """Give the look-ups (people, organizations) that a complete item still lacks."""
    if folded.action != "upsert":
        return frozenset()
    kept, fields, refs = folded.state.kept, folded.fields, folded.refs
    wanted = set()
    requester = refs.get("requester_id")
    if requester and not folded.email_is_newest and ("requester_id" in folded.new_refs or not kept.get("email")):
        wanted.add(Want("user", requester))
    organization = refs.get("organization_id")
    placed = "domains" in fields or "companyExternalId" in fields
    known = kept.get("domains") or kept.get("companyExternalId")
    if organization and not placed and ("organization_id" in folded.new_refs or not known):
        wanted.add(Want("organization", organization))
    assignee = refs.get("assignee_id")
    if assignee and "assignee_id" in folded.new_refs and "agentEmail" not in fields:
        wanted.add(Want("user", assignee))
    return frozenset(wanted)
