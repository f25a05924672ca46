"""Real processes, killed: web, worker and Redis. Each run ends with the sink equal to the oracle and nothing lost."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.processes import ask, command, kill_and_start
from tests.faults.stage import Stage
from tests.faults.storm import arguments, deliveries, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.redis]


def test_a_worker_killed_in_the_middle_of_a_call_loses_nothing(tmp_path: Path) -> None:
    chance = random.Random(11)
    with Stage(tmp_path, chance, tickets=40, rate_per_s=400) as stage:
        made = deliveries(stage.helpdesk, chance, 160, 0.2)
        stage.change_faults({"PUT:slow": 1.0})
        stage.sender.send_all(made[:80])
        for _ in range(200):
            if stage.stats().get("puts_in_flight"):
                break
            time.sleep(0.02)
        assert stage.stats()["puts_in_flight"] == 1, "the worker must be killed while its call is under way"
        kill_and_start(stage.workers[0])
        stage.change_faults({"PUT:slow": 0.0})
        stage.sender.send_all(made[80:])
        violations, figures = stage.verdict(60)
        violations += stage.end()
    assert violations == []
    assert figures["dead_letters"] == {"missing_email": 3}


def test_a_web_process_killed_between_puts_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(12)
    with Stage(tmp_path, chance, tickets=40, rate_per_s=80) as stage:
        made = deliveries(stage.helpdesk, chance, 300, 0.2)
        sending = threading.Thread(target=stage.sender.send_all, args=(made,))
        sending.start()
        for _ in range(3):
            time.sleep(0.9)
            kill_and_start(stage.web)
        sending.join()
        violations, figures = stage.verdict(60)
        kills = stage.web.kills
    assert violations == []
    assert kills == 3
    assert figures["answers"].get("cut", 0) + figures["answers"].get("refused", 0) > 0, "the kills must be felt"


def test_a_redis_restart_with_its_file_loses_nothing(tmp_path: Path) -> None:
    chance = random.Random(13)
    with Stage(tmp_path, chance, tickets=40, rate_per_s=60) as stage:
        made = deliveries(stage.helpdesk, chance, 240, 0.2)
        sending = threading.Thread(target=stage.sender.send_all, args=(made,))
        sending.start()
        for _ in range(2):
            time.sleep(1.2)
            stage.redis.kill()
            time.sleep(0.5)
            status, answer = ask(f"http://127.0.0.1:{stage.web_port}/readyz")
            assert status == 503, answer
            stage.redis.start()
        sending.join()
        violations, figures = stage.verdict(60)
        violations += stage.end()
    assert violations == []
    assert any(answer.startswith("503") for answer in figures["answers"]), "the outage must have been felt"


def test_a_call_still_open_20_s_after_sigterm_is_abandoned_as_ambiguous(tmp_path: Path) -> None:
    chance = random.Random(14)
    more = {"PLANHAT_TIMEOUT_S": "60", "PLANHAT_HOLD_S": "30"}
    with Stage(tmp_path, chance, tickets=5, rate_per_s=400, more=more) as stage:
        stage.change_faults({"PUT:late": 1.0})
        stage.sender.send_all([stage.helpdesk.change(ticket) for ticket in list(stage.helpdesk.tickets.values())[3:]])
        for _ in range(200):
            if stage.stats().get("puts_in_flight"):
                break
            time.sleep(0.05)
        took_s = stage.workers[0].end()
        (status,) = command(["status"], stage.web_environment)
    assert 18 <= took_s <= 25, took_s
    assert (status["pending"], status["leased"]) == (2, 2), "neither acked nor released: an older call may still land"


def test_a_short_storm_ends_with_the_sink_equal_to_the_oracle() -> None:
    result = run(arguments(["--deliveries", "400", "--tickets", "60", "--seed", "5", "--rate-per-s", "50"]))
    assert result["violations"] == []
    assert result["worker_kills"] >= 2
    assert sum(count for name, count in result.items() if name.startswith("fault_")) > 0
