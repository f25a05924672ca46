"""
Faults of Planhat and of the way to it. Those of single calls are the sandbox' own (`workers/planhat/README.md`).
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from tests.faults.processes import command
from tests.faults.story import Scene, Story, fault

STRUCK: Final = "calls that the sandbox' log shows struck by it"
RATES: Final[dict[str, tuple[str, float, float]]] = {
    "rate_limit": ("429 before the quota is used up", 0.3, 0.9),
    "unavailable": ("503", 0.3, 1.0),
    "error": ("500", 0.3, 1.0),
    "late": ("no answer; the write lands a second after the time-out", 0.2, 0.6),
    "lost": ("the write lands, the connection is cut after the body", 0.3, 0.8),
    "dropped": ("the connection is reset before anything is written", 0.3, 0.8),
    "html": ("502 with an HTML page", 0.3, 0.8),
    "gateway_timeout": ("504 at once, the write lands 3 s later", 0.3, 0.8),
    "garbage": ("200 with torn JSON after the write", 0.3, 0.8),
    "page": ("200 with an HTML page after the write", 0.3, 0.8),
    "partial": ("206 with error entries for some items", 0.3, 0.8),
    "partial_ok": ("200 with error entries for some items", 0.3, 0.8),
    "silent": ("some items neither stored, counted nor named", 0.2, 0.5),
    "slow": ("answered properly a second later", 0.5, 1.0),
    "poison": ("a POISON title refuses its whole call, 400, unnamed", 1.0, 1.0),
    "poison500": ("the same with 500", 1.0, 1.0),
    "unauthorized": ("the token revoked (401), then restored", 1.0, 1.0),
    "forbidden": ("403 for everything, then restored", 1.0, 1.0),
    "redirect": ("307 to another address", 1.0, 1.0),
}
"""Fault of the sandbox -> what it is, and the rates it comes at."""
STOPPING: Final = ("unauthorized", "forbidden", "redirect")
PATIENCE_S: Final = 15.0


def _strikes(name: str, low: float, high: float) -> None:
    @fault("planhat", f"planhat_{name}", RATES[name][0], STRUCK)
    def story(scene: Scene) -> Story:
        mark = scene.mark()
        scene.stage.change_faults({name: scene.chance.uniform(low, high)})
        try:
            yield from _until_seen(scene, mark, f"planhat:{name}", scene.chance.uniform(4.0, 9.0))
        finally:
            scene.stage.change_faults({name: 0.0})
        struck = scene.since(mark, f"planhat:{name}")
        if name in STOPPING and scene.chance.random() < 0.6:  # else the probe of the minute finds out
            yield from scene.meanwhile(partial(command, ["resume"], scene.stage.operator_environment, as_json=False))
        return struck


def _until_seen(scene: Scene, mark: dict[str, int], name: str, seconds: float) -> Story:
    """Go on for so long, and longer while nothing is seen: a call may be long in coming after what happened before."""
    until = time.monotonic() + seconds
    while time.monotonic() < until + (0 if scene.since(mark, name) else PATIENCE_S):
        yield 0.5
    return 1


for _name, (_, _low, _high) in RATES.items():
    _strikes(_name, _low, _high)


@fault("planhat", "planhat_down", "nobody listens at Planhat's address", "a worker could not connect")
def planhat_down(scene: Scene) -> Story:
    return (yield from _away(scene, scene.chance.uniform(3.0, 8.0)))


@fault("planhat", "planhat_down_long", "the same for the most part of a minute", "a worker could not connect")
def planhat_down_long(scene: Scene) -> Story:
    return (yield from _away(scene, scene.chance.uniform(35.0, 60.0)))


def _away(scene: Scene, away_s: float) -> Story:
    mark = scene.mark()
    for net in scene.stage.planhat_nets:
        net.refuse()
        net.cut()
    try:
        yield from _until_seen(scene, mark, "worker:no connection to Planhat", away_s)
    finally:
        for net in scene.stage.planhat_nets:
            net.heal()
    return scene.since(mark, "worker:no connection to Planhat")


@fault("planhat", "planhat_half_open", "connections to Planhat stay, bytes vanish", "calls without an answer")
def planhat_half_open(scene: Scene) -> Story:
    mark = scene.mark()
    ways = scene.chance.choice((("up",), ("down",), ("up", "down")))
    for net in scene.stage.planhat_nets:
        net.swallow(*ways)
    try:
        yield from _until_seen(scene, mark, "worker:no answer from Planhat", scene.chance.uniform(4.0, 8.0))
    finally:
        for net in scene.stage.planhat_nets:
            net.heal()
    return scene.since(mark, "worker:no answer from Planhat")
