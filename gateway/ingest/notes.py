"""
What the door writes down: a count of every answer, and a few log lines a minute of each kind.

Nothing that a stranger sends makes it write more, and no line quotes a payload, a secret or a query string.
"""

from __future__ import annotations

import logging
import time
import traceback
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import StoreError, VerificationError
from gateway.ingest.problems import problem
from gateway.telemetry import Throttle, counter

if TYPE_CHECKING:
    from gateway.ingest.tally import Tally

log = logging.getLogger("gateway.ingest")

ANSWERS: Final = "gateway_answers_total"


@cache
def _answers(name: str, outcome: str) -> str:
    """Give the counter of an answer; both words are ours, so there are few."""
    return counter(ANSWERS, connection=name, outcome=outcome)


class Notes:
    """
    The counts and the log lines of one door.

    Args:
        tally: counts; its labels are connection names and our own words.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._throttle = Throttle()

    def answered(self, name: str, outcome: str) -> None:
        """Count an answer that is a success."""
        self._tally.count(_answers(name, outcome))

    def quarantined(self, name: str, reason: str, kept: str) -> None:
        """Count and log an authentic delivery that was kept because it could not be read."""
        self.answered(name, "quarantined")
        self._write(logging.WARNING, "delivery quarantined", connection=name, reason=reason, quarantine_id=kept)

    def unknown(self, name: str) -> None:
        """Count and log a request for a connection that is not configured; its name is the caller's invention."""
        self._tally.add("gateway_unknown_connection_total")
        self._write(logging.INFO, "request for an unknown connection", kind="unknown", detail=name[:64])

    def refused(self, name: str, error: Exception) -> None:
        """Count and log an answer that is not a success."""
        row = problem(error)
        self.answered(name, row.word)
        if isinstance(error, VerificationError):
            self._tally.add("gateway_refused_total", connection=name, reason=error.reason)
            self._write(logging.WARNING, "delivery refused", connection=name, reason=error.reason)
        elif isinstance(error, StoreError):
            self._write(
                logging.ERROR, "delivery not stored, sender is asked to come back", connection=name, reason=str(error)
            )
        elif row.status >= 500:
            self.defect(name, error)
        else:
            self._write(logging.INFO, "request refused", connection=name, reason=row.word)

    def defect(self, name: str, error: Exception) -> None:
        """Log where our own code failed, without the error's text, which may quote the payload."""
        self._tally.add("gateway_adapter_errors_total", connection=name)
        where = " < ".join(
            f"{one.name}:{one.lineno}" for one in reversed(traceback.extract_tb(error.__traceback__)[-6:])
        )
        self._write(logging.ERROR, "defect in our own code", connection=name, kind=type(error).__name__, detail=where)

    def _write(self, level: int, message: str, **fields: Any) -> None:
        passes, left_out = self._throttle.allow(f"{message}|{fields.get('connection', '')}", time.monotonic())
        if left_out:
            fields["suppressed"] = left_out
        if passes:
            log.log(level, message, extra=fields)
