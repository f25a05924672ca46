"""Poison items are found in few calls. Counted by a simulator that uses the planner as the flush loop does."""

from __future__ import annotations

import random
from functools import cache
from itertools import combinations

import pytest

from gateway.core.bisect import after_failure, after_success, hash_order, next_test
from gateway.core.bisect import test_size as size_of

place = cache(hash_order)


def bound(n: int, k: int) -> int:
    """I14."""
    return min(k * ((n - 1).bit_length() + 2), 2 * n)


def search(n: int, poison: set[str]) -> tuple[int, list[str]]:
    """Count the calls after the failed one of all `n`; give whom they convicted, each after it failed alone."""
    if n == 1:
        return 0, ["t0"]
    groups = after_failure({f"t{i}": 0 for i in range(n)}, {f"t{i}" for i in range(n)})
    calls, cleared = 0, 0
    convicted: list[str] = []
    while groups:
        tested = next_test(groups, found=len(convicted), cleared=cleared, order=place)
        assert tested and groups.keys() >= set(tested)
        calls += 1
        if poison.isdisjoint(tested):
            groups = after_success(groups, set(tested))
            cleared += len(tested)
        else:
            groups = after_failure(groups, set(tested))
            if len(tested) == 1:
                convicted.append(tested[0])
    return calls, convicted


def check(n: int, numbers: set[int]) -> None:
    poison = {f"t{i}" for i in numbers}
    calls, convicted = search(n, poison)
    assert len(convicted) == len(poison)
    assert set(convicted) == poison
    assert calls <= bound(n, len(poison)), f"{len(poison)} of {n}"


@pytest.mark.parametrize("n", range(1, 11))
def test_any_pattern_of_poison_in_a_small_batch_is_found_within_the_bound(n: int) -> None:
    for k in range(1, n + 1):
        for numbers in combinations(range(n), k):
            check(n, set(numbers))


LARGE = [
    *((16, k) for k in range(1, 17)),
    *((100, k) for k in (*range(1, 31), 40, 50, 60, 75, 99, 100)),
    *((1000, k) for k in (1, 2, 33, 84, 167, 1000)),
    *((5000, k) for k in (1, 2, 33)),
]


@pytest.mark.parametrize("n, k", LARGE)
def test_poison_at_random_side_by_side_or_evenly_spaced_is_found_within_the_bound(n: int, k: int) -> None:
    luck = random.Random(n * 10_007 + k)
    for _ in range(max(1, 100 // n)):
        check(n, set(luck.sample(range(n), k)))
    start = luck.randrange(n)
    check(n, {(start + i) % n for i in range(k)})
    check(n, {i * n // k for i in range(k)})


def most_calls(n: int) -> tuple[int, ...]:
    """Play against an adversary who picks each answer: per k, the most calls that he can force."""
    never = -(10**6)

    @cache
    def play(known: int, aside: int, found: int) -> tuple[int, ...]:
        cleared = n - known - aside - found
        if not known + aside:
            return tuple(0 if k == found else never for k in range(n + 1))
        size = size_of(known, aside, found=found, cleared=cleared)
        lone = play(0, known + aside - 1, found + 1) if size == 1 else play(size, known + aside - size, found)
        ends = [lone]
        if known != 1:
            ends.append(play(known - size, aside, found) if known else play(0, aside - size, found))
        return tuple(1 + max(column) for column in zip(*ends, strict=True))

    return play(n, 0, 0)


@pytest.mark.parametrize("n", [*range(2, 26), 31, 32, 33, 48])
def test_no_answers_whatever_exceed_the_bound(n: int) -> None:
    """Any pattern in any order, not only those that we thought of."""
    calls = most_calls(n)
    assert all(calls[k] <= bound(n, k) for k in range(1, n + 1))


def test_a_named_ticket_goes_alone_and_first() -> None:
    groups = {"a": 0, "b": 1, "c": 2, "d": 1}
    assert next_test(groups, found=0, cleared=0) == ("c",)
    assert after_failure(groups, ("c",)) == {"a": 0, "b": 1, "d": 1}, "it says nothing of the others"


def test_a_failing_half_narrows_the_group_and_sets_the_other_half_aside() -> None:
    groups = {"a": 1, "b": 1, "c": 1, "d": 1, "e": 0, "f": 2}
    assert after_failure(groups, ("a", "b")) == {"a": 1, "b": 1, "c": 0, "d": 0, "e": 0, "f": 2}


def test_a_lone_failure_is_convicted_and_nothing_is_known_of_its_group_any_more() -> None:
    assert after_failure({"a": 1, "b": 1, "c": 0, "d": 2}, ("a",)) == {"b": 0, "c": 0, "d": 2}


def test_a_failing_group_of_the_set_aside_is_known_to_hold_poison() -> None:
    assert after_failure({"a": 0, "b": 0, "c": 0}, ("a", "b")) == {"a": 1, "b": 1, "c": 0}


def test_a_passing_half_leaves_the_other_half_known_without_a_call() -> None:
    assert after_success({"a": 1, "b": 1, "c": 1, "d": 0}, ("a",)) == {"b": 1, "c": 1, "d": 0}


def test_the_last_one_of_a_group_is_sent_alone_before_it_is_convicted() -> None:
    groups = after_success({"a": 1, "b": 1, "c": 0}, ("a",))
    assert groups.keys() == {"b", "c"}
    assert next_test(groups, found=0, cleared=1) == ("b",)


def test_what_is_no_suspect_changes_nothing() -> None:
    groups = {"a": 1, "b": 1, "c": 1, "d": 0}
    assert after_failure(groups, ("other",)) == groups
    assert after_success(groups, ("other",)) == groups


def test_no_suspects_no_test() -> None:
    assert next_test({}, found=3, cleared=5) == ()


def test_the_order_is_the_same_on_every_worker_and_neighbours_part() -> None:
    groups = {f"t{i}": 1 for i in range(64)}
    tested = next_test(groups, found=0, cleared=0)
    assert tested == next_test(dict(reversed(groups.items())), found=0, cleared=0)
    assert len({int(ticket[1:]) // 8 for ticket in tested}) >= 6


def test_the_set_aside_go_together_while_few_were_found_and_one_by_one_where_all_is_poison() -> None:
    assert size_of(0, 4999, found=1, cleared=0) == 4999
    assert size_of(0, 4000, found=1000, cleared=0) == 1
