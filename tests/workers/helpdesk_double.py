"""What tests of look-up clients have in common: a double of an API, a clock, every bad end, and the way to Planhat."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from gateway.sources import SOURCES
from gateway.sources.base import Connection
from gateway.store.pending import Delivery
from tests.sources.samples import request_of
from workers.enrich import enrich_once
from workers.helpdesks.base import (
    ANSWER_MAX_BYTES,
    HelpdeskBusy,
    HelpdeskError,
    HelpdeskRefused,
    HelpdeskUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.requests import Request

    from gateway.core.change import Change
    from workers.helpdesks.base import Helpdesk

    from .conftest import Desk

ENDS = [
    (httpx.Response(401, text="no"), HelpdeskRefused),
    (httpx.Response(403, text="no"), HelpdeskRefused),
    (httpx.Response(429, text="no"), HelpdeskBusy),
    (httpx.Response(302, headers={"Location": "https://evil.example/"}), HelpdeskUnavailable),
    (httpx.Response(400, text="no"), HelpdeskUnavailable),
    (httpx.Response(500, text="<h1>no</h1>"), HelpdeskUnavailable),
    (httpx.Response(200, text="<html>"), HelpdeskUnavailable),
    (httpx.Response(200, content=b""), HelpdeskUnavailable),
    (httpx.Response(200, content=b" " * (ANSWER_MAX_BYTES + 1)), HelpdeskUnavailable),
]
"""Every end of a look-up but an answer, for the clients of all helpdesks."""


class Clock:
    """A clock that a test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Double:
    """What doubles share: a log of requests, the credentials, and a next answer that replaces the usual one."""

    credentials: str

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.next: list[Response | None] = []

    def refusal(self, request: Request, allowed: set[str]) -> Response | None:
        self.seen.append(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
        if self.next and (answer := self.next.pop(0)) is not None:
            return answer
        if request.headers.get("authorization") != self.credentials:
            return JSONResponse({"error": "Couldn't authenticate you"}, 401)
        if request.query_params.keys() - allowed:
            return JSONResponse({"error": "InvalidParameter"}, 400)
        return None


async def look_up(client: Helpdesk, kind: str, one: str) -> None:
    asks: dict[str, Callable[[Sequence[str]], Awaitable[object]]] = {
        "users": client.users,
        "organizations": client.organizations,
        "tickets": client.tickets,
    }
    await asks[kind]([one])


async def see_end(
    opened: Callable[[httpx.AsyncBaseTransport], Helpdesk],
    end: tuple[httpx.Response, type[HelpdeskError]],
    asked: Sequence[tuple[str, str]],
    *,
    host: str,
    secrets: Sequence[str],
    token: str | None = None,
) -> None:
    """
    Let every look-up end badly: it is the named error, no secret shows, and nothing went to another host.

    Args:
        opened: a client with this transport.
        asked: kind of record and an id of it.
        token: what is given when the client asks for one by POST.
    """
    response, error = end
    hosts: set[str] = set()

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.add(request.url.host)
        if token is not None and request.method == "POST":
            return httpx.Response(200, json={"access_token": token})
        return httpx.Response(response.status_code, headers=response.headers, content=response.content)

    client = opened(httpx.MockTransport(answer))
    for kind, one in asked:
        with pytest.raises(error) as raised:
            await look_up(client, kind, one)
        assert not [secret for secret in secrets if secret in str(raised.value)]
    assert not [secret for secret in secrets if secret in repr(client)]
    await client.aclose()
    assert hosts == {host}


def change_of(source: str, sample: str, prefix: str) -> Change:
    """Give the one change that a sample of a webhook is."""
    asked = request_of(source, sample)
    connection = Connection(source, source, ("s" * 16,), prefix=prefix)
    adapter = SOURCES[source]
    (change,) = adapter.normalize(adapter.parse(asked), asked, connection).changes
    return change


async def send_through(desk: Desk, client: Helpdesk, *changes: Change) -> None:
    """Take in changes that need a look-up, which nothing is sent before, and send the ticket."""
    source = changes[0].connection
    desk.deps.helpdesks = {source: client}
    await desk.store.put([Delivery(None, tuple((one.ticket, one.encode()) for one in changes))])
    await desk.flush()
    assert desk.puts() == []
    assert await enrich_once(desk.deps, source) == 1
    await desk.settle()
