"""
The bridge, whole: every move on Redis behind one name.

Each part is a file of its own; read them in the order of a ticket's way: intake, leases, lanes, states, dead_letters,
budget, erasure. The scripts are in lua/, one atomic move per file.
"""

from __future__ import annotations

from gateway.store.budget import Budget
from gateway.store.dead_letters import DeadLetters
from gateway.store.erasure import Erasure
from gateway.store.intake import Intake
from gateway.store.lanes import Lanes
from gateway.store.leases import Leases
from gateway.store.records import (
    Ack,
    Burial,
    Claimed,
    DeadRow,
    Delivery,
    Limits,
    Loaded,
    Pause,
    Quarantined,
    View,
)
from gateway.store.states import States

__all__ = [
    "Ack",
    "Burial",
    "Claimed",
    "DeadRow",
    "Delivery",
    "Limits",
    "Loaded",
    "Pause",
    "Quarantined",
    "Store",
    "View",
]


class Store(Intake, Leases, Lanes, States, Budget, DeadLetters, Erasure):
    """
    One destination's side of Redis. Every method raises StoreUnavailable when Redis cannot be used.

    Args:
        redis: a client of `gateway.store.client.connect`.
        destination: names the keys.
        limits: the caps of the bridge.
    """
