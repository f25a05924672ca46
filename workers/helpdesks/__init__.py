"""
Look-up clients, one module per helpdesk; none knows another. A new one is a row of `CLIENTS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.helpdesks.freshdesk import FreshdeskClient
from workers.helpdesks.freshservice import FreshserviceClient
from workers.helpdesks.front import FrontClient
from workers.helpdesks.help_scout import HelpScoutClient
from workers.helpdesks.hubspot import HubSpotClient
from workers.helpdesks.intercom import IntercomClient
from workers.helpdesks.jira_service_management import JiraClient
from workers.helpdesks.kustomer import KustomerClient
from workers.helpdesks.pylon import PylonClient
from workers.helpdesks.salesforce import SalesforceClient
from workers.helpdesks.zendesk import ZendeskClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.access import HelpdeskAccess
    from workers.helpdesks.base import Helpdesk
    from workers.settings import WorkerSettings

CLIENTS: Final[dict[str, Callable[[HelpdeskAccess], Helpdesk]]] = {
    "zendesk": ZendeskClient,
    "freshdesk": FreshdeskClient,
    "pylon": PylonClient,
    "freshservice": FreshserviceClient,
    "jira_service_management": JiraClient,
    "intercom": IntercomClient,
    "hubspot": HubSpotClient,
    "kustomer": KustomerClient,
    "front": FrontClient,
    "help_scout": HelpScoutClient,
    "salesforce": SalesforceClient,
}
"""Source -> its client."""


def open_helpdesks(settings: WorkerSettings) -> dict[str, Helpdesk]:
    """Make a client for every connection with credentials, by connection name. Nothing is asked yet."""
    return {access.connection: CLIENTS[access.source](access) for access in settings.helpdesks}
