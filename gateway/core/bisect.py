"""
Which items of a failed batch are sent next, so that few calls find its poison and nobody else is convicted.

A batch of n items failed. Each suspect stands in a group, kept on the bridge: aside (0), known (1: a call that held
exactly these failed), alone (2: named by Planhat, or the last one left of a known group). One call tests some of
them; its end moves them. An item is convicted only after it failed alone.

    known group   ──send the smaller part──►  fails: it is the known group, the rest of it steps aside
                                              passes: the rest is known to fail without being sent
    nothing known ──send all set aside──►     passes: done · fails: a known group

With L = ceil(log2 n), k poison items cost at most min(k x (L + 2), 2n) calls after the first (I14):
- a known group of m costs at most ceil(log2 m) + 1 calls and what was set aside one more: together k x (L + 2);
- one by one costs as many calls as items are left: the better way as soon as halving might overrun 2n.
The switch needs no count of what was spent: in every position `one_by_one` and `halving` say how much may have been
spent so that the bound is still met that way, and the smaller one rules.

Solved as a game against an adversary who answers each call as he likes: none of 2 to 900 items, none of 5,000 and none
of the 40 other sizes tried exceeds the bound, but for 4,088 to 4,096: there he can force up to 22 calls more than
8,192, if he knows the hash order.

Source: DESIGN §2 "A batch's fate", I14. Nested group testing, after Hwang's generalized binary splitting. The game is
played again in tests/core/test_bisect.py.
"""

from __future__ import annotations

import hashlib
import heapq
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

ASIDE: Final = 0
KNOWN: Final = 1
ALONE: Final = 2


def hash_order(ticket: str) -> bytes:
    """
    Where an item stands in the search: neighbours in the batch do not stand together.

    Returns:
        16 bytes, the same for the same ticket in every process.
    """
    return hashlib.blake2b(ticket.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def next_test(
    groups: Mapping[str, int], *, found: int, cleared: int, order: Callable[[str], bytes] = hash_order
) -> tuple[str, ...]:
    """
    The items that the next call holds; `()` when nobody is suspected.

    Args:
        groups: ticket -> group of everybody still suspected.
        found: items convicted in this search so far.
        cleared: items that passed in this search so far.
        order: gives each item its place; a total order without regard to the batch.
    Returns:
        One item when its group says that it goes alone.
    """
    alone = [ticket for ticket, group in groups.items() if group == ALONE]
    if alone:
        return (min(alone, key=order),)
    known = [ticket for ticket, group in groups.items() if group == KNOWN]
    aside = [ticket for ticket, group in groups.items() if group not in (ALONE, KNOWN)]
    size = test_size(len(known), len(aside), found=max(found, 0), cleared=max(cleared, 0))
    return tuple(heapq.nsmallest(size, known or aside, key=order))


def test_size(known: int, aside: int, *, found: int, cleared: int) -> int:
    """
    How many items the next call holds: of the known group when there is one, else of those set aside.

    Args:
        known: items in the group that is known to hold poison.
        aside: items set aside.
    """
    left = known + aside
    total = left + found + cleared
    depth = _log2_up(total)
    # From this many poison items on, 2n is the smaller bound.
    turn = -(-2 * total // (depth + 2))
    one_by_one = 2 * total - left - max(0, turn - found)
    if not known:
        return left if one_by_one >= _bound(found, total, depth) - 1 else min(1, left)
    halving = _bound(found + 1, total, depth) - 2 - _log2_up(known)
    if known == 1 or one_by_one < halving:
        return 1
    # The least that leaves a power of two: as good as half when it passes, better when it fails.
    return known - (1 << (_log2_up(known) - 1))


def after_failure(groups: Mapping[str, int], tested: Collection[str]) -> dict[str, int]:
    """
    The groups after a call with exactly the tested items failed as a whole.

    A lone one is convicted: it is no suspect any more. Several are the known group. What shared the known group with
    them steps aside, because nothing is known of it any more.
    """
    suspects = groups.keys() & set(tested)
    if len(tested) > 1:
        return {
            ticket: group if group == ALONE or not suspects else KNOWN if ticket in suspects else ASIDE
            for ticket, group in groups.items()
        }
    explained = any(groups[ticket] == KNOWN for ticket in suspects)
    return {
        ticket: ASIDE if explained and group == KNOWN else group
        for ticket, group in groups.items()
        if ticket not in suspects
    }


def after_success(groups: Mapping[str, int], tested: Collection[str]) -> dict[str, int]:
    """
    The groups after the tested items passed: they are cleared.

    What is left of the known group is known to fail without being sent; a last one goes alone.
    """
    left = {ticket: group for ticket, group in groups.items() if ticket not in tested}
    known = [ticket for ticket, group in left.items() if group == KNOWN]
    if len(known) == 1:
        left[known[0]] = ALONE
    return left


def _bound(found: int, total: int, depth: int) -> int:
    """How many calls may be spent when no more poison is found (I14)."""
    return min(found * (depth + 2), 2 * total)


def _log2_up(count: int) -> int:
    """ceil(log2 count), 0 for less than two."""
    return max(count - 1, 0).bit_length()
