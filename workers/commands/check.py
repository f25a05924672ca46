"""
What is wrong with the far bank's surroundings, one row each: settings, Planhat, helpdesk credentials.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from gateway.errors import ConfigurationError, StoreError
from workers.settings import all_from_env, faults_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.store.records import CallKind
    from workers.settings import WorkerSettings

Level = Literal["ok", "warning", "fault"]


def row(level: Level, name: str, sentence: str) -> dict[str, str]:
    """Make a row of the answer."""
    return {"level": level, "name": name, "sentence": sentence}


async def check(environ: Mapping[str, str] | None = None, *, settings_only: bool = False) -> list[dict[str, str]]:
    """
    Look at everything the far bank needs.

    Args:
        environ: instead of the process' environment.
        settings_only: reach out to nobody.
    Returns:
        Rows of `level` (ok, warning, fault), `name`, `sentence`.
    """
    environ = os.environ if environ is None else environ
    try:
        every = all_from_env(environ)
    except ConfigurationError:
        return [row("fault", "worker settings", fault) for fault in faults_from(environ)]
    rows = [row("warning", "worker settings", warning) for warning in every[0].warnings]
    lacking = dict.fromkeys(sentence for settings in every for sentence in settings.missing())
    rows += [row("fault", "worker settings", fault) for fault in lacking]
    if not rows:
        rows.append(row("ok", "worker settings", "every setting of the worker can be used"))
    if settings_only:
        return rows
    for settings in every:
        if settings.api_token:
            rows.append(await _planhat(settings, "planhat" if len(every) == 1 else f"planhat {settings.destination}"))
        rows += await _helpdesks(settings)
    return rows


async def _planhat(settings: WorkerSettings, name: str) -> dict[str, str]:
    from workers.planhat.client import PlanhatClient

    if waiting := await reserved(settings):
        return row("warning", name, f"not asked: {waiting}")
    async with PlanhatClient(settings.api_url, settings.api_token, timeout_s=min(settings.timeout_s, 20)) as planhat:
        said = await planhat.probe()
    if said.ok:
        return row("ok", name, f"{settings.api_url} takes the token")
    if said.status == 429 or (said.status or 0) >= 500:
        return row("warning", name, f"{settings.api_url} answers {said.status}: {said.detail}")
    about = f"{settings.api_url} answers {said.status}" if said.status else f"{settings.api_url} does not answer"
    return row("fault", name, f"{about}: {said.detail}")


async def reserved(settings: WorkerSettings, kind: CallKind = "probe") -> str:
    """
    Reserve one call of the shared quota; "" when it may be made, else why not now.

    Without a bridge, or with one that is away, nobody else can be spending the quota that we know of: the call goes.
    """
    if not settings.redis_url:
        return ""
    from gateway.store.client import connect
    from gateway.store.pending import Store

    redis = connect(settings.redis_url, tls_verify=settings.redis_tls_verify, max_connections=1)
    try:
        store = Store(redis, settings.destination, limits=settings.limits)
        wait_ms = await store.reserve(limit_per_minute=settings.calls_per_minute, kind=kind)
    except StoreError:
        return ""
    finally:
        await redis.aclose()
    return f"the quota is used up or sending is paused; try again in {(wait_ms + 999) // 1000} s" if wait_ms else ""


async def _helpdesks(settings: WorkerSettings) -> list[dict[str, str]]:
    from workers.helpdesks import open_helpdesks

    rows = []
    for connection, helpdesk in open_helpdesks(settings).items():
        try:
            wrong = await helpdesk.probe()
        finally:
            await helpdesk.aclose()
        if wrong:
            rows.append(row("fault", f"{connection} look-ups", wrong))
        else:
            rows.append(row("ok", f"{connection} look-ups", "the helpdesk takes the credentials"))
    return rows
