"""
Planhat's ticket endpoint as bytes: requests to write, answers to decipher. No I/O, no clock.

`client.py` moves the bytes. The sandbox shares nothing with this module, so that both cannot agree on one mistake.

Source: planhat.com/developers/api/ (ticket, bulk-upsert, http-response-codes), documented. Not documented and therefore
read tolerantly: whether a ticket answer carries more than `created` and `updated`, the shape of an error entry, every
body that is not the bulk envelope (often HTML of something in front), `Retry-After`.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import orjson

from gateway.core.outcome import TEXT_CAP, BulkOutcome, ErrorEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PATH: Final = "/tickets"
COMPANIES: Final = "/leancompanies"
MAX_ITEMS: Final = 5_000
"""Items of one bulk upsert, documented."""
LIST_MAX: Final = 10_000
"""Largest page of the list, documented."""
LIST_PARAMETERS: Final = frozenset(
    {"companyId", "limit", "offset", "sort", "select", "status", "email", "search"},
)
"""The documented long names; the short ones of the page's example may be ignored silently."""

RETRY_AFTER_MAX_S: Final = 3600.0
CHUNK_BYTES: Final = 1 << 19
_HTML_CAP: Final = 20_000
_PLAIN_ENTRY: Final = frozenset({"message", "_id", "sourceId", "externalId", "index"})
_REQUEST_IDS: Final = ("x-request-id", "request-id", "x-amzn-requestid", "x-amzn-trace-id", "cf-ray")
_READ: Final = frozenset({200, 206, 400, 403})
"""The statuses that may carry the bulk envelope."""


# -- requests ----------------------------------------------------------------------------------------------------------


def call_headers(token: str) -> dict[str, str]:
    """Give the headers of every call. No compression: an answer of known size is worth more than a small one."""
    return {"authorization": f"Bearer {token}", "accept": "application/json", "accept-encoding": "identity"}


def bulk_length(items: Sequence[bytes]) -> int:
    """Give the bytes of `bulk_body(items)` without building it."""
    return sum(map(len, items)) + max(len(items) - 1, 0) + 2


def bulk_body(items: Sequence[bytes]) -> bytes:
    """Give the body of `PUT /tickets`: a JSON array of already encoded items."""
    return b"[" + b",".join(items) + b"]"


def bulk_chunks(items: Sequence[bytes], chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """
    Give the same body in pieces of about `chunk_bytes`, never an empty one.

    The last piece always holds the closing bracket: without it nobody can read the body as JSON.
    """
    start, size = 0, 0
    for at, item in enumerate(items):
        size += len(item) + 1
        if size >= chunk_bytes and at + 1 < len(items):
            yield (b"," if start else b"[") + b",".join(items[start : at + 1])
            start, size = at + 1, 0
    yield (b"," if start else b"[") + b",".join(items[start:]) + b"]"


def list_query(**parameters: str | int | None) -> dict[str, str]:
    """
    Give the query of `GET /tickets`, parameters that are None left out.

    Raises:
        ValueError: an undocumented name (Planhat may ignore it and answer everything), or a limit or offset that
            Planhat does not take.
    """
    unknown = sorted(parameters.keys() - LIST_PARAMETERS)
    if unknown:
        raise ValueError(f"GET /tickets has no parameter {', '.join(unknown)}")
    query = {name: str(value) for name, value in parameters.items() if value is not None}
    for name, low, high in (("limit", 1, LIST_MAX), ("offset", 0, None)):
        value = query.get(name)
        if value is not None and not (value.isdecimal() and low <= int(value) <= (high or int(value))):
            raise ValueError(f"{name} must be a whole number from {low}{f' to {high}' if high else ''}, not {value!r}")
    return query


def delete_path(planhat_id: str) -> str:
    """
    Give the path of `DELETE /tickets/:_id`, the id quoted whole.

    Raises:
        ValueError: an id that would name another path ("", ".", "..").
    """
    if planhat_id.strip(".") == "":
        raise ValueError(f"{planhat_id!r} is no id of a ticket")
    return f"{PATH}/{quote(planhat_id, safe='')}"


# -- answers -----------------------------------------------------------------------------------------------------------


def decipher(status: int, headers: Mapping[str, str], body: bytes, *, now_s: float | None = None) -> BulkOutcome:
    """
    Read an answer to a bulk upsert; total, whatever the bytes are.

    Args:
        status: HTTP status.
        headers: of the answer; names in any case.
        body: maybe empty, HTML, truncated or of another shape.
        now_s: Unix time, for a `Retry-After` that is a date when the answer has no `Date`.
    Returns:
        `ambiguous` for a 2xx that is not a JSON object with counts or errors, else `clear`.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    request_id = next((_line(lower[name], 100) for name in _REQUEST_IDS if lower.get(name)), None)
    wait_s = retry_after_s(lower.get("retry-after"), now_s=_date_s(lower.get("date")) or now_s)
    taken = 200 <= status < 300
    payload = _json(body)
    if not isinstance(payload, dict) or not (taken or status in _READ):
        return BulkOutcome(
            "ambiguous" if taken else "clear",
            status,
            retry_after_s=wait_s,
            detail=_unread(status, payload, body, taken=taken)[:TEXT_CAP],
            request_id=request_id,
        )
    entries = tuple(_entries(payload))
    created, updated, nonupdates = (_count(payload.get(name)) for name in ("created", "updated", "nonupdates"))
    silent = created is None and updated is None and nonupdates is None and not entries
    inserted = dict(_keys(payload.get("insertsKeys")))
    listed = inserted | dict(_keys(payload.get("updatesKeys")))
    return BulkOutcome(
        "ambiguous" if taken and silent else "clear",
        status,
        created=created,
        updated=updated,
        nonupdates=nonupdates,
        entries=entries,
        ids={source_id: planhat_id for source_id, planhat_id in listed.items() if planhat_id},
        created_ids=frozenset(inserted),
        retry_after_s=wait_s,
        detail=_detail(payload, entries, silent=silent)[:TEXT_CAP],
        request_id=request_id,
    )


class Row(NamedTuple):
    """
    One document of the list.

    id: Planhat's `_id`, "" when the row has none.
    source_id: `sourceId`, else `externalId` (written as the one, read as the other, inferred); "" without both.
    history: the entries that are objects, as Planhat writes them (`status`, `time`).
    update_date: as Planhat writes it.
    """

    id: str
    source_id: str
    email: str
    status: str
    history: tuple[Mapping[str, Any], ...]
    update_date: str
    subject: str = ""
    source: str = ""
    company_id: str = ""


def read_rows(body: bytes) -> list[Row] | None:
    """
    Read a list; None when the body is not a JSON array (a 200 of another shape is a fault, not an empty list).

    One row per element, so that a short page shows as one; an element that is no object gives an empty row.
    """
    payload = _json(body)
    if not isinstance(payload, list):
        return None
    return [_row(item if isinstance(item, dict) else {}) for item in payload]


def read_companies(body: bytes) -> dict[str, str] | None:
    """Read the company list, external id -> `_id`; None when the body is not a JSON array."""
    payload = _json(body)
    if not isinstance(payload, list):
        return None
    rows = [row for row in payload if isinstance(row, dict)]
    pairs = ((row.get("externalId"), row.get("_id")) for row in rows)
    return {one: other for one, other in pairs if isinstance(one, str) and isinstance(other, str) and one and other}


def retry_after_s(value: str | None, *, now_s: float | None = None) -> float | None:
    """
    Read `Retry-After`: seconds or an HTTP date.

    Args:
        value: the header; None when absent.
        now_s: Unix time that a date counts from; without it a date says nothing.
    Returns:
        Seconds, 0..3600 (a negative or past one is 0, a huge one 3600); None when it says nothing.
    """
    if value is None:
        return None
    text = value.strip()[:100]
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", text):
        seconds = float(text)
    else:
        at_s = _date_s(text)
        if at_s is None or now_s is None:
            return None
        seconds = at_s - now_s
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)


def plain(body: bytes) -> str:
    """Give the readable text of a body, HTML or not, in one line of at most `TEXT_CAP` characters."""
    text = body[:_HTML_CAP].decode("utf-8", "replace")
    if re.search(r"<[a-zA-Z!/]", text):
        text = _Text().read(text)
    return _line(text, TEXT_CAP)


# -- pieces ------------------------------------------------------------------------------------------------------------


class _Text(HTMLParser):
    """Collects the text of a page, without scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.silent = False

    def read(self, page: str) -> str:
        try:
            self.feed(page)
            self.close()
        except (AssertionError, ValueError):  # HTMLParser gives up on some malformed declarations
            return re.sub(r"<[^<>]*>", " ", page)
        return " ".join(self.parts)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.silent = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self.silent = False

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(data)


def _line(text: str, cap: int) -> str:
    """Give a text as one printable line."""
    head = text[: cap * 4]
    printable = head if head.isprintable() else "".join(mark if mark.isprintable() else " " for mark in head)
    return " ".join(printable.split())[:cap]


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _count(value: object) -> int | None:
    """Give a count; None for anything that is none, so that a wrong type never adds up."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value >= 0 and float(value).is_integer() else None


def _keys(value: object) -> Iterator[tuple[str, str]]:
    """Give (sourceId, _id or "") of `insertsKeys` or `updatesKeys`: objects with `_id` and the keys sent."""
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            planhat_id = _word(item.get("_id"))
            for name in ("sourceId", "externalId"):
                if source_id := _word(item.get(name)):
                    yield source_id, planhat_id


def _word(value: object) -> str:
    """Give an id as text, a whole number as its digits, anything else as ""."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _entries(payload: Mapping[str, object]) -> Iterator[ErrorEntry]:
    """Give every element of every key that ends in `errors`, whatever its shape: nobody documents it."""
    for name, value in payload.items():
        if name.lower().endswith("errors") and value:
            for item in value if isinstance(value, list) else [value]:
                yield ErrorEntry(_line(_words(name, item), TEXT_CAP), _leaves(item))


def _words(name: str, item: object) -> str:
    """Give an entry as a person reads it: a bare message where it says no more than which item, else all of it."""
    if isinstance(item, str):
        return item
    if isinstance(item, int | float):
        return f"{name}: {item}"
    if isinstance(item, dict) and item.keys() <= _PLAIN_ENTRY and isinstance(item.get("message"), str):
        return str(item["message"])
    return orjson.dumps(_shallow(item)).decode("utf-8", "replace")


def _shallow(item: object) -> object:
    """Give a value that can be written again: orjson reads 1,024 levels and writes 254."""
    try:
        orjson.dumps(item)
    except (TypeError, ValueError):
        return "an error nested too deep to show"
    return item


def _leaves(item: object) -> frozenset[str]:
    """Collect the strings of an entry, and keys that hold a digit (`{"zendesk:1": "no e-mail"}`), level by level."""
    found: set[str] = set()
    level = [item]
    while level:
        deeper: list[object] = []
        for value in level:
            if isinstance(value, str):
                found.add(value)
            elif isinstance(value, dict):
                found.update(key for key in value if any(mark.isdecimal() for mark in key))
                deeper.extend(value.values())
            elif isinstance(value, list):
                deeper.extend(value)
        level = deeper
    return frozenset(found)


def _unread(status: int, payload: object, body: bytes, *, taken: bool) -> str:
    """Give the words of an answer that is no bulk envelope."""
    if not body.strip():
        return f"HTTP {status} without a body"
    words = _detail(payload, (), silent=True) if isinstance(payload, dict) else plain(body)
    return f"HTTP {status} that is not the documented JSON: {words}" if taken else words


def _detail(payload: Mapping[str, object], entries: tuple[ErrorEntry, ...], *, silent: bool) -> str:
    """Give Planhat's own words: a message, else the first errors, else (when nothing was understood) the body."""
    for name in ("message", "error", "msg", "detail", "error_description"):
        value = payload.get(name)
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, str) and value.strip():
            return plain(value.encode("utf-8", "replace"))
    if entries:
        return "; ".join(entry.text for entry in entries[:5])
    return plain(orjson.dumps(_shallow(payload))) if silent else ""


def _row(item: Mapping[str, object]) -> Row:
    text = {key: value for key, value in item.items() if isinstance(value, str)}
    history = item.get("history")
    return Row(
        id=_word(item.get("_id")),
        source_id=_word(item.get("sourceId")) or _word(item.get("externalId")),
        email=text.get("email", ""),
        status=text.get("status", ""),
        history=tuple(entry for entry in history if isinstance(entry, dict)) if isinstance(history, list) else (),
        update_date=text.get("updateDate", ""),
        subject=text.get("subject") or text.get("title", ""),
        source=text.get("source", ""),
        company_id=text.get("companyId", ""),
    )


def _date_s(value: str | None) -> float | None:
    """Give an HTTP date as Unix seconds; None when it is none."""
    if not value:
        return None
    try:
        at = parsedate_to_datetime(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
