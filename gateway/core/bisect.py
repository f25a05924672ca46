"""Placeholder being replaced: plain halving."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def _o(t: str) -> bytes:
    return hashlib.blake2b(t.encode(), digest_size=8).digest()


def next_test(groups: Mapping[str, int], *, found: int, cleared: int) -> tuple[str, ...]:
    for alone in (2,):
        named = sorted((t for t, g in groups.items() if g == alone), key=_o)
        if named:
            return (named[0],)
    bad = sorted((t for t, g in groups.items() if g == 1), key=_o)
    if bad:
        return tuple(bad[: max(1, len(bad) // 2)])
    return tuple(sorted(groups, key=_o))


def after_failure(groups: Mapping[str, int], tested: tuple[str, ...]) -> dict[str, int]:
    return {t: (1 if t in tested else 0 if g != 2 else 2) for t, g in groups.items()}


def after_success(groups: Mapping[str, int], tested: tuple[str, ...]) -> dict[str, int]:
    return {t: g for t, g in groups.items() if t not in tested}
