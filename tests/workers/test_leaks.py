"""What a worker logs, whatever Planhat says and whatever fails: no address, no token, no secret."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.telemetry import LineFormatter, Redaction
from tests.workers.conftest import TOKEN, Desk
from workers.retention import expire_dead_letters

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "canary.person"
MAIL = f"{CANARY}@kestrel.example"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything that is logged, as the process would write it, down to debug."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(LineFormatter("json", Redaction([TOKEN])))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield out
    root.removeHandler(handler)
    root.setLevel(before)


async def put(desk: Desk, number: int, **fields: Any) -> None:
    said = {"title": "A ticket", "status": "open", "email": MAIL, **fields}
    await desk.put(f"zendesk:{number}", at=number, fields=said)


async def test_no_end_of_a_call_logs_a_person_or_the_token(desk: Desk, lines: io.StringIO) -> None:
    def rule(item: dict[str, Any]) -> str | None:
        words = f"end user {item.get('email')} may not use Bearer {TOKEN}"
        return words if item["title"] == "POISON" else f"500 {words}" if item["title"] == "BROKEN" else None

    desk.sandbox.config = replace(desk.sandbox.config, poison=rule)
    for number, title in enumerate(("A ticket", "POISON", "BROKEN", "A ticket")):
        await put(desk, number, title=title)
    await desk.settle()
    for fault in (
        "unauthorized",
        "forbidden",
        "unavailable",
        "html",
        "rate_limit",
        "partial",
        "silent",
        "garbage",
        "lost",
    ):
        await put(desk, 10)
        desk.sandbox.change_faults({"next": [fault]})
        await desk.flush(2)
        await desk.skip_pause()
        await desk.store.resume()
        await desk.wake()
        await desk.settle(5)
    await put(desk, 20, email=5, name=MAIL)  # damaged: the trace must not quote it
    await put(desk, 21, email=None, description=f"from {MAIL}")
    await desk.settle()
    await desk.store.command("ZADD", desk.store.keys.dead, 1, "zendesk:1")
    await expire_dead_letters(desk.deps)
    said = lines.getvalue()
    for sentence in ("ticket buried", "planhat answered", "dead letter expired", "a ticket's values cannot be used"):
        assert sentence in said
    assert "[e-mail]" in said
    assert CANARY not in said
    assert TOKEN not in said
