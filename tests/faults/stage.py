"""
A stage for fault runs: a helpdesk, a real Redis, the sandbox, web and workers as processes of their own.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Self

from tests.faults.helpdesk import Helpdesk, serve_lookups
from tests.faults.oracle import judge, judge_log
from tests.faults.processes import Fleet, ask, command, free_port, wait_for
from tests.faults.sender import Sender
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    import random
    from pathlib import Path

QUOTA = 150


class Stage:
    """
    Everything a ticket passes, on loopback. A context manager: whatever happens, all children end.

    Args:
        faults: rate by fault of the sandbox.
        more: further settings of the workers.
    """

    def __init__(
        self,
        directory: Path,
        chance: random.Random,
        *,
        tickets: int,
        workers: int = 1,
        faults: dict[str, float] | None = None,
        more: dict[str, str] | None = None,
        rate_per_s: float = 60.0,
    ) -> None:
        self.directory, self.faults = directory, faults or {}
        self.helpdesk = Helpdesk(chance, tickets, now_ms=int(time.time() * 1000))
        self.lookups = serve_lookups(self.helpdesk)
        self.redis = RedisServer(directory / "redis")
        self.fleet = Fleet(directory)
        self.log = directory / "sandbox.jsonl"
        self.sandbox_port, self.web_port = free_port(), free_port()
        self.sandbox_url = f"http://127.0.0.1:{self.sandbox_port}"
        self.secret, self.token = secrets.token_hex(16), secrets.token_hex(16)
        self.sender = Sender(f"http://127.0.0.1:{self.web_port}/webhooks/zendesk", self.secret, rate_per_s)
        self.count, self.seed = workers, chance.randrange(10**6)
        self.more = more or {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self.redis.start()
        shared = {"REDIS_URL": self.redis.url, "ZENDESK_SUBDOMAIN": "lumen"}
        self.web_environment = {**shared, "PORT": str(self.web_port), "ZENDESK_WEBHOOK_SECRET": self.secret}
        self.worker_environment = {
            **shared,
            "ZENDESK_API_EMAIL": "ops@lumen.example",
            "ZENDESK_API_TOKEN": secrets.token_hex(16),
            "ZENDESK_API_URL": f"http://127.0.0.1:{self.lookups.server_address[1]}/api/v2",
            "PLANHAT_API_URL": self.sandbox_url,
            "PLANHAT_API_TOKEN": self.token,
            "PLANHAT_CALLS_PER_MINUTE": str(QUOTA),
            "PLANHAT_TIMEOUT_S": "2",
            "PLANHAT_HOLD_S": "2",
            "BATCH_QUIET_S": "0.3",
            "BATCH_MAX_WAIT_S": "1",
            **self.more,
        }
        words = ["workers", "sandbox", "--port", str(self.sandbox_port), "--token", self.token, "--quota", "200"]
        words += ["--seed", str(self.seed), "--log", str(self.log), "--late-s", "3", "--retry-after", "1"]
        words += [word for name, rate in self.faults.items() for word in ("--fault", f"{name}={rate}")]
        self.fleet.add("sandbox", words, {})
        self.web = self.fleet.add("web", ["gateway", "web"], self.web_environment)
        self.workers = [
            self.fleet.add(f"worker{n}", ["workers"], self.worker_environment) for n in range(1, self.count + 1)
        ]
        wait_for(f"{self.sandbox_url}/_sandbox/stats")
        self.wait_for_web()

    def __exit__(self, *_: object) -> None:
        self.fleet.close()
        self.redis.stop()
        self.lookups.shutdown()
        self.lookups.server_close()

    def wait_for_web(self) -> None:
        """Wait until the web process can take deliveries."""
        wait_for(f"http://127.0.0.1:{self.web_port}/readyz")

    def stats(self) -> dict[str, Any]:
        """Give the sandbox' counts."""
        return ask(f"{self.sandbox_url}/_sandbox/stats")[1] or {}

    def change_faults(self, rates: dict[str, Any]) -> None:
        """Put other fault rates in force."""
        ask(f"{self.sandbox_url}/_sandbox/faults", data=json.dumps(rates).encode())

    def settle(self, patience_s: float) -> dict[str, Any]:
        """Wait until nothing is pending, twice in a row; give the last status."""
        until = time.monotonic() + patience_s
        calm = 0
        status: dict[str, Any] = {}
        while time.monotonic() < until and calm < 2:
            (status,) = command(["status"], self.web_environment)
            calm = calm + 1 if not status["pending"] and not status["leased"] else 0
            time.sleep(0.3)
        return status

    def verdict(self, patience_s: float) -> tuple[list[str], dict[str, Any]]:
        """
        Wait for calm and judge.

        Returns:
            Violations, and figures.
        """
        status = self.settle(patience_s)
        violations = [] if not status.get("pending") else [f"not settled after {patience_s} s: {status}"]
        _, state = ask(f"{self.sandbox_url}/_sandbox/state", timeout_s=30)
        dead = command(["dead", "list"], self.web_environment)
        violations += judge(self.helpdesk, self.sender.accepted, state["tickets"], dead)
        more, figures = judge_log(self.log, QUOTA)
        reasons: dict[str, int] = {}
        for row in dead:
            reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
        found: dict[str, Any] = {
            "answers": dict(sorted(self.sender.answers.items())),
            "dead_letters": reasons,
            **figures,
        }
        return violations + more, found

    def end(self) -> list[str]:
        """Stop every process with SIGTERM; give those that took longer than a platform allows."""
        took = {child.name: child.end() for child in self.fleet.children.values()}
        return [f"{name} took {seconds:.1f} s to stop" for name, seconds in took.items() if seconds > 25]
