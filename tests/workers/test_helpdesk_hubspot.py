"""Look-ups at HubSpot against a double written after its reference, which refuses what is not documented."""

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
from gateway.sources.base import Connection, Request
from gateway.sources.hubspot import SOURCE
from workers.access import HelpdeskAccess
from workers.helpdesks.base import HelpdeskBusy, HelpdeskError, HelpdeskRefused, HelpdeskUnavailable
from workers.helpdesks.hubspot import BUSY_S, HubSpotClient, main_of
from workers.helpdesks.memory import REMEMBER_S
from workers.settings import from_env

from .helpdesk_double import ENDS, Clock, see_end, send_through

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import starlette.requests

    from .conftest import Desk

TOKEN = "pat-eu1-4f0c-hubspot"
ACCESS = HelpdeskAccess(
    "hubspot", "hubspot", "https://api.hubapi.com", "app.hubspot.com", "", TOKEN, "hubspot:"
)  # fmt: skip
TICKET, BINNED, CONTACT, COMPANY, OWNER = "24680135791", "24680135700", "90114", "70233", "811"


def stage(value: str, moment: str) -> dict[str, Any]:
    return {"value": value, "timestamp": moment, "sourceType": "CRM_UI", "updatedByUserId": 9}


class HubSpot:
    """`api.hubapi.com`: reads by POST, 207 with errors for what is missing, a scope for each kind."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.next: list[Response | None] = []
        self.forbidden: set[str] = set()
        self.rows: dict[str, dict[str, dict[str, Any]]] = {
            "tickets": {
                TICKET: {
                    "subject": "Grinder 4  stops",
                    "content": "It hums,\n\n\n\nthen stops.",
                    "hs_pipeline": "0",
                    "hs_pipeline_stage": "2",
                    "hs_ticket_priority": "HIGH",
                    "hubspot_owner_id": OWNER,
                    "createdate": "2026-10-12T06:41:09.120Z",
                    "hs_lastmodifieddate": "2026-10-12T08:02:31.005Z",
                    "closed_date": None,
                }
            },
            "contacts": {
                CONTACT: {"email": "Ida.Brekke@QuillHarbor.example", "firstname": "Ida", "lastname": "Brekke"},
                "90115": {"email": None, "firstname": None, "lastname": "Vestby"},
            },
            "companies": {
                COMPANY: {
                    "name": "Quill Harbor",
                    "domain": "QuillHarbor.example",
                    "hs_additional_domains": "quill.example;quillharbor.example",
                },
                "70234": {"name": "Bare", "domain": None, "hs_additional_domains": None},
            },
        }
        self.history = [stage("2", "2026-10-12T07:00:00.000Z"), stage("1", "2026-10-12T06:41:09.120Z")]
        self.binned = {BINNED: "2026-10-13T00:00:00.500Z"}
        self.links: dict[str, dict[str, list[dict[str, Any]]]] = {
            "contacts": {TICKET: [self.link(90200), self.link(90114)]},
            "companies": {TICKET: [self.link(70001), self.link(70233, "Primary")]},
        }
        self.pipelines: Any = [
            {
                "id": "0",
                "label": "Support Pipeline",
                "stages": [
                    {"id": "1", "label": "New", "metadata": {"ticketState": "OPEN", "isClosed": "false"}},
                    {"id": "2", "label": "Waiting on contact", "metadata": {"ticketState": "OPEN"}},
                    {"id": "4", "label": "", "metadata": {"ticketState": "CLOSED"}},
                ],
            }
        ]
        self.owners = [{"id": OWNER, "email": "Lena@Mill.example", "firstName": "Lena", "lastName": "Ostrand"}]
        self.pages = 1
        self.account: Any = {"portalId": 58230477, "uiDomain": "app-eu1.hubspot.com", "timeZone": "Europe/Oslo"}
        self.app = Starlette(
            routes=[
                Route("/crm/v3/objects/{kind}", self.list_some),
                Route("/crm/v3/objects/{kind}/batch/read", self.batch, methods=["POST"]),
                Route("/crm/v4/associations/tickets/{kind}/batch/read", self.associations, methods=["POST"]),
                Route("/crm/v3/pipelines/tickets", self.stages),
                Route("/crm/v3/owners", self.list_owners),
                Route("/account-info/v3/details", self.details),
            ]
        )

    @staticmethod
    def link(to: int, label: str | None = None) -> dict[str, Any]:
        types = [{"category": "HUBSPOT_DEFINED", "typeId": 16, "label": None}]
        return {"toObjectId": to, "associationTypes": types + ([{"typeId": 26, "label": label}] if label else [])}

    async def question(self, request: starlette.requests.Request, keys: set[str]) -> dict[str, Any]:
        asked: dict[str, Any] = orjson.loads(await request.body() or b"{}")
        self.seen.append((request.url.path.strip("/"), len(asked.get("inputs", []))))
        assert asked.keys() <= keys, "an unknown key is answered 400"
        assert request.query_params.keys() <= {"archived", "limit", "after"}
        return asked

    def refusal(self, request: starlette.requests.Request, kind: str) -> Response | None:
        if self.next and (answer := self.next.pop(0)) is not None:
            return answer
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"status": "error", "category": "INVALID_AUTHENTICATION"}, 401)
        if kind in self.forbidden:
            return JSONResponse({"status": "error", "category": "MISSING_SCOPES", "message": "scopes"}, 403)
        return None

    async def batch(self, request: starlette.requests.Request) -> Response:
        kind = request.path_params["kind"]
        asked = await self.question(request, {"inputs", "properties", "propertiesWithHistory"})
        if refusal := self.refusal(request, kind):
            return refusal
        ids = [one["id"] for one in asked["inputs"]]
        if len(ids) > (50 if asked.get("propertiesWithHistory") else 100) or not ids:
            return JSONResponse({"status": "error", "message": "too many inputs"}, 400)
        rows = []
        for one in dict.fromkeys(ids):
            found = self.rows[kind].get(one)
            if request.query_params.get("archived") == "true":
                if kind == "tickets" and one in self.binned:
                    row = {"id": one, "properties": {}, "archived": True, "archivedAt": self.binned[one]}
                    rows.append(row)
            elif found is not None:
                shown = {name: found.get(name) for name in asked["properties"]}
                row = {"id": one, "properties": shown, "archived": False, "updatedAt": "2026-10-12T08:02:31.005Z"}
                if asked.get("propertiesWithHistory"):
                    row["propertiesWithHistory"] = {"hs_pipeline_stage": self.history}
                rows.append(row)
        missing = [one for one in ids if one not in {row["id"] for row in rows}]
        body: dict[str, Any] = {"status": "COMPLETE", "results": rows}
        if missing:
            body |= {"numErrors": 1, "errors": [{"category": "OBJECT_NOT_FOUND", "context": {"ids": missing}}]}
        return JSONResponse(body, 207 if missing else 200)

    async def associations(self, request: starlette.requests.Request) -> Response:
        kind = request.path_params["kind"]
        asked = await self.question(request, {"inputs"})
        if refusal := self.refusal(request, kind):
            return refusal
        ids = [one["id"] for one in asked["inputs"]]
        rows = [{"from": {"id": one}, "to": self.links[kind][one]} for one in ids if one in self.links[kind]]
        return JSONResponse({"status": "COMPLETE", "results": rows}, 207 if len(rows) < len(ids) else 200)

    async def stages(self, request: starlette.requests.Request) -> Response:
        await self.question(request, set())
        return self.refusal(request, "tickets") or JSONResponse({"results": self.pipelines})

    async def list_owners(self, request: starlette.requests.Request) -> Response:
        await self.question(request, set())
        if refusal := self.refusal(request, "owners"):
            return refusal
        page = int(request.query_params.get("after", "0"))
        rows = self.owners if page == 0 else [{"id": f"9{page}", "email": f"p{page}@mill.example"}]
        paging = {"paging": {"next": {"after": str(page + 1)}}} if page + 1 < self.pages else {}
        return JSONResponse({"results": rows, **paging})

    async def list_some(self, request: starlette.requests.Request) -> Response:
        await self.question(request, set())
        return self.refusal(request, request.path_params["kind"]) or JSONResponse({"results": []})

    async def details(self, request: starlette.requests.Request) -> Response:
        await self.question(request, set())
        return self.refusal(request, "account") or JSONResponse(self.account)


@pytest.fixture
def hubspot() -> HubSpot:
    return HubSpot()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(hubspot: HubSpot, clock: Clock) -> AsyncIterator[HubSpotClient]:
    transport = httpx.ASGITransport(hubspot.app)
    made = HubSpotClient(ACCESS, transport=transport, monotonic=clock, clock=lambda: 1_791_800_000.0)
    yield made
    await made.aclose()


async def read(client: HubSpotClient, ticket: str = TICKET) -> Any:
    change = (await client.tickets([ticket]))[ticket]
    assert change is not None
    return change


async def test_a_ticket_is_a_complete_change_with_its_stage_as_a_word(client: HubSpotClient) -> None:
    change = await read(client)
    assert (change.ticket, change.connection, change.life) == (f"hubspot:{TICKET}", "hubspot", "live")
    assert (change.complete, change.reread, change.thin) == (True, True, False)
    assert (change.updated_at_ms, change.created_at_ms) == (1_791_792_151_005, 1_791_787_269_120)
    assert change.fields == {
        "title": "Grinder 4 stops",
        "description": "It hums,\n\nthen stops.",
        "severity": "high",
        "status": "waiting on contact",
        "url": f"https://app-eu1.hubspot.com/contacts/58230477/record/0-5/{TICKET}",
    }
    assert change.refs == {"requester_id": CONTACT, "organization_id": COMPANY, "assignee_id": f"owner:{OWNER}"}
    assert decode_fresh(change.encode()).reread


async def test_the_history_of_the_stage_is_the_tickets_whole_history(client: HubSpotClient, hubspot: HubSpot) -> None:
    change = await read(client)
    assert change.history == ((1_791_787_269_120, "new"), (1_791_788_400_000, "waiting on contact"))
    assert change.history_known
    hubspot.history = [stage("2", "2026-10-12T07:00:00.000Z")] * 20
    assert not (await read(client)).history_known, "a full list may have begun earlier"
    hubspot.history = [stage("77", "2026-10-12T07:00:00.000Z"), stage("1", "soon")]
    assert (await read(client)).history == ()
    hubspot.history = []
    assert not (await read(client)).history_known


async def test_of_two_readings_of_one_state_the_later_holds(client: HubSpotClient) -> None:
    assert (await read(client)).event_at_us == 1_791_800_000_000_000


async def test_what_is_empty_is_known_to_be_empty(client: HubSpotClient, hubspot: HubSpot) -> None:
    row = hubspot.rows["tickets"][TICKET]
    row |= dict.fromkeys(("subject", "content", "hs_ticket_priority", "hubspot_owner_id", "hs_lastmodifieddate"))
    row["hs_pipeline_stage"] = "unheard"
    hubspot.links = {"contacts": {}, "companies": {TICKET: []}}
    change = await read(client)
    assert change.fields.items() >= {"title": "", "description": "", "severity": "", "agentEmail": ""}.items()
    assert "status" not in change.fields
    assert change.refs == {"requester_id": None, "organization_id": None, "assignee_id": None}
    assert change.updated_at_ms == 1_791_792_151_005, "the record's own time stands in"


async def test_a_stage_without_a_label_is_told_by_its_state(client: HubSpotClient, hubspot: HubSpot) -> None:
    hubspot.rows["tickets"][TICKET]["hs_pipeline_stage"] = "4"
    assert (await read(client)).fields["status"] == "closed"


async def test_a_ticket_in_the_bin_is_a_deletion_and_one_that_is_nowhere_is_none(client: HubSpotClient) -> None:
    answers = await client.tickets([TICKET, BINNED, "5"])
    gone = answers[BINNED]
    assert gone is not None
    assert (gone.life, gone.updated_at_ms, gone.fields, gone.refs) == ("deleted", 1_791_849_600_500, {}, {})
    assert answers["5"] is None
    assert list(await client.tickets([BINNED])) == [BINNED]


async def test_many_tickets_cost_few_calls(client: HubSpotClient, hubspot: HubSpot) -> None:
    ids = [str(number) for number in range(1, 121)]
    for one in ids:
        hubspot.rows["tickets"][one] = dict(hubspot.rows["tickets"][TICKET])
    answers = await client.tickets(ids)
    assert all(answers.values())
    assert list(answers) == ids
    sizes = [size for path, size in hubspot.seen if path == "crm/v3/objects/tickets/batch/read"]
    assert sizes == [50, 50, 20]
    assert len(hubspot.seen) == 3 * 3 + 2, "labels and account are asked for once"
    assert client.at_once == 50


async def test_lists_are_remembered_for_a_while(client: HubSpotClient, hubspot: HubSpot, clock: Clock) -> None:
    await read(client)
    before = len(hubspot.seen)
    await read(client)
    assert len(hubspot.seen) == before + 3
    clock.now_s = REMEMBER_S
    await read(client)
    assert len(hubspot.seen) == before + 3 + 5


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([], None),
        ([HubSpot.link(9), HubSpot.link(10)], "9"),
        ([HubSpot.link(9), HubSpot.link(10, "Primary contact")], "10"),
        ([7, {"toObjectId": None}, {"toObjectId": "x"}, {"toObjectId": "12", "associationTypes": None}], "12"),
    ],
)
def test_of_several_contacts_the_primary_counts_else_the_oldest(others: list[Any], chosen: str | None) -> None:
    assert main_of(others) == chosen


async def test_contacts_and_owners_are_people(client: HubSpotClient, hubspot: HubSpot) -> None:
    assert await client.users([CONTACT, "90115", "5", f"owner:{OWNER}", "owner:5", "owner:x"]) == {
        CONTACT: Person("ida.brekke@quillharbor.example", "Ida Brekke"),
        "90115": Person(None, "Vestby"),
        "5": None,
        f"owner:{OWNER}": Person("lena@mill.example", "Lena Ostrand"),
        "owner:5": None,
        "owner:x": None,
    }
    hubspot.seen.clear()
    await client.users([f"owner:{OWNER}"])
    assert hubspot.seen == [], "the list of owners is remembered"


async def test_owners_are_read_page_by_page(client: HubSpotClient, hubspot: HubSpot) -> None:
    hubspot.pages = 3
    answers = await client.users(["owner:91", "owner:92", "owner:93"])
    assert [answer is not None for answer in answers.values()] == [True, True, False]
    assert [path for path, _ in hubspot.seen] == ["crm/v3/owners"] * 3


async def test_pages_that_repeat_themselves_have_an_end(client: HubSpotClient, hubspot: HubSpot) -> None:
    answer = JSONResponse({"results": hubspot.owners, "paging": {"next": {"after": "0"}}})
    hubspot.next = [answer, answer, answer]
    assert (await client.users([f"owner:{OWNER}"]))[f"owner:{OWNER}"] is not None
    assert len(hubspot.seen) == 2


async def test_companies_tell_their_domains(client: HubSpotClient) -> None:
    assert await client.organizations([COMPANY, "70234", "5"]) == {
        COMPANY: Company(("quillharbor.example", "quill.example"), None, "Quill Harbor"),
        "70234": Company((), None, "Bare"),
        "5": None,
    }


@pytest.mark.parametrize("bad", ["", "0", "1/2", "../me", "abc", "owner:", "9" * 30])
async def test_what_is_no_id_is_never_asked_for(client: HubSpotClient, hubspot: HubSpot, bad: str) -> None:
    assert await client.organizations([bad]) == {bad: None}
    assert await client.tickets([bad]) == {bad: None}
    if not bad.startswith("owner:"):
        assert await client.users([bad]) == {bad: None}
    assert hubspot.seen == []


@pytest.mark.parametrize("account", [{}, {"portalId": None}, []])
async def test_an_account_that_does_not_tell_itself_is_no_answer(
    client: HubSpotClient, hubspot: HubSpot, account: Any
) -> None:
    hubspot.account = account
    with pytest.raises(HelpdeskUnavailable, match="portalId"):
        await client.tickets([TICKET])


async def test_a_page_host_that_is_not_hubspots_makes_no_link(client: HubSpotClient, hubspot: HubSpot) -> None:
    hubspot.account |= {"uiDomain": "evil.example"}
    assert "url" not in (await read(client)).fields


@pytest.mark.parametrize("kind", ["tickets", "contacts", "companies"])
async def test_a_missing_scope_is_told_and_never_taken_for_nobody(
    client: HubSpotClient, hubspot: HubSpot, kind: str
) -> None:
    hubspot.forbidden = {kind}
    with pytest.raises(HelpdeskRefused, match="HTTP 403"):
        await client.tickets([TICKET])
    assert "HUBSPOT" not in (await client.probe() or "")
    assert kind in (await client.probe() or "")


async def test_a_probe_says_what_is_wrong(client: HubSpotClient, hubspot: HubSpot) -> None:
    assert await client.probe() is None
    hubspot.forbidden = {"owners"}
    assert "crm.objects.owners.read" in (await client.probe() or "")
    hubspot.next = [Response(status_code=401), Response(status_code=502)]
    assert "HUBSPOT_API_TOKEN" in (await client.probe() or "")
    assert "HTTP 502" in (await client.probe() or "")


async def test_what_was_read_before_a_failure_is_kept_with_it(client: HubSpotClient, hubspot: HubSpot) -> None:
    hubspot.rows["contacts"] |= {str(one): {"email": "a@b.example"} for one in range(1, 130)}
    hubspot.next = [None, Response(status_code=429)]
    with pytest.raises(HelpdeskBusy) as raised:
        await client.users([str(one) for one in range(1, 130)])
    assert (raised.value.retry_after_s, len(raised.value.found)) == (BUSY_S, 100)
    hubspot.rows["companies"] |= {str(one): {"domain": "b.example"} for one in range(1, 130)}
    hubspot.next = [None, Response(status_code=429, headers={"Retry-After": "3"})]
    with pytest.raises(HelpdeskBusy) as raised:
        await client.organizations([str(one) for one in range(1, 130)])
    assert (raised.value.retry_after_s, len(raised.value.found)) == (3, 100)
    hubspot.rows["tickets"] |= {str(one): dict(hubspot.rows["tickets"][TICKET]) for one in range(1, 60)}
    hubspot.next = [None] * 5 + [Response(status_code=500)]
    with pytest.raises(HelpdeskUnavailable) as failed:
        await client.tickets([str(one) for one in range(1, 60)])
    assert len(failed.value.found) == 50


@pytest.mark.parametrize("end", ENDS)
async def test_every_other_end_is_a_named_error_and_never_nobody(
    end: tuple[httpx.Response, type[HelpdeskError]],
) -> None:
    asked = [("users", "7"), ("users", "owner:7"), ("organizations", "7"), ("tickets", "7")]
    await see_end(
        lambda transport: HubSpotClient(ACCESS, transport=transport), end, asked, host="api.hubapi.com", secrets=[TOKEN]
    )


# ------------------------------------------------------------------------------------------------------- the whole way
async def test_events_that_name_a_ticket_become_the_whole_ticket_in_planhat(
    desk: Desk, client: HubSpotClient, hubspot: HubSpot
) -> None:
    events = [
        {"subscriptionType": "ticket.creation", "objectId": int(TICKET), "occurredAt": 1_791_787_269_120},
        {
            "subscriptionType": "ticket.propertyChange",
            "objectId": int(TICKET),
            "propertyName": "hs_pipeline_stage",
            "propertyValue": "2",
            "occurredAt": 1_791_788_400_000,
        },
    ]
    connection = Connection("hubspot", "hubspot", ("s" * 16,), prefix="hubspot:")
    changes = SOURCE.normalize(events, Request("POST", (), "", b""), connection).changes
    await send_through(desk, client, *changes)
    ticket = desk.tickets[f"hubspot:{TICKET}"]
    assert (ticket["title"], ticket["status"], ticket["severity"]) == ("Grinder 4 stops", "waiting on contact", "high")
    assert (ticket["email"], ticket["name"]) == ("ida.brekke@quillharbor.example", "Ida Brekke")
    assert (ticket["agentEmail"], ticket["domains"]) == ("lena@mill.example", ["quillharbor.example", "quill.example"])
    assert [row["status"] for row in ticket["history"]] == ["new", "waiting on contact"]


def test_a_token_alone_switches_look_ups_on() -> None:
    (access,) = from_env({"HUBSPOT_API_TOKEN": TOKEN}).helpdesks
    assert (access.base_url, access.site, access.user) == ("https://api.hubapi.com", "app.hubspot.com", "")
