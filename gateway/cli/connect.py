"""
`connect` and `disconnect`: make a helpdesk's webhook through its API, or say how, and take it away again.

The far bank does it, because it alone knows API credentials; its answer is printed. The one secret that is printed, on
stdout, is the one that must be stored.
"""

from __future__ import annotations

import sys
from typing import Any, Final, Literal

import click

from gateway.cli import Misuse
from gateway.cli.frame import console, emit, json_option, plain
from gateway.cli.tickets import far_bank
from gateway.sources import SOURCES

Connects = Literal["yes", "prints steps", "no"]

_KNOWN: Final[dict[str, Connects]] = {
    "zendesk": "yes",
    "jira_service_management": "yes",
    "github": "yes",
    "linear": "yes",
    "zammad": "yes",
    "chatwoot": "yes",
    "freshdesk": "prints steps",
    "freshservice": "prints steps",
    "intercom": "prints steps",
    "hubspot": "prints steps",
}

CONNECTS: Final[dict[str, Connects]] = {source: _KNOWN.get(source, "no") for source in SOURCES}
"""Source -> whether `connect` sets it up. The far bank's registry is held equal by tests/connect/test_command.py."""

SAID: Final = {
    "created": "The webhook is made.",
    "updated": "The webhook was there and has been mended.",
    "unchanged": "The webhook is there already and as it should be: nothing was changed.",
    "deleted": "What `connect` made is taken away.",
    "absent": "There is nothing here that `connect` made: nothing was changed.",
    "steps": "This must be done by hand:",
}
WOULD: Final = {
    "created": "The webhook would be made.",
    "updated": "The webhook is there and would be mended.",
    "deleted": "What `connect` made would be taken away.",
}


@click.command("connect")
@click.argument("name", metavar="SOURCE")
@click.option("--triggers", is_flag=True, help="Zendesk: two triggers instead of ticket events.")
@click.option(
    "--full", is_flag=True, help="With --triggers: the whole ticket in the body, for a gateway without credentials."
)
@click.option("--jql", help="Jira: only these issues, such as 'project = DESK'; without it a filter stays as it is.")
@click.option("--new-secret", is_flag=True, help="Make another secret although the webhook has one.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show the calls that would change something.")
@json_option
def connect(name: str, *, jql: str | None, as_json: bool, **flags: bool) -> None:
    """
    Make the webhook of SOURCE (or of a connection in the configuration file) through its API.

    Reads PUBLIC_URL (our address) and the API credentials of an administrator, such as ZENDESK_SUBDOMAIN,
    ZENDESK_API_EMAIL, ZENDESK_API_TOKEN. A secret that stands in <SOURCE>_WEBHOOK_SECRET is given to the helpdesk, else
    one is made; it is printed to be stored. Safe to repeat: what is right is left alone, what somebody else made, too.

    By API: Zendesk, Jira, GitHub, Linear, Zammad, Chatwoot. Freshdesk, Freshservice, Intercom, HubSpot: prints the
    steps.

    Exit codes: 0 done, or the steps are printed; 1 the helpdesk refused or SOURCE cannot be set up; 2 wrong usage or
    settings.
    """
    options = [f"--{flag.replace('_', '-')}" for flag, given in flags.items() if given]
    _tell("connect", name, [*options, *(["--jql", jql] if jql is not None else [])], as_json=as_json)


@click.command("disconnect")
@click.argument("name", metavar="SOURCE")
@click.option("--dry-run", is_flag=True, help="Change nothing; show the calls that would change something.")
@json_option
def disconnect(name: str, *, dry_run: bool, as_json: bool) -> None:
    """
    Take away what `connect SOURCE` made: recognised by our URL and its name, nothing else is touched.

    Reads what `connect` reads. Safe to repeat.

    Exit codes: 0 done, or there was nothing; 1 the helpdesk refused; 2 wrong usage or settings.
    """
    _tell("disconnect", name, ["--dry-run"] if dry_run else [], as_json=as_json)


def _tell(command: str, name: str, options: list[str], *, as_json: bool) -> None:
    if name.startswith("-"):
        raise Misuse(f"{name} is no source: options stand behind it.")
    said = far_bank(command, name, *options)
    if as_json:
        emit(said)
        return
    screen = console()
    outcome = said["outcome"]
    words = WOULD if said["dry_run"] else SAID
    screen.print(f"{said['connection']}: {words.get(outcome, SAID[outcome])}", soft_wrap=True)
    for call in said["calls"]:
        screen.print(plain(f"  {call['method']} {call['url']}  ({call['why']})"), soft_wrap=True)
        if said["dry_run"] and call["body"] is not None:
            screen.print(plain(f"    {plain(call['body'])}"), soft_wrap=True)
    for number, step in enumerate(said["steps"], 1):
        screen.print(f"  {number}. {_indented(step)}", soft_wrap=True)
    for note in said["notes"]:
        screen.print(f"  {plain(note)}", soft_wrap=True)
    if said["settings"]:
        screen.print("\nStore in the settings of web:\n", soft_wrap=True)
        for variable, value in said["settings"].items():
            sys.stdout.write(f"{variable}={value}\n")
        sys.stdout.flush()


def _indented(step: Any) -> str:
    return "\n     ".join(plain(step).splitlines())
