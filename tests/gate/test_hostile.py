"""Each source behind its gate, whole: whatever comes, a forged request is not read and an authentic one is not lost."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import VerificationError
from gateway.ingest.gate import Gate, Keep, Write
from gateway.ingest.notes import Notes
from gateway.ingest.problems import Answer
from gateway.ingest.tally import Tally
from gateway.sources import SOURCES
from gateway.sources.base import Connection, Request
from tests.gate.hostile import Attacker
from tests.gate.targets import Target, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json
    from gateway.sources.base import Auth, Normalized, Reply

EXAMPLES: Final = 40
each_source = pytest.mark.parametrize("source", list(SOURCES))

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)


class Watching:
    """A source that counts how often a body was looked at."""

    def __init__(self, name: str) -> None:
        self._source = SOURCES[name]
        self.name, self.methods = self._source.name, self._source.methods
        self.content_types, self.signed = self._source.content_types, self._source.signed
        self.read = 0

    def handshake(self, request: Request, connection: Connection) -> Reply | None:
        return self._source.handshake(request, connection)

    def check_secret(self, secret: str, auth: Auth) -> str | None:
        return self._source.check_secret(secret, auth)

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:
        self._source.verify(request, connection, now_s)

    def delivery_id(self, request: Request, payload: Json) -> str | None:
        self.read += 1
        return self._source.delivery_id(request, payload)

    def parse(self, request: Request) -> Json:
        self.read += 1
        return self._source.parse(request)

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:
        self.read += 1
        return self._source.normalize(payload, request, connection)

    def acknowledge(self, *, stored: bool) -> Reply | None:
        return self._source.acknowledge(stored=stored)


async def nowhere(counts: Mapping[str, int]) -> None:
    """Counts go no further."""


class Behind:
    """One source, its gate, and what it counted."""

    def __init__(self, name: str) -> None:
        self.target = Target(name)
        self.source = Watching(name)
        self.tally = Tally(nowhere)
        connection = Connection(name, name, self.target.signer.secrets[:2], prefix=f"{name}:")
        self.gate = Gate(connection, self.source, Notes(self.tally))

    @property
    def defects(self) -> int:
        """How often our own code failed."""
        return sum(count for field, count in self.tally.waiting().items() if field.startswith("gateway_adapter_errors"))

    def decide(self, request: Request) -> Answer | Write | Keep | VerificationError:
        try:
            return self.gate.decide(request, time.time())
        except VerificationError as refusal:
            return refusal

    def refuses(self, request: Request) -> None:
        """It is refused unread, or it is a handshake, which changes nothing."""
        decided, handshake = self.decide(request), self.source.handshake(request, self.gate.connection)
        assert isinstance(decided, VerificationError) or (handshake is not None and isinstance(decided, Answer))
        assert self.source.read == 0
        assert self.defects == 0

    def takes(self, request: Request) -> None:
        """It is written, kept whole, means nothing, or belongs to another account; no part of it is a defect."""
        decided = self.decide(request)
        assert isinstance(decided, Answer | Write | Keep | VerificationError)
        if isinstance(decided, Write):
            assert decided.delivery.payloads
            assert all(ticket.startswith(self.gate.connection.prefix) for ticket, _ in decided.delivery.payloads)
        if isinstance(decided, Keep):
            assert decided.request is request
            assert decided.error.detail
        assert self.source.read
        assert self.defects == 0


@each_source
def test_no_bytes_under_a_forged_proof_are_read(source: str) -> None:
    behind = Behind(source)
    foreign = behind.target.signer.secrets[2:]

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.sampled_from(behind.target.requests), st.binary(max_size=200) | st.none(), st.sampled_from(foreign))
    def forged(request: Request, body: bytes | None, secret: str) -> None:
        asked = request if body is None else replace(request, body=body)
        behind.refuses(asked)
        behind.refuses(behind.target.signed(asked, secret))

    forged()


@each_source
def test_no_headers_and_no_query_open_the_gate(source: str) -> None:
    behind = Behind(source)
    named = st.sampled_from(
        [*behind.target.signer.needed, "authorization", "x-webhook-secret", "content-type", "x-other"]
    )
    value = st.text(st.characters(max_codepoint=255), max_size=60) | st.sampled_from(["", "Bearer ", "v1,", "sha256="])

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.sampled_from(behind.target.requests), st.lists(st.tuples(named, value), max_size=6), st.text(max_size=40))
    def claimed(request: Request, headers: list[tuple[str, str]], query: str) -> None:
        behind.refuses(replace(request, headers=(*request.headers, *headers), query=query))

    claimed()


@each_source
def test_no_change_of_a_proof_goes_through(source: str) -> None:
    behind = Behind(source)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.integers(0, 2**32))
    def changed(seed: int) -> None:
        attacker = Attacker(random.Random(seed), [behind.target])
        for shot in (attacker.proof_changed(), attacker.proof_lacking(), attacker.other_secret()):
            behind.refuses(parsed(shot.data))

    changed()


@each_source
def test_no_authentic_body_is_lost_or_fails(source: str) -> None:
    behind = Behind(source)
    bodies = st.binary(max_size=200) | JSON.map(to_json)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.sampled_from(behind.target.requests), bodies, st.data())
    def signed(request: Request, body: bytes, data: Any) -> None:
        at = data.draw(st.integers(0, len(request.body)))
        for other in (body, request.body[:at], request.body[:at] + body + request.body[at + len(body) :]):
            asked = behind.target.signed(replace(request, body=other))
            if behind.source.handshake(asked, behind.gate.connection) is None:
                behind.takes(asked)

    signed()


def to_json(value: Any) -> bytes:
    import orjson

    return orjson.dumps(value)
