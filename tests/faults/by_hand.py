"""
What people do while everything runs: pause, replay, deploy another release; and the helpdesk's own faults.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import struct
import time
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

import redis

from tests.faults.processes import command, free_port
from tests.faults.sender import Parcel
from tests.faults.story import GW, Scene, Story, fault
from tests.faults.watch import SENT_BEFORE

HEAD: Final = struct.Struct(">IQ")
"""Length and arrival before each payload in a ticket's value (deploy/docs/internals.md, `change`)."""
OWN_DATABASE: Final = re.compile(r"db=0$")
TOMORROW: Final = b"\x09"
"""A frame version that no release of today knows."""
RELEASES: Final = Path(__file__).parent / "frames"
HELD: Final = {"title": SENT_BEFORE, "status": "new", "email": "ada@org1.example", "domains": ["org1.example"]}
"""Of a ticket with a state Planhat holds something already."""

NEWER_COMES: Final = """
local value, at, whole = redis.call('GET', KEYS[1]) or '', 1, {}
while at <= #value do
  local size, head = struct.unpack('>I4', value, at), value:sub(at + 4, at + 11)
  local payload = value:sub(at + 12, at + 11 + size)
  if payload:sub(1, 1) == ARGV[1] then payload = payload:sub(2) end
  whole[#whole + 1] = struct.pack('>I4', #payload) .. head .. payload
  at = at + 12 + size
end
if #whole > 0 then redis.call('SET', KEYS[1], table.concat(whole)) end
return #whole
"""
"""The newer release reads what it wrote: every frame of its version becomes one that is known."""


@fault("operator", "pause_resume", "`pause` by hand, later `resume`", "Redis held the pause")
def pause_resume(scene: Scene) -> Story:
    environment = scene.stage.operator_environment
    words = ["pause", "--reason", "a fault run"]
    yield from scene.meanwhile(partial(command, words, environment, as_json=False, attempts=20))
    yield scene.chance.uniform(2.0, 5.0)
    held = scene.redis("HGET", f"{GW}pause", "held")
    yield from scene.meanwhile(partial(command, ["resume"], environment, as_json=False, attempts=60))
    return int(held is not None)


@fault("operator", "dead_replay", "dead letters replayed during live traffic", "dead letters that went back")
def dead_replay(scene: Scene) -> Story:
    came = 0
    for reason in ("refused", "unconfirmed"):
        words = ["dead", "replay", "--reason", reason]
        rows = yield from scene.meanwhile(partial(command, words, scene.stage.operator_environment))
        came += sum(int(row.get("tickets", 0)) for row in rows)
    return came


@fault("operator", "helpdesk_down", "the helpdesk answers look-ups with 503", "a worker said that a look-up failed")
def helpdesk_down(scene: Scene) -> Story:
    mark = scene.mark()
    scene.stage.helpdesk.failing = True
    try:
        yield scene.chance.uniform(5.0, 10.0)
    finally:
        scene.stage.helpdesk.failing = False
    return scene.since(mark, "worker:helpdesk look-up failed")


@fault(
    "operator",
    "newer_release",
    "frames of a newer release in Redis before its workers come",
    "tickets left alone, named in a worker's log",
)
def newer_release(scene: Scene) -> Story:
    """A newer web takes deliveries in and writes frames that today's workers cannot read; later its workers come."""
    stage, port, secret = scene.stage, free_port(), secrets.token_hex(16)
    own = {"PORT": str(port), "REDIS_URL": OWN_DATABASE.sub("db=1", stage.redis.url), "ZENDESK_WEBHOOK_SECRET": secret}
    name = f"web{len(stage.fleet.children) + 1}"
    web = stage.fleet.add(name, ["gateway", "web"], {**stage.operator_environment, **own})
    mark = scene.mark()
    try:
        yield 3.0
        with stage.sender.lock:
            made = scene.traffic.fresh(scene.chance.randint(3, 8))
        for one in made:
            stage.newer.append(f"zendesk:{one.ticket}")
            url = f"http://127.0.0.1:{port}/webhooks/zendesk"
            yield from scene.meanwhile(partial(stage.sender.deliver, Parcel(one, secret=secret), url))
    finally:
        web.kill()
    tickets = stage.newer[-len(made) :]
    for ticket in tickets:
        yield from _carry_over(scene, ticket)
    yield scene.chance.uniform(6.0, 20.0)
    for ticket in tickets:
        yield from scene.surely("EVAL", NEWER_COMES, 1, f"{GW}change:{ticket}", TOMORROW)
    return scene.since(mark, "worker:ticket left alone")


def newer_release_is_here(scene: Scene) -> None:
    """End what a story may have left in the middle: everything that the newer release wrote can be read."""
    for ticket in scene.stage.newer:
        comes = scene.surely("EVAL", NEWER_COMES, 1, f"{GW}change:{ticket}", TOMORROW)
        for pause_s in chain(_carry_over(scene, ticket), comes):
            time.sleep(pause_s)


def _carry_over(scene: Scene, ticket: str) -> Story:
    """Move a ticket's frames from the newer web's own database to everybody's, in the newer version."""
    key = f"{GW}change:{ticket}"
    value: bytes | None = None
    while True:
        try:
            with scene.stage.client(db=1) as own:
                value = own.get(key)
            break
        except redis.RedisError:  # away just now, by another story
            yield 0.2
    whole, at = b"", 0
    while value and at < len(value):
        size, arrival = HEAD.unpack_from(value, at)
        payload = TOMORROW + value[at + HEAD.size : at + HEAD.size + size]
        whole += HEAD.pack(len(payload), arrival) + payload
        at += HEAD.size + size
    if whole:
        yield from _put(scene, ticket, whole)
    with contextlib.suppress(redis.RedisError), scene.stage.client(db=1) as own:
        own.delete(key)
    return 1


def _put(scene: Scene, ticket: str, value: bytes) -> Story:
    script = "redis.call('APPEND', KEYS[1], ARGV[1]) redis.call('ZADD', KEYS[2], 'NX', ARGV[2], ARGV[3]) return 1"
    now_ms = int(time.time() * 1000)
    return (yield from scene.surely("EVAL", script, 2, f"{GW}change:{ticket}", f"{GW}due", value, now_ms, ticket))


@fault(
    "operator",
    "older_release",
    "changes and states as an earlier release left them in Redis",
    "tickets of that release in Planhat, as it would have sent them",
)
def older_release(scene: Scene) -> Story:
    stage, mark = scene.stage, scene.mark()
    path = scene.chance.choice(sorted(RELEASES.glob("release-*.json")))
    for case in json.loads(path.read_text()):
        ticket = f"zendesk:{path.stem}-{len(stage.left_behind) + 1}"
        if case["state"]:
            yield from scene.meanwhile(partial(stage.hold, {"sourceId": ticket, **HELD}))
            yield from scene.surely("SET", f"{GW}state:{ticket}", base64.b64decode(case["state"]))
        yield from _put(scene, ticket, base64.b64decode(case["value"]))
        stage.left_behind[ticket] = case["expected"]
    yield scene.chance.uniform(8.0, 12.0)
    return scene.since(mark, "planhat:written of an older release")
