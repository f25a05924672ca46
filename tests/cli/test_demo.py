"""The demonstration: its plan is pure, its run is real, it leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from gateway.cli.demo_plan import plan
from gateway.cli.demo_zendesk import ZendeskDouble
from gateway.cli.processes import environment
from tests.cli.test_up import alive, descendants

NOW_S = 1_790_000_000.0


def run(folder, *arguments):
    env = environment({"TMPDIR": str(folder), "PLANHAT_API_TOKEN": "a-real-token", "REDIS_URL": "redis://127.0.0.1:1"})
    command = [sys.executable, "-m", "gateway", "demo", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def folder():
    """A temporary directory whose name is short, because a socket's path must be."""
    path = Path(f"/tmp/d{os.getpid()}")
    path.mkdir()
    yield path
    path.rmdir()  # fails when the demonstration left anything


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_repeats_and_holds_what_the_demonstration_shows(seed):
    told = plan(seed, NOW_S)
    assert told == plan(seed, NOW_S)
    expected = Counter(post.expected for post in told.posts)
    assert expected["refused"] == 1
    assert 0.15 < expected["duplicate"] / len(told.posts) < 0.25
    own = [post for post in told.posts if post.ticket == told.told]
    accepted = [post.stamp_ms for post in own if post.expected == "accepted"]
    assert accepted != sorted(accepted), "the told story has nothing out of order"
    assert {"duplicate", "refused"} <= {post.expected for post in own}
    assert len({post.connection for post in told.posts}) == 3
    assert [story.dead for story in told.stories if story.dead] == ["missing_email"]


@pytest.mark.parametrize("seed", range(20))
def test_a_duplicate_comes_after_what_it_repeats(seed):
    seen: set[str] = set()
    for post in plan(seed, NOW_S).posts:
        assert (post.delivery_id in seen) == (post.expected == "duplicate") or not post.delivery_id
        seen.add(post.delivery_id)


def test_seeds_tell_different_stories():
    assert len({(len(plan(seed, NOW_S).posts), plan(seed, NOW_S).told) for seed in range(10)}) > 5


def test_the_helpdesks_double_answers_show_many():
    double = ZendeskDouble({"users": {"7": {"id": 7, "email": "ada@example.com"}}, "organizations": {}})
    with double.serving(), httpx.Client(trust_env=False) as client:
        assert client.get(f"{double.url}/users/show_many.json?ids=7,8").json() == {
            "users": [{"id": 7, "email": "ada@example.com"}]
        }
        assert client.get(f"{double.url}/users/me").json()["user"]["id"] == 1
        assert client.get(f"{double.url}/macros").status_code == 404
    assert double.asked == {"users": 1}


@pytest.mark.e2e
@pytest.mark.redis
def test_it_shows_the_journey_of_a_ticket_from_what_it_reads_back(folder):
    said = run(folder, "--json", "--seed", "7")
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    expected = Counter(post.expected for post in plan(7, NOW_S).posts)
    assert report["unexpected"] == []
    assert (report["accepted"], report["duplicates"], report["refused"]) == tuple(
        expected[word] for word in ("accepted", "duplicate", "refused")
    )
    assert report["redis_counted"]["deliveries"] == report["accepted"]
    assert report["redis_counted"]["duplicates"] == report["duplicates"]
    assert report["in_planhat"] == report["tickets"] - 1
    assert [row["reason"] for row in report["dead"]] == ["missing_email"]
    assert report["status"]["pending"] == 0
    assert 1 <= report["calls"] <= 3
    assert report["lookups"]["users"] >= 1
    assert report["seconds"] < 20
    journey = report["journey"]
    assert len([row for row in journey["arrived"] if row["answer"] == "accepted"]) == 8
    assert any(row["out_of_order"] for row in journey["arrived"])
    assert journey["planhat"]["status"] == "solved"
    assert [row["status"] for row in journey["planhat"]["history"]] == ["new", "open", "pending", "open", "solved"]


@pytest.mark.e2e
@pytest.mark.redis
def test_a_person_sees_it_in_words(folder):
    said = run(folder, "--seed", "3")
    assert said.returncode == 0, said.stderr
    for words in (
        "The journey of ticket zendesk:",
        "forged: not signed",
        "the same again: no effect",
        "older than the last",
        "Planhat now holds",
        "status history",
        "missing_email",
    ):
        assert words in said.stdout
    assert re.search(r"\d+ deliveries about \d+ tickets -> \d calls? to Planhat", said.stdout)


@pytest.mark.e2e
@pytest.mark.redis
def test_keep_stays_up_until_ctrl_c_and_then_nothing_is_left(folder):
    command = [sys.executable, "-m", "gateway", "demo", "--keep"]
    env = environment({"TMPDIR": str(folder)})
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "  Redis" in line:
                break
        (url,) = re.findall(r"(http://\S+)/readyz", said)
        assert httpx.get(f"{url}/readyz", trust_env=False).json()["status"] == "ready"
        family = descendants(process.pid)
        assert len(family) == 4
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, said
    assert [pid for pid in family if alive(pid)] == []


@pytest.mark.e2e
@pytest.mark.redis
@pytest.mark.parametrize("after_s", [0.15, 0.6, 1.2])
def test_a_signal_at_any_moment_leaves_nothing_running(folder, after_s):
    command = [sys.executable, "-m", "gateway", "demo"]
    env = environment({"TMPDIR": str(folder)})
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(after_s)
        family = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode != 0
    assert [pid for pid in family if alive(pid)] == []
