"""`connect github` against a double of the webhook endpoints of repositories and organizations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.errors import ConfigurationError
from tests.connect.double import MADE, PUBLIC, Double, Refusal, empty, go
from workers.connect.base import ConnectError

if TYPE_CHECKING:
    from starlette.requests import Request

URL = f"{PUBLIC}/webhooks/github"
ENV = {"GITHUB_API_TOKEN": "ghp_token4417", "GITHUB_ACCOUNT_ID": "tallow-mill/press"}
SECRET = "the-secret-that-is-stored"
STORED = {**ENV, "GITHUB_WEBHOOK_SECRET": f"{SECRET},an-older-secret-of-us"}
CONFIG = {"url", "content_type", "secret", "insecure_ssl"}


class GitHub(Double):
    """`https://api.github.com`: shows stars for a secret, and drops it when a change does not give it again."""

    unauthorized = (401, {"message": "Bad credentials"})

    def __init__(self) -> None:
        super().__init__(
            Route("/repos/{owner}/{repo}/hooks", self.hooks_of, methods=["GET", "POST"]),
            Route("/orgs/{owner}/hooks", self.hooks_of, methods=["GET", "POST"]),
            Route("/repos/{owner}/{repo}/hooks/{id}", self.hook, methods=["PATCH", "DELETE"]),
            Route("/orgs/{owner}/hooks/{id}", self.hook, methods=["PATCH", "DELETE"]),
            Route("/repos/{owner}/{repo}/hooks/{id}/config", self.config, methods=["PATCH"]),
        )
        self.hooks: dict[str, dict[str, Any]] = {}

    def known(self, request: Request) -> bool:
        assert request.headers["accept"] == "application/vnd.github+json"
        assert request.headers["x-github-api-version"] == "2022-11-28"
        return request.headers.get("authorization") == "Bearer ghp_token4417"

    def shown(self, hook: dict[str, Any]) -> dict[str, Any]:
        config = {**hook["config"], **({"secret": "********"} if "secret" in hook["config"] else {})}
        return {**hook, "config": config}

    def checked(self, config: dict[str, Any]) -> dict[str, Any]:
        if config.keys() - CONFIG or config.get("content_type") not in ("json", "form"):
            raise Refusal(422, {"message": "Validation Failed"})
        return config

    async def hooks_of(self, request: Request) -> Response:
        if request.method == "GET":
            query = self.query(request, "per_page", "page")
            size, page = int(query["per_page"]), int(query["page"])
            assert size <= 100
            found = list(self.hooks.values())[(page - 1) * size : page * size]
            return JSONResponse([self.shown(hook) for hook in found])
        fields = {"name": str, "active": bool, "events": list, "config": dict}
        hook = await self.body(request, fields, {"config"})
        assert hook["name"] == "web"
        self.checked(hook["config"])
        return JSONResponse(self.shown(self.add(**hook)), 201)

    def add(self, **hook: Any) -> dict[str, Any]:
        ident = self.id()
        self.hooks[str(ident)] = {"id": ident, "type": "Repository", **hook}
        return self.hooks[str(ident)]

    async def hook(self, request: Request) -> Response:
        ident = request.path_params["id"]
        if request.method == "DELETE":
            self.enter(request)
            return empty() if self.hooks.pop(ident, None) else empty(404)
        change = await self.body(request, {"active": bool, "events": list, "config": dict}, set())
        if "secret" not in change.get("config", {}):
            self.hooks[ident]["config"].pop("secret", None)
        self.hooks[ident] |= change
        return JSONResponse(self.shown(self.hooks[ident]))

    async def config(self, request: Request) -> Response:
        change = await self.body(request, dict.fromkeys(CONFIG, str), set())
        config = self.hooks[request.path_params["id"]]["config"]
        config |= self.checked({**config, **change})
        return JSONResponse(config)


@pytest.fixture
def desk() -> GitHub:
    return GitHub()


def foreign(desk: GitHub, url: str) -> None:
    desk.add(name="web", active=True, events=["push"], config={"url": url, "content_type": "json", "insecure_ssl": "0"})


async def test_it_makes_a_webhook_for_issues_with_a_secret_of_256_bits(desk):
    said = await go("connect", "github", desk, ENV)
    (hook,) = desk.hooks.values()
    secret = said["settings"]["GITHUB_WEBHOOK_SECRET"]
    assert len(secret) == MADE
    assert hook["config"] == {"url": URL, "content_type": "json", "insecure_ssl": "0", "secret": secret}
    assert hook["events"] == ["issues", "issue_comment"] and hook["active"] is True
    assert secret not in json.dumps(said["calls"])


async def test_a_secret_that_is_stored_already_is_given_to_github(desk):
    said = await go("connect", "github", desk, STORED)
    (hook,) = desk.hooks.values()
    assert hook["config"]["secret"] == SECRET
    assert said["settings"] == {}


async def test_a_second_time_the_webhook_is_as_it_was(desk):
    await go("connect", "github", desk, STORED)
    before = json.dumps(desk.hooks)
    await go("connect", "github", desk, STORED)
    assert json.dumps(desk.hooks) == before


async def test_a_second_time_without_the_setting_nothing_is_written_and_the_secret_stays(desk):
    await go("connect", "github", desk, ENV)
    desk.seen.clear()
    said = await go("connect", "github", desk, ENV)
    assert said["outcome"] == "unchanged" and said["settings"] == {} and desk.writes == []
    assert any("--new-secret" in note for note in said["notes"])


async def test_a_new_secret_replaces_the_old_one(desk):
    await go("connect", "github", desk, STORED)
    said = await go("connect", "github", desk, STORED, new_secret=True)
    (hook,) = desk.hooks.values()
    assert said["outcome"] == "updated"
    assert hook["config"]["secret"] == said["settings"]["GITHUB_WEBHOOK_SECRET"] != SECRET


async def test_missing_events_are_put_back_only_together_with_the_secret(desk):
    await go("connect", "github", desk, STORED)
    (hook,) = desk.hooks.values()
    hook["events"] = ["issues"]
    desk.seen.clear()
    with pytest.raises(ConnectError, match="drops its secret"):
        await go("connect", "github", desk, ENV)
    assert desk.writes == []
    await go("connect", "github", desk, STORED)
    (hook,) = desk.hooks.values()
    assert hook["events"] == ["issues", "issue_comment"] and hook["config"]["secret"] == SECRET


async def test_a_configuration_that_was_changed_is_mended_and_keeps_its_secret(desk):
    await go("connect", "github", desk, STORED)
    (hook,) = desk.hooks.values()
    hook["config"]["content_type"] = "form"
    said = await go("connect", "github", desk, ENV)
    assert said["outcome"] == "updated"
    assert (hook["config"]["content_type"], hook["config"]["secret"]) == ("json", SECRET)


async def test_an_organization_has_webhooks_of_its_own(desk):
    await go("connect", "github", desk, {**ENV, "GITHUB_ACCOUNT_ID": "tallow-mill"})
    assert ("POST", "/orgs/tallow-mill/hooks") in desk.writes


async def test_ours_is_found_behind_a_hundred_others_and_only_ours_is_deleted(desk):
    for number in range(100):
        foreign(desk, f"https://other.example/{number}")
    await go("connect", "github", desk, ENV)
    assert (await go("connect", "github", desk, ENV))["outcome"] == "unchanged"
    assert (await go("disconnect", "github", desk, ENV))["outcome"] == "deleted"
    assert len(desk.hooks) == 100
    desk.seen.clear()
    assert (await go("disconnect", "github", desk, ENV))["outcome"] == "absent"
    assert desk.writes == []


async def test_a_dry_run_writes_nothing_and_shows_no_secret(desk):
    said = await go("connect", "github", desk, STORED, dry_run=True)
    (call,) = said["calls"]
    assert (call["method"], call["url"]) == ("POST", "https://api.github.com/repos/tallow-mill/press/hooks")
    assert call["body"]["config"]["secret"] == "<secret>"
    said = await go("connect", "github", desk, ENV, dry_run=True)
    assert said["settings"] == {"GITHUB_WEBHOOK_SECRET": "<secret>"}
    assert desk.writes == []


@pytest.mark.parametrize("account", ["", "4711", "a/b/c", "owner/..", "owner/re po", "-x/y"])
async def test_an_account_that_is_no_repository_and_no_organization_is_refused(desk, account):
    with pytest.raises(ConfigurationError, match="GITHUB_ACCOUNT_ID"):
        await go("connect", "github", desk, {**ENV, "GITHUB_ACCOUNT_ID": account})
    assert desk.seen == []


@pytest.mark.parametrize("status, sentence", [(403, "admin:repo_hook"), (404, "misspelt"), (422, "20 webhooks")])
async def test_a_refusal_says_what_to_do(desk, status, sentence):
    path = "/repos/tallow-mill/press/hooks"
    desk.next[f"{'POST' if status == 422 else 'GET'} {path}"] = Refusal(status, {"message": "no"})
    with pytest.raises(ConnectError, match=sentence):
        await go("connect", "github", desk, ENV)


async def test_a_wrong_token_is_named_and_not_shown(desk):
    with pytest.raises(ConnectError, match="GITHUB_API_TOKEN") as caught:
        await go("connect", "github", desk, {**ENV, "GITHUB_API_TOKEN": "ghp_other9"})
    assert "ghp_other9" not in str(caught.value)
