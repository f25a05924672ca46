"""
When pending changes leave: after a quiet period, after a maximum wait, or when a batch is full.
"""

from __future__ import annotations


def due_at_ms(now_ms: int, first_change_at_ms: int, *, quiet_ms: int, max_wait_ms: int) -> int:
    """
    When a destination's pending changes become due.

    Each change postpones the batch by `quiet_ms`, never past `max_wait_ms` after the oldest unsent change, so a
    helpdesk that never falls silent is still delivered.

    Args:
        now_ms: Unix time of the latest change, milliseconds.
        first_change_at_ms: Unix time of the oldest unsent change.
    Returns:
        Unix time, milliseconds, at or after `first_change_at_ms`.
    Raises:
        ValueError: `max_wait_ms < quiet_ms`.
    Source:
        Trailing-edge debounce with maxWait.
    """
    if max_wait_ms < quiet_ms:
        raise ValueError("max_wait_ms must not be less than quiet_ms")
    return max(first_change_at_ms, min(now_ms + quiet_ms, first_change_at_ms + max_wait_ms))


def is_due(
    now_ms: int,
    *,
    oldest_ms: int | None,
    last_put_ms: int,
    due_count: int,
    quiet_ms: int,
    max_wait_ms: int,
    full: int,
) -> bool:
    """
    Whether a batch leaves now.

    Args:
        oldest_ms: when the oldest due ticket became due, Unix ms; None when there is none.
        last_put_ms: when the last change came in, Unix ms.
        due_count: tickets that are due.
        full: tickets of a full batch.
    """
    if oldest_ms is None or due_count <= 0:
        return False
    if due_count >= full:
        return True
    return now_ms >= due_at_ms(max(last_put_ms, oldest_ms), oldest_ms, quiet_ms=quiet_ms, max_wait_ms=max_wait_ms)
