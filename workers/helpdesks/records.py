"""
How clients ask for many records: in groups where a helpdesk has batch calls, one record a call where it has none.

Clients of the second kind share the rest as well: answers are remembered for a while, and "no such record" is believed
only at an address that is proved, since a wrong one answers 404 to everything.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeVar

from gateway.sources.reading import mapping
from workers.helpdesks.base import (
    Api,
    Bearer,
    HelpdeskError,
    HelpdeskRefused,
    HelpdeskUnavailable,
    askable,
    chunks,
    record_id,
)
from workers.helpdesks.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import httpx

    from gateway.core.change import Change, Json
    from gateway.core.lookups import Company, Person
    from workers.access import HelpdeskAccess

T = TypeVar("T")


async def by_group(
    ids: Sequence[str],
    asked: Sequence[str],
    size: int,
    ask: Callable[[Sequence[str]], Awaitable[Mapping[str, T | None]]],
) -> dict[str, T | None]:
    """
    Ask for records in groups; one that the answer leaves out does not exist.

    Args:
        ids: as they were wanted; each becomes a key of the answer.
        asked: those of them that a record can have, each once.
        size: how many ids a group has at most.
    Raises:
        HelpdeskError: `found` holds what was read before.
    """
    done: dict[str, T | None] = {}
    for group in chunks(asked, size):
        try:
            read = await ask(group)
        except HelpdeskError as error:
            error.found = done
            raise
        done |= {one: read.get(one) for one in group}
    return dict.fromkeys(ids) | done


async def one_by_one(
    ids: Sequence[str], asked: Sequence[str], ask: Callable[[str], Awaitable[T | None]]
) -> dict[str, T | None]:
    """Ask for each record by itself; else as `by_group`."""

    async def alone(group: Sequence[str]) -> Mapping[str, T | None]:
        return {one: await ask(one) for one in group}

    return await by_group(ids, asked, 1, alone)


class RecordClient(ABC):
    """
    Look-ups of one connection at a helpdesk without batch calls.

    A subclass names the helpdesk and what to check when it refuses, and reads one person, one company, one ticket.

    Args:
        access: address and credentials.
        transport: instead of the network, in tests.
        monotonic, clock: seconds of a clock that never steps, and Unix seconds.
    """

    at_once = 20

    name: ClassVar[str]
    """The helpdesk, as people call it."""

    question: ClassVar[tuple[str, Mapping[str, str] | None]]
    """What right credentials may ask for at any time: path and query. An answer proves the address."""

    credentials: ClassVar[str]
    """What the helpdesk refuses, and the settings to check then."""

    address: ClassVar[str]
    """The setting that tells the address."""

    def __init__(
        self,
        access: HelpdeskAccess,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._monotonic = monotonic
        self._clock = clock
        self._memory = Memory(monotonic)
        self._api = Api(access.base_url, auth=self._auth(), transport=transport)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def users(self, ids: Sequence[str]) -> dict[str, Person | None]:
        """Look up people."""
        return await one_by_one(ids, self._askable(ids), self._user)

    async def organizations(self, ids: Sequence[str]) -> dict[str, Company | None]:
        """Look up companies."""
        return await one_by_one(ids, self._askable(ids), self._organization)

    async def tickets(self, ids: Sequence[str]) -> dict[str, Change | None]:
        """Read tickets anew."""
        return await one_by_one(ids, self._askable(ids), self._ticket)

    async def probe(self) -> str | None:
        """Ask what proves address and credentials."""
        try:
            answer = await self._api.get(*self.question)
        except HelpdeskRefused as error:
            return f"{self.name} refuses {self.credentials}. {self.name} says: {error}"
        except HelpdeskError as error:
            return f"{self.name} does not answer: {error}"
        ours = isinstance(answer, dict)
        return None if ours else f"There is no {self.name} API at this address: check {self.address}."

    def _auth(self) -> httpx.Auth:
        """Give the credentials: a token, unless a subclass knows better."""
        return Bearer(self._access.secret)

    def _askable(self, ids: Sequence[str]) -> list[str]:
        """Give the ids that a record can have, each once: numbers, unless a subclass knows better."""
        return askable(ids)

    @abstractmethod
    async def _user(self, user_id: str) -> Person | None:
        """Look up one person."""

    @abstractmethod
    async def _organization(self, organization_id: str) -> Company | None:
        """Look up one company."""

    @abstractmethod
    async def _ticket(self, ticket_id: str) -> Change | None:
        """Read one ticket anew."""

    async def _record(self, path: str, name: str = "data", query: Mapping[str, str] | None = None) -> Json:
        """
        Read one record; the answer must be the one that was asked for. None when the helpdesk answers 404.

        Args:
            path: ends with the record's id.
            name: the key below which the record stands.
        """
        answer = await self._api.get(path, query)
        if answer is None:
            return None
        row = mapping(answer).get(name)
        if not isinstance(row, dict) or record_id(row.get("id")) != path.rpartition("/")[2]:
            raise HelpdeskUnavailable(f"{path} answers no record of that id")
        return row

    async def _found(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Read what stands at a path; None when the helpdesk has nothing there, at an address that is proved."""
        row = await self._api.get(path, query)
        if row is None:
            await self._is_ours()
        return row

    async def _is_ours(self) -> bool:
        """Prove once in a while that address and credentials are right: a wrong address answers 404 to everything."""
        if await self._memory.get("ours", lambda: self._api.get(*self.question)) is None:
            raise HelpdeskUnavailable(f"there is no {self.name} API at this address: check {self.address}")
        return True
