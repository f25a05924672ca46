"""The double of Planhat's ticket API behaves as the official pages say, and misbehaves on request, repeatably."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from workers.planhat.sandbox import MAX_BODY_BYTES, SandboxConfig, create_sandbox
from workers.planhat.sandbox_faults import FAULTS, Faults, check_rates
from workers.planhat.sandbox_tickets import iso, time_bucket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

TOKEN = "token-of-the-double"
ROOT = Path(__file__).parents[2]
HEADERS = {"authorization": f"Bearer {TOKEN}"}
NO_CALLS = {"calls": 0, "tickets": 0, "puts_in_flight": 0, "writes_to_land": 0}
READ_SHAPE = {
    *("_id", "externalId", "type", "subType", "subject", "snippet", "createDate", "updateDate", "date", "inDate"),
    *("days", "timeBucket", "companyId", "companyName", "endusers", "custom", "starred", "pinned", "activityTags"),
    *("emailTemplateIds", "isOpen", "tags", "waitsToBeFiltered", "archived", "users", "sender", "source", "email"),
    *("status", "history", "url"),
}


def ticket(number: int, **fields: Any) -> dict[str, Any]:
    base = {"sourceId": f"desk:{number}", "email": f"person{number}@lumen.example", "domains": ["lumen.example"]}
    return {**base, "title": f"Ticket {number}", "status": "open", **fields}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = 1_790_000_000.0

    def __call__(self) -> float:
        return self.at


@asynccontextmanager
async def sandbox(**config: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Run a sandbox in process and give a client that holds its token."""
    app = create_sandbox(SandboxConfig(token=TOKEN, **config))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://planhat", headers=HEADERS) as client:
        yield client
    app.state.sandbox.close()


async def put(client: httpx.AsyncClient, *items: Any) -> httpx.Response:
    return await client.put("/tickets", json=list(items))


async def get(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200
    return answer.json()


async def stored(client: httpx.AsyncClient) -> dict[str, Any]:
    tickets = (await get(client, "/_sandbox/state"))["tickets"]
    assert isinstance(tickets, dict)
    return tickets


# ------------------------------------------------------------------------------------------------------------- upsert


async def test_an_upsert_creates_then_updates_and_answers_only_the_two_counts():
    async with sandbox() as client:
        first = await put(client, ticket(1), ticket(2))
        assert (first.status_code, first.json()) == (200, {"created": 2, "updated": 0})
        second = await put(client, ticket(2, status="closed"), ticket(3))
        assert second.json() == {"created": 1, "updated": 1}
        assert (await stored(client))["desk:2"] == ticket(2, status="closed")


async def test_a_single_object_counts_as_a_batch_of_one():
    async with sandbox() as client:
        assert (await client.put("/tickets", json=ticket(1))).json() == {"created": 1, "updated": 0}


async def test_an_empty_batch_is_fine():
    async with sandbox() as client:
        assert (await put(client)).json() == {"created": 0, "updated": 0}


async def test_omitted_fields_stay_and_arrays_are_replaced_whole():
    async with sandbox() as client:
        history = [{"status": "new", "time": "2026-11-02T08:15:00.000Z"}]
        await put(client, ticket(1, tags=["a", "b"], history=history, description="text"))
        later = [{"status": "open", "time": "2026-11-03T08:15:00Z"}]
        update = {"sourceId": "desk:1", "email": "person1@lumen.example", "tags": ["c"], "history": later, "title": ""}
        assert (await put(client, update)).json() == {"created": 0, "updated": 1}
        assert (await stored(client))["desk:1"] == ticket(
            1, tags=["c"], history=later, description="text", title="", status="open"
        )


async def test_history_is_appended_when_the_switch_says_so():
    async with sandbox(history="append") as client:
        first = {"status": "new", "time": "2026-11-02T08:15:00.000Z"}
        second = {"status": "open", "time": "2026-11-03T08:15:00.000Z"}
        await put(client, ticket(1, history=[first]))
        await put(client, ticket(1, history=[first, second]))
        assert (await stored(client))["desk:1"]["history"] == [first, first, second]


async def test_an_item_without_email_is_dropped_without_a_word():
    async with sandbox(answers="full") as client:
        nameless = [{k: v for k, v in ticket(2).items() if k != "email"}, ticket(3, email=None), ticket(4, email=" ")]
        answer = await put(client, ticket(1), *nameless)
        body = answer.json()
        assert answer.status_code == 200
        assert (body["created"], body["createdErrors"], body["updatedErrors"], body["nonupdates"]) == (1, [], [], 0)
        assert list(await stored(client)) == ["desk:1"]
        assert (await get(client, "/_sandbox/stats"))["counts"]["items:dropped"] == 3


@pytest.mark.parametrize(
    "company",
    [{"domains": ["lumen.example"]}, {"companyExternalId": "acct-1"}, {"companyId": "64b0c0ffee64b0c0ffee64b0"}],
)
async def test_each_company_key_alone_suffices_to_create(company):
    async with sandbox() as client:
        item = {"sourceId": "desk:1", "email": "a@b.example", **company}
        assert (await put(client, item)).json() == {"created": 1, "updated": 0}


@pytest.mark.parametrize(
    "item, words",
    [
        ({"email": "a@b.example", "domains": ["b.example"]}, "sourceId is required"),
        ({"sourceId": "desk:1", "email": "a@b.example"}, "domains, companyExternalId or companyId is required"),
        ({"sourceId": "desk:1", "email": "a@b.example", "domains": []}, "domains, companyExternalId or companyId is"),
        (ticket(1, companyId="not-an-object-id"), "Cast to ObjectId failed"),
        (ticket(1, tags="one"), "Cast failed at path tags"),
        (ticket(1, timeSpent=1.5), "Cast failed at path timeSpent"),
        (ticket(1, timeSpent=True), "Cast failed at path timeSpent"),
        (ticket(1, history=[{"status": "new", "time": "yesterday"}]), "Cast failed at path history"),
        (ticket(1, history=["new"]), "Cast failed at path history"),
        (ticket(1, status=3), "Cast failed at path status"),
        (ticket(1, custom=[]), "Cast failed at path custom"),
        (ticket(1, email=5), "Cast failed at path email"),
        (ticket(1, sourceId=119), "Cast failed at path sourceId"),
        ("text", "an item must be an object"),
    ],
)
async def test_an_item_that_cannot_be_created_is_refused_with_an_entry(item, words):
    async with sandbox() as client:
        answer = await put(client, item)
        assert answer.status_code == 400
        assert answer.json()["createdErrors"][0]["message"].startswith(words)
        assert await stored(client) == {}


async def test_one_bad_item_among_good_ones_makes_a_206():
    async with sandbox() as client:
        await put(client, ticket(1))
        answer = await put(client, ticket(1, tags=[1]), ticket(2), {"sourceId": "desk:3", "email": "a@b.example"})
        body = answer.json()
        assert answer.status_code == 206
        assert (body["created"], body["updated"]) == (1, 0)
        assert body["updatedErrors"][0]["sourceId"] == "desk:1"
        assert body["createdErrors"][0]["sourceId"] == "desk:3"
        assert sorted(await stored(client)) == ["desk:1", "desk:2"]


async def test_plain_entries_name_no_item():
    async with sandbox(entries="plain") as client:
        body = (await put(client, ticket(1), {"sourceId": "desk:3", "email": "a@b.example"})).json()
        assert body["createdErrors"] == ["domains, companyExternalId or companyId is required"]


async def test_the_same_key_twice_in_a_batch_refuses_the_whole_batch():
    async with sandbox() as client:
        answer = await put(client, ticket(1), ticket(2), ticket(1, status="closed"))
        assert answer.status_code == 400
        assert answer.json()["createdErrors"] == [{"sourceId": "desk:1", "message": "sourceId duplicated"}]
        assert await stored(client) == {}
        await put(client, ticket(1))
        again = await put(client, ticket(1), ticket(1))
        assert again.json()["updatedErrors"][0]["message"] == "sourceId duplicated"


async def test_the_full_answer_carries_ids_errors_and_nonupdates():
    async with sandbox(answers="full") as client:
        await put(client, ticket(1), ticket(2))
        ids = (await get(client, "/_sandbox/state"))["ids"]
        answer = await put(client, ticket(1), ticket(2, status="closed"), ticket(3), {"sourceId": "x", "email": "e@e"})
        ids_now = (await get(client, "/_sandbox/state"))["ids"]
        assert answer.status_code == 206
        assert answer.json() == {
            "created": 1,
            "createdErrors": [{"sourceId": "x", "message": "domains, companyExternalId or companyId is required"}],
            "insertsKeys": [{"_id": ids_now["desk:3"], "sourceId": "desk:3"}],
            "updated": 1,
            "updatedErrors": [],
            "updatesKeys": [{"_id": ids["desk:2"], "sourceId": "desk:2"}],
            "nonupdates": 1,
            "modified": [ids["desk:2"]],
            "upsertedIds": [ids_now["desk:3"]],
            "permissionErrors": [],
        }


@pytest.mark.parametrize("unchanged, updated", [("counted", 1), ("uncounted", 0)])
async def test_the_minimal_answer_counts_an_unchanged_item_as_the_switch_says(unchanged, updated):
    async with sandbox(unchanged=unchanged) as client:
        await put(client, ticket(1))
        assert (await put(client, ticket(1))).json() == {"created": 0, "updated": updated}


async def test_the_planhat_id_beats_the_source_id_and_may_change_it():
    async with sandbox() as client:
        await put(client, ticket(1), ticket(2))
        planhat_id = (await get(client, "/_sandbox/state"))["ids"]["desk:1"]
        moved = await put(client, ticket(9, _id=planhat_id))
        assert moved.json() == {"created": 0, "updated": 1}
        assert sorted(await stored(client)) == ["desk:2", "desk:9"]
        clash = await put(client, ticket(2, _id=planhat_id))
        assert clash.json()["updatedErrors"][0]["message"] == "sourceId duplicated"
        unknown = await put(client, ticket(2, _id="0" * 24, status="closed"))
        assert unknown.json() == {"created": 0, "updated": 1}
        by_id_only = await put(client, {"_id": planhat_id, "email": "a@b.example", "sourceId": None, "title": "by id"})
        assert by_id_only.json() == {"created": 0, "updated": 1}
        assert (await stored(client))["desk:9"]["title"] == "by id"
        twice = await put(client, {"_id": planhat_id, "email": "e@e"}, {"_id": planhat_id, "email": "e@e"})
        assert twice.json()["updatedErrors"] == [
            {"_id": planhat_id, "sourceId": None, "message": "_id duplicated"},
        ]


async def test_fields_planhat_does_not_know_are_ignored_and_counted():
    async with sandbox() as client:
        await put(client, ticket(1, colour="red", custom={"tier": 1}))
        state = await get(client, "/_sandbox/state")
        assert state["tickets"]["desk:1"] == ticket(1, custom={"tier": 1})
        assert state["stats"]["unknown_fields"] == {"colour": 1}


async def test_with_a_list_of_companies_an_unknown_company_is_refused():
    companies = [
        {"_id": "c" * 24, "externalId": "acct-1", "name": "Lumen", "domains": ["Lumen.example"]},
        {"_id": "d" * 24, "externalId": "acct-2", "name": "Other", "status": "lost"},
    ]
    async with sandbox(companies=companies, answers="full") as client:
        known = [ticket(1), ticket(2, companyExternalId="acct-2", domains=[]), ticket(3, companyId="d" * 24)]
        unknown = [
            ticket(4, domains=["nobody.example"]),
            ticket(5, companyId="e" * 24),
            ticket(6, companyExternalId="x"),
        ]
        answer = await put(client, *known, *unknown)
        assert answer.status_code == 206
        assert [entry["sourceId"] for entry in answer.json()["createdErrors"]] == ["desk:4", "desk:5", "desk:6"]
        rows = await get(client, "/tickets", sort="_id")
        assert [row["companyName"] for row in rows] == ["Lumen", "Other", "Other"]
        update = await put(client, ticket(1, companyId="e" * 24))
        assert update.json()["updatedErrors"][0]["message"] == "company not found"
        assert len(await get(client, "/leancompanies")) == 2
        lean = [{"_id": "d" * 24, "externalId": "acct-2", "sourceId": None, "name": "Other"}]
        assert await get(client, "/leancompanies", externalId="acct-2") == lean
        assert await get(client, "/leancompanies", status="lost", foo="bar") == lean


async def test_without_a_list_the_companies_are_those_that_tickets_named():
    async with sandbox() as client:
        await put(client, ticket(1), ticket(2), ticket(3, companyExternalId="acct-1"))
        assert [row["externalId"] for row in await get(client, "/leancompanies")] == [None, "acct-1"]


# ------------------------------------------------------------------------------------------------- whole-call refusals


async def test_5000_items_pass_and_5001_are_refused():
    async with sandbox() as client:
        assert (await put(client, *map(ticket, range(5000)))).json() == {"created": 5000, "updated": 0}
        answer = await put(client, *map(ticket, range(5001)))
        assert answer.status_code == 400
        assert "5000" in answer.json()["createdErrors"][0]
        assert (await get(client, "/_sandbox/stats"))["max"]["items"] == 5001


async def test_a_body_over_32_mb_is_a_413():
    async with sandbox() as client:
        answer = await client.put(
            "/tickets", content=b" " * (MAX_BODY_BYTES + 1), headers={"content-type": "application/json"}
        )
        assert answer.status_code == 413
        assert (await get(client, "/_sandbox/log"))[0]["bytes"] == MAX_BODY_BYTES + 1


@pytest.mark.parametrize(
    "body, content_type",
    [(b"[", "application/json"), (b"3", "application/json"), (b"\xff", "application/json"), (b"[]", "text/plain")],
)
async def test_a_body_that_is_no_json_array_is_a_400(body, content_type):
    async with sandbox() as client:
        answer = await client.put("/tickets", content=body, headers={"content-type": content_type})
        assert answer.status_code == 400
        assert answer.json()["created"] == 0


@pytest.mark.parametrize("fault, status", [("poison", 400), ("poison500", 500)])
async def test_a_poison_item_refuses_its_whole_call_unnamed(fault, status):
    async with sandbox(faults={fault: 1}) as client:
        answer = await put(client, ticket(1), ticket(2, title="this is POISON"))
        assert answer.status_code == status
        assert "desk" not in answer.text and "POISON" not in answer.text
        assert await stored(client) == {}
        assert (await put(client, ticket(1))).status_code == 200
        assert (await get(client, "/_sandbox/stats"))["counts"]["poisoned_calls"] == 1
        assert (await get(client, "/_sandbox/log"))[0]["fault"] == fault


async def test_a_poison_rule_of_the_test_decides_with_its_own_words():
    def rule(item: dict[str, Any]) -> str | None:
        return {"desk:1": "no such thing", "desk:2": "500 broken"}.get(item["sourceId"])

    async with sandbox(poison=rule) as client:
        assert (await put(client, ticket(1))).json() == {"error": "no such thing"}
        assert (await put(client, ticket(2))).status_code == 500
        assert (await put(client, ticket(3, title="POISON"))).status_code == 200


@pytest.mark.parametrize(
    "authorization, status",
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (httpx.BasicAuth(TOKEN, "")._auth_header, 200),
        (httpx.BasicAuth(TOKEN, "password")._auth_header, 401),
        ("Basic ???", 401),
        ("Bearer wrong", 401),
        (TOKEN, 401),
        ("", 401),
    ],
)
async def test_only_the_token_opens_as_bearer_or_as_basic_user(authorization, status):
    async with sandbox() as client:
        answer = await client.put("/tickets", json=[ticket(1)], headers={"authorization": authorization})
        assert answer.status_code == status
        assert len(await stored(client)) == (status == 200)


@pytest.mark.parametrize(
    "method, path",
    [("POST", "/tickets"), ("GET", "/tickets/1"), ("PUT", "/tickets/1"), ("GET", "/"), ("PUT", "/companies")],
)
async def test_paths_that_are_not_documented_are_a_json_404(method, path):
    async with sandbox() as client:
        answer = await client.request(method, path, json=[ticket(1)])
        assert answer.status_code == 404
        assert answer.json() == {"error": f"Cannot {method} {path}"}


# ------------------------------------------------------------------------------------------------- list and delete


async def test_a_ticket_is_read_in_another_shape_than_it_is_written():
    clock = Clock()
    async with sandbox(now=clock) as client:
        await put(client, ticket(1, description="words", type="bug", severity="high", timeSpent=5, name="Person One"))
        (row,) = await get(client, "/tickets")
        assert set(row) == READ_SHAPE
        assert (row["externalId"], row["subject"], row["snippet"]) == ("desk:1", "Ticket 1", "words")
        assert (row["type"], row["subType"], row["isOpen"]) == ("ticket", "ticket", False)
        assert row["createDate"] == row["date"] == iso(int(clock.at * 1000))
        assert row["endusers"][0]["name"] == "Person One"
        clock.at += 60
        await put(client, ticket(1))
        (row,) = await get(client, "/tickets")
        assert (row["createDate"], row["updateDate"]) == (iso(1_790_000_000_000), iso(1_790_000_060_000))


def test_time_buckets_follow_the_official_samples():
    assert time_bucket(1_793_702_412_000) == ["2026", "2026-Q4", "2026-11", "2026-W45"]
    assert time_bucket(1_622_505_600_000)[2] == "2021-6"


async def test_the_list_filters_sorts_selects_and_pages():
    async with sandbox() as client:
        acct = [ticket(n, companyExternalId="acct-1", status="closed", description=f"Word{n}") for n in (1, 2)]
        await put(client, *acct, ticket(3), ticket(4, email="x@y.example"), ticket(5, timeSpent=1))

        async def keys(**params: Any) -> list[str]:
            return [row["externalId"] for row in await get(client, "/tickets", **params)]

        everything = [f"desk:{n}" for n in range(1, 6)]
        companies = {row["externalId"]: row["companyId"] for row in await get(client, "/tickets")}
        assert await keys() == await keys(s="closed", cid="x", l=1, limit="many", offset="-1") == everything
        assert await keys(sort="-_id") == await keys(sort="-externalId") == everything[::-1]
        assert await keys(limit=2, offset=1) == ["desk:2", "desk:3"]
        assert await keys(status="closed") == await keys(companyId=companies["desk:1"]) == ["desk:1", "desk:2"]
        assert await keys(companyId=f"{companies['desk:1']},{companies['desk:3']}") == everything
        assert await keys(email="x@y.example") == ["desk:4"]
        assert await keys(search="word2") == ["desk:2"]
        assert await keys(sort="snippet", limit=4) == ["desk:3", "desk:4", "desk:5", "desk:1"]
        assert await keys(sort="-days", limit=1) == ["desk:1"]
        (row,) = await get(client, "/tickets", select="status,subject", limit=1)
        assert set(row) == {"_id", "status", "subject"}


async def test_the_list_gives_500_rows_unasked_and_never_more_than_10000():
    async with sandbox() as client:
        for start in range(0, 15_000, 5000):
            await put(client, *map(ticket, range(start, start + 5000)))
        assert len(await get(client, "/tickets")) == 500
        assert len(await get(client, "/tickets", limit=20_000)) == 10_000


async def test_documented_parameters_can_be_made_to_be_ignored():
    async with sandbox(ignored_params=frozenset(["email"])) as client:
        await put(client, ticket(1), ticket(2))
        assert len(await get(client, "/tickets", email="person1@lumen.example")) == 2


async def test_a_delete_answers_the_whole_document_and_the_next_upsert_makes_a_new_ticket():
    async with sandbox() as client:
        await put(client, ticket(1))
        (row,) = await get(client, "/tickets")
        answer = await client.delete(f"/tickets/{row['_id']}")
        assert answer.json() == {**row, "autoTags": []}
        again = await client.delete(f"/tickets/{row['_id']}")
        assert (again.status_code, again.json()) == (404, {"error": "Not found"})
        state = await get(client, "/_sandbox/state")
        assert state["tickets"] == {}
        assert [(gone["_id"], gone["sourceId"]) for gone in state["deleted"]] == [(row["_id"], "desk:1")]
        assert (await put(client, ticket(1))).json() == {"created": 1, "updated": 0}
        assert (await get(client, "/_sandbox/state"))["ids"]["desk:1"] != row["_id"]


# ---------------------------------------------------------------------------------------------------------------- quota


async def test_the_quota_is_a_sliding_minute_and_says_so_in_its_headers():
    clock = Clock()
    async with sandbox(quota=3, monotonic=clock) as client:
        first = await put(client, ticket(1))
        assert (first.headers["x-rate-limit-limit"], first.headers["x-rate-limit-remaining"]) == ("3", "2")
        clock.at += 30
        assert [(await client.get("/tickets")).status_code for _ in range(4)] == [200, 200, 429, 429]
        clock.at += 30
        assert [(await client.get("/tickets")).status_code for _ in range(2)] == [200, 429]
        refused = await put(client, ticket(2))
        assert refused.headers["x-rate-limit-remaining"] == "0"
        assert "retry-after" not in refused.headers
        assert list(await stored(client)) == ["desk:1"]
        stats = await get(client, "/_sandbox/stats")
        assert stats["max"]["calls_in_60_s"] == 7
        assert stats["counts"]["quota_refusals"] == 4


async def test_retry_after_is_sent_only_with_the_switch():
    async with sandbox(quota=1, retry_after_s=7) as client:
        await client.get("/tickets")
        assert (await client.get("/tickets")).headers["retry-after"] == "7"


async def test_quota_zero_means_no_quota():
    async with sandbox(quota=0) as client:
        answers = [await client.get("/tickets") for _ in range(300)]
        assert {answer.status_code for answer in answers} == {200}
        assert "x-rate-limit-limit" not in answers[0].headers


# --------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    "fault, status",
    [
        ("rate_limit", 429),
        ("unavailable", 503),
        ("error", 500),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("html", 502),
    ],
)
async def test_a_refusing_fault_answers_its_status_and_writes_nothing(fault, status):
    async with sandbox(faults={fault: 1}) as client:
        answer = await put(client, ticket(1))
        assert answer.status_code == status
        assert ("<html>" in answer.text) == (fault == "html")
        state = await get(client, "/_sandbox/state")
        assert state["tickets"] == {}
        assert state["stats"]["counts"][f"fault:{fault}"] == 1


async def test_forbidden_fills_permission_errors_when_answers_are_full():
    async with sandbox(faults={"forbidden": 1}, answers="full") as client:
        assert (await put(client, ticket(1))).json()["permissionErrors"]


async def test_a_redirect_points_to_a_path_that_does_not_exist():
    async with sandbox(faults={"PUT:redirect": 1}) as client:
        answer = await put(client, ticket(1))
        assert (answer.status_code, answer.headers["location"]) == (307, "/moved/tickets")
        assert (await client.get(answer.headers["location"])).status_code == 404


async def test_garbage_is_a_200_that_cannot_be_read_after_the_write_was_applied():
    async with sandbox(faults={"garbage": 1}) as client:
        answer = await put(client, ticket(1))
        assert answer.status_code == 200
        with pytest.raises(ValueError):
            answer.json()
        assert list(await stored(client)) == ["desk:1"]


async def test_a_page_is_a_200_that_is_html_after_the_write_was_applied():
    async with sandbox(faults={"page": 1}) as client:
        answer = await put(client, ticket(1))
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")
        assert "<html>" in answer.text
        assert list(await stored(client)) == ["desk:1"]


async def test_a_gateway_timeout_is_answered_at_once_and_its_write_lands_later():
    async with sandbox(faults={"PUT:gateway_timeout": 1}, late_s=0.1) as client:
        answer = await put(client, ticket(1))
        assert (answer.status_code, "<html>" in answer.text) == (504, True)
        state = await get(client, "/_sandbox/state")
        assert (state["tickets"], state["stats"]["writes_to_land"]) == ({}, 1)
        await asyncio.sleep(0.15)
        assert list(await stored(client)) == ["desk:1"]
        assert (await get(client, "/_sandbox/log"))[0]["fault"] == "gateway_timeout"


async def test_lost_writes_then_cuts_and_dropped_cuts_without_writing():
    async with sandbox() as client:
        await client.post("/_sandbox/faults", json={"next": ["lost", "dropped"]})
        with pytest.raises(httpx.RemoteProtocolError):
            await put(client, ticket(1))
        with pytest.raises(httpx.ReadError):
            await put(client, ticket(2))
        assert list(await stored(client)) == ["desk:1"]
        log = await get(client, "/_sandbox/log")
        assert [(row["fault"], row["status"], row["landed"]) for row in log] == [
            ("lost", None, True),
            ("dropped", None, False),
        ]
        assert (await get(client, "/_sandbox/stats"))["puts_in_flight"] == 0


async def test_a_late_write_lands_after_the_caller_gave_up():
    async with sandbox(faults={"PUT:late": 1}, late_s=0.2) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await put(client, ticket(1))
        state = await get(client, "/_sandbox/state")
        assert (state["tickets"], state["stats"]["writes_to_land"]) == ({}, 1)
        await asyncio.sleep(0.25)
        assert list(await stored(client)) == ["desk:1"]
        (row,) = await get(client, "/_sandbox/log")
        assert (row["fault"], row["status"], row["caller_gone"], row["landed"]) == ("late", None, True, True)
        assert row["landed_at_ms"] - row["at_ms"] >= 190


async def test_a_late_call_is_answered_at_last_when_the_caller_has_patience():
    async with sandbox(faults={"late": 1}, late_s=0.01, late_answer_s=0.05) as client:
        assert (await put(client, ticket(1))).json() == {"created": 1, "updated": 0}


async def test_a_newer_call_about_a_ticket_whose_late_write_is_outstanding_is_noticed():
    async with sandbox(late_s=0.1) as client:
        await client.post("/_sandbox/faults", json={"next": ["late"]})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await put(client, ticket(1, status="old"), ticket(2))
        await put(client, ticket(1, status="new"), ticket(3))
        await asyncio.sleep(0.15)
        assert (await stored(client))["desk:1"]["status"] == "old"
        assert (await get(client, "/_sandbox/log"))[1]["overlaps"] == ["desk:1"]
        assert (await get(client, "/_sandbox/stats"))["counts"]["tickets_in_two_flights"] == 1
        await put(client, ticket(1))
        assert (await get(client, "/_sandbox/stats"))["counts"]["tickets_in_two_flights"] == 1


async def test_slow_and_latency_answer_properly_but_later():
    async with sandbox(faults={"GET:slow": 1}, slow_s=0.1, latency_ms=50) as client:
        start = time.monotonic()
        assert (await put(client, ticket(1))).json() == {"created": 1, "updated": 0}
        middle = time.monotonic()
        assert len(await get(client, "/tickets")) == 1
        assert middle - start >= 0.05
        assert time.monotonic() - middle >= 0.15


async def test_concurrent_puts_are_counted():
    async with sandbox(latency_ms=50) as client:
        await asyncio.gather(put(client, ticket(1)), put(client, ticket(2)), put(client, ticket(2)))
        stats = await get(client, "/_sandbox/stats")
        assert stats["max"]["puts_in_flight"] == 3
        assert stats["puts_in_flight"] == 0
        assert stats["counts"]["tickets_in_two_flights"] == 1


@pytest.mark.parametrize("fault, status", [("partial", 206), ("partial_ok", 200), ("silent", 200)])
async def test_partial_and_silent_strike_some_items(fault, status):
    async with sandbox(faults={fault: 1}, answers="full") as client:
        items = [ticket(n) for n in range(100)]
        answer = await put(client, *items)
        body = answer.json()
        kept = await stored(client)
        assert answer.status_code == status
        assert 0 < len(kept) < 100
        assert body["created"] == len(kept)
        refused = {entry["sourceId"] for entry in body["createdErrors"]}
        missing = {item["sourceId"] for item in items} - set(kept)
        assert refused == (set() if fault == "silent" else missing)


async def test_partial_strikes_at_least_one_item_and_names_updates_as_such():
    async with sandbox(item_share=0.0) as client:
        await put(client, ticket(1))
        await client.post("/_sandbox/faults", json={"partial": 1})
        answer = await put(client, ticket(1, status="closed"))
        assert answer.status_code == 400
        assert answer.json()["updatedErrors"][0]["sourceId"] == "desk:1"


async def test_the_same_seed_misbehaves_the_same_way():
    async def run(seed: int) -> list[Any]:
        faults = {"rate_limit": 0.2, "error": 0.2, "partial": 0.3, "PUT:silent": 0.2}
        async with sandbox(faults=faults, seed=seed, answers="full", now=lambda: 1.0) as client:
            answers = [await put(client, ticket(n), ticket(n + 1), ticket(n + 2)) for n in range(60)]
            return [(answer.status_code, answer.text) for answer in answers]

    assert await run(1) == await run(1) != await run(2)


def test_rates_are_kept_in_the_long_run():
    faults = Faults({"late": 0.05, "lost": 0.05, "GET:slow": 0.5, "partial": 0.1}, seed=3)
    drawn = [faults.draw(faults.chance(n), "PUT") for n in range(10_000)]
    assert 400 < drawn.count("late") < 600
    assert 400 < drawn.count("lost") < 600
    assert 850 < drawn.count("partial") < 1150
    assert drawn.count("slow") == 0
    assert [faults.draw(faults.chance(n), "GET") for n in range(1000)].count("partial") == 0


@pytest.mark.parametrize(
    "rates, words",
    [
        ({"lates": 0.1}, "unknown fault 'lates'"),
        ({"PATCH:late": 0.1}, "unknown fault 'PATCH:late'"),
        ({"late": 1.5}, "from 0 to 1"),
        ({"late": "often"}, "from 0 to 1"),
        ({"late": True}, "from 0 to 1"),
        ({"late": 0.6, "PUT:lost": 0.6}, "the rates of PUT add up to 1.2"),
    ],
)
def test_impossible_rates_are_refused(rates, words):
    with pytest.raises(ValueError, match=words):
        check_rates(rates)


def test_a_sandbox_without_a_token_is_refused():
    with pytest.raises(ValueError, match="token"):
        create_sandbox(SandboxConfig(token=""))


# -------------------------------------------------------------------------------------------------------- control plane


async def test_faults_change_at_run_time_and_a_script_goes_first():
    async with sandbox(faults={"error": 1}) as client:
        changed = await client.post("/_sandbox/faults", json={"error": 0, "next": ["GET:html", None, "unavailable"]})
        assert changed.json() == {"rates": {"error": 0.0}, "next": ["GET:html", None, "unavailable"]}
        assert (await put(client, ticket(1))).status_code == 200  # the script waits for a GET
        statuses = [(await client.get("/tickets")).status_code for _ in range(4)]
        assert statuses == [502, 200, 503, 200]


@pytest.mark.parametrize(
    "asked", [{"nope": 1}, {"next": "late"}, {"next": [1]}, {"next": ["poison"]}, {"next": ["x"]}, []]
)
async def test_faults_that_make_no_sense_are_refused(asked):
    async with sandbox() as client:
        answer = await client.post("/_sandbox/faults", json=asked)
        assert answer.status_code == 400
        assert answer.json()["error"]
        assert (await put(client, ticket(1))).status_code == 200


async def test_a_reset_forgets_everything_and_lets_nothing_land():
    async with sandbox(late_s=0.1, quota=2) as client:
        await put(client, ticket(1))
        await client.post("/_sandbox/faults", json={"next": ["late", "late"]})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await put(client, ticket(2))
        await client.post("/_sandbox/reset")
        await asyncio.sleep(0.15)
        assert await get(client, "/_sandbox/state") == {
            "tickets": {},
            "ids": {},
            "deleted": [],
            "stats": {**NO_CALLS, "counts": {}, "max": {}, "unknown_fields": {}},
        }
        assert await get(client, "/_sandbox/log") == []
        assert (await put(client, ticket(1))).json() == {"created": 1, "updated": 0}


async def test_the_log_tells_of_every_request_and_of_the_items_when_asked():
    clock = Clock()
    async with sandbox(now=clock, log_items=True) as client:
        await put(client, ticket(1), ticket(2))
        await client.get("/tickets?limit=3")
        await client.get("/tickets", headers={"authorization": "Bearer wrong"})
        first, second, third = await get(client, "/_sandbox/log")
        assert (first["n"], first["method"], first["path"], first["items"]) == (1, "PUT", "/tickets", 2)
        assert (first["at_ms"], first["status"], first["fault"]) == (1_790_000_000_000, 200, None)
        assert first["pairs"] == [["desk:1", ticket(1)], ["desk:2", ticket(2)]]
        assert (second["query"], second["status"], third["status"]) == ("limit=3", 200, 401)
        assert first["mono_s"] < second["mono_s"] < third["mono_s"]


async def test_the_log_file_holds_requests_and_applied_writes(tmp_path: Path):
    path = tmp_path / "sandbox.jsonl"
    async with sandbox(log=path) as client:
        await put(client, ticket(1), ticket(2, email=None))
        await put(client, ticket(1))
        await put(client, ticket(1, status="closed"))
        (row,) = await get(client, "/tickets")
        await client.delete(f"/tickets/{row['_id']}")
        lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]  # flushed while the sandbox still runs
    assert [line["kind"] for line in lines] == [*["write", "request"] * 3, "request", "write", "request"]
    writes = [line for line in lines if line["kind"] == "write"]
    assert [write["op"] for write in writes] == ["created", "unchanged", "updated", "delete"]
    assert {(write["sourceId"], write["_id"]) for write in writes} == {("desk:1", row["_id"])}
    assert writes[2]["item"] == ticket(1, status="closed")
    assert [write["n"] for write in writes] == [1, 2, 3, 5]


async def test_a_full_batch_is_handled_quickly_enough_to_be_a_sink():
    async with sandbox(quota=0) as client:
        items = [ticket(n, description="x" * 1900) for n in range(5000)]
        body = orjson.dumps(items)
        start = time.process_time()
        answer = await client.put("/tickets", content=body, headers={"content-type": "application/json"})
        assert answer.json() == {"created": 5000, "updated": 0}
        assert time.process_time() - start < 5  # a guard against quadratic work, not a benchmark


def test_the_readme_tells_of_every_fault():
    readme = (ROOT / "workers" / "planhat" / "README.md").read_text()
    for name, what in FAULTS.items():
        assert f"| `{name}` | {what} |" in readme


# --------------------------------------------------------------------------------------------------- the real server

RUN = "import sys; from workers.planhat.sandbox import main; sys.exit(main(sys.argv[1:]))"


@contextmanager
def running(*arguments: str, stop: signal.Signals = signal.SIGTERM) -> Iterator[str]:
    """Run the sandbox as its own process on a free port; give its URL, and see that a signal ends it well."""
    command = [sys.executable, "-W", "error", "-c", RUN, "--token", TOKEN, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Planhat sandbox on http://127.0.0.1:")
            yield line.rsplit(" ", 1)[1].strip()
        finally:
            process.send_signal(stop)
        assert process.wait(10) == 0


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running("--late-s", "0.6", "--quota", "0") as url:
        yield url


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, headers=HEADERS) as client:
        client.post("/_sandbox/reset")
        yield client


def script(client: httpx.Client, *faults: str) -> None:
    assert client.post("/_sandbox/faults", json={"next": list(faults)}).status_code == 200


def names(client: httpx.Client) -> list[str]:
    return list(client.get("/_sandbox/state").json()["tickets"])


@pytest.mark.e2e
def test_a_lost_answer_is_a_closed_connection_and_the_write_is_there(client):
    script(client, "lost")
    with pytest.raises(httpx.RemoteProtocolError):
        client.put("/tickets", json=[ticket(1)])
    assert names(client) == ["desk:1"]


@pytest.mark.e2e
def test_a_dropped_call_is_a_reset_connection_and_nothing_is_written(client):
    script(client, "dropped")
    with pytest.raises(httpx.ReadError):
        client.put("/tickets", json=[ticket(1)])
    assert names(client) == []
    assert client.put("/tickets", json=[ticket(1)]).json() == {"created": 1, "updated": 0}


@pytest.mark.e2e
def test_a_late_call_times_out_and_its_write_lands_afterwards(client):
    script(client, "late")
    sent = time.monotonic()
    with pytest.raises(httpx.ReadTimeout):
        client.put("/tickets", json=[ticket(1)], timeout=0.2)
    assert names(client) == []
    while not names(client):
        assert time.monotonic() - sent < 10
        time.sleep(0.02)
    assert time.monotonic() - sent >= 0.6
    (row,) = client.get("/_sandbox/log").json()
    assert (row["caller_gone"], row["status"], row["landed"]) == (True, None, True)
    assert row["took_ms"] < 550  # the end of the connection was noticed, not waited for
    assert client.get("/_sandbox/stats").json()["puts_in_flight"] == 0


@pytest.mark.e2e
def test_a_late_delete_lands_too(client):
    client.put("/tickets", json=[ticket(1)])
    planhat_id = client.get("/_sandbox/state").json()["ids"]["desk:1"]
    script(client, "DELETE:late")
    with pytest.raises(httpx.ReadTimeout):
        client.delete(f"/tickets/{planhat_id}", timeout=0.1)
    assert names(client) == ["desk:1"]
    time.sleep(0.7)
    assert names(client) == []


@pytest.mark.e2e
def test_an_oversize_body_is_answered_413_over_a_real_connection(client):
    answer = client.put("/tickets", content=b" " * (MAX_BODY_BYTES + 1), headers={"content-type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.e2e
def test_the_command_line_sets_every_switch_and_ends_cleanly(tmp_path: Path):
    companies, log = tmp_path / "companies.json", tmp_path / "log.jsonl"
    companies.write_bytes(orjson.dumps([{"_id": "c" * 24, "domains": ["lumen.example"]}]))
    switches = [
        *("--fault", "poison", "--fault", "GET:error=1", "--seed", "7", "--quota", "5", "--answers", "full"),
        *("--history", "append", "--unchanged", "uncounted", "--entries", "plain", "--companies", str(companies)),
        *("--latency-ms", "10", "--retry-after", "3", "--log", str(log), "--log-items", "--item-share", "0.5"),
    ]
    with running(*switches, stop=signal.SIGINT) as url, httpx.Client(base_url=url, headers=HEADERS) as client:
        body = client.put("/tickets", json=[ticket(1), ticket(2, domains=["nobody.example"])]).json()
        assert body["createdErrors"] == ["company not found"]
        assert client.put("/tickets", json=[ticket(1, title="POISON")]).status_code == 400
        assert client.get("/tickets").status_code == 500
        assert "pairs" in client.get("/_sandbox/log").json()[0]
    assert [orjson.loads(line)["kind"] for line in log.read_bytes().splitlines()] == ["write", *["request"] * 3]


@pytest.mark.e2e
def test_a_wrong_fault_ends_the_command_with_its_name():
    command = [sys.executable, "-c", RUN, "--fault", "lates=0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "unknown fault 'lates'" in done.stderr
