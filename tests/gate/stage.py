"""A web process as a platform runs it, open for every registered source, and a Redis of its own; both on loopback."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, Final, Self

import redis

from gateway.sources import SOURCES
from gateway.store.keys import Keys
from tests.faults.processes import ROOT, Process, ask, free_port, wait_for
from tests.redis_server import RedisServer
from tests.sources.signers import SIGNERS

KEYS: Final = Keys("planhat")


def settings(**more: str) -> dict[str, str]:
    """Give the settings that open every source, with its current and its old secret."""
    secrets = {f"{name.upper()}_WEBHOOK_SECRET": ",".join(SIGNERS[name].secrets[:2]) for name in SOURCES}
    return {"LOG_LEVEL": "debug", "PYTHONPATH": str(ROOT), **secrets, **more}


class Stage:
    """
    One web process and its Redis; a context manager that leaves nothing running.

    Args:
        directory: for the log and Redis' data.
        more: further settings.
    """

    def __init__(self, directory: Path, **more: str) -> None:
        self.directory = directory
        self.redis = RedisServer(directory / "redis")
        self.port = free_port()
        self.web = Process(
            "web",
            ["gateway", "web", "--host", "127.0.0.1"],
            settings(REDIS_URL=self.redis.url, PORT=str(self.port), **more),
            directory,
        )

    def __enter__(self) -> Self:
        self.redis.start()
        try:
            self.web.start()
            wait_for(f"{self.url}/readyz")
        except BaseException as error:
            self.__exit__()
            error.add_note(self.web.tail())
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.web.end()
        self.redis.kill()

    @property
    def url(self) -> str:
        """Give the address of the web process."""
        return f"http://127.0.0.1:{self.port}"

    def memory_kib(self, which: str = "VmRSS") -> int:
        """Give the resident memory of the web process now, or its peak (`VmHWM`)."""
        assert self.web.running is not None
        status = Path(f"/proc/{self.web.running.pid}/status").read_text()
        return int(status.partition(f"{which}:")[2].split()[0])

    def log(self) -> str:
        """Give everything that the web process wrote."""
        return (self.directory / "web.log").read_text(errors="replace")

    def metrics(self) -> str:
        """Give the text of `/metrics`."""
        return str(ask(f"{self.url}/metrics")[1])

    def answers(self) -> Counter[str]:
        """Give the answers by outcome, as the metrics count them."""
        found = re.findall(r'gateway_answers_total\{connection="[^"]*",outcome="(\w+)"\} ([\d.]+)', self.metrics())
        counted: Counter[str] = Counter()
        for outcome, value in found:
            counted[outcome] += int(float(value))
        return counted

    def bridge(self) -> tuple[set[str], dict[str, int]]:
        """Give the tickets that Redis holds, and its counters; `quarantine` counts the unreadable deliveries."""
        with redis.Redis(unix_socket_path=self.redis.socket) as client:
            asked: Any = client
            tickets = {name.decode() for name in asked.zrange(KEYS.due, 0, -1)}
            counters = {name.decode(): int(value) for name, value in asked.hgetall(KEYS.counters).items()}
            return tickets, {**counters, "quarantine": asked.zcard(KEYS.quarantine)}
