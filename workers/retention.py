"""
Retention: dead letters end by age, each expiry logged and counted; nothing else is ever thrown away.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.store.pending import DeadRow
    from workers.deps import Deps

log = logging.getLogger("planhat_gateway.retention")


async def expire_dead_letters(deps: Deps) -> int:
    """
    Remove dead letters and quarantined deliveries older than DEAD_LETTER_TTL_S. Run by arq's clock.

    Returns:
        How many were removed.
    """
    expired = await deps.store.expire(deps.settings.dead_letter_ttl_s, _tell)
    if expired:
        await deps.store.count({"dead_letters_expired": len(expired)})
    return len(expired)


def _tell(row: DeadRow) -> None:
    """Log a row that is about to be removed."""
    log.warning(
        "dead letter expired",
        extra={
            "kind": row.kind,
            "ticket": row.ticket,
            "quarantine_id": row.id if row.kind == "delivery" else "",
            "reason": row.reason,
            "at_ms": row.at_ms,
        },
    )
