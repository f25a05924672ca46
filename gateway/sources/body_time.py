"""
The signed time of senders that date the body itself instead of a header beside it.

The same value often stands in a header as well, which nobody signs: it is never read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.reading import json_payload, mapping
from gateway.sources.signing import check_age

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.core.change import Json
    from gateway.sources.base import Connection, Request


def check_body_age(
    request: Request, connection: Connection, now_s: float, path: tuple[str, ...], read: Callable[[Json], float]
) -> None:
    """
    The time in a body whose signature has been proved is near enough to now.

    A body that is no JSON object can hold no time. It is authentic all the same, and changes nothing: it is
    quarantined as unreadable.

    Args:
        path: keys that lead to the time.
        read: gives Unix seconds or raises VerificationError `bad_timestamp`.
    Raises:
        VerificationError: `missing_timestamp`, `bad_timestamp`, `stale_timestamp`.
    """
    try:
        found = json_payload(request.body)
    except UnreadablePayload:
        return
    if not isinstance(found, dict):
        return
    for key in path:
        found = mapping(found).get(key)
    if found is None:
        raise VerificationError("missing_timestamp")
    check_age(read(found), now_s, connection.tolerance_s)
