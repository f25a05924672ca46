"""
What an issue of Jira is in Planhat, for webhooks and for what the REST API answers: both show the same `fields`.

A key that is absent is unknown (comment events carry a thin issue), a null is known to be empty. Comments, worklogs and
custom fields are never read, but for the Organizations of Jira Service Management, whose number differs per site.

Source: developer.atlassian.com/cloud/jira/platform/webhooks and rest/v3 (2026-01, documented); facts of Jira §2, §6.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.sources.adf import adf_to_text
from gateway.sources.reading import (
    MAX_SAFE_INTEGER,
    UNKNOWN,
    Unknown,
    identifier,
    known,
    line,
    mail_address,
    mapping,
    prose,
    strings,
    text,
    told,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json

CUSTOM: Final = "customfield_"
ORGANIZATION_KEYS: Final = frozenset(("id", "name", "uuid", "_links"))
"""What an organization may show. Wire: `"customfield_10002": [{"id": "7", "name": "Kestrel", "_links": {...}}]`."""

_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}-[0-9]{1,18}")
_SELF: Final = re.compile(r"https://([A-Za-z0-9][A-Za-z0-9.-]{0,252})(?::[0-9]{1,5})?/")
ATLASSIAN: Final = "api.atlassian.com"
"""Host of the `self` of apps: it names no site."""


def issue_fields(shown: Mapping[str, Json]) -> dict[str, Json]:
    """Give the Planhat fields that an issue's `fields` show."""
    reporter, assignee = mapping(shown.get("reporter")), mapping(shown.get("assignee"))
    agent = mail_address(assignee.get("emailAddress"))
    return known(
        {
            "title": told(shown, "summary", line),
            "description": _description(shown.get("description", UNKNOWN)),
            "tags": UNKNOWN if "labels" not in shown else strings(shown["labels"]) or [],
            "type": _named(shown, "issuetype") or UNKNOWN,
            "severity": _named(shown, "priority"),
            "product": _component(shown.get("components")),
            "status": _named(shown, "status") or UNKNOWN,  # an issue always has one
            "email": mail_address(reporter.get("emailAddress")) or UNKNOWN,  # on Cloud hidden, not empty
            "name": text(reporter.get("displayName")) or UNKNOWN,
            "agentEmail": agent or ("" if shown.get("assignee", UNKNOWN) is None else UNKNOWN),
            "timeSpent": _minutes(shown.get("timespent", UNKNOWN)),
        }
    )


def issue_refs(shown: Mapping[str, Json]) -> dict[str, str | None]:
    """Give the ids of reporter, assignee and organization; a null is nobody, an absent one is unknown."""
    found: dict[str, str | None] = {}
    for ref, name in (("requester_id", "reporter"), ("assignee_id", "assignee")):
        if account := identifier(mapping(shown.get(name)).get("accountId")):
            found[ref] = account
        elif name in shown and shown[name] is None:
            found[ref] = None
    if organization := _organization(shown):
        found["organization_id"] = organization
    return found


def issue_link(issue: Mapping[str, Json], site: str | None) -> dict[str, Json]:
    """
    Give the field `url`: the issue's page on the configured site, else on the one that `self` names.

    Args:
        site: a host, or the name before .atlassian.net; None when not configured.
    """
    key, host = issue.get("key"), issue_site(issue)
    if site:
        host = site if "." in site else f"{site}.atlassian.net"
    if not host or not isinstance(key, str) or not _KEY.fullmatch(key):
        return {}
    return {"url": f"https://{host}/browse/{key}"}


def issue_site(issue: Mapping[str, Json]) -> str | None:
    """Give the site that an issue's API address names, None when it names none; it is compared, never called."""
    found = _SELF.match(address) if isinstance(address := issue.get("self"), str) else None
    host = found[1].lower() if found else None
    return None if host == ATLASSIAN else host


def _named(shown: Mapping[str, Json], name: str) -> str | Unknown:
    """Give the name of a status, type or priority as a word; "" when the issue has none."""
    if name not in shown:
        return UNKNOWN
    value = shown[name]
    return word(value.get("name") if isinstance(value, dict) else value) or ""


def _component(value: Json) -> str | Unknown:
    """Give the first component; "" when the issue has none."""
    if not isinstance(value, list):
        return UNKNOWN
    return text(mapping(value[0]).get("name")) or "" if value else ""


def _minutes(value: Json | Unknown) -> int | Unknown | None:
    """Give whole minutes of Jira's seconds; nothing logged is known to be empty."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SAFE_INTEGER):
        return None if value is None else value // 60
    return UNKNOWN


def _description(value: Json | Unknown) -> str | Unknown:
    """Read a text (API version 2) or a document tree (version 3)."""
    if isinstance(value, dict):
        return adf_to_text(value)
    return value if isinstance(value, Unknown) else prose(value)


def _organization(shown: Mapping[str, Json]) -> str | None:
    """Give the first organization of the one custom field that holds some."""
    for name, value in shown.items():
        if name.startswith(CUSTOM) and isinstance(value, list) and value and all(map(_is_organization, value)):
            return identifier(value[0]["id"])
    return None


def _is_organization(value: Json) -> bool:
    return isinstance(value, dict) and {"id", "name"} <= value.keys() <= ORGANIZATION_KEYS
