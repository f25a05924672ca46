"""
What a fault run sees: effects, counted where they show, never where they were caused.

Lines of the processes' logs, of the sandbox' log, answers that the sender got, errors that Redis gave out.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tests.faults.oracle import HARNESS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.stage import Stage

FOREIGN: Final = "arq/worker.py"
"""arq shields a job's end from cancellation and drops what comes of it; when Redis is away asyncio tells of that."""
SENT_BEFORE: Final = "as that release sent it"
"""The title of what the harness itself lets Planhat hold: no effect of anything."""
TAKEN_BYTES: Final = 1 << 22


class Tail:
    """The lines of a growing file, each once."""

    def __init__(self, path: Path) -> None:
        self.path, self._at = path, 0

    def lines(self) -> list[bytes]:
        """Give the whole lines that came since the last time."""
        if not self.path.exists():
            return []
        found: list[bytes] = []
        with self.path.open("rb") as file:
            file.seek(self._at)
            while data := file.read(TAKEN_BYTES):
                whole, newline, _ = data.rpartition(b"\n")
                if not newline:
                    break
                self._at += len(whole) + 1
                found += whole.split(b"\n")
                file.seek(self._at)
        return found


class Watch:
    """
    Counts of effects since the start of the run, by name.

    `web:<message>` and `worker:<message>` are lines of logs; `planhat:<fault>` are faults that struck a call;
    `answer:<status> <word>` and `event:<what>` are the sender's. defects: exceptions that no code expected.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.counts: Counter[str] = Counter()
        self.defects: list[str] = []
        self._tails: dict[str, Tail] = {}
        self._sandbox = Tail(stage.log)

    def look(self) -> Counter[str]:
        """Read what came since the last look; give all counts so far."""
        for name, child in self.stage.fleet.children.items():
            if name == "sandbox":
                continue
            tail = self._tails.setdefault(name, Tail(child.directory / f"{name}.log"))
            for line in tail.lines():
                self._log_line(name, line)
        for line in self._sandbox.lines():
            if line.startswith(b'{"kind":"request"'):
                self._call(json.loads(line))
            elif b'"sourceId":"zendesk:release-' in line and SENT_BEFORE.encode() not in line:
                self.counts["planhat:written of an older release"] += 1
        sender = self.stage.sender
        with sender.lock:
            self.counts.update({f"answer:{word}": 0 for word in sender.answers})
            for word, count in sender.answers.items():
                self.counts[f"answer:{word}"] = count
            for word, count in sender.events.items():
                self.counts[f"event:{word}"] = count
        return self.counts

    def _log_line(self, name: str, line: bytes) -> None:
        kind = name.rstrip("0123456789")
        try:
            row: dict[str, Any] = json.loads(line)
        except ValueError:
            if b"Error" in line:
                self.defects.append(f"{name}: {line.decode(errors='replace')[:300]}")
            return
        message = row.get("message", "")
        self.counts[f"{kind}:{message}"] += 1
        if message == "planhat answered":
            self.counts[f"worker:answered {row.get('outcome')}"] += 1
            if "no connection to Planhat" in str(row.get("detail")):
                self.counts["worker:no connection to Planhat"] += 1
            if "no answer within" in str(row.get("detail")):
                self.counts["worker:no answer from Planhat"] += 1
        if message == "defect in our own code" or ("trace" in row and FOREIGN not in message):
            self.defects.append(
                f"{name}: {message}: {str(row.get('trace') or row.get('detail')).splitlines()[-1][:300]}"
            )

    def _call(self, row: dict[str, Any]) -> None:
        if row["query"] == HARNESS:
            return
        self.counts["planhat:calls"] += 1
        if row["fault"]:
            self.counts[f"planhat:{row['fault']}"] += 1
        if row["caller_gone"]:
            self.counts["planhat:caller gone"] += 1
