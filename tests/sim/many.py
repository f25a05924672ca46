"""Many seeds, one after the other or over several Python processes."""

from __future__ import annotations

import gc
import time
from multiprocessing import get_context
from typing import TYPE_CHECKING

from tests.sim.report import Figures
from tests.sim.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator


def work(span: tuple[int, int]) -> Figures:
    """Run the seeds from `span[0]` up to, not including, `span[1]`."""
    gc.disable()
    figures = Figures()
    for seed in range(*span):
        began = time.process_time()
        result = run(seed)
        figures.add(result, time.process_time() - began)
    gc.enable()
    gc.collect()
    return figures


def pieces(spans: list[tuple[int, int]], workers: int) -> Iterator[Figures]:
    """Give the figures of each span as it ends."""
    if workers <= 1:
        yield from map(work, spans)
        return
    with get_context("fork").Pool(workers, maxtasksperchild=40) as pool:
        yield from pool.imap_unordered(work, spans)
