"""Look-ups at Salesforce against a double of its REST API, which reads queries as strictly as the real one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.core.change import decode_fresh
from gateway.core.lookups import Company, Person
from tests.workers.helpdesk_double import ENDS, see_end
from tests.workers.token_vendor import Vendor
from workers.access import HelpdeskAccess
from workers.helpdesks.base import HelpdeskBusy, HelpdeskError, HelpdeskUnavailable
from workers.helpdesks.salesforce import LIMIT_S, SalesforceClient, domains

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

MAUD, MILL, ODA, QUEUE = "003Hn00000aWd2EIAS", "001Hn00000pLm9ZIAS", "005Hn00000c7RtYIAU", "00GHn0000008xQpMAI"
CASE, BINNED = "500Hn00000kQ3vTIAS", "500Hn00000kQ4aBIAS"
SELECT = re.compile(r"SELECT ([\w., ]+) FROM (\w+) WHERE Id IN \(('[A-Za-z0-9]{18}'(?:,'[A-Za-z0-9]{18}')*)\)")


FIELDS = {
    "Contact": {"Id", "Name", "Email"},
    "User": {"Id", "Name", "Email"},
    "Account": {"Id", "Name", "Website"},
    "Case": {
        *("Id", "CaseNumber", "Subject", "Description", "Status", "Priority", "Type", "IsClosed", "IsDeleted"),
        *("ContactId", "AccountId", "OwnerId", "SuppliedEmail", "SuppliedName", "CreatedDate"),
        *("LastModifiedDate", "SystemModstamp", "Contact.Email", "Contact.Name", "Account.Website", "Owner.Email"),
    },
}


class Salesforce(Vendor):
    """One organization's REST API."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[str] = []
        case = {
            "Id": CASE,
            "Subject": "Belt slips on press 4",
            "Description": "It began after\r\nthe shift change.",
            "Status": "In Progress",
            "Priority": "High",
            "Type": None,
            "IsClosed": False,
            "IsDeleted": False,
            "ContactId": MAUD,
            "AccountId": MILL,
            "OwnerId": ODA,
            "SuppliedEmail": None,
            "SuppliedName": None,
            "CreatedDate": "2026-10-12T06:41:09.000+0000",
            "LastModifiedDate": "2026-10-12T09:15:00.000+0000",
            "SystemModstamp": "2026-10-12T09:15:01.000+0000",
            "Contact": {"attributes": {"type": "Contact"}, "Email": "Maud@TallowMill.example", "Name": "Maud Ferrier"},
            "Account": {"attributes": {"type": "Account"}, "Website": "https://www.TallowMill.example/about"},
            "Owner": {"attributes": {"type": "Name"}, "Email": "oda.brekke@help.example"},
        }
        self.rows: dict[str, dict[str, dict[str, Any]]] = {
            "Contact": {MAUD: {"Id": MAUD, "Name": "Maud Ferrier", "Email": "Maud@TallowMill.example"}},
            "User": {ODA: {"Id": ODA, "Name": "Oda Brekke", "Email": "oda.brekke@help.example"}},
            "Account": {MILL: {"Id": MILL, "Name": "Tallow Mill", "Website": "www.tallowmill.example"}},
            "Case": {CASE: case, BINNED: case | {"Id": BINNED, "IsDeleted": True}},
        }
        self.app = Starlette(
            routes=[
                Route("/services/oauth2/token", self.token, methods=["POST"]),
                Route("/services/data/v61.0/{resource:str}", self.query),
            ]
        )

    async def query(self, request: Request) -> Response:
        if refusal := self.refusal(request, {"q"}):
            return refusal
        soql, resource = request.query_params["q"], request.path_params["resource"]
        self.queries.append(soql)
        if soql == "SELECT Id FROM Case LIMIT 1":
            return JSONResponse({"totalSize": 1, "done": True, "records": [{"Id": CASE}]})
        asked = SELECT.fullmatch(soql)
        if resource not in ("query", "queryAll") or not asked or asked[2] not in FIELDS:
            return JSONResponse([{"errorCode": "MALFORMED_QUERY", "message": "unexpected token"}], 400)
        if set(asked[1].split(", ")) - FIELDS[asked[2]]:
            return JSONResponse([{"errorCode": "INVALID_FIELD", "message": "No such column"}], 400)
        table = self.rows[asked[2]]
        found = [table[one] for one in asked[3].replace("'", "").split(",") if one in table]
        if resource == "query":
            found = [row for row in found if not row.get("IsDeleted")]
        records = [{"attributes": {"type": asked[2]}, **row} for row in found]
        return JSONResponse({"totalSize": len(records), "done": True, "records": records})


ACCESS = HelpdeskAccess(
    "salesforce",
    "salesforce",
    "https://lumen.my.salesforce.com",
    "lumen.my.salesforce.com",
    "app-1",
    "app-secret",
    "salesforce:",
)


@pytest.fixture
def salesforce() -> Salesforce:
    return Salesforce()


@pytest.fixture
async def sf(salesforce: Salesforce) -> AsyncIterator[SalesforceClient]:
    client = SalesforceClient(ACCESS, transport=httpx.ASGITransport(salesforce.app))
    yield client
    await client.aclose()


async def test_contacts_and_users_are_found_in_a_query_each(sf: SalesforceClient, salesforce: Salesforce) -> None:
    assert await sf.users([MAUD, ODA, QUEUE, "003Hn00000aWd2F", MAUD[:15]]) == {
        MAUD: Person("maud@tallowmill.example", "Maud Ferrier"),
        ODA: Person("oda.brekke@help.example", "Oda Brekke"),
        QUEUE: None,
        "003Hn00000aWd2F": None,
        MAUD[:15]: Person("maud@tallowmill.example", "Maud Ferrier"),
    }
    assert [query.split()[5] for query in salesforce.queries] == ["Contact", "User"]


async def test_accounts_tell_the_domain_of_their_web_site(sf: SalesforceClient) -> None:
    assert await sf.organizations([MILL, "001Hn00000pLm9Y"]) == {
        MILL: Company(("tallowmill.example",), None, "Tallow Mill"),
        "001Hn00000pLm9Y": None,
    }


@pytest.mark.parametrize(
    ("website", "found"),
    [
        ("tallowmill.example", ["tallowmill.example"]),
        (" WWW.TallowMill.example ", ["tallowmill.example"]),
        ("http://shop.tallowmill.example:8080/a?b#c", ["shop.tallowmill.example"]),
        ("https://tallowmill.example/", ["tallowmill.example"]),
        ("n/a", []),
        ("localhost", []),
        ("10.0.0.1", []),
        ("a b.example", []),
        ("", []),
        (None, []),
    ],
)
def test_a_web_site_is_read_as_people_type_it(website: Any, found: list[str]) -> None:
    assert domains(website) == found


async def test_a_case_comes_with_its_people_and_company(sf: SalesforceClient) -> None:
    change = (await sf.tickets([CASE]))[CASE]
    assert change is not None
    assert (change.ticket, change.connection, change.life) == (f"salesforce:{CASE}", "salesforce", "live")
    assert (change.complete, change.reread, change.thin) == (True, True, False)
    assert (change.updated_at_ms, change.created_at_ms) == (1791796500000, 1791787269000)
    assert change.fields == {
        "title": "Belt slips on press 4",
        "description": "It began after\nthe shift change.",
        "type": "",
        "severity": "high",
        "status": "in progress",
        "email": "maud@tallowmill.example",
        "name": "Maud Ferrier",
        "agentEmail": "oda.brekke@help.example",
        "domains": ["tallowmill.example"],
        "url": f"https://lumen.lightning.force.com/lightning/r/Case/{CASE}/view",
    }
    assert change.refs == {"requester_id": MAUD, "organization_id": MILL, "assignee_id": ODA}
    assert decode_fresh(change.encode()).reread


async def test_a_case_without_people_is_known_to_have_none(sf: SalesforceClient, salesforce: Salesforce) -> None:
    nobody = {"Contact": None, "Account": None, "Owner": None, "ContactId": None, "AccountId": None, "OwnerId": QUEUE}
    salesforce.rows["Case"][CASE] |= nobody
    change = (await sf.tickets([CASE]))[CASE]
    assert change is not None
    assert (change.fields["email"], change.fields["agentEmail"], change.fields["domains"]) == ("", "", [])
    assert "name" not in change.fields
    assert change.refs == {"requester_id": None, "organization_id": None, "assignee_id": None}


async def test_only_the_recycle_bin_proves_a_deletion(sf: SalesforceClient) -> None:
    answers = await sf.tickets([BINNED, "500Hn00000kQ5aBIAS"])
    change = answers[BINNED]
    assert change is not None
    assert (change.life, change.fields, change.refs) == ("deleted", {}, {})
    assert change.updated_at_ms == 1791796500000
    assert answers["500Hn00000kQ5aBIAS"] is None


async def test_two_hundred_ids_are_asked_for_at_a_time(sf: SalesforceClient, salesforce: Salesforce) -> None:
    ids = [f"003Hn00000{number:05d}" for number in range(450)]
    assert list(await sf.users([*ids, ids[0]])) == ids
    assert [query.count(",") - 1 for query in salesforce.queries] == [200, 200, 50]


@pytest.mark.parametrize("bad", ["", "500", "') OR ('a'='a", "003Hn00000aWd2E'", "\uff15" * 15, "003Hn00000aWd2EI"])
async def test_what_is_no_salesforce_id_is_never_asked_for(
    sf: SalesforceClient, salesforce: Salesforce, bad: str
) -> None:
    for ask in (sf.users, sf.organizations, sf.tickets):
        assert await ask([bad]) == {bad: None}
    assert salesforce.seen == []


@pytest.mark.parametrize(
    "body", [[], {}, {"records": None, "done": True}, {"records": [], "done": False}, {"records": []}, "x"]
)
async def test_an_answer_without_a_whole_list_says_nothing_about_anybody(
    sf: SalesforceClient, salesforce: Salesforce, body: Any
) -> None:
    for ask, one in ((sf.users, MAUD), (sf.organizations, MILL), (sf.tickets, CASE)):
        salesforce.next = [JSONResponse(body)]
        with pytest.raises(HelpdeskUnavailable):
            await ask([one])


async def test_what_was_read_before_a_failure_is_kept_with_it(sf: SalesforceClient, salesforce: Salesforce) -> None:
    salesforce.next = [None, Response(status_code=503)]
    with pytest.raises(HelpdeskUnavailable) as raised:
        await sf.users([ODA, MAUD])
    assert raised.value.found == {MAUD: Person("maud@tallowmill.example", "Maud Ferrier")}


async def test_a_used_up_quota_is_no_matter_of_credentials(sf: SalesforceClient, salesforce: Salesforce) -> None:
    body = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    salesforce.next = [JSONResponse(body, 403)]
    with pytest.raises(HelpdeskBusy) as raised:
        await sf.tickets([CASE])
    assert raised.value.retry_after_s == LIMIT_S


async def test_a_salesforce_probe_says_what_is_wrong(sf: SalesforceClient, salesforce: Salesforce) -> None:
    assert await sf.probe() is None
    salesforce.next = [
        Response(status_code=403),
        JSONResponse([{"errorCode": "INVALID_TYPE", "message": "sObject type 'Case' is not supported."}], 400),
        Response(status_code=404),
    ]
    assert "SALESFORCE_API_CLIENT_ID" in (await sf.probe() or "")
    assert "INVALID_TYPE" in (await sf.probe() or "")
    assert "SALESFORCE_DOMAIN" in (await sf.probe() or "")


@pytest.mark.parametrize("end", ENDS)
async def test_every_other_end_is_a_named_error_and_never_nobody(
    end: tuple[httpx.Response, type[HelpdeskError]],
) -> None:
    asked = [("users", MAUD), ("organizations", MILL), ("tickets", CASE)]
    await see_end(
        lambda transport: SalesforceClient(ACCESS, transport=transport),
        end,
        asked,
        host="lumen.my.salesforce.com",
        secrets=["t-secret", "app-secret"],
        token="t-secret",
    )
