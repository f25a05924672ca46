"""
Atlassian Document Format as plain text: what a reader of an issue's description would see.

Wire: `{"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": "..."}]}]}`.
Source: developer.atlassian.com/cloud/jira/platform/apis/document/structure (documented).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.sources.reading import mapping, plain_text, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json

BREAK: Final = "hardBreak"
CELLS: Final = ("tableCell", "tableHeader")
SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "mention": ("text",),
    "emoji": ("text", "shortName"),
    "status": ("text",),
    "inlineCard": ("url",),
    "blockCard": ("url",),
    "embedCard": ("url",),
}
"""Nodes that carry what they show as an attribute -> its names, the best first."""

DEPTH_MAX: Final = 40
"""A parsed body is nested 32 levels at most; deeper is left out, whoever made it."""


def adf_to_text(document: Json) -> str:
    """Give a document's text, one block a line; total on any JSON."""
    parts: list[str] = []
    _walk(document, parts, DEPTH_MAX)
    return plain_text("".join(parts))


def _walk(node: Json, parts: list[str], levels: int) -> None:
    shown = mapping(node)
    kind, content = shown.get("type"), shown.get("content")
    if kind == "text":
        value = shown.get("text")
        parts.append(value if isinstance(value, str) else "")  # not stripped: its blanks part it from its neighbours
    elif kind == BREAK:
        parts.append("\n")
    elif isinstance(kind, str) and kind in SHOWN:
        attributes = mapping(shown.get("attrs"))
        parts.append(next((found for name in SHOWN[kind] if (found := text(attributes.get(name)))), ""))
    elif isinstance(content, list) and levels:
        edge = " " if kind in CELLS else "\n"
        parts.append(edge)
        for child in content:
            _walk(child, parts, levels - 1)
        parts.append(edge)
