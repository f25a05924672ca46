"""
Setting helpdesks up: one module for each API that can, its plan of calls in its docstring; steps for the others.

    base.py     target, client, report      access.py   which connection, where, who we are
    steps.py    what only a person can do   <source>.py one helpdesk each; none knows another
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from workers.connect import chatwoot, github, jira_service_management, linear, steps, zammad, zendesk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from workers.connect.base import Asked, Client, Report, Target

    Act = Callable[[Client, Target, Asked], Awaitable[Report]]


class Api(NamedTuple):
    """How a helpdesk is set up through its API: open it, make, take away."""

    client: Callable[[Target, Asked, httpx.AsyncBaseTransport | None], Client]
    connect: Act
    disconnect: Act


APIS: Final[dict[str, Api]] = {
    "zendesk": Api(zendesk.client, zendesk.connect, zendesk.disconnect),
    "jira_service_management": Api(
        jira_service_management.client, jira_service_management.connect, jira_service_management.disconnect
    ),
    "github": Api(github.client, github.connect, github.disconnect),
    "linear": Api(linear.client, linear.connect, linear.disconnect),
    "zammad": Api(zammad.client, zammad.connect, zammad.disconnect),
    "chatwoot": Api(chatwoot.client, chatwoot.connect, chatwoot.disconnect),
}
"""Source -> its API. The near bank's table is `gateway.cli.connect.CONNECTS`, held equal by tests/connect."""

STEPS: Final[dict[str, Callable[[Target, Asked], Report]]] = {
    "freshdesk": steps.freshdesk,
    "freshservice": steps.freshservice,
    "intercom": steps.intercom,
    "hubspot": steps.hubspot,
}
"""Source -> the steps that a person must do."""
