"""
Freshdesk: webhooks of automation rules and events of marketplace apps. They carry no signature, no id and no order.

The template that we recommend and where to paste it stand in README.md beside this file. With API credentials a
delivery only says "ticket N may have changed"; without, the body counts by its arrival.

Source: support.freshdesk.com 132589 (2026-01-29, documented); facts of Freshdesk §1-§4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.sources.freshworks import FreshworksSource

if TYPE_CHECKING:
    from gateway.sources.base import Source

SOURCE: Final[Source] = FreshworksSource("freshdesk")
