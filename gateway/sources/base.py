"""
What a source adapter is: pure functions from a request to changes.

An adapter is a module-level `Source` object, one per helpdesk, registered in `gateway/sources/__init__.py`. It does no
I/O, reads no clock (`now_s` is an argument) and knows nothing of Redis or HTTP servers.

Longer than 200 lines because the words that all adapters share stand here with their meaning; it is no adapter.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.change import Change, Json

Auth = Literal["signature", "bearer"]
OnDelete = Literal["delete", "close", "ignore"]


@dataclass(slots=True)
class Request:
    """
    One HTTP request as an adapter sees it. Nobody changes one; not frozen, because that costs four times as much.

    method: upper case.
    headers: `(lower-case name, value)` in order of arrival, decoded as latin-1; a name may stand more than once.
    query: the raw query string without "?".
    body: the raw bytes, already under the cap.
    doubled: some header stands more than once.
    """

    method: str
    headers: tuple[tuple[str, str], ...]
    query: str
    body: bytes
    doubled: bool = field(init=False, repr=False, compare=False)
    _first: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the headers once; a verification asks for half a dozen."""
        self._first = dict(self.headers[::-1])
        self.doubled = len(self._first) != len(self.headers)

    def header(self, name: str) -> str | None:
        """Give the first value of a header (lower-case name), None when absent."""
        return self._first.get(name)

    def count(self, name: str) -> int:
        """How often a header (lower-case name) stands in the request."""
        return sum(1 for key, _ in self.headers if key == name) if self.doubled else int(name in self._first)


class WireRequest(Request):
    """
    The same as the server reads it: a header is decoded when an adapter asks for it, and most never are.

    Args:
        wire: `(lower-case name, value)` as bytes, in order of arrival.
    """

    __slots__ = ("_by_name", "_wire")

    def __init__(self, method: str, wire: Sequence[tuple[bytes, bytes]], query: str, body: bytes) -> None:
        self.method = method
        self.query = query
        self.body = body
        self._wire = wire
        self._by_name = dict(reversed(wire))
        self.doubled = len(self._by_name) != len(wire)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override]
        """Give every header as text."""
        return tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._wire])

    def header(self, name: str) -> str | None:
        """Give the first value of a header (lower-case name), None when absent."""
        value = self._by_name.get(name.encode("latin-1", "replace"))
        return None if value is None else value.decode("latin-1")

    def count(self, name: str) -> int:
        """How often a header (lower-case name) stands in the request."""
        sought = name.encode("latin-1", "replace")
        return sum(1 for key, _ in self._wire if key == sought) if self.doubled else int(sought in self._by_name)


@dataclass(frozen=True, slots=True)
class Connection:
    """
    A configured source.

    secrets: every accepted secret as text, current first; never empty for a connection that serves requests.
    prefix: put before every ticket id to make `sourceId`.
    subdomain: the helpdesk's subdomain or domain, for links; None when not configured.
    account_id: the helpdesk's account id that bodies must carry, where the source has one; None accepts any.
    public_url: our address as helpdesks call it, without the last slash; None when not configured.
    rules: read bodies instead of the adapter alone; None without a configuration file.
    """

    name: str
    source: str
    secrets: tuple[str, ...] = field(repr=False)
    auth: Auth = "signature"
    on_delete: OnDelete = "delete"
    prefix: str = ""
    subdomain: str | None = None
    account_id: str | None = None
    tolerance_s: int = 300
    destination: str = "planhat"
    public_url: str | None = None
    rules: Reading | None = None


class Reading(Protocol):
    """A connection's own rules on top of its adapter (`gateway.rules`)."""

    def normalize(self, source: Source, payload: Json, request: Request, connection: Connection) -> Normalized:
        """Turn a parsed body into changes. Raises UnreadablePayload, VerificationError."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that a sender demands in its own shape (handshakes, acknowledgements)."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Normalized:
    """
    What a body means.

    changes: one per ticket and statement; empty when the delivery means nothing for tickets.
    ignored: why nothing is done, one short phrase; "" when there are changes.
    lacks: words of `NEEDS` that such a body never tells (tags that come as ids, companies); see `needs_lookup`.
    """

    changes: tuple[Change, ...] = ()
    ignored: str = ""
    lacks: tuple[str, ...] = ()


CLOSED: Final = "closed"
"""The status that a deleted ticket gets where `on_delete` is `close`."""


def deletes(change: Change) -> bool:
    """Say whether a change takes its ticket away."""
    return change.life in ("deleted", "purged")


def wished(change: Change, on_delete: OnDelete) -> Change | None:
    """
    Apply a connection's wish about deletions to one change.

    Returns:
        The change itself, one with the status `closed` instead (`close`), or None (`ignore`).
    """
    if on_delete == "delete" or not deletes(change):
        return change
    if on_delete == "ignore":
        return None
    return replace(change, life="", fields={**change.fields, "status": CLOSED}, sighting=True, thin=False)


class Source(Protocol):
    """
    One helpdesk's adapter.

    Every method is total: `verify` raises only VerificationError, `parse` only UnreadablePayload, `normalize` that or
    VerificationError (a body of another account), `delivery_id` and `handshake` nothing, whatever bytes they get.
    """

    name: str
    """The folder name under samples/, also the prefix of its settings in upper case."""

    signed: str
    """How its webhooks are signed, a few words for people; "with a time" where a copy is worth nothing later."""

    methods: tuple[str, ...]
    """HTTP methods besides POST that a handshake needs, such as ("OPTIONS",)."""

    content_types: tuple[str, ...]
    """Media types taken, without parameters; anything else is answered 415."""

    def handshake(self, request: Request, connection: Connection) -> Reply | None:
        """Answer a sender's handshake; None when the request is none."""

    def check_secret(self, secret: str, auth: Auth) -> str | None:
        """Say at boot what is wrong with a configured secret, one sentence without the secret; None when it is fine."""

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:
        """Prove that the request comes from the helpdesk. Runs on raw bytes, before any parsing."""

    def delivery_id(self, request: Request, payload: Json) -> str | None:
        """Give the sender's own id of this delivery, stable over its retries; None when the sender has none."""

    def parse(self, request: Request) -> Json:
        """Read the body once. Raises UnreadablePayload."""

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:
        """Turn a parsed body into changes. Raises UnreadablePayload, VerificationError."""

    def acknowledge(self, *, stored: bool) -> Reply | None:
        """
        Give what a sender demands instead of our answer; None for the usual one.

        A reply without a body demands only its status: our JSON stays.

        Args:
            stored: nothing more is wanted of the sender, be it stored or meaningless; False asks it to come back, where
                the status (503) is ours and only the reply's body and headers count.
        """


@runtime_checkable
class Discreet(Protocol):
    """A source whose bodies may hold a live secret of somebody; it is no part of what is kept of them."""

    def without_secrets(self, body: bytes) -> bytes:
        """Give a body, readable or not, without the secrets in it."""


NEEDS: Final = ("requester_email", "requester_name", "agent_email", "company", "tags", "ticket")
"""The words of `needs_lookup`, as `map try` prints them."""


LACKS: Final[Mapping[str, frozenset[str]]] = {
    "requester_name": frozenset(("name",)),
    "agent_email": frozenset(("agentEmail",)),
    "company": frozenset(("domains", "companyExternalId", "companyId")),
    "tags": frozenset(("tags",)),
}
"""What a body may never tell -> the fields of which one is enough."""


def needs_lookup(change: Change, lacks: tuple[str, ...] = ()) -> tuple[str, ...]:
    """
    What a complete record of this ticket still lacks, judged by the payload alone.

    Args:
        lacks: `Normalized.lacks`: counted unless the change tells it all the same, be it as empty.
    Returns:
        Words of `NEEDS`, in the order ticket (a thin change without title or status), requester_email, company,
        agent_email, others. Empty for deletions.
    """
    if deletes(change):
        return ()
    fields, refs = change.fields, change.refs
    needs = ["ticket"] if change.thin and not fields.keys() >= {"title", "status"} else []
    if not fields.get("email"):
        needs.append("requester_email")
    if refs.get("organization_id") and not (fields.get("domains") or fields.get("companyExternalId")):
        needs.append("company")
    if refs.get("assignee_id") and not fields.get("agentEmail"):
        needs.append("agent_email")
    told = fields.keys()
    needs += [name for name in lacks if name not in needs and not told & LACKS[name]]
    return tuple(needs)
