"""Two destinations behind one door: each delivery goes to the side of Redis that its connection feeds."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from gateway.app import create_app
from gateway.cli import cli
from gateway.settings import from_env
from gateway.store.client import connect
from gateway.store.pending import Store
from tests.ingest.server import KEY, SECRET, call, deliver, running, short, ticket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER = KEY[::-1]
FILE = """
[destinations.main]
token_env = "MAIN_TOKEN"
[destinations.labs]
token_env = "LABS_TOKEN"
[connections.own]
source = "generic"
destination = "main"
secret_env = "OWN"
[connections.own.map]
product = "product && keys(product)[0]"
[connections.lab]
source = "generic"
destination = "labs"
secret_env = "LAB"
ignore.tags = ["from-planhat"]
only.when = "data.team == 'lab' || type == 'ticket.deleted'"
"""


@pytest.fixture
def environ(tmp_path: Path, redis_url: str) -> dict[str, str]:
    path = tmp_path / "gateway.toml"
    path.write_text(FILE, encoding="utf-8")
    return {
        "GATEWAY_CONFIG": str(path),
        "REDIS_URL": redis_url,
        "OWN": SECRET,
        "LAB": "whsec_" + base64.b64encode(OTHER).decode(),
    }


@pytest.fixture
def port(environ: dict[str, str]) -> Iterator[int]:
    with running(create_app(from_env(environ)), short(2.0)) as found:
        yield found


def lab(port: int, body: bytes) -> Any:
    return deliver(port, body, path="/webhooks/lab", key=OTHER)


def pending(redis_url: str) -> dict[str, set[str]]:
    async def read() -> dict[str, set[str]]:
        redis = connect(redis_url)
        found = {}
        for name in ("main", "labs"):
            store = Store(redis, name)
            found[name] = {one.decode() for one in await store.command("ZRANGE", store.keys.due, 0, -1)}
        await redis.aclose()
        return found

    return asyncio.run(read())


def command(environ: dict[str, str], *arguments: str, code: int = 0) -> Any:
    unset: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith(("GENERIC_", "REDIS_", "GATEWAY_", "PLANHAT_"))
    }
    said = CliRunner(env={**unset, **environ}).invoke(cli, [*arguments, "--json"])
    assert said.exit_code == code, said.output
    return json.loads(said.stdout)


def test_each_connection_s_tickets_go_to_its_own_destination(port: int, redis_url: str) -> None:
    assert deliver(port, ticket(1), path="/webhooks/own").said["tickets"] == ["own:1"]
    assert lab(port, ticket(1, team="lab")).said["tickets"] == ["lab:1"]
    assert pending(redis_url) == {"main": {"own:1"}, "labs": {"lab:1"}}


def test_one_connection_s_secret_opens_no_other(port: int) -> None:
    assert deliver(port, ticket(1), path="/webhooks/lab").status == 401
    assert call(port, "/webhooks/generic", ticket(1), {"content-type": "application/json"}).status == 404


def test_the_long_way_and_the_short_way_know_the_rules(port: int, redis_url: str) -> None:
    echo = lab(port, ticket(1, team="lab", tags=["from-planhat"]))
    assert (echo.status, echo.said["status"]) == (200, "ignored")
    assert echo.said["reason"] == "the connection's rules leave this ticket out"
    assert lab(port, ticket(2)).said["reason"] == "only.when is not true of the body"
    assert lab(port, ticket(3, team="lab", description="x" * 70_000)).status == 202
    large = lab(port, ticket(4, description="x" * 70_000))
    assert (large.status, large.said["status"]) == (200, "ignored")
    assert pending(redis_url)["labs"] == {"lab:3"}


def test_readiness_and_metrics_tell_of_every_destination(port: int) -> None:
    lab(port, ticket(1, team="lab"))
    assert call(port, "/readyz", method="GET").said["connections"] == ["own", "lab"]
    text = call(port, "/metrics", method="GET").said.decode()
    assert 'gateway_pending_tickets{destination="main"} 0.0' in text
    assert 'gateway_pending_tickets{destination="labs"} 1.0' in text
    assert 'gateway_planhat_calls_last_minute{destination="labs"} 0.0' in text


def test_a_body_that_the_map_cannot_read_is_kept_and_read_once_the_file_is_mended(
    port: int, environ: dict[str, str], redis_url: str, tmp_path: Path
) -> None:
    kept = deliver(port, ticket(7).replace(b'"type"', b'"product": "text", "type"'), path="/webhooks/own")
    assert (kept.status, kept.said["status"], kept.said["reason"]) == (202, "quarantined", "bad_map")
    (row,) = command(environ, "dead", "list")
    assert (row["kind"], row["reason"]) == ("delivery", "bad_map")
    assert "product && keys(product)[0] cannot be used on this body" in row["detail"]
    assert command(environ, "dead", "replay", "--all", code=1)["stayed"]
    (tmp_path / "gateway.toml").write_text(FILE.replace("product && keys(product)[0]", "product"), encoding="utf-8")
    assert command(environ, "dead", "replay", "--all")["deliveries"] == 1
    assert pending(redis_url)["main"] == {"own:7"}


def test_a_replay_follows_the_rules_and_the_destination_that_hold_now(
    port: int, environ: dict[str, str], redis_url: str, tmp_path: Path
) -> None:
    for number in (7, 8):
        deliver(port, ticket(number).replace(b'"type"', b'"product": "text", "type"'), path="/webhooks/own")
    mended = FILE.replace('product && keys(product)[0]"', 'product"').replace(
        "[connections.own.map]", "ignore.when = \"data.sourceId == '8'\"\n[connections.own.map]"
    )
    (tmp_path / "gateway.toml").write_text(mended.replace('"main"\nsecret', '"labs"\nsecret'), encoding="utf-8")
    came = command(environ, "dead", "replay", "--all")
    assert (came["deliveries"], came["ignored"], came["stayed"]) == (1, 1, {})
    assert pending(redis_url) == {"main": set(), "labs": {"own:7"}}


def test_a_connection_that_is_gone_keeps_its_deliveries(port: int, environ: dict[str, str], tmp_path: Path) -> None:
    deliver(port, ticket(7).replace(b'"type"', b'"product": "text", "type"'), path="/webhooks/own")
    (tmp_path / "gateway.toml").write_text(FILE.partition("[connections.own]")[0], encoding="utf-8")
    (why,) = command(environ, "dead", "replay", "--all", code=1)["stayed"].values()
    assert why.endswith("set OWN_WEBHOOK_SECRET, or name it in the configuration file")
