"""
Faults that lose data in Redis itself, each in a run of its own: no gateway can keep what its store has forgotten.

    python -m tests.faults.losses [--seed N] [--classes loss_aof_tail,...] [--json]

What is demanded: the loss is *detected and reported* (a worker's log, `gateway_epochs_lost_total`) within a minute, and
whatever was not in the lost seconds arrives whole. The judge knows those seconds: a mark is written into Redis every
50 ms, and the mark that survives tells what did. Repair comes with the catch-up from the helpdesk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import redis

from tests.faults.processes import free_port
from tests.faults.proxy import Proxy
from tests.faults.stage import Stage
from tests.faults.story import GW, Scene
from tests.faults.traffic import Traffic
from tests.faults.watch import Watch
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable

MARK: Final = "fault-run:mark"
MARK_EVERY_S: Final = 0.05
NOTICED_S: Final = 60.0
LOST: Final = "worker:redis lost data since this process started; a catch-up from the helpdesk is needed"
ANSWER_S: Final = 0.5
"""How much earlier than its acceptance a delivery may have been written."""


class Marks:
    """A thread that writes the time into Redis, so that what survives tells until when Redis remembers."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self._over = stage, threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> float:
        """Write no mark any more: the newest that survives tells until when Redis remembers. Gives the time of now."""
        self._over.set()
        self._thread.join(5)
        return time.monotonic()

    def _write(self) -> None:
        while not self._over.wait(MARK_EVERY_S):
            with contextlib.suppress(redis.RedisError, OSError), self.stage.client(socket_timeout=1) as client:
                client.set(MARK, repr(time.monotonic()))


def survived(stage: Stage) -> float:
    """Give the time of the newest mark that Redis still holds; 0 for none."""
    with stage.client() as client:
        held: Any = client.get(MARK)
    return float(held or 0)


# --------------------------------------------------------------------------------------------------------- the losses


def aof_tail(scene: Scene, more: Callable[[], None]) -> None:
    """Kill Redis, cut the end off its file, start it on the rest: a host that died before its disk had everything."""
    more()
    server = scene.stage.redis
    server.kill()
    (path,) = Path(server.directory, "appendonlydir").glob("*.incr.aof")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(int(size * scene.chance.uniform(0.6, 0.95)))
    server.start()


def lagging_replica(scene: Scene, more: Callable[[], None]) -> None:
    """Let a replica fall behind, kill the primary, promote the replica: what a Sentinel does."""
    stage = scene.stage
    replica = RedisServer(stage.directory / "replica").start()
    with (
        contextlib.ExitStack() as undo,
        Proxy(int(stage.redis.config["port"])) as link,
        replica_client(replica) as client,
    ):
        undo.callback(replica.kill)
        client.replicaof("127.0.0.1", str(link.port))
        until = time.monotonic() + 20
        while dict(client.info("replication")).get("master_link_status") != "up":
            assert time.monotonic() < until, "the replica does not follow"
            time.sleep(0.1)
        link.swallow("down")
        more()
        stage.redis.kill()
        client.replicaof("NO", "ONE")
        undo.pop_all()
    for net in (stage.web_net, stage.worker_net):
        net.target = replica.socket
        net.cut()
    stage.redis = replica
    stage.operator_environment["REDIS_URL"] = replica.url


def replica_client(server: RedisServer) -> redis.Redis:
    """Give a client of a replica."""
    return redis.Redis(unix_socket_path=server.socket, socket_timeout=5)


def flushed(scene: Scene, more: Callable[[], None]) -> None:
    """Forget everything at once."""
    more()
    scene.redis("FLUSHALL")


def old_copy(scene: Scene, more: Callable[[], None]) -> None:
    """Start Redis from a backup that is some seconds old."""
    server = scene.stage.redis
    live, copy = Path(server.directory, "appendonlydir"), Path(server.directory, "copy")
    shutil.copytree(live, copy)
    more()
    server.kill()
    shutil.rmtree(live)
    copy.rename(live)
    server.start()


CLASSES: Final[dict[str, tuple[str, Callable[[Scene, Callable[[], None]], None]]]] = {
    "loss_aof_tail": ("Redis killed, 5 to 40 % of its file cut off", aof_tail),
    "loss_lagging_replica": ("failover to a replica that had fallen behind", lagging_replica),
    "loss_flush": ("FLUSHALL", flushed),
    "loss_old_copy": ("Redis started from an older copy of its file", old_copy),
}
"""Class -> what is done, and how."""


def run(name: str, seed: int, *, events: int = 600, whole: bool = True) -> dict[str, Any]:
    """
    Run one class; gives figures and violations.

    Args:
        whole: also compare in the end; the quota's window counts as full for a minute after a loss, so this takes long.
    """
    chance = random.Random(f"{seed}/{name}")
    directory = Path(tempfile.mkdtemp(prefix="loss-"))
    config: dict[str, str | int] = {"port": free_port()}
    with (
        Stage(
            directory,
            chance,
            tickets=events // 6,
            workers=2,
            webs=2,
            redis_config=config,
            rate_per_s=120,
            proxied=True,
            tied=True,
        ) as stage,
        Marks(stage) as marks,
    ):
        scene = Scene(stage, Watch(stage), chance, Traffic(stage.helpdesk, chance, 0))
        _send(stage, chance, events // 2)
        stage.settle(60)
        safe_at = time.monotonic()
        mark, before = scene.mark(), _told(scene)
        ends: list[float] = []

        def more() -> None:
            _send(stage, chance, events // 4)
            ends.append(marks.stop())

        CLASSES[name][1](scene, more)
        (lost_at,) = ends
        since = survived(stage) or safe_at
        damaged = _damaged(stage, since - ANSWER_S, lost_at)
        sending = threading.Thread(target=_send, args=(stage, chance, events // 4))
        sending.start()
        noticed_s = _noticed(scene, mark, before, lost_at)
        sending.join()
        found: list[str] = []
        if whole:
            _read_back(scene)
            found, _ = stage.verdict(120)
        scene.watch.look()
    hurt = [one for one in found if one.startswith("zendesk:") and _ticket(one) in damaged]
    violations = [one for one in found if one not in hurt]
    violations += [f"an exception that no code expected: {defect}" for defect in scene.watch.defects]
    if damaged and noticed_s is None:
        violations.append(f"{len(damaged)} tickets had changes in the lost seconds, and nobody noticed the loss")
    if not damaged:
        violations.append("nothing was lost: the run proves nothing")
    return {
        "class": name,
        "events": stage.sender.events["sent"],
        "lost_s": round(lost_at - since, 2),
        "tickets_in_lost_seconds": len(damaged),
        "tickets_hurt": len({_ticket(one) for one in hurt}) if whole else None,
        "noticed_s": noticed_s,
        "violations": violations,
        "logs": str(directory),
    }


def _ticket(violation: str) -> str:
    """Give the ticket that a violation is about."""
    return violation.split(":", 2)[1].partition(".")[0]


def _send(stage: Stage, chance: random.Random, events: int) -> None:
    """Send changes, each once: an old delivery repeated after a loss cannot be told from a new one."""
    quiet = {"again": 0.0, "forged": 0.0, "deletes": 0.0, "poison": 0.0, "unreadable": 0.0}
    traffic = Traffic(stage.helpdesk, chance, events, **quiet)
    traffic.alive = [ticket for ticket in stage.helpdesk.tickets.values() if ticket.versions]
    traffic.unopened = [ticket for ticket in traffic.unopened if not ticket.versions]
    stage.sender.send(traffic, 8)


def _damaged(stage: Stage, since: float, until: float) -> set[str]:
    """Give the tickets of which something was accepted in the lost seconds."""
    with stage.sender.lock:
        moments = {ticket: list(times) for ticket, times in stage.sender.moments.items()}
    return {ticket for ticket, times in moments.items() if any(since < at <= until for at in times)}


def _read_back(scene: Scene) -> None:
    """Wait until no ticket waits for what Planhat's own list says of its history: states may be lost as well."""
    until = time.monotonic() + 240
    scene.stage.settle(150)  # the quota's window counts as full for the first minute
    while scene.redis("ZCARD", f"{GW}unread") and time.monotonic() < until:
        time.sleep(1)


def _told(scene: Scene) -> int:
    """Give how many lost epochs Redis has counted."""
    return int(scene.redis("HGET", f"{GW}counters", "epochs_lost") or 0)


def _noticed(scene: Scene, mark: dict[str, int], before: int, lost_at: float) -> float | None:
    """Wait until the loss is in a worker's log and in the counter; give the seconds it took, None when it is not."""
    while time.monotonic() - lost_at < NOTICED_S:
        if scene.since(mark, LOST) and _told(scene) != before:
            return round(time.monotonic() - lost_at, 2)
        time.sleep(0.1)
    return None


def main(words: list[str] | None = None) -> int:
    """Run the classes one after the other; 1 when there is a violation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--classes", default=",".join(CLASSES))
    parser.add_argument("--events", type=int, default=600)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    results = [run(name, options.seed, events=options.events) for name in options.classes.split(",")]
    for result in results:
        if options.json:
            print(json.dumps(result))
        else:
            print(" · ".join(f"{name} {value}" for name, value in result.items() if name != "violations"))
            for violation in result["violations"]:
                print("VIOLATION", violation)
    return 1 if any(result["violations"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
