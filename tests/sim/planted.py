"""
Planted bugs: stores that break one rule each, so that the simulation can show that it would tell.

They are switches of the simulation, never of the product: `python -m tests.sim --plant NAME`, tests/sim/test_sim.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.store.pending import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.store.pending import Ack, Claimed, Delivery

EVERYTHING_BYTES = 2**31


class AckIgnoresTheCut(Store):
    """An ack throws away what arrived while the call was under way."""

    async def ack(self, token: str, acks: Sequence[Ack]) -> dict[str, str]:
        return await super().ack(token, [replace(one, cut=EVERYTHING_BYTES, resend=None) for one in acks])


class NoHold(Store):
    """A claim is not extended before a call, so it lapses while the call may still land."""

    async def extend(self, tickets: Sequence[str], token: str, lease_ms: int) -> set[str]:
        return await super().extend(tickets, token, min(lease_ms, 400))

    async def claim(self, limit: int, token: str, lease_ms: int) -> list[Claimed]:
        return await super().claim(limit, token, min(lease_ms, 400))


class AcceptsBeforeWriting(Store):
    """A delivery is answered although Redis did not take it."""

    async def put(self, deliveries: Sequence[Delivery], **more: Any) -> list[str]:
        try:
            return await super().put(deliveries, **more)
        except Exception:  # noqa: BLE001 - this is the bug
            return ["accepted"] * len(deliveries)


class NoQuota(Store):
    """Calls are made without asking for quota."""

    async def reserve(self, **_more: Any) -> int:
        return 0


PLANTED: dict[str, Callable[..., Store]] = {
    "ack-ignores-the-cut": AckIgnoresTheCut,
    "no-hold": NoHold,
    "accepts-before-writing": AcceptsBeforeWriting,
    "no-quota": NoQuota,
}
