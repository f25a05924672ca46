"""
What every set-up shares: the connection as an administrator sees it, a client that keeps account, and the report.

Reading calls are made always, writing calls only when this is no dry run; each call that changes something is noted as
a row of `Client.calls`, with every secret blotted out. A set-up recognises what it made by URL **and** name: two
gateways (staging, production) may send the same helpdesk's tickets to two URLs, and a webhook that a person made is
theirs.

    ConnectError(sentence)           it failed; the sentence says what to do
    └─ Refused(status)               the helpdesk answered with a status that is no success
"""

from __future__ import annotations

import asyncio
import secrets as random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import httpx
import orjson

from workers.planhat.wire import plain, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.change import Json
    from workers.access import HelpdeskAccess

TIMEOUT_S: Final = 30.0
"""Zendesk's test waits up to 12 s for us, inside one call."""

CONNECT_S: Final = 10.0
ANSWER_MAX_BYTES: Final = 8 * 1024 * 1024
PAGES_MAX: Final = 200
"""A list that never ends is a fault, not a reason to go on for ever."""

UNKNOWN: Final = "<id>"
"""Stands in a dry run for the id of what was not made."""

Outcome = Literal["created", "updated", "unchanged", "deleted", "absent", "steps"]


class ConnectError(Exception):
    """It failed. The text is one or more sentences for a person, without secrets."""


class Refused(ConnectError):
    """The helpdesk answered with a status that is no success."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Target:
    """
    One connection, as its helpdesk is to know it.

    url: where the helpdesk shall send to.
    secret_name: the variable that holds the webhook's secret. `secret` is what stands in it already, the newest of a
        list; "" when it is not set.
    account: what <SOURCE>_ACCOUNT_ID or the file's `account_id` says, else "".
    access: the API's address and credentials; None without.
    in_file: a connection of the configuration file, which variables of the source do not set.
    """

    connection: str
    source: str
    url: str
    secret_name: str
    secret: str = field(default="", repr=False)
    account: str = ""
    access: HelpdeskAccess | None = None
    in_file: bool = False

    @property
    def name(self) -> str:
        """What everything that is made is called, so that it can be recognised."""
        return f"planhat-gateway {self.connection}"


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What the command line asks for.

    triggers, full: Zendesk's triggers instead of its events; the whole ticket in their bodies.
    jql: which of Jira's issues; None leaves the filter as it is.
    new_secret: make another secret although the webhook has one.
    """

    triggers: bool = False
    full: bool = False
    jql: str | None = None
    new_secret: bool = False
    dry_run: bool = False


@dataclass(slots=True)
class Report:
    """
    What came of it.

    settings: variables to store, with their values: the only place where a secret is shown.
    steps: what a person must do, in order. notes: what they should know.
    """

    outcome: Outcome
    settings: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Client:
    """
    One helpdesk's set-up API.

    Args:
        vendor: its name for sentences.
        base_url: from the settings; no address from an answer is ever followed.
        words: status -> what it means here and what to do, for the statuses that have a usual cause.
        answers: statuses beside 2xx that bring an answer to read (GraphQL's errors).
        hidden: secrets that must not appear in `calls` or in a sentence.
        dry_run: make no writing call.
        transport: instead of the network, in tests.
    """

    def __init__(
        self,
        vendor: str,
        base_url: str,
        *,
        auth: httpx.Auth,
        words: Mapping[int, str],
        headers: Mapping[str, str] | None = None,
        answers: Sequence[int] = (),
        hidden: Sequence[str] = (),
        dry_run: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.calls: list[dict[str, Json]] = []
        self.dry_run = dry_run
        self.vendor = vendor
        self._words = words
        self._answers = answers
        self._hidden = [one for one in hidden if one]
        self._base_url = base_url
        self._http = httpx.AsyncClient(
            base_url=base_url,
            auth=auth,
            headers={"accept": "application/json", "accept-encoding": "identity", **(headers or {})},
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def hide(self, secret: str) -> None:
        """Blot a secret out of everything that is shown from now on."""
        if secret:
            self._hidden.append(secret)

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """
        Read something.

        Raises:
            ConnectError: any end but a success with JSON.
        """
        return await self._ask("GET", path, query, None)

    async def ask(self, path: str, question: Json) -> Json:
        """Read something by POST (GraphQL): made in a dry run, too, and not noted. Raises as `read`."""
        return await self._ask("POST", path, None, question)

    async def write(
        self, method: str, path: str, body: Json = None, query: Mapping[str, str] | None = None, *, why: str
    ) -> Json:
        """
        Change something, unless this is a dry run; note it either way.

        Args:
            why: what it does, for a person.
        Returns:
            The answer; None when it is empty or nothing was asked.
        Raises:
            ConnectError: any end but a success.
        """
        answer = None if self.dry_run else await self._ask(method, path, query, body)
        target = str(httpx.URL(f"{self._base_url.rstrip('/')}/{path.lstrip('/')}", params=query))
        self.calls.append({"method": method, "url": target, "why": why, "body": self.blot(body)})
        return answer

    def blot(self, value: Json) -> Json:
        """Give a value without the secrets in it."""
        if isinstance(value, str):
            for secret in self._hidden:
                value = value.replace(secret, "<secret>")
            return value
        if isinstance(value, list):
            return [self.blot(one) for one in value]
        if isinstance(value, dict):
            return {name: self.blot(one) for name, one in value.items()}
        return value

    async def _ask(self, method: str, path: str, query: Mapping[str, str] | None, body: Json) -> Json:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, headers, raw = await self._exchange(method, path, query, body)
        except (TimeoutError, httpx.TimeoutException):
            raise ConnectError(f"{self.vendor} ({self._base_url}) did not answer within {TIMEOUT_S:g} s.") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            detail = f"{type(error).__name__}: {str(error)[:200]}"
            raise ConnectError(f"{self.vendor} ({self._base_url}) cannot be reached ({detail}).") from None
        if not 200 <= status < 300 and status not in self._answers:
            raise Refused(status, self._sentence(status, headers, raw))
        if not raw.strip():
            return None
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise ConnectError(
                f"{self.vendor} ({self._base_url}) answers with something that is no JSON: is that its API's address?"
            ) from None

    async def _exchange(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Json
    ) -> tuple[int, httpx.Headers, bytes]:
        content = None if body is None else orjson.dumps(body)
        headers = None if body is None else {"content-type": "application/json"}
        async with self._http.stream(method, path, params=query, content=content, headers=headers) as response:
            raw = bytearray()
            async for part in response.aiter_bytes():
                raw += part
                if len(raw) > ANSWER_MAX_BYTES:
                    raise ConnectError(f"{self.vendor} ({self._base_url}) answers over {ANSWER_MAX_BYTES} bytes.")
            return response.status_code, response.headers, bytes(raw)

    def _sentence(self, status: int, headers: httpx.Headers, raw: bytes) -> str:
        """Say what a status means here; what the helpdesk itself says comes behind."""
        said = str(self.blot(plain(raw)))
        tail = f" It says: {said}" if said else ""
        if status == 429:
            wait_s = retry_after_s(headers.get("retry-after"))
            after = f" for {wait_s:g} s" if wait_s is not None else ""
            return f"{self.vendor} asks to wait{after} (429): try again then."
        if 300 <= status < 400:
            return f"{self.vendor} ({self._base_url}) redirects ({status}), which is not followed: check the address."
        words = self._words.get(status)
        return f"{words} ({status}).{tail}" if words else f"{self.vendor} answers {status}.{tail}"


def made_secret() -> str:
    """Make a secret of 256 random bits, in letters and digits that any field takes."""
    return random.token_hex(32)


def rows(answer: Json, vendor: str, *path: str) -> list[dict[str, Json]]:
    """
    Give the objects of a list in an answer.

    Args:
        path: keys that lead to the list; none when the answer is the list.
    Raises:
        ConnectError: there is no list, so nothing is known of what exists.
    """
    found = answer
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, list):
        raise ConnectError(f"{vendor} answers without the list that was asked for: is that its API's address?")
    return [row for row in found if isinstance(row, dict)]


def wanted(answer: Json, *path: str) -> Json:
    """Give what stands at the end of a path of keys, None when it is not there."""
    for name in path:
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer


def secret_to_use(target: Target, asked: Asked, *, exists: bool) -> str:
    """
    Give the secret that a webhook is to be given, where we may choose it; "" to leave the one that it has.

    What stands in the connection's variable is used, so that gateway and helpdesk agree from the first delivery.
    """
    if target.secret and not asked.new_secret:
        return target.secret
    return "" if exists and not asked.new_secret else made_secret()


def stored(target: Target, secret: str, report: Report, *, vendor: str) -> None:
    """Say in a report what is to be done with the secret: nothing, or store it."""
    if not secret:
        report.notes.append(
            f"{vendor} keeps the secret that it has and does not show it. If {target.secret_name} is lost, run this "
            "with --new-secret."
        )
    elif secret == target.secret:
        report.notes.append(f"The secret is the one that stands in {target.secret_name}.")
    else:
        report.settings[target.secret_name] = secret
        before = ", before the old one with a comma between," if target.secret else ""
        report.notes.append(
            f"Deliveries are refused until the secret is stored{before} and the web process has started with it."
        )


def ours(
    listed: Sequence[dict[str, Json]],
    target: Target,
    vendor: str,
    *,
    url: str,
    name: str,
    strict: bool,
    nameless: bool = False,
) -> dict[str, Json] | None:
    """
    Find our webhook in a list: by URL and name.

    Args:
        url, name: keys of both in a row.
        strict: complain of a webhook to our URL that is not ours.
        nameless: a row without the key `name` comes from a server that knows no names: the URL says enough.
    Raises:
        ConnectError: `strict`, and somebody else's webhook sends to our URL.
    """
    here = [row for row in listed if row.get(url) == target.url]
    for row in here:
        if row.get(name) == target.name or (nameless and name not in row):
            return row
    if here and strict:
        names = ", ".join(repr(row.get(name)) for row in here)
        raise ConnectError(
            f"{vendor} already has a webhook to {target.url} that is not called {target.name!r} ({names}): somebody "
            "made it by hand. A second one would send everything twice. Delete it in the helpdesk, or keep it and do "
            "not use `connect`. Nothing was changed."
        )
    return None


async def delete(desk: Client, path: str, why: str) -> None:
    """Delete something; what is gone already is fine. Raises ConnectError as `Client.write` does."""
    try:
        await desk.write("DELETE", path, why=why)
    except Refused as error:
        if error.status != 404:
            raise


def deleted(target: Target) -> Report:
    """Give the report of a `disconnect` that found something."""
    return Report("deleted", notes=[f"{target.secret_name} can be removed."])
