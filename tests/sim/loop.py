"""
An event loop whose time is virtual: it never sleeps, it jumps to the next timer.

Every handle belongs to the simulated process in whose context it was made. A process that is stopped (SIGSTOP) or dead
keeps its handles parked, so its tasks halt between two awaits and no `finally` of theirs runs; the world goes on.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

EPOCH_S = 1_800_000_000.0
"""Unix time at which every simulation begins."""

NAP_S = (0.04, 1.0)
"""Timers of this length are naps of polling loops: they may be late when nothing has happened for a while."""


class Process:
    """
    One simulated process: its tasks, its clock, whether it runs.

    Args:
        skew_s: how far its wall clock is ahead of the world's.
    """

    def __init__(self, loop: SimLoop, name: str, skew_s: float = 0.0) -> None:
        self.loop = loop
        self.name = name
        self.skew_s = skew_s
        self.halted = False
        self.dead = False
        self.ghost = False
        self.ever_paused_at_s = float("-inf")
        self.parked: list[Handle] = []
        self.tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return self.name

    def wall_s(self) -> float:
        """Give what this process takes for Unix time, seconds."""
        return EPOCH_S + self.loop.now_s + self.skew_s


PROCESS: ContextVar[Process | None] = ContextVar("simulated_process", default=None)


class Handle:
    """A callback to come, in the way of asyncio.Handle."""

    __slots__ = ("_args", "_at_s", "_callback", "_context", "_gone", "owner")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context, owner: Process | None, at_s: float
    ) -> None:
        self._callback, self._args, self._context, self.owner, self._at_s = callback, args, context, owner, at_s
        self._gone = False

    def cancel(self) -> None:
        self._gone = True

    def cancelled(self) -> bool:
        return self._gone

    def when(self) -> float:
        return self._at_s

    def run(self) -> None:
        self._context.run(self._callback, *self._args)


class Numbered(asyncio.Task[Any]):
    """A task whose hash is its number, so that sets of tasks have one order in every run."""

    def __init__(self, number: int, coro: Coroutine[Any, Any, Any], **more: Any) -> None:
        self.number = number
        super().__init__(coro, **more)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


_Base: Any = asyncio.AbstractEventLoop


class SimLoop(_Base):  # type: ignore[misc]
    """
    The loop. `current` is the process whose code runs now, None for the world outside.

    Args:
        late_s: gives how late a nap may be, seconds, from how long nothing has happened, seconds.
    """

    def __init__(self, late_s: Callable[[float], float] = lambda _idle_s: 0.0) -> None:
        self.now_s = 0.0
        self.current: Process | None = None
        self.active_at_s = 0.0
        self.steps = 0
        self.errors: list[str] = []
        self._late_s = late_s
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._number = 0

    # what asyncio asks of a loop

    def time(self) -> float:
        return self.now_s

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        if context is None:
            handle = Handle(callback, args, copy_context(), self.current, 0.0)
        else:
            handle = Handle(callback, args, context, context.get(PROCESS), 0.0)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        owner = self.current if context is None else context.get(PROCESS)
        if owner is not None and NAP_S[0] < when - self.now_s <= NAP_S[1]:
            when += self._late_s(self.now_s - self.active_at_s)
        handle = Handle(callback, args, copy_context() if context is None else context, owner, when)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> Any:
        owner = self.current if context is None else context.get(PROCESS)
        self._number += 1
        if context is None:
            task = Numbered(self._number, coro, loop=self, name=name)
        else:
            task = Numbered(self._number, coro, loop=self, name=name, context=context)
        if owner is not None:
            owner.tasks.add(task)
            task.add_done_callback(owner.tasks.discard)
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.errors.append(f"{context.get('message')}: {type(error).__name__}: {error}")

    # what the simulation asks of it

    def spawn(self, process: Process, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task inside a process."""
        context = copy_context()
        context.run(PROCESS.set, process)
        task: asyncio.Task[Any] = self.create_task(coro, context=context)
        return task

    def inside(self, process: Process | None, callback: Callable[..., Any], *args: Any) -> None:
        """Run a callback soon inside a process."""
        context = copy_context()
        context.run(PROCESS.set, process)
        self.call_soon(callback, *args, context=context)

    def halt(self, process: Process) -> None:
        """Stop a process where it stands, as SIGSTOP does."""
        process.halted = True

    def wake(self, process: Process) -> None:
        """Let a stopped process go on."""
        process.halted = False
        self._ready.extend(process.parked)
        process.parked.clear()

    def run_until(self, done: Callable[[], bool]) -> bool:
        """Run until `done()` after some handle; False when there is nothing left to run."""
        ready, timers = self._ready, self._timers
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        asyncio._set_running_loop(self)
        try:
            while True:
                if not ready:
                    if done():
                        return True
                    if not timers:
                        return False
                    self.now_s = max(self.now_s, timers[0][0])
                    while timers and timers[0][0] <= self.now_s:
                        handle = heapq.heappop(timers)[2]
                        if not handle._gone:
                            ready.append(handle)
                    continue
                handle = ready.popleft()
                if handle._gone:
                    continue
                owner = handle.owner
                if owner is not None and owner.halted:
                    owner.parked.append(handle)
                    continue
                self.current = owner
                self.steps += 1
                handle._context.run(handle._callback, *handle._args)
                self.current = None
        finally:
            self.current = None
            asyncio._set_running_loop(before)

    def drop_timers(self) -> None:
        """Forget every timer (the simulation is over)."""
        self._timers.clear()
