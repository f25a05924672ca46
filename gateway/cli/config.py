"""
`config`: check the settings, show what holds, print an example of the configuration file and its JSON Schema.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.check import finish, release_rows
from gateway.cli.frame import config_file, console, emit, json_option, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config.file import ConfigFile
    from gateway.settings import Settings

SECRET: Final = ("SECRET", "TOKEN", "PASSWORD", "KEY")
"""Endings of names whose values are never shown."""

TENANT_SETTINGS: Final = (
    ("url", "PLANHAT_API_URL", "https://api.planhat.com"),
    ("calls_per_minute", "PLANHAT_CALLS_PER_MINUTE", "150"),
    ("max_in_flight", "PLANHAT_MAX_IN_FLIGHT", "1"),
    ("history", "PLANHAT_HISTORY", "full"),
)
"""A destination's key in the file, its variable, what holds without; the far bank's, held equal by a test."""


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


@config.command("show", short_help="Show what holds: connections, destinations, settings; never a secret.")
@json_option
def show(*, as_json: bool) -> None:
    """
    Show connections and destinations as they hold, and every setting that differs from its default; never a secret.

    Exit codes: 0 shown; 2 a setting is wrong.
    """
    from gateway.settings import from_process

    said = shown(from_process(), config_file(), dict(os.environ))
    if as_json:
        emit(said)
        return
    screen = console()
    if said["connections"]:
        heads = ("route", "source", "destination", "prefix", "auth", "on delete", "secrets")
        rows = [[value for key, value in row.items() if key not in ("name", "rules")] for row in said["connections"]]
        table(heads, [[row[1], row[0], *row[2:]] for row in rows], whole=("route", "prefix"))
    else:
        screen.print("no connection, so every webhook is answered 404: set <SOURCE>_WEBHOOK_SECRET, or GATEWAY_CONFIG")
    for row in said["connections"]:
        if row["rules"] != "no":
            screen.print(f"rules of {row['name']}: {row['rules']}", soft_wrap=True)
    screen.print(f"destinations: {', '.join(said['destinations'])}")
    columns = ("destination", "url", "token", "calls a minute", "at once", "history")
    table(columns, [list(row.values()) for row in said["tenants"]], whole=("destination", "url"))
    if said["settings"]:
        table(("setting", "value"), list(said["settings"].items()))
    for warning in said["warnings"]:
        screen.print(f"warning: {warning}", style="yellow", soft_wrap=True)


def shown(settings: Settings, file: ConfigFile | None, environ: dict[str, str]) -> dict[str, Any]:
    """Give what `config show --json` prints."""
    from gateway.settings import FAR_BANK, SETTINGS

    rows = file.connections if file else {}

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
                "rules": ", ".join(_rules(rows.get(one.name, {}))) or "no",
            }
            for one in settings.connections
        ],
        "destinations": list(settings.destinations),
        "tenants": [_tenant(name, file, environ) for name in settings.destinations],
        "settings": {name: _masked(name, value) for name, value in ours.items()},
        "warnings": list(settings.warnings),
    }


def _rules(row: Mapping[str, Any]) -> Iterator[str]:
    """Name what a connection's table rules: `only.tags`, `map.product`, `status`."""
    for name in ("only", "ignore", "status", "map", "company"):
        inner = row.get(name, {})
        yield from [name] if inner and name == "status" else [f"{name}.{key}" for key in inner]
    if row.get("api"):
        yield "api"


def _tenant(name: str, file: ConfigFile | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Give where a destination sends and how fast: the file's word, else the variable's, else what holds without."""
    table = file.destinations.get(name, {}) if file else {}
    token = table.get("token_env", "PLANHAT_API_TOKEN")
    held = {
        key: str(table.get(key) or environ.get(variable, "").strip() or default)
        for key, variable, default in TENANT_SETTINGS
    }
    said = token if environ.get(token, "").strip() else f"{token} (not set)"
    return {"name": name, "url": held.pop("url").rstrip("/"), "token": said, **held}


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
