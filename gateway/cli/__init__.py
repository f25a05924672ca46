"""
The operator's hand: `planhat-gateway COMMAND`, the same as `python -m gateway COMMAND`.

Only click is imported here. A command's module, and with it rich, redis or httpx, is imported when the command runs, so
that `--help` stays quick. Commands that need the far bank start `python -m workers COMMAND --json` and render its
answer: this package never imports `workers`.

    frame.py       errors, JSON lines, tables        processes.py  children that never outlive us
    embedded.py    the Redis of `demo` and `up`      senders.py    helpdesks' side: sign and post
    one module per family of commands               demo*.py      the demonstration
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

from gateway.errors import ConfigurationError, GatewayError

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("gateway.cli.demo:demo", "See a webhook become a ticket in Planhat, in a few seconds."),
    "up": ("gateway.cli.up:up", "Run everything in this terminal, on a Redis of its own."),
    "check": ("gateway.cli.check:check", "Look at settings, Redis, Planhat and helpdesks; name what is wrong."),
    "status": ("gateway.cli.status:status", "Count what waits, what is parked, what is dead."),
    "dead": ("gateway.cli.dead:dead", "List, show, replay, discard or export what could not be sent or read."),
    "map": ("gateway.cli.mapping:map_", "Show what a webhook body becomes; sends nothing."),
    "send-sample": ("gateway.cli.samples:send_sample", "Sign a sample webhook and post it to a gateway."),
    "connect": ("gateway.cli.connect:connect", "Make the webhook in the helpdesk, or say how; print its secret."),
    "disconnect": ("gateway.cli.connect:disconnect", "Take away what `connect` made."),
    "tickets": ("gateway.cli.tickets:tickets", "List or delete tickets in Planhat."),
    "forget": ("gateway.cli.forget:forget", "Erase a person from everything that Redis holds."),
    "pause": ("gateway.cli.status:pause", "Stop sending to Planhat; webhooks are still taken in."),
    "resume": ("gateway.cli.status:resume", "Send again after `pause` or after a stop."),
    "sandbox": ("gateway.cli.sandbox:sandbox", "Run only the double of Planhat's ticket API."),
    "web": ("gateway.cli.web:web", "Take webhooks in: the web process."),
    "config": ("gateway.cli.config:config", "Check or show the settings; print an example of the configuration file."),
}
"""Command -> where it stands and its line in `--help`, so that `--help` need not import it."""

EPILOG: Final = """\
`python -m workers` runs a worker, the process that sends; `up` starts one.

Exit codes: 0 done; 1 it failed or a fault was found; 2 wrong usage or wrong settings.
"""


class Failure(click.ClickException):
    """It failed: one clear sentence and what to do. Exit code 1."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        """Write the sentences to stderr, without a usage line that would hide them."""
        click.echo(self.message, file=file, err=True)


class Misuse(Failure):
    """Usage or settings are wrong. Exit code 2."""

    exit_code = 2


class Commands(click.Group):
    """The commands of `COMMANDS`, imported when they run; errors of the project become sentences and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Give the names in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101  the table above is ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            raise Misuse("\n".join(error.faults)) from error
        except GatewayError as error:
            raise Failure(_sentence(error)) from error


def _sentence(error: GatewayError) -> str:
    kind = type(error).__name__
    if kind == "StoreUnavailable":
        return f"Redis cannot be used ({error}): see that it runs and that REDIS_URL names it, then try again."
    if kind == "PendingFull":
        return f"The bridge takes nothing more in (its cap {error} is reached): let workers empty it, then try again."
    return f"{kind}: {error}" if str(error) else kind


@click.group(
    cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="planhat-gateway", prog_name="planhat-gateway")
@click.option("--destination", metavar="NAME", help="A Planhat tenant of the configuration file; else the first.")
def cli(destination: str | None) -> None:
    """
    Keep Planhat's tickets equal to the helpdesk's.

    Begin with `planhat-gateway demo`: it needs no account, no Redis and no settings.
    """


def main() -> None:
    """Run the command line of this process."""
    cli(prog_name="planhat-gateway")
