"""Poison in a batch costs few calls and nobody else, wherever it stands (I14), through the real flush."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
import redis as blocking
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.poison import search

if TYPE_CHECKING:
    from tests.redis_server import RedisServer


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    with blocking.Redis(unix_socket_path=redis_server.socket) as client:
        client.flushall()
    return redis_server.url


def check(url: str, items: int, numbers: set[int]) -> None:
    came = asyncio.run(search(url, items, numbers))
    assert came.wrong == []
    assert came.extra_calls <= came.bound + 10 * came.stops


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_poison_items_anywhere_are_found_within_the_bound_and_the_others_pass(url: str, data) -> None:
    """Where all are poison and they are many, none is to blame: the destination is stopped."""
    items = data.draw(st.integers(1, 60))
    numbers = data.draw(st.sets(st.integers(0, items - 1)))
    check(url, items, numbers)


@pytest.mark.parametrize(("items", "poison"), [(200, 20), (60, 54)])
def test_many_poison_items_among_many_others_are_found_within_the_bound(url: str, items: int, poison: int) -> None:
    luck = random.Random(items)
    check(url, items, set(luck.sample(range(items), poison)))
    start = luck.randrange(items - poison)
    check(url, items, set(range(start, start + poison)))


def test_poison_in_the_largest_batch_is_found_within_the_bound(url: str) -> None:
    luck = random.Random()
    check(url, 5_000, set(luck.sample(range(5_000), luck.randint(1, 3))))
