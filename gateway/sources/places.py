"""
Where the bodies of each source tell who made a change and where its ticket belongs, as JMESPath over the body.

A connection's rules (`gateway.rules`) ask here. A source without a row tells it nowhere: a configuration file that
asks for it is refused at boot and needs a `when` of its own. The texts and numbers that a row finds are compared as
lower-case text.

Source: the facts of each vendor and the samples of tests/samples; tests/test_rules.py shows each row at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_FRESHWORKS_ACTORS: Final = "[actor, data.actor][].[id, email, name]"
_FRESHWORKS_GROUPS: Final = (
    "[@, ticket, freshdesk_webhook, freshdesk_webhook.ticket, data.ticket]"
    "[].[group_id, group_name, ticket_group_id, ticket_group_name, group.name, ticket_group.name]"
)
_JIRA_PROJECT: Final = "[fields.project, issue.fields.project][].[key, id, name]"

AGENTS: Final[Mapping[str, str]] = {
    # `actor.id` is a bot's (`zd:answerBot`) in messaging; `current_user` stands in a trigger's template
    "zendesk": "[detail.actor_id, event.actor.id, current_user.id, current_user.email, current_user_id,"
    " current_user_email]",
    "freshdesk": _FRESHWORKS_ACTORS,
    "freshservice": _FRESHWORKS_ACTORS,
    # a comment's event has no `user`
    "jira_service_management": "[user, comment.updateAuthor || comment.author][].[accountId, emailAddress, name]",
    "github": "[sender.login, sender.id]",
    "linear": "[actor.id, actor.email]",
    "kustomer": "[data, data.data][].relationships.modifiedBy.data.id",
    "hubspot": "[sourceId]",  # `userId:70511`
    "zammad": "[ticket.updated_by, ticket.updated_by_id, ticket.updated_by.id, ticket.updated_by.login,"
    " ticket.updated_by.email]",
    "front": "[source.data, payload.source.data][].[id, email]",  # a teammate; inboxes are groups
    # what was done last stands last
    "intercom": "[data.item, data.item.ticket][].[conversation_parts.conversation_parts[-1].author,"
    " ticket_parts.ticket_parts[-1].author][][].[id, email]",
    "chatwoot": "[sender.email]",  # no ids: those of contacts and of agents are counted apart
    "salesforce": "notifications[].fields.LastModifiedById",
    "servicenow": "[sys_updated_by, sysUpdatedBy]",
}
"""Who made the change."""

APPS: Final[Mapping[str, str]] = {
    "hubspot": "[changeSource]",  # INTEGRATION, API; `appId` is our own subscription's
    "github": "[sender.login, comment.performed_via_github_app.id, comment.performed_via_github_app.slug]",
    "kustomer": "[client]",
    "linear": "[actor.id, actor.name, actor.type]",
    "front": "[source._meta.type, payload.source._meta.type]",  # api, rule, teammate
}
"""Which program made the change."""

BRANDS: Final[Mapping[str, str]] = {
    "zendesk": "[detail.brand_id, brand_id, brand.id, brand.name, brand, brand_name, ticket.brand_id, ticket.brand,"
    " ticket.brand.id, ticket.brand.name]",
    "kustomer": "[data, data.data][].relationships.brand.data.id",
}
"""The ticket's brand."""

GROUPS: Final[Mapping[str, str]] = {
    "zendesk": "[detail.group_id, group_id, group.id, group.name, group, group_name, ticket.group_id, ticket.group,"
    " ticket.group.id, ticket.group.name]",
    "freshdesk": _FRESHWORKS_GROUPS,
    "freshservice": _FRESHWORKS_GROUPS,
    "jira_service_management": _JIRA_PROJECT,
    "github": "[repository.full_name, repository.name]",
    "linear": "[data.team.key, data.team.name, data.team.id, data.teamId]",
    "kustomer": "[data, data.data][].attributes.assignedTeams",
    "zammad": "[ticket.group, ticket.group.name, ticket.group.id, ticket.group_id]",
    "zoho_desk": "[payload.departmentId]",
    "chatwoot": "[@, conversation][].[inbox.name, inbox.id, inbox_id, meta.team.name]",
    "front": "[source, payload.source][?_meta.type == 'inboxes'][].data[].[id, name]",
    "gorgias": "[@, ticket][].assignee_team.[id, name]",
    "help_scout": "[mailboxId, mailbox.id, mailbox.name]",
    "intercom": "[data.item, data.item.ticket][].team_assignee_id",
    "salesforce": "notifications[].fields.[RecordTypeId, OwnerId]",
}
"""The ticket's group, team, queue, inbox, project or repository."""
