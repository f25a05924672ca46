"""
Plant every bug and see whether its tests catch it.

    python -m tests.mutants [--only NAME ...] [--json] [--jobs 2]

First all the named tests must pass without a bug. Then prints one line per mutant as it is judged, the table, and
`k of k killed`; exits 1 when a mutant survives or cannot be judged, or a test is unsound. `--only` takes the beginning
of a name, or what is broken (`ack.lua`, `I3`, `limited`, `hubspot`).
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutants.table import MUTANTS
from tests.mutants.workshop import Judged, Workshop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.mutants.mutant import Mutant


def main(words: list[str] | None = None) -> int:
    """Run the mutants that were asked for; print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(words)
    chosen = [one for one in MUTANTS if not options.only or any(_meant(one, word) for word in options.only)]
    if not chosen:
        print("no such mutant", file=sys.stderr)
        return 2
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gw-mutants-") as folder:
        unsound, judged = run(chosen, Path(folder), jobs=max(1, options.jobs))
    took_s = time.monotonic() - began_s
    killed = sum(one.verdict == "killed" for one in judged)
    if options.json:
        breaks = {one.name: one.breaks for one in chosen}
        rows = [one._asdict() | {"breaks": breaks[one.name]} for one in judged]
        print(json.dumps({"killed": killed, "of": len(chosen), "took_s": took_s, "unsound": unsound, "mutants": rows}))
    else:
        _print_table(chosen, judged)
        for sentence in unsound:
            print("UNSOUND", sentence)
        print(f"{killed} of {len(chosen)} killed in {took_s:.0f} s")
    return 0 if killed == len(chosen) and not unsound else 1


def _meant(mutant: Mutant, word: str) -> bool:
    return mutant.name.startswith(word) or word in mutant.breaks


def run(mutants: Sequence[Mutant], folder: Path, *, jobs: int = 2) -> tuple[list[str], list[Judged]]:
    """
    Judge mutants, each job in a copy of the project of its own.

    Args:
        folder: an empty folder.
    Returns:
        What is unsound of their tests (then nothing is judged), and the judgements in the order of `mutants`.
    """
    workshops = []
    for number in range(min(jobs, len(mutants))):
        (folder / str(number)).mkdir()
        workshops.append(Workshop(folder / str(number)))
    tests = sorted({test for one in mutants for test in one.tests})
    print(f"{len(tests)} tests without a bug", file=sys.stderr, flush=True)
    unsound = workshops[0].unsound(tests)
    if unsound:
        return unsound, []
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(mutants)):
        waiting.put(number)
    judged: dict[int, Judged] = {}

    def work(workshop: Workshop) -> None:
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            one = judged[number] = workshop.try_out(mutants[number])
            said = "" if one.verdict == "killed" else f"  {one.why}"
            progress = f"[{len(judged):3d}/{len(mutants)}] {one.verdict:8s} {one.took_s:5.1f} s  {one.name}{said}"
            print(progress, file=sys.stderr, flush=True)

    threads = [threading.Thread(target=work, args=(workshop,)) for workshop in workshops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [], [judged[number] for number in sorted(judged)]


def _print_table(mutants: Sequence[Mutant], judged: Sequence[Judged]) -> None:
    by_name = {one.name: one for one in judged}
    for mutant in mutants:
        one = by_name.get(mutant.name)
        verdict = one.verdict if one else "not run"
        print(f"{verdict:8s}  {mutant.name:44s}  {', '.join(mutant.breaks):32s}  {mutant.bug}")
        if one and one.verdict != "killed":
            print(f"          {one.why}")


if __name__ == "__main__":
    sys.exit(main())
