"""
Jira Service Management: signed webhooks of an administrator, and automation rules that only show a token.

Both show an issue as the REST API writes it (jira_issue.py). A webhook says by `webhookEvent` what happened; a rule's
body is the administrator's, so it may say nothing but the issue.

Wire: `{"timestamp": ms, "webhookEvent": "jira:issue_updated", "issue": {"id", "self", "key", "fields"}, "changelog"}`.
Source: developer.atlassian.com/cloud/jira/platform/webhooks (2026-01-28, documented, vector recomputed); Atlassian's
page on the automation action "Send web request"; facts of Jira §1-§6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload
from gateway.sources.base import Normalized
from gateway.sources.jira_issue import issue_fields, issue_link, issue_refs, issue_site
from gateway.sources.ordinary import Ordinary, check_account, check_body, weakness
from gateway.sources.reading import epoch_us, identifier, instant_ms, mapping, ticket_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Auth, Connection, Request

SIGNATURE: Final = "x-hub-signature"
DELIVERY: Final = "x-atlassian-webhook-identifier"
ISSUE: Final = "jira:issue_"
LIFE: Final[Mapping[str, Life]] = {"jira:issue_created": "live", "jira:issue_deleted": "deleted"}
"""What an event says of the issue's existence. A move keeps the id; there is no undelete and no merge."""

LACKS: Final = ("company",)


class JiraSource(Ordinary):
    """The adapter; see the module."""

    name = "jira_service_management"
    signed = "HMAC-SHA256"

    def check_secret(self, secret: str, auth: Auth) -> str | None:
        """A person types Jira's secret, and Jira takes blanks within it."""
        if auth == "signature" and secret == secret.strip() and secret.isprintable():
            return weakness(secret.replace(" ", "_"))
        return weakness(secret)

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:  # noqa: ARG002
        """
        Prove the signature over the raw body; Jira signs no time.

        SHA-256 is fixed here: other senders use the same header with SHA-1. Rules of automation sign nothing: a
        connection for them has `auth = "bearer"`.

        Wire: `X-Hub-Signature: sha256=hex(HMAC-SHA256(secret as text, body))`.
        Raises:
            VerificationError: see `check_body`.
        """
        check_body(request, connection, SIGNATURE, algorithm="sha256", prefix="sha256=")

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Give the header that stays the same over retries. Not signed, so it counts together with the body only."""
        return identifier(request.header(DELIVERY))

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn an issue, and what is said to have happened to it, into its change.

        Raises:
            UnreadablePayload: `not_an_issue`, `no_ticket_id`, `bad_ticket_id`.
            VerificationError: `account_mismatch`, an issue of another site.
        """
        body = mapping(payload)
        named = body.get("webhookEvent")
        kind = named if isinstance(named, str) else ""
        issue = mapping(body.get("issue"))
        if not issue and named is None and "fields" in body:  # a rule may send the issue bare
            issue = body
        if not issue:
            if kind and not kind.startswith(ISSUE):
                return Normalized(ignored=f"{kind[:64]} says nothing of an issue's fields")
            raise UnreadablePayload("not_an_issue", 'Expected a JSON object with an issue: {"issue": {"id": ...}}.')
        check_account(connection, issue_site(issue))
        change = _change(kind, issue, body, connection)
        if change is None:
            return Normalized(ignored=f"{kind[:64]} says nothing of the issue's fields")
        return Normalized((change,), lacks=LACKS if kind else ())


def _change(kind: str, issue: Mapping[str, Json], body: Mapping[str, Json], connection: Connection) -> Change | None:
    """Give the change; None for an event of something else that names the issue without showing it."""
    ticket = ticket_id(issue.get("id"), "issue.id")
    shown = mapping(issue.get("fields"))
    life = LIFE.get(kind, "")
    gone = life == "deleted"
    fields = {} if gone else issue_fields(shown)
    refs = {} if gone else issue_refs(shown)
    if not (gone or fields or kind.startswith(ISSUE) or not kind):
        return None
    event_at_us = epoch_us(body.get("timestamp"), 1000)
    updated_at_ms = instant_ms(shown.get("updated"))
    # A comment's event may be 15 minutes late with what the issue was: without `updated` it only asks for a re-read.
    dated = not kind or kind.startswith(ISSUE)
    if event_at_us is not None and (gone or (dated and updated_at_ms is None)):  # `updated` is older than a deletion
        updated_at_ms = event_at_us // 1000
    whole = {"title", "status"} <= fields.keys() and ("email" in fields or "requester_id" in refs)
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields | issue_link(issue, connection.subdomain) if fields else {},
        refs=refs,
        updated_at_ms=updated_at_ms,
        event_at_us=event_at_us,
        created_at_ms=instant_ms(shown.get("created")),
        life=life,
        creation=kind == "jira:issue_created",
        complete=whole and "reporter" in shown,
        # Without the reporter nobody could be looked up: where that is possible, the whole issue is read.
        thin=not gone and not whole,
    )


SOURCE: Final = JiraSource()
