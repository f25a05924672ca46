"""
A storm on real processes: signed Zendesk deliveries, duplicated and reordered, through web and workers that are killed,
into a Planhat that answers 429, 503, late or never.

    python -m tests.faults.storm [--deliveries 2000] [--tickets 300] [--seed N] [--kill-every 3] [--json]

Prints its seed, its figures and every violation; exits 1 when there is one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.processes import kill_and_start
from tests.faults.stage import Stage

if TYPE_CHECKING:
    from tests.faults.helpdesk import Delivery, Helpdesk
    from tests.faults.processes import Process


def deliveries(helpdesk: Helpdesk, chance: random.Random, total: int, duplicates: float) -> list[Delivery]:
    """Make the deliveries: changes, some deletions, duplicates later, neighbours swapped."""
    tickets = list(helpdesk.tickets.values())
    distinct = int(total / (1 + duplicates))
    made = [helpdesk.change(ticket) for ticket in tickets]
    made += [helpdesk.change(chance.choice(tickets)) for _ in range(distinct - len(made) - len(tickets) // 20)]
    made += [helpdesk.delete(ticket) for ticket in chance.sample(tickets[10:], k=len(tickets) // 20)]
    for _ in range(total - len(made)):
        at = chance.randrange(len(made))
        made.insert(min(len(made), at + chance.randint(0, 40)), made[at])
    for at in range(len(made) - 1):
        other = min(len(made) - 1, at + chance.randint(0, 5))
        made[at], made[other] = made[other], made[at]
    return made


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run one storm and judge it."""
    chance = random.Random(options.seed)
    directory = Path(tempfile.mkdtemp(prefix="storm-"))
    faults = dict.fromkeys(("rate_limit", "unavailable", "late", "lost"), options.rate)
    began = time.monotonic()
    with Stage(
        directory,
        chance,
        tickets=options.tickets,
        workers=2,
        faults=faults,
        more={"BATCH_MAX_ITEMS": str(options.batch_items)},
        rate_per_s=options.rate_per_s,
    ) as stage:
        made = deliveries(stage.helpdesk, chance, options.deliveries, 0.2)
        over = threading.Event()
        killer = threading.Thread(target=_kill, args=(stage.workers, over, options.kill_every))
        killer.start()
        stage.sender.send_all(made)
        sent_s = time.monotonic() - began
        over.set()
        killer.join()
        violations, figures = stage.verdict(options.patience)
        settled_s = time.monotonic() - began
        violations += stage.end()
        kills = sum(worker.kills for worker in stage.workers)
        return {
            "seed": options.seed,
            "deliveries": len(made),
            "tickets": len(stage.helpdesk.tickets),
            "worker_kills": kills,
            "helpdesk_calls": stage.helpdesk.lookups,
            "sent_s": round(sent_s, 1),
            "settled_s": round(settled_s, 1),
            **figures,
            "violations": violations,
            "logs": str(directory),
        }


def _kill(workers: list[Process], over: threading.Event, every_s: float) -> None:
    """Kill one worker after the other, each started again at once."""
    turn = 0
    while not over.wait(every_s):
        kill_and_start(workers[turn % len(workers)])
        turn += 1


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=2000)
    parser.add_argument("--tickets", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--kill-every", type=float, default=3.0, help="seconds between two kill -9 of a worker")
    parser.add_argument("--rate", type=float, default=0.05, help="of each of 429, 503, late, lost")
    parser.add_argument("--batch-items", type=int, default=40, help="small, so that many calls meet the faults")
    parser.add_argument("--rate-per-s", type=float, default=60.0, help="deliveries a second")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds to wait for everything to settle")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6)
    return options


def main(words: list[str] | None = None) -> int:
    """Run a storm; print its figures."""
    options = arguments(words)
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    result = run(options)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            if name != "violations":
                print(f"{name:>18}  {value}")
        for violation in result["violations"]:
            print("VIOLATION", violation)
        print(f"{len(result['violations'])} violations")
    return 1 if result["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
