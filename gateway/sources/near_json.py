"""
Bodies that a template author meant as JSON, repaired only where one reading is possible.

Helpdesk templates paste ticket texts between quotes, so real bodies carry trailing commas, raw line ends, unescaped
quotes of HTML attributes, typographic quotes from a word processor, empty placeholders without quotes. Each repair is
local and decided by what stands next to it; a body that stays doubtful (a key that stands twice, a string without a
clear end, a bare word) is not repaired. Then at least the ticket's id may be found, if only one can be meant.

Source: facts of Freshdesk §4 (recorded bodies with trailing commas and raw quotes); tests/sources/test_near_json.py.
"""

from __future__ import annotations

import re
from typing import Final

REPAIR_MAX: Final = 262_144
"""Characters; longer bodies are not repaired, so that an odd body never costs more than a bounded scan."""

DEPTH_MAX: Final = 32
_QUOTES: Final = '"“”„'
_KEY: Final = re.compile(rf"[{_QUOTES}]([\w .-]{{1,80}})[{_QUOTES}](?=\s{{0,64}}:)")
_GAP: Final = re.compile(rf"[^{_QUOTES}{{}}\[\],:]+")
_NEXT_KEY: Final = rf"[{_QUOTES}][\w .-]{{1,80}}[{_QUOTES}]\s{{0,64}}:"
_CLOSE: Final = r"[}\]]\s{0,64}(?:[,}\]]|\Z)"
_ENDS_IN_OBJECT: Final = re.compile(rf"\s{{0,64}}(?:,\s{{0,64}}(?:{_NEXT_KEY}|{_CLOSE})|{_CLOSE})")
_ENDS_IN_ARRAY: Final = re.compile(r"\s{0,64}[,\]]")
_HOLDS_A_KEY: Final = re.compile(rf"(?<!\\)[{_QUOTES}]\s{{0,64}}:")
_TRAILING_COMMA: Final = re.compile(r",(?=\s{0,64}[}\]])")
_EMPTY_VALUE: Final = re.compile(r":(?=\s{0,64}[,}])")
_PSEUDO: Final = re.compile(r"\{[a-z_]{1,40}:[^\"{}\n]{0,80}(?:\{[^\"{}\n]{0,80}\})?[^\"{}\n]{0,80}\}")
_ODD: Final = re.compile(r"\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4})|\\|\"|[\x00-\x1f]")
_PLAIN_END: Final = re.compile(r"\\.|\"", re.DOTALL)
_TYPOGRAPHIC_END: Final = re.compile(rf"\\.|[{_QUOTES}]", re.DOTALL)
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

_NUMBER: Final = r"\s{0,8}(#?(?:[A-Z]{2,4}-)?[0-9]{1,15})\s{0,8}"
_ID: Final = rf"\s{{0,64}}:\s{{0,64}}[{_QUOTES}]?{_NUMBER}[{_QUOTES}]?\s{{0,64}}[,}}]"
_TICKET_ID: Final = re.compile(rf"(?<!\\)[{_QUOTES}]ticket_id[{_QUOTES}]{_ID}")
_FIRST_ID: Final = re.compile(
    rf"(?:\A\s{{0,64}}|(?<!\\)[{_QUOTES}](?:ticket|freshdesk_webhook)[{_QUOTES}]\s{{0,64}}:\s{{0,64}})"
    rf"\{{\s{{0,64}}[{_QUOTES}]id[{_QUOTES}]{_ID}"
)


def repaired(text: str) -> str | None:
    """
    Give the JSON that was meant; None when more than one reading is possible or nothing helps.

    Args:
        text: a body that is no JSON. The answer still has to pass the JSON parser.
    """
    text = text.removeprefix("\ufeff")
    return None if len(text) > REPAIR_MAX else _Repair(text).run()


def only_ticket_id(text: str) -> str | None:
    """Give the ticket id that a broken body names in a key of its own; None when none or two different ones stand."""
    head = text[:REPAIR_MAX]
    found = set(_TICKET_ID.findall(head)) or set(_FIRST_ID.findall(head))
    return found.pop() if len(found) == 1 else None


class _Repair:
    """One pass from left to right; every step consumes at least one character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.out: list[str] = []
        self.boxes: list[set[str] | None] = []  # keys of each open object, None for an array
        self.before = ""  # the last structural character

    def run(self) -> str | None:
        while self.at < len(self.text):
            if not self._step():
                return None
        return "".join(self.out)

    def _step(self) -> bool:
        mark = self.text[self.at]
        if mark in _QUOTES:
            return self._key() if self.boxes and self.boxes[-1] is not None and self.before in "{," else self._string()
        if gap := _GAP.match(self.text, self.at):
            return self._emit(gap.group().replace("\xa0", " "), gap.end())
        if mark == "," and _TRAILING_COMMA.match(self.text, self.at):
            return self._emit("", self.at + 1)
        if mark == "{" and self.before == ":" and (pseudo := _PSEUDO.match(self.text, self.at)):
            return self._emit(f'"{pseudo.group()}"', pseudo.end())
        if mark in "{[":
            self.boxes.append(set() if mark == "{" else None)
        elif mark in "}]" and self.boxes:
            self.boxes.pop()
        self.before = mark
        empty = mark == ":" and _EMPTY_VALUE.match(self.text, self.at)
        return len(self.boxes) <= DEPTH_MAX and self._emit(":null" if empty else mark, self.at + 1)

    def _key(self) -> bool:
        key, box = _KEY.match(self.text, self.at), self.boxes[-1]
        if key is None or box is None or key[1] in box:
            return False
        box.add(key[1])
        return self._emit(f'"{key[1]}"', key.end())

    def _string(self) -> bool:
        """Find the quote that what follows proves to be the end, and escape what stands between."""
        in_object = bool(self.boxes) and self.boxes[-1] is not None
        ends = _ENDS_IN_OBJECT if in_object else _ENDS_IN_ARRAY
        closing = _PLAIN_END if self.text[self.at] == '"' else _TYPOGRAPHIC_END
        for quote in closing.finditer(self.text, self.at + 1):
            end = quote.end()
            if len(quote.group()) != 1:
                continue
            if ends.match(self.text, end):
                content = self.text[self.at + 1 : end - 1]
                return not _HOLDS_A_KEY.search(content) and self._emit(f'"{_ODD.sub(_escaped, content)}"', end)
            if not in_object:  # in a list nothing proves which quote is the last
                return False
        return False

    def _emit(self, piece: str, at: int) -> bool:
        self.out.append(piece)
        self.at = at
        return True


def _escaped(odd: re.Match[str]) -> str:
    found = odd.group()
    if len(found) > 1:
        return found
    return _SHORT.get(found) or (f"\\{found}" if found in '\\"' else f"\\u{ord(found):04x}")
