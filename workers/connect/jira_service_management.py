"""
Jira Cloud: an administrator's webhook for issues, with a JQL filter if one is given; we choose the secret.

Plan of calls. connect: GET rest/webhooks/1.0/webhook -> POST there; when ours differs POST the new one, then DELETE the
old one, so that nothing is missed between. disconnect: GET -> DELETE.

Webhooks that an app registers by /rest/api/3/webhook are signed otherwise and not used. Data Center's set-up API tells
nothing of secrets in what is documented: there the steps are printed.

Source: developer.atlassian.com/cloud/jira/platform/webhooks (2026-01-28, documented), where the secret may be given
"through the REST API or the webhooks page"; its name there, `secret`, and the numeric end of `self` as id are from
public code. Jira never shows a secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import httpx

from workers.connect.access import needed
from workers.connect.base import (
    Asked,
    Client,
    ConnectError,
    Report,
    Target,
    delete,
    deleted,
    ours,
    rows,
    secret_to_use,
    stored,
    wanted,
)

if TYPE_CHECKING:
    from gateway.core.change import Json

VENDOR: Final = "Jira"
PATH: Final = "rest/webhooks/1.0/webhook"
EVENTS: Final = ["jira:issue_created", "jira:issue_updated", "jira:issue_deleted"]
FILTER: Final = "issue-related-events-section"

WORDS: Final = {
    400: "Jira does not take it: is the JQL right?",
    401: "Jira does not know these credentials: check JIRA_SERVICE_MANAGEMENT_API_EMAIL and _API_TOKEN",
    403: "These credentials may not manage webhooks: take an API token of a Jira administrator (global permission "
    "Administer Jira)",
    404: "There is no Jira at this address: check JIRA_SERVICE_MANAGEMENT_DOMAIN",
    409: "Jira has the same webhook already, perhaps switched off: switch it on under System > WebHooks, or run "
    "`disconnect` first",
}

_SELF: Final = re.compile(r"/([0-9]{1,20})/?$")


def client(target: Target, asked: Asked, transport: httpx.AsyncBaseTransport | None = None) -> Client:
    """Open the API. Raises ConfigurationError without credentials, ConnectError for Data Center."""
    upper = target.source.upper()
    access = needed(target, f"{upper}_DOMAIN", f"{upper}_API_EMAIL", f"{upper}_API_TOKEN")
    if not access.user:
        raise ConnectError(
            "Jira Data Center does not document how its API takes a webhook's secret: make the webhook by hand, see "
            f"gateway/sources/README.md, section Jira Service Management. Its URL is {target.url}, and any secret of "
            f"16 characters or more goes into both the webhook and {target.secret_name}."
        )
    return Client(
        VENDOR,
        access.base_url,
        auth=httpx.BasicAuth(access.user, access.secret),
        words=WORDS,
        hidden=(access.secret, target.secret),
        dry_run=asked.dry_run,
        transport=transport,
    )


async def connect(desk: Client, target: Target, asked: Asked) -> Report:
    """Make the webhook what it should be; without `jql` an existing filter stays."""
    hook = await _ours(desk, target)
    jql = asked.jql if asked.jql is not None else str(wanted(hook, "filters", FILTER) or "")
    if hook is not None and _same(hook, jql) and not asked.new_secret:
        report = Report("unchanged")
        stored(target, "", report, vendor=VENDOR)
    else:
        secret = secret_to_use(target, asked, exists=False)
        desk.hide(secret)
        body: dict[str, Json] = {
            "name": target.name,
            "url": target.url,
            "events": EVENTS,
            "filters": {FILTER: jql},
            "excludeBody": False,
            "secret": secret,
        }
        report = Report("created" if hook is None else "updated")
        await desk.write("POST", PATH, body, why="create the webhook")
        if hook is not None:
            await _delete(desk, hook, "delete the one that it takes the place of")
        stored(target, secret, report, vendor=VENDOR)
    if not jql:
        report.notes.append("Issues of every project are sent: give --jql 'project = DESK' to send fewer.")
    return report


async def disconnect(desk: Client, target: Target, asked: Asked) -> Report:  # noqa: ARG001  the signature of all
    """Delete our webhook."""
    hook = await _ours(desk, target, strict=False)
    if hook is None:
        return Report("absent")
    await _delete(desk, hook, f"delete the webhook {target.name!r}")
    return deleted(target)


async def _ours(desk: Client, target: Target, *, strict: bool = True) -> Json:
    """Find our webhook. Raises ConnectError as `ours`."""
    return ours(rows(await desk.read(PATH), VENDOR), target, VENDOR, url="url", name="name", strict=strict)


def _same(hook: Json, jql: str) -> bool:
    events = wanted(hook, "events")
    return (
        isinstance(events, list)
        and set(events) == set(EVENTS)
        and (wanted(hook, "filters", FILTER) or "") == jql
        and wanted(hook, "excludeBody") is not True
        and wanted(hook, "enabled") is not False
    )


async def _delete(desk: Client, hook: Json, why: str) -> None:
    """Delete a webhook by the number at the end of its `self`, which is not followed; gone already is fine."""
    found = _SELF.search(str(wanted(hook, "self") or ""))
    if found is None:
        raise ConnectError(f"Jira shows the webhook without its number: {why} by hand, under System > WebHooks.")
    await delete(desk, f"{PATH}/{found[1]}", why)
