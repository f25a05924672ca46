"""`connect linear` against a double of the part of Linear's GraphQL API that webhooks need."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.connect.double import MADE, PUBLIC, Double, go
from workers.connect.base import ConnectError

if TYPE_CHECKING:
    from starlette.requests import Request

URL = f"{PUBLIC}/webhooks/linear"
NAME = "planhat-gateway linear"
ENV = {"LINEAR_API_TOKEN": "lin_api_Key77"}
SECRET = "the-secret-that-is-stored"

CREATE = {"label", "url", "resourceTypes", "allPublicTeams", "enabled", "secret", "teamId", "id"}
UPDATE = {"label", "url", "resourceTypes", "enabled", "secret"}
FIELDS = {"id", "label", "url", "enabled", "secret", "resourceTypes", "allPublicTeams", "team"}


def error(message: str, code: str) -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"code": code, "userPresentableMessage": message}}]}


class Linear(Double):
    """`https://api.linear.app/graphql`: errors with 200 or 400, pages of two, a personal key without Bearer."""

    def __init__(self) -> None:
        super().__init__(Route("/graphql", self.graphql, methods=["POST"]))
        self.hooks: dict[str, dict[str, Any]] = {}
        self.mutations: list[str] = []
        self.refuse: dict[str, Any] | None = None
        self.tokens = {"lin_api_Key77", "Bearer oauth-token"}

    def known(self, request: Request) -> bool:
        return True

    async def graphql(self, request: Request) -> Response:
        asked = await self.body(request, {"query": str, "variables": dict}, {"query"})
        if request.headers.get("authorization") not in self.tokens:
            return JSONResponse(error("You need to authenticate", "AUTHENTICATION_ERROR"), 400)
        if self.refuse:
            return JSONResponse(self.refuse)
        query, variables = asked["query"], asked.get("variables", {})
        assert query.count("{") == query.count("}")
        name = next(
            one for one in ("webhooks", "webhookCreate", "webhookUpdate", "webhookDelete") if f"{one}(" in query
        )
        declared = set(re.findall(r"\$(\w+):", query))
        assert declared == variables.keys(), "every variable is declared and given"
        if name == "webhooks":
            return JSONResponse({"data": {"webhooks": self.page(query, variables["after"])}})
        assert query.startswith("mutation")
        self.mutations.append(name)
        return JSONResponse({"data": {name: getattr(self, name)(**variables)}})

    def page(self, query: str, after: str | None) -> dict[str, Any]:
        wanted = set(re.findall(r"\w+", query.partition("nodes {")[2].partition("pageInfo")[0]))
        assert wanted <= FIELDS
        at = int(after or 0)
        nodes = [{name: hook.get(name) for name in wanted} for hook in list(self.hooks.values())[at : at + 2]]
        more = at + 2 < len(self.hooks)
        return {"nodes": nodes, "pageInfo": {"hasNextPage": more, "endCursor": str(at + 2) if more else None}}

    def webhookCreate(self, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002, N802  Linear's names
        assert input.keys() <= CREATE and "url" in input and "resourceTypes" in input
        assert input.get("allPublicTeams") or input.get("teamId")
        ident = f"uuid-{self.id()}"
        self.hooks[ident] = {"id": ident, "team": None, **input}
        return {"success": True, "webhook": self.hooks[ident]}

    def webhookUpdate(self, id: str, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002, N802  the same
        assert input.keys() <= UPDATE
        self.hooks[id] |= input
        return {"success": True}

    def webhookDelete(self, id: str) -> dict[str, Any]:  # noqa: A002, N802  the same
        return {"success": self.hooks.pop(id, None) is not None}


@pytest.fixture
def desk() -> Linear:
    return Linear()


def foreign(desk: Linear, url: str, label: str | None = None) -> None:
    desk.webhookCreate({"label": label, "url": url, "resourceTypes": ["Project"], "allPublicTeams": True})


async def test_it_makes_a_webhook_for_issues_of_all_public_teams(desk):
    said = await go("connect", "linear", desk, ENV)
    (hook,) = desk.hooks.values()
    assert (hook["url"], hook["label"], hook["resourceTypes"], hook["allPublicTeams"]) == (URL, NAME, ["Issue"], True)
    assert said["settings"] == {"LINEAR_WEBHOOK_SECRET": hook["secret"]} and len(hook["secret"]) == MADE
    assert hook["secret"] not in json.dumps(said["calls"])


async def test_a_second_time_nothing_is_written_and_the_secret_is_told_again(desk):
    first = await go("connect", "linear", desk, ENV)
    desk.mutations.clear()
    again = await go("connect", "linear", desk, ENV)
    assert (again["outcome"], again["settings"]) == ("unchanged", first["settings"])
    last = await go("connect", "linear", desk, {**ENV, **first["settings"]})
    assert (last["outcome"], last["settings"], desk.mutations) == ("unchanged", {}, [])


async def test_the_stored_secret_and_what_was_changed_by_hand_are_set(desk):
    await go("connect", "linear", desk, ENV)
    (hook,) = desk.hooks.values()
    hook |= {"enabled": False, "resourceTypes": ["Issue", "Comment"]}
    said = await go("connect", "linear", desk, {**ENV, "LINEAR_WEBHOOK_SECRET": SECRET})
    assert said["outcome"] == "updated"
    assert (hook["enabled"], hook["resourceTypes"], hook["secret"]) == (True, ["Issue"], SECRET)


async def test_an_oauth_token_is_shown_as_bearer(desk):
    assert (await go("connect", "linear", desk, {"LINEAR_API_TOKEN": "oauth-token"}))["outcome"] == "created"


async def test_ours_is_found_on_a_later_page_and_only_ours_is_deleted(desk):
    for number in range(5):
        foreign(desk, f"https://other.example/{number}", NAME)
    await go("connect", "linear", desk, ENV)
    assert (await go("connect", "linear", desk, ENV))["outcome"] == "unchanged"
    assert (await go("disconnect", "linear", desk, ENV))["outcome"] == "deleted"
    assert (await go("disconnect", "linear", desk, ENV))["outcome"] == "absent"
    assert len(desk.hooks) == 5


async def test_a_webhook_to_our_url_that_somebody_made_is_left_alone(desk):
    foreign(desk, URL)
    with pytest.raises(ConnectError, match="by hand"):
        await go("connect", "linear", desk, ENV)
    assert (await go("disconnect", "linear", desk, ENV))["outcome"] == "absent"
    assert desk.mutations == [] and len(desk.hooks) == 1


async def test_a_dry_run_asks_and_changes_nothing(desk):
    said = await go("connect", "linear", desk, ENV, dry_run=True)
    assert said["calls"][0]["body"]["variables"]["input"]["secret"] == "<secret>"
    assert desk.mutations == [] and len(desk.seen) == 1


@pytest.mark.parametrize("code, sentence", [("FORBIDDEN", "workspace admin"), ("RATELIMITED", "Linear refuses: Stop")])
async def test_errors_that_come_with_200_are_told(desk, code, sentence):
    desk.refuse = error("Stop", code)
    with pytest.raises(ConnectError, match=sentence):
        await go("connect", "linear", desk, ENV)


async def test_a_wrong_key_is_named_and_not_shown(desk):
    with pytest.raises(ConnectError, match="authenticate") as caught:
        await go("connect", "linear", desk, {"LINEAR_API_TOKEN": "lin_api_wrong"})
    assert "lin_api_wrong" not in str(caught.value)
    assert "LINEAR_API_TOKEN" in str(caught.value)
