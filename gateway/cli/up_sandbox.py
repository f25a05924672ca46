"""
The double's memory over restarts of `up`: what the gateway believes to have sent must be there when it comes back.

The double keeps tickets in memory and writes each applied write to a log. From that log its tickets are made again, in
the order in which they were first made, so that they get the ids that the gateway remembers.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.cli import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BATCH: Final = 5_000


@dataclass(slots=True)
class Life:
    """One ticket's time in the double, from its creation to its deletion. `id` is the double's `_id`."""

    source_id: str
    id: str
    fields: dict[str, Any] = field(default_factory=dict)
    deleted: bool = False


def remembered(log: Path) -> list[Life]:
    """Read the double's log: every ticket that it ever held, in order of creation. A torn last line is passed over."""
    lives: list[Life] = []
    by_id: dict[str, Life] = {}
    if not log.exists():
        return lives
    with log.open("rb") as lines:
        for line in lines:
            row: dict[str, Any] = {}
            with contextlib.suppress(ValueError):
                row = orjson.loads(line)
            if row.get("kind") != "write":
                continue
            if row["_id"] not in by_id:
                by_id[row["_id"]] = Life(row["sourceId"], row["_id"])
                lives.append(by_id[row["_id"]])
            life = by_id[row["_id"]]
            life.deleted |= row["op"] == "delete"
            life.fields |= row["item"] or {}
    return lives


def restore(url: str, token: str, lives: Sequence[Life]) -> None:
    """
    Put the tickets back into an empty double.

    Raises:
        Failure: the double did not take them.
    """
    if not lives:
        return
    import httpx

    with httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60, trust_env=False
    ) as client:
        for batch in _batches(lives):
            body = orjson.dumps([life.fields for life in batch])
            answer = client.put("/tickets", content=body, headers={"content-type": "application/json"})
            if answer.status_code != httpx.codes.OK:
                raise Failure(f"The sandbox did not take its tickets back ({answer.status_code}): run `up --fresh`.")
            for life in batch:
                if life.deleted:
                    client.delete(f"/tickets/{life.id}")


def _batches(lives: Sequence[Life]) -> Iterator[list[Life]]:
    """Cut into calls in which no ticket stands twice."""
    batch: list[Life] = []
    keys: set[str] = set()
    for life in lives:
        if len(batch) == BATCH or life.source_id in keys:
            yield batch
            batch, keys = [], set()
        batch.append(life)
        keys.add(life.source_id)
    if batch:
        yield batch
