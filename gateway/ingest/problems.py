"""
The one table from what goes wrong to what the sender is told.

A body says what the sender may know and no more: never why a signature failed, never Redis' words.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from gateway.errors import (
    GatewayError,
    InboundError,
    LeaseLapsed,
    PayloadTooLarge,
    PendingFull,
    StoreUnavailable,
    UnknownConnection,
    UnreadablePayload,
    VerificationError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

RETRY_AFTER_S: Final = (5, 59)
"""Spread, so that senders do not come back together; below a minute, which senders take as "soon"."""


class UnsupportedMedia(InboundError):
    """A content type or content encoding that the source does not send."""

    status_hint = 415


class MethodRefused(InboundError):
    """
    A method that the connection does not take.

    Args:
        allow: the methods it does take, for the `Allow` header.
    """

    status_hint = 405

    def __init__(self, allow: tuple[str, ...]) -> None:
        super().__init__(", ".join(allow))
        self.allow = allow


class Answer(NamedTuple):
    """What goes out: HTTP status, body, and every header but `content-length`."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


class Problem(NamedTuple):
    """What a sender is told: HTTP status, the word in `status`, whether it is asked to come back."""

    status: int
    word: str
    retry: bool = False


PROBLEMS: Final[dict[type[GatewayError], Problem]] = {
    UnknownConnection: Problem(404, "unknown_connection"),
    MethodRefused: Problem(405, "method_not_allowed"),
    PayloadTooLarge: Problem(413, "too_large"),
    UnsupportedMedia: Problem(415, "unsupported_media_type"),
    VerificationError: Problem(401, "refused"),
    UnreadablePayload: Problem(202, "quarantined"),
    StoreUnavailable: Problem(503, "unavailable", retry=True),
    PendingFull: Problem(503, "full", retry=True),
    LeaseLapsed: Problem(503, "unavailable", retry=True),
}
"""Every leaf of InboundError and StoreError has its row (tests/ingest/test_problems.py)."""

_UNEXPECTED: Final = Problem(503, "unavailable", retry=True)
_JITTER: Final = random.Random()  # noqa: S311  spreads retries, guards nothing

JSON_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


def problem(error: Exception) -> Problem:
    """Give the row of an error's class or of its nearest base; anything unknown is ours: 503, come back."""
    for base in type(error).__mro__:
        if base in PROBLEMS:
            return PROBLEMS[base]
    return _UNEXPECTED


def retry_after_s() -> int:
    """Give the seconds of a `Retry-After` header, spread over `RETRY_AFTER_S`."""
    return _JITTER.randint(*RETRY_AFTER_S)


def refusal(error: Exception, *, close: bool = False) -> Answer:
    """
    Give what the table says of an error.

    Args:
        error: any exception; an unknown one is answered as ours (503).
        close: end the connection after the answer (its body was never asked for).
    """
    row = problem(error)
    headers = JSON_HEADERS
    if row.retry:
        headers += ((b"retry-after", b"%d" % retry_after_s()),)
    if isinstance(error, MethodRefused):
        headers += ((b"allow", ", ".join(error.allow).encode("ascii")),)
    if close:
        headers += ((b"connection", b"close"),)
    return Answer(row.status, orjson.dumps({"status": row.word}), headers)


async def respond(send: Send, answer: Answer) -> None:
    """Send one whole answer over ASGI."""
    headers = [(b"content-length", b"%d" % len(answer.body)), *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def overloaded(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer a request for which there is no room, unread (an ASGI application)."""
    await respond(send, refusal(StoreUnavailable("busy"), close=True))
