"""
The long outage: Planhat away while a million events pile up, then back.

    python -m tests.faults.outage [--events 1000000] [--tickets 100000] [--rate 800] [--json]

A real web takes signed deliveries in (source `generic`, ten tickets each, kept-alive connections), real workers cannot
reach Planhat and compact what waits. Then Planhat answers again, with batches of 50 so that its quota binds.

Demanded: Redis never holds more than twice what one joined change per ticket and the delivery ids take (at the default
rate: at 4,000 events a second what a minute brings, not yet joined, is more than that by itself); the backlog leaves at
90 % of the quota or more, never above it; the oldest first; what comes in meanwhile waits no longer than those before
it take; at the end Planhat holds the newest state and history of every ticket that was sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import secrets
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import redis

from tests.faults.oracle import WINDOW_S, busiest_minute
from tests.faults.pileup import Hook, Tickets, grouped
from tests.faults.processes import Fleet, ask, free_port, wait_for
from tests.faults.proxy import Proxy
from tests.faults.story import GW
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUOTA: Final = 150
MEMORY_TIMES: Final = 2.0
PAGE: Final = 1_000
"""Keys asked for in one round trip."""
TELLING_BYTES: Final = 30_000_000
"""With less in Redis its fixed costs hide what the events take."""
SHARE: Final = 0.9
CONNECTIONS: Final = 8
SAMPLE_S: Final = 1.0
DISORDER: Final = 0.02
"""Of the tickets, at most, may leave out of their turn: those of a probe, and of a batch that was under way."""
SLOWER: Final = 1.25
"""A minute's calls may go out at its beginning or its end."""
GRACE_S: Final = 75.0
"""A first call after an outage waits for the end of a back-off, up to a minute."""
TURN_BATCHES: Final = 6
"""How many batches a ticket may leave early or late: one on the wire and one gathered for each worker, and some."""


class Outage:
    """The stage: Redis, web, workers, and a Planhat that is reached through a proxy."""

    def __init__(self, directory: Path, options: argparse.Namespace) -> None:
        self.options, self.directory = options, directory
        self.redis = RedisServer(directory / "redis")
        self.fleet = Fleet(directory, tied=True)
        self.web_port, self.sandbox_port = free_port(), free_port()
        self.net = Proxy(self.sandbox_port)
        self.log = directory / "sandbox.jsonl"
        self.tickets = Tickets(random.Random(options.seed))
        self.peak_bytes = self.empty_bytes = 0
        self.samples = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(self.__exit__)
            self.redis.start()
            self.net.start()
            secret = "whsec_" + "QmFzZTY0LWtleS1vZi1hLWxvbmctb3V0YWdlLTAx"
            shared = {"REDIS_URL": self.redis.url, "GENERIC_SOURCE_ID_PREFIX": ""}
            web = {**shared, "PORT": str(self.web_port), "GENERIC_WEBHOOK_SECRET": secret}
            token = secrets.token_hex(16)
            worker = {
                **shared,
                "PLANHAT_API_URL": f"http://127.0.0.1:{self.net.port}",
                "PLANHAT_API_TOKEN": token,
                "PLANHAT_CALLS_PER_MINUTE": str(QUOTA),
                "BATCH_MAX_ITEMS": str(self.options.batch_items),
                "BATCH_QUIET_S": "0.3",
                "BATCH_MAX_WAIT_S": "1",
            }
            words = ["workers", "sandbox", "--port", str(self.sandbox_port), "--token", token, "--quota", "0"]
            self.fleet.add("sandbox", [*words, "--log", str(self.log)], {})
            wait_for(f"http://127.0.0.1:{self.sandbox_port}/_sandbox/stats")
            self.net.refuse()
            self.fleet.add("web", ["gateway", "web"], web)
            wait_for(f"http://127.0.0.1:{self.web_port}/readyz")
            for number in range(self.options.workers):
                self.fleet.add(f"worker{number + 1}", ["workers"], worker)
            self.hook = Hook(self.web_port, secret)
            with self.client() as client:
                self.empty_bytes = _dataset(client)
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.fleet.close()
        self.net.close()
        self.redis.stop()

    # ------------------------------------------------------------------------------------------------- events go in

    def first(self) -> Iterator[bytes]:
        """One delivery after the other, until every ticket was created."""
        keys = (f"T-{number}" for number in range(self.options.tickets))
        for group in grouped(keys, self.options.per_delivery):
            yield self.hook.request("ticket.created", [self.tickets.event(key) for key in group])

    def further(self, events: int) -> Iterator[bytes]:
        """Changes of tickets chosen at random."""
        chance, size = self.tickets.chance, self.options.per_delivery
        for _ in range(0, events, size):
            keys = {f"T-{chance.randrange(self.options.tickets)}" for _ in range(size)}
            yield self.hook.request("ticket.updated", [self.tickets.event(key) for key in sorted(keys)])

    def send(self, requests: Iterator[bytes], events_per_s: float, connections: int = CONNECTIONS) -> None:
        """Send deliveries at about a rate of events a second."""
        asyncio.run(self.hook.send(requests, connections, events_per_s / self.options.per_delivery))

    # -------------------------------------------------------------------------------------------------------- memory

    def client(self) -> redis.Redis:
        """Give a client of the bridge."""
        return redis.Redis(unix_socket_path=self.redis.socket, socket_timeout=30)

    def sample(self, over: threading.Event) -> None:
        """Keep the highest memory that Redis' data took."""
        with self.client() as client:
            while not over.wait(SAMPLE_S):
                self.peak_bytes = max(self.peak_bytes, _dataset(client) - self.empty_bytes)
                self.samples += 1

    def joined(self, patience_s: float) -> float:
        """Wait until every ticket's changes are joined into one; give the seconds it took, -1 when they are not."""
        began = time.monotonic()
        with self.client() as client:
            while time.monotonic() - began < patience_s:
                several = 0
                for ticket, _ in client.zscan_iter(f"{GW}due", count=2_000):
                    key = f"{GW}change:{ticket.decode()}"
                    head: Any = client.getrange(key, 0, 3)
                    several += client.strlen(key) > 12 + int.from_bytes(head)
                    if several:
                        break
                if not several:
                    return round(time.monotonic() - began, 1)
                time.sleep(2)
        return -1.0

    def reference_bytes(self) -> tuple[int, int, int]:
        """
        Measure a fresh Redis that holds, of what the bridge holds, one joined change per ticket, the due set and the
        delivery ids: what the events come to at least.

        Returns:
            The memory that its data takes; the same key by key; and key by key what the bridge holds in all, bytes.
        """
        server = RedisServer(self.directory / "reference", appendonly="no")
        with server, self.client() as live, redis.Redis(unix_socket_path=server.socket, socket_timeout=30) as bare:
            empty = _dataset(bare)
            for pattern in (f"{GW}change:*", f"{GW}seen:*", f"{GW}due"):
                for keys in grouped(live.scan_iter(pattern, count=2_000), PAGE):
                    reading = live.pipeline(transaction=False)
                    for key in keys:
                        reading.dump(key)
                    writing = bare.pipeline(transaction=False)
                    for key, raw in zip(keys, reading.execute(), strict=True):
                        writing.restore(key, 0, raw)
                    writing.execute()
            return _dataset(bare) - empty, _by_key(bare), _by_key(live)

    # --------------------------------------------------------------------------------------------------- Planhat back

    def drain(self) -> dict[str, Any]:
        """Let Planhat answer again; watch until everything has left or the time is over."""
        options = self.options
        back_at = time.monotonic()
        self.net.heal()
        over = threading.Event()
        newcomers: list[str] = []
        sending = threading.Thread(target=self._newcomers, args=(over, newcomers))
        sending.start()
        until = back_at + options.drain_minutes * 60
        with self.client() as client:
            while time.monotonic() < until:
                pending = int(client.zcard(f"{GW}due"))
                if pending <= options.calm_tickets and not over.is_set():
                    over.set()
                    sending.join()
                elif not pending and over.is_set():
                    break
                time.sleep(0.5)
        over.set()
        sending.join()
        return self._judge_drain(back_at, newcomers)

    def _newcomers(self, over: threading.Event, newcomers: list[str]) -> None:
        """While the backlog leaves, new tickets are opened and old ones change."""
        chance = self.tickets.chance

        def requests() -> Iterator[bytes]:
            while not over.is_set():
                fresh = f"N-{len(newcomers)}"
                newcomers.append(fresh)
                yield self.hook.request("ticket.created", [self.tickets.event(fresh)])
                self.tickets.truth[fresh].sent_at_s = time.monotonic()
                old = f"T-{chance.randrange(self.options.tickets)}"
                yield self.hook.request("ticket.updated", [self.tickets.event(old)])

        asyncio.run(self.hook.send(requests(), 1, self.options.new_per_s))

    def _starved(
        self, newcomers: list[str], writes: dict[str, float], departures: list[float], per_s: float
    ) -> list[tuple[str, int, int]]:
        """Give the newcomers that waited longer than those before them take, with their waits and the bounds, s."""
        truth, found = self.tickets.truth, []
        for place, key in enumerate(newcomers):
            if not (sent_s := truth[key].sent_at_s):
                continue
            # Beside each newcomer an old ticket changed; one that had left already stands in the queue once more.
            before = self.options.tickets + 2 * place - bisect_left(departures, sent_s)
            bound_s = max(before, 0) / per_s * SLOWER + GRACE_S
            wait_s = writes.get(key, time.monotonic()) - sent_s
            if wait_s > bound_s:
                found.append((key, round(wait_s), round(bound_s)))
        return found

    def _judge_drain(self, back_at: float, newcomers: list[str]) -> dict[str, Any]:
        """Read the sandbox' log: pace, quota, order, waits; compare what it holds."""
        options, truth = self.options, self.tickets.truth
        puts: list[tuple[float, int]] = []
        writes: dict[str, float] = {}
        order: list[str] = []
        calls: list[float] = []
        departures: list[float] = []
        for line in self.log.read_text().splitlines():
            row = json.loads(line)
            if row["kind"] == "write":
                departures.append(row["mono_s"])
                if row["sourceId"] not in writes:
                    order.append(row["sourceId"])
                    writes[row["sourceId"]] = row["mono_s"]
            else:
                calls.append(row["mono_s"])
                if row["method"] == "PUT" and row["status"] == 200:
                    puts.append((row["mono_s"], row["items"]))
        violations = []
        puts.sort()
        busiest = busiest_minute(calls)
        if busiest > QUOTA:
            violations.append(f"{busiest} calls in 60 s, the quota is {QUOTA} (I6)")
        begin = next((at for at, items in puts if items == options.batch_items), None)
        full = [at for at, items in puts if items == options.batch_items]
        pace = None
        if begin is not None and full[-1] - begin >= 2 * WINDOW_S:
            # over whole minutes, since the first minute's calls go out at once
            minutes = int((full[-1] - begin) // (WINDOW_S + 1))
            span_s = minutes * (WINDOW_S + 1)
            pace = sum(items for at, items in puts if begin <= at < begin + span_s) / (span_s / 60)
            if pace < SHARE * QUOTA * options.batch_items:
                violations.append(f"{pace:.0f} tickets a minute leave, the quota takes {QUOTA * options.batch_items}")
        backlog = [key for key in order if key.startswith("T-")]
        turns = {key: place for place, key in enumerate(sorted(backlog, key=lambda key: truth[key].first_sent))}
        late = [
            key for place, key in enumerate(backlog) if abs(turns[key] - place) > TURN_BATCHES * options.batch_items
        ]
        if len(late) > max(2 * options.batch_items, DISORDER * len(backlog)):
            violations.append(f"{len(late)} of {len(backlog)} tickets left out of their turn (oldest first)")
        waits = sorted(writes[key] - truth[key].sent_at_s for key in newcomers if key in writes)
        _, state = ask(f"http://127.0.0.1:{self.sandbox_port}/_sandbox/state", timeout_s=120)
        held = state["tickets"]
        with self.client() as client:
            pending = int(client.zcard(f"{GW}due"))
        whole = not pending
        wrong = [said for key in (truth if whole else ()) if (said := self.tickets.wrong(key, held.get(key, {})))]
        violations += wrong[:20]
        drained_s = (puts[-1][0] - back_at) if puts else 0.0
        per_s = (pace or len(order) / max(drained_s, 1.0) * 60) / 60
        starved = self._starved(newcomers, writes, sorted(departures), per_s)
        if starved:
            violations.append(f"{len(starved)} newcomers waited longer than those before them take: {starved[:3]} (I7)")
        return {
            "first_call_s": round(puts[0][0] - back_at, 1) if puts else None,
            "full_batches_after_s": round(begin - back_at, 1) if begin is not None else None,
            "calls": len(calls),
            "tickets_sent": len(order),
            "busiest_minute": busiest,
            "tickets_per_minute": round(pace) if pace else None,
            "share_of_quota": round(pace / (QUOTA * options.batch_items), 3) if pace else None,
            "out_of_turn": len(late),
            "newcomers": len(newcomers),
            "newcomer_wait_s_median": round(waits[len(waits) // 2], 1) if waits else None,
            "newcomer_wait_s_longest": round(waits[-1], 1) if waits else None,
            "newcomers_waiting": len(newcomers) - len(waits),
            "pending_at_end": pending,
            "drained_s": round(drained_s, 1),
            "compared_with_the_truth": len(truth) if whole else 0,
            "wrong": len(wrong),
            "violations": violations,
        }


def _dataset(client: redis.Redis) -> int:
    """Give the bytes that a Redis' data takes."""
    said: Any = client.info("memory")
    return int(said["used_memory_dataset"])


def _by_key(client: redis.Redis) -> int:
    """Give the bytes that all keys of the bridge take, one by one."""
    total = 0
    for keys in grouped(client.scan_iter(f"{GW}*", count=2_000), PAGE):
        asking = client.pipeline(transaction=False)
        for key in keys:
            asking.memory_usage(key, samples=0)
        total += sum(int(size or 0) for size in asking.execute())
    return total


def run(options: argparse.Namespace, compact: Callable[[str], None] | None = None) -> dict[str, Any]:
    """
    Run one outage.

    Args:
        compact: joins what waits at the given REDIS_URL, for a run too short for the workers' clock; None waits for it.
    """
    directory = Path(tempfile.mkdtemp(prefix="outage-"))
    with Outage(directory, options) as outage:
        over = threading.Event()
        sampling = threading.Thread(target=outage.sample, args=(over,))
        sampling.start()
        began = time.monotonic()
        outage.send(outage.first(), options.rate)
        outage.send(outage.further(options.events - options.tickets), options.rate)
        piled_s = time.monotonic() - began
        if compact:
            compact(outage.redis.url)
        joined_s = outage.joined(options.patience)
        with outage.client() as client:
            pending = int(client.zcard(f"{GW}due"))
        reference, reference_keys, settled_keys = outage.reference_bytes()
        over.set()
        sampling.join()
        events = sum(one.version + 1 for one in outage.tickets.truth.values())
        peak = outage.peak_bytes
        violations = []
        if joined_s < 0:
            violations.append(f"after {options.patience:.0f} s some tickets still hold several changes")
        if peak > MEMORY_TIMES * reference and reference > TELLING_BYTES:
            violations.append(f"Redis held {peak / reference:.2f} times what one change per ticket takes")
        if settled_keys > MEMORY_TIMES * reference_keys:
            times = settled_keys / reference_keys
            violations.append(f"Redis holds {times:.2f} times what one change per ticket takes, at rest")
        if pending != options.tickets:
            violations.append(f"{pending} tickets wait, {options.tickets} were told of (I1)")
        drained = outage.drain()
        violations += drained.pop("violations")
        answers = dict(outage.hook.answers)
    return {
        "seed": options.seed,
        "events": events,
        "deliveries": sum(answers.values()),
        "answers": answers,
        "tickets": options.tickets,
        "piled_up_s": round(piled_s, 1),
        "events_per_s": round(events / piled_s),
        "joined_after_s": joined_s,
        "peak_mb": round(peak / 1e6, 1),
        "reference_mb": round(reference / 1e6, 1),
        "peak_times": round(peak / reference, 2),
        "settled_times": round(settled_keys / reference_keys, 2),
        **drained,
        "violations": violations,
        "logs": str(directory),
    }


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.outage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--tickets", type=int, default=100_000)
    parser.add_argument("--per-delivery", type=int, default=10, help="tickets in one delivery")
    parser.add_argument("--rate", type=float, default=800.0, help="events a second while Planhat is away")
    parser.add_argument("--batch-items", type=int, default=50, help="small, so that the quota binds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--drain-minutes", type=float, default=18.0, help="how long to watch at most")
    parser.add_argument("--new-per-s", type=float, default=10.0, help="deliveries a second during the drain")
    parser.add_argument("--calm-tickets", type=int, default=1_500, help="with so few waiting the newcomers stop")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds for the last compaction")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Run; print the figures; 1 when there is a violation."""
    options = arguments(words)
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    result = run(options)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            if name != "violations":
                print(f"{name:>26}  {value}")
        for violation in result["violations"]:
            print("VIOLATION", violation)
    return 1 if result["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
