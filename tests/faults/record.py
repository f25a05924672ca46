"""
Records what this release leaves in Redis, so that every later release proves that it reads it.

    python -m tests.faults.record 0.2.0     writes tests/faults/frames/release-0.2.0.json

Run once at each release that changes frames or states; the files of older releases stay. A case is a ticket's value
and state as raw bytes (base64), and what Planhat must come to hold (`expected`, without `sourceId`).
"""

from __future__ import annotations

import base64
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.faults.processes import command
from tests.faults.sender import Parcel
from tests.faults.stage import Stage
from tests.faults.story import GW

if TYPE_CHECKING:
    from tests.faults.helpdesk import Ticket

FRAMES: Final = Path(__file__).parent / "frames"
LONG: Final = 16
"""Changes of a ticket that compaction finds long."""


def record(release: str) -> Path:
    """Record one release; gives the file."""
    chance = random.Random(release)
    with (
        tempfile.TemporaryDirectory(prefix="record-") as directory,
        Stage(Path(directory), chance, tickets=10) as stage,
    ):
        fresh, sent, joined, both = list(stage.helpdesk.tickets.values())[3:7]
        _send(stage, sent, 1)
        _send(stage, both, 1)
        stage.settle(30)
        command(["pause"], stage.operator_environment, as_json=False)
        time.sleep(2)
        _send(stage, joined, LONG)
        _send(stage, both, LONG)
        with stage.client() as client:
            long = int(client.strlen(f"{GW}change:zendesk:{joined.id}"))
            until = time.monotonic() + 90
            while int(client.strlen(f"{GW}change:zendesk:{joined.id}")) >= long:
                assert time.monotonic() < until, "no worker compacts"
                time.sleep(1)
        stage.workers[0].end()
        _send(stage, fresh, 3)
        _send(stage, sent, 2)
        _send(stage, both, 1)
        cases = [_case(stage, one) for one in (fresh, sent, joined, both)]
    path = FRAMES / f"release-{release}.json"
    path.write_text(json.dumps(cases, indent=1) + "\n")
    return path


def _send(stage: Stage, ticket: Ticket, times: int) -> None:
    made = [stage.helpdesk.change(ticket) for _ in range(times)]
    for one in made[::-1]:
        assert stage.sender.deliver(Parcel(one))


def _case(stage: Stage, ticket: Ticket) -> dict[str, Any]:
    with stage.client() as client:
        value: Any = client.get(f"{GW}change:zendesk:{ticket.id}")
        state: Any = client.get(f"{GW}state:zendesk:{ticket.id}")
    expected = stage.helpdesk.expected(ticket)
    assert value and expected
    del expected["sourceId"]
    return {
        "value": base64.b64encode(value).decode(),
        "state": base64.b64encode(state).decode() if state else None,
        "expected": expected,
    }


if __name__ == "__main__":
    print(record(sys.argv[1]))
