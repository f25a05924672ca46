"""
What a helpdesk's look-up client is, and the one way all of them ask: JSON, capped, timed, no redirects, read only.

Addresses come from the settings only, never from a payload. A failure is one of three errors, so that it can never be
taken for "no such record", which is None in an answer.

    HelpdeskError
    ├─ HelpdeskBusy(retry_after_s)   429: come back later
    ├─ HelpdeskUnavailable(detail)   no answer, or none that can be read
    │  └─ HelpdeskMoved(location)    the record has another address, which is not followed
    └─ HelpdeskRefused(detail)       401, 403: the credentials do not do
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, Protocol

import httpx
import orjson

from gateway.core.lookups import Company, Person
from gateway.sources.reading import strings, text
from workers.planhat.wire import plain, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from gateway.core.change import Change, Json

TIMEOUT_S: Final = 20.0
CONNECT_S: Final = 10.0
ANSWER_MAX_BYTES: Final = 32 * 1024 * 1024
BUSY_DEFAULT_S: Final = 60.0
"""Many helpdesks count per minute; this holds when a 429 names no time."""

_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.-]{0,127}")
_WEBSITE: Final = re.compile(r"(?:https?://)?(?:www\.)?((?:[a-z0-9-]{1,63}\.)+[a-z]{2,24})(?::[0-9]{1,5})?(?:[/?#].*)?")


class HelpdeskError(Exception):
    """
    A look-up failed; nothing is known of the records asked for.

    found: what the same call had read before it failed, by id; worth keeping, since each answer cost quota.
    """

    found: Mapping[str, object] = {}


class HelpdeskBusy(HelpdeskError):
    """429. `retry_after_s` is what the helpdesk asked for, seconds."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"the helpdesk asks to wait {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class HelpdeskUnavailable(HelpdeskError):
    """No answer, or none that can be read."""


class HelpdeskMoved(HelpdeskUnavailable):
    """301 or 308: some helpdesks answer so for a record that was merged into another. `location` is as it was sent."""

    def __init__(self, location: str) -> None:
        super().__init__(f"the record has moved to {location[:200]}")
        self.location = location


class HelpdeskRefused(HelpdeskError):
    """401 or 403: wrong, revoked or too weak credentials."""


class Helpdesk(Protocol):
    """
    Look-ups at one connection's helpdesk.

    Every id asked for is a key of the answer; None says that the helpdesk has no such record. Ids are the helpdesk's
    own, without prefix. Raises HelpdeskError in all other cases.
    """

    at_once: int
    """How many ids one call should be given: more cost more HTTP requests and are lost together when one fails."""

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        """Look up people."""

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        """Look up companies."""

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read tickets anew: whole snapshots, stamped with their own `updated_at`."""

    async def probe(self) -> str | None:
        """Say what is wrong with address or credentials, for a person; None when nothing is."""

    async def aclose(self) -> None:
        """Close the connections."""


class Bearer(httpx.Auth):
    """Shows a token that does not change."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the token into the request."""
        request.headers["Authorization"] = self._header
        yield request


class Api:
    """
    One helpdesk's REST API, read only.

    Args:
        base_url: from the settings.
        user, secret: Basic credentials.
        auth: other credentials instead.
        headers: sent with every request.
        busy_s: how long to wait after a 429 that names no time.
        transport: instead of the network, in tests.
    """

    def __init__(
        self,
        base_url: str,
        user: str = "",
        secret: str = "",
        *,
        auth: httpx.Auth | None = None,
        headers: Mapping[str, str] | None = None,
        busy_s: float = BUSY_DEFAULT_S,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._busy_s = busy_s
        self._http = httpx.AsyncClient(
            base_url=base_url,
            auth=auth or httpx.BasicAuth(user, secret),
            headers={"accept": "application/json", "accept-encoding": "identity", **(headers or {})},
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
            limits=httpx.Limits(max_connections=4, keepalive_expiry=4.0),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, path: str, query: Mapping[str, str | list[str]] | None = None) -> Json:
        """
        Read one resource; None when the helpdesk has none there (404).

        Args:
            query: a list of values repeats its name.
        Raises:
            HelpdeskError: every other end but a 200 with JSON.
        """
        return await self._ask("GET", path, query)

    async def post(self, path: str, question: Json, query: Mapping[str, str | list[str]] | None = None) -> Json:
        """
        Ask for many records at once, where the helpdesk takes the question as JSON; None when it has no such door.

        Some records may be missing (207): the answer then says which.

        Raises:
            HelpdeskError: every other end but a 200 or 207 with JSON.
        """
        return await self._ask("POST", path, query, question, (200, 207))

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | list[str]] | None,
        question: Json = None,
        good: tuple[int, ...] = (200,),
    ) -> Json:
        try:
            async with asyncio.timeout(self._timeout_s):
                status, headers, body = await self._exchange(method, path, query, question)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise HelpdeskUnavailable(f"no answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise HelpdeskUnavailable(f"the connection failed: {type(error).__name__}: {str(error)[:200]}") from error
        if status == 404:
            return None
        if status == 429:
            wait_s = retry_after_s(headers.get("retry-after") or headers.get("x-ratelimit-retry-after"))
            raise HelpdeskBusy(self._busy_s if wait_s is None else wait_s)
        if status in (301, 308) and (location := headers.get("location")):
            raise HelpdeskMoved(location)
        if status in (401, 403):
            raise HelpdeskRefused(f"HTTP {status}: {plain(body)}".rstrip(": "))
        if status not in good:
            raise HelpdeskUnavailable(f"HTTP {status}: {plain(body)}".rstrip(": "))
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise HelpdeskUnavailable(f"an answer that is not JSON: {plain(body)}") from error

    async def _exchange(
        self, method: str, path: str, query: Mapping[str, str | list[str]] | None, question: Json
    ) -> tuple[int, httpx.Headers, bytes]:
        content = None if question is None else orjson.dumps(question)
        headers = None if question is None else {"content-type": "application/json"}
        async with self._http.stream(method, path, params=query, content=content, headers=headers) as response:
            parts: list[bytes] = []
            size = 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > ANSWER_MAX_BYTES:
                    raise HelpdeskUnavailable(f"an answer over {ANSWER_MAX_BYTES} bytes")
                parts.append(part)
            return response.status_code, response.headers, b"".join(parts)


def record_id(value: object) -> str | None:
    """
    Give the id of a REST record as text; None when it is none ("", "0", 0 and null mean nobody).

    Integers are exact here up to 64 bits; a larger one has become a float and is refused.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    found = str(value).strip()
    return found if found not in ("", "0") else None


def askable(ids: Sequence[str]) -> list[str]:
    """Give the ids that can be asked for, each once: digits only, so that no id can name another path or parameter."""
    return [one for one in dict.fromkeys(ids) if one.isascii() and one.isdecimal() and len(one) <= 20 and int(one) > 0]


def plain_ids(ids: Sequence[str]) -> list[str]:
    """Give the ids to ask for where they are no numbers, each once: no marks that mean something in a URL."""
    return [one for one in dict.fromkeys(ids) if _PLAIN_ID.fullmatch(one) and ".." not in one]


def rows_of(answer: Json, name: str, what: str) -> list[Mapping[str, Json]]:
    """
    Give the objects of an answer's list.

    Args:
        name: the key of the list.
        what: how to call the question in a complaint.
    Raises:
        HelpdeskUnavailable: there is no list, so the answer says nothing about anybody.
    """
    listed = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        raise HelpdeskUnavailable(f"{what} answers without a list of {name}")
    return [row for row in listed if isinstance(row, dict)]


def domains_of(listed: object) -> tuple[str, ...]:
    """Give the domains of a company's record; nothing when they are no list of texts."""
    return tuple(domain.lower() for domain in strings(listed) or ())


def website_domain(website: object) -> str | None:
    """Give the host of a web site, as people type it; None when there is none."""
    found = _WEBSITE.fullmatch((text(website) or "").lower())
    return found[1] if found else None


def chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Give the ids in groups of at most `size`."""
    for at in range(0, len(ids), size):
        yield ids[at : at + size]


def write_person(person: Person | None) -> bytes:
    """Give a look-up's answer as Redis caches it; `null` for "no such record", the same for every kind."""
    return orjson.dumps(None if person is None else {"email": person.email, "name": person.name})


def read_person(raw: bytes) -> Person | None:
    """
    Read a cached answer.

    Raises:
        ValueError: bytes that are none.
    """
    held = _cached(raw)
    return None if held is None else Person(email=held.get("email"), name=held.get("name"))


def write_company(company: Company | None) -> bytes:
    """Give a look-up's answer as Redis caches it; `null` for "no such record", the same for every kind."""
    if company is None:
        return orjson.dumps(None)
    held = {"domains": company.domains, "external_id": company.external_id, "name": company.name}
    return orjson.dumps(held)


def read_company(raw: bytes) -> Company | None:
    """
    Read a cached answer.

    Raises:
        ValueError: bytes that are none.
    """
    held = _cached(raw)
    if held is None:
        return None
    return Company(tuple(held.get("domains") or ()), external_id=held.get("external_id"), name=held.get("name"))


def _cached(raw: bytes) -> dict[str, Json] | None:
    held = orjson.loads(raw)
    if held is not None and not isinstance(held, dict):
        raise ValueError("a cached look-up of an unknown shape")
    return held
