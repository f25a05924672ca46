"""Look-ups at a small double of Freshservice's API, written after the facts and refusing what is not documented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.core.change import Change
from gateway.core.lookups import Company, Person
from workers.access import HelpdeskAccess
from workers.helpdesks.base import HelpdeskBusy, HelpdeskError, HelpdeskRefused, HelpdeskUnavailable
from workers.helpdesks.freshservice import FreshserviceClient
from workers.helpdesks.memory import REMEMBER_S
from workers.settings import from_env

from .helpdesk_double import ENDS, Clock, Double, basic, see_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

ACCESS = HelpdeskAccess(
    "freshservice",
    "freshservice",
    "https://heronquay.freshservice.com/api/v2",
    "heronquay.freshservice.com",
    "",
    "fs-key",
    "freshservice:",
)
NAMES = {"tickets": "ticket", "requesters": "requester", "agents": "agent", "departments": "department"}


class Freshservice(Double):
    """`/api/v2` of one Freshservice: every record below its kind's name."""

    credentials = basic("fs-key", "X")

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, dict[int, dict[str, Any]]] = {
            "requesters": {
                31: {
                    "id": 31,
                    "first_name": "Rosalind",
                    "last_name": "Obi",
                    "primary_email": "Rosalind.Obi@TallowMill.example",
                    "department_ids": [55],
                }
            },
            "agents": {9: {"id": 9, "first_name": "Petra", "last_name": None, "email": "petra@heronquay.example"}},
            "departments": {55: {"id": 55, "name": "Yard", "domains": ["Yard.example"], "custom_fields": {}}},
            "tickets": {
                341: {
                    "id": 341,
                    "subject": "Laptop & dock",
                    "description": "<div>The dock is dead.</div>",
                    "description_text": "The dock is dead.",
                    "status": 2,
                    "priority": 3,
                    "type": "Incident",
                    "tags": ["dock"],
                    "requester_id": 31,
                    "responder_id": 9,
                    "department_id": 55,
                    "workspace_id": 2,
                    "spam": False,
                    "deleted": False,
                    "created_at": "2026-10-19T08:15:30Z",
                    "updated_at": "2026-10-19T10:02:03Z",
                }
            },
        }
        self.choices: Any = [{"id": 2, "value": "Open"}, {"id": 7, "value": "Waiting for parts"}, {"id": 8}, None]
        self.app = Starlette(
            routes=[
                Route("/api/v2/tickets", self.tickets),
                Route("/api/v2/ticket_form_fields", self.fields),
                Route("/api/v2/{kind}/{id:int}", self.record),
            ]
        )

    async def tickets(self, request: Request) -> Response:
        return self.refusal(request, {"per_page"}) or JSONResponse({"tickets": []})

    async def fields(self, request: Request) -> Response:
        listed = [{"name": "subject", "choices": []}, {"name": "status", "choices": self.choices}]
        return self.refusal(request, set()) or JSONResponse({"ticket_fields": listed})

    async def record(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if refusal := self.refusal(request, {"include"} if kind == "tickets" else set()):
            return refusal
        row = self.rows[kind].get(request.path_params["id"])
        if row is None:
            return Response(status_code=404)
        shown = dict(row)
        requester = self.rows["requesters"].get(row.get("requester_id", 0))
        if request.query_params.get("include") == "requester" and requester is not None:
            name = f"{requester['first_name']} {requester['last_name']}"
            shown["requester"] = {"id": requester["id"], "name": name, "email": requester["primary_email"]}
        return JSONResponse({NAMES[kind]: shown})


@pytest.fixture
def freshservice() -> Freshservice:
    return Freshservice()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(freshservice: Freshservice, clock: Clock) -> AsyncIterator[FreshserviceClient]:
    made = FreshserviceClient(ACCESS, transport=httpx.ASGITransport(freshservice.app), monotonic=clock)
    yield made
    await made.aclose()


async def ticket(client: FreshserviceClient, wanted: str = "341") -> Change:
    change = (await client.tickets([wanted]))[wanted]
    assert change is not None
    return change


def test_a_key_makes_its_look_ups() -> None:
    (one,) = from_env({"FRESHSERVICE_DOMAIN": "heronquay", "FRESHSERVICE_API_TOKEN": "fs-key"}).helpdesks
    assert one == ACCESS


async def test_a_ticket_comes_with_its_people_and_its_department(client: FreshserviceClient) -> None:
    change = await ticket(client)
    assert (change.ticket, change.connection, change.life) == ("freshservice:341", "freshservice", "live")
    assert (change.complete, change.reread, change.thin) == (True, True, False)
    assert (change.updated_at_ms, change.created_at_ms) == (1_792_404_123_000, 1_792_397_730_000)
    assert change.fields == {
        "title": "Laptop & dock",
        "description": "The dock is dead.",
        "url": "https://heronquay.freshservice.com/helpdesk/tickets/341",
        "tags": ["dock"],
        "type": "Incident",
        "severity": "high",
        "status": "open",
        "email": "rosalind.obi@tallowmill.example",
        "name": "Rosalind Obi",
        "agentEmail": "petra@heronquay.example",
        "domains": ["yard.example"],
    }
    assert change.refs == {}


async def test_a_display_form_is_asked_for_by_its_number_and_stays_the_tickets_name(
    client: FreshserviceClient, freshservice: Freshservice
) -> None:
    change = await ticket(client, "INC-341")
    assert change.ticket == "freshservice:INC-341"
    assert freshservice.seen[0] == "/api/v2/tickets/341?include=requester"
    assert change.fields["url"] == "https://heronquay.freshservice.com/helpdesk/tickets/341"


async def test_agents_and_departments_are_remembered_for_a_while(
    client: FreshserviceClient, freshservice: Freshservice, clock: Clock
) -> None:
    await ticket(client)
    await ticket(client)
    assert [path.split("/")[3] for path in freshservice.seen] == ["tickets", "agents", "departments", "tickets"]
    clock.now_s = REMEMBER_S
    await ticket(client)
    assert len(freshservice.seen) == 7


async def test_a_ticket_without_agent_and_department_has_none(
    client: FreshserviceClient, freshservice: Freshservice
) -> None:
    freshservice.rows["tickets"][341] |= {"responder_id": None, "department_id": None, "description_text": None}
    change = await ticket(client)
    assert (change.fields["agentEmail"], change.fields["domains"]) == ("", [])
    assert change.fields["description"] == "The dock is dead."


async def test_a_key_that_may_not_read_agents_and_departments_says_nothing_of_them(
    client: FreshserviceClient, freshservice: Freshservice
) -> None:
    freshservice.next = [None, Response(status_code=403), Response(status_code=403)]
    change = await ticket(client)
    assert not {"agentEmail", "domains"} & change.fields.keys()
    assert change.fields["email"] == "rosalind.obi@tallowmill.example"


async def test_a_requester_who_is_not_in_the_answer_is_asked_for(
    client: FreshserviceClient, freshservice: Freshservice
) -> None:
    freshservice.rows["tickets"][341]["requester_id"] = 9  # an agent
    change = await ticket(client)
    assert (change.fields["email"], change.fields["name"]) == ("petra@heronquay.example", "Petra")
    freshservice.rows["tickets"][341]["requester_id"] = 404
    assert (await ticket(client)).fields["email"] == ""


@pytest.mark.parametrize(
    ("code", "choices", "word"),
    [
        (7, [{"id": 7, "value": "Waiting for parts"}], "waiting for parts"),
        (7, [{"id": 7, "value": 7}], "7"),
        (7, [], "7"),
        (7, None, "7"),
        (3, [{"id": 3, "value": "Renamed"}], "pending"),
    ],
)
async def test_a_status_code_becomes_the_accounts_own_word(
    client: FreshserviceClient, freshservice: Freshservice, code: int, choices: Any, word: str
) -> None:
    freshservice.choices = choices
    freshservice.rows["tickets"][341]["status"] = code
    assert (await ticket(client)).fields["status"] == word


@pytest.mark.parametrize("answer", [Response(status_code=403), JSONResponse([]), JSONResponse({"ticket_fields": 7})])
async def test_a_key_that_may_not_read_fields_leaves_the_code(
    client: FreshserviceClient, freshservice: Freshservice, answer: Response
) -> None:
    freshservice.rows["tickets"][341]["status"] = 7
    freshservice.next = [None, answer]
    assert (await ticket(client)).fields["status"] == "7"


@pytest.mark.parametrize("flag", ["deleted", "spam"])
async def test_a_deleted_or_spam_ticket_is_a_deletion(
    client: FreshserviceClient, freshservice: Freshservice, flag: str
) -> None:
    freshservice.rows["tickets"][341][flag] = True
    change = await ticket(client)
    assert (change.life, change.fields, change.updated_at_ms) == ("deleted", {}, 1_792_404_123_000)


async def test_people_are_requesters_or_agents(client: FreshserviceClient) -> None:
    assert await client.users(["31", "9", "5"]) == {
        "31": Person("rosalind.obi@tallowmill.example", "Rosalind Obi"),
        "9": Person("petra@heronquay.example", "Petra"),
        "5": None,
    }


async def test_departments_tell_their_domains(client: FreshserviceClient) -> None:
    assert await client.organizations(["55", "5"]) == {"55": Company(("yard.example",), None, "Yard"), "5": None}


async def test_gone_and_forbidden_are_told_apart(client: FreshserviceClient, freshservice: Freshservice) -> None:
    assert await client.tickets(["1", "INC-2"]) == {"1": None, "INC-2": None}
    assert freshservice.seen.count("/api/v2/tickets?per_page=1") == 1
    freshservice.next = [Response(status_code=403)]
    with pytest.raises(HelpdeskRefused):
        await client.tickets(["1"])


async def test_a_wrong_domain_that_answers_404_to_everything_buries_nobody() -> None:
    client = FreshserviceClient(ACCESS, transport=httpx.ASGITransport(Starlette()))
    for ask in (client.tickets, client.users, client.organizations):
        with pytest.raises(HelpdeskUnavailable, match="FRESHSERVICE_DOMAIN"):
            await ask(["1"])
    assert "FRESHSERVICE_DOMAIN" in (await client.probe() or "")
    await client.aclose()


@pytest.mark.parametrize("body", [[], {}, {"ticket": {"id": 2}}, {"ticket": []}, "x"])
async def test_an_answer_that_is_another_ticket_is_none(
    client: FreshserviceClient, freshservice: Freshservice, body: Any
) -> None:
    freshservice.next = [JSONResponse(body)]
    with pytest.raises(HelpdeskUnavailable):
        await client.tickets(["341"])


@pytest.mark.parametrize("bad", ["", "0", "-1", "1/2", "INC-", "INC-0", "inc-9", "../me", "9" * 30, "A-B-9"])
async def test_what_is_no_id_is_never_asked_for(
    client: FreshserviceClient, freshservice: Freshservice, bad: str
) -> None:
    for ask in (client.tickets, client.users, client.organizations):
        assert await ask([bad]) == {bad: None}
    assert freshservice.seen == []


async def test_tickets_read_before_the_quota_ended_are_kept_with_the_error(
    client: FreshserviceClient, freshservice: Freshservice
) -> None:
    freshservice.next = [None, None, None, Response(status_code=429, headers={"Retry-After": "41"})]
    with pytest.raises(HelpdeskBusy) as raised:
        await client.tickets(["INC-341", "342"])
    assert raised.value.retry_after_s == 41
    assert [type(one) for one in raised.value.found.values()] == [Change]
    assert list(raised.value.found) == ["INC-341"]


async def test_a_probe_says_what_is_wrong(client: FreshserviceClient, freshservice: Freshservice) -> None:
    assert await client.probe() is None
    freshservice.next = [Response(status_code=401), Response(status_code=502)]
    assert "FRESHSERVICE_API_TOKEN" in (await client.probe() or "")
    assert "HTTP 502" in (await client.probe() or "")


@pytest.mark.parametrize("end", ENDS)
async def test_every_other_end_is_a_named_error_and_never_nobody(
    end: tuple[httpx.Response, type[HelpdeskError]],
) -> None:
    asked = [("users", "7"), ("organizations", "7"), ("tickets", "7")]
    await see_end(
        lambda transport: FreshserviceClient(ACCESS, transport=transport),
        end,
        asked,
        host="heronquay.freshservice.com",
        secrets=["fs-key"],
    )
