"""
OAuth 2 client credentials: a token for a while, asked for when it is needed and once more when it is refused.

Source: RFC 6749 §4.4; help.salesforce.com "OAuth 2.0 Client Credentials Flow"; developer.helpscout.com
mailbox-api/overview/authentication (2026-11, documented).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import httpx
import orjson

from workers.helpdesks.base import BUSY_DEFAULT_S, HelpdeskBusy, HelpdeskRefused, HelpdeskUnavailable
from workers.planhat.wire import plain, retry_after_s

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

HEADERS: Final = {"accept": "application/json", "accept-encoding": "identity"}
TOKEN_MAX_BYTES: Final = 64 * 1024
MARGIN_S: Final = 60.0
"""A token that ends so soon is not used for another request."""


class _Capped(httpx.AsyncByteStream):
    """The stream of an answer that httpx reads whole between two requests, ended before it can fill the memory."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > TOKEN_MAX_BYTES:
                raise HelpdeskUnavailable(f"an answer over {TOKEN_MAX_BYTES} bytes")
            yield part

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


class ClientCredentials(httpx.Auth):
    """
    Shows a token and gets it where the settings say, never where an answer says.

    Where a server does not tell how long a token lives, it is used until it is refused.

    Args:
        token_url: on the host of the API.
        monotonic: seconds of a clock that never steps.
    """

    def __init__(
        self, token_url: str, client_id: str, client_secret: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._token_url = token_url
        self._form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._token = ""
        self._until_s: float | None = None

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """
        Send the request with a token; with a new one, once, when the token is not taken.

        Raises:
            HelpdeskError: no token is given.
        """
        for attempt in (1, 2):
            async with self._lock:  # requests that need a token at once share one
                if not self._fresh():
                    await self._learn((yield httpx.Request("POST", self._token_url, data=self._form, headers=HEADERS)))
                token = self._token
            request.headers["Authorization"] = f"Bearer {token}"
            response = yield request
            if response.status_code != 401 or attempt == 2:
                return
            await _read(response)
            if token == self._token:
                self._token = ""

    def _fresh(self) -> bool:
        return bool(self._token) and (self._until_s is None or self._monotonic() < self._until_s)

    async def _learn(self, response: httpx.Response) -> None:
        """Take the token out of an answer; it stands in no error."""
        body = await _read(response)
        if response.status_code == 429:
            wait_s = retry_after_s(response.headers.get("retry-after"))
            raise HelpdeskBusy(BUSY_DEFAULT_S if wait_s is None else wait_s)
        if response.status_code in (400, 401, 403):
            raise HelpdeskRefused(f"no token, HTTP {response.status_code}: {plain(body)}".rstrip(": "))
        if response.status_code != 200:
            raise HelpdeskUnavailable(f"no token, HTTP {response.status_code}: {plain(body)}".rstrip(": "))
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise HelpdeskUnavailable("no token: an answer that is not JSON") from error
        token = said.get("access_token") if isinstance(said, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise HelpdeskUnavailable("an answer without a token")
        lives_s = said.get("expires_in")
        known = isinstance(lives_s, int | float) and not isinstance(lives_s, bool)
        self._token = token
        self._until_s = self._monotonic() + lives_s - MARGIN_S if known else None


async def _read(response: httpx.Response) -> bytes:
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _Capped(response.stream)
    return await response.aread()
