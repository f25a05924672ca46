"""
One seed from beginning to end: a storm, then calm, then everything settles in virtual time, then the judge.
"""

from __future__ import annotations

import asyncio
import logging
import random
import traceback
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from gateway.errors import StoreError
from gateway.store.pending import Limits, Store
from gateway.store.scripts import sources
from tests.sim import plan as plans
from tests.sim.clocks import replaced
from tests.sim.oracle import Judge
from tests.sim.planhat import Doc, Planhat
from tests.sim.processes import Web, Worker, client, worker_settings
from tests.sim.redis_lua import Engine
from tests.sim.redis_net import Server
from tests.sim.senders import Senders
from tests.sim.truth import Helpdesks, iso
from tests.sim.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from redis.asyncio import Redis

    from tests.sim.loop import Process
    from tests.sim.plan import Plan

SETTLE_S = 4_000.0
"""Virtual seconds within which everything must have settled once nothing goes wrong any more."""
WORKERS = 2


@dataclass
class Result:
    """What one seed came to."""

    seed: int
    trace: str
    events: int
    deliveries: int
    virtual_s: float
    counts: Counter[str] = field(default_factory=Counter)
    awaits: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


@cache
def engine() -> Engine:
    """Give the Lua runtime of this Python process."""
    return Engine({name: text for name, (_, text) in sources().items()})


class Simulation:
    """One world with its people, processes, senders and judge."""

    def __init__(
        self,
        seed: int,
        *,
        plan: Plan | None = None,
        store_type: Callable[..., Store] = Store,
        server_type: type[Server] = Server,
        keep: bool = False,
    ) -> None:
        drawn = plan or plans.draw(random.Random(seed))
        self.world = World(seed, drawn, engine(), keep=keep, server_type=server_type)
        self.store_type = store_type
        self.accepted: Counter[bytes] = Counter()
        self.retired: list[Web | Worker] = []

    def run(self) -> Result:
        """Run it."""
        world = self.world
        with replaced(world.loop, world.chance):
            self.planhat = Planhat(world)
            self.desks = Helpdesks(world.chance, world.plan.tickets, world.wall_ms())
            self.senders = Senders(world, self.desks, lambda: self.webs)
            self.judge = Judge(world, self.planhat, self.desks)
            world.kill, world.watch = self.kill, self.watch
            main = world.loop.create_task(self._main())
            finished = world.loop.run_until(main.done)
            if not finished or main.exception():
                world.broken(f"the simulation itself failed: {main.exception() if finished else 'it halted'!r}")
            trace, events, virtual_s = world.trace(), world.events, world.loop.now_s
            self._bury_processes()
        for error in world.loop.errors:
            world.violations.append(f"unhandled: {error}")
        return Result(
            world.seed,
            trace,
            events,
            self.senders.attempts,
            virtual_s,
            world.counts,
            world.awaits,
            world.violations,
            world.lines or [],
        )

    # the course of events

    async def _main(self) -> None:
        world, plan = self.world, self.world.plan
        self.settings = worker_settings(world)
        self.operator = self._store(client(world, None, connections=3))
        self._what_planhat_held()
        self.webs = [self._web(f"web{n}") for n in range(plan.webs)]
        self.workers = [self._worker(f"worker{n}") for n in range(WORKERS)]
        tasks = [self._spawn(self.senders.all()), self._spawn(self._storm())]
        await asyncio.gather(*tasks)
        await self._calm()
        if not await self._settled():
            world.broken(f"not settled after {SETTLE_S:g} s of calm: {self._left()} (I7)")
            return
        await self.operator.replay_tickets([row.id for row in await self.operator.dead_letters(kind="ticket")])
        if not await self._settled():
            world.broken(f"not settled after the replay: {self._left()} (I7)")
            return
        await self._judge()

    def _spawn(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = self.world.loop.create_task(coro)
        return task

    def _store(self, redis: Redis) -> Store:
        return self.store_type(redis, limits=Limits(dead_letter_max=1000))

    def _skew_s(self) -> float:
        return self.world.chance.uniform(-self.world.plan.skew_s, self.world.plan.skew_s)

    def _web(self, name: str) -> Web:
        web = Web(self.world, name, self._skew_s(), self._store)
        if abs(web.skew_s) > 1.0:
            self.world.seen("clock_skew")
        return web

    def _worker(self, name: str) -> Worker:
        return Worker(
            self.world,
            name,
            self._skew_s(),
            settings=self.settings,
            planhat=self.planhat,
            desks=self.desks,
            store_of=self._store,
        )

    def _what_planhat_held(self) -> None:
        for number, ticket in enumerate(self.desks.tickets):
            if ticket.before is not None:
                history = [{"status": status, "time": iso(at, 3)} for at, status in ticket.before]
                fields = {
                    "sourceId": ticket.key,
                    "email": "old@kiosk.example",
                    "title": "from earlier times",
                    "history": history,
                }
                self.planhat.docs[ticket.key] = Doc(f"00{number:04x}", fields)

    # what goes wrong by itself

    async def _storm(self) -> None:
        world, plan, chance = self.world, self.world.plan, self.world.chance
        rates = [(name, rate) for name, rate in plan.rates.items() if name.startswith("world_")]
        ends_s = world.loop.now_s + plan.storm_s + 10.0
        while world.loop.now_s < ends_s or self.senders.left > 0:
            await asyncio.sleep(chance.uniform(0.3, 1.7))
            if world.loop.now_s > ends_s + 60.0:
                world.calm = True  # senders that cannot get through must come to an end
            if world.calm:
                continue
            for name, rate in rates:
                if chance.random() < rate:
                    await self._befall(name)

    async def _befall(self, name: str) -> None:
        world, chance, server = self.world, self.world.chance, self.world.server
        world.note("befall", name)
        short_s = chance.uniform(0.2, 6.0)
        worker, web = chance.choice(self.workers), chance.choice(self.webs)
        match name:
            case "world_worker_kill":
                self.kill(worker)
            case "world_web_kill":
                self.kill(web)
            case "world_worker_stop":
                self._terminate(worker)
            case "world_pause":
                world.freeze(chance.choice([worker, web]))
            case "world_redis_restart":
                server.down = True
                await asyncio.sleep(short_s / 2)
                server.restart()
                server.down = False
                server.unusable = "loading"
                await asyncio.sleep(short_s / 4)
                server.unusable = ""
            case "world_redis_oom":
                server.full = True
                await asyncio.sleep(short_s)
                server.full = False
            case "world_redis_readonly":
                server.readonly = True
                await asyncio.sleep(short_s)
                server.readonly = False
                server.restart()
            case "world_redis_unusable":
                server.unusable = chance.choice(("busy", "misconf", "noreplicas"))
                await asyncio.sleep(short_s)
                server.unusable = ""
            case "world_script_flush":
                server.scripts.clear()
            case "world_token_revoked":
                self.planhat.revoked = True
                await asyncio.sleep(short_s)
                self.planhat.revoked = False
            case "world_planhat_away":
                self.planhat.away = True
                await asyncio.sleep(short_s)
                self.planhat.away = False
            case "world_replay":
                rows = await self._operate(lambda: self.operator.dead_letters(kind="ticket"))
                if rows and await self._operate(lambda: self.operator.replay_tickets([row.id for row in rows])):
                    world.seen("replayed")
            case "world_hold":
                await self._operate(lambda: self.operator.hold("by hand"))
                world.seen("held")
                await asyncio.sleep(short_s)
                await self._operate(self.operator.unhold)
            case _:
                raise ValueError(name)

    async def _operate(self, move: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Do something by hand; again when Redis cannot be used just now."""
        while True:
            try:
                return await move()
            except StoreError:
                await asyncio.sleep(1.0)

    def kill(self, process: Process) -> None:
        """End a process between two awaits; the platform starts another one."""
        if process.dead or not isinstance(process, Web | Worker):
            return
        world = self.world
        process.dead = True
        world.loop.halt(process)
        world.note("kill", process)
        if isinstance(process, Web):
            for answer in list(process.waiting):
                if not answer.done():
                    answer.set_result(None)
        self._again(process)

    def _terminate(self, worker: Worker) -> None:
        """SIGTERM, and SIGKILL when it takes too long."""
        if worker.dead or worker.ended:
            return
        chance = self.world.chance
        worker.grace_s = chance.choice((0.0, 0.5, 3.0, 20.0))
        worker.stop.set()
        self.world.seen("worker_stopped")
        self.world.loop.call_later(25.0, self.kill, worker)

    def _again(self, process: Web | Worker) -> None:
        outside = self.world.loop.current
        self.world.loop.current = None
        self.world.loop.call_later(self.world.chance.uniform(0.2, 4.0), self._start_again, process)
        self.world.loop.current = outside

    def _start_again(self, process: Web | Worker) -> None:
        if process.parked:
            self.world.seen("worker_crash" if isinstance(process, Worker) else "web_crash")
        self.retired.append(process)
        if isinstance(process, Web):
            self.webs = [self._web(process.name) if one is process else one for one in self.webs]
        else:
            self.workers = [self._worker(process.name) if one is process else one for one in self.workers]

    async def _look_after(self) -> None:
        """Start workers anew that ended by themselves, as a platform does."""
        for worker in self.workers:
            if worker.ended and not worker.dead:
                worker.dead = True
                self.world.loop.halt(worker)
                self._start_again(worker)

    def watch(self, name: str, keys: list[bytes], args: list[bytes], reply: Any) -> None:
        """See what the scripts come to."""
        world = self.world
        if name == "put" and isinstance(reply, list):
            at = len(args) - 2 * len(reply) - (len(keys) - 9)
            for one in reply:
                ident = args[at]
                if one and ident and args[6] == b"1":
                    self.accepted[ident] += 1
                    if self.accepted[ident] > 1:
                        world.broken("a delivery was taken in twice (I13)")
                at += 2 + int(args[at + 1])
        elif name in ("claim", "claim_named"):
            if b"1" in reply[1]:
                world.seen("lease_lapsed")
        elif name == "ack":
            if 2 in reply:
                world.seen("second_send")
            if 0 in reply:
                world.seen("fenced_ack")
        elif name == "extend" and reply:
            world.seen("fenced_before_call")
        elif name == "epoch" and reply[1]:
            world.seen("epoch_lost")

    # the end

    async def _calm(self) -> None:
        """Nothing goes wrong any more; whoever is down comes back."""
        world, server = self.world, self.world.server
        world.calm = True
        server.down = server.full = server.readonly = False
        server.unusable = ""
        self.planhat.revoked = self.planhat.away = False
        for process in (*self.webs, *self.workers):
            if process.halted and not process.dead:
                world._thaw(process)
        await self._operate(self.operator.unhold)
        world.note("calm")

    def _left(self) -> dict[str, int]:
        """Give what is still on the bridge."""
        data, keys = self.world.server.data, self.operator.keys
        named = {
            "due": keys.due,
            "lease": keys.lease,
            "doubt": keys.doubt,
            "suspects": keys.suspects,
            **{lane: keys.lane(lane) for lane in ("lookups", "deletes", "unread")},
        }
        left = {name: len(data.keys.get(key.encode(), ())) for name, key in named.items()}
        left["changes"] = sum(1 for key in data.keys if key.startswith(keys.change_prefix.encode()))
        return {name: count for name, count in left.items() if count}

    async def _settled(self) -> bool:
        """Wait until nothing is left on the bridge and no call is under way."""
        ends_s = self.world.loop.now_s + SETTLE_S
        quiet = turns = 0
        while quiet < 2:
            await asyncio.sleep(4.0)
            await self._look_after()
            turns += 1
            if turns > 4 and self._left():  # an item that is answered 500 is convicted only while others pass
                self._spawn(self.senders.send(0.0, self.desks.pulse()))
            flying = [one for one in self.planhat.flights if one.ends_s > self.world.loop.now_s and not one.paused]
            alive = all(not one.dead and not one.halted for one in (*self.webs, *self.workers))
            quiet = quiet + 1 if alive and not self._left() and not flying else 0
            if self.world.loop.now_s > ends_s:
                return False
        return True

    async def _judge(self) -> None:
        world = self.world
        rows = await self.operator.dead_letters()
        dead = {row.ticket: (row.reason, row.detail) for row in rows if row.kind == "ticket"}
        self.judge.final(dead, self.senders.answered)
        self.judge.quota()
        for web in self.webs:
            if web.commit._waiting or web.commit._queue:
                world.broken(f"{web}: deliveries wait for ever (I10)")
        living: tuple[Web | Worker, ...] = (*self.webs, *self.workers)
        for process in living:
            pool: Any = process.redis.connection_pool
            for _ in range(20):  # two loops may use one each at any moment, but not at every
                if len(pool._in_use_connections) <= 1:
                    break
                await asyncio.sleep(0.05)
            else:
                world.broken(f"{process}: connections were not given back (I10)")
        for reason, _ in dead.values():
            world.seen(f"dead_{reason}")
        for worker in self.workers:
            worker.stop.set()

    def _bury_processes(self) -> None:
        """End every task that is left, in a world that answers nothing any more, so that none outlives its seed."""
        world = self.world
        processes = [*self.retired, *getattr(self, "webs", ()), *getattr(self, "workers", ())]
        world.loop.drop_timers()
        for process in processes:
            process.ghost = True
            process.dead = False
            if isinstance(process, Worker):
                process.stop.set()
            world.loop.wake(process)
        for _ in range(50):
            tasks = [task for process in processes for task in process.tasks]
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            world.loop.run_until(lambda: True)
        for process in processes:
            for task in process.tasks:
                task._log_destroy_pending = False


class Defects(logging.Handler):
    """Takes what the product logs with a traceback: its loops survive their defects, the simulation tells of them."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
            self._world.broken(f"a defect: {record.getMessage()}: {error!r} at {where}")


def run(seed: int, **more: Any) -> Result:
    """Run one seed."""
    simulation = Simulation(seed, **more)
    defects, root = Defects(simulation.world), logging.getLogger()
    root.addHandler(defects)
    logging.disable(logging.WARNING)
    try:
        return simulation.run()
    finally:
        logging.disable(logging.NOTSET)
        root.removeHandler(defects)
