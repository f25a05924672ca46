"""
The only things of a real process that are replaced: its clocks and its randomness.

`time.time`, `time.monotonic` and `time.perf_counter` read the virtual clock, each process its own with its skew;
`secrets.token_hex` and the jitter of `Retry-After` come from the seed.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING

from gateway.ingest import problems
from tests.sim.loop import EPOCH_S

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.sim.loop import SimLoop

REPLACED = (
    "time.time, time.monotonic, time.perf_counter: the virtual clock, with the skew of the process that asks",
    "secrets.token_hex, Retry-After jitter, Deps.token, Deps.jitter: drawn from the seed",
    "asyncio's event loop: virtual time, processes that halt between two awaits (tests/sim/loop.py)",
    "redis.asyncio.connection.Connection: a modelled server behind redis-py and our pool (tests/sim/redis_net.py)",
    "httpx transport of PlanhatClient and of the Zendesk client: a modelled Planhat and helpdesk",
    "uvicorn: deliveries call the door, the wide way (ASGI) or the short one (gateway.ingest.exchange)",
    "arq's Worker: the same jobs at virtual times",
)
"""What `python -m tests.sim` prints; everything else of gateway/ and workers/ runs as it is."""


@contextlib.contextmanager
def replaced(loop: SimLoop, chance: random.Random) -> Iterator[None]:
    """Put the virtual clocks and the seeded randomness in place while the block runs."""
    real = (time.time, time.monotonic, time.perf_counter, secrets.token_hex)

    def wall() -> float:
        process = loop.current
        return EPOCH_S + loop.now_s + (process.skew_s if process else 0.0)

    def monotonic() -> float:
        return loop.now_s + 1_000.0

    def token_hex(nbytes: int | None = None) -> str:
        return f"{chance.getrandbits(8 * (nbytes or 32)):0{2 * (nbytes or 32)}x}"

    time.time, time.monotonic, time.perf_counter = wall, monotonic, monotonic
    secrets.token_hex = token_hex
    problems._JITTER.seed(chance.getrandbits(32))
    try:
        yield
    finally:
        time.time, time.monotonic, time.perf_counter, secrets.token_hex = real
