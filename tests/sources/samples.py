"""
The samples of `tests/samples/<source>/<case>/` and what the adapters make of them.

`request.json` holds method, headers and query; `body` the bytes; `expected.json` one of `changes` (every attribute that
differs from a plain `Change`), `ignored`, `unreadable` (the reason) or `handshake`, and `why` in one line.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

import gateway.sources
from gateway.core.change import Change
from gateway.errors import UnreadablePayload
from gateway.sources.base import Connection, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.sources.base import Normalized, Source

SAMPLES: Final = Path(__file__).parent.parent / "samples"
PACKAGED: Final = Path(gateway.sources.__file__).parent / "samples"
T = TypeVar("T")
PLAIN: Final = Change(ticket="", connection="")


def names(source: str) -> list[str]:
    return sorted(folder.name for folder in (SAMPLES / source).iterdir())


def request_of(source: str, name: str) -> Request:
    folder = SAMPLES / source / name
    row = orjson.loads((folder / "request.json").read_bytes())
    return Request(row["method"], tuple(row["headers"].items()), row["query"], (folder / "body").read_bytes())


def packaged(source: str) -> list[str]:
    return sorted(path.stem for path in (PACKAGED / source).glob("*.json"))


def packaged_request_of(source: str, name: str) -> Request:
    """What `demo` and `send-sample` send: a body that is a text goes out as it stands, anything else as JSON."""
    row = orjson.loads((PACKAGED / source / f"{name}.json").read_bytes())
    assert row["why"]
    body = row["body"].encode() if isinstance(row["body"], str) else orjson.dumps(row["body"])
    return Request(row["method"], tuple(row["headers"].items()), "", body)


def expected_of(source: str, name: str) -> dict[str, Any]:
    expected: dict[str, Any] = orjson.loads((SAMPLES / source / name / "expected.json").read_bytes())
    assert expected.pop("why")
    return expected


def change_as_json(change: Change) -> dict[str, Any]:
    shown = {
        field.name: getattr(change, field.name)
        for field in dataclasses.fields(change)
        if field.name != "connection" and getattr(change, field.name) != getattr(PLAIN, field.name)
    }
    answer: dict[str, Any] = orjson.loads(orjson.dumps(shown))
    return answer


def read(source: Source, request: Request, connection: Connection) -> Normalized | UnreadablePayload:
    """What an adapter reads, or why it cannot; anything else that it raises is a defect and passes through."""
    return outcome(lambda: source.normalize(source.parse(request), request, connection))


def outcome(reading: Callable[[], T]) -> T | UnreadablePayload:
    try:
        return reading()
    except UnreadablePayload as error:
        return error


def said(source: Source, request: Request, connection: Connection | None = None) -> dict[str, Any]:
    """What an adapter makes of a request, as `expected.json` writes it."""
    connection = connection or Connection(source.name, source.name, ("a secret of enough length",))
    if reply := source.handshake(request, connection):
        return {"handshake": {"status": reply.status, "headers": dict(reply.headers)}}
    answer = read(source, request, connection)
    if isinstance(answer, UnreadablePayload):
        return {"unreadable": answer.reason}
    assert all(change.connection == connection.name for change in answer.changes)
    assert bool(answer.changes) != bool(answer.ignored)
    return {"ignored": True} if answer.ignored else {"changes": [change_as_json(change) for change in answer.changes]}
