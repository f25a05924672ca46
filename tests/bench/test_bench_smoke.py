"""Benchmarks run to their end and give figures; what the figures are is no test's business."""

from __future__ import annotations

import json
import math

import pytest

from tests.bench import drain, ingest
from tests.bench.harness import Effort, Figure, Table
from tests.bench.report import as_json, as_text, machine

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

TINY = Effort(rounds=1, size=0.01)


def sound(figures: list[Figure]) -> bool:
    return bool(figures) and all(one.values and math.isfinite(one.median) and one.median >= 0 for one in figures)


def test_ingest_gives_a_ratio_to_every_reference():
    figures = ingest.run(TINY)
    assert sound(figures)
    assert {"raw ASGI + HMAC", "naive gateway"} <= {one.reference for one in figures}


def test_drain_gives_a_ratio_to_the_bare_loop():
    figures = drain.run(TINY)
    assert sound(figures)
    assert "encode and PUT" in {one.reference for one in figures}


def test_a_ratio_is_made_within_each_round():
    table = Table("bench")
    for ours, theirs in ((1.0, 2.0), (3.0, 3.0), (6.0, 4.0)):
        table.add("ours", ours)
        table.add("theirs", theirs)
    figure = table.ratio("ours", "theirs", target=">= 1")
    assert figure.values == [0.5, 1.0, 1.5]
    said = json.loads(as_json(machine(), [figure]))
    assert said["figures"][0]["median"] == 1.0
    assert "theirs; >= 1" in as_text(machine(), [figure])
