"""`forget` on a real Redis: afterwards the person stands nowhere, and everybody else is as before."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.cli import forget as forgetting
from gateway.core.change import Change, frame
from gateway.core.part import read
from gateway.core.state import State
from gateway.store.client import connect
from gateway.store.pending import Ack, Burial, Delivery, Quarantined, Store
from tests.store.dump import dump

if TYPE_CHECKING:
    from gateway.store.erasure import Walked

pytestmark = pytest.mark.redis

ADA = "ada.lovelace@kestrel.example"
BO = "bo@kestrel.example"
TRACES = (b"ada.lovelace", b"lovelace", b"analytical engine", b"ada%2e", b"canary-note")
"""Pieces of the person's address, name and texts, in lower case."""


@pytest.fixture
def bridge(redis_url):
    """Run something on the bridge: `bridge(lambda store: store.look())`."""

    def run(work):
        async def inside():
            redis = connect(redis_url)
            try:
                return await work(Store(redis))
            finally:
                await redis.aclose()

        return asyncio.run(inside())

    return run


@pytest.fixture
def invoke(redis_url):
    def run(*arguments, code=0, stdin=None, **env):
        unset = {name: None for name in os.environ if name.startswith(("REDIS_", "PLANHAT_", "GATEWAY_CONFIG"))}
        said = CliRunner(env={**unset, "REDIS_URL": redis_url, **env}).invoke(cli, [*arguments], input=stdin)
        assert said.exit_code == code, (said.output, said.exception)
        return said

    return run


def change(ticket: str, email: str | None, *, connection: str = "desk", **said: Any) -> tuple[str, bytes]:
    fields = {"title": "The Analytical Engine", "name": "Ada Lovelace", "description": "canary-note", "status": "open"}
    if email != ADA:
        fields = {"title": f"Map of {ticket}", "name": "Bo", "status": "open"}
    fields |= {"email": email} if email else {}
    said.setdefault("fields", fields)
    return ticket, Change(ticket, connection, updated_at_ms=1_790_000_000_000, **said).encode()


async def settle(store: Store, ticket: str, state: State) -> None:
    """Leave nothing of a ticket but a state."""
    await store.put([Delivery(None, (change(ticket, BO),))])
    await store.claim_named([ticket], "w", 1_000)
    (loaded,) = await store.load([ticket])
    await store.ack("w", [Ack(ticket, len(loaded.value), state.encode())])


async def bury(store: Store, ticket: str, email: str, detail: str) -> None:
    await store.put([Delivery(None, (change(ticket, email),))])
    await store.claim_named([ticket], "w", 1_000)
    (loaded,) = await store.load([ticket])
    await store.bury("w", [Burial(ticket, len(loaded.value), loaded.value, "refused", detail, "desk")])


async def quarantine(store: Store, body: bytes, query: str = "", **headers: str) -> str:
    pairs = tuple(headers.items())
    return await store.quarantine(Quarantined("desk", "not_json", "unreadable", "POST", pairs, query, body))


async def fill(store: Store) -> dict[str, str]:
    """A bridge that knows two people in every way it can know anybody; gives what stays."""
    await settle(store, "desk:3", State(kept={"email": ADA, "name": "Ada Lovelace"}, sent=True, planhat_id="ph-3"))
    await settle(store, "desk:4", State(kept={"email": BO, "agentEmail": ADA, "name": "Bo"}, sent=True))
    await settle(store, "desk:5", State(kept={"email": BO}, sent=True))
    await bury(store, "desk:6", ADA, f"'{ADA}' is no end user")
    await bury(store, "desk:7", BO, f"owner {ADA.upper()} is unknown")
    await bury(store, "desk:8", BO, "says why")
    await store.put([Delivery(None, (change("desk:1", ADA), change("desk:1", ADA, creation=True)))])
    await store.put([Delivery(None, (change("desk:2", BO, fields={"email": BO, "description": f"cc {ADA}"}),))])
    await store.put([Delivery(None, (change("desk:9", None, fields={}, refs={"requester_id": "77"}, thin=True),))])
    same = change("other:9", None, connection="other", fields={}, refs={"requester_id": "77"}, thin=True)
    await store.put([Delivery(None, (same,))])
    await store.put([Delivery(None, (change("desk:10", BO),))])
    await store.cache_set("desk", "user", {"77": json.dumps({"email": ADA, "name": "Ada Lovelace"}).encode()}, 600)
    await store.cache_set("desk", "user", {"78": json.dumps({"email": BO, "name": "Bo"}).encode()}, 600)
    await quarantine(store, json.dumps({"mail": ADA, "text": "canary-note"}).encode())
    await quarantine(store, b"email=" + quote(ADA).replace(".", "%2E").encode() + b"&text=canary-note")
    await quarantine(store, b"\xff\xfe" + base64.b64encode(json.dumps({"to": ADA}).encode()))
    await quarantine(store, b"{}", query=f"requester={quote(ADA)}")
    await quarantine(store, b"{}", referer=f"https://x.example/?u={ADA}")
    stays = await quarantine(store, b'{"mail": "n' + BO.encode() + b'"}')
    await store.set_health({"record": json.dumps({"words": f"{ADA} is refused"})})
    await store.stop("refused", f"{ADA} is refused", "hash", 60_000)
    return {"quarantined": stays}


def test_afterwards_the_person_stands_nowhere_and_everybody_else_is_as_before(invoke, bridge):
    stays = bridge(fill)
    before = bridge(lambda store: dump(store.redis)).lower()
    assert all(trace in before for trace in TRACES)
    said = json.loads(invoke("forget", ADA.title(), "--yes", "--json").stdout)
    after = bridge(lambda store: dump(store.redis)).lower()
    assert [trace for trace in TRACES if trace in after] == []
    assert base64.b64encode(json.dumps({"to": ADA}).encode()).lower() not in after

    assert set(said["tickets"]) == {"desk:1", "desk:3", "desk:6", "desk:9"}
    assert set(said["redacted"]) == {"desk:2", "desk:4", "desk:7"}
    assert said["planhat_ids"] == {"desk:3": "ph-3"}
    assert (said["changes"], said["states"], said["dead"]) == (2, 1, 1)
    assert (len(said["quarantined"]), said["cached"]) == (5, 1)
    assert (said["in_flight"], said["left"], said["complete"], said["file_rewritten"]) == ([], [], True, True)

    async def rest(store: Store) -> tuple[Any, ...]:
        tickets = sorted(name.decode() for name in await store.redis.zrange(store.keys.due, 0, -1))
        loaded = {one.ticket: read(one.value).values for one in await store.peek(tickets)}
        dead = {row.id: row.detail for row in await store.dead_letters()}
        return (
            tickets,
            loaded,
            dead,
            await store.states(["desk:4", "desk:5"]),
            await store.cache_get("desk", "user", ["78"]),
        )

    tickets, loaded, dead, states, cached = bridge(rest)
    assert tickets == ["desk:10", "desk:2", "other:9"]
    assert loaded["desk:10"]["title"] == "Map of desk:10"
    assert loaded["desk:2"] == {"email": BO, "description": "cc [erased]"}
    assert dead == {
        "desk:7": "owner [erased] is unknown",
        "desk:8": "says why",
        stays["quarantined"]: "unreadable",
    }
    assert all(states)
    assert json.loads(states[0])["k"] == {"email": BO, "name": "Bo"}
    assert cached == [json.dumps({"email": BO, "name": "Bo"}).encode()]


def test_nothing_erased_can_be_replayed(invoke, bridge):
    bridge(fill)
    invoke("forget", ADA, "--yes")
    invoke("dead", "replay", "--all", code=1)  # the other's delivery still cannot be read
    after = bridge(lambda store: dump(store.redis)).lower()
    assert [trace for trace in TRACES if trace in after] == []


def test_a_second_time_nothing_is_found(invoke, bridge):
    bridge(fill)
    invoke("forget", ADA, "--yes")
    said = json.loads(invoke("forget", ADA, "--yes", "--json").stdout)
    assert said["complete"]
    assert not any(said[name] for name in ("tickets", "redacted", "quarantined", "cached", "changes", "states", "dead"))


def test_a_person_is_told_what_was_erased_and_what_is_left_to_do(invoke, bridge):
    bridge(fill)
    said = invoke("forget", ADA, "--yes").output
    for words in ("tickets erased", "desk:3", f"tickets list --email {ADA}", "tickets delete", "helpdesk", "Backups"):
        assert words in said


def test_it_asks_first_and_a_no_changes_nothing(invoke, bridge):
    bridge(fill)
    before = bridge(lambda store: dump(store.redis))
    invoke("forget", ADA, stdin="n\n", code=1)
    assert bridge(lambda store: dump(store.redis)) == before
    assert "tickets erased" in invoke("forget", ADA, stdin="y\n").output


@pytest.mark.parametrize("email", ["", "ada", "ada@", "Ada <ada@x.example>", "a b@x.example"])
def test_what_is_no_address_is_wrong_usage(invoke, email):
    assert "no e-mail address" in invoke("forget", email, "--yes", code=2).output


def test_every_destination_is_looked_at_unless_one_is_named(invoke, bridge, tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(
        '[destinations.emea]\ntoken_env = "EMEA_TOKEN"\n[destinations.apac]\ntoken_env = "APAC_TOKEN"\n'
        '[connections.desk]\nsource = "zendesk"\nsecret_env = "DESK"\ndestination = "emea"\n'
    )
    env = {"GATEWAY_CONFIG": str(file), "DESK": "x" * 16, "EMEA_TOKEN": "t" * 20, "APAC_TOKEN": "u" * 20}

    async def both(store: Store) -> None:
        for name in ("emea", "apac"):
            await Store(store.redis, name).put([Delivery(None, (change("desk:1", ADA),))])

    bridge(both)
    one = json.loads(invoke("--destination", "apac", "forget", ADA, "--yes", "--json", **env).stdout)
    assert (one["destination"], one["tickets"]) == ("apac", ["desk:1"])
    lines = [json.loads(line) for line in invoke("forget", ADA, "--yes", "--json", **env).stdout.splitlines()]
    assert [(line["destination"], line["tickets"]) for line in lines] == [("emea", ["desk:1"]), ("apac", [])]
    assert "Destination emea" in invoke("forget", ADA, "--yes", **env).output


def test_a_held_ticket_is_erased_and_told_of(invoke, bridge):
    async def hold(store: Store) -> None:
        await store.put([Delivery(None, (change("desk:1", ADA), change("desk:2", BO)))])
        await store.claim(10, "worker", 60_000)

    bridge(hold)
    said = json.loads(invoke("forget", ADA, "--yes", "--json").stdout)
    assert (said["tickets"], said["in_flight"], said["complete"]) == (["desk:1"], ["desk:1"], True)
    assert "A worker held desk:1" not in invoke("forget", ADA, "--yes").output
    assert bridge(lambda store: store.release("worker", ["desk:1", "desk:2"])) == 1


def test_what_another_release_wrote_is_told_of_and_left(invoke, bridge):
    async def newer(store: Store) -> None:
        await store.put([Delivery(None, (("desk:1", b"\x09" + ADA.encode()), change("desk:2", ADA)))])

    bridge(newer)
    said = invoke("forget", ADA, "--yes", "--json", code=1)
    told = json.loads(said.stdout)
    assert (told["left"], told["tickets"], told["complete"]) == (["desk:1"], ["desk:2"], True)
    assert "of another release" in invoke("forget", ADA, "--yes", code=1).output


def test_a_sender_that_does_not_stop_is_told_of(redis_url):
    class Sending(Store):
        """Somebody whose helpdesk still sends."""

        async def walk(self, cursor: int) -> Walked:
            await self.put([Delivery(None, (change("desk:1", ADA),))])
            return await super().walk(cursor)

    async def work() -> forgetting.Forgotten:
        redis = connect(redis_url)
        try:
            return await forgetting.forgotten(Sending(redis), ADA)
        finally:
            await redis.aclose()

    came = asyncio.run(work())
    assert not came.complete
    assert came.tickets == ["desk:1"]


def test_a_ticket_that_changes_between_reading_and_erasing_is_read_again(redis_url):
    class Busy(Store):
        """A ticket about which more is said each time it is read."""

        more = 3

        async def kept(self, tickets):
            found = await super().kept(tickets)
            if self.more and "desk:1" in tickets:
                self.more -= 1
                await self.put([Delivery(None, (change("desk:1", ADA),))])
            return found

    async def work(more: int) -> tuple[forgetting.Forgotten, bytes]:
        redis = connect(redis_url)
        try:
            store = Busy(redis)
            store.more = more
            await store.put([Delivery(None, (change("desk:1", ADA),))])
            return await forgetting.forgotten(store, ADA), await dump(redis)
        finally:
            await redis.aclose()

    came, after = asyncio.run(work(3))
    assert (came.complete, came.left, came.tickets) == (True, [], ["desk:1"])
    assert ADA.encode() not in after
    came, after = asyncio.run(work(1_000))
    assert came.left == ["desk:1"]
    assert ADA.encode() in after


def test_a_damaged_value_does_not_stop_the_others(invoke, bridge):
    async def damage(store: Store) -> None:
        await store.put([Delivery(None, (change("desk:2", ADA),))])
        broken = frame(b"\x01" + ADA.encode(), 1) + b"\0"
        await store.command("SET", store.keys.change("desk:1"), broken)

    bridge(damage)
    said = json.loads(invoke("forget", ADA, "--yes", "--json", code=1).stdout)
    assert (said["left"], said["tickets"]) == (["desk:1"], ["desk:2"])
