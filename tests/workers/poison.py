"""
Poison in a batch, through the real flush: how many calls it costs to find, and what becomes of the others.

    python -m tests.workers.poison [--items 5000] [--runs 20 | --poison K ...] [--seed S] [--json]

Each run puts one batch of tickets of which a random number are poison, in random places: Planhat refuses every call
that holds one, in words of its own. The bound (I14): k poison items in a batch of n cost at most
min(k x (ceil(log2 n) + 2), 2n) calls beyond the one that a clean batch costs. Prints its seed and its figures; exits 1
when a bound is broken, a healthy ticket did not arrive, or a poison one is not a dead letter with Planhat's words.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import random
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import httpx

from gateway.core.change import Change
from gateway.store.client import connect
from gateway.store.pending import Delivery, Store
from tests.redis_server import RedisServer
from tests.workers.conftest import T0, TOKEN, Desk, Recording, worker_settings
from workers.deps import Deps
from workers.planhat.sandbox import SandboxConfig, create_sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

TURNS_PER_CALL = 4
SYSTEMIC = 10
"""Lone refusals in a row that are no longer blamed on tickets."""

PROBES = 5


@dataclass
class Search:
    """
    What one search came to.

    items, poison: how many there were. extra_calls: beyond the one of a clean batch. stops: systemic stops on the way,
    after ten lone refusals in a row; what these ten cost, and the probes while stopped, count apart.
    wrong: what is not as it should be, one sentence each.
    """

    items: int
    poison: int
    extra_calls: int = 0
    stops: int = 0
    probes: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def is_systemic(self) -> bool:
        """All are refused, and they are many: no ticket is to blame, the destination is stopped."""
        return self.poison == self.items >= SYSTEMIC

    @property
    def bound(self) -> int:
        """I14."""
        return min(self.poison * ((self.items - 1).bit_length() + 2), 2 * self.items)


def words_for(ticket: str) -> str:
    """What Planhat says of a poison ticket."""
    return f"field of {ticket} is not acceptable"


@asynccontextmanager
async def desk_with(poison: Collection[str], redis_url: str, items: int) -> AsyncIterator[Desk]:
    """A worker's means on an empty Redis, before a Planhat that refuses calls with a poison ticket."""

    def rule(item: dict[str, Any]) -> str | None:
        return words_for(item["sourceId"]) if item["sourceId"] in poison else None

    app = create_sandbox(SandboxConfig(token=TOKEN, quota=0, poison=rule))
    redis = connect(redis_url)
    await redis.flushall()
    counter = itertools.count(1)
    transport = httpx.ASGITransport(app=app)
    async with Recording("http://localhost", TOKEN, timeout_s=30, transport=transport) as planhat:
        planhat.calls = []
        deps = Deps(
            store=Store(redis),
            planhat=planhat,
            settings=replace(worker_settings(BATCH_MAX_ITEMS=str(items)), calls_per_minute=10**6),
            token=lambda: f"token-{next(counter)}",
            jitter=random.Random(items).random,
            monotonic=time.monotonic,
        )
        yield Desk(deps, app.state.sandbox, planhat.calls)
    await redis.aclose()


async def search(redis_url: str, items: int, numbers: Collection[int]) -> Search:
    """
    Send one batch until everything is settled.

    Args:
        numbers: which of the items, from 0, are poison.
    """
    names = [f"zendesk:{number}" for number in range(items)]
    poison = {names[number] for number in numbers}
    came = Search(items, len(poison))
    async with desk_with(poison, redis_url, items) as desk:
        fields = {"title": "A ticket", "status": "open", "email": "ada@kestrel.example"}
        made = [
            Change(name, "zendesk", fields=fields, complete=True, creation=True, updated_at_ms=T0) for name in names
        ]
        await desk.store.put([Delivery(None, tuple((change.ticket, change.encode()) for change in made))])
        for _ in range(TURNS_PER_CALL * (came.bound + items + 10)):
            stopped, before = (await desk.store.pause_state()).stopped, len(desk.calls)
            await desk.flush()
            view = await desk.store.look()
            came.probes += len(desk.calls) - before if stopped else 0
            came.stops += bool(view.pause.stopped) and not stopped
            if not view.pending or (came.is_systemic and came.probes >= PROBES):
                break
            await desk.skip_pause()
            if not view.due_count and not view.suspects:
                await desk.wake()
        came.extra_calls = len(desk.calls) - 1 - came.probes
        view = await desk.store.look()
        dead = {row.ticket: row.detail for row in await desk.store.dead_letters()}
        if came.is_systemic:
            if dead or view.pending != items or view.pause.stopped != "systemic":
                came.wrong.append(f"everything is refused, and yet {len(dead)} are buried, or nothing is stopped")
            return came
        if view.pending or view.suspects:
            came.wrong.append(f"{view.pending} tickets are not settled, {view.suspects} are suspects")
        if set(desk.tickets) != set(names) - poison:
            came.wrong.append(f"{len(set(names) - poison - set(desk.tickets))} healthy tickets did not arrive")
        if dead != {name: words_for(name) for name in poison}:
            came.wrong.append(f"{len(dead)} dead letters for {len(poison)} poison tickets, or other words")
        if came.extra_calls > came.bound + 10 * came.stops:
            came.wrong.append(f"{came.extra_calls} calls more than a clean batch; the bound is {came.bound}")
    return came


def main(words: list[str] | None = None) -> int:
    """Run searches; print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--poison", type=int, nargs="*", help="poison items of each run, instead of random numbers")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    logging.getLogger("planhat_gateway").setLevel(logging.CRITICAL)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}", file=sys.stderr, flush=True)
    luck = random.Random(seed)
    numbers = options.poison or [
        round(options.items ** luck.random()) for _ in range(options.runs)
    ]  # as many small as large
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="poison-") as directory, RedisServer(directory) as server:
        for k in numbers:
            began = time.monotonic()
            came = asyncio.run(search(server.url, options.items, luck.sample(range(options.items), k)))
            wrong += bool(came.wrong)
            row = {
                "items": came.items,
                "poison": came.poison,
                "extra_calls": came.extra_calls,
                "bound": came.bound,
                "stops": came.stops,
                "probes": came.probes,
                "took_s": round(time.monotonic() - began, 1),
                "wrong": came.wrong,
            }
            line = json.dumps(row) if options.json else "  ".join(f"{name} {value}" for name, value in row.items())
            print(line, flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
