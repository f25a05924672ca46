"""
A connection's rules: what of a body counts, and what its fields become. Pure; made from the configuration file.

In this order, for each element of a body by itself (an array's, a Salesforce message's notifications, the items of
`data`): `ignore.agents`, `ignore.apps`, `ignore.when` leave it out; `only.brands`, `only.groups`, `only.when` leave it
out unless it deletes a ticket, which may have been let in before; the adapter reads it, or the field map where that
names `sourceId`; the map's fields are laid over; `only.statuses`, `only.tags`, `ignore.tags` decide; the status map
renames.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import jmespath
import orjson
from jmespath.exceptions import JMESPathError

from gateway.core.change import Change
from gateway.core.free_mail import FREE_MAIL
from gateway.core.placing import ORDINARY, Placing
from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Normalized
from gateway.sources.places import AGENTS, APPS, BRANDS, GROUPS
from gateway.sources.reading import identifier, instant_ms, mail_address, strings, text, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Connection, Request, Source

    Note = Callable[[str], None]

ITEMS_MAX: Final = 1_000
PARTS_MAX: Final = 500
"""What the adapters of `_PARTS` take; more is left to them to refuse."""
MINUTES_MAX: Final = 2**31 - 1
_S_OR_MS: Final = 10**11
"""A number below it is a Unix time in seconds, from it on in milliseconds."""

_LAST_MS: Final = 253_402_300_799_999
_NO_FIELDS: Final = frozenset(("sourceId", "items", "createdAt", "updatedAt", "deleted"))
_TEXTS: Final = frozenset(
    ("title", "description", "url", "type", "severity", "product", "name", "companyExternalId", "companyId")
)
_PARTS: Final[Mapping[str, str]] = {"salesforce": "notifications", "generic": "data"}
"""Source -> the list in its body whose elements stand for themselves."""


@dataclass(frozen=True, slots=True)
class Rules:
    """
    One connection's rules; with none of them set, nothing changes.

    status: the helpdesk's word in lower case -> the word to send.
    map: Planhat field, `custom.NAME`, or `sourceId`, `items`, `createdAt`, `updatedAt`, `deleted` -> JMESPath.
    only_*, ignore_*: see `gateway.config.keys`; all in lower case.
    """

    source: str
    status: Mapping[str, str] = field(default_factory=dict)
    map: Mapping[str, str] = field(default_factory=dict)
    only_tags: frozenset[str] = frozenset()
    only_statuses: frozenset[str] = frozenset()
    only_brands: frozenset[str] = frozenset()
    only_groups: frozenset[str] = frozenset()
    only_when: str = ""
    ignore_agents: frozenset[str] = frozenset()
    ignore_apps: frozenset[str] = frozenset()
    ignore_tags: frozenset[str] = frozenset()
    ignore_when: str = ""

    def normalize(
        self, source: Source, payload: Json, request: Request, connection: Connection, note: Note = lambda _: None
    ) -> Normalized:
        """
        Turn a parsed body into changes, as the rules want.

        Args:
            note: is told what each rule decided, one sentence each.
        Raises:
            UnreadablePayload, VerificationError: as the adapter raises them; `bad_map` when an expression of the file
                cannot be used on this body.
        """
        changes: list[Change] = []
        lacks: dict[str, None] = {}
        ignored, foreign, ours = "", None, False
        for part, one in self._parts(payload):
            if why := self._ignored(one):
                note(why)
                ignored, ours = why, True
                continue
            unnamed = self._unnamed(one, note)
            try:
                read = self._read(source, part, one, request, connection, note)
            except VerificationError as error:  # of another account: the others of an array may be ours
                foreign = error
                continue
            except UnreadablePayload:
                if not unnamed:
                    raise
                read = Normalized()
            ours = True
            kept = [made for change in read.changes if (made := self._kept(change, unnamed, note)) is not None]
            changes += kept
            lacks |= dict.fromkeys(read.lacks)
            if not kept:
                ignored = read.ignored or unnamed or "the connection's rules leave this ticket out"
        if not ours:  # an empty array, which the adapter knows, or every element of another account
            if foreign is not None:
                raise foreign
            if "sourceId" in self.map:
                return Normalized(ignored="the body is an empty array")
            return source.normalize(payload, request, connection)
        return Normalized(tuple(changes), "" if changes else ignored, tuple(lacks))

    def of_change(self, change: Change, note: Note = lambda _: None) -> Change | None:
        """
        Apply the rules that see only a ticket's fields: the status map, tags and statuses.

        Returns:
            None when the ticket is left out. A deletion never is: it may have been let in before.
        """
        if change.life in ("deleted", "purged"):
            return change
        status, known = change.fields.get("status") or "", change.fields.get("tags")
        tags = None if known is None else {tag.lower() for tag in known}
        if self.only_statuses and status and status not in self.only_statuses:
            note(f"only.statuses: {change.ticket} is {status!r}, which is not among them")
            return None
        if tags is not None and (met := self.ignore_tags.intersection(tags)):
            note(f"ignore.tags: {change.ticket} has {', '.join(sorted(met))}")
            return None
        if self.only_tags and tags is not None and not self.only_tags.intersection(tags):
            note(f"only.tags: {change.ticket} has none of them")
            return None
        if not self.status:
            return change
        history = tuple((at_ms, self.status.get(word, word)) for at_ms, word in change.history)
        if status in self.status:
            note(f"status: {change.ticket} {status!r} becomes {self.status[status]!r}")
            return replace(change, fields={**change.fields, "status": self.status[status]}, history=history)
        return replace(change, history=history) if history != change.history else change

    def _parts(self, payload: Json) -> Iterator[tuple[Json, Json]]:
        """Give each element twice: as the adapter reads it, and as expressions see it."""
        name = _PARTS.get(self.source, "")
        inner = payload.get(name) if isinstance(payload, dict) and "sourceId" not in self.map else None
        if isinstance(payload, list):
            yield from (([one], one) for one in payload)
        elif isinstance(inner, list) and 0 < len(inner) <= PARTS_MAX:
            # A single item of `data` stands there bare, a single notification in its list.
            rows = inner if self.source == "generic" else [[row] for row in inner]
            yield from ((part, part) for part in ({**payload, name: row} for row in rows))
        else:
            yield payload, payload

    def _ignored(self, body: Json) -> str:
        """Say why a body is not taken in at all, deletions included; "" when it is."""
        for name, wanted, places in (("agents", self.ignore_agents, AGENTS), ("apps", self.ignore_apps, APPS)):
            if wanted and (met := wanted.intersection(_said(places[self.source], body))):
                return f"ignore.{name}: the change was made by {', '.join(sorted(met))}"
        if self.ignore_when and _truth(_search(self.ignore_when, body)):
            return "ignore.when is true of the body"
        return ""

    def _unnamed(self, body: Json, note: Note) -> str:
        """Say why a body is none of those that `only` names; "" when it is one, or does not tell."""
        for name, wanted, places in (("brands", self.only_brands, BRANDS), ("groups", self.only_groups, GROUPS)):
            if not wanted:
                continue
            said = _said(places[self.source], body)
            if not said:
                note(f"only.{name}: the body does not tell, so it passes")
            elif not wanted.intersection(said):
                return f"only.{name}: the ticket's is {', '.join(said)}"
        if self.only_when and not _truth(_search(self.only_when, body)):
            return "only.when is not true of the body"
        return ""

    def _kept(self, change: Change, unnamed: str, note: Note) -> Change | None:
        if not unnamed or change.life in ("deleted", "purged"):
            return self.of_change(change, note)
        note(unnamed)
        return None

    def _read(  # noqa: PLR0917
        self, source: Source, part: Json, body: Json, request: Request, connection: Connection, note: Note
    ) -> Normalized:
        """Read one element: by the map alone, or by the adapter with the map's fields laid over."""
        if "sourceId" in self.map:
            made = tuple(self._mapped(body, connection, note))
            return Normalized(made, "" if made else f"map.items ({self.map['items']}) finds an empty array")
        read = source.normalize(part, request, connection)
        found = self._fields(body, note) if self.map and read.changes else {}
        changes = tuple(_with(change, found) for change in read.changes) if found else read.changes
        return Normalized(changes, read.ignored, read.lacks)

    def _fields(self, body: Json, note: Note) -> dict[str, Json]:
        """Give the fields that the map finds; null leaves what the adapter read."""
        fields: dict[str, Json] = {}
        for name, expression in self.map.items():
            if name in _NO_FIELDS or (value := _search(expression, body)) is None:
                continue
            found = _value(name, value)
            if found is None:
                note(f"map: {name} = {expression} finds nothing that can be a {name}")
                continue
            if name.startswith("custom."):
                fields.setdefault("custom", {})[name.removeprefix("custom.")] = found
            elif name == "custom":
                fields["custom"] = {**found, **fields.get("custom", {})}
            else:
                fields[name] = found
            note(f"map: {name} = {expression}")
        return fields

    def _mapped(self, body: Json, connection: Connection, note: Note) -> Iterator[Change]:
        """Read a body of any shape by the map alone; no account is checked."""
        items = _search(self.map["items"], body) if "items" in self.map else [body]
        if isinstance(items, dict):
            items = [items]
        if not isinstance(items, list):  # a slip of the file must lose nothing
            found = "nothing" if items is None else "no array"
            raise UnreadablePayload("bad_map", f"map.items ({self.map['items']}) finds {found} in this body.")
        if len(items) > ITEMS_MAX:
            raise UnreadablePayload("too_many_items", f"map.items gives {len(items)} items, more than {ITEMS_MAX}.")
        for item in items:
            ticket = identifier(_search(self.map["sourceId"], item))
            if ticket is None:
                why = f"map.sourceId ({self.map['sourceId']}) finds no id in the body."
                raise UnreadablePayload("no_ticket_id", why)
            said = _search(self.map["deleted"], item) if "deleted" in self.map else None
            life: Life = "" if said is None else "deleted" if _truth(said) else "live"
            fields = {} if life == "deleted" else self._fields(item, note)
            updated_at_ms = _moment(_search(self.map.get("updatedAt", "updatedAt"), item))
            if updated_at_ms is None:
                note("map: updatedAt finds no time: what arrives last counts")
            yield Change(
                ticket=connection.prefix + ticket,
                connection=connection.name,
                fields=fields,
                updated_at_ms=updated_at_ms,
                created_at_ms=_moment(_search(self.map.get("createdAt", "createdAt"), item)),
                life=life,
                complete=all(fields.get(name) for name in ("title", "status", "email")),
            )


def _search(expression: str, body: Json) -> Json:
    """Evaluate; whatever goes wrong in it is the expression's, and the body is kept until that is mended."""
    try:
        return jmespath.search(expression, body)
    except (
        JMESPathError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        why = " ".join(str(error).split())
        raise UnreadablePayload("bad_map", f"{expression} cannot be used on this body: {why}") from error


def _truth(value: Json) -> bool:
    """Say whether a JMESPath value is true: not null, false, empty; 0 is true, as JMESPath has it."""
    return value is not None and value is not False and value not in ("", [], {})


def _said(expression: str, body: Json) -> list[str]:
    """Give the texts and numbers that an expression finds, lists laid open, as texts in lower case."""
    waiting = [_search(expression, body)] if isinstance(body, dict) else []
    found: dict[str, None] = {}
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += reversed(one)
        elif isinstance(one, str | int) and not isinstance(one, bool) and one != "":
            found[str(one).lower()] = None
    return list(found)


def _moment(value: Json) -> int | None:
    """Give a time as Unix ms: ISO 8601, or a Unix time in seconds or milliseconds, as number or digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 15:
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value if value >= _S_OR_MS else value * 1000) if 0 < value <= _LAST_MS else None
    return instant_ms(value)


def _value(name: str, value: Json) -> Json:
    """Read a found value as the field needs it; None when it cannot be one."""
    if name == "status":
        return word(text(value))
    if name in ("email", "agentEmail"):
        return mail_address(value) or "" if isinstance(value, str) else None
    if name == "tags":
        return strings(value if isinstance(value, list) else [value]) or ([] if value == [] else None)
    if name == "domains":
        found = strings(value if isinstance(value, list) else [value])
        return [one.lower() for one in found] if found else [] if value == [] else None
    if name == "timeSpent":
        number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MINUTES_MAX
        return int(value) if number else None
    if name in _TEXTS:
        return text(value)
    if name == "custom" and not isinstance(value, dict):
        return None
    try:
        orjson.dumps(value)
    except TypeError:  # an expression reference, a number beyond 64 bits
        return None
    return value


def _with(change: Change, found: dict[str, Any]) -> Change:
    if change.life in ("deleted", "purged"):
        return change
    fields = {**change.fields, **found}
    if "custom" in found:
        fields["custom"] = {**(change.fields.get("custom") or {}), **found["custom"]}
    return replace(change, fields=fields)


def rules_of(connection: Mapping[str, Any]) -> Rules | None:
    """Make the rules of a connection's table in the configuration file; None when it has none."""
    only, ignore = connection.get("only", {}), connection.get("ignore", {})
    made = Rules(
        source=connection["source"],
        status={key.lower(): value for key, value in connection.get("status", {}).items()},
        map=dict(_flat(connection.get("map", {}))),
        only_tags=_lower(only.get("tags", ())),
        only_statuses=_lower(only.get("statuses", ())),
        only_brands=_lower(only.get("brands", ())),
        only_groups=_lower(only.get("groups", ())),
        only_when=only.get("when", ""),
        ignore_agents=_lower(ignore.get("agents", ())),
        ignore_apps=_lower(ignore.get("apps", ())),
        ignore_tags=_lower(ignore.get("tags", ())),
        ignore_when=ignore.get("when", ""),
    )
    return None if made == Rules(connection["source"]) else made


def placing_with(free_mail: Mapping[str, Any]) -> Placing:
    """Make the company rules of a connection that has none of its own, from the file's table `free_mail`."""
    domains = (FREE_MAIL | _lower(free_mail.get("add", ()))) - _lower(free_mail.get("remove", ()))
    return ORDINARY if domains == FREE_MAIL else Placing(free_mail=domains)


def placing_of(connection: Mapping[str, Any], common: Placing) -> Placing:
    """Make the company rules of a connection's table; `common` itself when it has none."""
    company = connection.get("company")
    if not company:
        return common
    by = company.get("by", ("external_id", "domain"))
    return replace(
        common,
        by_external_id="external_id" in by,
        by_domain="domain" in by,
        external_id=company.get("external_id", ""),
        company_id=company.get("id", ""),
        resolve=company.get("resolve", False),
    )


def _flat(table: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, dict):
            for inner, expression in value.items():
                yield f"{name}.{inner}", expression
        else:
            yield name, value


def _lower(values: Iterable[str]) -> frozenset[str]:
    return frozenset(value.lower() for value in values)
