"""What Salesforce is told: its own acknowledgement, whatever happens; and that no live token is kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.app import create_app
from gateway.settings import from_env
from gateway.store.client import connect
from tests.ingest.server import Answer, call, running
from tests.redis_server import RedisServer
from tests.sources.samples import request_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "salesforce-token-0123456789abcdef"
HEADERS = {"content-type": "text/xml; charset=utf-8", "soapaction": '""'}
TRUE, FALSE = b"<Ack>true</Ack>", b"<Ack>false</Ack>"


def app_on(url: str) -> Any:
    return create_app(from_env({"REDIS_URL": url, "SALESFORCE_WEBHOOK_SECRET": SECRET}))


@pytest.fixture
def port(redis_url: str) -> Iterator[int]:
    with running(app_on(redis_url)) as found:
        yield found


def send(port: int, case: str, *, token: str = SECRET) -> Answer:
    return call(port, f"/webhooks/salesforce?token={token}", request_of("salesforce", case).body, HEADERS)


def acknowledged(answer: Answer) -> bool:
    return answer.status == 200 and answer.headers["content-type"].startswith("text/xml") and TRUE in answer.said


def test_what_is_stored_repeated_meaningless_or_kept_aside_is_acknowledged(port: int) -> None:
    for case in ("case_batch", "case_batch", "other_object", "record_missing", "no_id", "doctype"):
        assert acknowledged(send(port, case)), case


def test_a_stranger_and_another_content_type_are_not_acknowledged(port: int) -> None:
    assert send(port, "case_batch", token="x" * 20).status == 401
    answer = call(port, f"/webhooks/salesforce?token={SECRET}", b"{}", {"content-type": "application/json"})
    assert answer.status == 415


def test_while_redis_is_away_salesforce_is_told_that_nothing_was_taken(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server, running(app_on(server.url)) as port:
        assert acknowledged(send(port, "case_created"))
        server.kill()
        for case in ("case_created", "no_id"):
            answer = send(port, case)
            assert answer.status == 503
            assert FALSE in answer.said
            assert 5 <= int(answer.headers["retry-after"]) <= 59
            assert answer.headers["content-type"].startswith("text/xml")


def test_a_session_id_is_not_kept_with_a_message_that_cannot_be_read(port: int, redis_url: str) -> None:
    body = request_of("salesforce", "case_session_id").body.replace(b"500Hn", b"***")
    assert b"PRIVATE-CANARY" in body
    assert acknowledged(call(port, f"/webhooks/salesforce?token={SECRET}", body, HEADERS))

    async def bodies() -> list[bytes]:
        redis = connect(redis_url)
        try:
            names = [name async for name in redis.scan_iter("*quarantine:*")]
            return [value for name in names for value in await redis.execute_command("HVALS", name)]
        finally:
            await redis.aclose()

    held = b"".join(asyncio.run(bodies()))
    assert b"Invoice" in held
    assert b"PRIVATE-CANARY" not in held
    assert SECRET.encode() not in held
