"""
How long to wait before another try. Pure: the jitter is an argument.
"""

from __future__ import annotations

from typing import Final

RATE_LIMIT_FLOOR_MS: Final = 1_000
RATE_LIMIT_BASE_MS: Final = 2_000
RATE_LIMIT_CAP_MS: Final = 120_000


def backoff_ms(attempt: int, *, base_ms: int, cap_ms: int, jitter: float) -> int:
    """
    Exponential back-off: between half and the whole of `base_ms x 2^(attempt-1)`, at most `cap_ms`.

    Args:
        attempt: failures so far, 1 after the first; smaller numbers count as 1.
        jitter: a random number in [0, 1).
    """
    exponent = min(max(attempt, 1) - 1, 40)
    whole = min(cap_ms, base_ms << exponent)
    return int(whole * (0.5 + jitter / 2))


def rate_limit_pause_ms(retry_after_s: float | None, attempt: int, jitter: float) -> int:
    """
    How long everybody waits after a 429.

    `Retry-After` counts when Planhat gave one (never less than a second, and a little later, so that workers do not
    meet); else exponential up to 120 s, because the quota resets after 60 to 120 s.

    Args:
        attempt: 429 answers in a row before this one.
        jitter: a random number in [0, 1).
    """
    if retry_after_s is not None:
        return max(RATE_LIMIT_FLOOR_MS, int(retry_after_s * 1000)) + int(250 * jitter)
    return max(
        RATE_LIMIT_FLOOR_MS,
        backoff_ms(attempt + 1, base_ms=RATE_LIMIT_BASE_MS, cap_ms=RATE_LIMIT_CAP_MS, jitter=jitter),
    )
