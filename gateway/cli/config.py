"""
`config`: check the settings, show what holds, print an example of the configuration file and its JSON Schema.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.check import finish, release_rows
from gateway.cli.frame import console, emit, json_option, table

if TYPE_CHECKING:
    from gateway.settings import Settings

SECRET: Final = ("SECRET", "TOKEN", "PASSWORD", "KEY")
"""Endings of names whose values are never shown."""


@click.group()
def config() -> None:
    """Check the settings, show what holds, print an example of the configuration file."""


@config.command("check")
@json_option
def check(*, as_json: bool) -> None:
    """
    Read the settings of web and worker; reach out to nobody. For a platform's release phase.

    Exit codes: 0 no fault; 1 a fault was found; 2 wrong usage.
    """
    finish(release_rows(), as_json=as_json)


@config.command("show")
@json_option
def show(*, as_json: bool) -> None:
    """
    Show connections and destinations as they hold, and every setting that differs from its default; never a secret.

    Exit codes: 0 shown; 2 a setting is wrong.
    """
    from gateway.settings import from_process

    said = shown(from_process(), dict(os.environ))
    if as_json:
        emit(said)
        return
    screen = console()
    heads = ("connection", "source", "route", "destination", "prefix", "auth", "on delete", "secrets", "rules")
    table(heads, [list(row.values()) for row in said["connections"]])
    screen.print(f"destinations: {', '.join(said['destinations'])}")
    if said["settings"]:
        table(("setting", "value"), list(said["settings"].items()))
    for warning in said["warnings"]:
        screen.print(f"warning: {warning}", style="yellow", soft_wrap=True)


def shown(settings: Settings, environ: dict[str, str]) -> dict[str, Any]:
    """Give what `config show --json` prints."""
    from gateway.settings import FAR_BANK, SETTINGS

    known = {one.name for one in SETTINGS} | FAR_BANK
    endings = tuple(name.removeprefix("<SOURCE>") for name in known if "<" in name)
    ours = {name: value for name, value in sorted(environ.items()) if name in known or name.endswith(endings)}
    return {
        "connections": [
            {
                "name": one.name,
                "source": one.source,
                "route": f"/webhooks/{one.name}",
                "destination": one.destination,
                "prefix": one.prefix,
                "auth": one.auth,
                "on_delete": one.on_delete,
                "secrets": len(one.secrets),
                "rules": "yes" if one.rules else "no",
            }
            for one in settings.connections
        ],
        "destinations": list(settings.destinations),
        "settings": {name: _masked(name, value) for name, value in ours.items()},
        "warnings": list(settings.warnings),
    }


def _masked(name: str, value: str) -> str:
    if not value.strip():
        return ""
    if name == "REDIS_URL":
        head, at, tail = value.rpartition("@")
        return f"{head.partition('://')[0]}://...{at}{tail}" if at else value
    return "(set)" if name.endswith(SECRET) else value


@config.command("example")
@click.option("--schema", is_flag=True, help="The JSON Schema of the file instead, for editors.")
def example(*, schema: bool) -> None:
    """
    Print a configuration file with every key and what it means.

    Exit code: 0.
    """
    from gateway.config import schema as made

    if schema:
        emit(made.schema())
    else:
        click.echo(made.example(), nl=False)
