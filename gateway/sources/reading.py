"""
How a body is read: JSON with limits, plain text, instants, ids and addresses, shared by the adapters.

Pure and total: only `json_payload` and `ticket_id` raise, and only UnreadablePayload; everything else gives None (or
`UNKNOWN`) for what it cannot read.

Longer than 200 lines because every adapter reads with the same few strict readers; it is no adapter.
"""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Final

import orjson

from gateway.errors import UnreadablePayload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.core.change import Json

MAX_DEPTH: Final = 32
MAX_SAFE_INTEGER: Final = 2**53
ID_MAX: Final = 256
MAIL_MAX: Final = 254
LOCAL_MAX: Final = 64


class Unknown(Enum):
    """The type of `UNKNOWN`, which is not None: None is a value that is known to be empty."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


def json_payload(body: bytes) -> Json:
    """
    Read a body as JSON, once, with one parser; of two equal keys the last one counts.

    Raises:
        UnreadablePayload: `empty_body`, `not_utf8`, `too_deep` (over 32 levels), `not_json`.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not body.strip():
            why = "The request had no body: let the webhook send JSON with the ticket."
            raise UnreadablePayload("empty_body", why) from error
        raise _unreadable(body, error) from error
    # Fewer brackets than levels allowed: it cannot be too deep, and nearly every honest body ends here.
    if _many_brackets(body) and _deeper(payload, MAX_DEPTH):
        raise UnreadablePayload("too_deep", f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    return payload


def known(fields: Mapping[str, Json | Unknown]) -> dict[str, Json]:
    """Leave out what is `UNKNOWN`; None stays, because it is known to be empty."""
    return {key: value for key, value in fields.items() if value is not UNKNOWN}


def mapping(value: object) -> Mapping[str, Json]:
    """Give a JSON object as it is and anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str | None:
    """Give a text without surrounding white space and NULs ("" when empty), a number as digits, None otherwise."""
    if isinstance(value, str):
        return value.replace("\0", "").strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value)


def line(value: object) -> str | None:
    """Give a text (see `text`) as one line: one space between words."""
    found = text(value)
    return None if found is None else " ".join(found.split())


def prose(value: object) -> str:
    """Give a text (see `text`) of several lines, tidied; "" for anything else."""
    return plain_text(text(value) or "")


def word(value: object) -> str | None:
    """Give a status-like label as one lower-case line ("On-Hold " -> "on-hold"); None when it is no text or empty."""
    if not isinstance(value, str):
        return None
    if value.isalpha():
        return value.lower()
    return " ".join(value.replace("\0", "").split()).lower() or None


def told(row: Mapping[str, Json], name: str, read: Callable[[object], str | None]) -> str | Unknown:
    """
    Give what a key tells: "" when it holds nothing of its kind, which is known to be empty, UNKNOWN when it is absent.

    Args:
        read: one of the readers here, such as `text`, `word` or `mail_address`.
    """
    return read(row[name]) or "" if name in row else UNKNOWN


def identifier(value: object) -> str | None:
    """
    Give a record's id as a string; None when it is none.

    A float (orjson makes one of an integer beyond 64 bits), a bool and an integer beyond 2^53 are refused: such an id
    may already have lost its last digits.
    """
    if isinstance(value, str):
        found = value.strip()
        return found if 0 < len(found) <= ID_MAX and found.isprintable() else None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SAFE_INTEGER:
        return None
    return str(value)


def ticket_id(value: object, where: str) -> str:
    """
    Give the id of the ticket a body is about.

    Args:
        where: how to call the place in the message, such as `"ticket_id"`.
    Raises:
        UnreadablePayload: `no_ticket_id` when it is absent or empty, `bad_ticket_id` when it cannot be trusted.
    """
    if value is None or value == "":
        raise UnreadablePayload("no_ticket_id", f"The body names no ticket: {where} is missing or empty.")
    found = identifier(value)
    if found is None:
        raise UnreadablePayload("bad_ticket_id", f"{where} must be a text or a whole number up to 2^53.")
    return found


def strings(value: object) -> list[str] | None:
    """Give a list's texts, each once, in order, without white space around; None when it is no list."""
    if not isinstance(value, list):
        return None
    return list(dict.fromkeys([found for item in value if (found := text(item))]))


def names(value: object) -> list[str]:
    """Give the names of a list's objects, each once, in order; none when it is no list. Wire: `[{"name": "vip"}]`."""
    return (strings([mapping(one).get("name") for one in value]) or []) if isinstance(value, list) else []


_WEB: Final = re.compile(r"https?://\S+")
_PLACEHOLDER: Final = re.compile(r"\s*\{\{[^{}]{1,200}\}\}\s*")


def web_address(value: object) -> str | None:
    """Give a link as it is written; None when it has no scheme of the web, or blanks in it."""
    found = text(value) or ""
    return found if _WEB.fullmatch(found) else None


def is_placeholder(value: object) -> bool:
    """Say whether a value is nothing but a placeholder that the helpdesk left in: it says nothing."""
    return isinstance(value, str) and _PLACEHOLDER.fullmatch(value) is not None


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_S: Final = 253_402_300_799
_DIGITS: Final = re.compile(r"[0-9]{1,15}")
_INSTANT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.([0-9]{1,9}))?"
    r" ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2})"
)


_ORDINARY: Final = {"--T::Z": (20,), "--T::.": (24, 27)}
"""The marks between the numbers -> how long the whole is."""


def ordinary_instant_us(value: str) -> int | None:
    """
    Read `2026-11-02T08:15:00Z`, also with 3 or 6 digits behind the second: what nearly every helpdesk writes.

    Four times as fast as the pattern, which says the same of these forms (tests/sources/test_reading.py).

    Returns:
        Unix microseconds; None for every other form, for what is no time and for a time before 1970.
    """
    if len(value) not in _ORDINARY.get(value[4:20:3], ()) or value[-1] != "Z":
        return None
    try:
        since = datetime.fromisoformat(value) - _EPOCH
    except ValueError:
        return None
    at_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return at_us if at_us >= 0 else None


def instant_us(value: object) -> int | None:
    """
    Give an ISO 8601 instant as Unix microseconds, rounded down; None when it is none.

    Takes `T` or a space, seconds or none, 0-9 fractional digits, `Z`, `UTC` or an offset. A day without a time, a time
    without a zone and a time before 1970 are no instants.
    """
    if not isinstance(value, str):
        return None
    ordinary_us = ordinary_instant_us(value)
    if ordinary_us is not None:
        return ordinary_us
    match = _INSTANT.fullmatch(value.strip())
    if not match:
        return None
    day, clock, fraction, zone = match.groups()
    try:
        since = datetime.fromisoformat(f"{day}T{clock}{'Z' if zone == 'UTC' else zone}") - _EPOCH
    except ValueError:
        return None
    at_us = (since.days * 86_400 + since.seconds) * 1_000_000 + int((fraction or "0").ljust(9, "0")) // 1000
    return at_us if at_us >= 0 else None


def instant_ms(value: object) -> int | None:
    """Give an ISO 8601 instant as Unix milliseconds, rounded down; None when it is none (see `instant_us`)."""
    return ms_of(instant_us(value))


def ms_of(at_us: int | None) -> int | None:
    """Give a time in microseconds as milliseconds, rounded down; None stays."""
    return None if at_us is None else at_us // 1000


def epoch_us(value: object, per_s: int) -> int | None:
    """
    Give a Unix time as microseconds; None when it is none, or none between 1970 and 9999.

    Args:
        value: a number, or its digits as text.
        per_s: how many of its units make a second: 1, or 1000 where the sender counts milliseconds.
    """
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LAST_S * per_s:
        return None
    return round(value * (1_000_000 // per_s))


def instant_or_epoch_us(value: object, per_s: int) -> int | None:
    """Give a time as microseconds where a sender writes ISO 8601 or a Unix time (see `instant_us`, `epoch_us`)."""
    return instant_us(value) if isinstance(value, str) else epoch_us(value, per_s)


def mail_address(value: object) -> str | None:
    """Give a plausible mail address in lower case; None when it is none (a name, a phone number, a placeholder)."""
    if not isinstance(value, str):
        return None
    found = value.strip().lower()
    local, _, domain = found.rpartition("@")
    if not 0 < len(local) <= LOCAL_MAX or len(found) > MAIL_MAX or not found.isprintable():
        return None
    labels = domain.split(".")
    if len(labels) < 2 or any(not label or label[0] == "-" or label[-1] == "-" for label in labels):
        return None
    if any(mark in found for mark in ' "(),:;<>[\\]`{}|') or "@" in local:
        return None
    return found if all(mark.isalnum() or mark in ".-" for mark in domain) else None


_BREAKS: Final = frozenset(
    re.findall(
        r"\w+",
        "address article aside blockquote br dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li "
        "main nav ol p pre section table tr ul",
    )
)
_SILENT: Final = frozenset(("script", "style", "title", "template"))
_BLANK_LINES: Final = re.compile(r"\n{3,}")
_MARKUP: Final = re.compile(r"<!--|<(/?)([a-zA-Z][a-zA-Z0-9:]*+)[^<>]*+>|<[!?][^<>]*+>")


def html_to_text(value: str) -> str:
    """
    Give what a reader of the HTML would see, as plain text: total on any input, in time linear to its length.

    Block elements and `<br>` become line breaks, white space collapses, comments, scripts and styles vanish, entities
    are read. Not `html.parser`: in Python 3.11 it needs minutes for 100 KB of `<a <a <a`, which any requester can mail.
    """
    parts: list[str] = []
    at = 0
    while markup := _MARKUP.search(value, at):
        parts.append(_data(value[at : markup.start()]))
        at, name = markup.end(), (markup[2] or "").lower()
        if markup[0] == "<!--":
            end = value.find("-->", at)
            at = end + 3 if end >= 0 else len(value)
        elif name in _SILENT and not markup[1] and not markup[0].endswith("/>"):
            closing = re.compile(f"</{name}", re.IGNORECASE).search(value, at)
            at = closing.start() if closing else len(value)
        elif name in _BREAKS:
            parts.append("\n")
        elif name in ("td", "th"):
            parts.append(" ")
    parts.append(_data(value[at:]))
    return plain_text("".join(parts))


def plain_text(value: str) -> str:
    """Tidy a text: one space between words, no spaces at line ends, at most one blank line, no NULs."""
    if _one_line(value):
        return _single_spaced(value)
    joined = "\n".join(map(_tidy, value.replace("\0", "").splitlines()))
    return (_BLANK_LINES.sub("\n\n", joined) if "\n\n\n" in joined else joined).strip()


_MARKS: Final = tuple("\n\r\t\0\v\f\x1c\x1d\x1e\x1f")
"""ASCII's NUL and white space except the blank."""


def _one_line(value: str) -> bool:
    """Say that a text has no white space but blanks; ten searches for one character are faster than any other way."""
    if not value.isascii():
        return value.isprintable()
    for mark in _MARKS:  # noqa: SIM110  a generator would cost five times as much
        if mark in value:
            return False
    return True


def _tidy(line: str) -> str:
    """Give a line with one space between words; where only blanks are white space, a few scans are cheaper."""
    return _single_spaced(line) if _one_line(line) else " ".join(line.split())


def _single_spaced(line: str) -> str:
    pieces = line.split("  ")
    return line.strip() if len(pieces) == 1 else " ".join([bare for piece in pieces if (bare := piece.strip())])


def _data(value: str) -> str:
    """Read entities; line ends in the source of a page are white space, those of tags are line breaks."""
    try:
        return re.sub(r"\s+", " ", html.unescape(value))
    except ValueError:  # a numeric entity of more digits than `int` takes
        return re.sub(r"\s+", " ", value)


def _many_brackets(body: bytes) -> bool:
    """Say whether there are enough brackets to nest too deep; `find` runs many times faster than `count`."""
    left = MAX_DEPTH
    for bracket in (b"{", b"["):
        at = body.find(bracket)
        while at >= 0:
            if not left:
                return True
            left -= 1
            at = body.find(bracket, at + 1)
    return False


def _deeper(payload: Json, levels: int) -> bool:
    """Say whether containers are nested deeper than `levels`, level by level, without recursion."""
    level = [payload] if isinstance(payload, dict | list) else []
    for _ in range(levels):
        level = [
            child
            for box in level
            for child in (box.values() if isinstance(box, dict) else box)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _unreadable(body: bytes, error: orjson.JSONDecodeError) -> UnreadablePayload:
    """Say why a body is no JSON in words that help who wrote the template."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return UnreadablePayload("not_utf8", "The body is not UTF-8 text: let the webhook send JSON in UTF-8.")
    if "depth" in error.msg or "ecursion" in error.msg:  # orjson 3.13 says the first, older ones the second
        return UnreadablePayload("too_deep", f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    return UnreadablePayload(
        "not_json",
        f"The body is not JSON ({error.msg} at line {error.lineno}, column {error.colno}): look for an unquoted "
        "placeholder, a missing or trailing comma, or a webhook that sends a form or XML.",
    )
