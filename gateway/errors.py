"""
Every error this project raises on purpose, drawn as a tree.

    GatewayError
    ├─ InboundError(status_hint)      the sender's fault; ingest/problems.py decides the status
    │  ├─ UnknownConnection           no connection of that name
    │  ├─ VerificationError(reason)   signature, secret or timestamp refused
    │  ├─ UnreadablePayload(reason)   authentic, but not readable or not mappable: quarantined
    │  └─ PayloadTooLarge             over WEBHOOK_MAX_BODY_BYTES
    ├─ StoreError                     our fault: 503, the helpdesk retries
    │  ├─ StoreUnavailable(kind)      Redis away, read-only, loading, out of memory, ...
    │  ├─ PendingFull                 the backlog or the dead letters are at their cap
    │  └─ LeaseLapsed                 a claim is no longer ours
    └─ PlanhatError(request_id)
       ├─ Transient                   RateLimited(retry_after_s) · Unavailable · Ambiguous
       └─ Permanent                   Unauthorized · BatchRefused · TicketRefused(key, why)

ConfigurationError stands outside the tree, so that no `except GatewayError` hides it.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Root of what can go wrong while a ticket travels."""


class InboundError(GatewayError):
    """The sender's fault. `status_hint` is only a hint: ingest/problems.py decides."""

    status_hint = 400


class UnknownConnection(InboundError):
    """No connection of that name is configured."""

    status_hint = 404


class VerificationError(InboundError):
    """
    The request does not prove that it comes from its helpdesk.

    Args:
        reason: short machine word such as `bad_signature` or `stale_timestamp`; counted, never sent to the caller.
    """

    status_hint = 401

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnreadablePayload(InboundError):
    """
    An authentic body that cannot be read or mapped; it is quarantined whole, never dropped.

    Args:
        reason: short machine word such as `not_json` or `no_ticket_id`.
        detail: one sentence for the administrator that says what to change.
    """

    status_hint = 202

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class PayloadTooLarge(InboundError):
    """The body is over WEBHOOK_MAX_BODY_BYTES."""

    status_hint = 413


class StoreError(GatewayError):
    """Ours to mend; the sender is asked to come back (503 + Retry-After)."""


class StoreUnavailable(StoreError):
    """
    Redis cannot take or give right now.

    Args:
        kind: `away`, `timeout`, `readonly`, `loading`, `oom`, `misconf`, `noreplicas`, `busy`, `tryagain`, `moved`,
            `auth` or `error`.
        detail: Redis' own words, capped.
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail


class PendingFull(StoreError):
    """
    A cap is reached: `pending`, `memory`, `dead_letters`, `quarantine` or `queue`.

    Nothing was stored; the helpdesk is asked to come back.
    """

    def __init__(self, cap: str) -> None:
        super().__init__(cap)
        self.cap = cap


class LeaseLapsed(StoreError):
    """The claim ran out before the work was done; somebody else may hold the tickets now."""


class PlanhatError(GatewayError):
    """
    What Planhat answered, as an error.

    Args:
        detail: Planhat's own words, capped.
        request_id: Planhat's id of the call, where it gave one.
    """

    def __init__(self, detail: str = "", request_id: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.request_id = request_id


class Transient(PlanhatError):
    """Worth another try: snooze, retry or hold."""


class RateLimited(Transient):
    """429. `retry_after_s` is what Planhat asked for, seconds, or None."""

    def __init__(self, detail: str = "", request_id: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(detail, request_id)
        self.retry_after_s = retry_after_s


class Unavailable(Transient):
    """500 or 503."""


class Ambiguous(Transient):
    """The call may or may not have landed, now or later."""


class Permanent(PlanhatError):
    """Another try of the same thing cannot help: stop, bisect or bury."""


class Unauthorized(Permanent):
    """401, 403, 404, 405 or a redirect for the whole call: the destination stops, nothing is buried."""


class BatchRefused(Permanent):
    """400, 413, 422 for the whole call: bisect."""


class TicketRefused(Permanent):
    """One ticket was refused, alone. `key` is its sourceId, `why` Planhat's words."""

    def __init__(self, key: str, why: str, request_id: str | None = None) -> None:
        super().__init__(why, request_id)
        self.key = key
        self.why = why


class ConfigurationError(Exception):
    """
    The settings cannot be used. Outside the tree on purpose.

    Args:
        faults: every fault found, each one sentence that names the setting and says what to do.
    """

    def __init__(self, faults: tuple[str, ...] | list[str] | str) -> None:
        self.faults = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))
