"""Every mutant, in the order of a ticket's way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.sources import SOURCES
from gateway.store.scripts import sources as scripts
from tests.mutants.mutant import FATES, INVARIANTS, SHARED_FAMILIES
from tests.mutants.on_core import MUTANTS as ON_CORE
from tests.mutants.on_intake import MUTANTS as ON_INTAKE
from tests.mutants.on_scripts import MUTANTS as ON_SCRIPTS
from tests.mutants.on_sources import MUTANTS as ON_SOURCES
from tests.mutants.on_workers import MUTANTS as ON_WORKERS

if TYPE_CHECKING:
    from tests.mutants.mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (*ON_SOURCES, *ON_INTAKE, *ON_SCRIPTS, *ON_CORE, *ON_WORKERS)


def must_break() -> dict[str, frozenset[str]]:
    """Give what at least one mutant each must break, by kind: as the product has it today."""
    return {
        "fate": frozenset(FATES),
        "invariant": frozenset(INVARIANTS),
        "script": frozenset(f"{name}.lua" for name in scripts()),
        "source": frozenset((*SOURCES, *SHARED_FAMILIES)),
    }
