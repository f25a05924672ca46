"""
What may go wrong in one seed: each class is switched on in some seeds only, so that rare ones are not masked by others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

CLASSES: dict[str, tuple[float, float]] = {
    # per Redis command of a process
    "redis_cut_before": (0.001, 0.03),
    "redis_cut_after": (0.001, 0.03),
    "redis_half": (0.001, 0.02),
    "redis_late": (0.001, 0.02),
    "redis_slow": (0.001, 0.02),
    "redis_silent_before": (0.0005, 0.005),
    "redis_silent_after": (0.0005, 0.005),
    "redis_crash_before": (0.001, 0.012),
    "redis_crash_after": (0.001, 0.012),
    "redis_cancel_before": (0.001, 0.012),
    "redis_cancel_after": (0.001, 0.012),
    "redis_pause_after": (0.001, 0.01),
    # per call to Planhat
    "planhat_429": (0.03, 0.25),
    "planhat_5xx": (0.03, 0.25),
    "planhat_html": (0.02, 0.15),
    "planhat_timeout_never": (0.02, 0.1),
    "planhat_timeout_late": (0.03, 0.3),
    "planhat_lost_answer": (0.03, 0.2),
    "planhat_cut_before": (0.02, 0.2),
    "planhat_refused_connection": (0.02, 0.15),
    "planhat_garbage": (0.02, 0.15),
    "planhat_partial_counts": (0.03, 0.2),
    "planhat_slow": (0.05, 0.3),
    "planhat_crash": (0.02, 0.12),
    "planhat_cancel": (0.02, 0.12),
    "planhat_pause": (0.01, 0.08),
    # per call to the helpdesk
    "helpdesk_fails": (0.05, 0.4),
    # per delivery
    "sender_duplicate": (0.05, 0.4),
    "sender_no_ack": (0.05, 0.3),
    "sender_gives_up": (0.03, 0.2),
    "sender_reorder": (0.1, 0.8),
    "sender_forged": (0.05, 0.2),
    "sender_unreadable": (0.02, 0.1),
    "web_cancel": (0.02, 0.1),
    # per second of the storm
    "world_worker_kill": (0.01, 0.06),
    "world_worker_stop": (0.01, 0.06),
    "world_web_kill": (0.01, 0.05),
    "world_pause": (0.01, 0.05),
    "world_redis_restart": (0.005, 0.03),
    "world_redis_oom": (0.005, 0.03),
    "world_redis_readonly": (0.005, 0.03),
    "world_redis_unusable": (0.005, 0.03),
    "world_script_flush": (0.02, 0.3),
    "world_token_revoked": (0.003, 0.02),
    "world_planhat_away": (0.005, 0.03),
    "world_replay": (0.02, 0.1),
    "world_hold": (0.005, 0.02),
}
"""Fault -> least and most of its rate where it is switched on."""


@dataclass
class Plan:
    """
    One seed's troubles.

    rates: class -> rate, those switched on.
    skews_s: wall clocks of processes against the world's.
    quota, batch_items, timeout_s, hold_s: settings of the workers.
    """

    rates: dict[str, float] = field(default_factory=dict)
    skew_s: float = 0.0
    quota: int = 150
    batch_items: int = 5000
    timeout_s: float = 2.0
    hold_s: float = 2.0
    max_in_flight: int = 1
    tickets: int = 5
    deliveries: int = 40
    storm_s: float = 30.0
    webs: int = 1


def draw(chance: random.Random) -> Plan:
    """Draw a seed's plan."""
    rates = {}
    share = chance.choice((0.25, 0.5, 0.8))
    for name, (low, high) in CLASSES.items():
        if chance.random() < share:
            rates[name] = low * (high / low) ** chance.random()
    return Plan(
        rates=rates,
        skew_s=chance.choice((0.0, 2.0, 60.0, 250.0)),
        quota=chance.choice((20, 40, 90, 150)),
        batch_items=chance.choice((1, 2, 3, 5, 5000)),
        timeout_s=float(chance.choice((1, 2, 3))),
        hold_s=float(chance.choice((1, 2, 3))),
        max_in_flight=chance.choice((1, 1, 1, 2)),
        tickets=chance.randint(3, 8),
        deliveries=chance.randint(20, 60),
        storm_s=chance.uniform(15.0, 40.0),
        webs=chance.randint(1, 2),
    )


def calm() -> Plan:
    """Give a plan in which nothing goes wrong."""
    return Plan(skew_s=0.0)
