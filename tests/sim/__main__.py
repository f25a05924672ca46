"""
Seeded simulations of the whole way, in virtual time.

    python -m tests.sim --seeds 1000 --from 0 [--workers 2] [--state FILE] [--json] | --trace SEED
    python -m tests.sim --plant ack-ignores-the-cut

Prints which modules were replaced, progress, and at the end events, faults and violations. Exits 1 on a violation, or
when a class of fault never happened in 200 seeds or more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

SLICE = 25
"""Seeds of one piece of work; figures are kept after each."""


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--from", dest="first", type=int, default=None, help="the first; with --state: the next one")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--state", type=Path, default=None, help="a file that accumulates the figures over runs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trace", type=int, default=None, metavar="SEED", help="print all that happens in one seed")
    parser.add_argument("--plant", default=None, metavar="NAME", help="look for a planted bug (tests/sim/planted.py)")
    return parser.parse_args(words)


def trace(seed: int) -> int:
    """Print one seed's course."""
    from tests.sim.run import run

    result = run(seed, keep=True)
    print("\n".join(result.lines))
    print(f"trace {result.trace}  events {result.events}  virtual {result.virtual_s:.0f} s")
    print("\n".join(f"VIOLATION {said}" for said in result.violations) or "no violation")
    return 1 if result.violations else 0


def hunt(name: str, seeds: int) -> int:
    """Run seeds with a planted bug until one shows it; exit 0 when it was found."""
    from tests.sim.planted import PLANTED
    from tests.sim.run import run

    for seed in range(seeds):
        result = run(seed, store_type=PLANTED[name])
        if result.violations:
            print(f"{name}: found by seed {seed}: {result.violations[0]}")
            return 0
    print(f"{name}: not found in {seeds} seeds")
    return 1


def main(words: list[str] | None = None) -> int:
    """Run seeds; print their figures."""
    from tests.sim import report
    from tests.sim.clocks import REPLACED
    from tests.sim.many import pieces

    options = arguments(words)
    if options.trace is not None:
        return trace(options.trace)
    if options.plant:
        return hunt(options.plant, options.seeds)
    total = report.read(options.state) if options.state else report.Figures()
    first = options.first
    if first is None:
        first = total.ranges[-1][1] if total.ranges else 0
    print("replaced:\n  " + "\n  ".join(REPLACED), file=sys.stderr, flush=True)
    spans = [(at, min(at + SLICE, first + options.seeds)) for at in range(first, first + options.seeds, SLICE)]
    began = shown = time.monotonic()
    done = 0
    for figures in pieces(spans, options.workers):
        total.join(figures)
        done += figures.seeds
        if options.state:
            report.write(options.state, total)
        now = time.monotonic()
        if now - shown > 10 or done == options.seeds:
            shown = now
            print(
                f"{done}/{options.seeds} seeds, {done / (now - began):.1f}/s, {total.deliveries} deliveries, "
                f"{total.events} events, {total.faults} faults, {total.violating} violating",
                file=sys.stderr,
                flush=True,
            )
    print(json.dumps(total.as_json()) if options.json else report.table(total))
    never = total.never if total.seeds >= report.MUST_MEET_SEEDS else []
    for name in never:
        print(f"NEVER HAPPENED: {name}")
    return 1 if total.violating or never else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # one order of every set of texts: the same number is the same trace
        again = [sys.executable, "-m", "tests.sim", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - this program again
    sys.exit(main())
