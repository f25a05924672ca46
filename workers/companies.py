"""
Planhat's company list, read now and then where a connection's company rules want `companyId`.

A ticket whose company is not on the list waits and is looked at again; it is neither sent nor buried meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.errors import StoreError

if TYPE_CHECKING:
    from workers.deps import Deps

log = logging.getLogger("planhat_gateway.companies")

REFRESH_S: Final = 600.0
AGAIN_S: Final = 15.0


async def run(deps: Deps, stop: asyncio.Event) -> None:
    """Keep the company list fresh until told to stop."""
    while not stop.is_set():
        pause_s = AGAIN_S
        try:
            pause_s = REFRESH_S if await refresh(deps) else AGAIN_S
        except StoreError as error:
            log.warning("redis cannot be used, trying again", extra={"detail": str(error)})
        except Exception:
            log.exception("the company list was not read")
        try:
            await asyncio.wait_for(stop.wait(), pause_s)
        except TimeoutError:
            continue


async def refresh(deps: Deps) -> bool:
    """Read the list once, within the quota; False when it could not be read and the old one stays."""
    wait_ms = await deps.store.reserve(limit_per_minute=deps.settings.calls_per_minute, epoch=deps.epoch)
    if wait_ms:
        return False
    found, outcome = await deps.planhat.companies()
    await deps.store.count({"calls": 1, "calls_companies": 1})
    if found is None:
        log.warning("planhat gave no company list", extra={"status": outcome.status, "detail": outcome.detail})
        return False
    deps.company_ids = found
    log.info("company list read", extra={"count": len(found)})
    return True
