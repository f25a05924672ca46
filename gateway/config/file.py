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

from gateway.config.keys import FILE, MAP_NAMES, WHOLE_BODY, Key
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    At = tuple[str, ...]
    Faults = list[tuple[At, str]]
    """Where, and what is wrong there."""

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
    lost: a fault hides a destination, so that it is not known which one a connection means.
    """

    path: Path
    destinations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    free_mail: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    lost: bool = False

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
    file, faults = inspect(path)
    if faults:
        raise ConfigurationError(faults)
    return file


def inspect(path: Path) -> tuple[ConfigFile, list[str]]:
    """
    Read what is sound in a configuration file, and what is wrong with the rest.

    Who goes on with the sound part finds what else is wrong, and tells it together with these faults.

    Raises:
        ConfigurationError: it cannot be read at all.
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
    faults: Faults = []
    _table((), data, FILE, faults)
    file.lost = _leave_out(data, [at for at, _ in faults])
    file.destinations = data.get("destinations", {})
    file.connections = data.get("connections", {})
    file.free_mail = data.get("free_mail", {})
    return file, [f"{file.where(*at)} {complaint}" for at, complaint in faults]


def _leave_out(data: dict[str, Any], faulty: Iterable[At]) -> bool:
    """
    Take faulty values out, and a table with them that cannot do without; no other fault may come of it.

    Returns:
        Whether a destination is gone.
    """
    lost = False
    for path in faulty:
        cut, keys = path[:3], FILE[path[0]].keys if path[0] in FILE else {}
        if len(cut) == 3 and cut[2] in keys and keys[cut[2]].needed:
            cut = cut[:2]
        lost = lost or (cut[0] not in ("connections", "free_mail") and len(cut) < 3)
        table: Any = data
        for name in cut[:-1]:
            table = table.get(name, {})
        table.pop(cut[-1], None)
    return lost


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


def _table(path: At, table: Mapping[str, Any], keys: Mapping[str, Key], faults: Faults) -> None:
    """Check a table whose keys are known."""
    for name, value in table.items():
        here = (*path, name)
        key = keys.get(name)
        if key is None:
            faults.append((here, f"is not a setting; {hint(name, keys, 'known here')}"))
            continue
        if complaint := _CHECKS[key.kind](here, value, key, faults):
            faults.append((here, complaint))
    faults += [
        (path, f"needs {name}: {key.meaning}, for example {name} = {_shown(key.example)}.")
        for name, key in keys.items()
        if key.needed and name not in table
    ]


def _shown(example: object) -> str:
    return f'"{example}"' if isinstance(example, str) else str(example)


def _text(_path: At, value: object, key: Key, _faults: Faults) -> str | None:
    if not isinstance(value, str):
        return "must be a text in quotes."
    return _chosen(value, key)


def _chosen(value: str, key: Key) -> str | None:
    if key.pattern and not re.fullmatch(key.pattern, value):
        return key.must
    if not key.choices or value in key.choices:
        return None
    close = difflib.get_close_matches(value, key.choices, 1, 0.6)
    end = f"; did you mean {close[0]}?" if close else "."
    return f"must be one of {', '.join(key.choices)}, not {value!r}{end}"


def _texts(_path: At, value: object, key: Key, _faults: Faults) -> str | None:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        return 'must be a list of texts, such as ["a", "b"].'
    if not value:
        return "is an empty list, which says nothing: put something into it, or remove it."
    return next((complaint for one in value if (complaint := _chosen(one, key))), None)


def _flag(_path: At, value: object, _key: Key, _faults: Faults) -> str | None:
    return None if isinstance(value, bool) else "must be true or false."


def _integer(_path: At, value: object, key: Key, _faults: Faults) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and key.low <= value <= key.high:
        return None
    return f"must be a whole number between {key.low:,} and {key.high:,}."


def _words(path: At, value: object, _key: Key, faults: Faults) -> str | None:
    if not isinstance(value, dict) or not all(isinstance(one, str) and one for one in value.values()):
        return 'must be a table of texts, such as "hold" = "on-hold".'
    first: dict[str, str] = {}
    for word in value:
        if (known := first.setdefault(word.lower(), word)) != word:
            faults.append(((*path, word), f"is the same word as {known}, since case does not count: keep one of them."))
    return None


def _query(_path: At, value: object, _key: Key, _faults: Faults) -> str | None:
    if not isinstance(value, str):
        return "must be a JMESPath expression in quotes."
    try:
        jmespath.compile(value)
    except JMESPathError as error:
        return f"is no JMESPath expression ({' '.join(str(error).split())}): see jmespath.org."
    return None


def _queries(path: At, value: object, key: Key, faults: Faults) -> str | None:
    if not isinstance(value, dict):
        return "must be a table of JMESPath expressions."
    for name, expression in value.items():
        here = (*path, name)
        if name == "custom" and isinstance(expression, dict):
            _queries(here, expression, Key("queries", ""), faults)
            continue
        if path[-1] == "map" and name not in MAP_NAMES and not name.startswith("custom."):
            known = hint(name, (*MAP_NAMES, "custom.NAME"))
            faults.append((here, f"is not a field of a Planhat ticket; {known}"))
        elif complaint := _query(here, expression, key, faults):
            faults.append((here, complaint))
        elif path[-1] == "map" and name in WHOLE_BODY and "sourceId" not in value:
            complaint = (
                "has no effect without map.sourceId, by which the map reads the whole body: add it, or remove this."
            )
            faults.append((here, complaint))
    return None


def _one_table(path: At, value: object, key: Key, faults: Faults) -> str | None:
    if not isinstance(value, dict):
        return f"must be a table: write [{'.'.join(path)}] above its keys."
    _table(path, value, key.keys, faults)
    if path[2:] == ("company",):
        faults += (((*path, name), complaint) for name, complaint in _at_odds(value))
    return None


def _at_odds(company: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say which of the company rules undo each other: key and complaint."""
    fixed = next((name for name in ("external_id", "id") if name in company), None)
    by = company.get("by", ["external_id"])
    if "external_id" in company and "id" in company:
        yield "id", "stands beside external_id, and one company cannot be named twice: remove one of the two."
    if fixed and "by" in company:
        yield "by", f"has no effect beside {fixed}, which places every ticket: remove one of the two."
    elif company.get("resolve") is True and (fixed == "id" or (isinstance(by, list) and "external_id" not in by)):
        other = "beside id" if fixed else "when by leaves external_id out"
        yield "resolve", f"has no effect {other}: it looks companies up by their external id: remove one of the two."


def _tables(path: At, value: object, key: Key, faults: Faults) -> str | None:
    if not isinstance(value, dict):
        return f"must be tables: write [{'.'.join(path)}.NAME]."
    for name, table in value.items():
        here = (*path, name)
        if not NAME.fullmatch(name):
            faults.append((here, "cannot be a name: names are lower-case letters, digits, - and _, at most 64."))
        if complaint := _one_table(here, table, key, faults):
            faults.append((here, complaint))
    return None


_CHECKS: Final[dict[str, Callable[[At, object, Key, Faults], str | None]]] = {
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
