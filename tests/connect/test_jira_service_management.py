"""`connect jira_service_management` against a double of Jira Cloud's admin webhooks."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.connect.double import MADE, OTHER, PUBLIC, Double, Refusal, empty, go
from workers.connect.base import ConnectError

if TYPE_CHECKING:
    from starlette.requests import Request

JIRA = "jira_service_management"
URL = f"{PUBLIC}/webhooks/{JIRA}"
NAME = f"planhat-gateway {JIRA}"
ENV = {
    "JIRA_SERVICE_MANAGEMENT_DOMAIN": "tallow",
    "JIRA_SERVICE_MANAGEMENT_API_EMAIL": "admin@tallow.example",
    "JIRA_SERVICE_MANAGEMENT_API_TOKEN": "jira-token-8",
}
SECRET = "a phrase that Jira takes"
STORED = {**ENV, "JIRA_SERVICE_MANAGEMENT_WEBHOOK_SECRET": SECRET}


class Jira(Double):
    """`https://tallow.atlassian.net`: the list is bare, ids stand only in `self`, secrets are never shown."""

    unauthorized = (401, {"message": "Client must be authenticated to access this resource."})

    def __init__(self) -> None:
        super().__init__(
            Route("/rest/webhooks/1.0/webhook", self.webhooks, methods=["GET", "POST"]),
            Route("/rest/webhooks/1.0/webhook/{id:int}", self.webhook, methods=["DELETE"]),
        )
        self.hooks: dict[int, dict[str, Any]] = {}
        self.secrets: dict[int, str] = {}

    def known(self, request: Request) -> bool:
        pair = base64.b64encode(b"admin@tallow.example:jira-token-8").decode()
        return request.headers.get("authorization") == f"Basic {pair}"

    async def webhooks(self, request: Request) -> Response:
        if request.method == "GET":
            self.query(request)
            return JSONResponse(list(self.hooks.values()))
        fields = {"name": str, "url": str, "events": list, "filters": dict, "excludeBody": bool, "secret": str}
        hook = await self.body(request, fields, {"name", "url", "events"})
        if set(hook["filters"]) - {"issue-related-events-section"} or set(hook["events"]) - {
            "jira:issue_created", "jira:issue_updated", "jira:issue_deleted", "comment_created",
        }:  # fmt: skip
            raise Refusal(400, {"messages": ["unknown event or filter"]})
        same = ("url", "events", "filters")
        if any(all(one[name] == hook[name] for name in same) for one in self.hooks.values()):
            raise Refusal(409, {"messages": ["A webhook with the same parameters exists"]})
        return JSONResponse(self.add(**hook), 201)

    def add(self, *, secret: str, **hook: Any) -> dict[str, Any]:
        ident = self.id()
        self.secrets[ident] = secret
        here = f"https://tallow.atlassian.net/rest/webhooks/1.0/webhook/{ident}"
        self.hooks[ident] = {**hook, "enabled": True, "self": here, "lastUpdated": 1762165212120}
        return self.hooks[ident]

    async def webhook(self, request: Request) -> Response:
        self.enter(request)
        return empty() if self.hooks.pop(request.path_params["id"], None) else empty(404)


@pytest.fixture
def desk() -> Jira:
    return Jira()


def foreign(desk: Jira, url: str, name: str = "Pager") -> None:
    desk.add(name=name, url=url, events=["jira:issue_created"], filters={}, excludeBody=False, secret="theirs")


async def test_it_makes_a_webhook_for_issues_with_filter_and_secret(desk):
    said = await go("connect", JIRA, desk, ENV, jql="project = DESK")
    ((ident, hook),) = desk.hooks.items()
    assert said["settings"] == {"JIRA_SERVICE_MANAGEMENT_WEBHOOK_SECRET": desk.secrets[ident]}
    assert len(desk.secrets[ident]) == MADE
    assert (hook["name"], hook["url"]) == (NAME, URL)
    assert hook["filters"] == {"issue-related-events-section": "project = DESK"}
    assert desk.secrets[ident] not in json.dumps(said["calls"])


async def test_a_second_time_nothing_is_written_and_the_filter_stays(desk):
    await go("connect", JIRA, desk, STORED, jql="project = DESK")
    desk.seen.clear()
    said = await go("connect", JIRA, desk, STORED)
    assert said["outcome"] == "unchanged" and desk.writes == []
    assert list(desk.secrets.values()) == [SECRET]


async def test_another_filter_makes_a_new_webhook_before_the_old_one_goes(desk):
    await go("connect", JIRA, desk, STORED, jql="project = DESK")
    desk.seen.clear()
    said = await go("connect", JIRA, desk, STORED, jql="project = HELP")
    assert said["outcome"] == "updated"
    assert [method for method, _ in desk.writes] == ["POST", "DELETE"]
    ((ident, hook),) = desk.hooks.items()
    assert hook["filters"]["issue-related-events-section"] == "project = HELP"
    assert desk.secrets[ident] == SECRET


async def test_without_a_filter_it_warns_that_every_project_is_sent(desk):
    said = await go("connect", JIRA, desk, ENV)
    assert any("every project" in note for note in said["notes"])


async def test_one_that_was_switched_off_is_named(desk):
    await go("connect", JIRA, desk, STORED)
    next(iter(desk.hooks.values()))["enabled"] = False
    with pytest.raises(ConnectError, match="switch it on"):
        await go("connect", JIRA, desk, STORED)
    assert len(desk.hooks) == 1


async def test_hand_made_ones_and_those_of_another_gateway_are_left_alone(desk):
    foreign(desk, URL)
    with pytest.raises(ConnectError, match=r"Pager.*by hand"):
        await go("connect", JIRA, desk, ENV)
    assert (await go("disconnect", JIRA, desk, ENV))["outcome"] == "absent"
    assert desk.writes == []
    await go("connect", JIRA, desk, ENV, public=OTHER)
    assert (await go("disconnect", JIRA, desk, ENV))["outcome"] == "absent"
    assert len(desk.hooks) == 2


async def test_disconnect_deletes_ours_once(desk):
    foreign(desk, "https://other.example/", NAME)
    await go("connect", JIRA, desk, ENV)
    assert (await go("disconnect", JIRA, desk, ENV))["outcome"] == "deleted"
    assert (await go("disconnect", JIRA, desk, ENV))["outcome"] == "absent"
    assert [hook["url"] for hook in desk.hooks.values()] == ["https://other.example/"]


async def test_a_webhook_without_its_number_is_left_to_a_person(desk):
    await go("connect", JIRA, desk, ENV)
    next(iter(desk.hooks.values()))["self"] = "https://evil.example/webhook/7/x"
    with pytest.raises(ConnectError, match="by hand"):
        await go("disconnect", JIRA, desk, ENV)


async def test_a_dry_run_writes_nothing_and_shows_no_secret(desk):
    await go("connect", JIRA, desk, STORED)
    desk.seen.clear()
    said = await go("connect", JIRA, desk, STORED, jql="project = X", dry_run=True)
    assert [call["method"] for call in said["calls"]] == ["POST", "DELETE"]
    assert desk.writes == [] and SECRET not in json.dumps(said)


@pytest.mark.parametrize("status, sentence", [(403, "Administer Jira"), (401, "_API_EMAIL"), (404, "_DOMAIN")])
async def test_a_refusal_says_what_to_do(desk, status, sentence):
    desk.next["GET /rest/webhooks/1.0/webhook"] = Refusal(status, {"message": "no"})
    with pytest.raises(ConnectError, match=sentence):
        await go("connect", JIRA, desk, ENV)


async def test_data_center_is_set_up_by_hand(desk):
    env = {
        "JIRA_SERVICE_MANAGEMENT_API_URL": "https://jira.tallow.example",
        "JIRA_SERVICE_MANAGEMENT_API_TOKEN": "personal-access-token",
    }
    with pytest.raises(ConnectError, match="by hand"):
        await go("connect", JIRA, desk, env)
    assert desk.seen == []
