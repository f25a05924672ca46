"""`web`: the process that takes webhooks in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gateway.settings import Settings


@click.command()
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on; the port is PORT.")  # noqa: S104
def web(host: str) -> None:
    """
    Take webhooks in until SIGTERM. Reads PORT, REDIS_URL, <SOURCE>_WEBHOOK_SECRET and the rest (see `check`).

    Exit codes: 0 after SIGTERM; 1 it could not listen; 2 settings are wrong.
    """
    from gateway.app import serve

    serve(_settings(), host=host)


def _settings() -> Settings:
    """Read the settings; a REDIS_URL that is not set is told of together with every other fault."""
    from gateway.errors import ConfigurationError
    from gateway.settings import from_env, from_process, require_redis

    settings: Settings | None = None
    faults: list[str] = []
    try:
        settings = from_process()
    except ConfigurationError as error:
        faults += error.faults
    try:
        require_redis(settings or from_env({"REDIS_URL": os.environ.get("REDIS_URL", "")}))
    except ConfigurationError as error:
        faults += error.faults
    if settings is None or faults:
        raise ConfigurationError(list(dict.fromkeys(faults)))
    return settings
