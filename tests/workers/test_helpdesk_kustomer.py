"""Look-ups at a small double of Kustomer's API, written after the facts and refusing what is not documented."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.core.change import Change, decode_fresh
from gateway.core.lookups import Company, Person
from workers.access import HelpdeskAccess
from workers.helpdesks.base import HelpdeskBusy, HelpdeskError, HelpdeskRefused, HelpdeskUnavailable
from workers.helpdesks.kustomer import KustomerClient
from workers.helpdesks.memory import REMEMBER_S
from workers.settings import from_env

from .helpdesk_double import ENDS, Clock, change_of, see_end, send_through

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from .conftest import Desk

KEY = "kustomer-key-4d1f"
TALK, CUSTOMER, LONER = "7a10c4d01be77c0012d3f9b2", "6c0d91e7f2b8a4001d55e3c7", "6c0d91e7f2b8a4001d55e3c8"
AGENT, COMPANY = "5e90b1c2a4d8e7001f3c2b10", "4b77aa10c2d3e4001a2b3c4d"
CRANE, NIGHT = "61aa0c7d9e11f2001c5b7d01", "61aa0c7d9e11f2001c5b7d02"
ACCESS = HelpdeskAccess(
    "kustomer",
    "kustomer",
    "https://heronquay.api.kustomerapp.com/v1",
    "heronquay.kustomerapp.com",
    "",
    KEY,
    "kustomer:",
)


def row(kind: str, identity: str, related: dict[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    return {"type": kind, "id": identity, "attributes": attributes, "relationships": related or {}}


def named(kind: str, identity: str) -> dict[str, Any]:
    return {"links": {"self": f"/v1/{kind}/{identity}"}, "data": {"type": kind, "id": identity}}


class Kustomer:
    """`/v1`: one record a call in `data`, a bearer key, errors as a list of objects."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.next: list[Response | None] = []
        self.records: dict[str, dict[str, dict[str, Any]]] = {
            "conversations": {
                TALK: row(
                    "conversation",
                    TALK,
                    {"customer": named("customer", CUSTOMER)},
                    name="Crane stops at night",
                    status="open",
                    priority=4,
                    spam=False,
                    tags=[CRANE, NIGHT],
                    assignedUsers=[AGENT],
                    createdAt="2026-10-19T08:15:30.120Z",
                    updatedAt="2026-10-19T09:02:11.398Z",
                )
            },
            "customers": {
                CUSTOMER: row(
                    "customer",
                    CUSTOMER,
                    {"company": named("company", COMPANY)},
                    name="Rosalind Obi",
                    displayName="Rosalind Obi",
                    emails=[{"type": "work", "email": "Rosalind.Obi@TallowMill.example", "verified": True}],
                ),
                LONER: row("customer", LONER, name="Caller", emails=[], phones=[{"phone": "+47"}]),
            },
            "users": {AGENT: row("user", AGENT, displayName="Petra Sand", email="petra@heronquay.example")},
            "companies": {
                COMPANY: row("company", COMPANY, name="Tallow Mill", externalId="TM-77", domains=["TallowMill.example"])
            },
            "tags": {CRANE: row("tag", CRANE, name="crane"), NIGHT: row("tag", NIGHT, name="night shift")},
        }
        self.app = Starlette(routes=[Route("/v1/customers", self.customers), Route("/v1/{kind}/{id}", self.record)])

    def refusal(self, request: Request, allowed: set[str]) -> Response | None:
        self.seen.append(request.url.path.removeprefix("/v1/"))
        if self.next and (answer := self.next.pop(0)) is not None:
            return answer
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"errors": [{"status": 401, "title": "unauthorized"}]}, 401)
        if request.query_params.keys() - allowed:
            return JSONResponse({"errors": [{"status": 400, "title": "unknown parameter"}]}, 400)
        return None

    async def customers(self, request: Request) -> Response:
        listed = list(self.records["customers"].values())[:1]
        return self.refusal(request, {"pageSize"}) or JSONResponse({"data": listed, "links": {"next": None}})

    async def record(self, request: Request) -> Response:
        if refusal := self.refusal(request, set()):
            return refusal
        found = self.records[request.path_params["kind"]].get(request.path_params["id"])
        if found is None:
            return JSONResponse({"errors": [{"status": 404, "title": "not found"}]}, 404)
        return JSONResponse({"data": found})


@pytest.fixture
def kustomer() -> Kustomer:
    return Kustomer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(kustomer: Kustomer, clock: Clock) -> AsyncIterator[KustomerClient]:
    made = KustomerClient(ACCESS, transport=httpx.ASGITransport(kustomer.app), monotonic=clock)
    yield made
    await made.aclose()


async def talk(client: KustomerClient) -> Change:
    change = (await client.tickets([TALK]))[TALK]
    assert change is not None
    return change


async def test_a_webhook_of_ids_reaches_planhat_with_address_agent_and_company(
    desk: Desk, client: KustomerClient, kustomer: Kustomer
) -> None:
    await send_through(desk, client, change_of("kustomer", "created", "kustomer:"))
    ticket = desk.tickets[f"kustomer:{TALK}"]
    assert (ticket["email"], ticket["name"]) == ("rosalind.obi@tallowmill.example", "Rosalind Obi")
    assert (ticket["agentEmail"], ticket["status"]) == ("petra@heronquay.example", "open")
    assert (ticket["domains"], ticket["companyExternalId"]) == (["tallowmill.example"], "TM-77")
    assert sorted(path.split("/")[0] for path in kustomer.seen) == ["companies", "customers", "customers", "users"]


async def test_a_key_makes_its_look_ups() -> None:
    (one,) = from_env({"KUSTOMER_DOMAIN": "heronquay", "KUSTOMER_API_TOKEN": KEY}).helpdesks
    assert one == ACCESS
    eu = {"KUSTOMER_API_URL": "https://heronquay.api.prod2.kustomerapp.com/v1/", "KUSTOMER_API_TOKEN": KEY}
    assert from_env(eu).helpdesks[0].base_url == "https://heronquay.api.prod2.kustomerapp.com/v1"


async def test_people_are_customers_or_agents(client: KustomerClient) -> None:
    assert await client.users([CUSTOMER, LONER, AGENT, "5" * 24]) == {
        CUSTOMER: Person("rosalind.obi@tallowmill.example", "Rosalind Obi"),
        LONER: Person(None, "Caller"),
        AGENT: Person("petra@heronquay.example", "Petra Sand"),
        "5" * 24: None,
    }


async def test_a_customer_tells_its_company(client: KustomerClient, kustomer: Kustomer) -> None:
    assert await client.organizations([CUSTOMER, LONER, "5" * 24]) == {
        CUSTOMER: Company(("tallowmill.example",), "TM-77", "Tallow Mill"),
        LONER: Company(),
        "5" * 24: None,
    }
    assert kustomer.seen[:2] == [f"customers/{CUSTOMER}", f"companies/{COMPANY}"]


async def test_a_company_that_is_gone_is_none_to_place_a_ticket_by(client: KustomerClient, kustomer: Kustomer) -> None:
    kustomer.records["companies"].clear()
    assert await client.organizations([CUSTOMER]) == {CUSTOMER: Company()}


@pytest.mark.parametrize(
    ("shown", "domains"),
    [
        ([{"domain": "A.example"}, {"domain": "a.example"}, {}, None, "b.example"], ("a.example", "b.example")),
        ([], ()),
        (None, ()),
    ],
)
async def test_domains_are_texts_or_objects(
    client: KustomerClient, kustomer: Kustomer, shown: Any, domains: tuple[str, ...]
) -> None:
    kustomer.records["companies"][COMPANY]["attributes"]["domains"] = shown
    found = (await client.organizations([CUSTOMER]))[CUSTOMER]
    assert found is not None
    assert found.domains == domains


async def test_one_call_tells_a_customer_for_the_address_and_for_the_company(
    client: KustomerClient, kustomer: Kustomer, clock: Clock
) -> None:
    await client.users([CUSTOMER])
    await client.organizations([CUSTOMER])
    assert kustomer.seen == [f"customers/{CUSTOMER}", f"companies/{COMPANY}"]
    clock.now_s = REMEMBER_S
    await client.users([CUSTOMER])
    assert kustomer.seen[2:] == [f"customers/{CUSTOMER}"]


async def test_a_conversation_is_a_complete_change_with_its_own_time(client: KustomerClient) -> None:
    change = await talk(client)
    assert (change.ticket, change.connection, change.life) == (f"kustomer:{TALK}", "kustomer", "live")
    assert (change.complete, change.reread, change.thin) == (True, True, False)
    assert (change.updated_at_ms, change.created_at_ms) == (1_792_400_531_398, 1_792_397_730_120)
    assert change.fields == {
        "title": "Crane stops at night",
        "status": "open",
        "severity": "4",
        "tags": ["crane", "night shift"],
        "url": f"https://heronquay.kustomerapp.com/app/conversations/{TALK}",
    }
    assert change.refs == {"requester_id": CUSTOMER, "organization_id": CUSTOMER, "assignee_id": AGENT}
    assert decode_fresh(change.encode()).reread


async def test_without_a_site_there_is_no_link(kustomer: Kustomer) -> None:
    client = KustomerClient(replace(ACCESS, site=""), transport=httpx.ASGITransport(kustomer.app))
    assert "url" not in (await talk(client)).fields
    await client.aclose()


@pytest.mark.parametrize(
    ("tags", "names"),
    [([], []), (None, None), ([CRANE, "gone" * 6], ["crane"]), ([CRANE, "../me"], None), ([7.5], None)],
)
async def test_tags_are_names_or_stay_as_they_are(
    client: KustomerClient, kustomer: Kustomer, tags: Any, names: list[str] | None
) -> None:
    kustomer.records["conversations"][TALK]["attributes"]["tags"] = tags
    assert (await talk(client)).fields.get("tags") == names


async def test_a_key_that_may_not_read_tags_leaves_them_as_they_are(client: KustomerClient, kustomer: Kustomer) -> None:
    kustomer.next = [None, JSONResponse({"errors": []}, 403)]
    assert "tags" not in (await talk(client)).fields


async def test_spam_is_a_deletion(client: KustomerClient, kustomer: Kustomer) -> None:
    kustomer.records["conversations"][TALK]["attributes"]["spam"] = True
    change = await talk(client)
    assert (change.life, change.fields, change.refs, change.updated_at_ms) == ("deleted", {}, {}, 1_792_400_531_398)


async def test_gone_and_forbidden_are_told_apart(client: KustomerClient, kustomer: Kustomer) -> None:
    assert await client.tickets(["7" * 24]) == {"7" * 24: None}
    kustomer.next = [JSONResponse({"errors": []}, 403)]
    with pytest.raises(HelpdeskRefused):
        await client.tickets(["7" * 24])


async def test_a_404_means_nobody_only_at_an_address_that_is_proved(client: KustomerClient, kustomer: Kustomer) -> None:
    await client.tickets(["7" * 24, "8" * 24])
    await client.users(["7" * 24])
    assert kustomer.seen.count("customers") == 1


async def test_a_wrong_address_that_answers_404_to_everything_buries_nobody() -> None:
    client = KustomerClient(ACCESS, transport=httpx.ASGITransport(Starlette()))
    for ask in (client.tickets, client.users, client.organizations):
        with pytest.raises(HelpdeskUnavailable, match="KUSTOMER_DOMAIN"):
            await ask([TALK])
    assert "KUSTOMER_DOMAIN" in (await client.probe() or "")
    await client.aclose()


@pytest.mark.parametrize("body", [[], {}, {"data": []}, {"data": {"id": "other"}}, {"data": {"attributes": {}}}, "x"])
async def test_an_answer_that_is_another_record_is_none(client: KustomerClient, kustomer: Kustomer, body: Any) -> None:
    kustomer.next = [JSONResponse(body)]
    with pytest.raises(HelpdeskUnavailable):
        await client.tickets([TALK])


@pytest.mark.parametrize("bad", ["", "1/2", "../me", "a b", "\uff11", "9" * 65, "a,b"])
async def test_what_is_no_id_is_never_asked_for(client: KustomerClient, kustomer: Kustomer, bad: str) -> None:
    for ask in (client.users, client.organizations, client.tickets):
        assert await ask([bad]) == {bad: None}
    assert kustomer.seen == []


async def test_a_company_of_no_id_is_never_asked_for(client: KustomerClient, kustomer: Kustomer) -> None:
    kustomer.records["customers"][CUSTOMER]["relationships"]["company"]["data"]["id"] = "../me"
    assert await client.organizations([CUSTOMER]) == {CUSTOMER: Company()}


async def test_what_was_read_before_a_failure_is_kept_with_it(client: KustomerClient, kustomer: Kustomer) -> None:
    kustomer.next = [None, Response(status_code=429, headers={"Retry-After": "93"})]
    with pytest.raises(HelpdeskBusy) as raised:
        await client.users([LONER, CUSTOMER])
    assert raised.value.retry_after_s == 93
    assert raised.value.found == {LONER: Person(None, "Caller")}


async def test_a_probe_says_what_is_wrong(client: KustomerClient, kustomer: Kustomer) -> None:
    assert await client.probe() is None
    kustomer.next = [Response(status_code=401), Response(status_code=503)]
    assert "KUSTOMER_API_TOKEN" in (await client.probe() or "")
    assert "HTTP 503" in (await client.probe() or "")


@pytest.mark.parametrize("end", ENDS)
async def test_every_other_end_is_a_named_error_and_never_nobody(
    end: tuple[httpx.Response, type[HelpdeskError]],
) -> None:
    asked = [("users", TALK), ("organizations", TALK), ("tickets", TALK)]
    await see_end(
        lambda transport: KustomerClient(ACCESS, transport=transport),
        end,
        asked,
        host="heronquay.api.kustomerapp.com",
        secrets=[KEY],
    )
