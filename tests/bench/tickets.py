"""
Changes of about 2 KB as Zendesk's trigger template gives them: complete, with e-mail and domains, so no look-up is due.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.core.lookups import Company, Person
from gateway.store.client import connect
from gateway.store.pending import Delivery, Limits, Store
from tests.bench.bodies import ORGANIZATION, ORIGIN_MS, PEOPLE, TEXT
from workers.helpdesks.base import write_company, write_person

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

LIMITS: Final = Limits(pending_max_tickets=5_000_000)
PER_PUT: Final = 500


def change(number: int, *, at_ms: int = ORIGIN_MS, text_chars: int = 1400) -> Change:
    """Give a full snapshot of ticket `number`."""
    return Change(
        ticket=f"zendesk:{number}",
        connection="zendesk",
        fields={
            "title": f"Scanner at loading dock {number} drops parcels",
            "description": (TEXT * 8)[:text_chars],
            "url": f"https://lumen.zendesk.com/agent/tickets/{number}",
            "tags": ["scanner", "dock-7", "hardware", "priority-customer"],
            "type": "problem",
            "severity": "high",
            "status": "open",
            "email": f"person{number}@customer{number % 500}.example",
            "name": f"Person {number}",
            "agentEmail": "agent@lumen.example",
            "domains": [f"customer{number % 500}.example"],
            "companyExternalId": f"c-{number % 500}",
        },
        updated_at_ms=at_ms,
        event_at_us=at_ms * 1000 + number % 1000,
        created_at_ms=ORIGIN_MS - 86_400_000,
        life="live",
        creation=True,
        complete=True,
    )


def deliveries(first: int, amount: int, *, text_chars: int = 1400, ids: bool = True) -> list[Delivery]:
    """
    Give one delivery per ticket.

    Args:
        ids: each has a delivery id, as webhooks have.
    """
    made = []
    for number in range(first, first + amount):
        one = change(number, text_chars=text_chars)
        dedupe = hashlib.blake2b(b"%d" % number, digest_size=16).digest() if ids else None
        made.append(Delivery(dedupe, ((one.ticket, one.encode()),)))
    return made


def store_on(url: str) -> tuple[Redis, Store]:
    """Open a store whose cap leaves room for a million and more."""
    redis = connect(url, socket_timeout_s=60)
    return redis, Store(redis, limits=LIMITS)


async def preload(store: Store, ready: Sequence[Delivery]) -> None:
    """Put deliveries, as a web process would."""
    for start in range(0, len(ready), PER_PUT):
        await store.put(ready[start : start + PER_PUT])


def token() -> str:
    """Give a fencing token."""
    return secrets.token_hex(8)


async def seed_lookups(url: str) -> None:
    """Lay the look-up answers that the bodies of `bodies` need, as if the helpdesk had been asked before."""
    redis, store = store_on(url)
    people = {one: write_person(Person(f"person{one[-2:]}@customer.example", "Person")) for one in PEOPLE}
    await store.cache_set("zendesk", "user", people, 86_400)
    company = write_company(Company(("customer.example",), "c-1", "Customer"))
    await store.cache_set("zendesk", "organization", {ORGANIZATION: company}, 86_400)
    await redis.aclose()
