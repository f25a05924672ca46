"""
A flood of hostile requests against a real web process with a real Redis.

    python -m tests.gate [--requests 1000000] [--seed S] [--json]

At least 30 % carry a signature that is valid for another body, time, connection or secret; 1 % are authentic and must
all be accepted. Prints its seed, its figures and every violation (a 5xx, a hostile request accepted, an authentic one
refused, memory, a leak); exits 1 when there is one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys

from tests.gate.flood import flood


def main(words: list[str] | None = None) -> int:
    """Run one flood; print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}", file=sys.stderr, flush=True)
    result = flood(options.requests, seed)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            if name == "answers":
                for kind, found in value.items():
                    print(f"{kind:>30}  {', '.join(f'{status}: {count:,}' for status, count in found.items())}")
            elif name != "violations":
                print(f"{name:>30}  {value:,}" if isinstance(value, int | float) else f"{name:>30}  {value}")
        for violation in result["violations"]:
            print("VIOLATION", violation)
        print(f"{len(result['violations'])} violations")
    return 1 if result["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
