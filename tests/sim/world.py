"""
One simulated world: its clock, its dice, its trace, and what befalls every call that crosses a process' border.

A fault is drawn where it is caused (`_fate`) and counted where it is met (`met`): by the process that gets the error,
by the server that applies a late write, by the next holder that finds a lapsed claim.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.sim.loop import EPOCH_S, Process, SimLoop
from tests.sim.redis_net import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sim.plan import Plan
    from tests.sim.redis_lua import Engine
    from tests.sim.redis_net import Wire

IDLE = (b"look", b"waiting")
IDLE_SHARE = 0.08
"""Of a fault's rate, for the reads of idle loops: most commands are theirs, and least can go wrong with them."""
WATCHED = ("ack", "extend")
"""Scripts that are told of also when they change nothing."""
SMALL = ("count", "slot", "reserve", "learn", "epoch", "pause", "waiting")
"""Scripts that are no sign of work."""
SAID_MAX = 600
"""Characters of a violation."""
LATE_NAP_MAX_S = 10.0


class World:
    """
    Everything that one seed makes.

    Args:
        plan: what may go wrong, and how often.
        keep: keep the trace as lines, not only as a hash.
    """

    def __init__(
        self, seed: int, plan: Plan, engine: Engine, *, keep: bool = False, server_type: type[Server] = Server
    ) -> None:
        self.seed = seed
        self.plan = plan
        self.chance = random.Random(seed * 7_919 + 17)
        self.loop = SimLoop(self._late_nap_s)
        self.server = server_type(self, engine)
        self.counts: Counter[str] = Counter()
        self.awaits: Counter[str] = Counter()
        self.events = 0
        self.violations: list[str] = []
        self.calm = False
        self.lines: list[str] | None = [] if keep else None
        self._hash = hashlib.blake2b(digest_size=12)
        self.kill: Callable[[Process], None] = lambda _process: None
        self.watch: Callable[[str, list[bytes], list[bytes], Any], None] = lambda *_: None
        self._redis_rates = [(name, rate) for name, rate in plan.rates.items() if name.startswith("redis_")]
        self._redis_total = sum(rate for _, rate in self._redis_rates)

    # clock, trace, counters

    def wall_us(self) -> int:
        return int((EPOCH_S + self.loop.now_s) * 1_000_000)

    def wall_ms(self) -> int:
        return self.wall_us() // 1000

    def _late_nap_s(self, idle_s: float) -> float:
        """Give how late a polling loop wakes up: the longer nothing happens, the later, as on a sleepy machine."""
        return 0.5 * self.chance.random() + min(LATE_NAP_MAX_S, idle_s * 0.5)

    def note(self, kind: str, detail: object = "") -> None:
        """Write a line of the trace."""
        process = self.loop.current
        line = f"{self.loop.now_s:.6f} {process or '-'} {kind} {detail}"
        self._hash.update(line.encode("utf-8", "backslashreplace"))
        self.events += 1
        if self.lines is not None:
            self.lines.append(line)

    def trace(self) -> str:
        """Give the hash of everything that happened so far."""
        return self._hash.hexdigest()

    def active(self) -> None:
        """Something happened: loops nap no longer than they mean to."""
        self.loop.active_at_s = self.loop.now_s

    def met(self, process: Process | None, name: str) -> None:
        """A fault had its effect on a process that lives."""
        if process is None or not (process.dead or process.ghost):
            self.seen(name)

    def seen(self, name: str) -> None:
        """Count a fault where its effect is seen."""
        self.counts[name] += 1
        self.note("seen", name)

    def broken(self, said: str) -> None:
        """An invariant does not hold."""
        said = said[:SAID_MAX]
        if said not in self.violations:
            self.violations.append(said)
        self.note("VIOLATION", said)

    # Redis

    def ran(self, name: str, keys: list[bytes], args: list[bytes], reply: Any, *, changed: bool) -> None:
        """A script ran on the server."""
        if changed or name in WATCHED:
            self.note(name, reply)
            self.watch(name, keys, args, reply)
            if changed and name not in SMALL:
                self.active()

    def redis_call(self, wire: Wire, commands: list[list[bytes]]) -> None:
        """Send commands; their replies come to the wire some time later, if they do."""
        loop, process = self.loop, wire.process
        futures = [loop.create_future() for _ in commands]
        wire.replies.extend(futures)
        if process is None:
            loop.call_later(0.0005, self._answer, wire, commands, futures)
            return
        if process.ghost:
            for future in futures:
                future.set_result(ConnectionResetError(104, "the process is gone"))
            return
        self.awaits["redis"] += 1
        delay_s = 0.0002 + 0.003 * self.chance.random()
        fate = self._fate(commands)
        outside = loop.current
        loop.current = None  # what follows happens outside of the process
        if not fate:
            loop.call_later(delay_s, self._answer, wire, commands, futures)
        else:
            self.note("fate", f"{fate} {commands[0][:1]}")
            self._suffer(fate, wire, commands, futures, delay_s)
        loop.current = outside

    def _fate(self, commands: list[list[bytes]]) -> str:
        if self.calm or not self._redis_total:
            return ""
        first = commands[0]
        total = self._redis_total
        if first[0] == b"EVALSHA" and self._name(first[1]) in IDLE:
            total *= IDLE_SHARE
        at = self.chance.random()
        if at >= total:
            return ""
        at *= self._redis_total / total
        for name, rate in self._redis_rates:
            at -= rate
            if at < 0:
                return name
        return ""

    def _name(self, sha: bytes) -> bytes:
        script = self.server.scripts.get(sha)
        return script.name.encode() if script else b""

    def _suffer(self, fate: str, wire: Wire, commands: list[list[bytes]], futures: list[Any], delay_s: float) -> None:
        loop, chance, process = self.loop, self.chance, wire.process
        assert process is not None
        reset = ConnectionResetError(104, "Connection reset by peer")
        wire.told = fate
        match fate:
            case "redis_cut_before":
                loop.call_later(delay_s, self._tell, futures, reset)
            case "redis_cut_after":
                loop.call_later(delay_s, self._apply, wire, commands, futures, reset)
            case "redis_half":
                part = commands[: chance.randint(0, len(commands) - 1)]
                loop.call_later(delay_s, self._apply, wire, part, futures, reset)
            case "redis_late":
                loop.call_later(delay_s, self._tell, futures, reset)
                loop.call_later(delay_s + chance.uniform(0.02, 4.0), self._apply, wire, commands, [], None)
            case "redis_slow":
                loop.call_later(chance.uniform(0.05, 4.5), self._answer, wire, commands, futures)
            case "redis_silent_before":
                pass
            case "redis_silent_after":
                loop.call_later(delay_s, self._apply, wire, commands, [], None)
            case "redis_crash_before":
                self.kill(process)
            case "redis_crash_after":
                loop.call_later(delay_s, self._apply, wire, commands, [], None)
                self.kill(process)
            case "redis_cancel_before" | "redis_cancel_after":
                task = self._task()
                if fate == "redis_cancel_after":
                    loop.call_later(delay_s, self._apply, wire, commands, [], None)
                if task is not None:
                    loop.call_later(delay_s, task.cancel)
            case "redis_pause_after":
                loop.call_later(delay_s, self._answer, wire, commands, futures)
                self.freeze(process)
            case _:
                raise ValueError(fate)

    def _task(self) -> Any:
        import asyncio

        return asyncio.current_task(self.loop)

    def freeze(self, process: Process) -> None:
        """Stop a process (SIGSTOP) for a while, often beyond its leases."""
        if process.halted or process.dead:
            return
        seconds = self.chance.choice((0.5, 3.0, 8.0, 33.0, 50.0)) * self.chance.uniform(0.6, 1.4)
        self.loop.halt(process)
        self.note("pause", f"{process} {seconds:.1f}")
        self.loop.call_later(seconds, self._thaw, process)

    def _thaw(self, process: Process) -> None:
        if process.dead or not process.halted:
            return
        process.ever_paused_at_s = self.loop.now_s
        if process.parked:
            self.seen("process_paused")
        self.loop.wake(process)

    def _tell(self, futures: list[Any], error: Exception) -> None:
        for future in futures:
            if not future.done():
                future.set_result(error)

    def _apply(self, wire: Wire, commands: list[list[bytes]], futures: list[Any], error: Exception | None) -> None:
        """Run commands whose replies nobody gets."""
        if not self.server.down and wire.generation == self.server.generation:
            self._run(commands)
        if error is not None:
            self._tell(futures, error)

    def _answer(self, wire: Wire, commands: list[list[bytes]], futures: list[Any]) -> None:
        server = self.server
        if server.down or wire.generation != server.generation:
            if wire.process is not None:
                wire.told = wire.told or "redis_restarted"
            self._tell(futures, ConnectionResetError(104, "Connection reset by peer"))
            return
        for future, reply in zip(futures, self._run(commands), strict=True):
            if not future.done():
                future.set_result(reply)
                if isinstance(reply, Exception) and wire.process is not None:
                    wire.told = wire.told or "redis_" + type(reply).__name__.removesuffix("Error").lower()

    def _run(self, commands: list[list[bytes]]) -> list[Any]:
        execute = self.server.execute
        if commands and commands[0][0] == b"MULTI":
            inner = [execute(one) for one in commands[1:-1]]
            return [b"OK", *(b"QUEUED" for _ in inner), inner]
        return [execute(one) for one in commands]
