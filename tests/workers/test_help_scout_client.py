"""Look-ups at Help Scout against a double of its Inbox API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.core.lookups import Person
from tests.workers.helpdesk_double import ENDS, see_end
from tests.workers.token_vendor import Vendor
from workers.access import HelpdeskAccess
from workers.helpdesks.base import HelpdeskBusy, HelpdeskError, HelpdeskMoved, HelpdeskRefused, HelpdeskUnavailable
from workers.helpdesks.help_scout import HelpScoutClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

NOW = 1_791_800_000.0


class HelpScout(Vendor):
    """One account's Inbox API."""

    def __init__(self) -> None:
        super().__init__()
        self.expires = {"expires_in": 172_800}
        self.rows: dict[str, dict[int, dict[str, Any]]] = {
            "customers": {
                9150: {
                    "id": 9150,
                    "firstName": "Maud",
                    "lastName": "Ferrier",
                    "organization": "Tallow Mill",
                    "_embedded": {"emails": [{"id": 1, "value": "Maud@TallowMill.example", "type": "work"}]},
                },
                9151: {"id": 9151, "firstName": None, "lastName": None, "_embedded": {"emails": []}},
            },
            "conversations": {
                4406113: {
                    "id": 4406113,
                    "number": 7120,
                    "threads": 2,
                    "status": "active",
                    "state": "published",
                    "subject": "Belt slips on press 4",
                    "preview": "It began",
                    "assignee": {"id": 802, "first": "Oda", "last": "Brekke", "email": "oda.brekke@help.example"},
                    "createdBy": {"id": 9150, "type": "customer", "email": "maud@tallowmill.example"},
                    "createdAt": "2026-10-12T06:41:09Z",
                    "userUpdatedAt": "2026-10-12T10:00:00Z",
                    "tags": [{"id": 77, "color": "#929499", "tag": "press-4"}],
                    "primaryCustomer": {
                        "id": 9150,
                        "first": "Maud",
                        "last": "Ferrier",
                        "email": "maud@tallowmill.example",
                    },
                    "_links": {"web": {"href": "https://secure.helpscout.net/conversation/4406113/7120"}},
                }
            },
        }
        self.threads = [
            {"type": "note", "state": "published", "body": "never to be sent", "createdAt": "2026-10-12T06:00:00Z"},
            {"type": "customer", "state": "published", "body": "It slips.<br>", "createdAt": "2026-10-12T06:41:09Z"},
        ]
        self.moved: dict[int, str] = {}
        self.app = Starlette(
            routes=[
                Route("/v2/oauth2/token", self.token, methods=["POST"]),
                Route("/v2/users/me", self.me),
                Route("/v2/{kind}/{id:int}", self.record),
            ]
        )

    async def me(self, request: Request) -> Response:
        return self.refusal(request, set()) or JSONResponse({"id": 802, "email": "oda.brekke@help.example"})

    async def record(self, request: Request) -> Response:
        if refusal := self.refusal(request, {"embed"}):
            return refusal
        kind, found = request.path_params["kind"], request.path_params["id"]
        if found in self.moved:
            return Response(status_code=301, headers={"Location": self.moved[found]})
        row = self.rows.get(kind, {}).get(found)
        if row is None:
            return JSONResponse({"message": "Not Found"}, 404)
        embed = {"_embedded": {"threads": self.threads}} if request.query_params.get("embed") == "threads" else {}
        return JSONResponse(row | embed)


ACCESS = HelpdeskAccess(
    "help_scout",
    "help_scout",
    "https://api.helpscout.net/v2",
    "secure.helpscout.net",
    "app-1",
    "app-secret",
    "help_scout:",
)


@pytest.fixture
def help_scout() -> HelpScout:
    return HelpScout()


@pytest.fixture
async def hs(help_scout: HelpScout) -> AsyncIterator[HelpScoutClient]:
    client = HelpScoutClient(ACCESS, transport=httpx.ASGITransport(help_scout.app), clock=lambda: NOW)
    yield client
    await client.aclose()


async def test_a_conversation_comes_whole_and_without_its_notes(hs: HelpScoutClient, help_scout: HelpScout) -> None:
    change = (await hs.tickets(["4406113"]))["4406113"]
    assert change is not None
    assert (change.ticket, change.connection, change.life) == ("help_scout:4406113", "help_scout", "live")
    assert (change.complete, change.reread, change.thin) == (True, True, False)
    assert (change.updated_at_ms, change.created_at_ms) == (1791799200000, 1791787269000)
    assert change.fields == {
        "title": "Belt slips on press 4",
        "description": "It slips.",
        "url": "https://secure.helpscout.net/conversation/4406113/7120",
        "tags": ["press-4"],
        "status": "active",
        "email": "maud@tallowmill.example",
        "name": "Maud Ferrier",
        "agentEmail": "oda.brekke@help.example",
    }
    assert change.refs == {"requester_id": "9150"}
    assert help_scout.seen == ["/v2/conversations/4406113"]
    assert help_scout.made == 1


@pytest.mark.parametrize("more", [{"status": "spam"}, {"state": "deleted"}])
async def test_spam_and_what_is_shown_as_deleted_is_a_deletion(
    hs: HelpScoutClient, help_scout: HelpScout, more: dict[str, Any]
) -> None:
    help_scout.rows["conversations"][4406113] |= more
    change = (await hs.tickets(["4406113"]))["4406113"]
    assert change is not None
    assert (change.life, change.fields, change.refs, change.updated_at_ms) == ("deleted", {}, {}, 1791799200000)


async def test_a_conversation_that_is_not_there_is_gone_by_now(hs: HelpScoutClient, help_scout: HelpScout) -> None:
    help_scout.moved[7] = "https://api.helpscout.net/v2/conversations/4406113"
    answers = await hs.tickets(["5", "7"])
    for number in ("5", "7"):
        change = answers[number]
        assert change is not None
        assert (change.ticket, change.life, change.updated_at_ms) == (f"help_scout:{number}", "deleted", NOW * 1000)
    assert help_scout.seen == ["/v2/conversations/5", "/v2/users/me", "/v2/conversations/7"]


async def test_what_we_may_not_see_is_not_gone(hs: HelpScoutClient, help_scout: HelpScout) -> None:
    help_scout.next = [Response(status_code=403)]
    with pytest.raises(HelpdeskRefused):
        await hs.tickets(["4406113"])
    help_scout.moved[4406113] = "https://secure.helpscout.net/signin"
    with pytest.raises(HelpdeskMoved):
        await hs.tickets(["4406113"])


async def test_customers_are_found_and_companies_are_not_asked_for(hs: HelpScoutClient, help_scout: HelpScout) -> None:
    assert await hs.users(["9150", "9151", "5", "x"]) == {
        "9150": Person("maud@tallowmill.example", "Maud Ferrier"),
        "9151": Person(None, None),
        "5": None,
        "x": None,
    }
    asked = len(help_scout.seen)
    assert await hs.organizations(["9150"]) == {"9150": None}
    assert len(help_scout.seen) == asked


async def test_a_wrong_address_that_answers_404_deletes_nothing() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"access_token": "t"}) if request.method == "POST" else httpx.Response(404)

    client = HelpScoutClient(ACCESS, transport=httpx.MockTransport(answer))
    for ask in (client.tickets, client.users):
        with pytest.raises(HelpdeskUnavailable, match="HELP_SCOUT_API_URL"):
            await ask(["7"])
    assert "HELP_SCOUT_API_URL" in (await client.probe() or "")
    await client.aclose()


@pytest.mark.parametrize("body", [[], {}, {"id": 2}, "x"])
async def test_an_answer_that_is_another_conversation_is_none(
    hs: HelpScoutClient, help_scout: HelpScout, body: Any
) -> None:
    help_scout.next = [JSONResponse(body)]
    with pytest.raises(HelpdeskUnavailable):
        await hs.tickets(["4406113"])


async def test_help_scouts_own_header_says_how_long_to_wait(hs: HelpScoutClient, help_scout: HelpScout) -> None:
    help_scout.next = [None, Response(status_code=429, headers={"X-RateLimit-Retry-After": "11"})]
    with pytest.raises(HelpdeskBusy) as raised:
        await hs.users(["9150", "9151"])
    assert raised.value.retry_after_s == 11
    assert list(raised.value.found) == ["9150"]


async def test_a_help_scout_probe_says_what_is_wrong(hs: HelpScoutClient, help_scout: HelpScout) -> None:
    assert await hs.probe() is None
    help_scout.next = [Response(status_code=403), Response(status_code=502)]
    assert "HELP_SCOUT_API_CLIENT_ID" in (await hs.probe() or "")
    assert "HTTP 502" in (await hs.probe() or "")


@pytest.mark.parametrize("end", ENDS)
async def test_every_other_end_is_a_named_error_and_never_nobody(
    end: tuple[httpx.Response, type[HelpdeskError]],
) -> None:
    asked = [("users", "7"), ("tickets", "7")]
    await see_end(
        lambda transport: HelpScoutClient(ACCESS, transport=transport),
        end,
        asked,
        host="api.helpscout.net",
        secrets=["t-secret", "app-secret"],
        token="t-secret",
    )
