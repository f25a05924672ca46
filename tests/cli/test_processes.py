"""Signals end what the command line started, whatever swallows them on the way."""

from __future__ import annotations

import contextlib
import signal

import pytest

from gateway.cli.processes import interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_was_swallowed_inside_is_felt_at_the_end(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible(), contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_block_without_a_signal_ends_by_itself():
    with interruptible():
        ended = True
    assert ended
