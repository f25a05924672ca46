"""
What every command shares: JSON lines, tables, the bridge. What came from outside is shown without control characters.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence

    from rich.console import Console

    from gateway.config.file import ConfigFile
    from gateway.settings import StoreSettings
    from gateway.store.pending import Store

T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Any]")

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def json_option(command: F) -> F:
    """Add `--json`, which every command that prints a table has."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def emit(data: object) -> None:
    """Print one line of JSON."""
    sys.stdout.write(orjson.dumps(data, default=str).decode() + "\n")
    sys.stdout.flush()


def plain(value: object, limit: int = 2_000) -> str:
    """Give a value as text that cannot move a terminal's cursor; None as nothing."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    text = text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def console(*, stderr: bool = False) -> Console:
    """Give a terminal; a pipe gets 120 columns, so that tables are not cut for a script."""
    from rich.console import Console

    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 120
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False, markup=False)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    whole: Collection[str] = (),
) -> None:
    """
    Print a table for a person; cells are shown as they are, never read as markup.

    Args:
        whole: columns that are copied, and so are not broken into lines while others can be.
    """
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        title=title, title_justify="left", box=None, header_style="bold", pad_edge=False, show_header=any(columns)
    )
    for column in columns:
        drawn.add_column(column, overflow="fold", no_wrap=column in whole)
    for row in rows:
        drawn.add_row(*(Text(plain(cell)) for cell in row))
    console().print(drawn)


def instant(at_ms: int) -> str:
    """Write a Unix time (ms) as ISO 8601 in UTC, seconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """Write a length of time for a person: the two largest units."""
    left = int(seconds)
    for unit, size, smaller, small in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if left >= size:
            return f"{left // size} {unit} {left % size // small} {smaller}"
    return f"{left} s"


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous part."""
    return asyncio.run(work)


@contextlib.asynccontextmanager
async def open_store(settings: StoreSettings | None = None) -> AsyncIterator[Store]:
    """
    Open the bridge for one command, with the settings that lead there and no others.

    Raises:
        ConfigurationError: REDIS_URL is missing or wrong.
    """
    from gateway.errors import ConfigurationError
    from gateway.store.client import connect
    from gateway.store.pending import Store

    settings = settings or store_settings()
    if settings.redis_url is None:
        raise ConfigurationError(
            "REDIS_URL is not set: give the address of the Redis that the gateway uses, for example "
            "REDIS_URL=redis://localhost:6379/0."
        )
    redis = connect(settings.redis_url, tls_verify=settings.tls_verify, max_connections=1)
    try:
        yield Store(redis, destination_asked(), limits=settings.limits)
    finally:
        await redis.aclose()


def destination_asked() -> str:
    """
    Give the destination that the command line names with `--destination`, else the first one.

    Raises:
        Misuse: there is none of that name.
    """
    return destinations_asked()[0]


def destinations_asked() -> tuple[str, ...]:
    """Give the destination that the command line names with `--destination`, else all of them. Raises Misuse."""
    from gateway.cli import Misuse
    from gateway.connections import destinations_of

    context = click.get_current_context(silent=True)
    wanted = context.find_root().params.get("destination") if context else None
    known = destinations_of(config_file())
    if wanted is not None and wanted not in known:
        raise Misuse(f"There is no destination {wanted!r}: known are {', '.join(known)}.")
    return (wanted,) if wanted is not None else known


def config_file() -> ConfigFile | None:
    """
    Read the configuration file that GATEWAY_CONFIG names; None when it names none.

    Raises:
        ConfigurationError: it cannot be used.
    """
    import os

    from gateway.connections import file_from
    from gateway.reader import Reader

    read = Reader(os.environ)
    file = file_from(read)
    read.done()
    return file


def store_settings() -> StoreSettings:
    """
    Read only what leads to the bridge.

    Raises:
        ConfigurationError: one of those settings is wrong.
    """
    import os

    from gateway.reader import Reader
    from gateway.settings import store_from

    read = Reader(os.environ)
    found = store_from(read)
    read.done()
    return found


def ago(at_ms: int, now_ms: int | None = None) -> str:
    """Write how long ago a Unix time (ms) was."""
    now = time.time() * 1000 if now_ms is None else now_ms
    return span(max(0.0, now - at_ms) / 1000)
