"""Look-ups at Jira against a double written after its REST reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.core.change import decode_fresh
from gateway.core.lookups import Company, Person
from gateway.errors import ConfigurationError
from workers.access import HelpdeskAccess
from workers.helpdesks.base import HelpdeskBusy, HelpdeskError, HelpdeskUnavailable
from workers.helpdesks.jira_service_management import JiraClient
from workers.settings import from_env

from .helpdesk_double import ENDS, Clock, basic, change_of, see_end, send_through

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import starlette.requests

    from .conftest import Desk

TOKEN = "ATATT3xFfGF0-jira"
USER = "desk.bot@tallowmill.example"
ACCESS = HelpdeskAccess(
    "jira_service_management",
    "jira_service_management",
    "https://tallowmill.atlassian.net",
    "tallowmill.atlassian.net",
    USER,
    TOKEN,
    "jira:",
)
IDA, LENA, ROY = (
    "5f70aa0193c1de44b2a00011",
    "5f70aa0193c1de44b2a00012",
    "qm:1f0c6a2e-77aa-4c3b-9b0e-5d1c2a3b4c5d:0b1c2d3e",
)
ISSUE = "71204"


class Jira:
    """One site: `bulkfetch` on Cloud, single issues on Data Center, addresses hidden but in a customer's request."""

    def __init__(self, *, cloud: bool = True) -> None:
        self.cloud = cloud
        self.seen: list[str] = []
        self.next: list[Response | None] = []
        self.credentials = basic(USER, TOKEN)
        self.users = {
            IDA: {"accountId": IDA, "accountType": "atlassian", "displayName": "Ida Brekke",
                  "emailAddress": "Ida.Brekke@QuillHarbor.example"},
            LENA: {"accountId": LENA, "accountType": "atlassian", "displayName": "Lena Ostrand"},
            ROY: {"accountId": ROY, "accountType": "customer", "displayName": "Roy Vestby"},
        }  # fmt: skip
        self.issues: dict[str, dict[str, Any]] = {
            ISSUE: {
                "summary": "Grinder 4 stops",
                "description": {"type": "doc", "version": 1, "content": [
                    {"type": "paragraph", "content": [{"type": "text", "text": "It hums."}]}]},
                "status": {"name": "Waiting for support", "statusCategory": {"key": "indeterminate"}},
                "priority": {"name": "High"},
                "issuetype": {"name": "Service Request"},
                "labels": ["line-4"],
                "components": [],
                "timespent": None,
                "reporter": {"accountId": ROY, "displayName": "Roy Vestby"},
                "assignee": {"accountId": LENA, "displayName": "Lena Ostrand"},
                "customfield_10002": [{"id": "14", "name": "Quill Harbor"}],
                "comment": {"comments": [{"body": "PRIVATE-CANARY"}]},
                "created": "2026-10-12T08:41:09.120+0200",
                "updated": "2026-10-12T10:02:31.005+0200",
            }
        }  # fmt: skip
        self.requests: dict[str, Any] = {
            ISSUE: {"issueId": ISSUE, "reporter": {"accountId": ROY, "displayName": "Roy Vestby",
                                                   "emailAddress": "roy.vestby@quillharbor.example"}}
        }  # fmt: skip
        self.noted: dict[str, Any] = {"14": {"externalId": "acct-3107", "domains": ["QuillHarbor.example"]}}
        self.fields: Any = [
            {"id": "summary", "schema": {"type": "string", "system": "summary"}},
            {"id": "customfield_10002", "schema": {"custom": "com.atlassian.servicedesk:sd-customer-organizations"}},
        ]
        self.app = Starlette(
            routes=[
                Route("/rest/api/2/myself", self.myself),
                Route("/rest/api/2/field", self.list_fields),
                Route("/rest/api/2/issue/{id}", self.issue),
                Route("/rest/api/3/issue/bulkfetch", self.bulk, methods=["POST"]),
                Route("/rest/api/3/user/bulk", self.bulk_users),
                Route("/rest/api/3/search/jql", self.search, methods=["POST"]),
                Route("/rest/servicedeskapi/request/{id}", self.request),
                Route("/rest/servicedeskapi/organization/{id}/property/{key}", self.property),
            ]
        )

    def answer(
        self, request: starlette.requests.Request, found: Any, allowed: frozenset[str] = frozenset()
    ) -> Response:
        self.seen.append(request.url.path.strip("/"))
        if self.next and (planned := self.next.pop(0)) is not None:
            return planned
        if request.headers.get("authorization") != self.credentials:
            return Response("Client must be authenticated to access this resource.", 401)
        if request.query_params.keys() - allowed:
            return JSONResponse({"errorMessages": ["unknown parameter"]}, 400)
        if found is None:
            return JSONResponse({"errorMessages": ["does not exist or you do not have permission to see it."]}, 404)
        return JSONResponse(found)

    def shown(self, one: str, fields: list[str]) -> dict[str, Any]:
        row = self.issues[one]
        address = f"https://tallowmill.atlassian.net/rest/api/3/issue/{one}"
        return {"id": one, "key": f"DESK-{one}", "self": address, "fields": {name: row.get(name) for name in fields}}

    async def myself(self, request: starlette.requests.Request) -> Response:
        return self.answer(request, {"accountId": "bot"})

    async def list_fields(self, request: starlette.requests.Request) -> Response:
        return self.answer(request, self.fields)

    async def bulk(self, request: starlette.requests.Request) -> Response:
        asked = orjson.loads(await request.body())
        assert asked.keys() == {"issueIdsOrKeys", "fields"}
        assert 0 < len(asked["issueIdsOrKeys"]) <= 100
        rows = [self.shown(one, asked["fields"]) for one in asked["issueIdsOrKeys"] if one in self.issues]
        errors = [{"issueId": one} for one in asked["issueIdsOrKeys"] if one not in self.issues]
        return self.answer(request, {"issues": rows, "issueErrors": errors} if self.cloud else None)

    async def issue(self, request: starlette.requests.Request) -> Response:
        one = request.path_params["id"]
        row = self.shown(one, request.query_params["fields"].split(",")) if one in self.issues else None
        return self.answer(request, row, frozenset({"fields"}))

    async def bulk_users(self, request: starlette.requests.Request) -> Response:
        ids = request.query_params.getlist("accountId")
        assert len(ids) <= int(request.query_params["maxResults"])
        rows = [self.users[one] for one in ids if one in self.users]
        found = {"values": rows, "isLast": True, "total": len(rows)} if self.cloud else None
        return self.answer(request, found, frozenset({"accountId", "maxResults"}))

    async def search(self, request: starlette.requests.Request) -> Response:
        asked = orjson.loads(await request.body())
        account = asked["jql"].removeprefix('reporter = "').removesuffix('"')
        rows = [{"id": one} for one, row in self.issues.items() if row["reporter"]["accountId"] == account]
        return self.answer(request, {"issues": rows[: asked["maxResults"]]})

    async def request(self, request: starlette.requests.Request) -> Response:
        return self.answer(request, self.requests.get(request.path_params["id"]))

    async def property(self, request: starlette.requests.Request) -> Response:
        value = self.noted.get(request.path_params["id"]) if request.path_params["key"] == "planhat" else None
        return self.answer(request, None if value is None else {"key": "planhat", "value": value})


@pytest.fixture
def jira() -> Jira:
    return Jira()


@pytest.fixture
async def client(jira: Jira) -> AsyncIterator[JiraClient]:
    made = JiraClient(ACCESS, transport=httpx.ASGITransport(jira.app), monotonic=Clock())
    yield made
    await made.aclose()


async def test_an_issue_is_a_complete_change_with_its_organization(client: JiraClient, jira: Jira) -> None:
    answers = await client.tickets([ISSUE, "5"])
    change = answers[ISSUE]
    assert answers["5"] is None
    assert change is not None
    assert (change.ticket, change.connection, change.life) == (f"jira:{ISSUE}", "jira_service_management", "live")
    assert (change.complete, change.reread, change.thin) == (True, True, False)
    assert (change.updated_at_ms, change.created_at_ms) == (1_791_792_151_005, 1_791_787_269_120)
    assert change.fields == {
        "title": "Grinder 4 stops",
        "description": "It hums.",
        "tags": ["line-4"],
        "type": "service request",
        "severity": "high",
        "product": "",
        "status": "waiting for support",
        "name": "Roy Vestby",
        "timeSpent": None,
        "url": f"https://tallowmill.atlassian.net/browse/DESK-{ISSUE}",
    }
    assert change.refs == {"requester_id": ROY, "assignee_id": LENA, "organization_id": "14"}
    assert b"PRIVATE-CANARY" not in change.encode()
    assert decode_fresh(change.encode()).reread
    assert jira.seen == ["rest/api/2/field", "rest/api/3/issue/bulkfetch"]


async def test_many_issues_cost_few_calls(client: JiraClient, jira: Jira) -> None:
    ids = [str(number) for number in range(1, 251)]
    jira.issues |= dict.fromkeys(ids, jira.issues[ISSUE])
    answers = await client.tickets(ids)
    assert list(answers) == ids
    assert all(answers.values())
    assert jira.seen == ["rest/api/2/field", *["rest/api/3/issue/bulkfetch"] * 3]
    assert client.at_once == 100


@pytest.mark.parametrize("fields", [[], {}, [{"id": "summary"}], [7]])
async def test_a_site_without_organizations_asks_for_none(client: JiraClient, jira: Jira, fields: Any) -> None:
    jira.fields = fields
    change = (await client.tickets([ISSUE]))[ISSUE]
    assert change is not None
    assert "organization_id" not in change.refs


async def test_data_center_reads_one_issue_at_a_time_with_a_bearer_token() -> None:
    jira = Jira(cloud=False)
    jira.credentials = f"Bearer {TOKEN}"
    jira.issues[ISSUE]["reporter"] = {"name": "ibrekke", "emailAddress": "Ida.Brekke@QuillHarbor.example"}
    access = HelpdeskAccess("j", "jira_service_management", "https://jira.mill.example", "", "", TOKEN, "")
    client = JiraClient(access, transport=httpx.ASGITransport(jira.app))
    answers = await client.tickets([ISSUE, "5"])
    assert answers["5"] is None
    change = answers[ISSUE]
    assert change is not None
    assert change.fields["email"] == "ida.brekke@quillharbor.example"
    assert await client.users([IDA]) == {IDA: None}
    assert jira.seen.count("rest/api/2/myself") == 1
    jira.next = [None, JSONResponse({"id": "2"})]
    with pytest.raises(HelpdeskUnavailable):
        await client.tickets([ISSUE])
    await client.aclose()


async def test_a_customer_who_hides_the_address_is_seen_through_a_request(client: JiraClient, jira: Jira) -> None:
    assert await client.users([IDA, LENA, ROY, "nobody"]) == {
        IDA: Person("ida.brekke@quillharbor.example", "Ida Brekke"),
        LENA: Person(None, "Lena Ostrand"),
        ROY: Person("roy.vestby@quillharbor.example", "Roy Vestby"),
        "nobody": None,
    }
    assert jira.seen == ["rest/api/3/user/bulk", "rest/api/3/search/jql", f"rest/servicedeskapi/request/{ISSUE}"]


@pytest.mark.parametrize(
    "request_row", [None, {}, {"reporter": None}, {"reporter": {"accountId": LENA, "emailAddress": "l@x.example"}}]
)
async def test_a_request_of_somebody_else_tells_no_address(client: JiraClient, jira: Jira, request_row: Any) -> None:
    jira.requests = {ISSUE: request_row}
    assert await client.users([ROY]) == {ROY: Person(None, "Roy Vestby")}


async def test_a_customer_without_a_request_has_no_address(client: JiraClient, jira: Jira) -> None:
    jira.issues = {}
    assert await client.users([ROY]) == {ROY: Person(None, "Roy Vestby")}


async def test_users_are_asked_for_ninety_at_a_time(client: JiraClient, jira: Jira) -> None:
    ids = [f"{number:024x}" for number in range(1, 101)]
    jira.users |= {one: {"accountId": one, "emailAddress": "a@b.example"} for one in ids}
    jira.next = [None, Response(status_code=429, headers={"Retry-After": "7"})]
    with pytest.raises(HelpdeskBusy) as raised:
        await client.users(ids)
    assert (raised.value.retry_after_s, len(raised.value.found)) == (7, 90)


async def test_an_organization_is_what_was_noted_on_it(client: JiraClient, jira: Jira) -> None:
    jira.noted["15"] = {"externalId": None, "domains": "x"}
    assert await client.organizations(["14", "15", "16"]) == {
        "14": Company(("quillharbor.example",), "acct-3107"),
        "15": Company(),
        "16": Company(),
    }


async def test_a_wrong_host_that_answers_404_to_everything_buries_nobody() -> None:
    client = JiraClient(ACCESS, transport=httpx.ASGITransport(Starlette()))
    for ask in (client.tickets, client.users, client.organizations):
        with pytest.raises(HelpdeskUnavailable, match="JIRA_SERVICE_MANAGEMENT_DOMAIN"):
            await ask(["1"])
    assert "JIRA_SERVICE_MANAGEMENT_DOMAIN" in (await client.probe() or "")
    await client.aclose()


@pytest.mark.parametrize("bad", ["", '5" OR reporter != "', "1/2", "../me", "a b", "a?b=c"])
async def test_what_is_no_id_is_never_asked_for(client: JiraClient, jira: Jira, bad: str) -> None:
    for ask in (client.users, client.organizations, client.tickets):
        assert await ask([bad]) == {bad: None}
    assert jira.seen == []


async def test_what_was_read_before_a_failure_is_kept_with_it(client: JiraClient, jira: Jira) -> None:
    ids = [str(number) for number in range(1, 151)]
    jira.issues |= dict.fromkeys(ids, jira.issues[ISSUE])
    jira.next = [None, None, Response(status_code=503)]
    with pytest.raises(HelpdeskUnavailable) as raised:
        await client.tickets(ids)
    assert len(raised.value.found) == 100


async def test_a_probe_says_what_is_wrong(client: JiraClient, jira: Jira) -> None:
    jira.next = [Response(status_code=401), Response(status_code=502), None]
    assert "JIRA_SERVICE_MANAGEMENT_API_TOKEN" in (await client.probe() or "")
    assert "HTTP 502" in (await client.probe() or "")
    assert await client.probe() is None


@pytest.mark.parametrize("end", ENDS)
async def test_every_other_end_is_a_named_error_and_never_nobody(
    end: tuple[httpx.Response, type[HelpdeskError]],
) -> None:
    asked = [("users", "7"), ("organizations", "7"), ("tickets", "7")]
    await see_end(
        lambda transport: JiraClient(ACCESS, transport=transport),
        end,
        asked,
        host="tallowmill.atlassian.net",
        secrets=[TOKEN],
    )


async def test_an_update_without_its_reporter_is_read_anew_before_it_goes(
    desk: Desk, client: JiraClient, jira: Jira
) -> None:
    desk.settings(prefixes={"jira_service_management": "jira:"})
    await send_through(desk, client, change_of("jira_service_management", "comment_created", "jira:"))
    ticket = desk.tickets[f"jira:{ISSUE}"]
    assert (ticket["email"], ticket["name"]) == ("roy.vestby@quillharbor.example", "Roy Vestby")
    assert ticket["status"] == "waiting for support", "what the event showed has no time of its own"
    assert (ticket["companyExternalId"], ticket["domains"]) == ("acct-3107", ["quillharbor.example"])


def test_cloud_needs_an_address_and_a_server_of_ones_own_a_token_alone() -> None:
    upper = "JIRA_SERVICE_MANAGEMENT"
    cloud = {f"{upper}_DOMAIN": "tallowmill", f"{upper}_API_EMAIL": USER, f"{upper}_API_TOKEN": TOKEN}
    (access,) = from_env(cloud).helpdesks
    assert (access.base_url, access.user) == ("https://tallowmill.atlassian.net", USER)
    hosted = {f"{upper}_API_URL": "https://jira.mill.example/", f"{upper}_API_TOKEN": TOKEN}
    (access,) = from_env(hosted).helpdesks
    assert (access.base_url, access.user, access.site) == ("https://jira.mill.example", "", "")
    with pytest.raises(ConfigurationError, match="API_EMAIL"):
        from_env({**cloud, f"{upper}_API_EMAIL": ""})
