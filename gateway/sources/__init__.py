"""
The registry of sources: one line each. README.md shows how to add one in three places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.sources import (
    chatwoot,
    freshdesk,
    freshservice,
    front,
    generic,
    github,
    gorgias,
    help_scout,
    hubspot,
    intercom,
    jira_service_management,
    kustomer,
    linear,
    osticket,
    plain,
    pylon,
    salesforce,
    servicenow,
    zammad,
    zendesk,
    zoho_desk,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.sources.base import Source

SOURCES: Final[Mapping[str, Source]] = {
    source.name: source
    for source in (
        zendesk.SOURCE,
        freshdesk.SOURCE,
        generic.SOURCE,
        freshservice.SOURCE,
        jira_service_management.SOURCE,
        intercom.SOURCE,
        hubspot.SOURCE,
        kustomer.SOURCE,
        zammad.SOURCE,
        chatwoot.SOURCE,
        gorgias.SOURCE,
        osticket.SOURCE,
        servicenow.SOURCE,
        github.SOURCE,
        linear.SOURCE,
        plain.SOURCE,
        pylon.SOURCE,
        zoho_desk.SOURCE,
        front.SOURCE,
        help_scout.SOURCE,
        salesforce.SOURCE,
    )
}
"""Every source by its name."""
