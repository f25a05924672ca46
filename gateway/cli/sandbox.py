"""`sandbox`: only the double of Planhat's ticket API."""

from __future__ import annotations

import os

import click

from gateway.cli.processes import environment, python


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Become the double of Planhat's ticket API (`--help` tells its options)."""
    command = [*python("workers"), "sandbox", *arguments]
    os.execve(command[0], command, environment(inherit=True))  # noqa: S606  our own program
