"""`check` names what it dislikes, faults apart from warnings, on real servers good and bad."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import urllib.parse

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.cli.check import judged
from gateway.cli.processes import environment, family, free_port, python, start, wait_for_port
from tests.redis_server import RedisServer

pytestmark = pytest.mark.redis
TOKEN = "the-right-token-of-the-sandbox"
SECRET = "whsec_" + "QUJD" * 10
GOOD_INFO = {
    "redis_version": "7.4.6",
    "role": "master",
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "maxmemory": 9,
}


@pytest.fixture(scope="module")
def sandbox():
    port = free_port()
    with family() as children:
        arguments = ("sandbox", "--port", str(port), "--token", TOKEN)
        children.append(start("sandbox", python("workers", *arguments), env=environment()))
        wait_for_port(children[0], port)
        yield f"http://127.0.0.1:{port}"


def run(*arguments, code, **env):
    ours = ("REDIS_", "PLANHAT_", "GENERIC_", "ZENDESK_", "FRESHDESK_", "BATCH_", "GATEWAY_", "PORT")
    unset = {name: None for name in os.environ if name.startswith(ours)}
    said = CliRunner(env={**unset, **env}).invoke(cli, [*arguments])
    assert said.exit_code == code, (said.output, said.exception)
    return said


def rows(*arguments, code, **env):
    found = json.loads(run(*arguments, "--json", code=code, **env).stdout)
    return {(row["level"], row["name"]): row["sentence"] for row in found}


def test_all_is_well(redis_url, sandbox):
    env = {
        "REDIS_URL": redis_url,
        "PLANHAT_API_TOKEN": TOKEN,
        "PLANHAT_API_URL": sandbox,
        "GENERIC_WEBHOOK_SECRET": SECRET,
    }
    found = rows("check", code=0, **env)
    assert {name for level, name in found if level == "ok"} >= {
        "gateway settings", "connections", "redis", "redis eviction", "redis persistence", "worker settings", "planhat",
    }  # fmt: skip
    said = run("check", code=0, **env).stdout
    assert "takes the token" in said
    assert not any(line.startswith("fault") for line in said.splitlines())


def test_a_refused_token_is_a_fault_that_names_the_region(redis_url, sandbox):
    found = rows("check", code=1, REDIS_URL=redis_url, PLANHAT_API_TOKEN="wrong", PLANHAT_API_URL=sandbox)
    assert "region" in found["fault", "planhat"]
    assert "401" in found["fault", "planhat"]
    assert ("warning", "connections") in found


def test_a_planhat_that_is_not_there_is_a_fault(redis_url):
    url = f"http://127.0.0.1:{free_port()}"
    found = rows("check", code=1, REDIS_URL=redis_url, PLANHAT_API_TOKEN=TOKEN, PLANHAT_API_URL=url)
    assert "does not answer" in found["fault", "planhat"]


def test_an_evicting_redis_is_a_fault_and_a_forgetful_one_a_warning(sandbox):
    with (
        tempfile.TemporaryDirectory(prefix="gw-") as folder,
        RedisServer(folder, maxmemory_policy="allkeys-lru", appendonly="no") as server,
    ):
        found = rows("check", code=1, REDIS_URL=server.url, PLANHAT_API_TOKEN=TOKEN, PLANHAT_API_URL=sandbox)
    assert "allkeys-lru" in found["fault", "redis eviction"]
    assert "lost when Redis restarts" in found["warning", "redis persistence"]


def test_every_fault_of_both_banks_is_named_at_once(sandbox):
    env = {"REDIS_URL": "redis://127.0.0.1:1/0", "BATCH_MAX_ITEMS": "9000", "PENDING_MAX_TICKETS": "none"}
    said = run("check", code=1, GENERIC_WEBHOOK_SECRET="short", PORT="99999999", **env).stdout
    assert all(name in said for name in ("BATCH_MAX_ITEMS", "PENDING_MAX_TICKETS", "GENERIC_WEBHOOK_SECRET", "PORT"))


def test_nothing_set_at_all_is_told_in_sentences():
    found = rows("check", code=1)
    assert "REDIS_URL is not set" in found["fault", "redis"]
    assert "PLANHAT_API_TOKEN is not set" in found["fault", "worker settings"]


def test_an_absent_redis_is_a_fault_and_planhat_is_asked_all_the_same(sandbox):
    env = {"REDIS_URL": "redis://127.0.0.1:1/0", "PLANHAT_API_TOKEN": TOKEN, "PLANHAT_API_URL": sandbox}
    found = rows("check", code=1, **env)
    assert "cannot be used" in found["fault", "redis"]
    assert ("ok", "planhat") in found


def test_the_release_phase_reads_settings_and_reaches_out_to_nobody():
    env = {"REDIS_URL": "redis://127.0.0.1:1/0", "PLANHAT_API_TOKEN": TOKEN, "PLANHAT_API_URL": "http://127.0.0.1:1"}
    for arguments in (("config", "check"), ("check", "--release")):
        found = rows(*arguments, code=0, **env)
        assert {name for _, name in found} == {"gateway settings", "connections", "worker settings"}
        rows(*arguments, code=1, **env, BATCH_MAX_ITEMS="0")


def test_no_secret_is_ever_printed(redis_url, sandbox):
    env = {"REDIS_URL": redis_url, "PLANHAT_API_TOKEN": "wrong-but-secret", "PLANHAT_API_URL": sandbox}
    said = run("check", code=1, **env, GENERIC_WEBHOOK_SECRET=SECRET).output
    assert "wrong-but-secret" not in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("info", "level", "name"),
    [
        ({"redis_version": "6.2.21"}, "fault", "redis"),
        ({"redis_version": "7.0.15"}, "warning", "redis version"),
        ({"redis_version": "7.2.10"}, "warning", "redis version"),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.3"}, "warning", "redis version"),
        ({"role": "slave"}, "fault", "redis role"),
        ({"maxmemory_policy": "volatile-lru"}, "fault", "redis eviction"),
        ({"maxmemory_policy": None}, "warning", "redis eviction"),
        ({"aof_enabled": 0}, "warning", "redis persistence"),
        ({"aof_last_write_status": "err"}, "fault", "redis persistence"),
        ({"maxmemory": 0}, "warning", "redis memory"),
    ],
)
def test_a_server_is_judged_by_its_info(info, level, name):
    found = {(row.level, row.name) for row in judged(GOOD_INFO | info)}
    assert (level, name) in found


@pytest.mark.parametrize(
    "info", [{}, {"redis_version": "8.2.2"}, {"redis_version": "7.2.4", "valkey_version": "9.1.2"}]
)
def test_a_good_server_has_nothing_against_it(info):
    assert {row.level for row in judged(GOOD_INFO | info)} == {"ok"}


def test_tickets_are_listed_and_deleted_through_the_far_bank(sandbox, redis_url):
    item = {"sourceId": "t-1", "email": "ada@example.com", "domains": ["example.com"], "title": "x", "status": "open"}
    import httpx

    answer = httpx.put(f"{sandbox}/tickets", json=[item], headers={"authorization": f"Bearer {TOKEN}"}, trust_env=False)
    assert answer.status_code == 200
    env = {"PLANHAT_API_TOKEN": TOKEN, "PLANHAT_API_URL": sandbox, "REDIS_URL": redis_url}
    (row,) = json.loads(run("tickets", "list", "--json", code=0, **env).stdout)
    assert (row["sourceId"], row["status"]) == ("t-1", "open")
    assert "t-1" in run("tickets", "list", code=0, **env).stdout
    deleted = json.loads(run("tickets", "delete", row["_id"], "--yes", "--json", code=0, **env).stdout)
    assert deleted == [{"_id": row["_id"], "outcome": "done", "detail": ""}]
    assert json.loads(run("tickets", "list", "--json", code=0, **env).stdout) == []
    assert "401" in run("tickets", "list", code=1, **env | {"PLANHAT_API_TOKEN": "wrong"}).stderr
    assert "PLANHAT_API_TOKEN is not set" in run("tickets", "list", code=2, REDIS_URL=redis_url).stderr


def test_a_web_process_without_settings_says_every_fault_at_once_and_exits_with_2():
    said = run("web", code=2, PORT="abc", GENERIC_WEBHOOK_SECRET="short").stderr
    assert all(f"{name} " in said for name in ("PORT", "GENERIC_WEBHOOK_SECRET", "REDIS_URL"))
    assert run("web", code=2, REDIS_URL="ftp://x", PORT="abc").stderr.count("REDIS_URL") == 1


def test_a_worker_without_settings_says_what_it_lacks_and_exits_with_2():
    said = subprocess.run(
        [sys.executable, "-m", "workers"], env=environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert said.returncode == 2
    assert [line.split(" ")[0] for line in said.stderr.splitlines()] == ["REDIS_URL", "PLANHAT_API_TOKEN"]


@pytest.fixture
def listed(sandbox, redis_url):
    """Two tickets in the double; gives the environment to reach it."""
    import httpx

    items = [
        {"sourceId": f"sorted-{n}", "email": f"somebody.with.a.long.name.{n}@example.com", "domains": ["example.com"]}
        | {"title": "A subject that needs room of its own", "status": "open"}
        for n in (1, 2)
    ]
    answer = httpx.put(f"{sandbox}/tickets", json=items, headers={"authorization": f"Bearer {TOKEN}"}, trust_env=False)
    assert answer.status_code == 200
    return {"PLANHAT_API_TOKEN": TOKEN, "PLANHAT_API_URL": sandbox, "REDIS_URL": redis_url}


def test_a_filter_that_begins_with_a_dash_reaches_planhat(listed):
    import httpx

    filters = {"companyId": "-c", "email": "-e", "status": "-s", "search": "-t", "sort": "-sourceId"}
    names = ("--company-id", "--email", "--status", "--search", "--sort")
    options = [part for pair in zip(names, filters.values(), strict=True) for part in pair]
    assert json.loads(run("tickets", "list", *options, "--json", code=0, **listed).stdout) == []
    log = httpx.get(f"{listed['PLANHAT_API_URL']}/_sandbox/log", trust_env=False).json()
    assert filters.items() <= dict(urllib.parse.parse_qsl(log[-1]["query"])).items()


def test_a_source_id_is_refused_before_planhat_is_asked_to_delete_it(listed):
    (first, *_) = json.loads(run("tickets", "list", "--json", code=0, **listed).stdout)
    for wrong in ("generic:1", "nope", first["_id"][:-1]):
        said = run("tickets", "delete", first["_id"], wrong, "--yes", code=2, **listed)
        assert f"'{wrong}'" in said.stderr
        assert "column _id of `planhat-gateway tickets list`" in said.stderr
    assert first in json.loads(run("tickets", "list", "--json", code=0, **listed).stdout)
    assert (
        json.loads(run("tickets", "delete", "A" * 24, "--yes", "--json", code=0, **listed).stdout)[0]["outcome"]
        == "gone"
    )


def test_a_list_that_is_refused_names_the_next_step(listed):
    said = run("tickets", "list", code=1, **listed | {"PLANHAT_API_TOKEN": "wrong"}).stderr
    assert "401" in said
    assert "`planhat-gateway check` tells" in said


def on_terminal(*arguments: str, columns: int, **env: str) -> list[str]:
    """Run a command on a terminal of that width; give its lines."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    command = [sys.executable, "-m", "gateway", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(env)):
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # how Linux tells the end of a terminal
            while part := os.read(ours, 65_536):
                said += part
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).splitlines()


def test_a_terminal_of_80_columns_shows_whole_ids_and_no_longer_line(listed):
    rows = json.loads(run("tickets", "list", "--json", code=0, **listed).stdout)
    lines = on_terminal("tickets", "list", columns=80, **listed)
    assert all(any(line.startswith(f"{row['_id']} ") for line in lines) for row in rows)
    lines = on_terminal("check", "--release", columns=80, GENERIC_WEBHOOK_SECRET="short")
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(" " * 27) for line in lines)  # goes on under its own column
