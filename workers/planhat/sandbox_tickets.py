"""
The sandbox's tickets: what Planhat keeps of an upsert, item by item, and what it shows when asked.

Matching: `_id`, then `sourceId`, else a new ticket. What is sent (write shape) and what is read (read shape) differ,
as the official samples show: `sourceId` is read as `externalId`, `title` as `subject`, `description` as `snippet`.

Source: https://www.planhat.com/developers/api/ pages `ticket` and `bulk-upsert`. Where the pages are silent, the
choice and its switch stand in README.md, "The sandbox".
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Kind = Literal["created", "updated", "unchanged", "dropped", "create_error", "update_error"]
HistoryMode = Literal["replace", "append"]

KEY_TEXTS: Final = ("_id", "sourceId", "source", "companyId", "companyExternalId", "email", "name", "agentEmail")
TEXTS: Final = frozenset((*KEY_TEXTS, "title", "description", "url", "type", "severity", "product", "status"))
TEXT_LISTS: Final = frozenset(("domains", "tags"))
OTHERS: Final = frozenset(("timeSpent", "history", "custom"))
FIELDS: Final = TEXTS | TEXT_LISTS | OTHERS
"""The write fields of the official table, with `name`, `agentEmail` (example only) and `custom` (undocumented)."""

OBJECT_ID: Final = re.compile(r"[0-9a-f]{24}")
ENTRY_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
LIST_LIMIT: Final = 500
LIST_LIMIT_MAX: Final = 10_000
DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class Ticket:
    """A stored ticket: Planhat's id, the fields as last merged (write shape, without `_id`) and its dates, Unix ms."""

    id: str
    fields: dict[str, Any]
    company: dict[str, Any]
    created_ms: int
    updated_ms: int


class Outcome(NamedTuple):
    """What became of one item: the ids it is known by ("" when unknown) and, for an error, why."""

    kind: Kind
    id: str
    source_id: str
    why: str = ""


def invented_id(text: str) -> str:
    """Make an object id out of a text, always the same one."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def iso(at_ms: int) -> str:
    """Write a time (Unix ms) as Planhat does, in UTC with milliseconds."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at_ms % 1000:03d}Z"


def time_bucket(at_ms: int) -> list[str]:
    """Planhat's year, quarter, month (no leading zero) and week (US counting) of a time, as its samples show them."""
    day = datetime.fromtimestamp(at_ms // 1000, UTC)
    first_weekday = day.replace(month=1, day=1).isoweekday() % 7
    week = (day.timetuple().tm_yday - 1 + first_weekday) // 7 + 1
    year = f"{day.year}"
    return [year, f"{year}-Q{(day.month + 2) // 3}", f"{year}-{day.month}", f"{year}-W{week}"]


def wrong_type(item: Mapping[str, Any]) -> str:
    """Say which field Planhat could not store for its type, "" when all are fine. Null is fine everywhere."""
    for name, value in item.items():
        if value is None or name not in FIELDS or (name in TEXTS and isinstance(value, str)):
            continue
        if name in TEXT_LISTS:
            fine = isinstance(value, list) and all(isinstance(entry, str) for entry in value)
        elif name == "timeSpent":
            fine = isinstance(value, int) and not isinstance(value, bool)
        elif name == "history":
            fine = isinstance(value, list) and all(map(_is_history_entry, value))
        else:
            fine = name == "custom" and isinstance(value, dict)
        if not fine:
            return f"Cast failed at path {name}"
    return ""


def _is_history_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("status"), str):
        return False
    time = entry.get("time")
    return isinstance(time, str) and ENTRY_TIME.fullmatch(time) is not None


class Tickets:
    """
    Every ticket of one sandbox.

    Args:
        seed: makes the ids; ids grow with every creation.
        history: whether a sent `history` replaces the stored one or is appended to it (undocumented).
        companies: the tenant's companies (`_id`, `externalId`, `sourceId`, `name`, `domains`, `status`), None when
            every company that is named shall exist.
    """

    def __init__(
        self, *, seed: int = 1, history: HistoryMode = "replace", companies: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        self.companies = None if companies is None else [_company(row) for row in companies]
        self._companies: dict[str, dict[str, dict[str, Any]]] = {"_id": {}, "externalId": {}, "domains": {}}
        for row in reversed(self.companies or []):
            self._companies["_id"][row["_id"]] = self._companies["externalId"][row["externalId"]] = row
            self._companies["domains"].update(dict.fromkeys(row["domains"], row))
        self.by_id: dict[str, Ticket] = {}
        self.by_source: dict[str, Ticket] = {}
        self.deleted: list[dict[str, Any]] = []
        self.unknown_fields: Counter[str] = Counter()
        self._history = history
        self._id_head = f"{seed & 0xFFFFFFFF:08x}"
        self._made = 0

    def upsert(self, item: object, at_ms: int) -> Outcome:
        """Store one item of a bulk upsert at a time (Unix ms)."""
        if not isinstance(item, dict):
            return Outcome("create_error", "", "", "an item must be an object")
        source_id = item.get("sourceId")
        key = source_id if isinstance(source_id, str) else ""
        email = item.get("email")
        if email is None or (isinstance(email, str) and not email.strip()):
            return Outcome("dropped", "", key)  # documented: without e-mail an item is ignored without a word
        ticket = self._match(item)
        why = wrong_type(item)
        company = None
        if not why:
            company, why = self._resolve(item)
        if ticket is None:
            if not why and not key:
                why = "sourceId is required"
            if not why and company is None:
                why = "domains, companyExternalId or companyId is required"
            if why or company is None:
                return Outcome("create_error", "", key, why)
            return self._create(item, key, company, at_ms)
        if not why and key and self.by_source.get(key, ticket) is not ticket:
            why = "sourceId duplicated"
        if why:
            return Outcome("update_error", ticket.id, key, why)
        return self._update(ticket, item, company, at_ms)

    def _match(self, item: Mapping[str, Any]) -> Ticket | None:
        for name, index in (("_id", self.by_id), ("sourceId", self.by_source)):
            key = item.get(name)
            if isinstance(key, str) and key in index:
                return index[key]
        return None

    def _known(self, item: Mapping[str, Any]) -> dict[str, Any]:
        for name in item.keys() - FIELDS:
            self.unknown_fields[name] += 1
        return {name: value for name, value in item.items() if name in FIELDS and name != "_id"}

    def _create(self, item: Mapping[str, Any], key: str, company: dict[str, Any], at_ms: int) -> Outcome:
        self._made += 1
        ticket = Ticket(f"{self._id_head}{self._made:016x}", self._known(item), company, at_ms, at_ms)
        self.by_id[ticket.id] = self.by_source[key] = ticket
        return Outcome("created", ticket.id, key)

    def _update(self, ticket: Ticket, item: Mapping[str, Any], company: dict[str, Any] | None, at_ms: int) -> Outcome:
        sent = self._known(item)
        if sent.get("sourceId") is None:
            sent.pop("sourceId", None)
        if self._history == "append" and isinstance(sent.get("history"), list):
            sent["history"] = [*(ticket.fields.get("history") or []), *sent["history"]]
        merged = {**ticket.fields, **sent}
        same = merged == ticket.fields
        old_key = ticket.fields["sourceId"]
        ticket.fields, ticket.updated_ms = merged, at_ms  # seen: a no-op moves the date too
        ticket.company = company or ticket.company
        if merged["sourceId"] != old_key:
            del self.by_source[old_key]
            self.by_source[merged["sourceId"]] = ticket
        return Outcome("unchanged" if same else "updated", ticket.id, merged["sourceId"])

    def _resolve(self, item: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
        """Find an item's company: `companyId` before `companyExternalId` before `domains` (the order is a guess)."""
        company_id, external_id = item.get("companyId"), item.get("companyExternalId")
        domains = [domain.lower() for domain in item.get("domains") or [] if domain]
        if self.companies is not None:
            wanted = [company_id] if company_id else [external_id] if external_id else domains
            index = "_id" if company_id else "externalId" if external_id else "domains"
            found = next((row for key in wanted if (row := self._companies[index].get(key))), None)
            return found, "" if found or not wanted else "company not found"
        if company_id:
            if not OBJECT_ID.fullmatch(company_id):
                return None, "Cast to ObjectId failed at path companyId"
            return _company({"_id": company_id, "externalId": external_id, "name": company_id}), ""
        name = external_id or next(iter(domains), "")
        if not name:
            return None, ""
        return _company({"_id": invented_id(name), "externalId": external_id, "name": name}), ""

    def delete(self, ticket_id: str, at_ms: int) -> dict[str, Any] | None:
        """Remove a ticket and give its whole document (read shape, with `autoTags`); None for an unknown id."""
        ticket = self.by_id.pop(ticket_id, None)
        if ticket is None:
            return None
        key = ticket.fields["sourceId"]
        del self.by_source[key]
        self.deleted.append({"_id": ticket_id, "sourceId": key, "at_ms": at_ms})
        return {**read_shape(ticket), "autoTags": []}

    def page(self, asked: Mapping[str, str]) -> list[dict[str, Any]]:
        """Answer a list call; `asked` holds the query parameters that count, everything unknown is ignored."""
        rows = list(self.by_id.values())
        for name, keep in _FILTERS.items():
            if wanted := asked.get(name, ""):
                rows = [ticket for ticket in rows if keep(ticket, wanted)]
        if prop := asked.get("sort", ""):
            rows.sort(key=lambda ticket: _order(ticket, prop.lstrip("-")), reverse=prop.startswith("-"))
        offset = _number(asked.get("offset"), 0)
        limit = min(_number(asked.get("limit"), LIST_LIMIT), LIST_LIMIT_MAX)
        page = [read_shape(ticket) for ticket in rows[offset : offset + limit]]
        if chosen := {"_id", *filter(None, asked.get("select", "").split(","))} - {"_id"}:
            page = [{name: value for name, value in row.items() if name in chosen or name == "_id"} for row in page]
        return page

    def lean_companies(self, asked: Mapping[str, str]) -> list[dict[str, Any]]:
        """Answer `GET /leancompanies`: the configured companies, else those that tickets named."""
        rows = self.companies
        if rows is None:
            rows = list({ticket.company["_id"]: ticket.company for ticket in self.by_id.values()}.values())
        for name in ("externalId", "sourceId", "status"):
            if wanted := asked.get(name):
                rows = [row for row in rows if row[name] == wanted]
        return [{name: row[name] for name in ("_id", "externalId", "sourceId", "name")} for row in rows]


def _company(row: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: row.get(name) for name in ("_id", "externalId", "sourceId", "name", "status")}
    return {**known, "domains": frozenset(domain.lower() for domain in row.get("domains") or ())}


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else default


_FILTERS: Final[dict[str, Callable[[Ticket, str], bool]]] = {
    "companyId": lambda ticket, wanted: ticket.company["_id"] in wanted.split(","),
    "status": lambda ticket, wanted: ticket.fields.get("status") == wanted,
    "email": lambda ticket, wanted: ticket.fields.get("email") == wanted,
    "search": lambda ticket, wanted: wanted.lower() in (ticket.fields.get("description") or "").lower(),
}

_DIRECT: Final[dict[str, Callable[[Ticket], Any]]] = {
    "_id": lambda ticket: ticket.id,
    "externalId": lambda ticket: ticket.fields["sourceId"],
    "createDate": lambda ticket: ticket.created_ms,
    **dict.fromkeys(("updateDate", "date", "inDate"), lambda ticket: ticket.updated_ms),
}
"""Sort values that need no read shape, so that a list of many tickets stays fast."""


def _order(ticket: Ticket, prop: str) -> tuple[int, Any]:
    value = _DIRECT[prop](ticket) if prop in _DIRECT else read_shape(ticket).get(prop)
    if value is None:
        return 0, 0
    if isinstance(value, (bool, int, float)):
        return 1, value
    return 2, str(value)


def read_shape(ticket: Ticket) -> dict[str, Any]:
    """Give a ticket as Planhat shows it. `isOpen` is false in every official sample, whatever the status."""
    fields, company = ticket.fields, ticket.company
    updated = iso(ticket.updated_ms)
    email = fields.get("email") or ""
    return {
        "_id": ticket.id,
        "externalId": fields["sourceId"],
        "type": "ticket",
        "subType": "ticket",
        "source": fields.get("source"),
        "subject": fields.get("title"),
        "snippet": fields.get("description"),
        "email": email,
        "status": fields.get("status"),
        "history": fields.get("history") or [],
        "url": fields.get("url"),
        "createDate": iso(ticket.created_ms),
        "updateDate": updated,
        "date": updated,
        "inDate": updated,
        "days": ticket.updated_ms // DAY_MS,
        "timeBucket": time_bucket(ticket.updated_ms),
        "companyId": company["_id"],
        "companyName": company["name"],
        "endusers": [{"id": invented_id(email), "name": fields.get("name") or email}],
        "custom": fields.get("custom") or {},
        "starred": False,
        "pinned": False,
        "activityTags": [],
        "emailTemplateIds": [],
        "isOpen": False,
        "tags": fields.get("tags") or [],
        "waitsToBeFiltered": True,
        "archived": False,
        "users": [],
        "sender": [],
    }


@dataclass(slots=True)
class Tally:
    """The outcomes of one bulk upsert and the answer made of them."""

    outcomes: list[Outcome] = field(default_factory=list)

    def count(self, kind: Kind) -> int:
        """How many items ended so."""
        return sum(1 for outcome in self.outcomes if outcome.kind == kind)

    def status(self) -> int:
        """200 when nothing failed, 206 when something did, 400 when everything that was not dropped did."""
        if not (self.count("create_error") or self.count("update_error")):
            return 200
        return 206 if self.count("created") + self.count("updated") + self.count("unchanged") else 400

    def body(self, *, full: bool, keyed: bool, count_unchanged: bool) -> dict[str, Any]:
        """
        Give the answer's body.

        Args:
            full: every key of the generic bulk answer; else the two documented counts, plus the error arrays when
                there are errors.
            keyed: an error entry is an object with the item's ids; else a bare text.
            count_unchanged: the minimal answer counts unchanged items as updated.
        """
        created, updated, same = self.count("created"), self.count("updated"), self.count("unchanged")
        create_errors = self._entries("create_error", keyed=keyed)
        update_errors = self._entries("update_error", keyed=keyed)
        if not full:
            body: dict[str, Any] = {"created": created, "updated": updated + (same if count_unchanged else 0)}
            if create_errors or update_errors:
                body |= {"createdErrors": create_errors, "updatedErrors": update_errors}
            return body
        inserts, updates = self._keys("created"), self._keys("updated")
        return {
            "created": created,
            "createdErrors": create_errors,
            "insertsKeys": inserts,
            "updated": updated,
            "updatedErrors": update_errors,
            "updatesKeys": updates,
            "nonupdates": same,
            "modified": [row["_id"] for row in updates],
            "upsertedIds": [row["_id"] for row in inserts],
            "permissionErrors": [],
        }

    def _keys(self, kind: Kind) -> list[dict[str, str]]:
        return [{"_id": row.id, "sourceId": row.source_id} for row in self.outcomes if row.kind == kind]

    def _entries(self, kind: Kind, *, keyed: bool) -> list[Any]:
        rows = [row for row in self.outcomes if row.kind == kind]
        if not keyed:
            return [row.why for row in rows]
        return [
            {**({"_id": row.id} if row.id else {}), "sourceId": row.source_id or None, "message": row.why}
            for row in rows
        ]
