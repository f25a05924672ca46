"""
Freshservice: Freshdesk's sister for service desks, with the same wrapper, carriers and app events.

What differs: a department stands where Freshdesk has a company, `{{ticket.id}}` is a display form (`INC-9`; the API's
number is `{{ticket.id_numeric}}` and goes first where both are sent), and only the status codes 2 to 5 are fixed.

Source: facts of Freshdesk §6, §7 (public and documented); freshworks/marketplace-sample-apps (7df31f9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.sources.freshworks import FreshworksSource

if TYPE_CHECKING:
    from gateway.sources.base import Source

SOURCE: Final[Source] = FreshworksSource("freshservice")
