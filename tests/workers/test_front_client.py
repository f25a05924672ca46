"""Look-ups at Front against a double of its Core API, which knows the token and refuses what is not documented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.core.change import decode_fresh
from gateway.core.lookups import Company, Person
from tests.workers.helpdesk_double import ENDS, Clock, see_end
from workers.access import HelpdeskAccess
from workers.helpdesks.base import HelpdeskBusy, HelpdeskError, HelpdeskMoved, HelpdeskRefused, HelpdeskUnavailable
from workers.helpdesks.front import FrontClient
from workers.helpdesks.memory import REMEMBER_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

API = "https://api2.frontapp.com"
NOW = 1_791_800_000.0


class Front:
    """One company's Front."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.next: list[Response | None] = []
        self.rows: dict[str, dict[str, dict[str, Any]]] = {
            "conversations": {
                "cnv_9k2": {
                    "_links": {"self": f"{API}/conversations/cnv_9k2", "related": {}},
                    "id": "cnv_9k2",
                    "type": "conversation",
                    "subject": "Belt slips on press 4",
                    "status": "assigned",
                    "ticket_ids": [],
                    "assignee": {"id": "tea_2b", "email": "Oda.Brekke@help.example", "first_name": "Oda"},
                    "recipient": {
                        "_links": {"related": {"contact": f"{API}/contacts/crd_4m8"}},
                        "name": "Maud Ferrier",
                        "handle": "Maud.Ferrier@TallowMill.example",
                        "role": "from",
                    },
                    "tags": [{"id": "tag_1", "name": "press-4", "is_private": False}],
                    "links": [],
                    "custom_fields": {},
                    "created_at": 1791787270.54,
                    "updated_at": 1791793333.5,
                    "is_private": False,
                }
            },
            "contacts": {
                "crd_4m8": {
                    "id": "crd_4m8",
                    "name": "Maud Ferrier",
                    "handles": [
                        {"source": "phone", "handle": "+4755501234"},
                        {"source": "email", "handle": "Maud.Ferrier@TallowMill.example"},
                    ],
                    "account": {"id": "acc_7t", "name": "Tallow Mill"},
                },
                "crd_bare": {"id": "crd_bare", "name": "", "handles": []},
                "crd_linked": {"id": "crd_linked", "_links": {"related": {"account": f"{API}/accounts/acc_7t"}}},
                "crd_whole": {"id": "crd_whole", "account": {"id": "acc_9", "name": "W", "domains": ["W.example"]}},
                "crd_odd": {"id": "crd_odd", "handles": 7, "_links": {"related": {"account": "https://x/../../me"}}},
            },
            "accounts": {
                "acc_7t": {
                    "id": "acc_7t",
                    "name": "Tallow Mill",
                    "domains": ["TallowMill.example", "tm.example"],
                    "external_id": "tm-17",
                }
            },
            "teammates": {
                "tea_2b": {
                    "id": "tea_2b",
                    "email": "oda.brekke@help.example",
                    "first_name": "Oda",
                    "last_name": "Brekke",
                },
                "tea_bot": {"id": "tea_bot", "email": None, "first_name": None, "last_name": None},
            },
        }
        self.messages: list[dict[str, Any]] = [
            {
                "id": "msg_1",
                "created_at": 1791787269,
                "is_draft": False,
                "text": "The belt slips.\n",
                "body": "<p>x</p>",
            },
            {"id": "msg_2", "created_at": 1791790000, "is_draft": False, "text": "We look at it.", "body": "<p>y</p>"},
        ]
        self.moved: dict[str, str] = {}
        self.app = Starlette(
            routes=[
                Route("/me", self.me),
                Route("/conversations/{id}/messages", self.list_messages),
                Route("/{kind}/{id}", self.record),
            ]
        )

    def refusal(self, request: Request, allowed: set[str]) -> Response | None:
        self.seen.append(request.url.path)
        if self.next and (answer := self.next.pop(0)) is not None:
            return answer
        if request.headers.get("authorization") != "Bearer fr-token":
            return JSONResponse({"_error": {"status": 401, "title": "Unauthenticated"}}, 401)
        if request.query_params.keys() - allowed:
            return JSONResponse({"_error": {"status": 400, "title": "Bad request"}}, 400)
        return None

    async def me(self, request: Request) -> Response:
        return self.refusal(request, set()) or JSONResponse({"_links": {}, "name": "Lumen", "id": "cmp_7hq"})

    async def record(self, request: Request) -> Response:
        if refusal := self.refusal(request, set()):
            return refusal
        kind, found = request.path_params["kind"], request.path_params["id"]
        if found in self.moved:
            return Response(status_code=301, headers={"Location": self.moved[found]})
        row = self.rows.get(kind, {}).get(found)
        return JSONResponse({"_error": {"status": 404}}, 404) if row is None else JSONResponse(row)

    async def list_messages(self, request: Request) -> Response:
        if refusal := self.refusal(request, {"limit", "page_token", "sort_by", "sort_order"}):
            return refusal
        query = request.query_params
        listed = sorted(self.messages, key=lambda row: row["created_at"], reverse=query.get("sort_order") != "asc")
        return JSONResponse({"_pagination": {"next": None}, "_results": listed[: int(query.get("limit", 50))]})


ACCESS = HelpdeskAccess("front", "front", API, "app.frontapp.com", "", "fr-token", "front:")


@pytest.fixture
def front() -> Front:
    return Front()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(front: Front, clock: Clock) -> AsyncIterator[FrontClient]:
    made = FrontClient(ACCESS, transport=httpx.ASGITransport(front.app), monotonic=clock, clock=lambda: NOW)
    yield made
    await made.aclose()


async def test_a_conversation_comes_whole_with_its_first_message(client: FrontClient, front: Front) -> None:
    change = (await client.tickets(["cnv_9k2"]))["cnv_9k2"]
    assert change is not None
    assert (change.ticket, change.connection, change.life) == ("front:cnv_9k2", "front", "live")
    assert (change.complete, change.reread, change.thin) == (True, True, False)
    assert (change.updated_at_ms, change.created_at_ms) == (1791793333500, 1791787270540)
    assert change.fields == {
        "title": "Belt slips on press 4",
        "tags": ["press-4"],
        "status": "assigned",
        "email": "maud.ferrier@tallowmill.example",
        "name": "Maud Ferrier",
        "agentEmail": "oda.brekke@help.example",
        "url": "https://app.frontapp.com/open/cnv_9k2",
        "description": "The belt slips.",
    }
    assert change.refs == {"requester_id": "crd_4m8", "organization_id": "crd_4m8", "assignee_id": "tea_2b"}
    assert decode_fresh(change.encode()).reread
    assert front.seen == ["/conversations/cnv_9k2", "/conversations/cnv_9k2/messages"]


async def test_where_tickets_are_switched_on_the_category_is_the_status(client: FrontClient, front: Front) -> None:
    front.rows["conversations"]["cnv_9k2"] |= {"status_category": "resolved", "status_id": "sts_5x"}
    change = (await client.tickets(["cnv_9k2"]))["cnv_9k2"]
    assert change is not None
    assert change.fields["status"] == "resolved"


async def test_the_first_message_is_asked_for_once_in_a_while(client: FrontClient, front: Front, clock: Clock) -> None:
    for _ in range(3):
        await client.tickets(["cnv_9k2"])
    assert front.seen.count("/conversations/cnv_9k2/messages") == 1
    clock.now_s = REMEMBER_S
    await client.tickets(["cnv_9k2"])
    assert front.seen.count("/conversations/cnv_9k2/messages") == 2


@pytest.mark.parametrize(
    ("message", "description"),
    [
        ({"text": " ", "body": "<div>The belt<br>slips.</div>"}, "The belt\nslips."),
        ({"text": None, "body": None}, ""),
        ({"is_draft": True, "text": "not sent yet"}, ""),
    ],
)
async def test_a_description_is_what_was_sent_first(
    client: FrontClient, front: Front, message: dict[str, Any], description: str
) -> None:
    front.messages[0] |= message
    change = (await client.tickets(["cnv_9k2"]))["cnv_9k2"]
    assert change is not None
    assert change.fields["description"] == description


async def test_a_conversation_without_messages_has_no_description(client: FrontClient, front: Front) -> None:
    front.messages = []
    change = (await client.tickets(["cnv_9k2"]))["cnv_9k2"]
    assert change is not None
    assert change.fields["description"] == ""


@pytest.mark.parametrize("more", [{"status": "deleted"}, {"type": "discussion"}])
async def test_what_lies_in_the_trash_or_is_internal_is_a_deletion(
    client: FrontClient, front: Front, more: dict[str, Any]
) -> None:
    front.rows["conversations"]["cnv_9k2"] |= more
    change = (await client.tickets(["cnv_9k2"]))["cnv_9k2"]
    assert change is not None
    assert (change.life, change.fields, change.refs) == ("deleted", {}, {})
    assert change.updated_at_ms == 1791793333500
    assert front.seen == ["/conversations/cnv_9k2"]


@pytest.mark.parametrize("host", [API, "https://evil.example"])
async def test_a_merged_conversation_is_gone_and_its_redirect_is_not_followed(
    client: FrontClient, front: Front, host: str
) -> None:
    front.moved["cnv_old"] = f"{host}/conversations/cnv_9k2"
    change = (await client.tickets(["cnv_old"]))["cnv_old"]
    assert change is not None
    assert (change.ticket, change.life, change.updated_at_ms) == ("front:cnv_old", "deleted", NOW * 1000)
    assert front.seen == ["/conversations/cnv_old"]


async def test_any_other_redirect_says_nothing(client: FrontClient, front: Front) -> None:
    front.moved["cnv_9k2"] = "https://app.frontapp.com/signin"
    with pytest.raises(HelpdeskMoved):
        await client.tickets(["cnv_9k2"])


async def test_contacts_and_teammates_are_told_apart_by_their_ids(client: FrontClient) -> None:
    ids = ["crd_4m8", "crd_bare", "crd_odd", "tea_2b", "tea_bot", "crd_none", "tea_none", "cmp_7hq"]
    assert await client.users(ids) == {
        "crd_4m8": Person("maud.ferrier@tallowmill.example", "Maud Ferrier"),
        "crd_bare": Person(None, None),
        "crd_odd": Person(None, None),
        "tea_2b": Person("oda.brekke@help.example", "Oda Brekke"),
        "tea_bot": Person(None, None),
        "crd_none": None,
        "tea_none": None,
        "cmp_7hq": None,
    }


async def test_a_contact_leads_to_its_account(client: FrontClient, front: Front) -> None:
    mill = Company(("tallowmill.example", "tm.example"), "tm-17", "Tallow Mill")
    assert await client.organizations(["crd_4m8", "crd_linked", "crd_whole", "crd_bare", "crd_odd", "crd_none"]) == {
        "crd_4m8": mill,
        "crd_linked": mill,
        "crd_whole": Company(("w.example",), None, "W"),
        "crd_bare": Company(),
        "crd_odd": Company(),
        "crd_none": None,
    }
    assert front.seen.count("/accounts/acc_7t") == 1


async def test_a_contact_that_was_just_read_is_not_read_again(client: FrontClient, front: Front) -> None:
    await client.users(["crd_whole"])
    await client.organizations(["crd_whole"])
    assert front.seen == ["/contacts/crd_whole"]


@pytest.mark.parametrize("bad", ["", "cnv_", "cnv_1/../me", "cnv_1?x", "2x9c5v", "CNV_1", "cnv_é", "cnv_" + "a" * 50])
async def test_what_is_no_id_is_never_asked_for(client: FrontClient, front: Front, bad: str) -> None:
    for ask in (client.users, client.organizations, client.tickets):
        assert await ask([bad]) == {bad: None}
    assert front.seen == []


async def test_no_such_record_is_believed_only_where_the_token_is_known(client: FrontClient, front: Front) -> None:
    assert await client.tickets(["cnv_none"]) == {"cnv_none": None}
    assert front.seen == ["/conversations/cnv_none", "/me"]
    other = FrontClient(ACCESS, transport=httpx.ASGITransport(Starlette()))
    for ask, one in ((other.tickets, "cnv_1"), (other.users, "crd_1"), (other.organizations, "crd_1")):
        with pytest.raises(HelpdeskUnavailable, match="FRONT_API_URL"):
            await ask([one])
    assert "FRONT_API_URL" in (await other.probe() or "")
    await other.aclose()


@pytest.mark.parametrize("body", [[], {}, {"id": "cnv_other"}, "x"])
async def test_an_answer_that_is_another_conversation_is_none(client: FrontClient, front: Front, body: Any) -> None:
    front.next = [JSONResponse(body)]
    with pytest.raises(HelpdeskUnavailable):
        await client.tickets(["cnv_9k2"])


async def test_what_was_read_before_the_quota_ended_is_kept(client: FrontClient, front: Front) -> None:
    front.next = [None, Response(status_code=429, headers={"Retry-After": "7"})]
    with pytest.raises(HelpdeskBusy) as raised:
        await client.users(["crd_4m8", "crd_bare"])
    assert raised.value.retry_after_s == 7
    assert list(raised.value.found) == ["crd_4m8"]


async def test_a_probe_says_what_is_wrong(client: FrontClient, front: Front) -> None:
    assert await client.probe() is None
    front.next = [Response(status_code=401), Response(status_code=503), JSONResponse([])]
    assert "FRONT_API_TOKEN" in (await client.probe() or "")
    assert "HTTP 503" in (await client.probe() or "")
    assert "FRONT_API_URL" in (await client.probe() or "")


@pytest.mark.parametrize("end", ENDS)
async def test_every_other_end_is_a_named_error_and_never_nobody(
    end: tuple[httpx.Response, type[HelpdeskError]],
) -> None:
    asked = [("users", "crd_1"), ("organizations", "crd_1"), ("tickets", "cnv_1")]
    await see_end(
        lambda transport: FrontClient(ACCESS, transport=transport),
        end,
        asked,
        host="api2.frontapp.com",
        secrets=["fr-token"],
    )


async def test_a_token_that_front_does_not_know_is_refused(front: Front) -> None:
    access = HelpdeskAccess("front", "front", API, "app.frontapp.com", "", "another", "front:")
    client = FrontClient(access, transport=httpx.ASGITransport(front.app))
    with pytest.raises(HelpdeskRefused):
        await client.tickets(["cnv_9k2"])
    assert "another" not in repr(client) + repr(access)
    await client.aclose()
