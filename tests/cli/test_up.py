"""`up` runs everything in one terminal, keeps its data and secret, and leaves nothing running. Reads /proc (Linux)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.cli.processes import environment, free_port
from gateway.cli.up_sandbox import remembered

pytestmark = [pytest.mark.e2e, pytest.mark.redis]


class Up:
    """A running `up`: its output, the figures that it printed."""

    def __init__(self, folder: str, *arguments: str, **env: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "gateway", "up", "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(
            # as a script's `up &` starts it: SIGINT is inherited as ignored, and must end it all the same
            ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command],
            cwd=folder,
            env=environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as out:
            self.lines.extend(out)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def until(self, pattern: str, timeout_s: float = 30) -> re.Match[str]:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.output, re.MULTILINE):
                return found
            time.sleep(0.05)
        raise AssertionError(self.output)

    def end(self, how: int = signal.SIGINT) -> int:
        self.process.send_signal(how)
        code = self.process.wait(40)
        self.reader.join(5)
        return code


@contextlib.contextmanager
def running(folder: str, *arguments: str, **env: str):
    up = Up(folder, *arguments, **env)
    try:
        up.until(r"^Ctrl-C stops everything")
        yield up
    finally:
        if up.process.poll() is None:
            up.process.kill()
            up.process.wait()


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="gw-") as path:
        yield path


def state(up):
    url = up.until(r"a double; see (\S+)\)")[1]
    return httpx.get(url, trust_env=False).json()["tickets"]


def arrived(up, ticket):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if ticket in (tickets := state(up)):
            return tickets[ticket]
        time.sleep(0.1)
    raise AssertionError(up.output)


def test_a_sample_arrives_and_everything_is_kept_until_fresh(folder):
    with running(folder) as up:
        secret = up.until(r"generic secret\s+(whsec_\S+)")[1]
        arguments = [
            "send-sample",
            "generic",
            "created_full",
            "--url",
            f"http://127.0.0.1:{up.port}",
            "--secret",
            secret,
        ]
        said = CliRunner().invoke(cli, [*arguments, "--json"])
        assert said.exit_code == 0, said.output
        answer = json.loads(said.stdout)
        assert (answer["status"], answer["answer"]["status"]) == (202, "accepted")
        (ticket,) = answer["answer"]["tickets"]
        item = arrived(up, ticket)
        assert item["title"] == "Belt slips"
        forged = CliRunner().invoke(cli, [*arguments[:-1], "whsec_" + "QUJD" * 10])
        assert (forged.exit_code, forged.stdout[:3]) == (1, "401")
        assert up.end() == 0
        assert "worker  | " in up.output
        assert up.output.rstrip().endswith("Stopped.")
    with running(folder) as up:
        assert up.until(r"generic secret\s+(whsec_\S+)")[1] == secret
        assert state(up)[ticket] == item
        assert up.end(signal.SIGTERM) == 0
    with running(folder, "--fresh") as up:
        assert up.until(r"generic secret\s+(whsec_\S+)")[1] != secret
        assert state(up) == {}
        assert up.end() == 0


def test_the_shell_lines_it_prints_post_a_signed_ticket(folder):
    with running(folder) as up:
        script = up.output[up.output.index("id=msg_") : up.output.index("Ctrl-C stops")].replace("curl -i", "curl -sS")
        said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=30)
        assert '"status":"accepted"' in said.stdout, said
        assert arrived(up, "generic:1")["title"] == "Hello"
        assert up.end() == 0


def test_another_terminal_knows_everything_by_one_line(folder):
    config = Path(folder, "gateway.toml")
    config.write_text('[connections.field]\nsource = "generic"\nsecret_env = "FIELD_SECRET"\nauth = "bearer"\n')
    with running(folder, GATEWAY_CONFIG="gateway.toml", FIELD_SECRET="a-token-of-the-field") as up:
        assert f"http://127.0.0.1:{up.port}/webhooks/generic\n" in up.output
        assert f"http://127.0.0.1:{up.port}/webhooks/field\n" in up.output
        line = up.until(r"^export .*$")[0]
        assert "a-token-of-the-field" not in up.output
        commands = '"send-sample generic created_full" check "tickets list --json"'
        script = f"set -e\n{line}\nfor command in {commands}; do $0 -m gateway $command; done"
        env = environment({"FIELD_SECRET": "a-token-of-the-field"})
        said = subprocess.run(
            ["sh", "-c", script, sys.executable], env=env, capture_output=True, text=True, check=False
        )
        assert (said.returncode, said.stderr) == (0, "")
        assert "202 " in said.stdout
        assert "webhooks are taken for generic (signature), field (bearer)" in said.stdout
        assert "takes the token" in said.stdout
        assert up.end() == 0


def test_a_token_or_secret_that_it_was_given_is_not_printed_for_another_terminal(folder):
    secret, token = "whsec_" + "QUJD" * 10, "a-real-token-of-planhat"
    env = {"PLANHAT_API_TOKEN": token, "PLANHAT_API_URL": f"http://127.0.0.1:{free_port()}"}
    with running(folder, GENERIC_WEBHOOK_SECRET=secret, **env) as up:
        line = up.until(r"^export .*$")[0]
        assert line.startswith("export REDIS_URL=")
        assert "SECRET" not in line
        assert token not in up.output
        up.end()


def test_kill_9_leaves_no_orphan(folder):
    with running(folder) as up:
        family = descendants(up.process.pid)
        assert len(family) == 4  # redis, sandbox, worker, web
        up.end(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while any(map(alive, family)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [pid for pid in family if alive(pid)] == []


def test_when_a_process_ends_all_end_and_it_is_named(folder):
    with running(folder) as up:
        (worker,) = [
            pid
            for pid in descendants(up.process.pid)
            if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"-m\0workers\0")
        ]
        os.kill(worker, signal.SIGKILL)
        assert up.process.wait(40) == 1
        up.reader.join(5)
        assert "worker ended with -9" in up.output


def test_a_taken_port_is_told_before_anything_starts(folder):
    with running(folder) as up:
        arguments = [sys.executable, "-m", "gateway", "up", "--port", str(up.port)]
        said = subprocess.run(arguments, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
        assert (said.returncode, said.stdout) == (1, "")
        assert f"Port {up.port} cannot be used" in said.stderr
        arguments[-1] = str(free_port())
        said = subprocess.run(arguments, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
        assert said.returncode == 1
        assert "in use by another planhat-gateway" in said.stderr


def test_the_double_is_remembered_in_order_of_creation_and_a_torn_line_is_passed_over(tmp_path):
    rows = [
        {"kind": "request", "n": 1},
        {"kind": "write", "op": "created", "_id": "a", "sourceId": "1", "item": {"sourceId": "1", "title": "x"}},
        {"kind": "write", "op": "created", "_id": "b", "sourceId": "2", "item": {"sourceId": "2"}},
        {"kind": "write", "op": "updated", "_id": "a", "sourceId": "1", "item": {"sourceId": "1", "status": "open"}},
        {"kind": "write", "op": "delete", "_id": "b", "sourceId": "2", "item": None},
    ]
    log = tmp_path / "log"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "wri')
    assert [(life.id, life.fields, life.deleted) for life in remembered(log)] == [
        ("a", {"sourceId": "1", "title": "x", "status": "open"}, False),
        ("b", {"sourceId": "2"}, True),
    ]
    assert remembered(tmp_path / "nothing") == []


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
    found, fresh = [], [pid]
    while fresh:
        fresh = [child for child, parent in parents.items() if parent in fresh]
        found += fresh
    return found


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
