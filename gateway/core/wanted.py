"""
The person who is to be forgotten, and every way in which their address may stand in bytes. Pure.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, unquote_plus

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTEAD: Final = "[erased]"

_JSON_ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|([nrtbf"/\\]))')
_JSON_MARKS: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}|[A-Za-z0-9_-]{8,}={0,2}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    The person who is to be forgotten.

    address: their e-mail, in lower case.
    ids: (connection, id) under which helpdesks know them, for tickets that name their requester by id alone.
    """

    address: str
    ids: frozenset[tuple[str, str]] = frozenset()

    @property
    def pattern(self) -> re.Pattern[str]:
        """The address on its own: `ada@x.example` does not stand in `nada@x.example` nor in `ada@x.example.org`."""
        return re.compile(rf"(?<![\w+-])(?<![\w+-]\.){re.escape(self.address)}(?![\w-])(?!\.\w)", re.IGNORECASE)


def may_hold(raw: bytes, wanted: Wanted) -> bool:
    """Say quickly, and never wrongly "no", whether stored bytes are worth a closer look."""
    if wanted.address in raw.decode("utf-8", "replace").lower():
        return True
    return any(orjson.dumps(ident) in raw for _, ident in wanted.ids)


def mentions(raw: bytes, wanted: Wanted) -> bool:
    """Say whether a body or a text names the address, in whatever way a sender may have encoded it."""
    pattern = wanted.pattern
    return any(pattern.search(text) for text in _readings(raw.decode("utf-8", "replace")))


def redacted(text: str, wanted: Wanted) -> str:
    """Give a text without the address."""
    return wanted.pattern.sub(INSTEAD, text)


def _readings(text: str) -> Iterator[str]:
    """Give a text as it stands and with each kind of escape undone, one inside another too."""
    once = {text, unquote(text), unquote_plus(text), _unescaped(text), html.unescape(text)}
    twice = {undone for one in once for undone in (unquote(one), _unescaped(one), html.unescape(one))}
    yield from once | twice
    for found in _BASE64.finditer(text):
        yield from _decoded(found.group())


def _unescaped(text: str) -> str:
    return _JSON_ESCAPE.sub(
        lambda found: chr(int(found[1], 16)) if found[1] else _JSON_MARKS.get(found[2], found[2]), text
    )


def _decoded(shown: str) -> Iterator[str]:
    """Read what may be base64 of either alphabet; most is not, and then it holds no address."""
    bare = shown.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        text = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return
    yield text
    yield _unescaped(text)
