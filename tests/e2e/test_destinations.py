"""Real processes, one file: two tenants, two connections of one source; a slow tenant delays no other."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.helpdesk import sign
from tests.faults.processes import Fleet, ask, command, free_port, wait_for
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

SLOW_MS = 2_500
FILE = """
[destinations.quick]
token_env = "QUICK_TOKEN"
url = "http://127.0.0.1:{quick}"
[destinations.slow]
token_env = "SLOW_TOKEN"
url = "http://127.0.0.1:{slow}"
[connections.north]
source = "zendesk"
destination = "quick"
secret_env = "NORTH"
only.brands = ["71"]
[connections.south]
source = "zendesk"
destination = "slow"
secret_env = "SOUTH"
only.brands = ["72"]
status = {{ open = "working" }}
"""
SECRETS = {"NORTH": "north-secret-of-20-chars", "SOUTH": "south-secret-of-20-chars"}
TOKENS = {"QUICK_TOKEN": "quick-token-0123456789", "SLOW_TOKEN": "slow-token-0123456789"}


def body(number: int, brand: str) -> bytes:
    moment = f"2026-11-20T08:00:{number % 60:02d}Z"
    ticket = {
        "ticket_id": str(number), "brand_id": brand, "title": f"Ticket {number}", "status": "Open",
        "requester_email": "ada@kestrel.example", "created_at": moment, "updated_at": moment,
    }  # fmt: skip
    return json.dumps(ticket).encode()


def post(port: int, connection: str, sent: bytes) -> tuple[int, Any]:
    headers = sign(SECRETS[connection.upper()], sent, int(time.time() * 1000))
    return ask(f"http://127.0.0.1:{port}/webhooks/{connection}", data=sent, headers=headers)


def held(port: int) -> dict[str, Any]:
    tickets: dict[str, Any] = ask(f"http://127.0.0.1:{port}/_sandbox/state")[1]["tickets"]
    return tickets


def test_two_tenants_of_one_file_share_nothing_and_the_slow_one_delays_no_other(tmp_path: Path) -> None:
    web, quick, slow = free_port(), free_port(), free_port()
    file = tmp_path / "gateway.toml"
    file.write_text(FILE.format(quick=quick, slow=slow), encoding="utf-8")
    redis, fleet = RedisServer(tmp_path / "redis"), Fleet(tmp_path)
    try:
        redis.start()
        shared = {"REDIS_URL": redis.url, "GATEWAY_CONFIG": str(file)}
        for name, port, more in (("quick", quick, "0"), ("slow", slow, str(SLOW_MS))):
            token = TOKENS[f"{name.upper()}_TOKEN"]
            fleet.add(name, ["workers", "sandbox", "--port", str(port), "--token", token, "--latency-ms", more], {})
        fleet.add("web", ["gateway", "web"], {**shared, **SECRETS, "PORT": str(web)})
        quiet = {"BATCH_QUIET_S": "0.1", "BATCH_MAX_WAIT_S": "0.3"}
        fleet.add("worker", ["workers"], {**shared, **TOKENS, **quiet})
        for address in (f"http://127.0.0.1:{quick}/_sandbox/stats", f"http://127.0.0.1:{slow}/_sandbox/stats"):
            wait_for(address)
        wait_for(f"http://127.0.0.1:{web}/readyz")

        # Every event of the helpdesk arrives at both connections, as Zendesk's own subscriptions do.
        for number in range(1, 13):
            for brand in ("71", "72"):
                for connection in ("north", "south"):
                    status, said = post(web, connection, body(number, brand))
                    ours = (connection, brand) in {("north", "71"), ("south", "72")}
                    assert (status, said["status"]) == ((202, "accepted") if ours else (200, "ignored")), said
            time.sleep(0.5)
        calls = {port: ask(f"http://127.0.0.1:{port}/_sandbox/stats")[1]["calls"] for port in (quick, slow)}
        assert calls[quick] >= 2 * calls[slow], "the quick one went on while the slow one was waited for"

        until = time.monotonic() + 60
        environment = {**shared, **SECRETS}
        while time.monotonic() < until and any(
            command(["--destination", name, "status"], environment)[0]["pending"] for name in ("quick", "slow")
        ):
            time.sleep(0.3)
        assert set(held(quick)) == {f"north:{number}" for number in range(1, 13)}
        assert set(held(slow)) == {f"south:{number}" for number in range(1, 13)}
        assert {ticket["status"] for ticket in held(quick).values()} == {"open"}
        assert {ticket["status"] for ticket in held(slow).values()} == {"working"}
    finally:
        fleet.close()
        redis.stop()
