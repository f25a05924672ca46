"""
A stage for fault runs: a helpdesk, a real Redis, the sandbox, webs and workers as processes of their own.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Self

import redis

from tests.faults.helpdesk import Helpdesk, serve_lookups
from tests.faults.oracle import HARNESS, judge, judge_left_behind, judge_log
from tests.faults.processes import Fleet, Process, ask, command, free_port, wait_for
from tests.faults.proxy import Proxy
from tests.faults.sender import Sender
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    import random
    from pathlib import Path

QUOTA = 150
LATE_S = 3
"""When a late write lands: within PLANHAT_TIMEOUT_S + PLANHAT_HOLD_S below, as the settings promise."""


class Stage:
    """
    Everything a ticket passes, on loopback. A context manager: whatever happens, all children end.

    Args:
        faults: rate by fault of the sandbox.
        more: further settings of the workers.
        more_web: further settings of the web processes.
        redis_config: further settings of Redis.
        proxied: a fault proxy stands before Redis for the webs, another for the workers, and one for each worker
            before the sandbox.
        tied: children end with the thread that started them.

    left_behind: tickets of an earlier release in Redis, and what Planhat must come to hold of them.
    newer: tickets that a newer release has written to.
    """

    def __init__(
        self,
        directory: Path,
        chance: random.Random,
        *,
        tickets: int,
        workers: int = 1,
        webs: int = 1,
        faults: dict[str, float] | None = None,
        more: dict[str, str] | None = None,
        more_web: dict[str, str] | None = None,
        redis_config: dict[str, str | int] | None = None,
        rate_per_s: float = 60.0,
        proxied: bool = False,
        tied: bool = False,
        sender_timeout_s: float = 10.0,
    ) -> None:
        self.directory, self.faults = directory, faults or {}
        self.helpdesk = Helpdesk(chance, tickets, now_ms=int(time.time() * 1000))
        self.lookups = serve_lookups(self.helpdesk)
        self.redis = RedisServer(directory / "redis", **(redis_config or {}))
        self.fleet = Fleet(directory, tied=tied)
        self.log = directory / "sandbox.jsonl"
        self.sandbox_port = free_port()
        self.web_ports = [free_port() for _ in range(webs)]
        self.sandbox_url = f"http://127.0.0.1:{self.sandbox_port}"
        self.secret, self.token = secrets.token_hex(16), secrets.token_hex(16)
        hooks = [f"http://127.0.0.1:{port}/webhooks/zendesk" for port in self.web_ports]
        self.sender = Sender(hooks, self.secret, rate_per_s, timeout_s=sender_timeout_s)
        self.count, self.seed = workers, chance.randrange(10**6)
        self.more, self.more_web = more or {}, more_web or {}
        self.web_net, self.worker_net = Proxy(self.redis.socket), Proxy(self.redis.socket)
        self.planhat_nets = [Proxy(self.sandbox_port) for _ in range(workers)]
        self.left_behind: dict[str, dict[str, Any]] = {}
        self.newer: list[str] = []
        self.nets = [self.web_net, self.worker_net, *self.planhat_nets] if proxied else []

    @property
    def web_port(self) -> int:
        """Give the port of the first web process."""
        return self.web_ports[0]

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self.redis.start()
        for net in self.nets:
            net.start()
        shared = {"REDIS_URL": self.redis.url, "ZENDESK_SUBDOMAIN": "lumen"}
        self.operator_environment = {**shared, "ZENDESK_WEBHOOK_SECRET": self.secret}
        through = {"REDIS_URL": f"redis://127.0.0.1:{self.web_net.port}/0"} if self.nets else {}
        self.web_environment = {**self.operator_environment, **through, **self.more_web, "PORT": str(self.web_port)}
        through = {"REDIS_URL": f"redis://127.0.0.1:{self.worker_net.port}/0"} if self.nets else {}
        self.worker_environment = {
            **shared,
            **through,
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
        words += ["--seed", str(self.seed), "--log", str(self.log), "--late-s", str(LATE_S), "--retry-after", "1"]
        words += [word for name, rate in self.faults.items() for word in ("--fault", f"{name}={rate}")]
        self.fleet.add("sandbox", words, {})
        self.webs = [self._add_web(n, port) for n, port in enumerate(self.web_ports, 1)]
        self.web = self.webs[0]
        self.workers = [self._add_worker(n) for n in range(1, self.count + 1)]
        wait_for(f"{self.sandbox_url}/_sandbox/stats")
        self.wait_for_web()

    def _add_web(self, number: int, port: int) -> Process:
        name = f"web{number}" if len(self.web_ports) > 1 else "web"
        return self.fleet.add(name, ["gateway", "web"], {**self.web_environment, "PORT": str(port)})

    def _add_worker(self, number: int) -> Process:
        address = {"PLANHAT_API_URL": f"http://127.0.0.1:{self.planhat_nets[number - 1].port}"} if self.nets else {}
        return self.fleet.add(f"worker{number}", ["workers"], {**self.worker_environment, **address})

    def __exit__(self, *_: object) -> None:
        self.fleet.close()
        for net in self.nets:
            net.close()
        self.redis.stop()
        self.lookups.shutdown()
        self.lookups.server_close()

    def wait_for_web(self) -> None:
        """Wait until every web process can take deliveries."""
        for port in self.web_ports:
            wait_for(f"http://127.0.0.1:{port}/readyz")

    def client(self, **more: Any) -> redis.Redis:
        """Give a client of the real Redis, past every proxy."""
        return redis.Redis(unix_socket_path=self.redis.socket, **{"socket_timeout": 3, **more})

    def stats(self) -> dict[str, Any]:
        """Give the sandbox' counts."""
        return ask(f"{self.sandbox_url}/_sandbox/stats")[1] or {}

    def change_faults(self, rates: dict[str, Any]) -> None:
        """Put other fault rates in force."""
        status, said = ask(f"{self.sandbox_url}/_sandbox/faults", data=json.dumps(rates).encode())
        assert status == 200, said

    def hold(self, item: dict[str, Any]) -> None:
        """
        Let Planhat hold a ticket that was sent before this run, whatever fault strikes; the judge leaves its calls out.

        Raises:
            TimeoutError: Planhat does not hold it after a minute.
        """
        url, body = f"{self.sandbox_url}/tickets?{HARNESS}", json.dumps([item]).encode()
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        until, again_at = time.monotonic() + 60, 0.0
        while item["sourceId"] not in self.held():
            if time.monotonic() > until:
                raise TimeoutError(f"Planhat does not take {item['sourceId']}")
            if time.monotonic() > again_at:
                ask(url, data=body, headers=headers, method="PUT")
                again_at = time.monotonic() + LATE_S + 1  # a late write has landed by then, so none outlives this
            time.sleep(0.1)

    def held(self) -> dict[str, Any]:
        """Give what Planhat holds, by sourceId."""
        _, state = ask(f"{self.sandbox_url}/_sandbox/state", timeout_s=60)
        return dict(state["tickets"])

    def status(self) -> dict[str, Any]:
        """Give what `status --json` says."""
        (found,) = command(["status"], self.operator_environment)
        return dict(found)

    def settle(self, patience_s: float) -> dict[str, Any]:
        """Wait until nothing is pending, twice in a row; give the last status."""
        until = time.monotonic() + patience_s
        calm = 0
        status: dict[str, Any] = {}
        while time.monotonic() < until and calm < 2:
            status = self.status()
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
        held = self.held()
        dead = command(["dead", "list", "--limit", "100000"], self.operator_environment)
        violations += judge(self.helpdesk, self.sender.accepted, held, dead)
        violations += judge_left_behind(self.left_behind, held)
        more, figures = judge_log(self.log, QUOTA)
        reasons: dict[str, int] = {}
        for row in dead:
            reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
        found: dict[str, Any] = {
            "answers": dict(sorted(self.sender.answers.items())),
            "dead_letters": reasons,
            **figures,
        }
        return violations + self.sender.wrong + more, found

    def end(self) -> list[str]:
        """Stop every process with SIGTERM; give those that took longer than a platform allows."""
        took = {child.name: child.end() for child in self.fleet.children.values()}
        return [f"{name} took {seconds:.1f} s to stop" for name, seconds in took.items() if seconds > 25]
