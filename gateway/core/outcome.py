"""
What one bulk call came to, and what follows for its items.

`BulkOutcome` is the answer as `workers/planhat/wire.py` read it; `decide` is the table "A batch's fate" (DESIGN §2),
row by row. Decisions that need memory (a 5xx that repeats, a third failure in a row, ten lone failures, the second
read-back) are the caller's: it keeps counts, this module keeps none.

Source: DESIGN §2; Planhat's bulk answer and status codes, planhat.com/developers/api/ (bulk-upsert,
http-response-codes), documented; error entries have no documented shape.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TEXT_CAP: Final = 500
"""Planhat's words are kept up to this many characters."""

Kind = Literal["clear", "ambiguous", "unsent"]


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """
    One element of a list of errors in an answer.

    text: the entry as text, at most `TEXT_CAP` characters.
    ids: every string leaf of the entry, whole; one of them may be, or hold, a `sourceId`.
    """

    text: str
    ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """
    How one bulk call ended.

    kind: `clear` = Planhat answered; `ambiguous` = the call may have landed or may land later; `unsent` = the body
        never left whole, so nothing can have landed.
    status: HTTP status; None when no answer came.
    created, updated, nonupdates: Planhat's counts; None when absent or of a wrong type.
    entries: errors, of every list that Planhat gave.
    ids: sourceId -> Planhat `_id`, as far as the answer tells it.
    created_ids: sourceIds that the answer lists as inserted.
    retry_after_s: what Planhat asked for, seconds, 0..3600.
    detail: Planhat's words or the reason of the end, plain text, at most `TEXT_CAP` characters.
    request_id: Planhat's id of the call, where it gave one.
    timed_out: no answer came in time (`status` is None).
    """

    kind: Kind
    status: int | None = None
    created: int | None = None
    updated: int | None = None
    nonupdates: int | None = None
    entries: tuple[ErrorEntry, ...] = ()
    ids: Mapping[str, str] = field(default_factory=dict)
    created_ids: frozenset[str] = frozenset()
    retry_after_s: float | None = None
    detail: str = ""
    request_id: str | None = None
    timed_out: bool = False

    @property
    def counted(self) -> int | None:
        """How many items Planhat says it took, unchanged ones included; None when it gave no count."""
        counts = [count for count in (self.created, self.updated, self.nonupdates) if count is not None]
        return sum(counts) if counts else None


class Verdict(StrEnum):
    """What the caller does next; the items it concerns stand in the `Decision`."""

    ACK_ALL = "ack_all"
    """Everything sent is settled."""
    PER_ITEM = "per_item"
    """`acked` are settled, `suspects` go alone, the rest is sent again."""
    READ_BACK = "read_back"
    """`acked` are settled, the rest is looked for in Planhat's list; never bisected on counts alone."""
    AMBIGUOUS = "ambiguous"
    """Nothing is settled or released: the leases run out."""
    BISECT = "bisect"
    """`acked` are settled, `suspects` go alone, the rest holds a poison item (in a batch of one it failed alone)."""
    STOP = "stop"
    """The destination stops, nothing is buried."""
    PAUSE = "pause"
    """429: all workers wait `wait_s`, or exponentially when it is None; costs no attempt."""
    BACK_OFF = "back_off"
    """500, 503 or unsent: released, and tried again for ever with jitter."""


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What follows for the items of one call.

    acked, suspects: disjoint sets of sourceIds out of what was sent.
    words: suspect -> what Planhat said of it.
    detail: why, for a person; at most `TEXT_CAP` characters.
    wait_s: what Planhat asked for, seconds; None when it did not ask.
    """

    verdict: Verdict
    acked: frozenset[str] = frozenset()
    suspects: frozenset[str] = frozenset()
    words: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""
    wait_s: float | None = None

    def rest(self, sent: Sequence[str]) -> frozenset[str]:
        """Which of the items sent are neither acked nor suspect."""
        return frozenset(sent) - self.acked - self.suspects


_ITEMIZED: Final = frozenset({400, 403})
"""Refusals whose body tells of single items (besides every 2xx)."""

_BY_STATUS: Final = {
    401: Verdict.STOP,
    403: Verdict.STOP,
    404: Verdict.STOP,
    405: Verdict.STOP,
    408: Verdict.AMBIGUOUS,
    429: Verdict.PAUSE,
    500: Verdict.BACK_OFF,
    503: Verdict.BACK_OFF,
}
_BY_CLASS: Final = {3: Verdict.STOP, 4: Verdict.BISECT}
"""The other 3xx and 4xx. What is left (1xx, 502, 504, other 5xx) proves nothing: ambiguous."""

_BREAK: Final = re.compile(r"[\s\"'`,;=(){}\[\]<>]+")


def decide(outcome: BulkOutcome, sent: Sequence[str]) -> Decision:
    """
    Decide what follows from one bulk call: the table "A batch's fate".

    Total: no outcome makes it raise. It never acks an item that an error entry names, and acks an unnamed item beside
    errors only when Planhat's counts account for all unnamed ones, because a 400 may have written nothing.

    Args:
        outcome: how the call ended.
        sent: the sourceIds of the call, each once.
    """
    detail = (outcome.detail or "; ".join(entry.text for entry in outcome.entries))[:TEXT_CAP]
    if outcome.kind == "unsent":
        return Decision(Verdict.BACK_OFF, detail=detail or "nothing was sent", wait_s=outcome.retry_after_s)
    status = outcome.status
    if outcome.kind != "clear" or status is None:
        return Decision(Verdict.AMBIGUOUS, detail=detail or "no clear answer")
    taken = 200 <= status < 300
    if (taken or status in _ITEMIZED) and (outcome.entries or outcome.counted):
        return _itemized(outcome, frozenset(sent), detail, taken=taken)
    if taken:
        return _without_errors(outcome, frozenset(sent), detail)
    verdict = _BY_STATUS.get(status) or _BY_CLASS.get(status // 100, Verdict.AMBIGUOUS)
    wait_s = outcome.retry_after_s if verdict in (Verdict.PAUSE, Verdict.BACK_OFF) else None
    return Decision(verdict, detail=detail or f"HTTP {status}", wait_s=wait_s)


def _without_errors(outcome: BulkOutcome, sent: frozenset[str], detail: str) -> Decision:
    """Settle a 2xx without error entries by its counts."""
    counted = outcome.counted
    if counted is None:
        return Decision(Verdict.AMBIGUOUS, detail=detail or "an answer without counts")
    if counted < len(sent):
        note = f"{counted} of {len(sent)} counted"
        return Decision(Verdict.READ_BACK, acked=_proved(outcome, sent), detail=note)
    note = f"{counted} counted of {len(sent)} sent" if counted > len(sent) else detail
    return Decision(Verdict.ACK_ALL, acked=sent, detail=note)


def _itemized(outcome: BulkOutcome, sent: frozenset[str], detail: str, *, taken: bool) -> Decision:
    """Settle an answer that tells of single items: named ones are suspects, the rest needs proof."""
    if taken and not outcome.entries:
        return _without_errors(outcome, sent, detail)
    words, unmatched, doubtful = _match(outcome, sent)
    suspects = frozenset(words)
    # An entry that names two items stands for one failure at least, so it explains one missing count, not two.
    explained = 0 if unmatched or doubtful else min(len(outcome.entries), len(suspects))
    accounted = (outcome.counted or 0) + explained >= len(sent)
    acked = sent - suspects if accounted else _proved(outcome, sent) - suspects
    if not suspects and accounted:
        return Decision(Verdict.ACK_ALL, acked=acked, detail=detail)
    verdict = Verdict.PER_ITEM if accounted or not unmatched else Verdict.BISECT
    if not outcome.entries:
        verdict = Verdict.BISECT  # a refusal with counts that leave somebody out, and no word about whom
    return Decision(verdict, acked=acked, suspects=suspects, words=words, detail=detail or f"HTTP {outcome.status}")


def _match(outcome: BulkOutcome, sent: frozenset[str]) -> tuple[dict[str, str], bool, bool]:
    """
    Find the items that error entries name: (item -> words, some entry names none, some match proves little).

    A leaf that equals a sourceId counts before one that holds it as a token. A token of digits alone may be any number
    of a sentence ("at most 5 domains"): the item is suspect, yet nobody else may be acked because of it.
    """
    by_id = {planhat_id: source_id for source_id, planhat_id in outcome.ids.items() if source_id in sent}
    words: dict[str, str] = {}
    unmatched = doubtful = False
    for entry in outcome.entries:
        named = (entry.ids & sent) | {by_id[leaf] for leaf in entry.ids if leaf in by_id}
        if not named:
            named = _tokens(entry.ids) & sent
            doubtful = doubtful or any(item.isdecimal() for item in named)
        unmatched = unmatched or not named
        for item in named:
            words.setdefault(item, entry.text[:TEXT_CAP])
    return words, unmatched, doubtful


def _tokens(leaves: frozenset[str]) -> frozenset[str]:
    """Every word of the leaves, also without punctuation at its end and without a `key:` before it."""
    tokens: set[str] = set()
    for leaf in leaves:
        for raw in _BREAK.split(leaf):
            word = raw.strip(".:!?")
            tokens.update((raw, word, word.partition(":")[2]))
    return frozenset(tokens - {""})


def _proved(outcome: BulkOutcome, sent: frozenset[str]) -> frozenset[str]:
    """Give the items that Planhat lists as written, as far as its counts agree that so many were."""
    proved = sent & (outcome.created_ids | outcome.ids.keys())
    return proved if len(proved) <= (outcome.counted or 0) else frozenset()
