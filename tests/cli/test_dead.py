"""`status`, `dead` and `pause` on a real Redis."""

from __future__ import annotations

import asyncio
import json
import os

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.core.change import Change
from gateway.reader import Reader
from gateway.settings import store_from
from gateway.store.client import connect
from gateway.store.pending import Burial, Delivery, Quarantined, Store

pytestmark = pytest.mark.redis
SECRET = "whsec_" + "QUJD" * 10  # base64 of 30 bytes
EMPTY = {"pending": 0, "leased": 0, "parked": 0, "dead": 0, "quarantined": 0, "paused": None, "oldest_pending_s": 0.0}
BODY = json.dumps(
    {"type": "ticket.created", "timestamp": "2026-10-11T06:45:12Z", "data": {"sourceId": "Q-1", "title": "kept whole"}}
).encode()


@pytest.fixture
def bridge(redis_url):
    """Run something on the bridge: `bridge(lambda store: store.look())`."""

    def run(work):
        async def inside():
            redis = connect(redis_url)
            try:
                return await work(Store(redis, limits=store_from(Reader({})).limits))
            finally:
                await redis.aclose()

        return asyncio.run(inside())

    return run


@pytest.fixture
def invoke(redis_url):
    def run(*arguments, code=0, stdin=None, **env):
        ours = ("REDIS_", "PLANHAT_", "GENERIC_", "ZENDESK_", "FRESHDESK_", "GATEWAY_CONFIG")
        unset = {name: None for name in os.environ if name.startswith(ours)}
        said = CliRunner(env={**unset, "REDIS_URL": redis_url, **env}).invoke(cli, [*arguments], input=stdin)
        assert said.exit_code == code, (said.output, said.exception)
        return said

    return run


def change(ticket: str, **fields) -> Change:
    return Change(ticket=ticket, connection="generic", fields=fields, updated_at_ms=1_790_000_000_000, creation=True)


def bury(bridge, ticket: str, reason: str, **fields) -> None:
    async def work(store):
        payload = change(ticket, **fields).encode()
        await store.put([Delivery(None, ((ticket, payload),))])
        await store.claim(1, "token", 10_000)
        (loaded,) = await store.load([ticket])
        await store.bury("token", [Burial(ticket, len(loaded.value), loaded.value, reason, "says why", "generic")])

    bridge(work)


def quarantine(bridge, body, connection="generic"):
    headers = (("content-type", "application/json"),)
    record = Quarantined(connection, "internal_error", "could not be read", "POST", headers, "", body)
    return bridge(lambda store: store.quarantine(record))


def test_status_counts_what_there_is(invoke, bridge):
    assert json.loads(invoke("status", "--json").stdout) == EMPTY | {"calls_last_minute": 0}
    bury(bridge, "t-0", "missing_email", title="no mail")
    bridge(lambda store: store.put([Delivery(None, (("t-1", change("t-1", title="x").encode()),))]))
    quarantine(bridge, b"{")
    bridge(lambda store: store.reserve(limit_per_minute=10, n=3))
    found = json.loads(invoke("status", "--json").stdout)
    assert found["oldest_pending_s"] >= 0
    assert {name: found[name] for name in ("dead", "quarantined", "calls_last_minute")} == {
        "dead": 1,
        "quarantined": 1,
        "calls_last_minute": 3,
    }
    assert "see `planhat-gateway dead list`" in invoke("status").stdout


def test_pause_is_seen_and_resume_ends_it(invoke, bridge):
    invoke("pause", "--reason", "migration")
    assert json.loads(invoke("status", "--json").stdout)["paused"] == "held by hand: migration"
    assert "Ended the hold" in invoke("resume").stdout
    bridge(lambda store: store.stop("refused", "401", "hash", 60_000))
    assert json.loads(invoke("status", "--json").stdout)["paused"] == "stopped (refused): 401"
    assert "Ended the stop" in invoke("resume").stdout
    assert json.loads(invoke("status", "--json").stdout)["paused"] is None
    assert "Nothing was held" in invoke("resume").stdout


def test_list_shows_tickets_and_deliveries_and_filters_them(invoke, bridge):
    assert "Nothing is dead" in invoke("dead", "list").stdout
    bury(bridge, "t-1", "missing_email", title="no mail")
    ident = quarantine(bridge, b"{")
    rows = json.loads(invoke("dead", "list", "--json").stdout)
    assert {row["id"]: (row["kind"], row["ticket"], row["reason"], row["detail"]) for row in rows} == {
        "t-1": ("ticket", "t-1", "missing_email", "says why"),
        ident: ("delivery", None, "internal_error", "could not be read"),
    }
    assert all(row["at"].endswith("Z") for row in rows)
    assert list(rows[0]) == ["id", "kind", "ticket", "reason", "detail", "at"]
    assert [row["id"] for row in json.loads(invoke("dead", "list", "--json", "--kind", "delivery").stdout)] == [ident]
    assert [row["id"] for row in json.loads(invoke("dead", "list", "--json", "--reason", "missing_email").stdout)] == [
        "t-1"
    ]
    assert "missing_email" in invoke("dead", "list").stdout


def test_show_prints_everything_and_what_to_do(invoke, bridge):
    bury(bridge, "t-1", "missing_email", title="no mail", status="open")
    ident = quarantine(bridge, b'{"odd": "body"}')
    ticket = json.loads(invoke("dead", "show", "t-1", "--json").stdout)
    assert ticket["fields"] == {"title": "no mail", "status": "open"}
    assert ticket["seen"] == ["open 2026-09-21T14:13:20Z"]
    assert "e-mail address" in ticket["do"]
    said = invoke("dead", "show", ident).stdout
    assert '{"odd": "body"}' in said
    assert "content-type" in said
    assert "What to do" in said
    assert "Nothing dead" in invoke("dead", "show", "t-9", code=1).stderr


def test_replay_of_a_ticket_makes_it_pending_again(invoke, bridge):
    bury(bridge, "t-1", "missing_email", title="no mail")
    bury(bridge, "t-2", "refused", title="other")
    assert "Replayed: tickets 1," in invoke("dead", "replay", "t-1").stdout
    assert "Replayed: tickets 1," in invoke("dead", "replay", "--reason", "refused").stdout
    view = bridge(lambda store: store.look())
    assert (view.pending, view.dead) == (2, 0)
    assert "t-1 stays: there is no dead letter" in invoke("dead", "replay", "t-1", code=1).stderr


def test_replay_of_a_delivery_reads_it_with_todays_settings(invoke, bridge):
    ident = quarantine(bridge, BODY)
    said = json.loads(invoke("dead", "replay", ident, "--json", code=1).stdout)
    assert "GENERIC_WEBHOOK_SECRET" in said["stayed"][ident]
    env = {"GENERIC_WEBHOOK_SECRET": SECRET, "GENERIC_SOURCE_ID_PREFIX": "erp:"}
    said = json.loads(invoke("dead", "replay", "--all", "--json", **env).stdout)
    assert said == {"tickets": 0, "deliveries": 1, "ignored": 0, "stayed": {}}
    view = bridge(lambda store: store.look())
    assert (view.pending, view.quarantined) == (1, 0)
    assert bridge(lambda store: store.peek(["erp:Q-1"]))[0].value


def test_what_still_cannot_be_read_stays_and_says_why(invoke, bridge):
    ident = quarantine(bridge, b"{")
    said = invoke("dead", "replay", ident, code=1, GENERIC_WEBHOOK_SECRET=SECRET)
    assert f"{ident} stays: still unreadable: not_json" in said.stderr
    assert bridge(lambda store: store.look()).quarantined == 1


def test_a_delivery_that_means_nothing_today_is_closed(invoke, bridge):
    quarantine(bridge, b'{"type": "invoice.paid"}')
    said = json.loads(invoke("dead", "replay", "--all", "--json", GENERIC_WEBHOOK_SECRET=SECRET).stdout)
    assert (said["ignored"], said["deliveries"]) == (1, 0)
    assert bridge(lambda store: store.look()).quarantined == 0


def test_replay_and_discard_want_one_choice(invoke):
    for arguments in ((), ("t-1", "--all"), ("--all", "--reason", "x")):
        assert "one of the three" in invoke("dead", "replay", *arguments, code=2).stderr
        assert "one of the three" in invoke("dead", "discard", *arguments, code=2).stderr


def test_discard_asks_first(invoke, bridge):
    bury(bridge, "t-1", "refused", title="x")
    ident = quarantine(bridge, b"{")
    invoke("dead", "discard", "--all", stdin="n\n", code=1)
    assert bridge(lambda store: store.look()).dead == 1
    assert "Removed 2" in invoke("dead", "discard", "t-1", ident, "--yes").stdout
    view = bridge(lambda store: store.look())
    assert (view.dead, view.quarantined, view.pending) == (0, 0, 0)
    assert "nothing to discard" in invoke("dead", "discard", "--all").stdout
    invoke("dead", "discard", "t-1", "--yes", code=1)


def test_export_writes_json_lines_and_removes_nothing(invoke, bridge, tmp_path):
    bury(bridge, "t-1", "refused", title="x")
    quarantine(bridge, b"{")
    invoke("dead", "export", "--output", str(tmp_path / "out.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"ticket", "delivery"}
    assert [json.loads(line)["id"] for line in invoke("dead", "export", "--reason", "refused").stdout.splitlines()] == [
        "t-1"
    ]
    assert bridge(lambda store: store.look()).dead == 1


def test_export_to_a_place_that_cannot_be_written_says_so(invoke, tmp_path):
    said = invoke("dead", "export", "--output", str(tmp_path / "no" / "out.jsonl"), code=1)
    assert "out.jsonl cannot be written (No such file or directory)" in said.stderr


def test_a_reason_or_kind_that_nothing_has_is_told_with_what_there_is(invoke, bridge):
    bury(bridge, "t-1", "missing_email", title="x")
    bury(bridge, "t-2", "missing_email", title="x")
    bury(bridge, "t-3", "no_credentials", title="x")
    there = "there are tickets (missing_email 2, no_credentials 1)."
    assert invoke("dead", "list", "--reason", "nope").stdout == f"None of the 3 has reason nope: {there}\n"
    assert invoke("dead", "list", "--kind", "delivery").stdout == f"None of the 3 is a delivery: {there}\n"
    assert f"None of the 3 has reason nope: {there}" in invoke("dead", "replay", "--reason", "nope").stdout
    assert (
        f"nothing to discard. None of the 3 has reason nope: {there}"
        in invoke("dead", "discard", "--reason", "nope").stdout
    )
    assert f"has reason nope: {there}" in invoke("dead", "export", "--reason", "nope").stderr
    said = invoke("dead", "list", "--reason", "nope", "--json")
    assert (json.loads(said.stdout), there in said.stderr) == ([], True)
    said = invoke("dead", "replay", "--reason", "nope", "--json")
    assert (json.loads(said.stdout)["tickets"], there in said.stderr) == (0, True)
    quarantine(bridge, b"{")
    both = invoke("dead", "list", "--kind", "ticket", "--reason", "nope").stdout
    assert "None of the 4 is a ticket and has reason nope" in both
    assert "and deliveries (internal_error 1)." in both


def test_a_long_body_is_shown_in_one_piece_and_its_advice_mends_the_reader(invoke, bridge):
    body = json.dumps({"odd": "b" * 300})
    ident = quarantine(bridge, body.encode())
    said = invoke("dead", "show", ident).stdout
    assert f"\n{body}\n" in said
    assert "field map" in json.loads(invoke("dead", "show", ident, "--json").stdout)["do"]


def test_advice_for_missing_credentials_counts_sources_without_look_ups(invoke, bridge):
    bury(bridge, "t-1", "no_credentials", title="x")
    assert "let the sender give what is missing" in json.loads(invoke("dead", "show", "t-1", "--json").stdout)["do"]


def test_a_second_pause_keeps_the_first_reason_unless_it_gives_one(invoke):
    for arguments, held in (((), "by hand"), (("--reason", "month end"), "month end"), ((), "month end")):
        invoke("pause", *arguments)
        assert json.loads(invoke("status", "--json").stdout)["paused"] == f"held by hand: {held}"


def test_without_redis_there_is_one_clear_sentence(invoke):
    assert "REDIS_URL is not set" in invoke("status", code=2, REDIS_URL="").stderr
    assert "see that it runs" in invoke("status", code=1, REDIS_URL="redis://127.0.0.1:1/0").stderr
    assert "REDIS_URL must begin with" in invoke("dead", "list", code=2, REDIS_URL="nonsense").stderr
