"""Handshakes that come as signed POSTs: answered when they prove themselves, refused like anything else otherwise."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from gateway.app import create_app
from gateway.settings import from_env
from tests.ingest.server import call, running
from tests.sources.signers import sign

if TYPE_CHECKING:
    from collections.abc import Iterator

FRONT, HELP_SCOUT = "front-signing-key-0123456789", "help-scout-secret-0123"
SYNC = b'{"type":"sync","authorization":{"id":"cmp_7hq"}}'
ECHO = "6f0e9a4d-5a1c-4f7b-8e21-3b9c1d2e4f50"
JSON = {"content-type": "application/json"}


@pytest.fixture
def port(redis_url: str) -> Iterator[int]:
    secrets = {"FRONT_WEBHOOK_SECRET": FRONT, "HELP_SCOUT_WEBHOOK_SECRET": HELP_SCOUT}
    with running(create_app(from_env({"REDIS_URL": redis_url, **secrets}))) as found:
        yield found


def test_front_gets_its_challenge_back_when_the_sync_is_signed(port: int) -> None:
    headers = JSON | {"x-front-challenge": ECHO}
    answer = call(port, "/webhooks/front", SYNC, sign("front", FRONT, SYNC, headers, time.time()))
    assert (answer.status, answer.said) == (200, ECHO.encode())
    assert answer.headers["content-type"].startswith("text/plain")
    for forged in (headers, sign("front", "another-key-0123456789", SYNC, headers, time.time())):
        answer = call(port, "/webhooks/front", SYNC, forged)
        assert answer.status == 401
        assert ECHO not in str(answer.said)


def test_help_scout_s_test_event_is_green_with_the_right_secret_only(port: int) -> None:
    headers = JSON | {"x-helpscout-event": "helpscout.test"}
    for secret, status in ((HELP_SCOUT, 200), ("another-secret-0123", 401)):
        answer = call(port, "/webhooks/help_scout", b"{}", sign("help_scout", secret, b"{}", headers, 0.0))
        assert answer.status == status
