"""The short forms of the long fault runs (deploy/docs/faults.md): few classes, each counted where it is observed."""

from __future__ import annotations

import asyncio
import random
import secrets
import time

import pytest

from gateway.store.client import connect
from gateway.store.pending import Store
from tests.faults import chaos, losses, outage
from workers.compact import compact
from workers.deps import Deps
from workers.planhat.client import PlanhatClient
from workers.settings import from_env

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.slow]

CLASSES = ("redis_kill", "script_flush", "web_kill", "worker_kill", "planhat_page", "older_release")


def test_nothing_is_lost_while_processes_die_and_planhat_misbehaves() -> None:
    words = ["--minutes", "0.25", "--events", "600", "--seed", "4", "--gap-s", "0.2", "0.6", "--patience", "60"]
    result = chaos.run(chaos.arguments([*words, "--classes", ",".join(CLASSES)]))
    assert result["violations"] == []
    assert result["never_seen"] == []
    assert {name for name in CLASSES if result["classes"][name]["seen"]} == set(CLASSES)
    answers = result["answers"]
    assert answers["200 duplicate"] and answers["401 refused"] and answers["503 unavailable"]


def test_what_redis_itself_loses_is_noticed_within_seconds() -> None:
    result = losses.run("loss_aof_tail", 11, events=240, whole=False)
    assert result["violations"] == []
    assert result["tickets_in_lost_seconds"] > 0
    assert result["noticed_s"] < losses.NOTICED_S


def join_now(redis_url: str) -> None:
    """Compact without waiting for the workers' clock."""

    async def work() -> None:
        redis = connect(redis_url)
        settings = from_env({"REDIS_URL": redis_url, "PLANHAT_API_TOKEN": "x" * 20})
        async with PlanhatClient("http://localhost", "x" * 20, timeout_s=1) as planhat:
            deps = Deps(
                store=Store(redis),
                planhat=planhat,
                settings=settings,
                token=lambda: secrets.token_hex(8),
                jitter=random.random,
                monotonic=time.monotonic,
            )
            await compact(deps, old_ms=0)
        await redis.aclose()

    asyncio.run(work())


def test_after_an_outage_everything_leaves_oldest_first_and_newcomers_are_not_starved() -> None:
    words = ["--events", "6000", "--tickets", "600", "--seed", "3", "--rate", "3000", "--batch-items", "20"]
    words += ["--calm-tickets", "150", "--new-per-s", "20", "--drain-minutes", "3"]
    result = outage.run(outage.arguments(words), compact=join_now)
    assert result["violations"] == []
    assert result["settled_times"] <= outage.MEMORY_TIMES
    assert result["pending_at_end"] == 0 and result["newcomers"] > 0 and result["newcomers_waiting"] == 0
    assert result["compared_with_the_truth"] == 600 + result["newcomers"]
