"""`web`: the process that takes webhooks in."""

from __future__ import annotations

import click


@click.command()
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on; the port is PORT.")  # noqa: S104
def web(host: str) -> None:
    """
    Take webhooks in until SIGTERM. Reads PORT, REDIS_URL, <SOURCE>_WEBHOOK_SECRET and the rest (see .env.example).

    Exit codes: 0 after SIGTERM; 1 it could not listen; 2 settings are wrong.
    """
    from gateway.app import serve
    from gateway.settings import from_process

    serve(from_process(), host=host)
