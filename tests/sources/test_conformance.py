"""
One suite over every source and every sample: a source that passes is safe to put on the internet.

A new source needs a row in `signers.SIGNERS` and samples; nothing here names a helpdesk.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.change import FIELDS, REFS
from gateway.core.part import decode
from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources import SOURCES
from gateway.sources.base import LACKS, NEEDS, Connection, Normalized, Request, needs_lookup
from tests.sources.samples import (
    SAMPLES,
    expected_of,
    names,
    outcome,
    packaged,
    packaged_request_of,
    request_of,
    said,
)
from tests.sources.signers import SIGNERS, dated, sign

if TYPE_CHECKING:
    from gateway.core.change import Change
    from gateway.sources.base import Source

NOW: Final = 1_792_600_000.0
ARRIVAL_US: Final = int(NOW * 1_000_000)
CASES: Final = [(source, name) for source in SOURCES for name in names(source)]
PACKAGED: Final = [(source, name) for source in SOURCES for name in packaged(source)]
DATED: Final = [source for source in SOURCES if SIGNERS[source].moment or SIGNERS[source].dates]
BOUND: Final = [source for source in SOURCES if SIGNERS[source].moment or SIGNERS[source].binds]
SIGNED: Final = [(source, name) for source, name in CASES if source in BOUND]
PRIVATE: Final = ("PRIVATE-CANARY", "never to be sent", "customer is difficult", "inside only")
"""Texts of comments and notes in the samples; none may ever reach Planhat."""

each_source = pytest.mark.parametrize("source", list(SOURCES))
each_sample = pytest.mark.parametrize("source, name", CASES)


def connection(source: str, **changed: Any) -> Connection:
    current, old, *_ = SIGNERS[source].secrets
    plain = Connection("desk", source, (current, old), prefix="D-", subdomain="heronquay")
    return replace(plain, **changed)


def signed(source: str, asked: Request, secret: str | None = None, at_s: float = NOW) -> Request:
    body = dated(source, asked.body, at_s)
    headers = sign(source, secret or SIGNERS[source].secrets[0], body, dict(asked.headers), at_s)
    return replace(asked, headers=tuple(headers.items()), body=body)


def ordinary(source: str) -> Request:
    """A request of this source with some body, signed now."""
    return signed(source, Request("POST", (("content-type", "application/json"),), "", b'{"ticket_id": "71"}'))


def with_header(asked: Request, name: str, *values: str) -> Request:
    """The request with these values for a header, none to leave it out."""
    kept = [pair for pair in asked.headers if pair[0] != name]
    return replace(asked, headers=(*kept, *((name, value) for value in values)))


def accepted(source: str, asked: Request, made: Connection | None = None, now_s: float = NOW) -> None:
    try:
        SOURCES[source].verify(asked, made or connection(source), now_s)
    except VerificationError as error:
        raise AssertionError(f"{source} refuses what it must accept: {error.reason}") from error


def refused(source: str, asked: Request, made: Connection | None = None, now_s: float = NOW) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCES[source].verify(asked, made or connection(source), now_s)
    assert caught.value.reason
    return caught.value.reason


def flipped(body: bytes, at: int) -> bytes:
    return body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :]


def holds(change: Change, made: Connection) -> None:
    """What is true of every change, whatever it was made of."""
    assert change.connection == made.name
    assert change.ticket.startswith(made.prefix)
    assert len(change.ticket) > len(made.prefix)
    assert set(change.fields) <= set(FIELDS)
    assert set(change.refs) <= set(REFS)
    assert set(needs_lookup(change, tuple(LACKS))) <= set(NEEDS)
    part = decode(change.encode(), ARRIVAL_US)
    assert part.connection == change.connection
    assert {name[1:]: value for name, value in part.values.items() if name[0] == "@"} == dict(change.refs)
    assert part.fields == dict(change.fields)
    assert part.life is None or part.life[1] == change.life


# ------------------------------------------------------------------------------------------------- what samples become
def test_every_source_has_a_signer_samples_and_packaged_samples():
    assert set(SIGNERS) == set(SOURCES) == {folder.name for folder in SAMPLES.iterdir()}
    assert all(names(source) and packaged(source) for source in SOURCES)
    assert all(source.name == name for name, source in SOURCES.items())


@each_sample
def test_every_sample_becomes_what_it_says(source, name):
    assert said(SOURCES[source], request_of(source, name)) == expected_of(source, name)


@pytest.mark.parametrize("source, name", PACKAGED)
def test_every_packaged_sample_is_taken_and_changes_a_ticket(source, name):
    asked = packaged_request_of(source, name)
    assert (asked.header("content-type") or "").partition(";")[0] in SOURCES[source].content_types
    assert said(SOURCES[source], asked)["changes"]


@each_sample
def test_every_change_survives_its_encoding_and_holds_nothing_private(source, name):
    made = connection(source)
    answer = outcome(lambda: normalized(SOURCES[source], request_of(source, name), made))
    for change in answer.changes if isinstance(answer, Normalized) else ():
        holds(change, made)
        assert not any(text.encode() in change.encode() for text in PRIVATE)


@each_sample
def test_reading_twice_gives_the_same(source, name):
    asked = request_of(source, name)
    assert said(SOURCES[source], asked) == said(SOURCES[source], asked)
    payload = outcome(lambda: SOURCES[source].parse(asked))
    if isinstance(payload, UnreadablePayload):
        assert payload.detail
        return
    before = copy.deepcopy(payload)
    outcome(lambda: SOURCES[source].normalize(payload, asked, connection(source)))
    assert payload == before
    assert SOURCES[source].delivery_id(asked, payload) == SOURCES[source].delivery_id(asked, before)


def normalized(source: Source, asked: Request, made: Connection) -> Normalized:
    return source.normalize(source.parse(asked), asked, made)


# -------------------------------------------------------------------------------------------------------------- proofs
@each_sample
def test_a_signed_sample_is_accepted_with_every_secret_of_the_rotation(source, name):
    current, old, *_ = SIGNERS[source].secrets
    for secret in (current, old):
        accepted(source, signed(source, request_of(source, name), secret))


@each_sample
def test_a_secret_that_was_taken_out_is_refused(source, name):
    _, old, gone, foreign = SIGNERS[source].secrets
    asked = request_of(source, name)
    assert refused(source, signed(source, asked, gone)).startswith("bad_")
    assert refused(source, signed(source, asked, foreign)).startswith("bad_")
    assert refused(source, signed(source, asked, old), connection(source, secrets=SIGNERS[source].secrets[:1]))


@each_sample
def test_an_unsigned_sample_is_refused(source, name):
    assert refused(source, request_of(source, name)).startswith("missing_")


@pytest.mark.parametrize("source, name", SIGNED)
def test_a_body_that_differs_in_one_byte_is_refused(source, name):
    asked = signed(source, request_of(source, name))
    body = asked.body
    changed = [flipped(body, at) for at in {0, len(body) // 2, len(body) - 1} if body]
    for other in (*changed, body + b"\n", b" " + body, body[:-1] or b"x"):
        assert refused(source, replace(asked, body=other)) == "bad_signature"


@pytest.mark.parametrize("source, name", SIGNED)
def test_a_body_of_equal_meaning_is_refused(source, name):
    asked = signed(source, request_of(source, name))
    payload = outcome(lambda: SOURCES[source].parse(asked))
    if not isinstance(payload, UnreadablePayload):
        other = orjson.dumps(payload, option=orjson.OPT_APPEND_NEWLINE)
        assert refused(source, replace(asked, body=other)) == "bad_signature"
        ours = signed(source, replace(asked, body=orjson.dumps(payload)))
        assert refused(source, replace(ours, body=b" " + ours.body)) == "bad_signature"


@each_source
def test_every_flipped_byte_of_a_proof_is_refused(source):
    asked = ordinary(source)
    proof = SIGNERS[source].proof
    value = asked.header(proof) or ""
    for at in range(len(value)):
        assert refused(source, with_header(asked, proof, value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]))
    for other in (value[:-1], value[1:], value[: len(value) // 2], value + value[-1], value.swapcase(), value + "="):
        assert refused(source, with_header(asked, proof, other))


@each_source
@pytest.mark.parametrize(
    "garbage",
    [
        "",
        " ",
        "v1,",
        "v1",
        "=",
        "é" * 44,
        "\0",
        "\0" * 44,
        "a" * 65_536,
        "v1," * 20_000,
        "!" * 44,
        "A" * 44,
        "none",
        "sha256=" + "0" * 64,
        "0" * 64,
        "\N{SNOWMAN}",
        "\udcff",
        "a\r\nb",
        "Bearer x",
        "null",
        "[]",
        "%00",
    ],
)
def test_a_garbage_proof_is_refused(source, garbage):
    for name in SIGNERS[source].needed:
        if name.endswith("-id"):
            continue  # an id proves nothing; that it is signed, other tests say
        assert refused(source, with_header(ordinary(source), name, garbage)).startswith(("bad_", "missing_"))


@each_source
def test_each_header_of_a_proof_is_needed_and_may_stand_once(source):
    asked = ordinary(source)
    for name in SIGNERS[source].needed:
        value = asked.header(name) or ""
        assert refused(source, with_header(asked, name)).startswith("missing_")
        assert refused(source, with_header(asked, name, value, value)) == "doubled_header"
        assert refused(source, with_header(asked, name, value, "x")) == "doubled_header"
        assert refused(source, with_header(asked, name, "x", value)) == "doubled_header"


@each_source
@pytest.mark.parametrize("name", ["content-type", "content-encoding", "authorization"])
def test_a_header_that_two_hops_could_read_differently_is_refused(source, name):
    assert refused(source, with_header(ordinary(source), name, "a", "a")) == "doubled_header"


@pytest.mark.parametrize("source", DATED)
@pytest.mark.parametrize("off", [-(10**9), -301, -300, -299, 0, 299, 300, 301, 10**9])
def test_the_window_has_two_closed_edges(source, off):
    asked = signed(source, ordinary(source), at_s=NOW + off)
    if abs(off) <= connection(source).tolerance_s:
        accepted(source, asked)
    else:
        assert refused(source, asked) == "stale_timestamp"
        accepted(source, asked, connection(source, tolerance_s=0))
    assert refused(source, asked, now_s=NOW + off + 300.5) == "stale_timestamp"


@pytest.mark.parametrize("source", DATED)
def test_a_fresh_time_on_an_old_signature_is_refused(source):
    fresh, old = ordinary(source), signed(source, ordinary(source), at_s=NOW - 10_000)
    asked, moment = replace(old, body=fresh.body), SIGNERS[source].moment
    if moment:
        asked = with_header(asked, moment, fresh.header(moment) or "")
    assert refused(source, asked) == "bad_signature"


@each_source
def test_a_proof_of_another_source_is_refused(source):
    for other in SOURCES:
        if other != source:
            plain = Request("POST", (("content-type", "application/json"),), "", b'{"ticket_id": "71"}')
            asked = signed(other, plain)
            assert refused(source, asked).startswith(("missing_", "bad_"))  # vendors share header names
            moved = asked.header(SIGNERS[other].proof) or ""
            assert refused(source, with_header(ordinary(source), SIGNERS[source].proof, moved)).startswith("bad_")


@each_source
@pytest.mark.parametrize("auth", ["signature", "bearer"])
@pytest.mark.parametrize("secrets", [(), ("",), ("  ",), ("", ""), ("\n",)])
def test_a_connection_without_secrets_accepts_nothing(source, auth, secrets):
    made = connection(source, secrets=secrets, auth=auth)
    asked = ordinary(source)
    for other in (
        asked,
        with_header(asked, "authorization", "Bearer "),
        with_header(asked, "authorization", "Bearer x"),
        with_header(asked, SIGNERS[source].proof, ""),
        with_header(asked, SIGNERS[source].proof),
    ):
        assert refused(source, other, made)


@each_source
def test_an_empty_entry_in_the_rotation_accepts_nothing_signed_with_nothing(source):
    made = connection(source, secrets=(SIGNERS[source].secrets[0], ""))
    assert refused(source, ordinary(source), made) == "no_secret"


@each_source
def test_a_bearer_token_is_accepted_where_it_is_configured(source):
    current, old, gone, _ = SIGNERS[source].secrets
    made = connection(source, auth="bearer")
    plain = Request("POST", (), "", b"{}")
    for secret in (current, old):
        accepted(source, with_header(plain, "authorization", f"Bearer {secret}"), made)
    for wrong in (gone, current[:-1], current + "x", "", "x" + current):
        assert refused(source, with_header(plain, "authorization", f"Bearer {wrong}"), made)
    assert refused(source, plain, made) == "missing_token"
    if source in BOUND:
        assert refused(source, with_header(plain, "authorization", f"Bearer {current}")) == "missing_signature"
        assert refused(source, ordinary(source), made) == "missing_token"


@each_source
def test_nothing_of_a_forged_body_is_read(source):
    for body in (b"\xff\xfe", b"[" * 1_000_000, b"", b'{"a":' * 200_000):
        asked = signed(source, Request("POST", (), "", body), SIGNERS[source].secrets[3])
        assert refused(source, asked).startswith("bad_")


@each_source
def test_forwarded_headers_prove_nothing(source):
    for name, value in (("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.1"), ("x-real-ip", "::1")):
        assert refused(source, Request("POST", ((name, value),), "", b"{}")).startswith("missing_")


@each_source
@pytest.mark.parametrize("auth", ["signature", "bearer"])
def test_weak_secrets_are_named_at_boot_without_being_shown(source, auth):
    for secret in SIGNERS[source].secrets:
        assert SOURCES[source].check_secret(secret, auth) is None
        broken = [] if SIGNERS[source].phrase and auth == "signature" else [f"{secret[:20]} {secret[20:]}"]
        for weak in (secret[:7], "", f"{secret}\n", f" {secret}", *broken):
            complaint = SOURCES[source].check_secret(weak, auth)
            assert complaint
            assert not weak.strip() or weak.strip() not in complaint


@each_source
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"ticket_id": ' + b"9" * 5000 + b"}",
        b'{"ticket_id": 1, "ticket_id": 1, "id": NaN}',
        b'{"ticket_id": "\\ud800"}',
        b'{"ticket_id": 1e999}',
        b'{"ticket_id": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"<ticket/>",
        b"ticket_id=1&a=%00",
        b"",
        b" \n",
        b"null",
    ],
)
def test_a_hostile_body_is_kept_aside_though_it_is_signed(source, body):
    asked = signed(source, Request("POST", (("content-type", "application/json"),), "", body))
    accepted(source, asked)
    answer = outcome(lambda: normalized(SOURCES[source], asked, connection(source)))
    assert isinstance(answer, UnreadablePayload) or not any(change.fields for change in answer.changes)
    assert not isinstance(answer, UnreadablePayload) or (answer.reason and answer.detail)


# --------------------------------------------------------------------------------------------------------- total
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)
PLACES: Final = st.sampled_from(CASES)
HEADER_NAMES: Final = sorted(
    {name for signer in SIGNERS.values() for name in signer.needed}
    | {name for source, case in CASES for name, _ in request_of(source, case).headers}
    | {"authorization", "content-encoding"}
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(HEADER_NAMES),
        st.text(st.characters(max_codepoint=255), max_size=40) | st.text(max_size=12) | st.just(f"{NOW:.0f}"),
    ),
    max_size=6,
)


def total(source: str, payload: Any, asked: Request) -> None:
    """Whatever a payload is, it becomes changes that hold, or nothing, or is kept aside with a sentence."""
    made = connection(source)
    SOURCES[source].delivery_id(asked, payload)
    answer = outcome(lambda: SOURCES[source].normalize(payload, asked, made))
    if isinstance(answer, UnreadablePayload):
        assert answer.reason
        assert answer.detail
        return
    assert bool(answer.changes) != bool(answer.ignored)
    assert answer == SOURCES[source].normalize(payload, asked, made)
    for change in answer.changes:
        holds(change, made)


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, as the keys that lead there."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(spot for key, one in inside for spot in spots(one, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = put(value[path[0]], path[1:], new)
    return changed


@given(st.sampled_from(list(SOURCES)), JSON, HEADERS)
def test_any_json_value_is_read_or_kept_aside(source, payload, headers):
    total(source, payload, Request("POST", tuple(headers), "", b""))


@given(PLACES, st.data())
def test_any_sample_with_anything_in_any_place_is_read_or_kept_aside(place, data):
    source, name = place
    asked = request_of(source, name)
    payload = outcome(lambda: SOURCES[source].parse(asked))
    if isinstance(payload, UnreadablePayload):
        return
    for _ in range(data.draw(st.integers(1, 3))):
        payload = put(payload, data.draw(st.sampled_from(spots(payload))), data.draw(JSON))
    total(source, payload, asked)


@given(st.sampled_from(list(SOURCES)), st.binary(max_size=200))
def test_any_bytes_are_read_or_kept_aside(source, body):
    asked = Request("POST", (("content-type", "application/json"),), "", body)
    answer = outcome(lambda: SOURCES[source].parse(asked))
    assert not isinstance(answer, UnreadablePayload) or answer.detail


@given(PLACES, st.data())
def test_any_sample_with_broken_bytes_is_read_or_kept_aside(place, data):
    source, name = place
    asked = request_of(source, name)
    at = data.draw(st.integers(0, len(asked.body)))
    cut = data.draw(st.integers(0, 4))
    broken = replace(asked, body=asked.body[:at] + data.draw(st.binary(max_size=4)) + asked.body[at + cut :])
    payload = outcome(lambda: SOURCES[source].parse(broken))
    if not isinstance(payload, UnreadablePayload):
        total(source, payload, broken)


@given(st.sampled_from(list(SOURCES)), HEADERS, st.text(max_size=40), st.binary(max_size=40))
def test_no_headers_and_no_query_are_believed_or_crash(source, headers, query, body):
    asked = Request("POST", tuple(headers), query, body)
    assert refused(source, asked)
    assert refused(source, asked, connection(source, auth="bearer"))
    SOURCES[source].handshake(replace(asked, method="OPTIONS"), connection(source))


@given(PLACES, st.data())
def test_no_mutation_of_a_signed_request_is_accepted(place, data):
    source, name = place
    asked = signed(source, request_of(source, name))
    header = data.draw(st.sampled_from(SIGNERS[source].needed))
    value = asked.header(header) or ""
    at = data.draw(st.integers(0, len(value)))
    cut = data.draw(st.integers(0, 4))
    other = value[:at] + data.draw(st.text(max_size=4)) + value[at + cut :]
    if value not in other.split(" "):  # where several signatures may stand, a good one beside junk counts
        assert refused(source, with_header(asked, header, other))
