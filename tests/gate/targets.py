"""One request on its way to the gate, and each source as an attacker sees it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from gateway.sources import SOURCES
from gateway.sources.base import Connection, Normalized, Request
from tests.sources.samples import expected_of, names, read, request_of
from tests.sources.signers import SIGNERS, sign

if TYPE_CHECKING:
    from tests.sources.signers import Signer

Headers = list[tuple[str, str]]


class Shot(NamedTuple):
    """
    One request on its way to the gate.

    kind: how it was made. data: its bytes.
    authentic: it must be accepted; every other one must be refused.
    signed: it carries a proof that is valid for another body, time, connection or secret.
    alone: it may break its connection, so it gets one of its own.
    """

    kind: str
    data: bytes
    authentic: bool = False
    signed: bool = False
    alone: bool = False


def wire(request: Request, path: str, headers: Headers | None = None) -> bytes:
    """Write a request as bytes, its length told rightly; a header that the wire cannot carry goes as UTF-8."""
    target = f"{path}?{request.query}" if request.query else path
    lines = [f"{request.method} {target} HTTP/1.1", "Host: gate.example"]
    lines += [f"{name}: {value}" for name, value in (request.headers if headers is None else headers)]
    lines += [f"Content-Length: {len(request.body)}", "", ""]
    head = "\r\n".join(lines)
    try:
        return head.encode("latin-1") + request.body
    except UnicodeEncodeError:
        return head.encode() + request.body


class Target:
    """One source as an attacker sees it: how its proofs look, and requests of its helpdesk."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = f"/webhooks/{name}"
        self.signer: Signer = SIGNERS[name]
        connection = Connection(name, name, self.signer.secrets[:2], prefix=f"{name}:")
        all_names = [one for one in names(name) if "handshake" not in expected_of(name, one)]
        requests = {one: request_of(name, one) for one in all_names}
        takes = SOURCES[name].content_types
        self.requests = [
            request
            for request in requests.values()
            if request.method == "POST" and _media(request) in ("", *takes) and not request.header("content-encoding")
        ]
        changing = [
            one for one in all_names if expected_of(name, one).get("changes") and requests[one].method == "POST"
        ]
        self.authentic = [requests[one] for one in changing if _media(requests[one]) in ("", *takes)]
        meanings = [read(SOURCES[name], request, connection) for request in self.authentic]
        self.tickets = {change.ticket for one in meanings if isinstance(one, Normalized) for change in one.changes}
        secret, other = self.signer.secrets[:2]
        now_s = time.time()
        ours = self.signer.headers(secret, b"{}", now_s)
        self.binds = ours != self.signer.headers(secret, b"[]", now_s)
        """The proof covers the body."""
        self.dated = ours != self.signer.headers(secret, b"{}", now_s - 10_000)
        """The proof ages."""
        assert ours != self.signer.headers(other, b"{}", now_s), f"{name}: the proof must tell secrets apart"

    def signed(self, request: Request, secret: str | None = None, at_s: float | None = None) -> Request:
        """Give the request with a proof of its body."""
        moment_s = time.time() if at_s is None else at_s
        headers = sign(self.name, secret or self.signer.secrets[0], request.body, dict(request.headers), moment_s)
        return replace(request, headers=tuple(headers.items()))


def _media(request: Request) -> str:
    return (request.header("content-type") or "").partition(";")[0].strip().lower()
