"""
`check`: settings, Redis, Planhat, helpdesks, one line each.

It reads and never changes; of Redis only INFO, because managed servers refuse CONFIG.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import click

from gateway.cli import Failure
from gateway.cli.frame import console, emit, json_option, plain, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.settings import Settings, StoreSettings
    from gateway.sources.base import Connection
    from gateway.store.pending import Store

Level = Literal["ok", "warning", "fault"]
STYLES: Final[dict[str, str]] = {"ok": "green", "warning": "yellow", "fault": "bold red"}

REDIS_FIXED: Final = ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 2, 2))
VALKEY_FIXED: Final = ((7, 2, 11), (8, 0, 6), (8, 1, 4))
"""First versions of each line without CVE-2025-49844 (Valkey's are second-hand)."""


class Row(NamedTuple):
    """One line of `check`."""

    level: Level
    name: str
    sentence: str


@click.command()
@click.option("--release", is_flag=True, help="Only settings, as a platform's release phase needs it.")
@json_option
def check(*, release: bool, as_json: bool) -> None:
    """
    Look at the settings of web and worker, at Redis, at Planhat's token and at the helpdesks' credentials.

    Faults must be mended; warnings are weaknesses that you may know of.

    Exit codes: 0 no fault; 1 a fault was found; 2 wrong usage.
    """
    finish(release_rows() if release else all_rows(), as_json=as_json)


def finish(rows: list[Row], *, as_json: bool) -> None:
    """Print rows; exit code 1 when one is a fault."""
    if as_json:
        emit([row._asdict() for row in rows])
    else:
        _show(rows)
    if any(row.level == "fault" for row in rows):
        raise click.exceptions.Exit(1)


def _show(rows: Iterable[Row]) -> None:
    """Print a line for each row: whole for a script, on a terminal broken at its width under its own column."""
    from rich.table import Table
    from rich.text import Text

    screen = console()
    drawn = Table.grid(padding=(0, 1, 0, 0))
    for row in rows:
        level, sentence = (f"{row.level:7}", STYLES[row.level]), plain(row.sentence)
        if sys.stdout.isatty():
            drawn.add_row(Text(*level), Text(f"{row.name:18}"), Text(sentence, overflow="fold"))
        else:
            screen.print(Text.assemble(level, f" {row.name:18} ", sentence), soft_wrap=True)
    if drawn.row_count:
        screen.print(drawn)


def all_rows() -> list[Row]:
    """Look at everything."""
    rows, settings = settings_rows(os.environ)
    store = settings.store if settings else _store_or_none()
    if store is not None and store.redis_url:
        rows += run(redis_rows(store))
    elif store is not None:
        rows.append(Row("fault", "redis", "REDIS_URL is not set: give the address of a Redis >= 7 or Valkey."))
    return _without_repeats(rows + far_rows(settings.connections if settings else ()))


def release_rows() -> list[Row]:
    """Look at the settings of both banks, and at what both processes cannot start without."""
    rows, settings = settings_rows(os.environ)
    store = settings.store if settings else _store_or_none()
    if store is not None and not store.redis_url:
        rows.append(Row("fault", "redis", "REDIS_URL is not set: give the address of a Redis >= 7 or Valkey."))
    far = _far("settings")
    return _without_repeats(rows + far)


def _without_repeats(rows: Iterable[Row]) -> list[Row]:
    """Leave out what both banks say in the same words, or what only the name tells apart."""
    seen: set[str] = set()
    kept = []
    for row in rows:
        about = "REDIS_URL is not set" if row.sentence.startswith("REDIS_URL is not set") else row.sentence
        if about not in seen:
            seen.add(about)
            kept.append(row)
    return kept


def settings_rows(environ: Mapping[str, str]) -> tuple[list[Row], Settings | None]:
    """Read the gateway's settings: every fault and warning, and the settings when there is no fault."""
    from gateway.errors import ConfigurationError
    from gateway.settings import from_env

    try:
        settings = from_env(environ)
    except ConfigurationError as error:
        return [Row("fault", "gateway settings", fault) for fault in error.faults], None
    rows = [Row("warning", "gateway settings", warning) for warning in settings.warnings]
    if not rows:
        rows.append(Row("ok", "gateway settings", "every setting of the gateway can be used"))
    if settings.connections:
        names = ", ".join(f"{one.name} ({one.auth})" for one in settings.connections)
        rows.append(Row("ok", "connections", f"webhooks are taken for {names}"))
    else:
        sentence = (
            "none is configured, so every webhook is answered 404: set <SOURCE>_WEBHOOK_SECRET, for example "
            "ZENDESK_WEBHOOK_SECRET"
        )
        rows.append(Row("warning", "connections", sentence))
    return rows, settings


def _store_or_none() -> StoreSettings | None:
    """Give the way to Redis although other settings are wrong."""
    from gateway.reader import Reader
    from gateway.settings import store_from

    read = Reader(os.environ)
    store = store_from(read)
    return None if read.faults else store


async def redis_rows(settings: StoreSettings) -> list[Row]:
    """Ask Redis what it is and how it keeps what it is given."""
    from gateway.cli.frame import open_store
    from gateway.errors import ConfigurationError, StoreError

    try:
        async with open_store(settings) as store:
            info = await store.command("INFO")
            stranded = await _stranded(store)
    except ConfigurationError as error:
        return [Row("fault", "redis", fault) for fault in error.faults]
    except StoreError as error:
        return [Row("fault", "redis", f"cannot be used ({error}): see that it runs and that REDIS_URL names it")]
    return judged({str(name): value for name, value in info.items()}) + stranded


async def _stranded(store: Store) -> list[Row]:
    """Say what waits for the destination of a gateway without a configuration file, where the file names others."""
    from gateway.cli.frame import destinations_asked
    from gateway.connections import DESTINATION
    from gateway.store.pending import Store

    if DESTINATION in destinations_asked():
        return []
    view = await Store(store.redis, DESTINATION, limits=store.limits).look(exact=True)
    if not view.pending + view.dead + view.quarantined:
        return []
    sentence = (
        f"{view.pending} tickets, {view.dead} dead letters and {view.quarantined} deliveries belong to the destination "
        f"{DESTINATION}, which the configuration file does not name: call the first destination {DESTINATION}"
    )
    return [Row("fault", "redis destinations", sentence)]


def judged(info: Mapping[str, Any]) -> list[Row]:
    """
    Judge a server by its INFO.

    Args:
        info: as redis-py reads it; a managed server may leave lines out, and what is not said is not judged.
    """
    is_valkey = "valkey_version" in info
    text = str(info.get("valkey_version" if is_valkey else "redis_version", ""))
    name = "Valkey" if is_valkey else "Redis"
    version = _version(text)
    rows = []
    if version and version < (7,):
        rows.append(Row("fault", "redis", f"{name} {text} is too old: Redis >= 7 or Valkey is needed"))
    else:
        rows.append(Row("ok", "redis", f"{name} {text or 'of an unnamed version'} answers"))
    if version and _vulnerable(version, VALKEY_FIXED if is_valkey else REDIS_FIXED):
        fixed = ", ".join(".".join(map(str, one)) for one in (VALKEY_FIXED if is_valkey else REDIS_FIXED))
        sentence = f"{name} {text} has CVE-2025-49844 (Lua), unless your distribution mended it: fixed in {fixed}"
        rows.append(Row("warning", "redis version", sentence))
    if info.get("role") not in (None, "master"):
        rows.append(Row("fault", "redis role", f"this server is a {info['role']}: REDIS_URL must name the primary"))
    policy = info.get("maxmemory_policy")
    if policy == "noeviction":
        rows.append(Row("ok", "redis eviction", "noeviction: a full Redis refuses and loses nothing"))
    elif policy is None:
        rows.append(Row("warning", "redis eviction", "the policy is not told: see that it is noeviction"))
    else:
        sentence = f"maxmemory-policy is {policy}: a full Redis would throw tickets away; set it to noeviction"
        rows.append(Row("fault", "redis eviction", sentence))
    if "aof_enabled" in info:
        rows.append(_persistence(info))
    if info.get("maxmemory") == 0:
        rows.append(
            Row(
                "warning", "redis memory", "maxmemory is not set: a backlog may grow until the machine is out of memory"
            )
        )
    return rows


def _persistence(info: Mapping[str, Any]) -> Row:
    if info["aof_enabled"] and info.get("aof_last_write_status", "ok") == "ok":
        return Row(
            "ok", "redis persistence", "append-only file: a restart loses nothing, the loss of the host up to 2 s"
        )
    if info["aof_enabled"]:
        return Row(
            "fault", "redis persistence", "the append-only file cannot be written: Redis' disk is full or broken"
        )
    sentence = "no append-only file: what was acknowledged and not yet sent is lost when Redis restarts"
    return Row("warning", "redis persistence", sentence)


def _version(text: str) -> tuple[int, ...]:
    parts = text.split(".")[:3]
    return tuple(int(part) for part in parts) if parts and all(part.isdigit() for part in parts) else ()


def _vulnerable(version: tuple[int, ...], fixed: tuple[tuple[int, int, int], ...]) -> bool:
    """Say whether a version comes before the fix of its own line; a line without one is as bad as its last line."""
    own = [one for one in fixed if one[:2] == version[:2]]
    if own:
        return version < own[0]
    return version < max(fixed)


def far_rows(connections: Iterable[Connection]) -> list[Row]:
    """Let the far bank look at its settings, at Planhat and at the helpdesks."""
    rows = _far("check")
    with_look_ups = {row.name.removesuffix(" look-ups") for row in rows if row.name.endswith(" look-ups")}
    for one in connections:
        if one.source in ("zendesk", "freshdesk", "freshservice", "kustomer") and one.name not in with_look_ups:
            sentence = "no API credentials: thin deliveries and tickets without e-mail will become dead letters"
            rows.append(Row("warning", f"{one.name} look-ups", sentence))
    return rows


def _far(command: str) -> list[Row]:
    """Run a check of the far bank; a far bank that cannot even answer is a fault."""
    from gateway.cli.tickets import far_bank

    arguments = ["check", *(["--settings-only"] if command == "settings" else [])]
    try:
        return [Row(row["level"], row["name"], row["sentence"]) for row in far_bank(*arguments, answer_s=120)]
    except Failure as failure:
        return [Row("fault", "worker", f"cannot check: {failure.message}")]
