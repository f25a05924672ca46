"""
The registry of sources: one line each. README.md shows how to add one in three places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.sources import freshdesk, generic, zendesk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.sources.base import Source

SOURCES: Final[Mapping[str, Source]] = {
    source.name: source for source in (zendesk.SOURCE, freshdesk.SOURCE, generic.SOURCE)
}
"""Every source by its name."""
