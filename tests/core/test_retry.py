"""How long to wait before another try."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.retry import backoff_ms, rate_limit_pause_ms

JITTER = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    "attempt, low, high", [(-3, 50, 100), (0, 50, 100), (1, 50, 100), (2, 100, 200), (5, 500, 1000)]
)
def test_a_back_off_doubles_up_to_its_cap(attempt: int, low: int, high: int) -> None:
    assert backoff_ms(attempt, base_ms=100, cap_ms=1000, jitter=0) == low
    assert high * 0.98 < backoff_ms(attempt, base_ms=100, cap_ms=1000, jitter=0.999) <= high


@given(st.integers(-5, 10**9), JITTER)
def test_a_back_off_is_between_half_the_base_and_the_cap_however_often_it_failed(attempt: int, jitter: float) -> None:
    assert 50 <= backoff_ms(attempt, base_ms=100, cap_ms=60_000, jitter=jitter) <= 60_000


@pytest.mark.parametrize("said, pause", [(0.0, 1_000), (-1.0, 1_000), (0.5, 1_000), (7.0, 7_000), (300.0, 300_000)])
def test_retry_after_counts_but_never_less_than_a_second(said: float, pause: int) -> None:
    assert rate_limit_pause_ms(said, 0, 0) == pause
    assert rate_limit_pause_ms(said, 9, 0.999) == pause + 249, "a little later, so that workers do not meet"


@pytest.mark.parametrize("attempt, low", [(0, 1_000), (1, 2_000), (3, 8_000), (6, 60_000), (60, 60_000)])
def test_without_retry_after_the_pause_doubles_up_to_two_minutes(attempt: int, low: int) -> None:
    assert rate_limit_pause_ms(None, attempt, 0) == low
    assert low <= rate_limit_pause_ms(None, attempt, 0.999) <= 120_000
