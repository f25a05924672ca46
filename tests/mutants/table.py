"""Every mutant, in the order of a ticket's way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.sources import SOURCES
from gateway.store.scripts import sources as scripts
from tests.mutants import on_core, on_intake, on_scripts, on_sources, on_workers
from tests.mutants.mutant import FATES, INVARIANTS, SHARED_FAMILIES

if TYPE_CHECKING:
    from tests.mutants.mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    *on_sources.MUTANTS,
    *on_intake.MUTANTS,
    *on_scripts.MUTANTS,
    *on_core.MUTANTS,
    *on_workers.MUTANTS,
)


def must_break() -> dict[str, frozenset[str]]:
    """Give what at least one mutant each must break, by kind: as the product has it today."""
    return {
        "fate": frozenset(FATES),
        "invariant": frozenset(INVARIANTS),
        "script": frozenset(f"{name}.lua" for name in scripts()),
        "source": frozenset((*SOURCES, *SHARED_FAMILIES)),
    }
