"""
What every part of the worker needs, made once in `workers/main.py` and handed down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.store.pending import Store
    from workers.batch import Batch
    from workers.helpdesks.base import Helpdesk
    from workers.planhat.client import PlanhatClient
    from workers.settings import WorkerSettings

CLAIM_LEASE_MS: Final = 30_000
"""How long a ticket or a slot stays claimed while nothing is under way to Planhat."""

START_WITHIN_S: Final = 3.0
"""A call begins at most so long after its claims were extended; else they could lapse before it can land no more."""


@dataclass(slots=True)
class Deps:
    """
    The worker's means.

    helpdesks: connection -> look-up client, for connections with credentials.
    token: makes fencing tokens, unique per call.
    jitter: gives numbers in [0, 1).
    monotonic: seconds of a clock that never steps.
    epoch: Redis' epoch as this process knows it; None before the first look.
    quota_free_at_s: no use in asking for quota before then (`monotonic`).
    suspects_turn: suspects and healthy batches alternate.
    ahead: the next batch, gathered while a call was under way.
    company_ids: external id -> Planhat's `companyId`; None before the list was read, or where nobody wants it.
    slot_wanted: a deletion waits for the slot; the flush lets one turn pass, so that a long backlog cannot starve it.
    """

    store: Store
    planhat: PlanhatClient
    settings: WorkerSettings
    token: Callable[[], str]
    jitter: Callable[[], float]
    monotonic: Callable[[], float]
    helpdesks: Mapping[str, Helpdesk] = field(default_factory=dict)
    epoch: str | None = None
    quota_free_at_s: float = 0.0
    suspects_turn: bool = False
    slot_wanted: bool = False
    ahead: Batch | None = None
    company_ids: Mapping[str, str] | None = None

    @property
    def call_lease_ms(self) -> int:
        """
        How long a ticket stays claimed from just before a call: the call's time plus the hold, ms.

        And what may pass between the claim's extension and the call's beginning (`START_WITHIN_S`), because time-out
        and hold count from there.
        """
        return int((self.settings.timeout_s + self.settings.hold_s + START_WITHIN_S) * 1000)
