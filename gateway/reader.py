"""
How settings are taken out of an environment: one at a time, every fault noted, none complained of before the end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB: Final = 1024 * 1024
DAY_S: Final = 86_400

_SIZE: Final = re.compile(r"([0-9]{1,15})\s*(KiB|MiB|GiB)?")
_SIZES: Final = {None: 1, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB}
_INTEGER: Final = re.compile(r"-?[0-9]{1,15}")
_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")


class Reader:
    """
    Takes settings out of an environment and collects what is wrong with them.

    A setting that is blank counts as not set, since compose files and dashboards pass unset ones on as "".
    Every method gives a usable value, the default after a fault; `faults` tells afterwards.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[str] = []
        self.warnings: list[str] = []

    def fault(self, sentence: str) -> None:
        """Note what must be changed before anything can start."""
        self.faults.append(sentence)

    def text(self, name: str) -> str | None:
        """Give a setting without the blanks around it; None when it is not set."""
        return self.environ.get(name, "").strip() or None

    def integer(self, name: str, default: int, low: int, high: int, unit: str = "") -> int:
        """Give a whole number between `low` and `high`, both allowed."""
        raw = self.text(name)
        if raw is None:
            return default
        if _INTEGER.fullmatch(raw) and low <= int(raw) <= high:
            return int(raw)
        self.fault(f"{name} must be a whole number {_range(low, high, unit)}, for example {name}={default}.")
        return default

    def number(self, name: str, default: float, low: float, high: float, unit: str = "") -> float:
        """Give a number between `low` and `high`, both allowed."""
        raw = self.text(name)
        if raw is None:
            return default
        if _NUMBER.fullmatch(raw) and low <= float(raw) <= high:
            return float(raw)
        self.fault(f"{name} must be a number {_range(low, high, unit)}, for example {name}={default:g}.")
        return default

    def size(self, name: str, default: int, low: int, high: int) -> int:
        """Give a number of bytes, written plainly or with KiB, MiB, GiB."""
        raw = self.text(name)
        if raw is None:
            return default
        found = _SIZE.fullmatch(raw)
        if found and low <= (size := int(found[1]) * _SIZES[found[2]]) <= high:
            return size
        self.fault(f"{name} must be a size {_range(low, high, 'bytes')}, for example {name}={default} or {name}=1MiB.")
        return default

    def flag(self, name: str, *, default: bool) -> bool:
        """Give a switch."""
        raw = (self.text(name) or ("1" if default else "0")).lower()
        if raw in ("1", "true", "yes", "on"):
            return True
        if raw in ("0", "false", "no", "off"):
            return False
        self.fault(f"{name} must be 1 or 0.")
        return default

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """Give one of a few words, upper or lower case."""
        raw = (self.text(name) or default).lower()
        if raw in choices:
            return raw
        self.fault(f"{name} must be one of {', '.join(choices)}.")
        return default

    def done(self) -> None:
        """
        Stop here when anything was wrong.

        Raises:
            ConfigurationError: with every fault found so far.
        """
        if self.faults:
            raise ConfigurationError(self.faults)


def _range(low: float, high: float, unit: str) -> str:
    return f"between {_figure(low)} and {_figure(high)}{' ' if unit else ''}{unit}"


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
