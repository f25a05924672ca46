"""
What a run prints: the machine, then one line per figure.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.redis_server import binary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.harness import Figure

PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "starlette", "arq", "redis", "hiredis", "orjson", "httpx")


def machine() -> dict[str, Any]:
    """Give hardware and versions."""
    cores = os.cpu_count() or 1
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": cores,
        "memory_mb": int((_field("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) * 1024 // 1_000_000,
        "load": [round(one, 2) for one in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "server": f"{Path(binary()).name} {_server_version()}",
        **{name: version(name) for name in PACKAGES},
    }


def _field(path: str, name: str) -> str:
    if not Path(path).exists():
        return ""
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return ""


def _server_version() -> str:
    words = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=False).stdout.split()
    return next((word.removeprefix("v=") for word in words if word.startswith("v=")), "")


def as_json(about: dict[str, Any], figures: Sequence[Figure]) -> str:
    """Give everything as one JSON document."""
    return json.dumps({"machine": about, "figures": [one.row() for one in figures]}, indent=1)


def as_text(about: dict[str, Any], figures: Sequence[Figure]) -> str:
    """Give a table: ratios first within a benchmark, each with its median and its spread."""
    lines = [", ".join(f"{name} {value}" for name, value in about.items()), ""]
    lines.append(f"{'bench':8} {'figure':52} {'median':>10} {'low':>10} {'high':>10} {'unit':9} against; target")
    for one in figures:
        row = one.row()
        numbers = " ".join(f"{_number(row[key]):>10}" for key in ("median", "low", "high"))
        tail = "; ".join(word for word in (one.reference, one.target, one.note) if word)
        lines.append(f"{one.bench:8} {one.name[:52]:52} {numbers} {one.unit:9} {tail}".rstrip())
    return "\n".join(lines)


def _number(value: float) -> str:
    if value and abs(value) < 0.1:
        return f"{value:.4f}"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
