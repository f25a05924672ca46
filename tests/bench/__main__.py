"""
Benchmarks: every figure a ratio to a reference of the same run, median and spread of alternating rounds.

    python -m tests.bench NAME|all [--json] [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Final

from tests.bench.harness import Effort
from tests.bench.report import as_json, as_text, machine

NAMES: Final = ("ingest", "latency", "drain", "million", "burst", "scale", "memory", "idle", "startup")


def main(argv: list[str] | None = None) -> int:
    """Run benchmarks and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("name", choices=(*NAMES, "all"))
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--rounds", type=int, default=0, help="alternating rounds (5; 2 with --quick)")
    parser.add_argument("--quick", action="store_true", help="a fifth of the work")
    asked = parser.parse_args(argv)
    effort = Effort(asked.rounds or (2 if asked.quick else 5), 0.2 if asked.quick else 1.0)
    figures = []
    for name in NAMES if asked.name == "all" else (asked.name,):
        if not asked.json:
            sys.stderr.write(f"{name} ...\n")
        figures += importlib.import_module(f"tests.bench.{name}").run(effort)
    print(as_json(machine(), figures) if asked.json else as_text(machine(), figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
