"""
Faults of the bridge: Redis itself, and the network before it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import redis

from tests.faults.story import NOT_STORED, Scene, Story, fault

if TYPE_CHECKING:
    from tests.faults.proxy import Proxy

REFUSED = "Redis counted the error, so a command of ours met it"
FELT = "the sender was answered 503, or a worker said that Redis cannot be used"


@fault(
    "bridge", "redis_kill", "Redis killed -9 and started on its file (appendfsync always)", f"a new run id, and {FELT}"
)
def redis_kill(scene: Scene) -> Story:
    return (yield from _down(scene, scene.stage.redis.kill))


@fault("bridge", "redis_restart", "Redis stopped and started as in maintenance", f"a new run id, and {FELT}")
def redis_restart(scene: Scene) -> Story:
    return (yield from _down(scene, scene.stage.redis.stop))


@fault("bridge", "redis_kill_in_rewrite", "killed -9 while it rewrites its file", f"a new run id, and {FELT}")
def redis_kill_in_rewrite(scene: Scene) -> Story:
    scene.redis("BGREWRITEAOF")
    return (yield from _down(scene, scene.stage.redis.kill))


def _down(scene: Scene, end: object) -> Story:
    mark, before = scene.mark(), scene.run_id()
    assert callable(end)
    end()
    try:
        yield scene.chance.uniform(0.3, 3.0)
    finally:
        scene.stage.redis.start()
    yield 1.0
    return int(scene.run_id() != before and scene.since(mark, *NOT_STORED) > 0)


@fault("bridge", "redis_stall", "Redis stopped (SIGSTOP) for 1 to 7 s", "a sender waited as long, or gave up")
def redis_stall(scene: Scene) -> Story:
    stall_s, mark, began = scene.chance.uniform(1.0, 7.0), scene.mark(), time.monotonic()
    pid = scene.stage.redis.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield stall_s
    finally:
        os.kill(pid, signal.SIGCONT)
    yield 1.0
    waited = scene.stage.sender.slowest_since(began) > 0.5 * min(stall_s, 4.0)
    return int(waited or scene.since(mark, "answer:timed out", *NOT_STORED) > 0)


@fault("bridge", "script_flush", "SCRIPT FLUSH every 100 ms", f"NOSCRIPT: {REFUSED}")
def script_flush(scene: Scene) -> Story:
    before = scene.errors("NOSCRIPT")
    for _ in range(scene.chance.randint(10, 40)):
        scene.redis("SCRIPT", "FLUSH")
        yield 0.1
    return scene.errors("NOSCRIPT") - before


@fault("bridge", "client_kill", "CLIENT KILL of every connection of ours, again and again", "the connections killed")
def client_kill(scene: Scene) -> Story:
    killed = 0
    for _ in range(scene.chance.randint(3, 12)):
        killed += int(scene.redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") or 0)
        yield 0.4
    return killed


@fault("bridge", "redis_full", "maxmemory below what is used", f"OOM: {REFUSED}")
def redis_full(scene: Scene) -> Story:
    before = scene.errors("OOM")
    scene.redis("CONFIG", "SET", "maxmemory", "1mb")
    try:
        yield scene.chance.uniform(2.0, 6.0)
    finally:
        scene.redis("CONFIG", "SET", "maxmemory", "0")
    return scene.errors("OOM") - before


@fault("bridge", "redis_readonly", "Redis made a replica of nobody, then a primary again", f"READONLY: {REFUSED}")
def redis_readonly(scene: Scene) -> Story:
    before = scene.errors("READONLY")
    scene.redis("REPLICAOF", "127.0.0.1", 1)
    try:
        yield scene.chance.uniform(1.0, 5.0)
    finally:
        scene.redis("REPLICAOF", "NO", "ONE")
    return scene.errors("READONLY") - before


@fault("bridge", "redis_noreplicas", "min-replicas-to-write 1 without a replica", f"NOREPLICAS: {REFUSED}")
def redis_noreplicas(scene: Scene) -> Story:
    before = scene.errors("NOREPLICAS")
    scene.redis("CONFIG", "SET", "min-replicas-to-write", "1")
    try:
        yield scene.chance.uniform(1.0, 5.0)
    finally:
        scene.redis("CONFIG", "SET", "min-replicas-to-write", "0")
    return scene.errors("NOREPLICAS") - before


@fault("bridge", "redis_busy", "somebody's endless script", f"BUSY: {REFUSED}")
def redis_busy(scene: Scene) -> Story:
    before = scene.errors("BUSY")

    def endless() -> None:
        with contextlib.suppress(redis.RedisError), scene.stage.client(socket_timeout=15) as client:
            client.execute_command("EVAL", "while true do end", 0)

    caller = threading.Thread(target=endless, daemon=True)
    caller.start()
    try:
        yield scene.chance.uniform(1.0, 4.0)
    finally:
        scene.redis("SCRIPT", "KILL")
        caller.join(5)
    return scene.errors("BUSY") - before


@fault(
    "bridge", "web_net_cut", "the webs' connections reset, new ones refused", "answers 503 while connections were cut"
)
def web_net_cut(scene: Scene) -> Story:
    return (yield from _cut(scene, scene.stage.web_net, "answer:503 unavailable"))


@fault("bridge", "worker_net_cut", "the same for the workers", "a worker said that Redis cannot be used")
def worker_net_cut(scene: Scene) -> Story:
    return (yield from _cut(scene, scene.stage.worker_net, NOT_STORED[1]))


def _cut(scene: Scene, net: Proxy, sign: str) -> Story:
    mark = scene.mark()
    net.refuse()
    cut = net.cut()
    try:
        yield scene.chance.uniform(0.5, 4.0)
    finally:
        net.heal()
    yield 1.0
    return int(cut > 0 and scene.since(mark, sign) > 0)


@fault(
    "bridge", "net_latency", "50 to 400 ms to Redis and back, web and worker", "the sender's median answer took that"
)
def net_latency(scene: Scene) -> Story:
    delay_s, began = scene.chance.uniform(0.05, 0.4), time.monotonic()
    nets = (scene.stage.web_net, scene.stage.worker_net)
    for net in nets:
        net.delay(delay_s)
    try:
        yield scene.chance.uniform(3.0, 8.0)
    finally:
        median_s = scene.stage.sender.median_since(began)
        for net in nets:
            net.heal()
    return int(median_s > delay_s)


@fault("bridge", "net_half_open", "connections stay, bytes vanish", "bytes vanished, and commands timed out")
def net_half_open(scene: Scene) -> Story:
    mark = scene.mark()
    net = scene.chance.choice((scene.stage.web_net, scene.stage.worker_net))
    ways = scene.chance.choice((("up",), ("down",), ("up", "down")))
    before = sum(net.counts[f"swallowed_{way}"] for way in ways)
    net.swallow(*ways)
    try:
        yield scene.chance.uniform(5.5, 8.0)
    finally:
        swallowed = sum(net.counts[f"swallowed_{way}"] for way in ways) - before
        net.heal()
    yield 1.0
    return int(swallowed > 0 and scene.since(mark, "answer:timed out", *NOT_STORED) > 0)


@fault(
    "bridge", "net_answers_lost", "Redis' answers lost, connections reset", "writes that Redis had and nobody knew of"
)
def net_answers_lost(scene: Scene) -> Story:
    mark = scene.mark()
    nets = (scene.stage.web_net, scene.stage.worker_net)
    try:
        for _ in range(scene.chance.randint(2, 5)):
            for net in nets:
                net.lose_answers()
            yield scene.chance.uniform(0.2, 0.8)
            for net in nets:
                net.heal()
            yield scene.chance.uniform(0.2, 0.6)
    finally:
        for net in nets:
            net.heal()
    yield 2.0
    return scene.since(mark, "event:stored, but its answer was lost")
