"""`python -m tests.faults`: see tests/faults/chaos.py."""

from __future__ import annotations

import sys

from tests.faults.chaos import main

if __name__ == "__main__":
    sys.exit(main())
