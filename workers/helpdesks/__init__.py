"""
Look-up clients, one module per helpdesk; none knows another. A new one is a row of `CLIENTS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.helpdesks.freshdesk import FreshdeskClient
from workers.helpdesks.zendesk import ZendeskClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.helpdesks.base import Helpdesk
    from workers.settings import HelpdeskAccess, WorkerSettings

CLIENTS: Final[dict[str, Callable[[HelpdeskAccess], Helpdesk]]] = {
    "zendesk": ZendeskClient,
    "freshdesk": FreshdeskClient,
}
"""Source -> its client."""


def open_helpdesks(settings: WorkerSettings) -> dict[str, Helpdesk]:
    """Make a client for every connection with credentials, by connection name. Nothing is asked yet."""
    return {access.connection: CLIENTS[access.source](access) for access in settings.helpdesks}
