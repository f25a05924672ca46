"""Look-ups at a small double of Pylon's API, written after the facts and refusing what is not documented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.core.change import decode_fresh
from gateway.core.lookups import Company, Person
from gateway.core.part import part_of
from gateway.sources.base import needs_lookup
from tests.workers.helpdesk_double import ENDS, Clock, see_end
from workers.access import HelpdeskAccess
from workers.helpdesks.base import HelpdeskBusy, HelpdeskError, HelpdeskUnavailable
from workers.helpdesks.memory import REMEMBER_S
from workers.helpdesks.pylon import PylonClient
from workers.settings import from_env

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

TOKEN = "pylon-token-9f2c"
ISSUE = "5a9f3f0e-7c43-4f36-9d3e-0c6c2a7a1e55"


class Pylon:
    """`https://api.usepylon.com`: one record a call in `data`, errors as a list of texts, a bearer token."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.next: list[Response | None] = []
        self.records: dict[str, dict[str, dict[str, Any]]] = {
            "issues": {
                ISSUE: {
                    "id": ISSUE,
                    "number": 88,
                    "title": " Dock door stays open",
                    "link": "https://app.usepylon.com/issues?issueNumber=88",
                    "body_html": "<p>Since Monday &amp; always.</p><p>Bay 3</p>",
                    "state": "waiting_on_you",
                    "account": {"id": "acc-51"},
                    "requester": {"id": "con-12", "email": "Mara.Lind@Saltbarge.example"},
                    "assignee": {"id": "usr-3", "email": "Ode@tidewheel.example"},
                    "tags": ["doors", "bay"],
                    "custom_fields": {
                        "priority": {"slug": "priority", "value": "Urgent"},
                        "product": {"slug": "product", "value": "Docks"},
                        "region": {"slug": "region", "value": "north"},
                    },
                    "created_at": "2026-10-12T12:00:00Z",
                    "latest_message_time": "2026-10-12T12:04:10Z",
                }
            },
            "contacts": {
                "con-12": {"id": "con-12", "name": "Mara Lind", "email": "Mara.Lind@Saltbarge.example"},
                "con-13": {"id": "con-13", "name": "", "email": None},
            },
            "accounts": {
                "acc-51": {"id": "acc-51", "name": "Saltbarge", "domains": ["Saltbarge.example", "salt.example"]},
                "acc-52": {"id": "acc-52", "name": None, "domains": None},
            },
        }
        self.app = Starlette(routes=[Route("/issues", self.window), Route("/{kind}/{id}", self.record)])

    def refusal(self, request: Request, allowed: set[str]) -> Response | None:
        self.seen.append(request.url.path)
        if self.next and (answer := self.next.pop(0)) is not None:
            return answer
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"errors": ["unauthorized"]}, 401)
        if request.query_params.keys() != allowed:
            return JSONResponse({"errors": ["unknown parameter"]}, 400)
        return None

    async def window(self, request: Request) -> Response:
        empty = JSONResponse({"data": [], "pagination": {"has_next_page": False}, "request_id": "req-1"})
        return self.refusal(request, {"start_time", "end_time"}) or empty

    async def record(self, request: Request) -> Response:
        if refusal := self.refusal(request, set()):
            return refusal
        row = self.records[request.path_params["kind"]].get(request.path_params["id"])
        if row is None:
            return JSONResponse({"errors": ["not found"], "request_id": "req-2"}, 404)
        return JSONResponse({"data": row, "request_id": "req-3"})


ACCESS = HelpdeskAccess("pylon", "pylon", "https://api.usepylon.com", "app.usepylon.com", "", TOKEN, "pylon:")


@pytest.fixture
def pylon() -> Pylon:
    return Pylon()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(pylon: Pylon, clock: Clock) -> AsyncIterator[PylonClient]:
    made = PylonClient(ACCESS, transport=httpx.ASGITransport(pylon.app), monotonic=clock)
    yield made
    await made.aclose()


async def test_an_issue_is_a_complete_change_that_counts_by_its_arrival(client: PylonClient) -> None:
    change = (await client.tickets([ISSUE]))[ISSUE]
    assert change is not None
    assert (change.ticket, change.connection, change.life) == (f"pylon:{ISSUE}", "pylon", "live")
    assert (change.complete, change.reread, change.thin) == (True, True, False)
    assert (change.updated_at_ms, change.created_at_ms) == (None, 1791806400000)
    assert change.fields == {
        "title": "Dock door stays open",
        "description": "Since Monday & always.\n\nBay 3",
        "url": "https://app.usepylon.com/issues?issueNumber=88",
        "tags": ["doors", "bay"],
        "severity": "urgent",
        "product": "Docks",
        "status": "waiting_on_you",
        "email": "mara.lind@saltbarge.example",
        "agentEmail": "ode@tidewheel.example",
    }
    assert change.refs == {"requester_id": None, "organization_id": "acc-51"}
    assert needs_lookup(change) == ("company",)


async def test_a_state_that_was_read_later_wins_though_no_message_came(client: PylonClient, pylon: Pylon) -> None:
    first = (await client.tickets([ISSUE]))[ISSUE]
    pylon.records["issues"][ISSUE]["state"] = "closed"
    second = (await client.tickets([ISSUE]))[ISSUE]
    assert first is not None
    assert second is not None
    earlier, later = (
        part_of(decode_fresh(one.encode()), us).stamps for one, us in ((first, 10**15), (second, 10**15 + 1))
    )
    assert later["status"] > earlier["status"]


async def test_what_an_issue_shows_empty_is_known_to_be_empty(client: PylonClient, pylon: Pylon) -> None:
    empty = {"title": None, "body_html": None, "tags": None, "assignee": None, "account": None, "link": None}
    custom = {"priority": {"slug": "priority", "value": None}, "product": {"slug": "product"}}
    pylon.records["issues"][ISSUE] |= empty | {"custom_fields": custom, "requester": None}
    change = (await client.tickets([ISSUE]))[ISSUE]
    assert change is not None
    assert change.fields == {
        "title": "",
        "description": "",
        "tags": [],
        "severity": "",
        "product": "",
        "status": "waiting_on_you",
        "email": "",
        "agentEmail": "",
    }
    assert change.refs == {"requester_id": None, "organization_id": None}


async def test_a_requester_without_an_address_is_looked_up_as_a_contact(client: PylonClient, pylon: Pylon) -> None:
    pylon.records["issues"][ISSUE] |= {"requester": {"id": "con-12"}, "assignee": {"id": "usr-3"}}
    del pylon.records["issues"][ISSUE]["custom_fields"]
    change = (await client.tickets([ISSUE]))[ISSUE]
    assert change is not None
    assert not {"email", "agentEmail", "severity", "product"} & change.fields.keys()
    assert change.refs["requester_id"] == "con-12"
    assert await client.users(["con-12", "con-13", "con-99"]) == {
        "con-12": Person("mara.lind@saltbarge.example", "Mara Lind"),
        "con-13": Person(None, None),
        "con-99": None,
    }


async def test_accounts_tell_their_domains(client: PylonClient) -> None:
    assert await client.organizations(["acc-51", "acc-52", "acc-99"]) == {
        "acc-51": Company(("saltbarge.example", "salt.example"), None, "Saltbarge"),
        "acc-52": Company((), None, None),
        "acc-99": None,
    }


@pytest.mark.parametrize("bad", ["", "../me", "a/b", "a?b", "a b", "\u00e9", "x" * 65, "a\n"])
async def test_what_is_no_id_is_never_asked_for(client: PylonClient, pylon: Pylon, bad: str) -> None:
    assert await client.tickets([bad]) == {bad: None}
    assert pylon.seen == []


async def test_each_id_is_asked_for_once(client: PylonClient, pylon: Pylon) -> None:
    assert list(await client.tickets([ISSUE, ISSUE])) == [ISSUE]
    assert pylon.seen == [f"/issues/{ISSUE}"]


async def test_a_404_means_no_such_issue_only_at_an_address_that_is_proved(
    client: PylonClient, pylon: Pylon, clock: Clock
) -> None:
    assert await client.tickets(["gone-1", "gone-2"]) == {"gone-1": None, "gone-2": None}
    assert pylon.seen.count("/issues") == 1
    clock.now_s += REMEMBER_S
    await client.tickets(["gone-1"])
    assert pylon.seen.count("/issues") == 2


async def test_a_wrong_address_that_answers_404_to_everything_buries_nobody() -> None:
    client = PylonClient(ACCESS, transport=httpx.ASGITransport(Starlette()))
    for ask in (client.tickets, client.users, client.organizations):
        with pytest.raises(HelpdeskUnavailable, match="PYLON_API_URL"):
            await ask(["1"])
    assert "PYLON_API_URL" in (await client.probe() or "")
    await client.aclose()


@pytest.mark.parametrize("body", [[], {}, {"data": None}, {"data": {"id": "other"}}, {"id": ISSUE}, "x"])
async def test_an_answer_that_is_another_record_is_none(client: PylonClient, pylon: Pylon, body: Any) -> None:
    pylon.next = [JSONResponse(body)]
    with pytest.raises(HelpdeskUnavailable):
        await client.tickets([ISSUE])


async def test_what_was_read_before_the_quota_ended_is_kept_with_the_error(client: PylonClient, pylon: Pylon) -> None:
    pylon.next = [None, Response(status_code=429, headers={"Retry-After": "17"})]
    with pytest.raises(HelpdeskBusy) as raised:
        await client.organizations(["acc-51", "acc-52"])
    assert raised.value.retry_after_s == 17
    assert list(raised.value.found) == ["acc-51"]


@pytest.mark.parametrize("end", ENDS)
async def test_every_other_end_is_a_named_error_and_never_nobody(
    end: tuple[httpx.Response, type[HelpdeskError]],
) -> None:
    asked = [("users", "7"), ("organizations", "7"), ("tickets", "7")]
    await see_end(
        lambda transport: PylonClient(ACCESS, transport=transport), end, asked, host="api.usepylon.com", secrets=[TOKEN]
    )


async def test_a_probe_says_what_is_wrong(client: PylonClient, pylon: Pylon) -> None:
    assert await client.probe() is None
    pylon.next = [Response(status_code=401), Response(status_code=502), JSONResponse([])]
    assert "PYLON_API_TOKEN" in (await client.probe() or "")
    assert "HTTP 502" in (await client.probe() or "")
    assert "PYLON_API_URL" in (await client.probe() or "")


def test_a_token_switches_look_ups_on_and_the_region_is_an_address() -> None:
    (access,) = from_env({"PYLON_API_TOKEN": TOKEN}).helpdesks
    assert (access.base_url, access.prefix) == ("https://api.usepylon.com", "pylon:")
    eu = "https://api.eu.usepylon.com"
    (access,) = from_env({"PYLON_API_TOKEN": TOKEN, "PYLON_API_URL": eu}).helpdesks
    assert access.base_url == eu
