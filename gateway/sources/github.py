"""
GitHub: issues of repositories, by a repository's, an organization's or a GitHub App's webhook.

An issue has no requester's address and no company: a rule has to give both, else its ticket ends in the dead letters.
Comments show the issue they belong to, which is read; their own text never is. Pull requests are no tickets.

Source: docs.github.com/webhooks (validating-webhook-deliveries, webhook-events-and-payloads, documented);
octokit/webhooks payload-examples (3a58428, 2026-06-22, recorded); facts of GitHub §1-§4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Normalized, Reply
from gateway.sources.ordinary import SECRET_MIN, Ordinary, check_body
from gateway.sources.reading import (
    UNKNOWN,
    identifier,
    instant_ms,
    known,
    mapping,
    names,
    prose,
    text,
    ticket_id,
    told,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Auth, Connection, Request, Source

SIGNATURE: Final = "x-hub-signature-256"
EVENT: Final = "x-github-event"
DELIVERY: Final = "x-github-delivery"

LIFE: Final[Mapping[str, Life]] = {"opened": "live", "deleted": "purged", "transferred": "purged"}
"""
What an action says of the issue's existence. A deleted issue cannot come back; a transferred one has another id in its
new repository, where it is `opened` once more.
"""


class GitHubSource(Ordinary):
    """The adapter; see the module."""

    name = "github"
    signed = "HMAC-SHA256"

    def handshake(self, request: Request, connection: Connection) -> Reply | None:
        """
        Answer the ping that follows the creation of a webhook, if it is signed: GitHub shows a wrong secret at once.

        Wire: `X-GitHub-Event: ping`, which nobody signs, so the body must be a ping's, too.
        """
        if request.header(EVENT) != "ping":
            return None
        try:
            if connection.secrets:  # `map try` has none and asks only what a request would be
                self.verify(request, connection, 0.0)
            payload = mapping(self.parse(request))
        except (VerificationError, UnreadablePayload):
            return None
        if "issue" in payload or not payload.keys() & {"zen", "hook_id"}:
            return None
        return Reply(200, b'{"status":"pong"}', {"content-type": "application/json"})

    def check_secret(self, secret: str, auth: Auth) -> str | None:
        """Administrators choose it, so it may be a phrase, as GitHub's own example is; a token may not."""
        if auth == "bearer":
            return super().check_secret(secret, auth)
        if len(secret) < SECRET_MIN:
            return f"the secret must have at least {SECRET_MIN} characters"
        if secret != secret.strip() or not secret.isprintable():
            return "the secret must be one line without blanks around it"
        return None

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:  # noqa: ARG002
        """
        Prove the signature over the raw body; no time is signed. The older SHA-1 `X-Hub-Signature` proves nothing here.

        Wire: `X-Hub-Signature-256: sha256=hex(HMAC-SHA256(secret as text, body))`, only sent when a secret is set.
        Raises:
            VerificationError: see `check_body`.
        """
        check_body(request, connection, SIGNATURE, algorithm="sha256", prefix="sha256=")

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Give the delivery's GUID, the same when somebody sends it once more."""
        return identifier(request.header(DELIVERY))

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn an event that shows an issue into a change, whatever the (unsigned) event header says.

        Raises:
            UnreadablePayload: `unknown_shape`, `no_ticket_id`, `bad_ticket_id`.
            VerificationError: `account_mismatch`, another installation, owner or repository.
        """
        if not isinstance(payload, dict):
            raise UnreadablePayload("unknown_shape", "The body is no JSON object: choose the content type JSON.")
        if connection.account_id and connection.account_id.lower() not in _accounts(payload):
            raise VerificationError("account_mismatch")
        issue = payload.get("issue")
        if issue is None:
            return Normalized(ignored="the event shows no issue")
        if not isinstance(issue, dict):
            raise UnreadablePayload("unknown_shape", "issue is no JSON object.")
        if issue.get("pull_request"):
            return Normalized(ignored="a pull request is no ticket")
        return Normalized((_change(issue, payload, connection),), lacks=("company",))


def _accounts(payload: Mapping[str, Json]) -> set[str | None]:
    """Give everything by which a connection may be told: the App's installation, the owner, the repository."""
    repository = mapping(payload.get("repository"))
    named = (mapping(repository.get("owner")).get("login"), repository.get("full_name"))
    lower = {name.lower() for name in named if isinstance(name, str)}
    return {identifier(mapping(payload.get("installation")).get("id")), *lower}


def _change(issue: Mapping[str, Json], payload: Mapping[str, Json], connection: Connection) -> Change:
    ticket = ticket_id(issue.get("id"), "issue.id")
    action = payload.get("action")
    # A comment's event has the same words: "deleted" is the comment, then.
    life: Life = LIFE.get(action, "") if isinstance(action, str) and "comment" not in payload else ""
    gone = life == "purged"
    login = identifier(mapping(issue.get("user")).get("login"))
    fields = {} if gone else _fields(issue, login, mapping(payload.get("repository")))
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields,
        refs={"requester_id": login} if login and not gone else {},
        updated_at_ms=instant_ms(issue.get("updated_at")),
        created_at_ms=instant_ms(issue.get("created_at")),
        life=life,
        creation=life == "live",
        complete={"title", "status"} <= fields.keys(),
        thin=not gone and not fields.keys() & {"title", "status"},
    )


def _fields(issue: Mapping[str, Json], login: str | None, repository: Mapping[str, Json]) -> dict[str, Json]:
    """Read an issue; what stands there as null is known to be empty."""
    fields: dict[str, Json] = {
        "title": told(issue, "title", text),
        "description": told(issue, "body", prose),
        "url": text(issue.get("html_url")) or UNKNOWN,
        "tags": names(issue["labels"]) if "labels" in issue else UNKNOWN,  # `label` beside it is only what changed
        "type": text(mapping(issue["type"]).get("name")) or "" if "type" in issue else UNKNOWN,
        "product": text(repository.get("full_name")) or UNKNOWN,
        "status": word(issue.get("state")) or UNKNOWN,
        "name": login or UNKNOWN,
    }
    return known(fields)


SOURCE: Final[Source] = GitHubSource()
