"""
`python -m workers`: a worker. With a command, the far bank's half of the command line.

    python -m workers                           sends what is pending, until SIGTERM
    python -m workers sandbox ...               the double of Planhat's ticket API
    python -m workers check --json              settings, Planhat, helpdesk credentials
    python -m workers tickets list|delete --json
    python -m workers connect|disconnect SOURCE --json

Exit codes: 0 done; 1 it failed or a fault was found; 2 wrong usage or wrong settings.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the worker or a command.

    Args:
        argv: the arguments after the program; the process' own when None.
    Returns:
        The exit code.
    """
    command, *rest = list(sys.argv[1:] if argv is None else argv) or ["run"]
    try:
        if command == "sandbox":
            from workers.planhat import sandbox  # noqa: PLC0415  each command imports what it needs

            return sandbox.main(rest)
        if command in ("check", "tickets", "connect", "disconnect"):
            from workers import commands  # noqa: PLC0415  the same

            return commands.main([command, *rest])
        if command == "run":
            return _worker()
    except ConfigurationError as error:
        sys.stderr.write("\n".join(error.faults) + "\n")
        return 2
    if command in ("-h", "--help"):
        sys.stdout.write(f"{__doc__}".lstrip())
        return 0
    sys.stderr.write(
        f"There is no command {command!r}: without one a worker runs; else sandbox, check, tickets, connect.\n"
    )
    return 2


def _worker() -> int:
    from gateway.telemetry import configure_logging  # noqa: PLC0415  the same
    from workers import settings as far  # noqa: PLC0415  the same
    from workers.main import main as run  # noqa: PLC0415  the same

    destinations = far.all_from_process()
    settings = far.require(*destinations)
    secrets = tuple(secret for one in destinations for secret in one.secrets())
    configure_logging(settings.log.level, settings.log.form, secrets)
    for warning in settings.warnings:
        logging.getLogger("planhat_gateway.worker").warning("setting", extra={"detail": warning})
    return asyncio.run(run(destinations))


if __name__ == "__main__":
    sys.exit(main())
