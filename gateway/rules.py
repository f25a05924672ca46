"""
A connection's rules: what of a body counts, and what its fields become. Pure; made from the configuration file.

In this order: changes made by ignored people or apps are left out, then bodies that `only` does not name, then the
adapter reads (or the field map, where it names `sourceId`), then the map's fields are laid over, then tags and statuses
decide, and last the status map renames. JMESPath expressions see the parsed body; of an array, each element by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import jmespath
from jmespath.exceptions import JMESPathError

from gateway.core.change import Change
from gateway.core.free_mail import FREE_MAIL
from gateway.core.placing import ORDINARY, Placing
from gateway.errors import UnreadablePayload
from gateway.sources.base import Normalized
from gateway.sources.reading import identifier, instant_ms, mail_address, strings, text, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.core.change import Json
    from gateway.sources.base import Connection, Request, Source

ITEMS_MAX: Final = 1_000
_S_OR_MS: Final = 10**11
"""A number below it is a Unix time in seconds, from it on in milliseconds."""

AGENTS: Final[Mapping[str, str]] = {
    "zendesk": "[detail.actor_id, current_user.id, current_user.email, current_user_email]",
    "freshdesk": "[data.actor.id, data.actor.email, actor.id, actor.email]",
    "freshservice": "[data.actor.id, data.actor.email, actor.id, actor.email]",
    "jira_service_management": "[user.accountId, user.emailAddress, user.name]",
    "github": "[sender.login, sender.id]",
    "linear": "[actor.id, actor.email]",
    "kustomer": "[data.relationships.modifiedBy.data.id]",
    "hubspot": "[sourceId]",
    "zammad": "[ticket.updated_by.id, ticket.updated_by.email, ticket.updated_by_id]",
    "front": "[source.data.id, source.data.email, payload.source.data.id, payload.source.data.email]",
}
"""Where a body tells who made the change."""

APPS: Final[Mapping[str, str]] = {
    "hubspot": "[changeSource, appId]",
    "github": "[issue.performed_via_github_app.id, issue.performed_via_github_app.slug]",
    "kustomer": "[client]",
}
"""Where a body tells which program made the change."""

BRANDS: Final[Mapping[str, str]] = {
    "zendesk": "[detail.brand_id, brand_id, brand.id, brand, brand_name, ticket.brand_id, ticket.brand]",
    "kustomer": "[data.relationships.brand.data.id]",
    "front": "[conversation.inboxes[].id, payload.conversation.inboxes[].id][]",
}
"""Where a body tells the ticket's brand."""

GROUPS: Final[Mapping[str, str]] = {
    "zendesk": "[detail.group_id, group_id, group.id, group.name, group, ticket.group_id, ticket.group]",
    "freshdesk": "[ticket.group_id, ticket.group.name, ticket_group_name, freshdesk_webhook.ticket_group_name, group]",
    "freshservice": "[ticket.group_id, ticket.group.name, ticket_group_name, freshdesk_webhook.ticket_group_name]",
    "jira_service_management": "[issue.fields.project.key, issue.fields.project.id]",
    "github": "[repository.full_name, repository.name]",
    "linear": "[data.team.key, data.team.id, data.teamId]",
    "zammad": "[ticket.group.name, ticket.group.id, ticket.group_id]",
    "zoho_desk": "[payload.departmentId]",
    "chatwoot": "[inbox.name, inbox.id, inbox_id, meta.team.name]",
}
"""Where a body tells the ticket's group, team, project or repository."""

_TEXTS: Final = ("title", "description", "url", "type", "severity", "product", "name", "companyExternalId", "companyId")


@dataclass(frozen=True, slots=True)
class Rules:
    """
    One connection's rules; with none of them set, nothing changes.

    status: the helpdesk's word in lower case -> the word to send.
    map: Planhat field, `custom.NAME`, or `sourceId`, `items`, `createdAt`, `updatedAt`, `deleted` -> JMESPath.
    only_*, ignore_*: see `gateway.config.keys`.
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
        self,
        source: Source,
        payload: Json,
        request: Request,
        connection: Connection,
        note: Callable[[str], None] = lambda _: None,
    ) -> Normalized:
        """
        Turn a parsed body into changes, as the rules want.

        Args:
            note: is told what each rule decided, one sentence each.
        Raises:
            UnreadablePayload, VerificationError: as the adapter raises them; `bad_map` when an expression of the file
                cannot be used on this body.
        """
        kept, why = self._heeded(payload, note)
        if not kept:
            return Normalized(ignored=why)
        if "sourceId" in self.map:
            read = Normalized(tuple(change for one in kept for change in self._mapped(one, connection, note)))
        elif not isinstance(payload, list):
            read = self._overlaid(source.normalize(payload, request, connection), payload, note)
        elif self.map:
            parts = [self._overlaid(source.normalize([one], request, connection), one, note) for one in kept]
            changes = tuple(change for part in parts for change in part.changes)
            read = Normalized(changes, parts[0].ignored if not changes else "", parts[0].lacks)
        else:
            read = source.normalize(kept, request, connection)
        changes = tuple(made for change in read.changes if (made := self.of_change(change, note)) is not None)
        ignored = read.ignored if changes or not read.changes else "the connection's rules leave this ticket out"
        return Normalized(changes, ignored, read.lacks)

    def of_change(self, change: Change, note: Callable[[str], None] = lambda _: None) -> Change | None:
        """
        Apply the rules that see only a ticket's fields: the status map, tags and statuses.

        Returns:
            None when the ticket is left out. A deletion never is: it may have been let in before.
        """
        if change.life in ("deleted", "purged"):
            return change
        status, tags = change.fields.get("status") or "", change.fields.get("tags")
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

    def _heeded(self, payload: Json, note: Callable[[str], None]) -> tuple[list[Json], str]:
        """Give the elements (a body that is no array is one) that the rules about bodies let through."""
        kept, why = [], "the array is empty"
        for one in payload if isinstance(payload, list) else [payload]:
            if reason := self._refused(one):
                why = reason
                note(reason)
            else:
                kept.append(one)
        return kept, why

    def _refused(self, body: Json) -> str:
        for name, wanted, places in (
            ("agents", self.ignore_agents, AGENTS),
            ("apps", self.ignore_apps, APPS),
        ):
            if wanted and (met := wanted.intersection(_said(places[self.source], body))):
                return f"ignore.{name}: the change was made by {', '.join(sorted(met))}"
        if self.ignore_when and _truth(_search(self.ignore_when, body)):
            return "ignore.when is true of the body"
        for name, wanted, places in (
            ("brands", self.only_brands, BRANDS),
            ("groups", self.only_groups, GROUPS),
        ):
            if wanted and (said := _said(places[self.source], body)) and not wanted.intersection(said):
                return f"only.{name}: the ticket's is {', '.join(said)}"
        if self.only_when and not _truth(_search(self.only_when, body)):
            return "only.when is not true of the body"
        return ""

    def _overlaid(self, read: Normalized, body: Json, note: Callable[[str], None]) -> Normalized:
        """Lay the map's fields over what the adapter read; a null of an expression leaves the adapter's value."""
        found = self._fields(body, note) if self.map else {}
        if not found:
            return read
        return Normalized(tuple(_with(change, found) for change in read.changes), read.ignored, read.lacks)

    def _fields(self, body: Json, note: Callable[[str], None]) -> dict[str, Json]:
        fields: dict[str, Json] = {}
        for name, expression in self.map.items():
            if name in ("sourceId", "items", "createdAt", "updatedAt", "deleted"):
                continue
            value = _search(expression, body)
            if value is None:
                continue
            if name.startswith("custom."):
                fields.setdefault("custom", {})[name.removeprefix("custom.")] = value
            else:
                fields[name] = _read(name, value)
            note(f"map: {name} = {expression}")
        return fields

    def _mapped(self, body: Json, connection: Connection, note: Callable[[str], None]) -> Iterable[Change]:
        """Read a body of any shape by the map alone."""
        items = _search(self.map["items"], body) if "items" in self.map else [body]
        if not isinstance(items, list):
            items = [items]
        if len(items) > ITEMS_MAX:
            raise UnreadablePayload("too_many_items", f"map.items gives {len(items)} items, more than {ITEMS_MAX}.")
        for item in items:
            ticket = identifier(_search(self.map["sourceId"], item))
            if ticket is None:
                why = f"map.sourceId ({self.map['sourceId']}) finds no id in the body."
                raise UnreadablePayload("no_ticket_id", why)
            gone = _truth(_search(self.map["deleted"], item)) if "deleted" in self.map else False
            fields = {} if gone else self._fields(item, note)
            yield Change(
                ticket=connection.prefix + ticket,
                connection=connection.name,
                fields=fields,
                updated_at_ms=_moment(_search(self.map.get("updatedAt", "updatedAt"), item)),
                created_at_ms=_moment(_search(self.map.get("createdAt", "createdAt"), item)),
                life="deleted" if gone else "",
                complete=all(fields.get(name) for name in ("title", "status", "email")),
            )


def _search(expression: str, body: Json) -> Json:
    try:
        return jmespath.search(expression, body)
    except JMESPathError as error:
        why = " ".join(str(error).split())
        raise UnreadablePayload("bad_map", f"{expression} cannot be used on this body: {why}") from error


def _truth(value: Json) -> bool:
    """Say whether a JMESPath value is true: not null, false, empty; 0 is true, as JMESPath has it."""
    return value not in (None, False, "", [], {})


def _said(expression: str, body: Json) -> list[str]:
    """Give the texts and numbers that an expression finds, as texts in lower case."""
    found = _search(expression, body) if isinstance(body, dict) else None
    return [str(one).lower() for one in found or () if isinstance(one, str | int) and not isinstance(one, bool)]


def _moment(value: Json) -> int | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10**14:
        return int(value if value >= _S_OR_MS else value * 1000)
    return instant_ms(value)


def _read(name: str, value: Json) -> Json:
    """Read a found value as the field needs it."""
    if name == "status":
        return word(value) or ""
    if name in ("email", "agentEmail"):
        return mail_address(value) or ""
    if name in ("tags", "domains"):
        return strings(value if isinstance(value, list) else [value]) or []
    if name == "timeSpent":
        return int(value) if isinstance(value, int | float) and value >= 0 else None
    if name == "custom":
        return value if isinstance(value, dict) else None
    return text(value) if name in _TEXTS else value


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
        only_tags=frozenset(only.get("tags", ())),
        only_statuses=_lower(only.get("statuses", ())),
        only_brands=_lower(only.get("brands", ())),
        only_groups=_lower(only.get("groups", ())),
        only_when=only.get("when", ""),
        ignore_agents=_lower(ignore.get("agents", ())),
        ignore_apps=_lower(ignore.get("apps", ())),
        ignore_tags=frozenset(ignore.get("tags", ())),
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
