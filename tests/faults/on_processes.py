"""
Faults of our own processes: killed, told to end, stopped and woken, replaced.
"""

from __future__ import annotations

import secrets
import signal
import time
from typing import TYPE_CHECKING

from tests.faults.story import GW, Scene, Story, fault

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.faults.processes import Process

LEASE_S = 4.0
"""PLANHAT_TIMEOUT_S + PLANHAT_HOLD_S of the stage: how long a call's tickets are held."""
GENTLY = (0, -signal.SIGTERM)
"""uvicorn raises the signal again when everything is done."""
LEFT = ("answer:cut", "answer:refused")


@fault("worker", "worker_kill", "a worker killed -9 at any moment", "its successor started")
def worker_kill(scene: Scene) -> Story:
    mark, worker = scene.mark(), scene.chance.choice(scene.stage.workers)
    worker.kill()
    killed = worker.ended == -signal.SIGKILL
    try:
        yield scene.chance.uniform(0.0, 1.0)
    finally:
        worker.start()
    yield 3.0
    return int(killed and scene.since(mark, "worker:worker started") > 0)


@fault("worker", "worker_kill_in_call", "a worker killed -9 in the middle of a call", "Planhat saw its caller vanish")
def worker_kill_in_call(scene: Scene) -> Story:
    mark, worker = scene.mark(), (yield from _caller(scene))
    if worker is None:
        return 0
    worker.kill()
    killed = worker.ended == -signal.SIGKILL
    worker.start()
    yield 3.0
    return int(killed and scene.since(mark, "planhat:caller gone") > 0)


@fault("worker", "worker_roll", "a new worker started, an old one told to end", "the old one ended by itself in 25 s")
def worker_roll(scene: Scene) -> Story:
    stage = scene.stage
    at = scene.chance.randrange(len(stage.workers))
    old, began = stage.workers[at], time.monotonic()
    name = f"worker{len(stage.fleet.children) + 1}"
    stage.workers[at] = stage.fleet.add(name, old.arguments, old.environment)
    yield scene.chance.uniform(0.0, 2.0)
    for _ in range(scene.chance.randint(1, 3)):  # a platform may say it more than once
        old.signal(signal.SIGTERM)
        yield 0.2
    while old.ended is None and time.monotonic() - began < 28:
        yield 0.2
    old.kill()
    return int(old.ended == 0)


@fault(
    "worker",
    "worker_stop",
    "a worker stopped in a call for longer than its lease, then woken",
    "tickets that it held were taken over while it slept",
)
def worker_stop(scene: Scene) -> Story:
    worker = yield from _caller(scene)
    if worker is None:
        return 0
    worker.signal(signal.SIGSTOP)
    try:
        held = _leases(scene)
        yield LEASE_S - 1.5
        held = {ticket: token for ticket, token in _leases(scene).items() if held.get(ticket) == token}
        over: set[bytes] = set()
        until = time.monotonic() + scene.chance.uniform(3.0, 8.0)
        while time.monotonic() < until:
            yield 0.2
            now = _leases(scene)
            over |= {ticket for ticket, token in held.items() if now.get(ticket, token) != token}
    finally:
        worker.signal(signal.SIGCONT)
    yield 0.5
    return len(over)


def _leases(scene: Scene) -> dict[bytes, bytes]:
    flat = scene.redis("HGETALL", f"{GW}lease") or {}
    return dict(flat)


def _caller(scene: Scene) -> Generator[float, None, Process | None]:
    """Wait until a worker waits for Planhat's answer; None when none does for a while."""
    stage = scene.stage
    stage.change_faults({"next": ["PUT:slow"]})
    until = time.monotonic() + 8
    while time.monotonic() < until:
        for worker, net in zip(stage.workers, stage.planhat_nets, strict=True):
            if net.waiting and worker.ended is None:
                return worker
        yield 0.005
    return None


@fault("web", "web_kill", "a web killed -9 under load", "senders' connections cut or refused")
def web_kill(scene: Scene) -> Story:
    mark, web = scene.mark(), scene.chance.choice(scene.stage.webs)
    web.kill()
    killed = web.ended == -signal.SIGKILL
    try:
        yield scene.chance.uniform(0.2, 2.0)
    finally:
        web.start()
    yield 2.0
    return int(killed and scene.since(mark, *LEFT) > 0)


@fault("web", "web_roll", "a web told to end, and started anew", "it ended by itself in 25 s")
def web_roll(scene: Scene) -> Story:
    return (yield from _replace(scene, scene.chance.choice(scene.stage.webs), {}))


@fault("web", "web_stop", "a web stopped for 2 to 9 s, then woken", "senders gave up or waited, and sent again")
def web_stop(scene: Scene) -> Story:
    mark, web, began = scene.mark(), scene.chance.choice(scene.stage.webs), time.monotonic()
    stop_s = scene.chance.uniform(2.0, 9.0)
    web.signal(signal.SIGSTOP)
    try:
        yield stop_s
    finally:
        web.signal(signal.SIGCONT)
    yield 1.0
    waited = scene.stage.sender.slowest_since(began) > 0.5 * min(stop_s, scene.stage.sender.timeout_s)
    return int(waited or scene.since(mark, "answer:timed out") > 0)


@fault("web", "web_full", "a web that takes one pending ticket only", "senders answered 503 `full`, who sent again")
def web_full(scene: Scene) -> Story:
    mark, web = scene.mark(), scene.chance.choice(scene.stage.webs)
    usual = dict(web.environment)
    try:
        yield from _replace(scene, web, {"PENDING_MAX_TICKETS": "1"})
        yield scene.chance.uniform(3.0, 6.0)
    finally:
        web.environment = usual
        web.kill()
        web.start()
    yield 2.0
    return scene.since(mark, "answer:503 full")


@fault(
    "web",
    "secret_rotation",
    "a new webhook secret beside the old one, web after web",
    "deliveries with the new one taken",
)
def secret_rotation(scene: Scene) -> Story:
    sender, fresh = scene.stage.sender, secrets.token_hex(16)
    for web in scene.stage.webs:
        yield from _replace(scene, web, {"ZENDESK_WEBHOOK_SECRET": f"{fresh},{sender.secret}"})
        yield 1.5
    sender.secret = fresh
    mark = scene.mark()
    yield 3.0
    return scene.since(mark, "answer:202 accepted")


def _replace(scene: Scene, web: Process, more: dict[str, str]) -> Story:
    """End a web gently and start it with other settings; 1 when it ended by itself."""
    began = time.monotonic()
    web.signal(signal.SIGTERM)
    while web.ended is None and time.monotonic() - began < 25:
        yield 0.1
    ended = web.ended
    web.kill()
    web.environment = {**web.environment, **more}
    web.start()
    yield 0.5
    return int(ended in GENTLY)
