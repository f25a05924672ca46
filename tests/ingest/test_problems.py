"""The table error -> answer is complete, and its answers tell a stranger nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from gateway.errors import GatewayError, InboundError, PendingFull, StoreError, StoreUnavailable, VerificationError
from gateway.ingest.problems import PROBLEMS, RETRY_AFTER_S, MethodRefused, overloaded, problem, refusal, respond


def leaves(root: type[GatewayError]) -> set[type[GatewayError]]:
    children = root.__subclasses__()
    return set().union(*map(leaves, children)) if children else {root}


def answer(error: Exception) -> tuple[int, dict[bytes, bytes], Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(respond(send, refusal(error)))
    return sent[0]["status"], dict(sent[0]["headers"]), orjson.loads(sent[1]["body"])


def test_every_leaf_has_a_row() -> None:
    assert leaves(InboundError) | leaves(StoreError) == set(PROBLEMS)


def test_every_status_is_one_of_the_contract() -> None:
    assert {row.status for row in PROBLEMS.values()} == {202, 401, 404, 405, 413, 415, 503}


def test_the_sender_is_asked_back_exactly_on_503() -> None:
    assert all(row.retry == (row.status == 503) for row in PROBLEMS.values())


def test_an_unexpected_error_is_ours_and_never_500() -> None:
    assert problem(KeyError("secret")).status == 503
    status, headers, said = answer(KeyError("secret"))
    assert (status, said) == (503, {"status": "unavailable"})
    assert b"retry-after" in headers


def test_a_refusal_gives_no_detail() -> None:
    status, _, said = answer(VerificationError("stale_timestamp"))
    assert (status, said) == (401, {"status": "refused"})


def test_redis_words_stay_inside() -> None:
    assert answer(StoreUnavailable("oom", "OOM command not allowed"))[2] == {"status": "unavailable"}
    assert answer(PendingFull("memory"))[2] == {"status": "full"}


def test_retry_after_is_spread_over_its_range() -> None:
    seen = {int(answer(PendingFull("pending"))[1][b"retry-after"]) for _ in range(300)}
    low, high = RETRY_AFTER_S
    assert low <= min(seen)
    assert max(seen) <= high
    assert len(seen) > 20


def test_a_sender_is_asked_back_within_a_minute() -> None:
    seen = {int(answer(PendingFull("pending"))[1][b"retry-after"]) for _ in range(300)}
    assert min(seen) >= 5
    assert max(seen) < 60, "Zendesk repeats only what may be repeated within a minute"


def test_405_names_the_methods() -> None:
    status, headers, _ = answer(MethodRefused(("POST", "OPTIONS")))
    assert (status, headers[b"allow"]) == (405, b"POST, OPTIONS")


def test_an_overloaded_process_answers_unread_and_closes() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the body was read")

    asyncio.run(overloaded({}, receive, send))
    assert sent[0]["status"] == 503
    assert dict(sent[0]["headers"])[b"connection"] == b"close"
