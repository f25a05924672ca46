"""
Zammad: a webhook and two triggers that call it; we choose the signature token, Zammad shows stars.

Plan of calls, all under api/v1/. connect: GET webhooks -> POST webhooks, or PUT webhooks/ID when it differs or to set
the token -> GET triggers -> POST or PUT each of two. disconnect: GET webhooks -> GET triggers -> DELETE our triggers ->
DELETE the webhook, which Zammad refuses while something uses it.

Source: docs.zammad.org api/webhook and api/trigger (2026-09), documented; permissions admin.webhook, admin.trigger.
`execution_condition_mode` is passed over by servers that do not know it (public code).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from workers.connect.access import needed
from workers.connect.base import (
    PAGES_MAX,
    UNKNOWN,
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
from workers.helpdesks.base import record_id

if TYPE_CHECKING:
    from collections.abc import Generator

    from gateway.core.change import Json

VENDOR: Final = "Zammad"
PAGE: Final = 100
TRIGGERS: Final = {"ticket created": "create", "ticket updated": "update"}
"""What a trigger's name says -> value of its condition `ticket.action`."""

WORDS: Final = {
    401: "Zammad does not know the token: check ZAMMAD_API_TOKEN, and that token access is on (System > API)",
    403: "The token may not do that: give it the permissions admin.webhook and admin.trigger",
    404: "There is no Zammad at this address: check ZAMMAD_DOMAIN",
    422: "Zammad does not take it",
}


class Token(httpx.Auth):
    """Shows an access token. Wire: `Authorization: Token token=...`."""

    def __init__(self, token: str) -> None:
        self._header = f"Token token={token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the token into the request."""
        request.headers["Authorization"] = self._header
        yield request


def client(target: Target, asked: Asked, transport: httpx.AsyncBaseTransport | None = None) -> Client:
    """Open the API. Raises ConfigurationError without a token."""
    access = needed(target, "ZAMMAD_DOMAIN", "ZAMMAD_API_TOKEN")
    return Client(
        VENDOR,
        f"{access.base_url}/api/v1",
        auth=Token(access.secret),
        words=WORDS,
        hidden=(access.secret, target.secret),
        dry_run=asked.dry_run,
        transport=transport,
    )


async def connect(desk: Client, target: Target, asked: Asked) -> Report:
    """Make webhook and triggers what they should be."""
    hook = await _ours(desk, target)
    secret = secret_to_use(target, asked, exists=hook is not None)
    desk.hide(secret)
    should: dict[str, Json] = {
        "name": target.name,
        "endpoint": target.url,
        "ssl_verify": True,
        "customized_payload": False,
        "active": True,
    }
    token: dict[str, Json] = {"signature_token": secret} if secret else {}
    report = Report("unchanged")
    if hook is None:
        report.outcome = "created"
        body: Json = {**should, **token, "note": "Made by planhat-gateway connect."}
        hook = await desk.write("POST", "webhooks", body, why="create the webhook")
    elif token or any(wanted(hook, name) != value for name, value in should.items()):
        report.outcome = "updated"
        why = "set the signature token, which Zammad does not show" if token else "mend the webhook"
        await desk.write("PUT", f"webhooks/{_id(hook)}", {**should, **token}, why=why)
    if _id(hook) == UNKNOWN and not asked.dry_run:
        raise ConnectError("Zammad made the webhook and did not name it: run this again, it goes on from there.")
    if await _put_triggers(desk, target, _id(hook)) and report.outcome == "unchanged":
        report.outcome = "updated"
    stored(target, secret, report, vendor=VENDOR)
    return report


async def disconnect(desk: Client, target: Target, asked: Asked) -> Report:  # noqa: ARG001  the signature of all
    """Take our triggers and our webhook away."""
    hook = await _ours(desk, target, strict=False)
    if hook is None:
        return Report("absent")
    using = [row for row in await _listed(desk, "triggers") if _calls(row) == _id(hook)]
    if foreign := [str(row.get("name")) for row in using if row.get("name") not in _names(target)]:
        raise ConnectError(
            f"Triggers that `connect` did not make use the webhook ({', '.join(foreign)}): take it out of them first. "
            "Nothing was deleted."
        )
    for row in using:
        await delete(desk, f"triggers/{_id(row)}", f"delete the trigger {row.get('name')!r}")
    await delete(desk, f"webhooks/{_id(hook)}", f"delete the webhook {target.name!r}")
    return deleted(target)


async def _ours(desk: Client, target: Target, *, strict: bool = True) -> Json:
    """Find our webhook. Raises ConnectError as `ours`."""
    return ours(await _listed(desk, "webhooks"), target, VENDOR, url="endpoint", name="name", strict=strict)


async def _listed(desk: Client, kind: str) -> list[dict[str, Json]]:
    """Read a whole list. A server that knows no pages gives all at once, again and again: what is known ends it."""
    found: dict[str, dict[str, Json]] = {}
    for page in range(1, PAGES_MAX + 1):
        listed = rows(await desk.read(kind, {"page": str(page), "per_page": str(PAGE)}), VENDOR)
        new = {_id(row): row for row in listed if _id(row) not in found}
        found.update(new)
        if len(listed) < PAGE or not new:
            return list(found.values())
    raise ConnectError(f"Zammad's list of {kind} does not end.")


def _names(target: Target) -> dict[str, str]:
    return {f"{target.name}: {event}": value for event, value in TRIGGERS.items()}


def _id(row: Json) -> str:
    return record_id(wanted(row, "id")) or UNKNOWN


def _calls(trigger: Json) -> str | None:
    return record_id(wanted(trigger, "perform", "notification.webhook", "webhook_id"))


async def _put_triggers(desk: Client, target: Target, ident: str) -> bool:
    """Make both triggers what they should be; say whether anything had to be done."""
    mine = {str(row.get("name")): row for row in await _listed(desk, "triggers") if _calls(row) == ident}
    changed = False
    for name, action in _names(target).items():
        should: dict[str, Json] = {
            "name": name,
            "condition": {"ticket.action": {"operator": "is", "value": action}},
            "perform": {"notification.webhook": {"webhook_id": int(ident) if ident.isdigit() else ident}},
            "disable_notification": True,
            "activator": "action",
            "execution_condition_mode": "always",
            "active": True,
        }
        row = mine.get(name)
        if row is None:
            await desk.write("POST", "triggers", should, why=f"create the trigger {name!r}")
        elif not _as_it_should(row, should):
            await desk.write("PUT", f"triggers/{_id(row)}", should, why=f"mend the trigger {name!r}")
        else:
            continue
        changed = True
    return changed


def _as_it_should(row: dict[str, Json], should: dict[str, Json]) -> bool:
    """Compare what says when it fires; ids may come back as text, and older servers lack some fields."""
    names = [name for name in should if name in row and name != "perform"]
    return all(row[name] == should[name] for name in names)
