"""
Planhat's ticket endpoint as calls: PUT in bulk, list, delete, probe.

Every call ends in an answer object; no exception of httpx leaves this module, and neither does the token (not in a
repr, a log line or a message). Quota and leases are the caller's: a method here is exactly one HTTP request.

How a call ends:
    clear       Planhat answered.
    unsent      no connection could be made, or `before_last_chunk` said no: the body never left whole.
    ambiguous   every other end: the call may have landed or may land later.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, Self

import httpx

from gateway.core.outcome import TEXT_CAP, BulkOutcome
from gateway.errors import ConfigurationError
from workers.planhat import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from workers.planhat.wire import Row

ANSWER_MAX_BYTES: Final = 1024 * 1024
LIST_MAX_BYTES: Final = 64 * 1024 * 1024
CONNECT_MAX_S: Final = 10.0
KEEPALIVE_S: Final = 4.0
"""Idle connections are given up before a server's usual 5 s, so that no call meets one that is just being closed."""

_AMBIGUOUS: Final = frozenset({408, 501, 502, 504})
_NEVER_CONNECTED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class ListAnswer:
    """
    What a list call brought.

    rows: one per document, None when the call did not bring a list.
    outcome: how the call ended; its status, `retry_after_s` and detail.
    """

    rows: list[Row] | None
    outcome: BulkOutcome


@dataclass(frozen=True, slots=True)
class DeleteAnswer:
    """
    What a delete call came to.

    kind: `done` (any 2xx), `gone` (404: there is no such ticket), `ambiguous` (it may have landed or may land later),
        `refused` (clearly not done: a status, or None when no connection could be made).
    """

    kind: Literal["done", "gone", "ambiguous", "refused"]
    status: int | None = None
    detail: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """
    Whether Planhat takes our token. `detail` explains what is wrong, for a person; "" when nothing is.
    """

    ok: bool
    status: int | None = None
    detail: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    """One HTTP exchange: `kind` as in `BulkOutcome`; `whole` is False when the body was cut or over its cap."""

    kind: Literal["clear", "ambiguous", "unsent"]
    status: int = 0
    headers: Mapping[str, str] | None = None
    body: bytes = b""
    whole: bool = True
    detail: str = ""
    timed_out: bool = False


class _NotSent(Exception):
    """Raised inside the body stream, so that the connection is dropped before the body is whole."""


class PlanhatClient:
    """
    One destination's connection pool: TLS verified, no redirects, no proxy from the environment.

    Args:
        base_url: such as `https://api.planhat.com`; a path in it is kept.
        token: of a Private App.
        timeout_s: one whole call, from connecting to the last byte of the answer, seconds.
        transport: instead of the network, in tests.
        wall_s: Unix time, for a `Retry-After` that is a date.
    Raises:
        ConfigurationError: a token that cannot stand in a header.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise ConfigurationError("PLANHAT_API_TOKEN is empty or holds spaces, line ends or non-ASCII characters.")
        self.base_url = base_url
        self._token = token
        self._timeout_s = timeout_s
        self._wall_s = wall_s
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers=wire.call_headers(token),
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_MAX_S, timeout_s)),
            limits=httpx.Limits(keepalive_expiry=KEEPALIVE_S),
            follow_redirects=False,
            trust_env=False,
            verify=True,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"PlanhatClient({self.base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the pool."""
        await self._http.aclose()

    async def upsert(
        self,
        items: Sequence[bytes],
        *,
        before_last_chunk: Callable[[], Awaitable[bool]] | None = None,
    ) -> BulkOutcome:
        """
        Create or update tickets: one `PUT /tickets`.

        Args:
            items: encoded Planhat items, 1..5,000, each `sourceId` once.
            before_last_chunk: asked right before the last piece of the body is written; False drops the connection,
                and the outcome is `unsent`.
        Raises:
            ValueError: no items or too many.
            Exception: whatever `before_last_chunk` raises; the body was not sent whole then.
        """
        if not 1 <= len(items) <= wire.MAX_ITEMS:
            raise ValueError(f"a bulk upsert takes 1 to {wire.MAX_ITEMS} items, not {len(items)}")
        headers = {"content-type": "application/json", "content-length": str(wire.bulk_length(items))}
        body = _Body(items, before_last_chunk)
        answer = await self._call("PUT", wire.PATH, cap=ANSWER_MAX_BYTES, headers=headers, content=body.stream())
        if answer.kind == "ambiguous" and not body.started:
            answer = replace(answer, kind="unsent")
        return self._outcome(answer)

    async def list_tickets(self, **parameters: str | int | None) -> ListAnswer:
        """
        List tickets: one `GET /tickets`. Planhat may ignore a filter: check every row.

        Args:
            parameters: `companyId`, `limit` (<= 10,000, default 500), `offset`, `sort`, `select`, `status`, `email`,
                `search`; None leaves one out.
        Raises:
            ValueError: any other name, or a limit out of range.
        """
        query = wire.list_query(**parameters)
        answer = await self._call("GET", wire.PATH, cap=LIST_MAX_BYTES, params=query)
        if answer.kind != "clear" or not 200 <= answer.status < 300:
            return ListAnswer(None, self._outcome(answer))
        rows = wire.read_rows(answer.body) if answer.whole else None
        if rows is None:
            detail = answer.detail or f"HTTP {answer.status} that is no JSON list: {wire.plain(answer.body)}"
            return ListAnswer(None, BulkOutcome("ambiguous", answer.status, detail=self._clean(detail)))
        return ListAnswer(rows, BulkOutcome("clear", answer.status))

    async def companies(self) -> tuple[Mapping[str, str] | None, BulkOutcome]:
        """
        List the companies: one `GET /leancompanies`.

        Returns:
            external id -> `companyId`, None when the call did not bring a list; and how the call ended.
        """
        answer = await self._call("GET", wire.COMPANIES, cap=LIST_MAX_BYTES)
        if answer.kind != "clear" or not 200 <= answer.status < 300 or not answer.whole:
            return None, self._outcome(answer)
        return wire.read_companies(answer.body), BulkOutcome("clear", answer.status)

    async def delete(self, planhat_id: str) -> DeleteAnswer:
        """
        Delete one ticket: `DELETE /tickets/:_id`.

        Args:
            planhat_id: Planhat's `_id`, not the `sourceId`.
        Raises:
            ValueError: an id that cannot be one.
        """
        answer = await self._call("DELETE", wire.delete_path(planhat_id), cap=ANSWER_MAX_BYTES)
        if answer.kind != "clear":
            kind: Literal["ambiguous", "refused"] = "refused" if answer.kind == "unsent" else "ambiguous"
            return DeleteAnswer(kind, detail=self._clean(answer.detail))
        outcome = self._outcome(answer)
        if 200 <= answer.status < 300:
            return DeleteAnswer("done", answer.status)
        if answer.status == 404:
            return DeleteAnswer("gone", 404, outcome.detail)
        unclear = answer.status in _AMBIGUOUS or answer.status > 504
        return DeleteAnswer(
            "ambiguous" if unclear else "refused",
            answer.status,
            outcome.detail,
            outcome.retry_after_s,
        )

    async def probe(self) -> ProbeAnswer:
        """Ask for one ticket, so that address and token are proved: one `GET /tickets?limit=1`."""
        answer = await self.list_tickets(limit=1)
        outcome = answer.outcome
        if answer.rows is not None:
            return ProbeAnswer(True, outcome.status)
        why = _EXPLAINED.get(outcome.status or 0, "")
        detail = f"{why} Planhat says: {outcome.detail}" if why and outcome.detail else why or outcome.detail
        return ProbeAnswer(
            ok=False, status=outcome.status, detail=detail[:TEXT_CAP], retry_after_s=outcome.retry_after_s
        )

    async def _call(
        self,
        method: str,
        path: str,
        *,
        cap: int,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        content: AsyncIterator[bytes] | None = None,
    ) -> _Answer:
        """Do one exchange within the time-out. Only a cancellation leaves it as an exception."""
        try:
            async with asyncio.timeout(self._timeout_s):
                request = self._http.build_request(method, path, headers=headers, params=params, content=content)
                response = await self._http.send(request, stream=True)
                try:
                    return await _receive(response, cap)
                finally:
                    await response.aclose()
        except _NotSent:
            return _Answer("unsent", detail="the lease ran out before the body was sent whole")
        except _NEVER_CONNECTED as error:
            return _Answer("unsent", detail=f"no connection to Planhat: {_named(error)}")
        except (TimeoutError, httpx.TimeoutException):
            return _Answer("ambiguous", detail=f"no answer within {self._timeout_s:g} s", timed_out=True)
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError) as error:
            return _Answer("ambiguous", detail=f"the connection failed: {_named(error)}")

    def _outcome(self, answer: _Answer) -> BulkOutcome:
        """Read an exchange as an outcome."""
        if answer.kind != "clear":
            return BulkOutcome(answer.kind, detail=self._clean(answer.detail), timed_out=answer.timed_out)
        if not answer.whole and 200 <= answer.status < 300:
            return BulkOutcome("ambiguous", answer.status, detail=self._clean(answer.detail))
        body = answer.body.replace(self._token.encode(), b"[token]")
        return wire.decipher(answer.status, answer.headers or {}, body, now_s=self._wall_s())

    def _clean(self, text: str) -> str:
        """Give a text without the token, which an answer may repeat."""
        return text.replace(self._token, "[token]")[:TEXT_CAP]


class _Body:
    """A bulk body on its way: `started` once its first piece was asked for."""

    def __init__(self, items: Sequence[bytes], before_last_chunk: Callable[[], Awaitable[bool]] | None) -> None:
        self._items = items
        self._before_last_chunk = before_last_chunk
        self.started = False

    async def stream(self) -> AsyncIterator[bytes]:
        """Give the pieces, the last one only with leave."""
        self.started = True
        last: bytes | None = None
        for chunk in wire.bulk_chunks(self._items):
            if last is not None:
                yield last
            last = chunk
        if self._before_last_chunk is not None and not await self._before_last_chunk():
            raise _NotSent
        yield last or b""


async def _receive(response: httpx.Response, cap: int) -> _Answer:
    """Read an answer up to its cap. A refusal whose body is lost is still a clear refusal."""
    parts: list[bytes] = []
    size = 0
    whole, detail = True, ""
    try:
        async for part in response.aiter_bytes():
            size += len(part)
            if size > cap:
                whole, detail = False, f"HTTP {response.status_code} with an answer over {cap} bytes"
                break
            parts.append(part)
    except httpx.HTTPError as error:
        whole, detail = False, f"HTTP {response.status_code}, then the connection failed: {_named(error)}"
    return _Answer("clear", response.status_code, dict(response.headers), b"".join(parts), whole, detail)


def _named(error: BaseException) -> str:
    """Give an exception as text: its class, and its words where it has some."""
    words = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


_EXPLAINED: Final = {
    401: "The token is refused: expired, revoked or paused, or PLANHAT_API_URL names another region than the tenant's.",
    403: "The token may not read tickets: give its Private App the Conversation permission.",
    404: "There is no ticket endpoint at PLANHAT_API_URL.",
    405: "There is no ticket endpoint at PLANHAT_API_URL.",
    429: "Planhat's quota is used up, maybe by another program of the same tenant.",
} | dict.fromkeys(
    (301, 302, 303, 307, 308), "PLANHAT_API_URL redirects to another address; redirects are not followed."
)
"""What a status of the probe means. A wrong region answers 401 (second-hand, GitHub darrenparkinson/planhat)."""
