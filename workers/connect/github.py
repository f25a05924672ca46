"""
GitHub: a webhook of a repository or an organization, for issues and their comments; we choose the secret.

Plan of calls. connect: GET hooks (all pages) -> POST hooks; PATCH hooks/ID when events
differ (which drops a secret that is not given again); PATCH hooks/ID/config when the rest differs or to set the secret.
disconnect: GET hooks -> DELETE hooks/ID. All under repos/OWNER/REPO/ or orgs/OWNER/, as GITHUB_ACCOUNT_ID says.

GitHub calls every webhook `web`, so ours is recognised by its URL alone. It never shows a secret.

Source: docs.github.com/rest/repos/webhooks and rest/orgs/webhooks (API version 2022-11-28), documented.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.errors import ConfigurationError
from workers.connect.access import needed
from workers.connect.base import (
    PAGES_MAX,
    Asked,
    Client,
    ConnectError,
    Report,
    Target,
    delete,
    deleted,
    rows,
    secret_to_use,
    stored,
    wanted,
)
from workers.helpdesks.base import Bearer, record_id

if TYPE_CHECKING:
    import httpx

    from gateway.core.change import Json

VENDOR: Final = "GitHub"
PAGE: Final = 100
EVENTS: Final = ["issues", "issue_comment"]
HEADERS: Final = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}

WORDS: Final = {
    401: "GitHub does not know the token: check GITHUB_API_TOKEN",
    403: "The token may not manage webhooks: give it admin:repo_hook (an organization: admin:org_hook), or as a "
    "fine-grained one the permission Webhooks, read and write",
    404: "GitHub shows nothing there. Either GITHUB_ACCOUNT_ID is misspelt (owner/repository, or an organization; a "
    "person's account has no webhooks of its own), or the token may not manage its webhooks (admin:repo_hook or "
    "admin:org_hook; fine-grained: Webhooks, read and write)",
    422: "GitHub does not take it; a repository has at most 20 webhooks for one event",
}

_ACCOUNT: Final = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9-]{0,38}))(?:/([A-Za-z0-9._-]{1,100}))?")


def client(target: Target, asked: Asked, transport: httpx.AsyncBaseTransport | None = None) -> Client:
    """Open the API. Raises ConfigurationError without a token."""
    access = needed(target, "GITHUB_API_TOKEN")
    return Client(
        VENDOR,
        access.base_url,
        auth=Bearer(access.secret),
        words=WORDS,
        headers=HEADERS,
        hidden=(access.secret, target.secret),
        dry_run=asked.dry_run,
        transport=transport,
    )


async def connect(desk: Client, target: Target, asked: Asked) -> Report:
    """
    Make the webhook what it should be.

    Raises:
        ConnectError: events must change and we do not know the secret, which GitHub would then drop.
    """
    path = _path(target)
    hook = await _ours(desk, path, target)
    secret = secret_to_use(target, asked, exists=hook is not None)
    desk.hide(secret)
    config: dict[str, Json] = {"url": target.url, "content_type": "json", "insecure_ssl": "0"}
    if secret:
        config["secret"] = secret
    if hook is None:
        report = Report("created", notes=["GitHub sends a ping at once: see Settings > Webhooks > Recent deliveries."])
        body: Json = {"name": "web", "active": True, "events": EVENTS, "config": config}
        await desk.write("POST", path, body, why="create the webhook")
    elif not _listens(hook):
        if not secret:
            raise ConnectError(
                "The webhook is switched off or lacks events, and GitHub drops its secret when that is changed without "
                f"it: set {target.secret_name} for this command, or run it with --new-secret. Nothing was changed."
            )
        report = Report("updated")
        body = {"active": True, "events": EVENTS, "config": config}
        await desk.write("PATCH", f"{path}/{_id(hook)}", body, why="set events and secret")
    elif secret or any(str(wanted(hook, "config", name)) != value for name, value in config.items()):
        report = Report("updated")
        why = "set the secret, which GitHub does not show" if secret else "mend its configuration"
        await desk.write("PATCH", f"{path}/{_id(hook)}/config", config, why=why)
    else:
        report = Report("unchanged")
    stored(target, secret, report, vendor=VENDOR)
    return report


async def disconnect(desk: Client, target: Target, asked: Asked) -> Report:  # noqa: ARG001  the signature of all
    """Delete the webhook to our URL."""
    path = _path(target)
    hook = await _ours(desk, path, target)
    if hook is None:
        return Report("absent")
    await delete(desk, f"{path}/{_id(hook)}", "delete the webhook")
    return deleted(target)


def _path(target: Target) -> str:
    """
    Give the path of the webhooks.

    Raises:
        ConfigurationError: GITHUB_ACCOUNT_ID names neither a repository nor an organization.
    """
    found = _ACCOUNT.fullmatch(target.account)
    if found is None or target.account.isdigit() or found[2] in (".", ".."):
        raise ConfigurationError(
            "GITHUB_ACCOUNT_ID must name the repository (owner/repository) or the organization that gets the webhook. "
            "A GitHub App has its webhook in its own settings: set it there by hand."
        )
    return f"repos/{found[1]}/{found[2]}/hooks" if found[2] else f"orgs/{found[1]}/hooks"


async def _ours(desk: Client, path: str, target: Target) -> Json:
    """Find the webhook to our URL; pages are counted, no link is followed."""
    for page in range(1, PAGES_MAX + 1):
        found = rows(await desk.read(path, {"per_page": str(PAGE), "page": str(page)}), VENDOR)
        for row in found:
            if wanted(row, "config", "url") == target.url:
                return row
        if len(found) < PAGE:
            return None
    raise ConnectError("GitHub's list of webhooks does not end.")


def _listens(hook: Json) -> bool:
    events = wanted(hook, "events")
    return wanted(hook, "active") is True and isinstance(events, list) and set(events) == set(EVENTS)


def _id(hook: Json) -> str:
    if (found := record_id(wanted(hook, "id"))) is None or not found.isdigit():
        raise ConnectError("GitHub shows a webhook without an id.")
    return found
