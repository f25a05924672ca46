"""The short form of `python -m tests.gate`, and the proof that it would notice an open gate."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from gateway.sources import SOURCES
from tests.gate.flood import flood
from tests.gate.hostile import Attacker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gate.targets import Shot


@pytest.mark.e2e
def test_a_flood_of_hostile_requests_changes_nothing_and_every_authentic_one_is_accepted(tmp_path: Path) -> None:
    came = flood(8_000, random.SystemRandom().randrange(10**6), tmp_path)
    assert came["violations"] == [], came["seed"]
    assert came["requests"] == 8_000


@pytest.mark.e2e
def test_a_gate_that_takes_old_signatures_is_noticed(tmp_path: Path) -> None:
    came = flood(1_000, 11, tmp_path, WEBHOOK_TOLERANCE_S=str(86_400))
    assert any("hostile, but answered 2" in one for one in came["violations"])
    assert any("deliveries are stored" in one for one in came["violations"])


def test_every_source_is_attacked_in_every_way_that_its_proofs_allow() -> None:
    attacker = Attacker(random.Random(3))
    assert {target.name for target in attacker.targets} == set(SOURCES)
    for target in attacker.targets:
        assert target.requests, target.name
        assert target.authentic, target.name
        assert target.tickets, target.name
        assert target.binds >= bool(target.signer.moment), target.name
        assert target.dated >= bool(target.signer.moment), target.name
    for target in attacker.targets:
        alone = Attacker(random.Random(3), [target])
        shots = [alone.authentic(), alone.other_secret(), alone.proof_changed(), alone.proof_lacking()]
        shots += [alone.other_body()] if target.binds else []
        shots += [alone.other_time()] if target.dated else []
        assert all(f" {target.path}".encode() in shot.data for shot in shots), target.name
    kinds = {shot.kind for shot in attacker.shots(500)}
    assert len(kinds) == 12


def test_the_same_seed_makes_the_same_requests_but_for_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    def shots(now_s: float) -> list[Shot]:
        monkeypatch.setattr(time, "time", lambda: now_s)
        return list(Attacker(random.Random(5)).shots(2_000))

    first, later = shots(1_800_000_000.0), shots(1_800_012_345.6)
    assert shots(1_800_000_000.0) == first
    assert [(shot.kind, shot.authentic, shot.signed, shot.alone) for shot in later] == [
        (shot.kind, shot.authentic, shot.signed, shot.alone) for shot in first
    ]
    assert later != first, "the time of day must stand in what is signed"
