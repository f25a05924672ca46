"""
How a process finds out that Redis forgot what it had told it.

Each process leaves a growing number in Redis with every put and every beat of its watch, and remembers the highest
that Redis confirmed. A Redis that holds a smaller one has lost its tail: a torn file, a replica that took over late.
"""

from __future__ import annotations

import secrets


class Writer:
    """
    One process as Redis knows it.

    name: random, so that no two processes share one. told: the highest number that Redis confirmed.
    """

    def __init__(self) -> None:
        self.name = secrets.token_hex(8)
        self.told = 0
        self._given = 0

    def number(self) -> int:
        """Give the number of the next write; none is given twice, since nobody knows which of two was applied."""
        self._given += 1
        return self._given

    def confirmed(self, number: int) -> None:
        """Remember that Redis has answered the write of this number."""
        self.told = max(self.told, number)
