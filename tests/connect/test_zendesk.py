"""`connect zendesk` against a double of Zendesk's webhooks and triggers APIs, written after their reference pages."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.sources.base import Connection
from gateway.sources.base import Request as Delivery
from gateway.sources.zendesk import SOURCE
from tests.connect.double import OTHER, PUBLIC, Double, Refusal, empty, go
from workers.connect import zendesk
from workers.connect.base import ConnectError

if TYPE_CHECKING:
    from starlette.requests import Request

URL = f"{PUBLIC}/webhooks/zendesk"
NAME = "planhat-gateway zendesk"
ENV = {"ZENDESK_SUBDOMAIN": "acme", "ZENDESK_API_EMAIL": "admin@acme.example", "ZENDESK_API_TOKEN": "zd-token-5f1c"}
README = (Path(__file__).resolve().parents[2] / "gateway" / "sources" / "README.md").read_text()

WEBHOOK = {
    "name": str, "endpoint": str, "http_method": str, "request_format": str, "status": str, "subscriptions": list,
    "description": str, "authentication": dict, "custom_headers": dict,
}  # fmt: skip
TRIGGER = {"title": str, "active": bool, "conditions": dict, "actions": list, "description": str, "category_id": str}


class Zendesk(Double):
    """`https://acme.zendesk.com/api/v2`: pages of three; a secret only after creation; a kind is for life."""

    unauthorized = (401, {"error": "Couldn't authenticate you"})

    def __init__(self) -> None:
        super().__init__(
            Route("/api/v2/webhooks", self.webhooks, methods=["GET", "POST"]),
            Route("/api/v2/webhooks/test", self.test, methods=["POST"]),
            Route("/api/v2/webhooks/{id}", self.webhook, methods=["PATCH", "DELETE"]),
            Route("/api/v2/webhooks/{id}/signing_secret", self.secret, methods=["GET", "POST"]),
            Route("/api/v2/triggers", self.triggers, methods=["GET", "POST"]),
            Route("/api/v2/triggers/{id}", self.trigger, methods=["PUT", "DELETE"]),
        )
        self.hooks: dict[str, dict[str, Any]] = {}
        self.rules: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, str] = {}
        self.tests: list[dict[str, Any]] = []
        self.test_status: Any = 401

    def known(self, request: Request) -> bool:
        pair = base64.b64encode(b"admin@acme.example/token:zd-token-5f1c").decode()
        return request.headers.get("authorization") == f"Basic {pair}"

    def page(self, request: Request, kind: str, found: list[dict[str, Any]]) -> Response:
        query = self.query(request, "page[size]", "page[after]")
        assert int(query["page[size]"]) <= 100
        at = int(query.get("page[after]", "0"))
        more = at + 3 < len(found)
        meta = {"has_more": more, "after_cursor": str(at + 3) if more else None, "before_cursor": None}
        return JSONResponse({kind: found[at : at + 3], "meta": meta, "links": {"next": "https://elsewhere.example/"}})

    def check(self, hook: dict[str, Any]) -> None:
        events = hook.get("subscriptions", [])
        for_triggers = events == ["conditional_ticket_events"]
        good = for_triggers or all(event.startswith("zen:event-type:ticket.") for event in events)
        if not good or (not for_triggers and (hook["http_method"], hook["request_format"]) != ("POST", "json")):
            raise Refusal(400, {"errors": [{"code": "InvalidSubscription", "title": "unknown subscription"}]})

    async def webhooks(self, request: Request) -> Response:
        if request.method == "GET":
            return self.page(request, "webhooks", list(self.hooks.values()))
        needed = {"name", "endpoint", "http_method", "request_format", "status"}
        hook = await self.body(request, WEBHOOK, needed, "webhook")
        self.check(hook)
        return JSONResponse({"webhook": self.add(**hook)}, 201)

    def add(self, **hook: Any) -> dict[str, Any]:
        ident = f"01HOOK{self.id()}"
        self.hooks[ident] = {"id": ident, "created_by": "9001", **hook}
        self.secrets[ident] = f"{ident}-signing-secret-of-zendesk=="
        return self.hooks[ident]

    async def webhook(self, request: Request) -> Response:
        ident = request.path_params["id"]
        if request.method == "DELETE":
            self.enter(request)
            if any(rule["actions"][0]["value"][0] == ident for rule in self.rules.values()):
                raise Refusal(400, {"errors": [{"title": "webhook is connected to a trigger"}]})
            return empty() if self.hooks.pop(ident, None) else empty(404)
        change = await self.body(request, WEBHOOK, set(), "webhook")
        now = {**self.hooks[ident], **change}
        self.check(now)
        kinds = [one["subscriptions"] == ["conditional_ticket_events"] for one in (self.hooks[ident], now)]
        if kinds[0] != kinds[1]:
            raise Refusal(400, {"errors": [{"title": "the kind of a webhook cannot be changed"}]})
        self.hooks[ident] = now
        return empty()

    async def secret(self, request: Request) -> Response:
        self.enter(request)
        ident = request.path_params["id"]
        if request.method == "POST":
            self.secrets[ident] = f"{ident}-another-secret-{self.id()}=="
        return JSONResponse({"signing_secret": {"algorithm": "SHA256", "secret": self.secrets[ident]}})

    async def test(self, request: Request) -> Response:
        fields = {"endpoint": str, "http_method": str, "request_format": str, "payload": str}
        asked = await self.body(request, fields, {"endpoint"}, "request")
        assert request.query_params["webhook_id"] in self.hooks
        self.tests.append(asked)
        return JSONResponse({"response": {"status": self.test_status, "headers": [], "payload": ""}})

    async def triggers(self, request: Request) -> Response:
        if request.method == "GET":
            return self.page(request, "triggers", list(self.rules.values()))
        rule = await self.body(request, TRIGGER, {"title", "conditions", "actions"}, "trigger")
        return JSONResponse({"trigger": self.rule(**rule)}, 201)

    def rule(self, **rule: Any) -> dict[str, Any]:
        ident = self.id()
        for action in rule["actions"]:
            assert action["field"] == "notification_webhook" and action["value"][0] in self.hooks
            assert isinstance(json.loads(action["value"][1]), dict)
        self.rules[str(ident)] = {"id": ident, "position": 10, "default": False, **rule}
        return self.rules[str(ident)]

    async def trigger(self, request: Request) -> Response:
        ident = request.path_params["id"]
        if request.method == "DELETE":
            self.enter(request)
            return empty() if self.rules.pop(ident, None) else empty(404)
        self.rules[ident] |= await self.body(request, TRIGGER, set(), "trigger")
        return JSONResponse({"trigger": self.rules[ident]})


@pytest.fixture
def desk() -> Zendesk:
    return Zendesk()


def hand_made(desk: Zendesk, endpoint: str = URL, name: str = "Somebody's", events: Any = None) -> dict[str, Any]:
    return desk.add(
        name=name, endpoint=endpoint, http_method="POST", request_format="json", status="active",
        subscriptions=events or ["zen:event-type:ticket.created"],
    )  # fmt: skip


async def test_it_makes_a_webhook_for_every_ticket_event_and_fetches_the_secret(desk):
    said = await go("connect", "zendesk", desk, ENV)
    (hook,) = desk.hooks.values()
    assert said["outcome"] == "created"
    assert (hook["name"], hook["endpoint"], hook["status"]) == (NAME, URL, "active")
    assert len(hook["subscriptions"]) == len(set(hook["subscriptions"])) == 37
    assert said["settings"] == {"ZENDESK_WEBHOOK_SECRET": desk.secrets[hook["id"]]}
    assert SOURCE.check_secret(said["settings"]["ZENDESK_WEBHOOK_SECRET"], "signature") is None
    assert desk.rules == {}


async def test_every_event_that_it_subscribes_to_stands_in_the_documents():
    section = README.split("### Zendesk events")[1].split("### Triggers")[0]
    told = set(re.findall(r"`([a-z_]+)`", section.split("| group |")[1].split("\n\n")[0]))
    assert {event.removeprefix("zen:event-type:ticket.") for event in zendesk.EVENTS} == told


async def test_the_documents_show_the_bodies_that_it_gives_to_triggers():
    blocks = [
        json.loads(block) for block in re.findall(r"```json\n(.*?)```", README.split("## Freshdesk")[0], re.DOTALL)
    ]
    assert blocks == [zendesk.THIN, zendesk.FULL]


async def test_a_second_time_changes_nothing(desk):
    first = await go("connect", "zendesk", desk, ENV)
    before = json.dumps([desk.hooks, desk.rules])
    desk.seen.clear()
    said = await go("connect", "zendesk", desk, {**ENV, **first["settings"]})
    assert said["outcome"] == "unchanged"
    assert said["settings"] == {}
    assert json.dumps([desk.hooks, desk.rules]) == before
    assert desk.writes == [("POST", "/api/v2/webhooks/test")]


async def test_a_second_time_without_the_setting_tells_the_secret_again(desk):
    first = await go("connect", "zendesk", desk, ENV)
    again = await go("connect", "zendesk", desk, ENV)
    assert again["settings"] == first["settings"] != {}


async def test_what_was_changed_by_hand_is_mended(desk):
    await go("connect", "zendesk", desk, ENV)
    (hook,) = desk.hooks.values()
    hook["subscriptions"] = hook["subscriptions"][:3]
    hook["status"] = "inactive"
    said = await go("connect", "zendesk", desk, ENV)
    assert said["outcome"] == "updated"
    (hook,) = desk.hooks.values()
    assert set(hook["subscriptions"]) == set(zendesk.EVENTS) and hook["status"] == "active"


async def test_ours_is_found_on_a_later_page(desk):
    for number in range(7):
        hand_made(desk, f"https://other.example/{number}")
    first = await go("connect", "zendesk", desk, ENV)
    said = await go("connect", "zendesk", desk, {**ENV, **first["settings"]})
    assert (said["outcome"], len(desk.hooks)) == ("unchanged", 8)


async def test_triggers_are_made_with_the_thin_body_and_left_alone_the_second_time(desk):
    first = await go("connect", "zendesk", desk, ENV, triggers=True)
    (hook,) = desk.hooks.values()
    assert hook["subscriptions"] == ["conditional_ticket_events"]
    rules = {rule["title"]: rule for rule in desk.rules.values()}
    assert rules.keys() == {f"{NAME}: ticket created", f"{NAME}: ticket updated"}
    rule = rules[f"{NAME}: ticket updated"]
    assert rule["conditions"] == {"all": [{"field": "update_type", "operator": "is", "value": "Change"}], "any": []}
    assert json.loads(rule["actions"][0]["value"][1]) == zendesk.THIN
    desk.seen.clear()
    said = await go("connect", "zendesk", desk, {**ENV, **first["settings"]}, triggers=True)
    assert said["outcome"] == "unchanged" and desk.writes == [("POST", "/api/v2/webhooks/test")]


async def test_a_trigger_that_was_taken_away_or_changed_is_mended(desk):
    await go("connect", "zendesk", desk, ENV, triggers=True)
    gone, changed = list(desk.rules)
    del desk.rules[gone]
    desk.rules[changed]["active"] = False
    said = await go("connect", "zendesk", desk, ENV, triggers=True, full=True)
    assert said["outcome"] == "updated"
    assert len(desk.rules) == 2 and all(rule["active"] for rule in desk.rules.values())
    assert [json.loads(rule["actions"][0]["value"][1]) for rule in desk.rules.values()] == [zendesk.FULL] * 2


@pytest.mark.parametrize("triggers", [True, False])
async def test_the_kind_of_a_webhook_is_for_life(desk, triggers):
    await go("connect", "zendesk", desk, ENV, triggers=triggers)
    desk.seen.clear()
    with pytest.raises(ConnectError, match="disconnect zendesk"):
        await go("connect", "zendesk", desk, ENV, triggers=not triggers)
    assert desk.writes == []


async def test_a_webhook_to_our_url_that_somebody_made_stops_it(desk):
    hand_made(desk)
    with pytest.raises(ConnectError, match=r"Somebody's.*by hand"):
        await go("connect", "zendesk", desk, ENV)
    assert desk.writes == []


async def test_another_gateway_of_ours_is_left_alone(desk):
    await go("connect", "zendesk", desk, ENV, public=OTHER, triggers=True)
    await go("connect", "zendesk", desk, ENV, triggers=True)
    assert (len(desk.hooks), len(desk.rules)) == (2, 4)
    assert (await go("disconnect", "zendesk", desk, ENV))["outcome"] == "deleted"
    assert [hook["endpoint"] for hook in desk.hooks.values()] == [f"{OTHER}/webhooks/zendesk"]
    assert len(desk.rules) == 2


async def test_a_dry_run_writes_nothing_and_shows_no_secret(desk):
    said = await go("connect", "zendesk", desk, ENV, triggers=True, dry_run=True)
    assert [call["method"] for call in said["calls"]] == ["POST", "POST", "POST"]
    assert said["calls"][1]["body"]["trigger"]["actions"][0]["value"][0] == "<id>"
    assert desk.writes == [] and desk.hooks == {}
    await go("connect", "zendesk", desk, ENV)
    next(iter(desk.hooks.values()))["status"] = "inactive"
    desk.seen.clear()
    said = await go("connect", "zendesk", desk, ENV, dry_run=True, new_secret=True)
    assert [call["method"] for call in said["calls"]] == ["PATCH", "POST"]
    said = await go("connect", "zendesk", desk, ENV, dry_run=True)
    assert said["settings"] == {"ZENDESK_WEBHOOK_SECRET": "<secret>"}
    said = await go("disconnect", "zendesk", desk, ENV, dry_run=True)
    assert [call["method"] for call in said["calls"]] == ["DELETE"]
    assert desk.writes == []
    assert not any(secret in json.dumps(said) for secret in (*desk.secrets.values(), ENV["ZENDESK_API_TOKEN"]))


async def test_disconnect_takes_away_what_connect_made_and_nothing_else(desk):
    other = hand_made(desk, "https://other.example/hook", NAME, ["conditional_ticket_events"])
    theirs = desk.rule(
        title=f"{NAME}: ticket created", active=True, conditions={"all": [], "any": []},
        actions=[{"field": "notification_webhook", "value": [other["id"], "{}"]}],
    )  # fmt: skip
    await go("connect", "zendesk", desk, ENV, triggers=True)
    assert (await go("disconnect", "zendesk", desk, ENV))["outcome"] == "deleted"
    assert list(desk.hooks) == [other["id"]] and list(desk.rules.values()) == [theirs]
    desk.seen.clear()
    assert (await go("disconnect", "zendesk", desk, ENV))["outcome"] == "absent"
    assert desk.writes == []


async def test_disconnect_leaves_a_hand_made_webhook_to_our_url(desk):
    hand_made(desk)
    assert (await go("disconnect", "zendesk", desk, ENV))["outcome"] == "absent"
    assert len(desk.hooks) == 1 and desk.writes == []


async def test_disconnect_deletes_nothing_while_somebody_else_s_trigger_uses_the_webhook(desk):
    await go("connect", "zendesk", desk, ENV, triggers=True)
    (hook,) = desk.hooks.values()
    desk.rule(
        title="Tell the pager", active=True, conditions={"all": [], "any": []},
        actions=[{"field": "notification_webhook", "value": [hook["id"], "{}"]}],
    )  # fmt: skip
    desk.seen.clear()
    with pytest.raises(ConnectError, match="Tell the pager"):
        await go("disconnect", "zendesk", desk, ENV)
    assert desk.writes == [] and len(desk.rules) == 3


async def test_a_new_secret_is_asked_of_zendesk(desk):
    first = await go("connect", "zendesk", desk, ENV)
    again = await go("connect", "zendesk", desk, {**ENV, **first["settings"]}, new_secret=True)
    assert again["settings"]["ZENDESK_WEBHOOK_SECRET"] not in ("", first["settings"]["ZENDESK_WEBHOOK_SECRET"])
    assert any("before the old one" in note for note in again["notes"])


@pytest.mark.parametrize(
    "status, sentence",
    [
        (200, "signature was right"),
        (401, "does not have this secret yet"),
        (404, "is not known there"),
        (502, "reachable from the internet"),
        (None, "did not tell"),
    ],
)
async def test_what_our_answer_to_zendesk_s_test_means_is_told(desk, status, sentence):
    desk.test_status = status
    said = await go("connect", "zendesk", desk, ENV)
    assert any(sentence in note for note in said["notes"])


async def test_a_test_that_zendesk_does_not_take_fails_nothing(desk):
    desk.next["POST /api/v2/webhooks/test"] = Refusal(400, {"errors": ["no"]})
    said = await go("connect", "zendesk", desk, ENV)
    assert said["outcome"] == "created" and said["settings"]
    assert any("did not send its test" in note for note in said["notes"])


async def test_the_body_of_the_test_means_nothing_to_the_gateway(desk):
    await go("connect", "zendesk", desk, ENV)
    connection = Connection(name="zendesk", source="zendesk", secrets=("x" * 16,))
    request = Delivery(method="POST", headers=(), query="", body=desk.tests[0]["payload"].encode())
    assert SOURCE.normalize(SOURCE.parse(request), request, connection).ignored


@pytest.mark.parametrize(
    "status, sentence",
    [
        (401, "ZENDESK_API_TOKEN"),
        (403, "administrator"),
        (404, "ZENDESK_SUBDOMAIN"),
        (429, r"wait for 7 s"),
        (500, "answers 500"),
        (302, "redirects"),
    ],
)
async def test_a_refusal_says_what_to_do(desk, status, sentence):
    desk.next["GET /api/v2/webhooks"] = Refusal(
        status, {"error": "x"}, {"retry-after": "7", "location": "https://e.example"}
    )
    with pytest.raises(ConnectError, match=sentence):
        await go("connect", "zendesk", desk, ENV)


async def test_wrong_credentials_are_named_and_not_shown(desk):
    with pytest.raises(ConnectError, match="ZENDESK_API_EMAIL") as caught:
        await go("connect", "zendesk", desk, {**ENV, "ZENDESK_API_TOKEN": "another-token-771"})
    assert "another-token-771" not in str(caught.value)


async def test_what_was_done_before_a_failure_is_told_and_the_next_run_goes_on(desk):
    desk.next["POST /api/v2/triggers"] = Refusal(403, {"error": "Forbidden"})
    with pytest.raises(ConnectError, match="Done before that: create the webhook"):
        await go("connect", "zendesk", desk, ENV, triggers=True)
    await go("connect", "zendesk", desk, ENV, triggers=True)
    assert (len(desk.hooks), len(desk.rules)) == (1, 2)


async def test_an_event_that_the_account_does_not_have_leads_to_triggers(desk):
    desk.next["POST /api/v2/webhooks"] = Refusal(400, {"errors": [{"title": "unknown event ola_policy_changed"}]})
    with pytest.raises(ConnectError, match=r"use --triggers.*ola_policy_changed"):
        await go("connect", "zendesk", desk, ENV)


@pytest.mark.parametrize("status, outcome", [(404, "deleted"), (500, None)])
async def test_what_somebody_deleted_meanwhile_is_fine_and_a_failure_is_not(desk, status, outcome):
    await go("connect", "zendesk", desk, ENV)
    (ident,) = desk.hooks
    desk.next[f"DELETE /api/v2/webhooks/{ident}"] = Refusal(status, {"error": "x"})
    if outcome:
        assert (await go("disconnect", "zendesk", desk, ENV))["outcome"] == outcome
    else:
        with pytest.raises(ConnectError, match="answers 500"):
            await go("disconnect", "zendesk", desk, ENV)
