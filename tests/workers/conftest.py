"""A worker's means in one process: a store on a real Redis, the sandbox over ASGI."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gateway.core.change import Change
from gateway.store.client import connect
from gateway.store.pending import Delivery, Store
from workers import deletes, flush
from workers.deps import Deps
from workers.planhat.client import PlanhatClient
from workers.planhat.sandbox import Sandbox, SandboxConfig, create_sandbox
from workers.settings import WorkerSettings, from_env

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.core.outcome import BulkOutcome

T0 = int(time.time() * 1000) - 3_600_000
TOKEN = "sandbox-token-0123456789"


class Recording(PlanhatClient):
    """Remembers how many items each call carried."""

    calls: list[int]

    async def upsert(self, items: Sequence[bytes], **more: Any) -> BulkOutcome:
        self.calls.append(len(items))
        return await super().upsert(items, **more)


@dataclass
class Desk:
    """Puts changes and flushes them; gives what Planhat holds."""

    deps: Deps
    sandbox: Sandbox
    calls: list[int]

    @property
    def store(self) -> Store:
        return self.deps.store

    @property
    def tickets(self) -> dict[str, dict[str, Any]]:
        tickets: dict[str, dict[str, Any]] = self.sandbox.state()["tickets"]
        return tickets

    def settings(self, **changed: Any) -> None:
        self.deps.settings = replace(self.deps.settings, **changed)

    async def put(self, ticket: str = "zendesk:1", at: int = 0, **said: Any) -> None:
        """Put one change, `at` seconds after the beginning; by default a whole new ticket."""
        fields = {"title": f"Ticket {ticket}", "status": "open", "email": f"ada@{ticket[-1]}.kestrel.example"}
        said.setdefault("fields", fields)
        said.setdefault("complete", True)
        said.setdefault("creation", True)
        said.setdefault("updated_at_ms", T0 + at * 1000)
        change = Change(ticket, "zendesk", **said)
        await self.store.put([Delivery(None, ((ticket, change.encode()),))])

    async def flush(self, turns: int = 1) -> None:
        """Take turns."""
        for _ in range(turns):
            await flush.flush_once(self.deps)

    async def settle(self, turns: int = 60) -> None:
        """Take turns until nothing is due."""
        for _ in range(turns):
            await flush.flush_once(self.deps)
            view = await self.store.look()
            if not view.due_count and not view.suspects and not self.deps.ahead:
                return
            await self.skip_pause()

    async def skip_pause(self) -> None:
        """Let a pause and the next probe be over."""
        await self.store.command("HDEL", self.store.keys.pause, "until_ms", "reason", "probe_at_ms")

    async def delete(self) -> None:
        await deletes.delete_once(self.deps)

    async def wake(self) -> None:
        """Let every snooze and lease be over."""
        store = self.store
        rows = await store.command("ZRANGE", store.keys.due, 0, -1)
        for ticket in rows:
            await store.command("ZADD", store.keys.due, 1, ticket)
        await store.command("DEL", store.keys.slots)

    def puts(self) -> list[int]:
        """How many items each PUT carried."""
        return self.calls

    async def dead(self) -> dict[str, str]:
        return {row.ticket: row.reason for row in await self.store.dead_letters()}


def worker_settings(**environ: str) -> WorkerSettings:
    base = {
        "REDIS_URL": "redis://unused",
        "PLANHAT_API_TOKEN": TOKEN,
        "PLANHAT_API_URL": "http://localhost",
        "PLANHAT_TIMEOUT_S": "1",
        "PLANHAT_HOLD_S": "1",
        "BATCH_QUIET_S": "0",
        "BATCH_MAX_WAIT_S": "0",
    }
    return from_env({**base, **environ})


@pytest.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    app = create_sandbox(SandboxConfig(token=TOKEN, log_items=True, late_s=0.05, late_answer_s=5))
    redis = connect(redis_url)
    counter = itertools.count(1)
    transport = httpx.ASGITransport(app=app)
    async with Recording("http://localhost", TOKEN, timeout_s=1, transport=transport) as planhat:
        planhat.calls = []
        deps = Deps(
            store=Store(redis),
            planhat=planhat,
            settings=worker_settings(),
            token=lambda: f"token-{next(counter)}",
            jitter=lambda: 0.5,
            monotonic=time.monotonic,
        )
        yield Desk(deps, app.state.sandbox, planhat.calls)
    await redis.aclose()
