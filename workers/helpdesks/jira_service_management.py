"""
Look-ups at Jira Service Management: issues and users in batches, organizations by what an administrator noted on them.

Cloud hides addresses: a user shows one when the profile allows it. A customer of the portal is asked for through one of
their requests, which shows agents more. An organization has neither a domain nor an id of another system: both may be
noted on it as the entity property `planhat`, `{"externalId": "acct-3107", "domains": ["quillharbor.example"]}`.

Data Center has no batch door: there an issue is read alone, and its users show their addresses.

Source: developer.atlassian.com cloud/jira/platform/rest/v3 (issue/bulkfetch, user/bulk, search/jql, field, myself) and
cloud/jira/service-desk/rest (request, organization properties), documented; facts of Jira §5. What a request shows of a
customer that the profile hides is not documented.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.core.lookups import Company, Person
from gateway.sources.jira_issue import issue_fields, issue_link, issue_refs
from gateway.sources.reading import identifier, instant_ms, mail_address, mapping, text
from workers.helpdesks.base import (
    Api,
    Bearer,
    HelpdeskError,
    HelpdeskUnavailable,
    askable,
    domains_of,
    plain_ids,
    record_id,
    rows_of,
)
from workers.helpdesks.memory import Memory
from workers.helpdesks.records import by_group, one_by_one

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from gateway.core.change import Json
    from workers.access import HelpdeskAccess

ISSUES_MAX: Final = 100
USERS_MAX: Final = 90
PROPERTY: Final = "planhat"
ORGANIZATIONS: Final = "com.atlassian.servicedesk:sd-customer-organizations"
"""Type of the one custom field that holds organizations, whatever its number."""

FIELDS: Final = (
    "summary",
    "description",
    "status",
    "priority",
    "issuetype",
    "labels",
    "components",
    "timespent",
    "reporter",
    "assignee",
    "created",
    "updated",
)


class JiraClient:
    """
    Look-ups of one Jira connection.

    Args:
        access: address and credentials; without `user` (Data Center) the secret is a personal access token.
        transport: instead of the network, in tests.
        monotonic: seconds of a clock that never steps.
    """

    at_once = ISSUES_MAX

    def __init__(
        self,
        access: HelpdeskAccess,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        auth = None if access.user else Bearer(access.secret)
        self._api = Api(access.base_url, access.user, access.secret, auth=auth, transport=transport)
        self._memory = Memory(monotonic)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        """Look up users by account; who shows no address is a person without one."""
        return await by_group(ids, plain_ids(ids), USERS_MAX, self._users)

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        """Look up what is noted on organizations; nothing noted is an empty company."""
        return await one_by_one(ids, askable(ids), self._organization)

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read issues anew. Jira does not tell one that is gone from one that may not be seen."""
        return await by_group(ids, askable(ids), ISSUES_MAX, self._tickets)

    async def probe(self) -> str | None:
        """Ask who we are."""
        try:
            await self._is_ours()
        except HelpdeskError as error:
            return f"Jira refuses or does not answer: check JIRA_SERVICE_MANAGEMENT_API_TOKEN. Jira says: {error}"
        return None

    async def _users(self, group: Sequence[str]) -> dict[str, Person | None]:
        query: dict[str, str | list[str]] = {"accountId": list(group), "maxResults": str(USERS_MAX)}
        answer = await self._api.get("rest/api/3/user/bulk", query)
        if answer is None and await self._is_ours():
            return {}
        listed = rows_of(answer, "values", "rest/api/3/user/bulk")
        rows = {account: row for row in listed if (account := identifier(row.get("accountId")))}
        found: dict[str, Person | None] = {}
        for one in group:
            if one in rows:
                shown = person(rows[one])
                hidden = shown.email is None and rows[one].get("accountType") == "customer"
                found[one] = (await self._customer(one) if hidden else None) or shown
        return found

    async def _customer(self, account: str) -> Person | None:
        """Read a customer of the portal as one of their requests shows them."""
        question = {"jql": f'reporter = "{account}"', "maxResults": 1, "fields": ["summary"]}
        answer = await self._api.post("rest/api/3/search/jql", question)
        issues = rows_of(answer, "issues", "rest/api/3/search/jql")
        issue = next((found for row in issues if (found := record_id(row.get("id")))), None)
        if issue is None or not askable([issue]):
            return None
        reporter = mapping(mapping(await self._api.get(f"rest/servicedeskapi/request/{issue}")).get("reporter"))
        return person(reporter) if reporter.get("accountId") == account else None

    async def _tickets(self, group: Sequence[str]) -> dict[str, Change]:
        return {one: snapshot(row, self._access) for one, row in (await self._issues(group)).items()}

    async def _issues(self, group: Sequence[str]) -> dict[str, Mapping[str, Json]]:
        fields = [*FIELDS, *await self._organizations_field()]
        question = {"issueIdsOrKeys": list(group), "fields": fields}
        answer = await self._api.post("rest/api/3/issue/bulkfetch", question)
        if answer is None and await self._is_ours():
            ask = partial(self._issue, fields)
            return {one: row for one, row in (await one_by_one(group, group, ask)).items() if row is not None}
        listed = rows_of(answer, "issues", "rest/api/3/issue/bulkfetch")
        return {one: row for row in listed if (one := record_id(row.get("id")))}

    async def _issue(self, fields: Sequence[str], issue: str) -> Mapping[str, Json] | None:
        row = await self._api.get(f"rest/api/2/issue/{issue}", {"fields": ",".join(fields)})
        if row is not None and (not isinstance(row, dict) or record_id(row.get("id")) != issue):
            raise HelpdeskUnavailable(f"rest/api/2/issue/{issue} answers no issue of that id")
        return row

    async def _organizations_field(self) -> list[str]:
        """Give the custom field of organizations, as a list of one or none."""
        listed = await self._memory.get("fields", partial(self._api.get, "rest/api/2/field"))
        rows = [mapping(row) for row in listed] if isinstance(listed, list) else []
        named = [text(row.get("id")) for row in rows if mapping(row.get("schema")).get("custom") == ORGANIZATIONS]
        return [name for name in named if name][:1]

    async def _organization(self, organization: str) -> Company:
        answer = await self._api.get(f"rest/servicedeskapi/organization/{organization}/property/{PROPERTY}")
        if answer is None:
            await self._is_ours()
        return company(mapping(mapping(answer).get("value")))

    async def _is_ours(self) -> bool:
        """Prove once in a while that address and token are right: a wrong host answers 404 to everything."""
        if not isinstance(await self._memory.get("myself", partial(self._api.get, "rest/api/2/myself")), dict):
            raise HelpdeskUnavailable("there is no Jira at this address: check JIRA_SERVICE_MANAGEMENT_DOMAIN")
        return True


def person(row: Mapping[str, Json]) -> Person:
    """Read a user."""
    return Person(email=mail_address(row.get("emailAddress")), name=text(row.get("displayName")) or None)


def company(noted: Mapping[str, Json]) -> Company:
    """Read what is noted on an organization."""
    return Company(domains_of(noted.get("domains")), external_id=text(noted.get("externalId")) or None)


def snapshot(row: Mapping[str, Json], access: HelpdeskAccess) -> Change:
    """Read an issue as a complete change, stamped with its own `updated`."""
    shown = mapping(row.get("fields"))
    return Change(
        ticket=access.prefix + (record_id(row.get("id")) or ""),
        connection=access.connection,
        fields=issue_fields(shown) | issue_link(row, access.site or None),
        refs=issue_refs(shown),
        updated_at_ms=instant_ms(shown.get("updated")),
        created_at_ms=instant_ms(shown.get("created")),
        life="live",
        complete=True,
        reread=True,
    )
