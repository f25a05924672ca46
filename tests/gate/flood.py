"""
The flood: hostile requests by the hundred thousand against a real web process, and what must be true of it afterwards.
"""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.sources import SOURCES
from tests.gate.client import fire
from tests.gate.hostile import CANARY, Attacker
from tests.gate.stage import Stage
from tests.gate.targets import Target, parsed
from tests.sources.signers import SIGNERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gate.targets import Shot

MEMORY_MAX_KIB: Final = 50 * 1024
SIGNED_MIN: Final = 0.3
AUTHENTIC_MIN: Final = 0.007
"""Of all shots; of every whole hundred one is."""
TAKEN: Final = ("accepted", "duplicate")
LOG_LINES_A_MINUTE: Final = 5
"""Of one kind and connection (`gateway.telemetry.THROTTLE_LINES`)."""
_MAIL: Final = re.compile(rb"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_WORST: Final = 20


@dataclass
class Score:
    """
    What became of the shots.

    answers: by kind, the answers by status; 0 is a connection that ended, or stayed silent, without one.
    handshakes: hostile requests that had become one, which is answered to anybody and changes nothing.
    violations: the first few, each with what it takes to make the shot again.
    """

    answers: dict[str, Counter[int]] = field(default_factory=dict)
    signed: int = 0
    authentic: int = 0
    handshakes: int = 0
    distinct: set[int] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    def judge(self, shot: Shot, status: int, answer: bytes) -> None:
        """Look at one answer."""
        self.answers.setdefault(shot.kind, Counter())[status] += 1
        self.signed += shot.signed
        self.distinct.add(hash(shot.data))
        if shot.authentic:
            self.authentic += 1
            if not _taken(status, answer):
                self.violation(f"authentic, but answered {status}", shot, answer)
        elif 200 <= status < 300 and _is_handshake(shot):
            self.handshakes += 1
        elif status >= 500 or 0 < status < 400 or (not status and not shot.alone):
            self.violation(f"hostile, but answered {status or 'nothing'}", shot, answer)
        if CANARY.encode() in answer:
            self.violation("the answer repeats what the stranger sent", shot, answer)

    def violation(self, what: str, shot: Shot, answer: bytes) -> None:
        """Keep the first few."""
        if len(self.violations) < _WORST:
            self.violations.append(f"{what}: {shot.kind}: {shot.data[:600]!r} -> {answer[-200:]!r}")

    @property
    def total(self) -> int:
        """Give how many shots were judged."""
        return sum(sum(one.values()) for one in self.answers.values())


def _is_handshake(shot: Shot) -> bool:
    name = shot.data.partition(b"/webhooks/")[2].split(maxsplit=1)[0].partition(b"?")[0].decode("latin-1")
    try:
        return name in SOURCES and Target(name).is_handshake(parsed(shot.data))
    except ValueError:
        return False


def _taken(status: int, answer: bytes) -> bool:
    """Say whether an answer means "stored" (or "stored before"); sources with a body of their own say it by 2xx."""
    if not 200 <= status < 300:
        return False
    try:
        said = orjson.loads(answer.partition(b"\r\n\r\n")[2])
    except orjson.JSONDecodeError:
        return True
    return not isinstance(said, dict) or said.get("status", "accepted") in TAKEN


def flood(count: int, seed: int, directory: Path | None = None, **settings: str) -> dict[str, Any]:
    """
    Fire `count` shots at a web process of its own; give the figures and every violation.

    The memory is counted from after the first shots, which fill what a process fills once, to the highest it ever was.

    Args:
        directory: where log and data stay; a temporary one when it is left out.
        settings: further settings of the web process.
    """
    attacker = Attacker(random.Random(seed))
    score = Score()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gate-") as own, Stage(directory or Path(own), **settings) as stage:
        first = max(200, min(20_000, count // 10))
        fire(stage.port, attacker.shots(first), score.judge)
        warm_kib = stage.memory_kib()
        fire(stage.port, attacker.shots(count - first), score.judge)
        took_s = time.monotonic() - began
        peak_kib = stage.memory_kib("VmHWM")
        metrics = stage.metrics()
        answers = stage.answers()
        tickets, counters = stage.bridge()
        log = stage.log()
        figures = {
            "seed": seed,
            "requests": score.total,
            "distinct": len(score.distinct),
            "sources": len(SOURCES),
            "authentic": score.authentic,
            "signed_for_something_else": score.signed,
            "handshakes": score.handshakes,
            "took_s": round(took_s, 1),
            "requests_per_s": round(score.total / took_s),
            "memory_mib": round(warm_kib / 1024, 1),
            "memory_growth_mib": round((peak_kib - warm_kib) / 1024, 1),
            "log_lines": log.count("\n"),
            "metric_lines": sum(not line.startswith("#") for line in metrics.splitlines()),
            "answers": {kind: dict(sorted(found.items())) for kind, found in sorted(score.answers.items())},
        }
    violations = score.violations
    violations += _shares(score)
    violations += _effects(attacker, score, tickets, counters)
    violations += _leaks(attacker, {"log": log, "metrics": metrics})
    violations += _notes(score, answers, log, metrics, took_s)
    if peak_kib - warm_kib > MEMORY_MAX_KIB:
        violations.append(f"memory grew by {peak_kib - warm_kib} KiB")
    return {**figures, "violations": violations}


def _shares(score: Score) -> Iterator[str]:
    if score.signed < SIGNED_MIN * score.total:
        yield f"only {score.signed} of {score.total} carry a valid signature of something else"
    if score.authentic < AUTHENTIC_MIN * score.total:
        yield f"only {score.authentic} of {score.total} are authentic"


def _effects(attacker: Attacker, score: Score, tickets: set[str], counters: dict[str, int]) -> Iterator[str]:
    """Redis holds what the authentic shots said, and nothing else."""
    stored = counters.get("deliveries", 0) + counters.get("duplicates", 0)
    if stored != score.authentic:
        yield f"{stored} deliveries are stored, {score.authentic} were authentic"
    if counters["quarantine"]:
        yield f"{counters['quarantine']} deliveries are quarantined"
    strange = tickets - {ticket for target in attacker.targets for ticket in target.tickets}
    if strange:
        yield f"tickets that nobody authentic named: {sorted(strange)[:5]}"


def _leaks(attacker: Attacker, texts: dict[str, str]) -> Iterator[str]:
    """No secret, no address and nothing that a stranger wrote stands in a text of ours."""
    hidden = {secret for signer in SIGNERS.values() for secret in signer.secrets} | {CANARY}
    bodies = [request.body for target in attacker.targets for request in target.requests]
    hidden |= {found.decode() for body in bodies for found in _MAIL.findall(body)}
    for where, text in texts.items():
        for one in hidden:
            if one in text:
                yield f"{one!r} stands in the {where}"


def _notes(score: Score, answers: Counter[str], log: str, metrics: str, took_s: float) -> Iterator[str]:
    """Every refusal is counted, few are logged, none is a defect of ours."""
    for sign in ("Traceback", "defect in our own code", "gateway_adapter_errors_total{"):
        if sign in log or sign in metrics:
            yield f"{sign!r} in log or metrics"
    refused = sum(found[401] for found in score.answers.values())
    unheard = sum(found[0] for found in score.answers.values())
    if not refused <= answers["refused"] <= refused + unheard:
        yield f"{refused} were answered 401, {answers['refused']} are counted"
    most = 20 + 6 * LOG_LINES_A_MINUTE * (len(SOURCES) + 1) * (int(took_s / 60) + 2)
    if log.count("\n") > most:
        yield f"{log.count(chr(10))} log lines, more than {most}"
    label = re.compile(r'connection="([^"]*)"')
    unknown = set(label.findall(metrics)) - set(SOURCES)
    if unknown:
        yield f"metrics name connections that are not configured: {sorted(unknown)[:5]}"
