"""
The far bank's half of the command line: what needs a token of Planhat or of a helpdesk.

Answers are one line of JSON on stdout, for `planhat-gateway` to render; sentences for people go to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """
    Run a command.

    Returns:
        0 done, 1 it failed or a fault was found. Wrong usage exits with 2 through argparse.
    Raises:
        ConfigurationError: a setting that the command needs is missing or wrong.
    """
    asked = _parser().parse_args(argv)
    if asked.command == "check":
        from workers.commands.check import check

        rows = asyncio.run(check(settings_only=asked.settings_only))
        answer(rows)
        return 1 if any(row["level"] == "fault" for row in rows) else 0
    if asked.command in ("connect", "disconnect"):
        from workers.commands import connect
        from workers.connect.base import Asked

        wishes = {name: getattr(asked, name) for name in Asked.__slots__ if hasattr(asked, name)}
        return asyncio.run(connect.run(asked.command, asked.name, Asked(**wishes)))
    from workers.commands import tickets

    if asked.action == "list":
        names = ("companyId", "email", "status", "search", "sort", "limit", "offset")
        return asyncio.run(tickets.list_({name: getattr(asked, name) for name in names}, asked.destination))
    return asyncio.run(tickets.delete(asked.ids, asked.destination))


def answer(data: Any) -> None:
    """Print the answer, one line of JSON."""
    sys.stdout.write(orjson.dumps(data).decode() + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers", description="The far bank's commands.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="settings, Planhat, helpdesk credentials")
    check.add_argument("--settings-only", action="store_true", help="reach out to nobody")
    tickets = commands.add_parser("tickets", help="Planhat's list and delete")
    actions = tickets.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list")
    listing.add_argument("--company-id", dest="companyId")
    listing.add_argument("--email")
    listing.add_argument("--status")
    listing.add_argument("--search")
    listing.add_argument("--sort")
    listing.add_argument("--limit", type=int, default=50)
    listing.add_argument("--offset", type=int, default=0)
    deleting = actions.add_parser("delete")
    deleting.add_argument("ids", nargs="+", metavar="_ID")
    for one in (listing, deleting):
        one.add_argument("--destination", help="of the configuration file; the first one when left out")
    making = commands.add_parser("connect", help="make a helpdesk's webhook")
    for option in ("--triggers", "--full", "--new-secret"):
        making.add_argument(option, action="store_true")
    making.add_argument("--jql")
    undoing = commands.add_parser("disconnect", help="take away what connect made")
    for one in (making, undoing):
        one.add_argument("name", metavar="SOURCE")
        one.add_argument("--dry-run", action="store_true", help="change nothing")
    for one in (check, listing, deleting, making, undoing):
        one.add_argument("--json", action="store_true", help="answers are always JSON")
    return parser
