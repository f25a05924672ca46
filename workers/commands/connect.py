"""
Set a helpdesk up, or take that away again: makes webhooks and triggers, fetches or makes the secret.

The answer is one object: `source`, `connection`, `url`, `outcome` (created, updated, unchanged, deleted, absent,
steps), `dry_run`, `calls` (method, url, why, body; made, or in a dry run to be made), `settings` (to be stored),
`steps`, `notes`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from workers.commands import answer
from workers.connect import APIS, STEPS
from workers.connect.access import target_of
from workers.connect.base import Asked, ConnectError
from workers.connect.steps import undo

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from workers.connect.base import Report, Target

ONLY: dict[str, tuple[str, ...]] = {
    "--triggers": ("zendesk",),
    "--full": ("zendesk",),
    "--jql": ("jira_service_management",),
}
"""Option -> the sources that it means something for."""


async def run(command: str, name: str, asked: Asked) -> int:
    """Run `connect` or `disconnect` for a source or a connection's name and print what came of it."""
    try:
        answer(await done(command, name, asked, os.environ))
    except ConnectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def done(
    command: str,
    name: str,
    asked: Asked,
    environ: Mapping[str, str],
    transport: httpx.AsyncBaseTransport | None = None,
) -> dict[str, Any]:
    """
    Do it and give the answer.

    Args:
        transport: instead of the network, in tests.
    Raises:
        ConfigurationError: there is no such connection, or a setting is missing or wrong.
        ConnectError: the helpdesk refused, or something stands in the way; what was done before is told.
    """
    target = target_of(environ, name)
    source = target.source
    for option, given in (("--triggers", asked.triggers), ("--full", asked.full), ("--jql", asked.jql is not None)):
        if given and source not in ONLY[option]:
            raise ConnectError(f"{option} means nothing for {source}: leave it out.")
    if asked.full and not asked.triggers:
        raise ConnectError("--full goes with --triggers: events always bring the whole ticket.")
    if source in STEPS:
        return told(target, STEPS[source](target, asked) if command == "connect" else undo(target), [], asked)
    if source not in APIS:
        if command == "disconnect":
            raise ConnectError(
                f"`connect` cannot set up {source}, so there is nothing that `disconnect` could take away: remove the "
                f"webhook to {target.url} where you made it, then {target.secret_name} here."
            )
        raise ConnectError(
            f"`connect` cannot set up {source}: do it by hand as gateway/sources/README.md says in its section. "
            f"The URL to give is {target.url}, and the secret's variable is {target.secret_name}."
        )
    api = APIS[source]
    desk = api.client(target, asked, transport)
    try:
        act = api.connect if command == "connect" else api.disconnect
        report = await act(desk, target, asked)
    except ConnectError as error:
        if desk.calls and not asked.dry_run:
            made = "; ".join(str(call["why"]) for call in desk.calls)
            raise ConnectError(
                f"{error}\nDone before that: {made}. Run the command again once it is mended: it goes on from there."
            ) from error
        raise
    finally:
        await desk.aclose()
    return told(target, report, desk.calls, asked)


def told(target: Target, report: Report, calls: list[dict[str, Any]], asked: Asked) -> dict[str, Any]:
    """Give the answer; a dry run shows no secret, not even one that exists."""
    said = asdict(report)
    if asked.dry_run:
        said["settings"] = dict.fromkeys(report.settings, "<secret>")
    return {
        "source": target.source,
        "connection": target.connection,
        "url": target.url,
        "dry_run": asked.dry_run,
        "calls": calls,
        **said,
    }
