"""`connect zammad` against a double of Zammad's webhook and trigger APIs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.errors import ConfigurationError
from tests.connect.double import MADE, PUBLIC, Double, Refusal, go
from workers.connect.base import ConnectError

if TYPE_CHECKING:
    from starlette.requests import Request

URL = f"{PUBLIC}/webhooks/zammad"
NAME = "planhat-gateway zammad"
ENV = {"ZAMMAD_DOMAIN": "desk.tallow.example", "ZAMMAD_API_TOKEN": "zammad-token-1"}
SECRET = "the-secret-that-is-stored"
STORED = {**ENV, "ZAMMAD_WEBHOOK_SECRET": SECRET}

WEBHOOK = {
    "name": str, "endpoint": str, "http_method": str, "signature_token": str, "ssl_verify": bool,
    "customized_payload": bool, "note": str, "active": bool,
}  # fmt: skip
TRIGGER = {
    "name": str, "condition": dict, "perform": dict, "disable_notification": bool, "activator": str,
    "execution_condition_mode": str, "active": bool, "note": str,
}  # fmt: skip


class Zammad(Double):
    """`https://desk.tallow.example/api/v1`: stars for tokens; a webhook that something uses is not deleted."""

    unauthorized = (401, {"error": "Authentication required"})

    def __init__(self) -> None:
        super().__init__(
            *(
                Route(f"/api/v1/{kind}{tail}", getattr(self, kind), methods=methods)
                for kind in ("webhooks", "triggers")
                for tail, methods in (("", ["GET", "POST"]), ("/{id:int}", ["PUT", "DELETE"]))
            )
        )
        self.rows: dict[str, dict[int, dict[str, Any]]] = {"webhooks": {}, "triggers": {}}
        self.tokens: dict[int, str] = {}
        self.pages = True

    def known(self, request: Request) -> bool:
        return request.headers.get("authorization") == "Token token=zammad-token-1"

    def listed(self, request: Request, kind: str) -> Response:
        query = self.query(request, "page", "per_page")
        found = list(self.rows[kind].values())
        at, size = (int(query["page"]) - 1) * int(query["per_page"]), int(query["per_page"])
        return JSONResponse(found[at : at + size] if self.pages else found)

    async def webhooks(self, request: Request) -> Response:
        rows, ident = self.rows["webhooks"], request.path_params.get("id", 0)
        if request.method == "GET":
            return self.listed(request, "webhooks")
        if request.method == "DELETE":
            self.enter(request)
            if any(self.used(rule) == ident for rule in self.rows["triggers"].values()):
                raise Refusal(422, {"error": "Cannot delete! This object is referenced by Trigger"})
            return JSONResponse({}) if rows.pop(ident, None) else JSONResponse({"error": "not found"}, 404)
        hook = await self.body(request, WEBHOOK, {"name", "endpoint"})
        ident = ident or self.id()
        if "signature_token" in hook:
            self.tokens[ident] = hook["signature_token"]
        rows[ident] = {"id": ident, "preferences": {}, **rows.get(ident, {}), **hook, "signature_token": "**********"}
        return JSONResponse(rows[ident], 201 if request.method == "POST" else 200)

    @staticmethod
    def used(rule: dict[str, Any]) -> Any:
        return rule["perform"].get("notification.webhook", {}).get("webhook_id")

    async def triggers(self, request: Request) -> Response:
        rows, ident = self.rows["triggers"], request.path_params.get("id", 0)
        if request.method == "GET":
            return self.listed(request, "triggers")
        if request.method == "DELETE":
            self.enter(request)
            return JSONResponse({}) if rows.pop(ident, None) else JSONResponse({"error": "not found"}, 404)
        rule = await self.body(request, TRIGGER, {"name", "condition", "perform"})
        assert self.used(rule) in self.rows["webhooks"]
        ident = ident or self.id()
        rows[ident] = {"id": ident, "localization": None, **rows.get(ident, {}), **rule}
        return JSONResponse(rows[ident], 201 if request.method == "POST" else 200)

    def add(self, kind: str, **row: Any) -> int:
        ident = self.id()
        self.rows[kind][ident] = {"id": ident, **row}
        return ident


@pytest.fixture
def desk() -> Zammad:
    return Zammad()


async def test_it_makes_webhook_and_both_triggers(desk):
    said = await go("connect", "zammad", desk, ENV)
    ((ident, hook),) = desk.rows["webhooks"].items()
    assert (hook["name"], hook["endpoint"], hook["ssl_verify"], hook["active"]) == (NAME, URL, True, True)
    assert said["settings"] == {"ZAMMAD_WEBHOOK_SECRET": desk.tokens[ident]} and len(desk.tokens[ident]) == MADE
    rules = {rule["name"]: rule for rule in desk.rows["triggers"].values()}
    assert {name: rule["condition"]["ticket.action"]["value"] for name, rule in rules.items()} == {
        f"{NAME}: ticket created": "create",
        f"{NAME}: ticket updated": "update",
    }
    assert {desk.used(rule) for rule in rules.values()} == {ident}
    assert desk.tokens[ident] not in json.dumps(said["calls"])


async def test_a_second_time_nothing_is_written(desk):
    await go("connect", "zammad", desk, ENV)
    desk.seen.clear()
    said = await go("connect", "zammad", desk, ENV)
    assert said["outcome"] == "unchanged" and said["settings"] == {} and desk.writes == []


async def test_the_stored_secret_is_given_to_zammad_and_what_was_changed_is_mended(desk):
    await go("connect", "zammad", desk, ENV)
    first, second = desk.rows["triggers"]
    del desk.rows["triggers"][first]
    desk.rows["triggers"][second]["active"] = False
    await go("connect", "zammad", desk, STORED)
    assert set(desk.tokens.values()) == {SECRET}
    assert len(desk.rows["triggers"]) == 2 and all(rule["active"] for rule in desk.rows["triggers"].values())


@pytest.mark.parametrize("pages", [True, False])
async def test_ours_is_found_among_many_whether_the_server_knows_pages_or_not(desk, pages):
    desk.pages = pages
    for number in range(101):
        desk.add("webhooks", name="x", endpoint=f"https://other.example/{number}")
    await go("connect", "zammad", desk, ENV)
    assert (await go("connect", "zammad", desk, ENV))["outcome"] == "unchanged"
    assert len(desk.rows["webhooks"]) == 102


async def test_disconnect_takes_away_ours_and_nothing_else(desk):
    other = desk.add("webhooks", name=NAME, endpoint="https://other.example/")
    desk.add("triggers", name=f"{NAME}: ticket created", perform={"notification.webhook": {"webhook_id": other}})
    desk.add("triggers", name="mail", perform={"notification.email": {"body": "x"}})
    await go("connect", "zammad", desk, ENV)
    assert (await go("disconnect", "zammad", desk, ENV))["outcome"] == "deleted"
    assert (await go("disconnect", "zammad", desk, ENV))["outcome"] == "absent"
    assert (len(desk.rows["webhooks"]), len(desk.rows["triggers"])) == (1, 2)


async def test_disconnect_deletes_nothing_while_somebody_else_s_trigger_uses_the_webhook(desk):
    await go("connect", "zammad", desk, ENV)
    (ident,) = desk.rows["webhooks"]
    desk.add("triggers", name="Theirs", perform={"notification.webhook": {"webhook_id": str(ident)}})
    desk.seen.clear()
    with pytest.raises(ConnectError, match="Theirs"):
        await go("disconnect", "zammad", desk, ENV)
    assert desk.writes == []


async def test_a_webhook_to_our_url_that_somebody_made_is_left_alone(desk):
    desk.add("webhooks", name="Hand", endpoint=URL)
    with pytest.raises(ConnectError, match=r"Hand.*by hand"):
        await go("connect", "zammad", desk, ENV)
    assert (await go("disconnect", "zammad", desk, ENV))["outcome"] == "absent"
    assert desk.writes == []


async def test_a_dry_run_writes_nothing_and_shows_no_secret(desk):
    said = await go("connect", "zammad", desk, STORED, dry_run=True)
    assert [call["method"] for call in said["calls"]] == ["POST", "POST", "POST"]
    assert said["calls"][0]["url"] == "https://desk.tallow.example/api/v1/webhooks"
    assert desk.writes == [] and SECRET not in json.dumps(said)


@pytest.mark.parametrize("status, sentence", [(403, "admin.webhook"), (404, "ZAMMAD_DOMAIN"), (401, "token access")])
async def test_a_refusal_says_what_to_do(desk, status, sentence):
    desk.next["GET /api/v1/webhooks"] = Refusal(status, {"error": "no"})
    with pytest.raises(ConnectError, match=sentence):
        await go("connect", "zammad", desk, ENV)


@pytest.mark.parametrize(
    "more, sentence",
    [
        ({"ZAMMAD_DOMAIN": ""}, "ZAMMAD_DOMAIN"),
        ({"ZAMMAD_API_URL": "http://desk.tallow.example"}, "https://"),
        ({"ZAMMAD_API_URL": "https://user@desk.example"}, "https://"),
        ({"ZAMMAD_API_TOKEN": "two words"}, "ZAMMAD_API_TOKEN"),
    ],
)
async def test_a_token_goes_only_to_an_address_that_is_named_and_safe(desk, more, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        await go("connect", "zammad", desk, {**ENV, **more})
    assert desk.seen == []
