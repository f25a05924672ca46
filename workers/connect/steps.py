"""
What a person must do where a helpdesk has no API for it, step by step, with our address in it.

Freshdesk and Freshservice make rules only in their pages; Intercom's and HubSpot's webhooks belong to an app, whose
pages alone set them. A secret that we make stands in the settings of the report only, never in a step.

Source: facts of Freshdesk §1, §4.2, §6; of Intercom §2, §3; of HubSpot §2, §3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from workers.connect.base import Asked, Report, Target, secret_to_use, stored

if TYPE_CHECKING:
    from gateway.core.change import Json

THIN: Final[dict[str, Json]] = {
    "freshdesk_webhook": {"ticket_id": "{{ticket.id}}", "triggered_event": "{{triggered_event}}"}
}
FULL: Final[dict[str, Json]] = {
    "freshdesk_webhook": {
        "ticket_id": "{{ticket.id}}",
        "triggered_event": "{{triggered_event}}",
        "ticket_subject": "{{ticket.subject}}",
        "ticket_description_text": "{{ticket.description_text}}",
        "ticket_status": "{{ticket.status}}",
        "ticket_priority": "{{ticket.priority}}",
        "ticket_type": "{{ticket.ticket_type}}",
        "ticket_tags": "{{ticket.tags}}",
        "ticket_url": "{{ticket.url}}",
        "ticket_contact_name": "{{ticket.contact.name}}",
        "ticket_contact_email": "{{ticket.contact.email}}",
        "ticket_company_domains": "{{ticket.company.domains}}",
        "ticket_agent_email": "{{ticket.agent.email}}",
    }
}
"""Bodies of Freshdesk's rules, held equal to those of gateway/sources/README.md by tests/connect/test_steps.py."""

SERVICE_THIN: Final[dict[str, Json]] = {
    "freshdesk_webhook": {"ticket_id": "{{ticket.id_numeric}}", "triggered_event": "{{triggered_event}}"}
}

TICKETS: Final = (
    "ticket.created, ticket.state.updated, ticket.attribute.updated, ticket.admin.assigned, ticket.team.assigned, "
    "ticket.admin.replied, ticket.contact.replied, ticket.contact.attached, ticket.contact.detached, ticket.closed"
)
CONVERSATIONS: Final = (
    "conversation.user.created, conversation.user.replied, conversation.admin.replied, conversation.admin.closed, "
    "conversation.admin.opened, conversation.admin.assigned, conversation.admin.snoozed, conversation.admin.unsnoozed, "
    "conversation.priority.updated, conversation.deleted"
)
PROPERTIES: Final = "subject, content, hs_pipeline_stage, hs_pipeline, hs_ticket_priority, hubspot_owner_id"


def freshdesk(target: Target, asked: Asked) -> Report:
    """Tell the two automation rules."""
    return _rules(
        target,
        asked,
        "In Freshdesk (plan Growth or higher): Admin > Workflows > Automations > Ticket Creation > New rule, called "
        f"{target.name!r}: when a ticket is created, for all tickets.",
        "A second rule of the same name under Ticket Updates: performed by anyone, when any of status, priority, type, "
        "agent, group, note or reply changes. Same action.",
        "Switch on 'execute all matching rules' on both tabs, else another rule may keep ours from running.",
        body=THIN if target.access else FULL,
    )


def freshservice(target: Target, asked: Asked) -> Report:
    """Tell the two workflows."""
    service: dict[str, Json] = orjson.loads(orjson.dumps(FULL).replace(b"{{ticket.id}}", b"{{ticket.id_numeric}}"))
    inner = service["freshdesk_webhook"]
    for name in ("name", "email"):
        del inner[f"ticket_contact_{name}"]
        inner[f"ticket_requester_{name}"] = f"{{{{ticket.requester.{name}}}}}"
    return _rules(
        target,
        asked,
        "In Freshservice: Admin > Automation & Productivity > Workflow Automator > New, called "
        f"{target.name!r}: event Ticket is raised.",
        "A second workflow: event Ticket is updated (status, priority, agent, group, department, a reply or note), by "
        "anybody. Same action.",
        "With several workspaces: make both in each, or globally.",
        body=SERVICE_THIN if target.access else service,
    )


def intercom(target: Target, asked: Asked) -> Report:  # noqa: ARG001  the signature of all
    """Tell what to set in the app."""
    report = Report("steps")
    report.steps += [
        "In Intercom's Developer Hub, your app: Configure > Webhooks, endpoint " + target.url,
        "Topics for tickets: " + TICKETS,
        "Topics for conversations (leave them out if only tickets count): " + CONVERSATIONS,
        f"Basic information > Client secret: store it as {target.secret_name} before you save the webhook.",
        "Send a test request there: 200 says that the secret is right, 401 that it is not.",
    ]
    report.notes.append("Intercom's API does not set an app's webhook.")
    return report


def hubspot(target: Target, asked: Asked) -> Report:  # noqa: ARG001  the signature of all
    """Tell what to set in the app."""
    report = Report("steps")
    report.steps += [
        "In HubSpot (a super admin): Settings > Integrations > Private apps, your app (or one of a developer project).",
        "Scopes: tickets, crm.objects.contacts.read, crm.objects.companies.read, crm.objects.owners.read.",
        "Webhooks: target URL " + target.url,
        "Subscriptions for Tickets: created, deleted, restored, merged, association changed.",
        f"And property changed, one subscription each, there is no 'any': {PROPERTIES}.",
        f"Store the app's client secret as {target.secret_name}, and keep PUBLIC_URL set: HubSpot signs the address.",
    ]
    report.notes.append("A private app's webhooks are set in its pages only; HubSpot caches them for up to 5 minutes.")
    return report


UNDO: Final = {
    "freshdesk": "In Freshdesk, Admin > Workflows > Automations: delete the rules {name!r} under Ticket Creation and "
    "Ticket Updates.",
    "freshservice": "In Freshservice, Workflow Automator: delete the workflows {name!r}.",
    "intercom": "In Intercom's Developer Hub, your app: Configure > Webhooks, untick the topics and remove {url}.",
    "hubspot": "In HubSpot, your app: Webhooks, delete the subscriptions and the target URL {url}.",
}
"""Source -> how to take it away by hand."""


def undo(target: Target) -> Report:
    """Tell how to take away what the steps made."""
    told = UNDO[target.source].format(name=target.name, url=target.url)
    return Report("steps", steps=[told, f"Then remove {target.secret_name}."])


def _rules(target: Target, asked: Asked, first: str, second: str, third: str, *, body: Json) -> Report:
    report = Report("steps")
    secret = secret_to_use(target, asked, exists=False)
    action = (
        f"Action Trigger Webhook: POST {target.url}, custom header 'X-Webhook-Secret: ' followed by the value of "
        f"{target.secret_name}, encoding JSON, content Advanced:\n"
        + orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()
    )
    report.steps += [first, action, second, third]
    stored(target, secret, report, vendor=target.source)
    report.notes.append("`connect` does not make these rules: this is what it would make.")
    if target.access is None:
        report.notes.append("Without API credentials bodies count by their arrival, and order is not certain.")
    return report
