"""`connect chatwoot` against a double of Chatwoot's webhooks, new and old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.errors import ConfigurationError
from tests.connect.double import OTHER, PUBLIC, Double, Refusal, empty, go
from workers.connect.base import ConnectError

if TYPE_CHECKING:
    from starlette.requests import Request

URL = f"{PUBLIC}/webhooks/chatwoot"
NAME = "planhat-gateway chatwoot"
ENV = {"CHATWOOT_DOMAIN": "chat.tallow.example", "CHATWOOT_API_TOKEN": "cw-token-2", "CHATWOOT_ACCOUNT_ID": "2"}


class Chatwoot(Double):
    """`https://chat.tallow.example/api/v1/accounts/2`; `old`: before names and secrets."""

    unauthorized = (401, {"error": "Invalid Access Token"})

    def __init__(self) -> None:
        path = "/api/v1/accounts/2/webhooks"
        super().__init__(
            Route(path, self.webhooks, methods=["GET", "POST"]),
            Route(path + "/{id:int}", self.webhook, methods=["PATCH", "DELETE"]),
        )
        self.hooks: dict[int, dict[str, Any]] = {}
        self.old = False

    def known(self, request: Request) -> bool:
        return request.headers.get("api_access_token") == "cw-token-2" and "authorization" not in request.headers

    async def webhooks(self, request: Request) -> Response:
        if request.method == "GET":
            self.query(request)
            return JSONResponse({"payload": {"webhooks": list(self.hooks.values())}})
        hook = await self.body(request, {"url": str, "name": str, "subscriptions": list}, {"url"})
        if any(one["url"] == hook["url"] for one in self.hooks.values()):
            raise Refusal(422, {"message": "Url has already been taken"})
        return JSONResponse({"payload": {"webhook": self.add(**hook)}})

    def add(self, **hook: Any) -> dict[str, Any]:
        ident = self.id()
        extra = {} if self.old else {"name": hook.get("name"), "secret": f"made-by-chatwoot-{ident}"}
        self.hooks[ident] = {"id": ident, "account_id": 2, "url": hook["url"], **extra}
        self.hooks[ident]["subscriptions"] = hook.get("subscriptions", [])
        return self.hooks[ident]

    async def webhook(self, request: Request) -> Response:
        ident = request.path_params["id"]
        if request.method == "DELETE":
            self.enter(request)
            return empty(200) if self.hooks.pop(ident, None) else empty(404)
        self.hooks[ident] |= await self.body(request, {"name": str, "subscriptions": list}, set())
        return JSONResponse({"payload": {"webhook": self.hooks[ident]}})


@pytest.fixture
def desk() -> Chatwoot:
    return Chatwoot()


async def test_it_makes_a_webhook_and_reads_the_secret_that_chatwoot_made(desk):
    said = await go("connect", "chatwoot", desk, ENV)
    (hook,) = desk.hooks.values()
    assert (hook["url"], hook["name"], len(hook["subscriptions"])) == (URL, NAME, 4)
    assert said["settings"] == {"CHATWOOT_WEBHOOK_SECRET": hook["secret"]}


async def test_a_second_time_nothing_is_written(desk):
    first = await go("connect", "chatwoot", desk, ENV)
    desk.seen.clear()
    said = await go("connect", "chatwoot", desk, {**ENV, **first["settings"]})
    assert (said["outcome"], said["settings"], desk.writes) == ("unchanged", {}, [])


async def test_missing_subscriptions_are_put_back(desk):
    await go("connect", "chatwoot", desk, ENV)
    (hook,) = desk.hooks.values()
    hook["subscriptions"] = ["message_created"]
    assert (await go("connect", "chatwoot", desk, ENV))["outcome"] == "updated"
    assert len(hook["subscriptions"]) == 4


async def test_disconnect_takes_away_ours_and_nothing_else(desk):
    desk.add(url=f"{OTHER}/webhooks/chatwoot", name=NAME)
    await go("connect", "chatwoot", desk, ENV)
    assert (await go("disconnect", "chatwoot", desk, ENV))["outcome"] == "deleted"
    assert (await go("disconnect", "chatwoot", desk, ENV))["outcome"] == "absent"
    assert [hook["url"] for hook in desk.hooks.values()] == [f"{OTHER}/webhooks/chatwoot"]


@pytest.mark.parametrize("name", ["Hand", None])
async def test_a_webhook_to_our_url_that_somebody_made_is_left_alone(desk, name):
    desk.add(url=URL, name=name)
    with pytest.raises(ConnectError, match="by hand"):
        await go("connect", "chatwoot", desk, ENV)
    assert (await go("disconnect", "chatwoot", desk, ENV))["outcome"] == "absent"
    assert desk.writes == []


async def test_an_old_server_without_names_and_secrets_is_told_of(desk):
    desk.old = True
    said = await go("connect", "chatwoot", desk, ENV)
    assert said["outcome"] == "created" and said["settings"] == {}
    assert "4.11.2" in said["steps"][0]
    assert (await go("connect", "chatwoot", desk, ENV))["outcome"] == "unchanged"
    assert (await go("disconnect", "chatwoot", desk, ENV))["outcome"] == "deleted"


async def test_another_secret_needs_another_webhook(desk):
    with pytest.raises(ConnectError, match="disconnect"):
        await go("connect", "chatwoot", desk, ENV, new_secret=True)
    assert desk.seen == []


async def test_a_dry_run_writes_nothing(desk):
    said = await go("connect", "chatwoot", desk, ENV, dry_run=True)
    assert [call["url"] for call in said["calls"]] == ["https://chat.tallow.example/api/v1/accounts/2/webhooks"]
    assert desk.writes == []


@pytest.mark.parametrize("account", ["", "two", "2/../3"])
async def test_the_account_is_a_number(desk, account):
    with pytest.raises(ConfigurationError, match="CHATWOOT_ACCOUNT_ID"):
        await go("connect", "chatwoot", desk, {**ENV, "CHATWOOT_ACCOUNT_ID": account})


async def test_a_wrong_token_is_named(desk):
    with pytest.raises(ConnectError, match="CHATWOOT_API_TOKEN"):
        await go("connect", "chatwoot", desk, {**ENV, "CHATWOOT_API_TOKEN": "wrong"})
