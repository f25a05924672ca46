"""
Planhat's list and delete endpoints by hand. Every call reserves quota first.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigurationError
from workers.commands import answer
from workers.commands.check import reserved
from workers.planhat.client import PlanhatClient
from workers.settings import all_from_process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workers.planhat.wire import Row
    from workers.settings import WorkerSettings


def _settings(destination: str | None) -> WorkerSettings:
    """
    Read what a call to Planhat needs.

    Args:
        destination: of the configuration file; the first one when None.
    Raises:
        ConfigurationError: something is wrong, there is no such destination, or no token.
    """
    every = all_from_process()
    settings = next((one for one in every if destination in (None, one.destination)), None)
    if settings is None:
        known = ", ".join(one.destination for one in every)
        raise ConfigurationError(f"There is no destination {destination!r}: known are {known}.")
    if not settings.api_token:
        raise ConfigurationError(f"{settings.token_name} is not set: make a Private App in Planhat and give its token.")
    return settings


async def list_(asked: Mapping[str, Any], destination: str | None = None) -> int:
    """Print the tickets that Planhat shows."""
    settings = _settings(destination)
    if waiting := await reserved(settings):
        sys.stderr.write(f"Not asked: {waiting}.\n")
        return 1
    async with PlanhatClient(settings.api_url, settings.api_token, timeout_s=settings.timeout_s) as planhat:
        found = await planhat.list_tickets(**asked)
    if found.rows is None:
        sys.stderr.write(
            f"Planhat ({settings.api_url}) gave no list: {found.outcome.status or 'no answer'} {found.outcome.detail}\n"
            "`planhat-gateway check` tells whether the token, the address or the quota is the cause.\n"
        )
        return 1
    answer([document(row) for row in found.rows])
    return 0


def document(listed: Row) -> dict[str, Any]:
    """Give a listed ticket in the words of Planhat's API."""
    return {
        "_id": listed.id,
        "sourceId": listed.source_id,
        "source": listed.source,
        "subject": listed.subject,
        "status": listed.status,
        "email": listed.email,
        "companyId": listed.company_id,
        "updateDate": listed.update_date,
        "history": [dict(entry) for entry in listed.history],
    }


async def delete(ids: Sequence[str], destination: str | None = None) -> int:
    """Delete tickets by Planhat's `_id`, one call each; print what each came to."""
    settings = _settings(destination)
    rows = []
    async with PlanhatClient(settings.api_url, settings.api_token, timeout_s=settings.timeout_s) as planhat:
        for ident in ids:
            if waiting := await reserved(settings, "delete"):
                rows.append({"_id": ident, "outcome": "not asked", "detail": waiting})
                continue
            try:
                came = await planhat.delete(ident)
            except ValueError as error:
                rows.append({"_id": ident, "outcome": "refused", "detail": str(error)})
                continue
            rows.append({"_id": ident, "outcome": came.kind, "detail": came.detail})
    answer(rows)
    return 0 if all(row["outcome"] in ("done", "gone") for row in rows) else 1
