"""
What goes over the bridge and comes back: plain records, no behaviour.

Times are Unix ms by Redis' clock. A `frame` here is always whole: head (length, arrival) and payload, as
`gateway.core.change.frame` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Kind = Literal["ticket", "delivery"]
"""What a dead letter is: a ticket that Planhat would not take, or a delivery that could not be read."""

CallKind = Literal["call", "delete", "probe"]

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Caps of the bridge; at a cap intake is refused and nothing is evicted.

    memory_fraction: of Redis' maxmemory; above it nothing is taken in.
    """

    pending_max_tickets: int = 1_000_000
    dead_letter_max: int = 100_000
    dedupe_ttl_s: int = 86_400
    quarantine_max_bytes: int = 64 * MIB
    memory_fraction: float = 0.85


class Delivery(NamedTuple):
    """
    One HTTP request on its way in.

    dedupe: 16 bytes over connection, sender's id and body; None for a sender without ids, and for a replay.
    payloads: (ticket, fresh payload without its head), in order.
    """

    dedupe: bytes | None
    payloads: tuple[tuple[str, bytes], ...]


class Claimed(NamedTuple):
    """A ticket that is ours. doubt: 0, 1 (a holder never settled) or 2 (its second send is outstanding)."""

    ticket: str
    doubt: int


class Loaded(NamedTuple):
    """A ticket's frames, its last-sent state and the frames of its dead letter; None where there is none."""

    ticket: str
    value: bytes
    state: bytes | None
    dead: bytes | None


@dataclass(frozen=True, slots=True)
class Ack:
    """
    A ticket's settlement.

    cut: bytes of the value that were sent (or need not be).
    state: the next state; empty leaves it alone.
    ttl_s: how long the state lives; None for ever.
    resend: a whole frame to be sent once more, after twice `lease_ms`; None when nothing is in doubt.
    close_dead: what was sent held the frames of the ticket's dead letter.
    """

    ticket: str
    cut: int
    state: bytes
    ttl_s: int | None = None
    resend: bytes | None = None
    lease_ms: int = 0
    close_dead: bool = True


@dataclass(frozen=True, slots=True)
class Burial:
    """
    A ticket that cannot go. `frame` holds everything unsent, that of an older dead letter of the ticket included.

    reason: short machine word. detail: a sentence for a person, Planhat's words where it gave some.
    """

    ticket: str
    cut: int
    frame: bytes
    reason: str
    detail: str
    connection: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """
    Why a destination does not send; "" and 0 where it does.

    until_ms, reason: a pause for a time (429, back-off).
    stopped, detail, token_hash, probe_at_ms: until something changes, with the time of the next probe.
    held: by hand.
    """

    until_ms: int = 0
    reason: str = ""
    stopped: str = ""
    detail: str = ""
    token_hash: str = ""
    probe_at_ms: int = 0
    held: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """
    The bridge at a glance.

    due_count: tickets that may be claimed now. oldest_due_ms: the score of the oldest of them.
    leased: claimed (lapsed claims count as leased until somebody takes them, unless the look was exact).
    parked: waits for a time in the future, held by nobody.
    """

    now_ms: int
    due_count: int
    oldest_due_ms: int | None
    last_put_ms: int
    pending: int
    leased: int
    parked: int
    suspects: int
    lookups: int
    deletes: int
    unread: int
    dead: int
    quarantined: int
    pause: Pause
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class DeadRow:
    """A dead letter or a quarantined delivery as a list shows it. `id` is the sourceId, or `q-` and 16 hex digits."""

    id: str
    kind: Kind
    ticket: str
    reason: str
    detail: str
    at_ms: int
    connection: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """
    An authentic delivery that could not be read, whole.

    headers: (lower-case name, value), secrets already taken out by the caller.
    dedupe: as in `Delivery`; with it a repeat of the same delivery is kept once.
    """

    connection: str
    reason: str
    detail: str
    method: str
    headers: tuple[tuple[str, str], ...]
    query: str
    body: bytes
    dedupe: bytes | None = None
    at_ms: int = 0
