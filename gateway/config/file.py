"""
Reads a configuration file: every fault at once, each with its line and what to do.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import jmespath
from jmespath.exceptions import JMESPathError

from gateway.config.keys import FILE, MAP_NAMES, Key
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""Names of connections and destinations: they stand in URLs, keys of Redis and metrics."""

MAX_BYTES: Final = 1024 * 1024
_HEADER: Final = re.compile(r"\s*\[\[?([^\]]+)\]")
_ENTRY: Final = re.compile(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_PART: Final = re.compile(r"[\w-]+|\"[^\"]*\"|'[^']*'")


@dataclass(slots=True)
class ConfigFile:
    """
    A file that was read.

    destinations, connections: name -> its table, every value of the kind that `keys` says.
    free_mail: the table `add` and `remove`.
    """

    path: Path
    destinations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    free_mail: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def where(self, *path: str) -> str:
        """Give file, line and key of a value, as faults begin: `gateway.toml line 7: connections.emea.source`."""
        known = next((self.lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.lines), 1)
        return f"{self.path.name} line {known}: {'.'.join(path)}"


def load(path: Path) -> ConfigFile:
    """
    Read a configuration file.

    Raises:
        ConfigurationError: with every fault, each with its line.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path.name} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
    except OSError as error:
        raise ConfigurationError(
            f"GATEWAY_CONFIG names {path}, which cannot be read ({error.strerror}): give the path of a TOML file."
        ) from error
    if len(raw) > MAX_BYTES:
        raise ConfigurationError(f"{path.name} is larger than 1 MiB: no configuration is.")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path.name} is not TOML: {error}.") from error
    file = ConfigFile(path, lines=lines_of(text))
    faults: list[str] = []
    _table(file, (), data, FILE, faults)
    if faults:
        raise ConfigurationError(faults)
    file.destinations = data.get("destinations", {})
    file.connections = data.get("connections", {})
    file.free_mail = data.get("free_mail", {})
    return file


def hint(word: str, known: Collection[str], said: str = "known") -> str:
    """Give the known word that a misspelt one was probably meant to be, else all of them; the end of a sentence."""
    close = difflib.get_close_matches(word, known, 1, 0.6)
    return f"did you mean {close[0]}?" if close else f"{said}: {', '.join(known) or 'none'}."


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Find the line of every table and key of a TOML text, `("connections", "emea", "source")` -> 7."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _parts(header[1])
            lines.setdefault(table, number)
        elif entry := _ENTRY.match(line):
            path = (*table, *_parts(entry[1]))
            for end in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:end], number)
    return lines


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _table(
    file: ConfigFile, path: tuple[str, ...], table: Mapping[str, Any], keys: Mapping[str, Key], faults: list[str]
) -> None:
    """Check a table whose keys are known."""
    for name, value in table.items():
        here = (*path, name)
        key = keys.get(name)
        if key is None:
            faults.append(f"{file.where(*here)} is not a setting; {hint(name, keys, 'known here')}")
            continue
        if complaint := _CHECKS[key.kind](file, here, value, key, faults):
            faults.append(f"{file.where(*here)} {complaint}")
    faults += [
        f"{file.where(*path)} needs {name}: {key.meaning}, for example {name} = {_shown(key.example)}."
        for name, key in keys.items()
        if key.needed and name not in table
    ]


def _shown(example: object) -> str:
    return f'"{example}"' if isinstance(example, str) else str(example)


def _text(_file: ConfigFile, _path: tuple[str, ...], value: object, key: Key, _faults: list[str]) -> str | None:
    if not isinstance(value, str):
        return "must be a text in quotes."
    return _chosen(value, key)


def _chosen(value: str, key: Key) -> str | None:
    if not key.choices or value in key.choices:
        return None
    close = difflib.get_close_matches(value, key.choices, 1, 0.6)
    end = f"; did you mean {close[0]}?" if close else "."
    return f"must be one of {', '.join(key.choices)}, not {value!r}{end}"


def _texts(_file: ConfigFile, _path: tuple[str, ...], value: object, key: Key, _faults: list[str]) -> str | None:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        return 'must be a list of texts, such as ["a", "b"].'
    return next((complaint for one in value if (complaint := _chosen(one, key))), None)


def _flag(_file: ConfigFile, _path: tuple[str, ...], value: object, _key: Key, _faults: list[str]) -> str | None:
    return None if isinstance(value, bool) else "must be true or false."


def _integer(_file: ConfigFile, _path: tuple[str, ...], value: object, key: Key, _faults: list[str]) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and key.low <= value <= key.high:
        return None
    return f"must be a whole number between {key.low:,} and {key.high:,}."


def _words(_file: ConfigFile, _path: tuple[str, ...], value: object, _key: Key, _faults: list[str]) -> str | None:
    if isinstance(value, dict) and all(isinstance(one, str) and one for one in value.values()):
        return None
    return 'must be a table of texts, such as "hold" = "on-hold".'


def _query(_file: ConfigFile, _path: tuple[str, ...], value: object, _key: Key, _faults: list[str]) -> str | None:
    if not isinstance(value, str):
        return "must be a JMESPath expression in quotes."
    try:
        jmespath.compile(value)
    except JMESPathError as error:
        return f"is no JMESPath expression ({' '.join(str(error).split())}): see jmespath.org."
    return None


def _queries(file: ConfigFile, path: tuple[str, ...], value: object, key: Key, faults: list[str]) -> str | None:
    if not isinstance(value, dict):
        return "must be a table of JMESPath expressions."
    for name, expression in value.items():
        here = (*path, name)
        if name == "custom" and isinstance(expression, dict):
            _queries(file, here, expression, Key("queries", ""), faults)
            continue
        if len(path) and path[-1] == "map" and name not in MAP_NAMES and not name.startswith("custom."):
            known = hint(name, (*MAP_NAMES, "custom.NAME"))
            faults.append(f"{file.where(*here)} is not a field of a Planhat ticket; {known}")
        elif complaint := _query(file, here, expression, key, faults):
            faults.append(f"{file.where(*here)} {complaint}")
    return None


def _one_table(file: ConfigFile, path: tuple[str, ...], value: object, key: Key, faults: list[str]) -> str | None:
    if not isinstance(value, dict):
        return f"must be a table: write [{'.'.join(path)}] above its keys."
    _table(file, path, value, key.keys, faults)
    return None


def _tables(file: ConfigFile, path: tuple[str, ...], value: object, key: Key, faults: list[str]) -> str | None:
    if not isinstance(value, dict):
        return f"must be tables: write [{'.'.join(path)}.NAME]."
    for name, table in value.items():
        here = (*path, name)
        if not NAME.fullmatch(name):
            faults.append(f"{file.where(*here)}: names are lower-case letters, digits, - and _, at most 64.")
        if complaint := _one_table(file, here, table, key, faults):
            faults.append(f"{file.where(*here)} {complaint}")
    return None


_CHECKS: Final[dict[str, Callable[[ConfigFile, tuple[str, ...], object, Key, list[str]], str | None]]] = {
    "text": _text,
    "texts": _texts,
    "flag": _flag,
    "integer": _integer,
    "words": _words,
    "query": _query,
    "queries": _queries,
    "table": _one_table,
    "tables": _tables,
}
