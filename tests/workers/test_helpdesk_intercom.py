"""Look-ups at Intercom against a double written after its OpenAPI description."""

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
from workers.access import HelpdeskAccess
from workers.helpdesks.base import HelpdeskBusy, HelpdeskError, HelpdeskUnavailable
from workers.helpdesks.intercom import BUSY_S, IntercomClient, company
from workers.settings import from_env

from .helpdesk_double import ENDS, Clock, change_of, see_end, send_through

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import starlette.requests

    from .conftest import Desk

TOKEN = "dG9rOmludGVyY29tXzAx"
ACCESS = HelpdeskAccess(
    "intercom", "intercom", "https://api.intercom.io", "app.intercom.com", "", TOKEN, "intercom:"
)  # fmt: skip
CONTACT, LEAD, LATE = "65f0aa0193c1de44b2a00021", "65f0aa0193c1de44b2a00022", "65f0aa0193c1de44b2a00023"
COMPANY, TICKET, TALK = "6a0c31", "215470000123456", "757136000429077"


class Intercom:
    """`api.intercom.io`: a version header, a search that lags, lists under their own names."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.next: list[Response | None] = []
        self.contacts = {
            CONTACT: {
                "type": "contact",
                "id": CONTACT,
                "name": "Ida Brekke",
                "email": "Ida.Brekke@QuillHarbor.example",
            },
            LEAD: {"type": "contact", "id": LEAD, "role": "lead", "name": "Teal Kite", "email": None},
            LATE: {"type": "contact", "id": LATE, "name": "", "email": "late@quillharbor.example"},
        }
        self.company = {
            "type": "company",
            "id": COMPANY,
            "company_id": "acct-3107",
            "name": "Quill Harbor",
            "website": "https://www.QuillHarbor.example/en",
        }
        self.admins = [{"type": "admin", "id": "7711", "name": "Lena Ostrand", "email": "Lena@Mill.example"}]
        self.gone_admin = {"type": "admin", "id": "7712", "name": "Was Here", "email": "was@mill.example"}
        self.items: dict[str, dict[str, dict[str, Any]]] = {
            "tickets": {
                TICKET: {
                    "type": "ticket",
                    "id": TICKET,
                    "ticket_id": "8841",
                    "ticket_attributes": {"_default_title_": "Grinder 4 stops", "_default_description_": "It hums."},
                    "ticket_state": {"type": "ticket_state", "category": "in_progress"},
                    "ticket_type": {"name": "Machine Fault"},
                    "contacts": {"type": "contact.list", "contacts": [{"type": "contact", "id": CONTACT}]},
                    "admin_assignee_id": 7711,
                    "company_id": COMPANY,
                    "created_at": 1_791_787_269,
                    "updated_at": 1_791_787_400,
                    "ticket_parts": {"ticket_parts": [{"part_type": "note", "body": "PRIVATE-CANARY"}]},
                }
            },
            "conversations": {
                TALK: {
                    "type": "conversation",
                    "id": TALK,
                    "state": "closed",
                    "title": None,
                    "source": {"subject": "", "body": "<p>Hello</p>", "author": {"type": "user", "id": CONTACT}},
                    "contacts": {"contacts": []},
                    "tags": {"tags": [{"name": "grinder"}]},
                    "priority": "priority",
                    "created_at": 1_791_787_269,
                    "updated_at": 1_791_787_300,
                }
            },
        }
        self.me: Any = {"type": "admin", "id": "1", "app": {"type": "app", "id_code": "tm7wq2kd", "region": "EU"}}
        self.app = Starlette(
            routes=[
                Route("/me", self.who),
                Route("/contacts/search", self.search, methods=["POST"]),
                Route("/contacts/{id}", self.contact),
                Route("/contacts/{id}/companies", self.companies),
                Route("/companies/{id}", self.one_company),
                Route("/admins", self.list_admins),
                Route("/admins/{id}", self.admin),
                Route("/{kind}/{id}", self.item),
            ]
        )

    def answer(self, request: starlette.requests.Request, found: Any) -> Response:
        self.seen.append(request.url.path.strip("/"))
        if self.next and (planned := self.next.pop(0)) is not None:
            return planned
        if request.headers.get("authorization") != f"Bearer {TOKEN}" or not request.headers.get("intercom-version"):
            return JSONResponse({"type": "error.list", "errors": [{"code": "unauthorized"}]}, 401)
        if request.url.query:
            return JSONResponse({"type": "error.list", "errors": [{"code": "parameter_invalid"}]}, 400)
        if found is None:
            return JSONResponse({"type": "error.list", "errors": [{"code": "not_found"}]}, 404)
        return JSONResponse(found)

    async def who(self, request: starlette.requests.Request) -> Response:
        return self.answer(request, self.me)

    async def search(self, request: starlette.requests.Request) -> Response:
        asked = orjson.loads(await request.body())
        assert asked.keys() == {"query", "pagination"}
        assert asked["query"].keys() == {"field", "operator", "value"}
        assert (asked["query"]["field"], asked["query"]["operator"]) == ("id", "IN")
        assert len(asked["query"]["value"]) <= asked["pagination"]["per_page"] <= 150
        rows = [self.contacts[one] for one in asked["query"]["value"] if one in self.contacts and one != LATE]
        return self.answer(request, {"type": "list", "data": rows, "total_count": len(rows)})

    async def contact(self, request: starlette.requests.Request) -> Response:
        return self.answer(request, self.contacts.get(request.path_params["id"]))

    async def companies(self, request: starlette.requests.Request) -> Response:
        one = request.path_params["id"]
        rows = [self.company] if one == CONTACT else []
        return self.answer(request, {"type": "list", "data": rows} if one in self.contacts else None)

    async def one_company(self, request: starlette.requests.Request) -> Response:
        return self.answer(request, self.company if request.path_params["id"] == COMPANY else None)

    async def list_admins(self, request: starlette.requests.Request) -> Response:
        return self.answer(request, {"type": "admin.list", "admins": self.admins})

    async def admin(self, request: starlette.requests.Request) -> Response:
        return self.answer(request, self.gone_admin if request.path_params["id"] == "7712" else None)

    async def item(self, request: starlette.requests.Request) -> Response:
        return self.answer(request, self.items.get(request.path_params["kind"], {}).get(request.path_params["id"]))


@pytest.fixture
def intercom() -> Intercom:
    return Intercom()


@pytest.fixture
async def client(intercom: Intercom) -> AsyncIterator[IntercomClient]:
    transport = httpx.ASGITransport(intercom.app)
    made = IntercomClient(ACCESS, transport=transport, monotonic=Clock(), clock=lambda: 1_791_800_000.0)
    yield made
    await made.aclose()


async def test_contacts_and_admins_are_people(client: IntercomClient, intercom: Intercom) -> None:
    assert await client.users([CONTACT, LEAD, LATE, "nobody", "admin:7711", "admin:7712", "admin:9"]) == {
        CONTACT: Person("ida.brekke@quillharbor.example", "Ida Brekke"),
        LEAD: Person(None, "Teal Kite"),
        LATE: Person("late@quillharbor.example", None),
        "nobody": None,
        "admin:7711": Person("lena@mill.example", "Lena Ostrand"),
        "admin:7712": Person("was@mill.example", "Was Here"),
        "admin:9": None,
    }
    assert intercom.seen == [
        "contacts/search",
        f"contacts/{LATE}",
        "contacts/nobody",
        "admins",
        "admins/7712",
        "admins/9",
    ]


async def test_contacts_are_searched_for_fifty_at_a_time(client: IntercomClient, intercom: Intercom) -> None:
    ids = [f"{number:024x}" for number in range(1, 121)]
    intercom.contacts |= {one: {"id": one, "email": "a@b.example"} for one in ids}
    answers = await client.users(ids)
    assert all(answers.values())
    assert intercom.seen == ["contacts/search"] * 3
    assert client.at_once == 50


async def test_a_company_is_found_by_its_id_or_through_a_contact(client: IntercomClient, intercom: Intercom) -> None:
    quill = Company(("quillharbor.example",), "acct-3107", "Quill Harbor")
    assert await client.organizations([COMPANY, f"contact:{CONTACT}", f"contact:{LEAD}", "5", "contact:nobody"]) == {
        COMPANY: quill,
        f"contact:{CONTACT}": quill,
        f"contact:{LEAD}": Company(),
        "5": None,
        "contact:nobody": None,
    }
    assert intercom.seen.count("me") == 1


@pytest.mark.parametrize(
    ("website", "domains"),
    [
        ("http://quill.example", ("quill.example",)),
        ("www.quill.example/shop?x=1", ("quill.example",)),
        ("Quill.Example:8080", ("quill.example",)),
        ("quill", ()),
        ("https://quill.example@evil.example", ()),
        ("", ()),
        (None, ()),
        (7, ()),
    ],
)
def test_a_website_tells_the_domain(website: Any, domains: tuple[str, ...]) -> None:
    assert company({"website": website}).domains == domains


async def test_a_ticket_is_a_complete_change_and_parts_stay_at_intercom(client: IntercomClient) -> None:
    change = (await client.tickets([TICKET]))[TICKET]
    assert change is not None
    assert (change.ticket, change.connection, change.life) == (f"intercom:{TICKET}", "intercom", "live")
    assert (change.complete, change.reread, change.thin, change.creation) == (True, True, False, False)
    assert (change.updated_at_ms, change.event_at_us) == (1_791_787_400_000, 1_791_800_000_000_000)
    assert change.fields == {
        "title": "Grinder 4 stops",
        "description": "It hums.",
        "type": "machine fault",
        "status": "in_progress",
        "url": f"https://app.intercom.com/a/inbox/tm7wq2kd/inbox/conversation/{TICKET}",
    }
    assert change.refs == {"requester_id": CONTACT, "organization_id": COMPANY, "assignee_id": "admin:7711"}
    assert b"PRIVATE-CANARY" not in change.encode()
    assert decode_fresh(change.encode()).reread


async def test_what_is_no_ticket_may_be_a_conversation(client: IntercomClient, intercom: Intercom) -> None:
    answers = await client.tickets([TALK, "5"])
    change = answers[TALK]
    assert change is not None
    assert change.fields["status"] == "closed"
    assert (change.fields["description"], change.fields["tags"]) == ("Hello", ["grinder"])
    assert change.refs["requester_id"] == CONTACT
    assert answers["5"] is None
    assert intercom.seen == ["me", f"tickets/{TALK}", f"conversations/{TALK}", "tickets/5", "conversations/5"]


@pytest.mark.parametrize("body", [[], {}, {"id": "2"}, "x"])
async def test_an_answer_that_is_another_ticket_is_none(client: IntercomClient, intercom: Intercom, body: Any) -> None:
    intercom.next = [None, JSONResponse(body)]
    with pytest.raises(HelpdeskUnavailable):
        await client.tickets([TICKET])


async def test_a_wrong_host_that_answers_404_to_everything_buries_nobody() -> None:
    client = IntercomClient(ACCESS, transport=httpx.ASGITransport(Starlette()))
    for ask, one in ((client.tickets, "1"), (client.organizations, "1"), (client.organizations, "contact:1")):
        with pytest.raises(HelpdeskUnavailable):
            await ask([one])
    with pytest.raises(HelpdeskUnavailable):
        await client.users(["1"])
    assert "INTERCOM_DOMAIN" in (await client.probe() or "")
    await client.aclose()


@pytest.mark.parametrize("bad", ["", "1/2", "../me", "a..b", "a b", "a?b", "contact:", "contact:a/b", "\u0661"])
async def test_what_is_no_id_is_never_asked_for(client: IntercomClient, intercom: Intercom, bad: str) -> None:
    assert await client.organizations([bad]) == {bad: None}
    assert await client.tickets([bad]) == {bad: None}
    if not bad.startswith("contact:"):
        assert await client.users([bad, f"admin:{bad}"]) == {bad: None, f"admin:{bad}": None}
    assert intercom.seen == []


async def test_what_was_read_before_a_failure_is_kept_with_it(client: IntercomClient, intercom: Intercom) -> None:
    intercom.next = [None, Response(status_code=429)]
    with pytest.raises(HelpdeskBusy) as raised:
        await client.users([CONTACT, "admin:7711"])
    assert (raised.value.retry_after_s, list(raised.value.found)) == (BUSY_S, [CONTACT])


async def test_a_probe_says_what_is_wrong(client: IntercomClient, intercom: Intercom) -> None:
    intercom.next = [Response(status_code=401), JSONResponse({"type": "admin"})]
    assert "INTERCOM_API_TOKEN" in (await client.probe() or "")


async def test_a_probe_of_the_right_token_says_nothing(client: IntercomClient) -> None:
    assert await client.probe() is None


@pytest.mark.parametrize("end", ENDS)
async def test_every_other_end_is_a_named_error_and_never_nobody(
    end: tuple[httpx.Response, type[HelpdeskError]],
) -> None:
    asked = [
        ("users", CONTACT),
        ("users", "admin:7"),
        ("organizations", "7"),
        ("organizations", "contact:7"),
        ("tickets", "7"),
    ]
    await see_end(
        lambda transport: IntercomClient(ACCESS, transport=transport),
        end,
        asked,
        host="api.intercom.io",
        secrets=[TOKEN],
    )


async def test_a_ticket_that_names_its_contact_reaches_planhat_with_address_and_company(
    desk: Desk, client: IntercomClient, intercom: Intercom
) -> None:
    await send_through(desk, client, change_of("intercom", "ticket_created", "intercom:"))
    ticket = desk.tickets[f"intercom:{TICKET}"]
    assert (ticket["email"], ticket["companyExternalId"]) == ("ida.brekke@quillharbor.example", "acct-3107")
    assert ticket["domains"] == ["quillharbor.example"]
    assert intercom.seen == ["contacts/search", f"contacts/{CONTACT}/companies"]


@pytest.mark.parametrize(
    ("domain", "api"),
    [
        ("", "https://api.intercom.io"),
        ("app.eu.intercom.com", "https://api.eu.intercom.io"),
        ("https://app.au.intercom.com/", "https://api.au.intercom.io"),
    ],
)
def test_the_region_of_the_pages_tells_the_region_of_the_api(domain: str, api: str) -> None:
    (access,) = from_env({"INTERCOM_API_TOKEN": TOKEN, "INTERCOM_DOMAIN": domain}).helpdesks
    assert access.base_url == api
