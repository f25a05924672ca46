"""
Look-ups against small doubles of the helpdesks' APIs, written after the facts and refusing what is not documented.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.core.change import decode_fresh
from gateway.core.lookups import Company, Person
from tests.workers.helpdesk_double import ENDS, Clock, Double, basic, see_end
from workers.access import HelpdeskAccess
from workers.helpdesks import CLIENTS, base
from workers.helpdesks.base import (
    HelpdeskBusy,
    HelpdeskError,
    HelpdeskUnavailable,
    read_company,
    read_person,
    write_company,
    write_person,
)
from workers.helpdesks.freshdesk import FreshdeskClient
from workers.helpdesks.memory import REMEMBER_S
from workers.helpdesks.zendesk import ZendeskClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from workers.helpdesks.base import Helpdesk

BIG_ID = 2**53 + 11


class Zendesk(Double):
    """`/api/v2` of one Zendesk."""

    credentials = basic("agent@lumen.example/token", "zd-token")

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, dict[int, dict[str, Any]]] = {
            "users": {
                9001: {"id": 9001, "name": "Requester One", "email": "Requester@LumenFoundry.example", "active": True},
                9002: {"id": 9002, "name": "Caller", "email": None, "phone": "+1"},
                BIG_ID: {"id": BIG_ID, "name": "", "email": "big@lumenfoundry.example"},
            },
            "organizations": {
                5600: {
                    "id": 5600,
                    "name": "Lumen Foundry",
                    "domain_names": ["LumenFoundry.example", "lumen.example"],
                    "external_id": "acct-3107",
                },
                5601: {"id": 5601, "name": "Bare", "domain_names": [], "external_id": None},
            },
            "tickets": {
                70881: {
                    "id": 70881,
                    "url": "https://lumen.zendesk.com/api/v2/tickets/70881.json",
                    "subject": "Export stops at row 500",
                    "description": "CSV export\n\n\n\nends early. ",
                    "status": "open",
                    "priority": "high",
                    "type": "problem",
                    "tags": ["export", "csv"],
                    "requester_id": 9001,
                    "organization_id": 5600,
                    "assignee_id": None,
                    "is_public": True,
                    "created_at": "2026-11-02T08:15:00Z",
                    "updated_at": "2026-11-03T10:40:12Z",
                }
            },
        }
        self.me: dict[str, Any] = {"id": 1, "name": "Agent"}
        self.app = Starlette(
            routes=[
                Route("/api/v2/users/me", self.who),
                Route("/api/v2/{kind}/show_many", self.show_many),
            ]
        )

    async def who(self, request: Request) -> Response:
        return self.refusal(request, set()) or JSONResponse({"user": self.me})

    async def show_many(self, request: Request) -> Response:
        if refusal := self.refusal(request, {"ids"}):
            return refusal
        kind = request.path_params["kind"]
        ids = [int(one) for one in request.query_params["ids"].split(",")]
        if len(ids) > 100:
            return JSONResponse({"error": "TooManyValues"}, 400)
        found = [self.rows[kind][one] for one in sorted(set(ids)) if one in self.rows[kind]]
        return JSONResponse({kind: found, "next_page": None, "previous_page": None, "count": len(found)})


class Freshdesk(Double):
    """`/api/v2` of one Freshdesk."""

    credentials = basic("fd-key", "X")

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, dict[int, dict[str, Any]]] = {
            "contacts": {9001: {"id": 9001, "name": "Requester One", "email": "requester@lumenfoundry.example"}},
            "agents": {
                77: {"id": 77, "contact": {"name": "Agent Seven", "email": "Seven@lumen.example"}, "available": True}
            },
            "companies": {
                5600: {"id": 5600, "name": "Lumen Foundry", "domains": ["LumenFoundry.example"], "custom_fields": {}}
            },
            "tickets": {
                40017: {
                    "id": 40017,
                    "subject": "Export stops at row 500",
                    "description": "<div>CSV export ends early.</div>",
                    "description_text": "CSV export ends early.",
                    "status": 2,
                    "priority": 3,
                    "source": 2,
                    "type": "Incident",
                    "tags": ["export"],
                    "email": None,
                    "name": None,
                    "requester_id": 9001,
                    "responder_id": 77,
                    "company_id": 5600,
                    "spam": False,
                    "created_at": "2026-11-02T08:15:00Z",
                    "updated_at": "2026-11-03T10:40:12Z",
                }
            },
        }
        self.choices: dict[str, Any] = {"2": ["Open", "Being Processed"], "6": ["Parked", "Awaiting your Reply"]}
        self.app = Starlette(
            routes=[
                Route("/api/v2/agents/me", self.who),
                Route("/api/v2/ticket_fields", self.fields),
                Route("/api/v2/tickets/{id:int}", self.ticket),
                Route("/api/v2/{kind}/{id:int}", self.record),
            ]
        )

    async def who(self, request: Request) -> Response:
        return self.refusal(request, set()) or JSONResponse({"id": 77, "contact": {"email": "seven@lumen.example"}})

    async def fields(self, request: Request) -> Response:
        field = {"id": 1, "name": "status", "type": "default_status", "choices": self.choices}
        return self.refusal(request, {"type"}) or JSONResponse([field])

    async def record(self, request: Request) -> Response:
        if refusal := self.refusal(request, set()):
            return refusal
        row = self.rows[request.path_params["kind"]].get(request.path_params["id"])
        return Response(status_code=404) if row is None else JSONResponse(row)

    async def ticket(self, request: Request) -> Response:
        if refusal := self.refusal(request, {"include"}):
            return refusal
        row = self.rows["tickets"].get(request.path_params["id"])
        if row is None:
            return Response(status_code=404)
        included = dict(row)
        for name in request.query_params.get("include", "").split(","):
            kind, key = {"requester": ("contacts", "requester_id"), "company": ("companies", "company_id")}[name]
            record = self.rows[kind].get(row[key])
            if record is not None and name not in included:
                included[name] = {part: record[part] for part in ("id", "name", "email") if part in record}
        return JSONResponse(included)


def access(source: str, **more: str) -> HelpdeskAccess:
    values = {
        "zendesk": {"site": "lumen.zendesk.com", "user": "agent@lumen.example", "secret": "zd-token"},
        "freshdesk": {"site": "lumen.freshdesk.com", "user": "", "secret": "fd-key"},
    }[source]
    return HelpdeskAccess(
        **{
            "connection": source,
            "source": source,
            "base_url": f"https://{values['site']}/api/v2",
            "prefix": f"{source}:",
            **values,
            **more,
        }
    )


@pytest.fixture
def zendesk() -> Zendesk:
    return Zendesk()


@pytest.fixture
async def zd(zendesk: Zendesk) -> AsyncIterator[ZendeskClient]:
    client = ZendeskClient(access("zendesk"), transport=httpx.ASGITransport(zendesk.app))
    yield client
    await client.aclose()


@pytest.fixture
def freshdesk() -> Freshdesk:
    return Freshdesk()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def fd(freshdesk: Freshdesk, clock: Clock) -> AsyncIterator[FreshdeskClient]:
    client = FreshdeskClient(access("freshdesk"), transport=httpx.ASGITransport(freshdesk.app), monotonic=clock)
    yield client
    await client.aclose()


# -- Zendesk -----------------------------------------------------------------------------------------------------------


async def test_zendesk_people_are_found_and_a_missing_id_is_nobody(zd: ZendeskClient, zendesk: Zendesk) -> None:
    assert await zd.users(["9001", "9002", "9999", str(BIG_ID)]) == {
        "9001": Person("requester@lumenfoundry.example", "Requester One"),
        "9002": Person(None, "Caller"),
        "9999": None,
        str(BIG_ID): Person("big@lumenfoundry.example", None),
    }
    assert zendesk.seen == [f"/api/v2/users/show_many?ids=9001%2C9002%2C9999%2C{BIG_ID}"]


async def test_zendesk_organizations_tell_domains_and_external_id(zd: ZendeskClient) -> None:
    assert await zd.organizations(["5600", "5601", "5602"]) == {
        "5600": Company(("lumenfoundry.example", "lumen.example"), "acct-3107", "Lumen Foundry"),
        "5601": Company((), None, "Bare"),
        "5602": None,
    }


async def test_a_zendesk_ticket_is_a_complete_change_with_its_own_time(zd: ZendeskClient) -> None:
    answers = await zd.tickets(["70881", "4"])
    change = answers["70881"]
    assert answers["4"] is None
    assert change is not None
    assert (change.ticket, change.connection, change.life) == ("zendesk:70881", "zendesk", "live")
    assert (change.complete, change.reread, change.thin, change.sighting) == (True, True, False, True)
    assert (change.updated_at_ms, change.created_at_ms) == (1793702412000, 1793607300000)
    assert change.fields == {
        "title": "Export stops at row 500",
        "description": "CSV export\n\nends early.",
        "url": "https://lumen.zendesk.com/agent/tickets/70881",
        "tags": ["export", "csv"],
        "type": "problem",
        "severity": "high",
        "status": "open",
    }
    assert change.refs == {"requester_id": "9001", "organization_id": "5600", "assignee_id": None}
    assert decode_fresh(change.encode()).reread


async def test_an_empty_zendesk_field_is_known_to_be_empty(zd: ZendeskClient, zendesk: Zendesk) -> None:
    row = zendesk.rows["tickets"][70881]
    row |= {"priority": None, "type": None, "tags": None, "subject": None, "description": None}
    change = (await zd.tickets(["70881"]))["70881"]
    assert change is not None
    assert {name: change.fields[name] for name in ("severity", "type", "tags", "title", "description")} == {
        "severity": "",
        "type": "",
        "tags": [],
        "title": "",
        "description": "",
    }


async def test_a_description_that_is_a_private_comment_stays_at_zendesk(zd: ZendeskClient, zendesk: Zendesk) -> None:
    zendesk.rows["tickets"][70881]["is_public"] = False
    change = (await zd.tickets(["70881"]))["70881"]
    assert change is not None
    assert "description" not in change.fields


@pytest.mark.parametrize(("status", "life"), [("deleted", "deleted"), ("scrubbed", "purged")])
async def test_a_deleted_zendesk_ticket_is_a_deletion(
    zd: ZendeskClient, zendesk: Zendesk, status: str, life: str
) -> None:
    zendesk.rows["tickets"][70881]["status"] = status
    change = (await zd.tickets(["70881"]))["70881"]
    assert change is not None
    assert (change.life, change.fields, change.refs) == (life, {}, {})
    assert change.updated_at_ms == 1793702412000


async def test_an_archived_zendesk_ticket_is_closed_and_no_sighting(zd: ZendeskClient, zendesk: Zendesk) -> None:
    zendesk.rows["tickets"][70881]["status"] = "archived"
    change = (await zd.tickets(["70881"]))["70881"]
    assert change is not None
    assert (change.fields["status"], change.sighting) == ("closed", False)


async def test_without_a_subdomain_there_is_no_link(zendesk: Zendesk) -> None:
    del zendesk.rows["tickets"][70881]["status"]
    bare = access("zendesk", site="")
    client = ZendeskClient(bare, transport=httpx.ASGITransport(zendesk.app))
    change = (await client.tickets(["70881"]))["70881"]
    await client.aclose()
    assert change is not None
    assert not {"url", "status"} & change.fields.keys()


async def test_zendesk_is_asked_for_a_hundred_ids_at_a_time(zd: ZendeskClient, zendesk: Zendesk) -> None:
    ids = [str(number) for number in range(1, 251)]
    answers = await zd.users([*ids, "1"])
    assert list(answers) == ids
    assert [path.count("%2C") + 1 for path in zendesk.seen] == [100, 100, 50]


@pytest.mark.parametrize("bad", ["", "0", "-1", "1/2", "1,2", "../me", "abc", "1 ", "\uff11", "9" * 30])
async def test_what_is_no_id_is_never_asked_for(
    zd: ZendeskClient, zendesk: Zendesk, fd: FreshdeskClient, freshdesk: Freshdesk, bad: str
) -> None:
    assert await zd.users([bad]) == {bad: None}
    assert await fd.tickets([bad]) == {bad: None}
    assert zendesk.seen == freshdesk.seen == []


async def test_what_was_read_before_a_failure_is_kept_with_it(zd: ZendeskClient, zendesk: Zendesk) -> None:
    zendesk.next = [None, Response(status_code=429, headers={"Retry-After": "93"})]
    with pytest.raises(HelpdeskBusy) as raised:
        await zd.users([str(number) for number in range(8950, 9100)])
    assert raised.value.retry_after_s == 93
    assert raised.value.found["9001"] == Person("requester@lumenfoundry.example", "Requester One")
    assert len(raised.value.found) == 100


@pytest.mark.parametrize(
    "body",
    [{"users": None}, {"error": "x"}, [], "x", {"users": [], "next_page": "https://lumen.zendesk.com/api/v2/?page=2"}],
)
async def test_an_answer_without_a_whole_list_says_nothing_about_anybody(
    zd: ZendeskClient, zendesk: Zendesk, body: Any
) -> None:
    zendesk.next = [JSONResponse(body)]
    with pytest.raises(HelpdeskUnavailable):
        await zd.users(["9001"])


async def test_a_404_of_the_whole_list_says_nothing_about_anybody(zd: ZendeskClient, zendesk: Zendesk) -> None:
    zendesk.next = [Response("<h1>Oops</h1>", 404)]
    with pytest.raises(HelpdeskUnavailable):
        await zd.users(["9001"])


async def test_rows_of_other_shapes_are_passed_over(zd: ZendeskClient, zendesk: Zendesk) -> None:
    zendesk.next = [JSONResponse({"users": [None, 7, {"id": None}, {"id": True}, {"id": 1.5}, {"id": "9001"}]})]
    assert await zd.users(["9001"]) == {"9001": Person(None, None)}


async def test_a_zendesk_probe_says_what_is_wrong(zd: ZendeskClient, zendesk: Zendesk) -> None:
    assert await zd.probe() is None
    zendesk.me = {"id": None, "name": "Anonymous user"}
    assert "ZENDESK_API_TOKEN" in (await zd.probe() or "")
    zendesk.next = [JSONResponse([]), Response(status_code=401), Response(status_code=503)]
    assert "ZENDESK_SUBDOMAIN" in (await zd.probe() or "")
    assert "HTTP 401" in (await zd.probe() or "")
    assert "HTTP 503" in (await zd.probe() or "")


# -- Freshdesk ---------------------------------------------------------------------------------------------------------


async def test_a_freshdesk_ticket_comes_with_its_people_and_company(fd: FreshdeskClient) -> None:
    change = (await fd.tickets(["40017"]))["40017"]
    assert change is not None
    assert (change.ticket, change.connection, change.life) == ("freshdesk:40017", "freshdesk", "live")
    assert (change.complete, change.reread, change.thin) == (True, True, False)
    assert (change.updated_at_ms, change.created_at_ms) == (1793702412000, 1793607300000)
    assert change.fields == {
        "title": "Export stops at row 500",
        "description": "CSV export ends early.",
        "url": "https://lumen.freshdesk.com/helpdesk/tickets/40017",
        "tags": ["export"],
        "type": "Incident",
        "severity": "high",
        "status": "open",
        "email": "requester@lumenfoundry.example",
        "name": "Requester One",
        "agentEmail": "seven@lumen.example",
        "domains": ["lumenfoundry.example"],
    }
    assert change.refs == {}


async def test_a_company_that_is_answered_whole_is_not_asked_for(fd: FreshdeskClient, freshdesk: Freshdesk) -> None:
    company = {"id": 5600, "name": "L", "domains": ["a.example"], "external_id": "acct-3107"}
    freshdesk.rows["tickets"][40017] |= {"company": company, "responder_id": None}
    change = (await fd.tickets(["40017"]))["40017"]
    assert change is not None
    assert (change.fields["domains"], change.fields["companyExternalId"]) == (["a.example"], "acct-3107")
    assert change.fields["agentEmail"] == ""
    assert freshdesk.seen == ["/api/v2/tickets/40017?include=requester%2Ccompany"]


async def test_agents_and_companies_are_remembered_for_a_while(
    fd: FreshdeskClient, freshdesk: Freshdesk, clock: Clock
) -> None:
    await fd.tickets(["40017"])
    await fd.tickets(["40017"])
    assert [path.rpartition("/")[0][8:] for path in freshdesk.seen] == ["tickets", "agents", "companies", "tickets"]
    clock.now_s = REMEMBER_S
    await fd.tickets(["40017"])
    assert len(freshdesk.seen) == 7


async def test_a_description_without_a_plain_form_is_read_from_its_html(
    fd: FreshdeskClient, freshdesk: Freshdesk
) -> None:
    del freshdesk.rows["tickets"][40017]["description_text"]
    change = (await fd.tickets(["40017"]))["40017"]
    assert change is not None
    assert change.fields["description"] == "CSV export ends early."


async def test_a_ticket_without_a_company_has_no_domains(fd: FreshdeskClient, freshdesk: Freshdesk) -> None:
    freshdesk.rows["tickets"][40017] |= {"company_id": None, "responder_id": None}
    change = (await fd.tickets(["40017"]))["40017"]
    assert change is not None
    assert change.fields["domains"] == []
    assert "companyExternalId" not in change.fields


async def test_a_requester_who_is_not_in_the_answer_is_asked_for(fd: FreshdeskClient, freshdesk: Freshdesk) -> None:
    freshdesk.rows["tickets"][40017] |= {"requester": None, "requester_id": 77}
    change = (await fd.tickets(["40017"]))["40017"]
    assert change is not None
    assert (change.fields["email"], change.fields["name"]) == ("seven@lumen.example", "Agent Seven")
    freshdesk.rows["tickets"][40017] |= {"requester_id": 404}
    change = (await fd.tickets(["40017"]))["40017"]
    assert change is not None
    assert change.fields["email"] == ""


@pytest.mark.parametrize(
    ("code", "choices", "word"),
    [
        (6, {"6": ["Parked", "Awaiting your Reply"]}, "parked"),
        (12, {"12": "On Hold"}, "on hold"),
        (6, {}, "waiting on customer"),
        (6, None, "waiting on customer"),
        (12, {"12": 7}, "12"),
        (3, {"3": ["Renamed"]}, "pending"),
    ],
)
async def test_a_status_code_becomes_the_accounts_own_word(
    fd: FreshdeskClient, freshdesk: Freshdesk, code: int, choices: Any, word: str
) -> None:
    freshdesk.choices = choices
    freshdesk.rows["tickets"][40017]["status"] = code
    change = (await fd.tickets(["40017"]))["40017"]
    assert change is not None
    assert change.fields["status"] == word


async def test_a_key_that_may_not_read_fields_gives_the_usual_words(fd: FreshdeskClient, freshdesk: Freshdesk) -> None:
    freshdesk.rows["tickets"][40017]["status"] = 7
    freshdesk.next = [None, Response(status_code=403)]
    change = (await fd.tickets(["40017"]))["40017"]
    assert change is not None
    assert change.fields["status"] == "waiting on third party"


@pytest.mark.parametrize("flag", ["deleted", "spam"])
async def test_a_deleted_or_spam_freshdesk_ticket_is_a_deletion(
    fd: FreshdeskClient, freshdesk: Freshdesk, flag: str
) -> None:
    freshdesk.rows["tickets"][40017][flag] = True
    change = (await fd.tickets(["40017"]))["40017"]
    assert change is not None
    assert (change.life, change.fields, change.updated_at_ms) == ("deleted", {}, 1793702412000)


async def test_a_404_means_no_such_ticket_only_at_an_address_that_is_proved(
    fd: FreshdeskClient, freshdesk: Freshdesk
) -> None:
    assert await fd.tickets(["1", "2"]) == {"1": None, "2": None}
    assert freshdesk.seen.count("/api/v2/agents/me") == 1


async def test_a_wrong_domain_that_answers_404_to_everything_buries_nobody() -> None:
    client = FreshdeskClient(access("freshdesk"), transport=httpx.ASGITransport(Starlette()))
    for ask in (client.tickets, client.users, client.organizations):
        with pytest.raises(HelpdeskUnavailable, match="FRESHDESK_DOMAIN"):
            await ask(["1"])
    assert "FRESHDESK_DOMAIN" in (await client.probe() or "")
    await client.aclose()


@pytest.mark.parametrize("body", [[], {}, {"id": 2}, "x"])
async def test_an_answer_that_is_another_ticket_is_none(fd: FreshdeskClient, freshdesk: Freshdesk, body: Any) -> None:
    freshdesk.next = [JSONResponse(body)]
    with pytest.raises(HelpdeskUnavailable):
        await fd.tickets(["40017"])


async def test_freshdesk_people_are_contacts_or_agents(fd: FreshdeskClient) -> None:
    assert await fd.users(["9001", "77", "5"]) == {
        "9001": Person("requester@lumenfoundry.example", "Requester One"),
        "77": Person("seven@lumen.example", "Agent Seven"),
        "5": None,
    }


async def test_freshdesk_companies_tell_their_domains(fd: FreshdeskClient) -> None:
    assert await fd.organizations(["5600", "5"]) == {
        "5600": Company(("lumenfoundry.example",), None, "Lumen Foundry"),
        "5": None,
    }


async def test_tickets_read_before_the_quota_ended_are_kept_with_the_error(
    fd: FreshdeskClient, freshdesk: Freshdesk
) -> None:
    freshdesk.rows["tickets"][40017] |= {"company_id": None, "responder_id": None}
    freshdesk.next = [None, Response(status_code=429)]
    with pytest.raises(HelpdeskBusy) as raised:
        await fd.tickets(["40017", "40018"])
    assert raised.value.retry_after_s == base.BUSY_DEFAULT_S
    assert list(raised.value.found) == ["40017"]


async def test_the_memory_does_not_grow_without_end(fd: FreshdeskClient, freshdesk: Freshdesk, clock: Clock) -> None:
    freshdesk.rows["companies"] = {number: {"id": number, "domains": []} for number in range(1, 10_010)}
    await fd.organizations([str(number) for number in range(1, 10_010)])
    assert len(fd._memory) < 10_000


async def test_a_freshdesk_probe_says_what_is_wrong(fd: FreshdeskClient, freshdesk: Freshdesk) -> None:
    assert await fd.probe() is None
    freshdesk.next = [Response(status_code=401), Response(status_code=502)]
    assert "FRESHDESK_API_KEY" in (await fd.probe() or "")
    assert "HTTP 502" in (await fd.probe() or "")


# -- both --------------------------------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("source", ["freshdesk", "zendesk"])


def client_of(source: str, transport: httpx.AsyncBaseTransport) -> Helpdesk:
    if source == "zendesk":
        return ZendeskClient(access(source), transport=transport)
    return FreshdeskClient(access(source), transport=transport)


@BOTH
@pytest.mark.parametrize("end", ENDS)
async def test_every_other_end_is_a_named_error_and_never_nobody(
    source: str, end: tuple[httpx.Response, type[HelpdeskError]]
) -> None:
    asked = [("users", "7"), ("organizations", "7"), ("tickets", "7")]
    await see_end(partial(client_of, source), end, asked, host=f"lumen.{source}.com", secrets=["zd-token", "fd-key"])


@BOTH
@pytest.mark.parametrize("failure", [httpx.ConnectError("refused"), httpx.ReadError(""), httpx.ReadTimeout("")])
async def test_a_failing_connection_is_unavailable(source: str, failure: httpx.HTTPError) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise failure

    client = client_of(source, httpx.MockTransport(answer))
    with pytest.raises(HelpdeskUnavailable):
        await client.users(["7"])
    await client.aclose()


async def test_a_helpdesk_that_does_not_answer_in_time_is_unavailable() -> None:
    async def sleep(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(10)
        return httpx.Response(200)

    api = base.Api("https://lumen.zendesk.com/api/v2", "u", "s", timeout_s=0.1, transport=httpx.MockTransport(sleep))
    with pytest.raises(HelpdeskUnavailable, match=r"within 0\.1 s"):
        await api.get("users/me")
    await api.aclose()


@BOTH
async def test_credentials_show_in_no_repr(source: str) -> None:
    client = CLIENTS[source](access(source))
    assert not [text for text in (repr(client), repr(access(source))) if "zd-token" in text or "fd-key" in text]
    await client.aclose()


# -- what Redis caches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("person", [None, Person("a@b.example", "A"), Person(None, None)])
def test_a_cached_person_reads_as_it_was_written(person: Person | None) -> None:
    assert read_person(write_person(person)) == person


@pytest.mark.parametrize("company", [None, Company(("a.example",), "x", "A"), Company()])
def test_a_cached_company_reads_as_it_was_written(company: Company | None) -> None:
    assert read_company(write_company(company)) == company


def test_nobody_is_cached_alike_for_every_kind() -> None:
    assert write_person(None) == write_company(None) == b"null"


@pytest.mark.parametrize("raw", [b"", b"[]", b"7", b"{"])
def test_a_damaged_cache_is_not_taken_for_nobody(raw: bytes) -> None:
    for read in (read_person, read_company):
        with pytest.raises(ValueError):
            read(raw)
