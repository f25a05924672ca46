"""
Chaos: real processes, random faults, one judge.

    python -m tests.faults [--minutes 3] [--events N] [--seed N] [--json] [--classes a,b] [--no-losses]

Two webs and two workers behind fault proxies, a Redis with `appendfsync always`, the Planhat sandbox; signed deliveries
all the time, repeated, out of order, some forged. Meanwhile faults in a seeded schedule: one at a time in each place
(bridge, workers, webs, Planhat, operator), the places overlapping as they like. Then everything is mended, dead letters
are replayed, and the judge, who knows neither package, compares what Planhat holds with what the helpdesk knows.

A class counts when its effect was observed, not when it was injected; a run of 20 minutes and more fails when a class
was never seen. Afterwards the faults that lose data in Redis itself, in runs of their own (tests/faults/losses.py).
deploy/docs/faults.md tells each class.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.faults import by_hand, losses, on_planhat, on_processes, on_redis
from tests.faults.processes import command
from tests.faults.stage import Stage
from tests.faults.story import CATALOGUE, GW, PLACES, Scene
from tests.faults.traffic import FORGERIES, Traffic
from tests.faults.watch import Watch

if TYPE_CHECKING:
    from tests.faults.story import Fault, Story

STORIES: Final = (by_hand, on_planhat, on_processes, on_redis)
"""The modules whose stories are in the catalogue."""
LONG_MINUTES: Final = 20.0
SENT: Final[dict[str, str]] = {
    "duplicate": "event:duplicate",
    "out_of_order": "event:out of order",
    "sent_again_after_failure": "event:repeated",
    "unreadable": "event:unreadable",
    **{f"signature_{kind}": f"event:{kind}" for kind in FORGERIES},
}
"""Classes that the sender commits all the time, and the effect that counts."""
MENDED: Final = ("refused", "unconfirmed")
"""Reasons of dead letters that Planhat's faults make; when it is well again a replay must end them."""
CALM: Final = {"worker": 3.0, "operator": 2.0}
"""Longer gaps where each fault holds Planhat's calls up (a killed worker's slot lapses after up to 30 s)."""
LEFT_OVER: Final = ("lease", "doubt", "suspects", "slots", "due")
"""Keys that must be empty when everything has settled."""


class Director:
    """Runs stories: one at a time in each place, in an order that meets every class before any comes twice."""

    def __init__(self, scene: Scene, faults: list[Fault], *, gap_s: tuple[float, float]) -> None:
        self.scene, self.faults, self.gap_s = scene, faults, gap_s
        self.begun: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.most_at_once = 0
        self._decks: dict[str, list[Fault]] = {}
        self._free_at: dict[str, float] = {}
        self._active: dict[str, tuple[Fault, Story]] = {}
        self._wakes: list[tuple[float, str]] = []

    def run(self, until: float) -> None:
        """Let stories happen until a time (monotonic), then end those under way, those of the bridge first."""
        places = [place for place in PLACES if any(one.place == place for one in self.faults)]
        for place in places:
            self._free_at[place] = time.monotonic() + self.scene.chance.uniform(0.0, self.gap_s[1])
        try:
            while (now := time.monotonic()) < until:
                for place in places:
                    if place not in self._active and self._free_at[place] <= now:
                        self._begin(place)
                while self._wakes and self._wakes[0][0] <= time.monotonic():
                    self._step(heapq.heappop(self._wakes)[1])
                soonest = min([until, *(at for at, _ in self._wakes[:1])])
                time.sleep(max(0.001, min(0.1, soonest - time.monotonic())))
            self._finish()
        finally:
            for place in PLACES:
                if place in self._active:
                    self._active.pop(place)[1].close()

    def _finish(self) -> None:
        """Let the stories under way come to their own end."""
        until = time.monotonic() + 90
        while self._active and time.monotonic() < until:
            while self._wakes and self._wakes[0][0] <= time.monotonic():
                self._step(heapq.heappop(self._wakes)[1])
            time.sleep(0.02)

    def _begin(self, place: str) -> None:
        deck = self._decks.setdefault(place, [])
        if not deck:
            deck += [one for one in self.faults if one.place == place]
            self.scene.chance.shuffle(deck)
        one = deck.pop()
        self.begun[one.name] += 1
        self._active[place] = (one, one.story(self.scene))
        self.most_at_once = max(self.most_at_once, len(self._active))
        self._step(place)

    def _step(self, place: str) -> None:
        one, story = self._active[place]
        try:
            pause_s = next(story)
        except StopIteration as end:
            self.seen[one.name] += int(end.value or 0)
            del self._active[place]
            gap_s = self.scene.chance.uniform(*self.gap_s) * CALM.get(place, 1.0)
            self._free_at[place] = time.monotonic() + gap_s
        else:
            heapq.heappush(self._wakes, (time.monotonic() + pause_s, place))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run the main phase: nothing may be lost."""
    chance = random.Random(options.seed)
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    began = time.monotonic()
    rate = options.events / (options.minutes * 60)
    with Stage(
        directory,
        chance,
        tickets=max(60, options.events // 60),
        workers=2,
        webs=2,
        more={"BATCH_MAX_ITEMS": str(options.batch_items)},
        redis_config={"appendfsync": "always", "busy_reply_threshold": 200},
        rate_per_s=rate,
        proxied=True,
        tied=True,
        sender_timeout_s=4.0,
    ) as stage:
        traffic = Traffic(stage.helpdesk, chance, options.events)
        scene = Scene(stage, Watch(stage), random.Random(options.seed + 1), traffic)
        director = Director(scene, options.faults, gap_s=options.gap_s)
        sending = threading.Thread(target=stage.sender.send, args=(traffic, 16))
        sending.start()
        director.run(began + options.minutes * 60)
        heal(scene)
        sending.join()
        sent_s = time.monotonic() - began
        violations, figures = settle_and_judge(scene, options.patience)
        settled_s = time.monotonic() - began
        violations += stage.end()
        scene.watch.look()
        violations += [f"an exception that no code expected: {defect}" for defect in scene.watch.defects]
        seen = director.seen + Counter({name: scene.watch.counts[effect] for name, effect in SENT.items()})
        expected = [*director.begun, *(SENT if not options.classes else ())]
        never = sorted(name for name in expected if not seen[name])
        if options.minutes >= LONG_MINUTES:
            wanted = {one.name for one in options.faults} | set(SENT)
            violations += [f"the class {name} was never seen" for name in sorted(wanted) if not seen[name]]
        return {
            "seed": options.seed,
            "minutes": round(options.minutes, 2),
            "events": sum(stage.sender.events[name] for name in ("sent", *FORGERIES)),
            "tries": sum(stage.sender.answers.values()),
            "tickets": sum(1 for one in stage.helpdesk.tickets.values() if one.versions),
            "classes_seen": sum(1 for count in seen.values() if count),
            "faults_begun": sum(director.begun.values()),
            "effects_seen": sum(seen.values()),
            "most_at_once": director.most_at_once,
            "never_seen": never,
            "sent_s": round(sent_s, 1),
            "settled_s": round(settled_s, 1),
            **figures,
            "classes": {
                name: {"begun": director.begun[name] or None, "seen": seen[name]} for name in sorted(set(expected))
            },
            "violations": violations,
            "logs": str(directory),
        }


def heal(scene: Scene) -> None:
    """Mend everything: whatever stopped in the middle is over now."""
    stage = scene.stage
    for net in stage.nets:
        net.heal()
    stage.helpdesk.failing = False
    stage.change_faults(dict.fromkeys(on_planhat.RATES, 0.0))
    for child in (*stage.webs, *stage.workers):
        if child.ended is not None:
            child.start()
    by_hand.newer_release_is_here(scene)
    command(["resume"], stage.operator_environment, as_json=False, attempts=20)


def settle_and_judge(scene: Scene, patience_s: float) -> tuple[list[str], dict[str, Any]]:
    """
    Wait for calm, replay what Planhat's faults made dead letters, wait again, judge.

    Returns:
        Violations, and figures.
    """
    stage, replayed = scene.stage, 0
    environment = stage.operator_environment
    stage.settle(patience_s)
    violations = []
    for row in command(["dead", "list", "--limit", "100000"], environment):
        if not row["reason"] or not row["detail"]:
            violations.append(f"{row['id']}: a dead letter without a reason that a person can read (I15)")
    for reason in MENDED:
        for row in command(["dead", "replay", "--reason", reason], environment):
            replayed += row["tickets"]
    found, figures = stage.verdict(patience_s)
    violations += found
    kept = command(["dead", "list", "--kind", "delivery", "--limit", "100000"], environment)
    # Without a readable body there is no id to know a repeat by: what was sent again may be kept twice.
    taken, again = len(stage.sender.quarantined), stage.sender.events["unreadable, sent again"]
    if not taken <= len(kept) <= taken + again:
        violations.append(f"{taken} unreadable deliveries taken in, {len(kept)} kept (I15)")
    left = {name: scene.redis("EXISTS", f"{GW}{name}") for name in LEFT_OVER}
    violations += [
        f"{GW}{name} is not empty after everything has settled (I10)" for name, there in left.items() if there
    ]
    figures |= {"dead_letters_replayed": replayed, "quarantined": len(kept)}
    figures["older_release_tickets"] = len(stage.left_behind)
    figures["newer_release_tickets"] = len(set(stage.newer))
    return violations, figures


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of faults; then everything is mended (default 3)")
    parser.add_argument("--events", type=int, help="deliveries in that time (default 40 a second)")
    parser.add_argument("--seed", type=int, help="of traffic and schedule (default: a random one, printed)")
    parser.add_argument("--classes", default="", help="only these classes, by name, comma-separated")
    parser.add_argument("--batch-items", type=int, default=40, help="small, so that many calls meet the faults")
    parser.add_argument(
        "--gap-s", type=float, nargs=2, default=(1.0, 6.0), metavar=("MIN", "MAX"), help="in each place"
    )
    parser.add_argument("--patience", type=float, default=600.0, help="seconds to wait for everything to settle")
    parser.add_argument("--no-losses", action="store_true", help="leave out the runs that lose data in Redis itself")
    parser.add_argument("--list", action="store_true", help="list the classes and end")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6)
    if options.events is None:
        options.events = int(options.minutes * 60 * 40)
    names = [name for name in options.classes.split(",") if name]
    if unknown := sorted(set(names) - CATALOGUE.keys()):
        parser.error(f"no class {', '.join(unknown)}; --list shows all")
    options.faults = [CATALOGUE[name] for name in names or CATALOGUE]
    return options


def main(words: list[str] | None = None) -> int:
    """Run; print the figures; 1 when there is a violation."""
    options = arguments(words)
    if options.list:
        for one in CATALOGUE.values():
            print(f"{one.name:22} {one.place:9} {one.what}; counts: {one.seen}")
        return 0
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    result = run(options)
    if not options.no_losses and not options.classes:
        result["losses"] = [losses.run(name, options.seed) for name in losses.CLASSES]
        result["violations"] += [
            f"{one['class']}: {said}" for one in result["losses"] for said in one.pop("violations")
        ]
        result["classes_seen"] += len(result["losses"])
    if options.json:
        print(json.dumps(result))
    else:
        show(result)
    return 1 if result["violations"] else 0


def show(result: dict[str, Any]) -> None:
    """Print a result for a person."""
    for name, value in result.items():
        if name not in ("violations", "classes", "losses"):
            print(f"{name:>24}  {value}")
    for name, counts in result.get("classes", {}).items():
        print(f"{name:>24}  begun {counts['begun'] or '-':>4}  seen {counts['seen']:>6}")
    for one in result.get("losses", []):
        print(f"{one['class']:>24}  lost {one['lost_s']} s, noticed after {one['noticed_s']} s")
    for violation in result["violations"]:
        print("VIOLATION", violation)
    print(f"{len(result['violations'])} violations")
