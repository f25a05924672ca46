"""The command line from end to end, and what it asks of the settings."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from click.testing import CliRunner

from gateway.cli import cli
from gateway.cli.connect import CONNECTS
from gateway.cli.processes import free_port
from gateway.errors import ConfigurationError
from gateway.sources import SOURCES
from tests.connect.double import PUBLIC, Double, go
from tests.connect.test_zendesk import ENV as ZENDESK
from tests.connect.test_zendesk import Zendesk
from workers.connect import APIS, STEPS
from workers.connect.base import ConnectError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OURS = (*(f"{source.upper()}_" for source in SOURCES), "PUBLIC_", "GATEWAY_", "PLANHAT_", "REDIS_", "BATCH_")


def run(*arguments, code=0, **env) -> Any:
    unset = {name: None for name in os.environ if name.startswith(OURS)}
    said = CliRunner(env={**unset, **env}).invoke(cli, [*arguments])
    assert said.exit_code == code, (said.output, said.exception)
    return said


@contextmanager
def served(double: Double) -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(double.app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def test_the_near_bank_s_table_is_the_far_bank_s_registry():
    assert CONNECTS.keys() == SOURCES.keys()
    assert {source for source, how in CONNECTS.items() if how == "yes"} == APIS.keys()
    assert {source for source, how in CONNECTS.items() if how == "prints steps"} == STEPS.keys()


@pytest.mark.e2e
def test_zendesk_is_connected_and_disconnected_from_the_command_line():
    desk = Zendesk()
    with served(desk) as url:
        env = {**ZENDESK, "ZENDESK_API_URL": f"{url}/api/v2", "PUBLIC_URL": PUBLIC}
        dry = run("connect", "zendesk", "--dry-run", **env)
        assert "would be made" in dry.stdout and "zen:event-type:ticket.created" in dry.stdout
        assert desk.hooks == {}
        said = run("connect", "zendesk", **env)
        (secret,) = desk.secrets.values()
        assert f"\nZENDESK_WEBHOOK_SECRET={secret}\n" in said.stdout
        assert secret not in said.stderr
        again = json.loads(run("connect", "zendesk", "--json", **env, ZENDESK_WEBHOOK_SECRET=secret).stdout)
        assert (again["outcome"], again["settings"]) == ("unchanged", {})
        assert secret not in json.dumps(again)
        gone = json.loads(run("disconnect", "zendesk", "--json", **env).stdout)
        assert gone["outcome"] == "deleted" and desk.hooks == {}
        assert "nothing was changed" in run("disconnect", "zendesk", **env).stdout
        wrong = run("connect", "zendesk", code=1, **{**env, "ZENDESK_API_TOKEN": "wrong"})
        assert "ZENDESK_API_TOKEN" in wrong.stderr and wrong.stdout == ""


@pytest.mark.e2e
def test_steps_are_numbered_and_the_secret_stands_alone():
    said = run("connect", "freshdesk", PUBLIC_URL=PUBLIC)
    assert "  1. In Freshdesk" in said.stdout and '"freshdesk_webhook"' in said.stdout
    assert said.stdout.splitlines()[-1].startswith("FRESHDESK_WEBHOOK_SECRET=")


@pytest.mark.e2e
@pytest.mark.parametrize(
    "arguments, env, code, sentence",
    [
        (("connect", "zendesk"), {}, 2, "PUBLIC_URL is not set"),
        (("connect", "zendesk"), {"PUBLIC_URL": "http://gateway.acme.example"}, 2, "must begin with https://"),
        (("connect", "zendesk"), {"PUBLIC_URL": PUBLIC}, 2, "ZENDESK_SUBDOMAIN"),
        (("connect", "osticket"), {"PUBLIC_URL": PUBLIC}, 1, f"{PUBLIC}/webhooks/osticket"),
        (("disconnect", "nonsense"), {"PUBLIC_URL": PUBLIC}, 2, "There is no source or connection 'nonsense'"),
        (("connect", "github", "--triggers"), {"PUBLIC_URL": PUBLIC}, 1, "--triggers means nothing for github"),
        (("connect", "zendesk", "--full"), {"PUBLIC_URL": PUBLIC}, 1, "--full goes with --triggers"),
    ],
)
def test_what_is_missing_or_cannot_be_is_said(arguments, env, code, sentence):
    said = run(*arguments, code=code, **env)
    assert sentence in said.stderr
    assert said.stdout == ""


@pytest.mark.parametrize(
    "address", ["https://a.example?x=1", "gateway.acme.example", "https://user@a.example", "ftp://a.b"]
)
async def test_an_address_that_no_helpdesk_should_call_is_refused(address):
    with pytest.raises(ConfigurationError, match="PUBLIC_URL"):
        await go("connect", "freshdesk", Double(), {}, public=address)


async def test_a_path_before_webhooks_is_kept():
    said = await go("connect", "freshdesk", Double(), {}, public=f"{PUBLIC}/tickets/")
    assert said["url"] == f"{PUBLIC}/tickets/webhooks/freshdesk"


async def test_a_stored_secret_that_the_gateway_would_refuse_is_refused():
    with pytest.raises(ConfigurationError, match="FRESHDESK_WEBHOOK_SECRET"):
        await go("connect", "freshdesk", Double(), {"FRESHDESK_WEBHOOK_SECRET": "short"})


FILE = """
[connections.emea]
source = "zendesk"
secret_env = "EMEA_SECRET"
domain = "acme"
[connections.emea.api]
email = "admin@acme.example"
token_env = "EMEA_TOKEN"

[connections.press]
source = "github"
secret_env = "PRESS_SECRET"
account_id = "tallow-mill/press"
"""


async def test_a_connection_of_the_configuration_file_is_set_up_by_its_name(tmp_path: Path):
    path = tmp_path / "gateway.toml"
    path.write_text(FILE)
    env = {"GATEWAY_CONFIG": str(path), "EMEA_TOKEN": "zd-token-5f1c"}
    desk = Zendesk()
    said = await go("connect", "emea", desk, env)
    (hook,) = desk.hooks.values()
    assert (hook["endpoint"], hook["name"]) == (f"{PUBLIC}/webhooks/emea", "planhat-gateway emea")
    assert said["settings"] == {"EMEA_SECRET": desk.secrets[hook["id"]]}
    assert (await go("disconnect", "emea", desk, {**env, **said["settings"]}))["outcome"] == "deleted"
    with pytest.raises(ConfigurationError, match=r"^GITHUB_API_TOKEN: set it"):
        await go("connect", "press", desk, env)
    with pytest.raises(ConfigurationError, match="emea, press"):
        await go("connect", "apac", desk, env)


async def test_a_source_without_a_set_up_is_told_with_its_url():
    with pytest.raises(ConnectError, match=f"{PUBLIC}/webhooks/plain.*PLAIN_WEBHOOK_SECRET"):
        await go("connect", "plain", Double(), {})


async def test_credentials_of_a_connection_of_the_file_are_asked_for_where_they_count(tmp_path: Path):
    path = tmp_path / "gateway.toml"
    path.write_text(FILE.partition("[connections.emea.api]")[0])
    env = {"GATEWAY_CONFIG": str(path), **ZENDESK}
    with pytest.raises(ConfigurationError, match=r"^connections\.emea\.api in the configuration file: set it") as told:
        await go("connect", "emea", Zendesk(), env, dry_run=True)
    assert "ZENDESK_" not in str(told.value)


@pytest.mark.parametrize("how", ["file", "variables"])
async def test_a_bearer_token_is_no_signing_secret_and_passes(how: str, tmp_path: Path):
    path = tmp_path / "gateway.toml"
    path.write_text('[connections.field]\nsource = "generic"\nsecret_env = "FIELD_SECRET"\nauth = "bearer"\n')
    env = {"GATEWAY_CONFIG": str(path), "FIELD_SECRET": "a-token-of-the-field"}
    if how == "variables":
        env = {"GENERIC_WEBHOOK_SECRET": "a-token-of-the-field", "GENERIC_AUTH": "bearer"}
    name = "field" if how == "file" else "generic"
    for command, words in (("connect", "do it by hand"), ("disconnect", "nothing that `disconnect` could take away")):
        with pytest.raises(ConnectError, match=words):
            await go(command, name, Double(), env)


async def test_disconnect_of_a_source_without_a_set_up_says_what_to_remove():
    with pytest.raises(ConnectError, match=f"remove the webhook to {PUBLIC}/webhooks/generic .*GENERIC_WEBHOOK_SECRET"):
        await go("disconnect", "generic", Double(), {})
