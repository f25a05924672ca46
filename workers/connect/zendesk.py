"""
Zendesk: one webhook, subscribed to the ticket events or called by two triggers; Zendesk makes the secret.

Plan of calls. connect: GET webhooks (all pages) -> POST webhooks or PATCH webhooks/ID, nothing when it is as it should
be -> with triggers GET triggers (all pages), POST or PUT each of two -> GET webhooks/ID/signing_secret (POST resets it)
-> POST webhooks/test. disconnect: GET webhooks -> GET triggers -> DELETE our triggers -> DELETE the webhook.

Whether a webhook is for events or for triggers is fixed for its life.

Source: developer.zendesk.com api-reference/webhooks/webhooks-api/webhooks and ticketing/business-rules/triggers,
documented; facts of Zendesk §1, §2, §4.1. The exact shape of the test's request and answer is documented in words only:
a test that fails is told and fails nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx
import orjson

from workers.connect.access import needed
from workers.connect.base import (
    PAGES_MAX,
    UNKNOWN,
    Asked,
    Client,
    ConnectError,
    Refused,
    Report,
    Target,
    delete,
    deleted,
    ours,
    rows,
    wanted,
)

if TYPE_CHECKING:
    from gateway.core.change import Json

VENDOR: Final = "Zendesk"
PAGE: Final = "100"
FOR_TRIGGERS: Final = ["conditional_ticket_events"]

EVENTS: Final = [
    f"zen:event-type:ticket.{kind}"
    for kind in (
        *("created", "merged", "marked_as_spam", "soft_deleted", "undeleted", "permanently_deleted"),
        *("status_changed", "custom_status_changed", "priority_changed", "type_changed", "subject_changed"),
        *("description_changed", "tags_changed", "custom_field_changed", "external_id_changed", "form_changed"),
        *("brand_changed", "task_due_at_changed", "problem_link_changed"),
        *("requester_changed", "submitter_changed", "organization_changed", "agent_assignment_changed"),
        *("group_assignment_changed", "email_ccs_changed", "followers_changed"),
        *("comment_added", "comment_made_private", "comment_redacted"),
        *("attachment_linked_to_comment", "attachment_redacted_from_comment"),
        *("sla_policy_changed", "ola_policy_changed", "next_sla_breach_changed", "schedule_changed"),
        *("csat_requested", "csat_received"),
    )
]
"""Every event of the group Ticket: there is no "any change" event."""

THIN: Final[dict[str, Json]] = {
    "ticket_id": "{{ticket.id}}",
    "updated_at": "{{ticket.updated_at_with_timestamp}}",
}
FULL: Final[dict[str, Json]] = {
    "ticket_id": "{{ticket.id}}",
    "title": "{{ticket.title}}",
    "description": "{{ticket.description}}",
    "status": "{{ticket.status}}",
    "priority": "{{ticket.priority}}",
    "ticket_type": "{{ticket.ticket_type}}",
    "tags": "{{ticket.tags}}",
    "link": "{{ticket.link}}",
    "created_at": "{{ticket.created_at_with_timestamp}}",
    "updated_at": "{{ticket.updated_at_with_timestamp}}",
    "requester": {
        "id": "{{ticket.requester.id}}",
        "name": "{{ticket.requester.name}}",
        "email": "{{ticket.requester.email}}",
    },
    "organization": {"id": "{{ticket.organization.id}}", "external_id": "{{ticket.organization.external_id}}"},
    "assignee": {"id": "{{ticket.assignee.id}}", "email": "{{ticket.assignee.email}}"},
}
"""Bodies of triggers, held equal to those of gateway/sources/README.md by tests/connect/test_zendesk.py."""

TRIGGERS: Final = {"ticket created": "Create", "ticket updated": "Change"}
"""What a trigger's title says -> value of the condition `update_type`."""

PROBE: Final = {"type": "zen:event-type:planhat_gateway.connect_test"}
"""Body of the test: an event that says nothing of tickets, so it is answered `ignored` and leaves no trace."""

WORDS: Final = {
    400: "Zendesk does not take it. If it names an event, your account does not offer that one: use --triggers",
    401: "Zendesk does not know these credentials: check ZENDESK_API_EMAIL and ZENDESK_API_TOKEN, and that token "
    "access is on (Admin Center > Apps and integrations > APIs)",
    403: "These credentials may not do that: take an API token of an administrator. Trial accounts have at most 10 "
    "webhooks",
    404: "Zendesk has nothing there: check ZENDESK_SUBDOMAIN",
    422: "Zendesk does not take it as it is",
}


def client(target: Target, asked: Asked, transport: httpx.AsyncBaseTransport | None = None) -> Client:
    """Open the API. Raises ConfigurationError without credentials."""
    access = needed(target, "ZENDESK_SUBDOMAIN", "ZENDESK_API_EMAIL", "ZENDESK_API_TOKEN")
    return Client(
        VENDOR,
        access.base_url,
        auth=httpx.BasicAuth(f"{access.user}/token", access.secret),
        words=WORDS,
        hidden=(access.secret, target.secret),
        dry_run=asked.dry_run,
        transport=transport,
    )


async def connect(desk: Client, target: Target, asked: Asked) -> Report:
    """Make webhook and triggers what they should be, and fetch the secret."""
    subscriptions = FOR_TRIGGERS if asked.triggers else EVENTS
    webhook = await _ours(desk, target)
    report = Report("unchanged")
    if webhook is None:
        report.outcome = "created"
        body: Json = {"webhook": {"name": target.name, "endpoint": target.url, **_should(subscriptions)}}
        answer = await desk.write("POST", "webhooks", body, why="create the webhook")
        webhook = wanted(answer, "webhook")
    elif _for_triggers(webhook) != asked.triggers:
        kind, other = ("triggers", "without --triggers") if not asked.triggers else ("events", "with --triggers")
        raise ConnectError(
            f"The webhook {target.name!r} is one for {kind}, and Zendesk fixes that for its life: run `disconnect "
            f"{target.connection}` first, then `connect {target.connection}` {other}. The new one has another secret. "
            "Nothing was changed."
        )
    elif differing := _differing(webhook, subscriptions):
        report.outcome = "updated"
        path = f"webhooks/{_id(webhook)}"
        await desk.write("PATCH", path, {"webhook": differing}, why=f"mend its {', '.join(differing)}")
    ident = _id(webhook)
    if ident == UNKNOWN and not asked.dry_run:
        raise ConnectError("Zendesk made the webhook and did not name it: run this again, it goes on from there.")
    if asked.triggers and await _put_triggers(desk, target, asked, ident) and report.outcome == "unchanged":
        report.outcome = "updated"
    await _secret(desk, target, asked, ident, report)
    if not asked.dry_run:
        report.notes.append(await _test(desk, target, ident))
    if asked.triggers:
        if not asked.full:
            report.notes.append("The body only names the ticket: workers need these API credentials, too, to read it.")
        report.notes.append("Triggers do not tell of deleted tickets; events do.")
    return report


async def disconnect(desk: Client, target: Target, asked: Asked) -> Report:  # noqa: ARG001  the signature of all
    """Take our triggers and our webhook away."""
    webhook = await _ours(desk, target, strict=False)
    if webhook is None:
        return Report("absent")
    ident = _id(webhook)
    if _for_triggers(webhook):
        using = [row for row in await _listed(desk, "triggers") if _calls(row) == ident]
        titles = _titles(target)
        if foreign := [str(row.get("title")) for row in using if row.get("title") not in titles]:
            raise ConnectError(
                f"Triggers that `connect` did not make use the webhook ({', '.join(foreign)}): take it out of them "
                "first. Nothing was deleted."
            )
        for row in using:
            await delete(desk, f"triggers/{_id(row)}", f"delete the trigger {row.get('title')!r}")
    await delete(desk, f"webhooks/{ident}", f"delete the webhook {target.name!r}")
    return deleted(target)


async def _ours(desk: Client, target: Target, *, strict: bool = True) -> Json:
    """Find our webhook. Raises ConnectError as `ours`."""
    return ours(await _listed(desk, "webhooks"), target, VENDOR, url="endpoint", name="name", strict=strict)


async def _listed(desk: Client, kind: str) -> list[dict[str, Json]]:
    """Read a whole list, page by page."""
    found: list[dict[str, Json]] = []
    query = {"page[size]": PAGE}
    for _ in range(PAGES_MAX):
        answer = await desk.read(kind, query)
        found += rows(answer, VENDOR, kind)
        after = wanted(answer, "meta", "after_cursor")
        if wanted(answer, "meta", "has_more") is not True or not isinstance(after, str):
            return found
        query = {"page[size]": PAGE, "page[after]": after}
    raise ConnectError(f"Zendesk's list of {kind} does not end.")


def _should(subscriptions: list[str]) -> dict[str, Json]:
    return {"status": "active", "http_method": "POST", "request_format": "json", "subscriptions": list(subscriptions)}


def _differing(webhook: Json, subscriptions: list[str]) -> dict[str, Json]:
    """Give the fields of our webhook that are not what they should be; the order of subscriptions says nothing."""
    found: dict[str, Json] = {}
    for name, value in _should(subscriptions).items():
        has = wanted(webhook, name)
        same = has == value if not isinstance(value, list) else isinstance(has, list) and set(has) == set(value)
        if not same:
            found[name] = value
    return found


def _for_triggers(webhook: Json) -> bool:
    return bool(wanted(webhook, "subscriptions") == FOR_TRIGGERS)


def _id(row: Json) -> str:
    found = wanted(row, "id")
    return str(found) if isinstance(found, int | str) and found != "" else UNKNOWN


def _titles(target: Target) -> dict[str, str]:
    return {f"{target.name}: {event}": value for event, value in TRIGGERS.items()}


def _calls(trigger: Json) -> str | None:
    """Give the id of the webhook that a trigger calls. Wire: `"actions": [{"field": "notification_webhook", ...}]`."""
    actions = wanted(trigger, "actions")
    for action in actions if isinstance(actions, list) else ():
        value = wanted(action, "value")
        if wanted(action, "field") == "notification_webhook" and isinstance(value, list) and value:
            return str(value[0])
    return None


async def _put_triggers(desk: Client, target: Target, asked: Asked, ident: str) -> bool:
    """Make both triggers what they should be; say whether anything had to be done."""
    mine = {str(row.get("title")): row for row in await _listed(desk, "triggers") if _calls(row) == ident}
    changed = False
    for title, update_type in _titles(target).items():
        trigger: dict[str, Json] = {
            "title": title,
            "active": True,
            "conditions": {"all": [{"field": "update_type", "operator": "is", "value": update_type}], "any": []},
            "actions": [
                {
                    "field": "notification_webhook",
                    "value": [ident, orjson.dumps(FULL if asked.full else THIN, option=orjson.OPT_INDENT_2).decode()],
                }
            ],
        }
        row = mine.get(title)
        if row is None:
            await desk.write("POST", "triggers", {"trigger": trigger}, why=f"create the trigger {title!r}")
        elif any(row.get(name) != value for name, value in trigger.items()):
            await desk.write("PUT", f"triggers/{_id(row)}", {"trigger": trigger}, why=f"mend the trigger {title!r}")
        else:
            continue
        changed = True
    return changed


async def _secret(desk: Client, target: Target, asked: Asked, ident: str, report: Report) -> None:
    path = f"webhooks/{ident}/signing_secret"
    if asked.new_secret and report.outcome != "created":
        answer = await desk.write("POST", path, why="reset the signing secret")
    elif ident == UNKNOWN and asked.dry_run:
        return
    else:
        answer = await desk.read(path)
    secret = wanted(answer, "signing_secret", "secret")
    if asked.dry_run and not secret:
        return
    if not isinstance(secret, str) or not secret:
        raise ConnectError("Zendesk made the webhook and tells no secret: reveal it in Admin Center and store it.")
    desk.hide(secret)
    if secret == target.secret:
        report.notes.append(f"Its secret is the one that stands in {target.secret_name}.")
        return
    report.settings[target.secret_name] = secret
    before = ", before the old one with a comma between," if target.secret else ""
    report.notes.append(
        f"Deliveries are refused, and not repeated, until the secret is stored{before} and the web process has "
        "started with it."
    )


async def _test(desk: Client, target: Target, ident: str) -> str:
    """Let Zendesk send its test, signed with the webhook's own secret, and say what our answer to it means."""
    request: Json = {
        "endpoint": target.url,
        "http_method": "POST",
        "request_format": "json",
        "payload": orjson.dumps(PROBE).decode(),
    }
    try:
        answer = await desk.write(
            "POST", "webhooks/test", {"request": request}, {"webhook_id": ident}, why="let Zendesk send its test"
        )
    except Refused as error:
        return f"Zendesk did not send its test: {error} Press Test webhook there once the secret is stored."
    status = wanted(answer, "response", "status")
    if not isinstance(status, int):
        return "Zendesk did not tell what its test was answered: press Test webhook there once the secret is stored."
    if 200 <= status < 300:
        return "Zendesk's test arrived and its signature was right."
    if status == 401:
        return (
            "Zendesk's test arrived and was refused (401): the gateway does not have this secret yet. Store it, "
            "restart the web process, and run this again to see that all is well."
        )
    if status == 404:
        return (
            f"Zendesk's test arrived and {target.connection} is not known there (404): store the secret, restart the "
            "web process, and run this again to see that all is well."
        )
    return (
        f"Zendesk's test was answered {status}: see that {target.url} is reachable from the internet and leads to the "
        "gateway."
    )
