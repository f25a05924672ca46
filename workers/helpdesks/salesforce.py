"""
Look-ups at Salesforce: contacts, users, accounts and Cases by id, at most 200 ids a query.

A query leaves out what does not exist and what the run-as user may not see, and does not tell them apart: both count as
"no such record", which buries a ticket with its reason and deletes nothing. Only a record in the recycle bin (queryAll
shows it) is known to be deleted.

Source: developer.salesforce.com docs/atlas.en-us.api_rest.meta resources_query, resources_queryall (2026-11,
documented); facts of Salesforce §4, §5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from gateway.core.change import Change
from gateway.core.lookups import Company, Person
from gateway.sources.reading import instant_ms, mail_address, mapping, text
from gateway.sources.salesforce_cases import case_fields, case_refs, link, widened
from workers.helpdesks.base import (
    Api,
    HelpdeskBusy,
    HelpdeskError,
    HelpdeskRefused,
    HelpdeskUnavailable,
    website_domain,
)
from workers.helpdesks.oauth import ClientCredentials
from workers.helpdesks.records import by_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from gateway.core.change import Json
    from workers.access import HelpdeskAccess

T = TypeVar("T")

VERSION: Final = "v61.0"
IDS_MAX: Final = 200
LIMIT_S: Final = 900.0
"""How long to wait once the day's calls are used up; they come back bit by bit."""

CONTACT: Final = "003"
USER: Final = "005"
PERSON: Final = "Id, Name, Email"
ACCOUNT: Final = "Id, Name, Website"
CASE: Final = (
    "Id, Subject, Description, Status, Priority, Type, IsClosed, IsDeleted, ContactId, AccountId, OwnerId, "
    "SuppliedEmail, SuppliedName, CreatedDate, LastModifiedDate, SystemModstamp, "
    "Contact.Email, Contact.Name, Account.Website, Owner.Email"
)


class SalesforceClient:
    """
    Look-ups of one Salesforce connection.

    Args:
        access: address and credentials; `user` is the client app's consumer key, `secret` its secret.
        transport: instead of the network, in tests.
    """

    at_once = IDS_MAX

    def __init__(self, access: HelpdeskAccess, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._access = access
        auth = ClientCredentials(f"{access.base_url}/services/oauth2/token", access.user, access.secret)
        self._api = Api(access.base_url, auth=auth, transport=transport)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        """Look up contacts, who write, and users, who answer: the first three characters tell them apart."""
        found: dict[str, Person | None] = dict.fromkeys(ids)
        for prefix, kind in ((CONTACT, "Contact"), (USER, "User")):
            wanted = [one for one in ids if one.startswith(prefix)]
            try:
                found |= await self._select(PERSON, kind, wanted, person)
            except HelpdeskError as error:
                error.found = {one: answer for one, answer in found.items() if answer} | dict(error.found)
                raise
        return found

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        """Look up accounts; their web site is their domain."""
        return await self._select(ACCOUNT, "Account", ids, company)

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read Cases anew, with contact, account and owner. One in the recycle bin becomes the change that says so."""
        return await self._select(CASE, "Case", ids, lambda row: snapshot(row, self._access), resource="queryAll")

    async def probe(self) -> str | None:
        """Ask for one Case."""
        try:
            answer = await self._query("query", "SELECT Id FROM Case LIMIT 1")
        except HelpdeskRefused as error:
            return (
                "Salesforce refuses the client app: check SALESFORCE_API_CLIENT_ID and SALESFORCE_API_CLIENT_SECRET, "
                f"and that its Client Credentials Flow has a run-as user. Salesforce says: {error}"
            )
        except HelpdeskError as error:
            return f"Salesforce does not answer, or its run-as user may not read Cases: {error}"
        return (
            None if isinstance(answer, dict) else "There is no Salesforce API at this address: check SALESFORCE_DOMAIN."
        )

    async def _select(
        self,
        fields: str,
        kind: str,
        ids: Sequence[str],
        read: Callable[[Mapping[str, Json]], T],
        *,
        resource: str = "query",
    ) -> dict[str, T | None]:
        """Ask in groups. Ids are letters and digits only, so that none can say anything else in a query."""
        long = {one: found for one in dict.fromkeys(ids) if (found := widened(one))}

        async def ask(group: Sequence[str]) -> dict[str, T]:
            listed = ",".join(f"'{long[one]}'" for one in group)
            soql = f"SELECT {fields} FROM {kind} WHERE Id IN ({listed})"  # noqa: S608  ids that `widened` let through
            rows = _records(await self._query(resource, soql), kind)
            return {one: read(rows[long[one]]) for one in group if long[one] in rows}

        return await by_group(ids, list(long), IDS_MAX, ask)

    async def _query(self, resource: str, soql: str) -> Json:
        try:
            return await self._api.get(f"services/data/{VERSION}/{resource}", {"q": soql})
        except HelpdeskRefused as error:
            if "REQUEST_LIMIT_EXCEEDED" in str(error):  # a 403 that is none of the credentials
                raise HelpdeskBusy(LIMIT_S) from error
            raise


def _records(answer: Json, kind: str) -> dict[str, Mapping[str, Json]]:
    listed = answer.get("records") if isinstance(answer, dict) else None
    if not isinstance(listed, list) or answer.get("done") is not True:
        raise HelpdeskUnavailable(f"a query of {kind} answers without a whole list")
    return {found: row for row in listed if isinstance(row, dict) and (found := widened(row.get("Id")))}


def person(row: Mapping[str, Json]) -> Person:
    """Read a contact or a user."""
    return Person(email=mail_address(row.get("Email")), name=text(row.get("Name")) or None)


def company(row: Mapping[str, Json]) -> Company:
    """Read an account. Salesforce's own id is none that Planhat has as its external id."""
    return Company(tuple(domains(row.get("Website"))), name=text(row.get("Name")) or None)


def domains(website: Json) -> list[str]:
    """Give the host of a web site, as people type it; nothing when there is none."""
    found = website_domain(website)
    return [found] if found else []


def snapshot(row: Mapping[str, Json], access: HelpdeskAccess) -> Change:
    """Read a Case with its relations as a complete change, stamped like an outbound message."""
    ticket = widened(row.get("Id")) or ""
    gone = row.get("IsDeleted") is True
    contact, owner = mapping(row.get("Contact")), mapping(row.get("Owner"))
    fields: dict[str, Json] = {}
    if not gone:
        flat = {**row, "ContactEmail": contact.get("Email")}
        fields["email"] = ""
        fields |= case_fields(flat) | link(ticket, access.site)
        fields["agentEmail"] = mail_address(owner.get("Email")) or ""
        fields["domains"] = domains(mapping(row.get("Account")).get("Website"))
        if name := text(contact.get("Name")):
            fields["name"] = name
    return Change(
        ticket=access.prefix + ticket,
        connection=access.connection,
        fields=fields,
        refs={} if gone else case_refs(row),
        updated_at_ms=instant_ms(row.get("LastModifiedDate")),
        created_at_ms=instant_ms(row.get("CreatedDate")),
        life="deleted" if gone else "live",
        complete=True,
        reread=True,
    )
