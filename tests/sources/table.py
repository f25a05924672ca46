"""
The README's table of sources, made of the adapters, their samples and the registries: `python -m tests.sources.table`.

tests/test_docs.py holds the README to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.cli.connect import CONNECTS
from gateway.errors import UnreadablePayload
from gateway.sources import SOURCES
from gateway.sources.base import Connection, deletes
from tests.sources.samples import names, read, request_of
from workers.helpdesks import CLIENTS

if TYPE_CHECKING:
    from gateway.core.change import Change

HEAD: Final = "| source | signed | requester's e-mail | deletions | merges | `connect` |\n|---|---|---|---|---|---|"


def changes(source: str) -> list[tuple[str, Change]]:
    """Give what the samples of a source say: case and change."""
    adapter = SOURCES[source]
    connection = Connection(source, source, ("a secret of enough length",))
    found = []
    for name in names(source):
        request = request_of(source, name)
        if adapter.handshake(request, connection) is None:
            answer = read(adapter, request, connection)
            if not isinstance(answer, UnreadablePayload):
                found += [(name, change) for change in answer.changes]
    return found


def row(source: str) -> str:
    """Give a source's line."""
    said = changes(source)
    told = ["in the body"] if any(change.fields.get("email") for _, change in said) else []
    told += ["looked up"] if source in CLIENTS else []
    gone = any(deletes(change) for _, change in said)
    merged = any(deletes(change) and "merge" in name for name, change in said)
    cells = (
        f"`{source}`",
        SOURCES[source].signed,
        ", ".join(told) or "only by a field map",
        "yes" if gone else "when it is read anew" if source in CLIENTS else "no",
        "yes" if merged else "no",
        CONNECTS[source],
    )
    return f"| {' | '.join(cells)} |"


def table() -> str:
    """Give the whole table as Markdown."""
    return "\n".join([HEAD, *map(row, SOURCES)])


if __name__ == "__main__":
    print(table())
