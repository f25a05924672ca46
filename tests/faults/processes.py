"""
Real processes for fault runs: started with a clean environment, killed by pid, their output kept in files.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.redis_server import tied

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """Give a loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean(more: Mapping[str, str]) -> dict[str, str]:
    """Give an environment without anybody's settings: what every program needs, and `more`."""
    return {**{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}, **more}


@dataclass
class Process:
    """
    One child: its command, its environment, its log file.

    tied: it ends with the thread that started it, so that nothing is left behind when a long run is killed.
    """

    name: str
    arguments: list[str]
    environment: dict[str, str]
    directory: Path
    running: subprocess.Popen[bytes] | None = None
    kills: int = 0
    tied: bool = False

    def start(self) -> None:
        """Start it (anew)."""
        log = (self.directory / f"{self.name}.log").open("ab")
        words = [sys.executable, "-m", *self.arguments]
        self.running = subprocess.Popen(
            tied(words) if self.tied else words,
            cwd=ROOT,
            env=clean({"PYTHONUNBUFFERED": "1", **self.environment}),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()

    def kill(self) -> None:
        """Kill -9 the process and its children."""
        if self.running and self.running.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait()
            self.kills += 1

    def signal(self, number: int) -> None:
        """Send a signal to the process and its children, if it still runs."""
        if self.running and self.running.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.running.pid, number)

    @property
    def ended(self) -> int | None:
        """Give how it ended, as `Popen.returncode`; None while it runs."""
        return self.running.poll() if self.running else None

    def end(self, timeout_s: float = 28.0) -> float:
        """Send SIGTERM, wait; give the seconds it took. Kills what does not end."""
        if not self.running or self.running.poll() is not None:
            return 0.0
        began = time.monotonic()
        self.running.terminate()
        try:
            self.running.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        return time.monotonic() - began

    def tail(self, lines: int = 30) -> str:
        """Give the end of its log."""
        path = self.directory / f"{self.name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""


@dataclass
class Fleet:
    """All children of a run; ends them all whatever happens."""

    directory: Path
    children: dict[str, Process] = field(default_factory=dict)
    tied: bool = False

    def add(self, name: str, arguments: list[str], environment: dict[str, str]) -> Process:
        """Start one more."""
        child = Process(name, arguments, environment, self.directory, tied=self.tied)
        self.children[name] = child
        child.start()
        return child

    def close(self) -> None:
        """Kill whatever still runs."""
        for child in self.children.values():
            child.kill()


def kill_and_start(child: Process) -> None:
    """Kill -9 a process and start it anew."""
    child.kill()
    child.start()


def ask(
    url: str,
    *,
    data: bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout_s: float = 10,
    method: str | None = None,
) -> tuple[int, Any]:
    """Call a URL; give the status (0 when nobody answered) and the JSON (or text) of the answer."""
    method = method or ("POST" if data is not None else "GET")
    request = urllib.request.Request(url, data=data, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, _json(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json(error.read())
    except (OSError, TimeoutError):
        return 0, None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def wait_for(url: str, *, timeout_s: float = 20.0) -> None:
    """Wait until a URL answers 200."""
    until = time.monotonic() + timeout_s
    while ask(url, timeout_s=2)[0] != 200:
        if time.monotonic() > until:
            raise TimeoutError(f"{url} does not answer")
        time.sleep(0.1)


def command(arguments: list[str], environment: dict[str, str], *, as_json: bool = True, attempts: int = 1) -> list[Any]:
    """
    Run the command line with --json and give its lines; one line that holds a list gives that list.

    Args:
        as_json: False for a command without a table; gives nothing.
        attempts: how often to try while it fails (exit code 1 without an answer: Redis is away).
    """
    for attempt in range(attempts):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments, *(["--json"] if as_json else [])],
            cwd=ROOT,
            env=clean(environment),
            capture_output=True,
            check=False,
            timeout=60,
        )
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{arguments}: {done.stderr.decode()[-2000:]}")
        if done.returncode == 0 or done.stdout.strip():
            break
        time.sleep(0.5 if attempt + 1 < attempts else 0)
    text = done.stdout.decode().strip()
    if not text or not as_json:
        return []
    try:
        value = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]
    return value if isinstance(value, list) else [value]
