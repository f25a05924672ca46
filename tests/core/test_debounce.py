"""When a batch leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.debounce import due_at_ms, is_due

TIME = st.integers(0, 10**13)


def test_each_change_postpones_the_batch() -> None:
    assert due_at_ms(1_000, 1_000, quiet_ms=500, max_wait_ms=5_000) == 1_500
    assert due_at_ms(1_400, 1_000, quiet_ms=500, max_wait_ms=5_000) == 1_900


def test_a_helpdesk_that_never_falls_silent_is_still_delivered() -> None:
    assert due_at_ms(9_000, 1_000, quiet_ms=500, max_wait_ms=5_000) == 6_000


def test_a_clock_that_went_back_never_makes_it_due_before_its_first_change() -> None:
    assert due_at_ms(0, 1_000, quiet_ms=500, max_wait_ms=5_000) == 1_000


def test_a_maximum_below_the_quiet_period_is_refused() -> None:
    with pytest.raises(ValueError, match="max_wait_ms"):
        due_at_ms(0, 0, quiet_ms=2, max_wait_ms=1)


@given(TIME, TIME, st.integers(0, 10**6), st.integers(0, 10**6))
def test_due_is_never_before_the_first_change_nor_after_the_maximum_wait(
    now: int, first: int, quiet: int, more: int
) -> None:
    assert first <= due_at_ms(now, first, quiet_ms=quiet, max_wait_ms=quiet + more) <= first + quiet + more


@pytest.mark.parametrize(
    "now, oldest, last_put, count, leaves",
    [
        (9_999, None, 0, 0, False),  # nothing is there
        (9_999, 1_000, 1_000, 0, False),  # nothing is due
        (1_000, 1_000, 1_000, 10, True),  # full
        (1_499, 1_000, 1_000, 1, False),  # not quiet yet
        (1_500, 1_000, 1_000, 1, True),  # quiet
        (1_500, 1_000, 1_200, 9, False),  # another came in
        (6_000, 1_000, 5_999, 9, True),  # waited long enough
        (1_499, 1_000, 0, 1, False),  # the last put is older than what became due since
    ],
)
def test_a_batch_leaves_when_it_is_full_quiet_or_old(now, oldest, last_put, count, leaves) -> None:
    due = is_due(now, oldest_ms=oldest, last_put_ms=last_put, due_count=count, quiet_ms=500, max_wait_ms=5_000, full=10)
    assert due is leaves
