"""One request on its way to the gate, and each source as an attacker sees it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from gateway.sources import SOURCES
from gateway.sources.base import Connection, Normalized, Request
from tests.sources.samples import expected_of, names, read, request_of
from tests.sources.signers import SIGNERS, dated, sign

if TYPE_CHECKING:
    from tests.sources.signers import Signer

Headers = list[tuple[str, str]]
HOST = "gate.example"
BLANKS = b" \n\t"


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


def parsed(data: bytes) -> Request:
    """
    Read a request's bytes as the server does: blanks around a header's value are none of it.

    Raises:
        ValueError: they are no request.
    """
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = [line.partition(":")[::2] for line in lines]
    headers = tuple((name.lower(), value.strip(" \t")) for name, value in pairs)
    length = int(dict(headers).get("content-length", 0))
    return Request(method, headers, target.partition("?")[2], body[:length])


def wire(request: Request, path: str, headers: Headers | None = None) -> bytes:
    """Write a request as bytes, its length told rightly; a header that the wire cannot carry goes as UTF-8."""
    target = f"{path}?{request.query}" if request.query else path
    said = request.headers if headers is None else headers
    lines = [f"{request.method} {target} HTTP/1.1"]
    lines += [] if any(name == "host" for name, _ in said) else [f"Host: {HOST}"]
    lines += [f"{name}: {value}" for name, value in said]
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
        self.connection = Connection(name, name, self.signer.secrets[:2], prefix=f"{name}:")
        self._proofs: dict[tuple[str, int], dict[str, str]] = {}
        self.binds = True
        kinds = {one: expected_of(name, one) for one in names(name)}
        requests = {one: request_of(name, one) for one in kinds}
        plain = [one for one in kinds if self._is_plain(requests[one])]
        self.requests = [requests[one] for one in plain]
        self.authentic = [requests[one] for one in plain if kinds[one].get("changes")]
        meanings = [read(SOURCES[name], request, self.connection) for request in self.authentic]
        self.tickets = {change.ticket for one in meanings if isinstance(one, Normalized) for change in one.changes}
        secret, other = self.signer.secrets[:2]
        now_s = time.time()
        ours = self.proof(secret, b"{}", now_s)
        self.binds = ours != self.proof(secret, b"[]", now_s)
        """The proof covers the body."""
        self.dated = self.signer.dates is not None or ours != self.proof(secret, b"{}", now_s - 10_000)
        """The proof ages."""
        assert ours != self.proof(other, b"{}", now_s), f"{name}: the proof must tell secrets apart"

    def _is_plain(self, request: Request) -> bool:
        """A delivery as the source takes it, and no handshake, signed or not."""
        media = (request.header("content-type") or "").partition(";")[0].strip().lower()
        taken = request.method == "POST" and media in ("", *SOURCES[self.name].content_types)
        return taken and not self.is_handshake(request) and not self.is_handshake(self.signed(request))

    def is_handshake(self, request: Request) -> bool:
        """Say whether a request is answered before any proof; that changes nothing."""
        return SOURCES[self.name].handshake(request, self.connection) is not None

    def ages(self, request: Request) -> bool:
        """Say whether a proof of this very request tells a time; one in the body needs an object to stand in."""
        return self.dated and (self.signer.dates is None or dated(self.name, request.body, 1.0) != request.body)

    def proof(self, secret: str, body: bytes, at_s: float) -> dict[str, str]:
        """Give the headers that prove a body, on this source's own route."""
        if self.binds:
            return sign(self.name, secret, body, {}, at_s, self.name)
        known = (
            secret,
            int(at_s),
        )  # one that covers no body is the same for all, and may have cost a private key's work
        if known not in self._proofs:
            self._proofs[known] = sign(self.name, secret, body, {}, at_s, self.name)
        return self._proofs[known]

    def signed(self, request: Request, secret: str | None = None, at_s: float | None = None) -> Request:
        """Give the request with a proof of its body, and with its time where that stands in the body."""
        moment_s = time.time() if at_s is None else at_s
        body = dated(self.name, request.body, moment_s)
        if body != request.body:
            body += request.body[len(request.body.rstrip(BLANKS)) :]
        proof = self.proof(secret or self.signer.secrets[0], body, moment_s)
        return replace(request, body=body, headers=tuple({**dict(request.headers), **proof}.items()))
