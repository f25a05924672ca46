"""
Chatwoot: a webhook of the account; Chatwoot makes the secret and shows it to administrators (since 4.11.2).

Plan of calls, all under api/v1/accounts/ACCOUNT/. connect: GET webhooks -> POST webhooks or PATCH webhooks/ID -> GET
webhooks, which shows the secret. disconnect: GET webhooks -> DELETE webhooks/ID.

Older servers know neither names nor secrets: there a row has no `name`, the URL alone says that it is ours, and nothing
is signed.

Source: chatwoot/chatwoot swagger and app/controllers/api/v1/accounts/webhooks_controller.rb; facts of Chatwoot §1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from gateway.errors import ConfigurationError
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
    wanted,
)
from workers.helpdesks.base import record_id

if TYPE_CHECKING:
    from collections.abc import Generator

    from gateway.core.change import Json

VENDOR: Final = "Chatwoot"
EVENTS: Final = ["conversation_created", "conversation_status_changed", "conversation_updated", "message_created"]

WORDS: Final = {
    401: "Chatwoot does not know the token, or it is no administrator's: check CHATWOOT_API_TOKEN (Profile settings > "
    "Access token) and CHATWOOT_ACCOUNT_ID",
    403: "The token may not do that: take the access token of an administrator of the account",
    404: "There is no such account at this address: check CHATWOOT_DOMAIN and CHATWOOT_ACCOUNT_ID",
    422: "Chatwoot does not take it",
}


class Token(httpx.Auth):
    """Shows an access token. Wire: `api_access_token`."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the token into the request."""
        request.headers["api_access_token"] = self._token
        yield request


def client(target: Target, asked: Asked, transport: httpx.AsyncBaseTransport | None = None) -> Client:
    """Open the API. Raises ConfigurationError without a token or the account's number."""
    access = needed(target, "CHATWOOT_DOMAIN", "CHATWOOT_ACCOUNT_ID", "CHATWOOT_API_TOKEN")
    if not (target.account.isascii() and target.account.isdigit()):
        raise ConfigurationError(
            "CHATWOOT_ACCOUNT_ID must be the account's number: it stands in the address, .../app/accounts/2/..."
        )
    return Client(
        VENDOR,
        f"{access.base_url}/api/v1/accounts/{target.account}",
        auth=Token(access.secret),
        words=WORDS,
        hidden=(access.secret, target.secret),
        dry_run=asked.dry_run,
        transport=transport,
    )


async def connect(desk: Client, target: Target, asked: Asked) -> Report:
    """
    Make the webhook what it should be and read its secret.

    Raises:
        ConnectError: another secret is asked for, which Chatwoot's API cannot make.
    """
    if asked.new_secret:
        raise ConnectError(
            f"Chatwoot makes the secret with the webhook: for another one run `disconnect {target.connection}`, then "
            "`connect` again. Nothing was changed."
        )
    hook = await _ours(desk, target)
    report = Report("unchanged")
    if hook is None:
        report.outcome = "created"
        body: Json = {"url": target.url, "name": target.name, "subscriptions": EVENTS}
        await desk.write("POST", "webhooks", body, why="create the webhook")
        if desk.dry_run:
            return report
        hook = await _ours(desk, target)
    elif not isinstance(listens := wanted(hook, "subscriptions"), list) or set(listens) != set(EVENTS):
        report.outcome = "updated"
        change: Json = {"name": target.name, "subscriptions": EVENTS}
        await desk.write("PATCH", f"webhooks/{_id(hook)}", change, why="mend its subscriptions")
    secret = wanted(hook, "secret")
    if not isinstance(secret, str) or not secret:
        report.steps += [
            f"From 4.11.2 on, Settings > Integrations > Webhooks shows the secret: store it as {target.secret_name}.",
            "An older Chatwoot signs nothing: update it, or make a webhook by hand with a secret in its URL.",
        ]
        report.notes.append("This Chatwoot's API shows no secret.")
        return report
    desk.hide(secret)
    if secret == target.secret:
        report.notes.append(f"Its secret is the one that stands in {target.secret_name}.")
    else:
        report.settings[target.secret_name] = secret
        report.notes.append(
            "Deliveries are refused, and never repeated, until the secret is stored and the web process has started "
            "with it."
        )
    return report


async def disconnect(desk: Client, target: Target, asked: Asked) -> Report:  # noqa: ARG001  the signature of all
    """Delete our webhook."""
    hook = await _ours(desk, target, strict=False)
    if hook is None:
        return Report("absent")
    await delete(desk, f"webhooks/{_id(hook)}", f"delete the webhook {target.name!r}")
    return deleted(target)


async def _ours(desk: Client, target: Target, *, strict: bool = True) -> Json:
    """Find our webhook; the list has no pages. Raises ConnectError as `ours`."""
    listed = rows(await desk.read("webhooks"), VENDOR, "payload", "webhooks")
    return ours(listed, target, VENDOR, url="url", name="name", strict=strict, nameless=True)


def _id(hook: Json) -> str:
    if (found := record_id(wanted(hook, "id"))) is None or not found.isdigit():
        raise ConnectError("Chatwoot shows a webhook without an id.")
    return found
