"""
`tickets`: Planhat's own list and delete, through the far bank, which alone knows the token.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any, Final

import click
import orjson

from gateway.cli import Failure, Misuse
from gateway.cli.frame import destination_asked, emit, json_option, plain, table
from gateway.cli.processes import environment, python

ANSWER_S: Final = 300
PLANHAT_ID: Final = re.compile(r"[0-9a-fA-F]{24}")
"""Planhat's own id of a ticket. Source: planhat.com/developers/api (objectId), documented."""


def far_bank(*arguments: str, answer_s: float = ANSWER_S) -> Any:
    """
    Run a command of the far bank and give its answer.

    Args:
        arguments: the command with its options, `--json` left out.
    Raises:
        Failure: with the far bank's own sentences and exit code.
    """
    try:
        ended = subprocess.run(  # noqa: S603  our own program
            [*python("workers"), *arguments, "--json"],
            env=environment(inherit=True),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=answer_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"`workers {arguments[0]}` did not answer within {answer_s:g} s.") from None
    said = ended.stderr.decode("utf-8", "replace").strip()
    try:
        answer = orjson.loads(ended.stdout)
    except ValueError:
        kind = Misuse if ended.returncode == Misuse.exit_code else Failure
        raise kind(said or f"`workers {arguments[0]}` ended with {ended.returncode}.") from None
    if ended.returncode and said:
        sys.stderr.write(said + "\n")
    return answer


@click.group("tickets")
def tickets() -> None:
    """
    List or delete tickets in Planhat. Reads PLANHAT_API_TOKEN, PLANHAT_API_URL and, where set, REDIS_URL (the quota).

    Exit codes: 0 done, or gone already; 1 Planhat refused; 2 wrong usage or settings.
    """


@tickets.command("list")
@click.option("--company-id", help="Planhat's id of a company.")
@click.option("--email", help="The requester's e-mail.")
@click.option("--status", "state", help="A status word.")
@click.option("--search", help="A text in the description.")
@click.option("--sort", help="A property; `-` in front turns the order round.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True, help="Leave out so many first.")
@json_option
def list_(  # noqa: PLR0917  one parameter for each documented filter
    company_id: str | None,
    email: str | None,
    state: str | None,
    search: str | None,
    sort: str | None,
    limit: int,
    offset: int,
    *,
    as_json: bool,
) -> None:
    """List tickets as Planhat has them."""
    asked = {"--company-id": company_id, "--email": email, "--status": state, "--search": search, "--sort": sort}
    options = [f"{name}={value}" for name, value in asked.items() if value is not None]
    options += ["--limit", str(limit), "--offset", str(offset), "--destination", destination_asked()]
    rows = far_bank("tickets", "list", *options)
    if as_json:
        emit(rows)
        return
    names = ("_id", "sourceId", "status", "email", "subject")
    table(names, [[row[name] for name in names] for row in rows], whole=("_id",))


@tickets.command("delete", short_help="Delete tickets by Planhat's own ids.")
@click.argument("idents", metavar="_ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def delete(idents: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    """Delete tickets by Planhat's own _ID (see `tickets list`); a sourceId is not enough for Planhat."""
    if wrong := [ident for ident in idents if not PLANHAT_ID.fullmatch(ident)]:
        raise Misuse(
            f"{', '.join(plain(repr(one)) for one in wrong)}: Planhat deletes by its own _id, 24 hex digits: see the "
            "column _id of `planhat-gateway tickets list`. Nothing was deleted."
        )
    if not yes:
        click.confirm(f"Delete {len(idents)} in Planhat?", abort=True, err=True)
    rows = far_bank("tickets", "delete", *idents, "--destination", destination_asked())
    if as_json:
        emit(rows)
    else:
        told = [(row["_id"], row["outcome"], row["detail"]) for row in rows]
        table(("_id", "came to", "detail"), told, whole=("_id",))
    if any(row["outcome"] not in ("done", "gone") for row in rows):
        raise click.exceptions.Exit(1)
