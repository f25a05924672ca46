"""What a mutant is, and what all of them together must break."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]

FATES: Final = {
    "all-counted": "200 and the counts add up: all are acked",
    "error-entries": "200, 206, 400, 403 with error entries: those named are suspects, only what is counted is acked",
    "fewer-counted": "fewer counted than sent, no ids: one listing, sent once more, then unconfirmed",
    "unclear": "2xx that cannot be read, 408, 502, 504, time-out, lost connection: ambiguous, the lease runs out",
    "batch-refused": "400, 413, 422, other 4xx: bisected, buried only after failing alone, ten in a row are systemic",
    "5xx-repeats": "a 5xx that repeats for this batch while others succeed: bisected",
    "partly-permitted": "403 with counts or partial permission errors: per item",
    "call-refused": "401, 403, 404 for the whole call: stopped, nothing buried, probed, resumed by itself",
    "limited": "429: everybody waits as asked; costs no attempt",
    "unavailable": "500, 503: back off for ever; after three in a row one item is sent alone",
    "elsewhere": "3xx, 405: stopped",
}
"""The rows of the table "A batch's fate" (`gateway/core/outcome.py` decides it, `workers/settle.py` carries it out)."""

INVARIANTS: Final = {
    "I1": "nothing acknowledged is lost",
    "I2": "the newest state wins",
    "I3": "a ticket never regresses",
    "I4": "each history entry once",
    "I5": "a call keeps its limits in items and bytes",
    "I6": "the quota is never exceeded, one call in flight",
    "I7": "nothing starves",
    "I8": "nothing forged or malformed changes state or causes a 5xx but 503",
    "I9": "no key, value or secret of one reaches another",
    "I10": "what was used is given back",
    "I11": "every class of fault really happens",
    "I12": "no ticket in two flights",
    "I13": "a duplicate delivery has no second effect",
    "I14": "k poison items cost few extra calls",
    "I15": "what is nowhere else is a dead letter or in quarantine, with a reason",
}

SHARED_FAMILIES: Final = ("standard_webhooks", "cloudevents")
"""Adapters that are no source of their own."""


class Mutant(NamedTuple):
    """
    One planted bug.

    name: for `--only`.
    bug: what is wrong now, in words.
    breaks: what it breaks: a key of `FATES` or `INVARIANTS`, `NAME.lua`, or a source (or one of `SHARED_FAMILIES`).
    file: path from the project's root.
    old: stands in the file exactly once. new: what stands there instead.
    tests: pytest node ids without parameters; each must fail by an assertion.
    """

    name: str
    bug: str
    breaks: tuple[str, ...]
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def text(self) -> str:
        """
        Give the file with the bug in it.

        Raises:
            LookupError: the old text does not stand there exactly once: the mutant has rotted.
        """
        return self.planted((ROOT / self.file).read_text(encoding="utf-8"))

    def planted(self, text: str) -> str:
        """Plant the bug in the text of its file. Raises LookupError as `text` does."""
        count = text.count(self.old)
        if count != 1:
            raise LookupError(f"{self.name}: its old text stands {count} times in {self.file}")
        return text.replace(self.old, self.new)
