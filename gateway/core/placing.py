"""
Which company a ticket belongs to: by what the helpdesk says, by mail domain, or by a fixed rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.free_mail import FREE_MAIL, company_domains

if TYPE_CHECKING:
    from gateway.core.change import Json
    from gateway.core.fold import Folded
    from gateway.core.lookups import Found

PLACES: Final = ("companyExternalId", "companyId", "domains")
"""Fields by any of which Planhat can place a new ticket."""


@dataclass(frozen=True, slots=True)
class Placing:
    """
    A connection's rules.

    by_external_id, by_domain: what may place a ticket.
    external_id, company_id: of the one company that all tickets belong to; "" for none.
    resolve: the external id's `companyId` is looked up in Planhat's company list; tickets of unknown companies wait.
    free_mail: domains that name no company.
    as_sent: nothing new is known of its place: what was sent last goes again.
    """

    by_external_id: bool = True
    by_domain: bool = True
    external_id: str = ""
    company_id: str = ""
    resolve: bool = False
    free_mail: frozenset[str] = FREE_MAIL
    as_sent: bool = False


ORDINARY: Final = Placing()
AS_SENT: Final = Placing(as_sent=True)
"""For changes that no connection brought, such as a history that was read back."""


def placed(folded: Folded, found: Found, email: str | None, placing: Placing = ORDINARY) -> dict[str, Json]:
    """
    Give the company fields of an item: named ones first, then the organization's, then the mail domain's.

    No external id is said as null, of a new ticket too: an earlier call that was never settled may have named one.

    Args:
        email: the requester's address as the item carries it.
    """
    if placing.as_sent:
        return {name: value for name, value in folded.state.kept.items() if name in PLACES}
    if placing.external_id or placing.company_id:
        fixed = {"companyExternalId": placing.external_id, "companyId": placing.company_id}
        values = {name: value for name, value in fixed.items() if value}
    else:
        values = _told(folded, found, email, placing)
    if placing.resolve and "companyId" not in folded.fields and (external := values.get("companyExternalId")):
        values.pop("companyId", None)  # of the company before
        if external in found.ids:
            values["companyId"] = found.ids[external]
    return values


def _told(folded: Folded, found: Found, email: str | None, placing: Placing) -> dict[str, Json]:
    """Give what the changes, the organization, the last item and the mail domain tell, in this order."""
    fields, refs, kept = folded.fields, folded.refs, folded.state.kept
    values: dict[str, Json] = {name: fields[name] for name in PLACES if name in fields}
    organization = refs.get("organization_id")
    company = found.companies.get(organization) if organization else None
    if company is not None:
        if company.domains:
            values.setdefault("domains", list(company.domains))
        values.setdefault("companyExternalId", company.external_id)
    elif "organization_id" not in folded.new_refs:
        for name in PLACES:
            if name in kept and not (name == "domains" and email != kept.get("email") and not organization):
                values.setdefault(name, kept[name])
    elif not organization:
        values.setdefault("companyExternalId", None)
    if not values.get("domains") and email and (domains := company_domains(email, placing.free_mail)):
        values["domains"] = list(domains)
    if not placing.by_domain:
        values.pop("domains", None)
    if not placing.by_external_id:
        values.pop("companyExternalId", None)
    return values
