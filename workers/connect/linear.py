"""
Linear: one webhook for issues of all public teams; we choose the secret, Linear shows it.

Plan of calls, all POST graphql. connect: query webhooks (all pages) -> mutation webhookCreate or webhookUpdate.
disconnect: query webhooks -> mutation webhookDelete.

Errors come with 200 or 4xx as `errors[]`. A personal API key stands in Authorization as it is, an OAuth token as
Bearer.

Source: linear.app/developers/graphql and its public schema (Webhook, WebhookCreateInput, WebhookUpdateInput).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from workers.connect.access import needed
from workers.connect.base import (
    PAGES_MAX,
    Asked,
    Client,
    ConnectError,
    Report,
    Target,
    deleted,
    ours,
    rows,
    secret_to_use,
    stored,
    wanted,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from gateway.core.change import Json

VENDOR: Final = "Linear"
RESOURCES: Final = ["Issue"]
KEY: Final = "lin_api_"

LIST: Final = (
    "query Webhooks($after: String) { webhooks(first: 50, after: $after) { nodes { id label url enabled secret "
    "resourceTypes allPublicTeams team { id } } pageInfo { hasNextPage endCursor } } }"
)
CREATE: Final = (
    "mutation Create($input: WebhookCreateInput!) { webhookCreate(input: $input) { success webhook { id secret } } }"
)
UPDATE: Final = (
    "mutation Update($id: String!, $input: WebhookUpdateInput!) { webhookUpdate(id: $id, input: $input) { success } }"
)
DELETE: Final = "mutation Delete($id: String!) { webhookDelete(id: $id) { success } }"

WORDS: Final = {
    401: "Linear does not know the key: check LINEAR_API_TOKEN (Settings > Security & access > Personal API keys)",
    403: "The key may not manage webhooks: a workspace admin's is needed, or an OAuth token with the scope admin",
}


class Key(httpx.Auth):
    """Shows a personal API key as it is, any other token as Bearer."""

    def __init__(self, token: str) -> None:
        self._header = token if token.startswith(KEY) else f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the key into the request."""
        request.headers["Authorization"] = self._header
        yield request


def client(target: Target, asked: Asked, transport: httpx.AsyncBaseTransport | None = None) -> Client:
    """Open the API. Raises ConfigurationError without a key."""
    access = needed(target, "LINEAR_API_TOKEN")
    return Client(
        VENDOR,
        access.base_url,
        auth=Key(access.secret),
        words=WORDS,
        answers=(400,),
        hidden=(access.secret, target.secret),
        dry_run=asked.dry_run,
        transport=transport,
    )


async def connect(desk: Client, target: Target, asked: Asked) -> Report:
    """Make the webhook what it should be."""
    hook = await _ours(desk, target)
    shown = str(wanted(hook, "secret") or "")
    desk.hide(shown)
    secret = secret_to_use(target, asked, exists=hook is not None) or shown
    desk.hide(secret)
    report = Report("unchanged")
    if hook is None:
        report.outcome = "created"
        made: dict[str, Json] = {
            "label": target.name,
            "url": target.url,
            "resourceTypes": RESOURCES,
            "allPublicTeams": True,
            "enabled": True,
            "secret": secret,
        }
        await _mutate(desk, CREATE, "webhookCreate", {"input": made}, why="create the webhook")
    else:
        change: dict[str, Json] = {}
        if wanted(hook, "enabled") is not True:
            change["enabled"] = True
        if wanted(hook, "resourceTypes") != RESOURCES:
            change["resourceTypes"] = RESOURCES
        if secret != shown:
            change["secret"] = secret
        if change:
            report.outcome = "updated"
            variables: dict[str, Json] = {"id": wanted(hook, "id"), "input": change}
            await _mutate(desk, UPDATE, "webhookUpdate", variables, why=f"mend its {', '.join(change)}")
    stored(target, secret, report, vendor=VENDOR)
    report.notes.append("Issues of all public teams are sent; a private team needs a webhook made by hand.")
    return report


async def disconnect(desk: Client, target: Target, asked: Asked) -> Report:  # noqa: ARG001  the signature of all
    """Delete our webhook."""
    hook = await _ours(desk, target, strict=False)
    if hook is None:
        return Report("absent")
    variables: dict[str, Json] = {"id": wanted(hook, "id")}
    await _mutate(desk, DELETE, "webhookDelete", variables, why=f"delete the webhook {target.name!r}")
    return deleted(target)


async def _ours(desk: Client, target: Target, *, strict: bool = True) -> Json:
    """Find our webhook. Raises ConnectError as `ours`."""
    found: list[dict[str, Json]] = []
    after: Json = None
    for _ in range(PAGES_MAX):
        answer = _good(await desk.ask("graphql", {"query": LIST, "variables": {"after": after}}))
        found += rows(answer, VENDOR, "data", "webhooks", "nodes")
        after = wanted(answer, "data", "webhooks", "pageInfo", "endCursor")
        if wanted(answer, "data", "webhooks", "pageInfo", "hasNextPage") is not True or not after:
            break
    else:
        raise ConnectError("Linear's list of webhooks does not end.")
    return ours(found, target, VENDOR, url="url", name="label", strict=strict)


async def _mutate(desk: Client, query: str, name: str, variables: dict[str, Json], *, why: str) -> None:
    answer = await desk.write("POST", "graphql", {"query": query, "variables": variables}, why=why)
    if not desk.dry_run and wanted(_good(answer), "data", name, "success") is not True:
        raise ConnectError(f"Linear did not {why}, and does not say why: look under Settings > API > Webhooks.")


def _good(answer: Json) -> Json:
    """
    Give an answer that tells no error back.

    Raises:
        ConnectError: it tells one. Wire: `{"errors": [{"message", "extensions": {"code", "userPresentableMessage"}}]}`.
    """
    errors = wanted(answer, "errors")
    if not isinstance(errors, list) or not errors:
        return answer
    said = wanted(errors[0], "extensions", "userPresentableMessage") or wanted(errors[0], "message") or "no reason"
    code = str(wanted(errors[0], "extensions", "code") or "").upper()
    if "AUTHENTICATION" in code:
        raise ConnectError(f"{WORDS[401]}. It says: {said}")
    if "FORBIDDEN" in code:
        raise ConnectError(f"{WORDS[403]}. It says: {said}")
    raise ConnectError(f"Linear refuses: {str(said)[:300]}")
