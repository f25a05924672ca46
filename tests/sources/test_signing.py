from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import VerificationError
from gateway.sources import signing
from gateway.sources.base import Request

DIGEST = hashlib.sha256(b"x").digest()
RIGHT = base64.b64encode(DIGEST).decode()


def request(*headers: tuple[str, str], query: str = "") -> Request:
    return Request("POST", headers, query, b"")


def refusal(reading) -> str:
    with pytest.raises(VerificationError) as caught:
        reading()
    return caught.value.reason


def answered(reading):
    """What a reader gives, or its refusal; anything else that it raises is a defect and passes through."""
    try:
        return reading()
    except VerificationError as refused:
        return refused


@pytest.mark.parametrize("name", ["x-a", *signing.ALWAYS_SINGLE])
def test_a_doubled_header_is_refused_even_when_both_are_equal(name):
    assert refusal(lambda: signing.refuse_doubles(request((name, "1"), (name, "1")), ["x-a"])) == "doubled_header"
    signing.refuse_doubles(request((name, "1"), ("x-b", "1"), ("x-b", "2")), ["x-a"])


def test_a_required_header_stands_once_and_says_something():
    assert signing.required(request(("x-a", "1")), "x-a", "missing") == "1"
    assert refusal(lambda: signing.required(request(), "x-a", "missing")) == "missing"
    assert refusal(lambda: signing.required(request(("x-a", "")), "x-a", "missing")) == "missing"
    assert refusal(lambda: signing.required(request(("x-a", "1"), ("x-a", "1")), "x-a", "missing")) == "doubled_header"


def test_a_secret_is_its_own_text_and_an_empty_one_fails_closed():
    assert signing.keys(("YWJj", "ä")) == (b"YWJj", "ä".encode())
    for secrets in ((), ("",), ("a", ""), (" ",), ("a", "\n")):
        assert refusal(lambda secrets=secrets: signing.keys(secrets)) == "no_secret"


@pytest.mark.parametrize(
    "value",
    [
        "",
        RIGHT[:-1],
        RIGHT[:-4],
        RIGHT + "====",
        RIGHT[:-2] + "\n=",
        RIGHT[:-2] + "==",
        "!" * 44,
        "é" * 44,
        "-_" * 21 + "A=",
        base64.b64encode(DIGEST[:31]).decode(),
        base64.b64encode(DIGEST + b"x").decode(),
    ],
)
def test_base64_that_is_not_canonical_or_not_of_the_length_is_refused(value):
    assert refusal(lambda: signing.base64_bytes(value, 32)) == "bad_signature"


def test_base64_with_stray_bits_is_refused_though_decoders_take_it():
    last = RIGHT[-2]
    for mark in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/":
        other = RIGHT[:-2] + mark + "="
        if mark != last and base64.b64decode(other) == DIGEST:
            assert refusal(lambda other=other: signing.base64_bytes(other, 32)) == "bad_signature"


@pytest.mark.parametrize("length", [20, 32, 64])
def test_every_digest_is_read_back_from_its_own_writing(length):
    raw = bytes(range(length))
    assert signing.base64_bytes(base64.b64encode(raw).decode(), length) == raw
    assert signing.hex_bytes(raw.hex(), length) == raw


@pytest.mark.parametrize(
    "value", ["", "ab", "AB" * 32, "ab " * 21 + "a", "0x" + "ab" * 31, "ab" * 33, "gg" * 32, "\u0660" * 64]
)
def test_hex_of_another_length_case_or_alphabet_is_refused(value):
    assert refusal(lambda: signing.hex_bytes(value, 32)) == "bad_signature"


def test_a_digest_is_read_as_the_adapter_says_and_never_as_the_request_says():
    assert signing.digest(RIGHT) == DIGEST
    assert signing.digest("sha256=" + DIGEST.hex(), encoding="hex", prefix="sha256=") == DIGEST
    assert len(signing.digest("ab" * 20, algorithm="sha1", encoding="hex")) == 20
    for value in (DIGEST.hex(), "SHA256=" + DIGEST.hex(), "sha256=sha256=" + DIGEST.hex(), "sha1=" + "ab" * 20, RIGHT):
        assert refusal(lambda value=value: signing.digest(value, encoding="hex", prefix="sha256=")) == "bad_signature"
    for value in (DIGEST.hex(), base64.b64encode(b"x" * 20).decode(), base64.b64encode(b"x" * 64).decode()):
        assert refusal(lambda value=value: signing.digest(value)) == "bad_signature"


@given(st.text(max_size=100), st.sampled_from(["base64", "hex"]), st.sampled_from(["sha1", "sha256", "sha512"]))
def test_reading_a_digest_raises_nothing_but_a_refusal(value, encoding, algorithm):
    found = answered(lambda: signing.digest(value, algorithm=algorithm, encoding=encoding))
    if isinstance(found, VerificationError):
        assert found.reason == "bad_signature"
    else:
        assert len(found) == signing.DIGEST_BYTES[algorithm]


def test_one_right_digest_under_one_of_the_keys_is_enough():
    right, wrong = hmac.digest(b"k2", b"m", "sha256"), b"\0" * 32
    signing.check_hmac((b"k1", b"k2"), b"m", [wrong, right])
    assert refusal(lambda: signing.check_hmac((b"k1",), b"m", [wrong, right])) == "bad_signature"
    assert refusal(lambda: signing.check_hmac((b"k2",), b"m2", [right])) == "bad_signature"
    assert refusal(lambda: signing.check_hmac((b"k2",), b"m", [])) == "bad_signature"
    assert refusal(lambda: signing.check_hmac((b"k2",), b"m", [right[:-1]])) == "bad_signature"
    assert refusal(lambda: signing.check_hmac((b"k2",), b"m", [right], algorithm="sha512")) == "bad_signature"
    for empty in ((), (b"",), (b"k2", b"")):
        assert refusal(lambda empty=empty: signing.check_hmac(empty, b"m", [right])) == "no_secret"


def test_one_of_a_few_messages_may_be_what_was_signed():
    right = hmac.new(b"k2", b"m", hashlib.sha256).digest()
    signing.check_any_hmac((b"k1", b"k2"), (b"other", b"m"), [right])
    for messages in ((), (b"",), (b"other",)):
        assert refusal(lambda messages=messages: signing.check_any_hmac((b"k2",), messages, [right])) == "bad_signature"
    assert refusal(lambda: signing.check_any_hmac((b"k2", b""), (b"m",), [right])) == "no_secret"


@pytest.mark.parametrize("value", ["", "-1", "1.0", " 1", "1\n", "1_0", "1e9", "1" * 16, "\u0661", "²"])
def test_milliseconds_are_up_to_fifteen_plain_digits(value):
    assert refusal(lambda: signing.epoch_ms_s(value)) == "bad_timestamp"
    assert signing.epoch_ms_s("1627207200123") == 1_627_207_200.123


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", "1.0", " 1", "1 ", "1\n", "1_0", "1e9", "0x1", "1" * 13, "\u0661", "\uff11", "²"]
)
def test_seconds_are_up_to_twelve_plain_digits(value):
    assert refusal(lambda: signing.epoch_s(value)) == "bad_timestamp"
    assert refusal(lambda: signing.timestamp_s(value)) == "bad_timestamp"
    assert signing.epoch_s("1627207200") == 1_627_207_200


@pytest.mark.parametrize(
    "value, at_s",
    [
        ("2021-07-25T10:00:00Z", 1_627_207_200.0),
        ("2021-07-25T10:00:00.5Z", 1_627_207_200.5),
        ("2021-07-25T10:00:00.123456789Z", 1_627_207_200.123456789),
        ("2021-07-25T12:30:00+02:30", 1_627_207_200.0),
        ("2021-07-25T03:00:00-07:00", 1_627_207_200.0),
    ],
)
def test_an_iso_time_is_read_with_its_fraction_and_zone(value, at_s):
    assert signing.iso_s(value) == at_s
    assert signing.timestamp_s(value) == at_s


@pytest.mark.parametrize(
    "value",
    [
        "2021-07-25T10:00Z",
        "2021-07-25T10:00:00",
        "2021-07-25T10:00:00.Z",
        "2021-07-25T10:00:00+25:00",
        "now",
        "2021-13-25T10:00:00Z",
        "0000-01-01T00:00:00Z",
        "2021-07-25T10:00:60Z",
        "2021-07-25T10:00:00.1234567890Z",
    ],
)
def test_an_iso_time_of_another_form_is_refused(value):
    assert refusal(lambda: signing.iso_s(value)) == "bad_timestamp"


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", fullmatch=True))
def test_reading_a_time_raises_nothing_but_a_refusal(value):
    found = answered(lambda: signing.timestamp_s(value))
    assert not isinstance(found, VerificationError) or found.reason == "bad_timestamp"


@pytest.mark.parametrize(
    "off, fits", [(-301, False), (-300, True), (0, True), (300, True), (300.5, False), (1e300, False)]
)
def test_an_age_has_two_closed_edges_and_zero_switches_it_off(off, fits):
    if fits:
        signing.check_age(1_000 + off, 1_000, 300)
    else:
        assert refusal(lambda: signing.check_age(1_000 + off, 1_000, 300)) == "stale_timestamp"
    signing.check_age(1_000 + off, 1_000, 0)


def test_a_token_is_read_from_its_carrier_and_no_other():
    assert signing.bearer(request(("authorization", "Bearer abc"))) == b"abc"
    assert signing.bearer(request(("authorization", "BEARER  abc "))) == b"abc"
    assert signing.bearer(request(("authorization", "Basic abc"))) is None
    assert signing.bearer(request(("authorization", "abc"))) is None
    assert signing.bearer(request()) is None
    pair = base64.b64encode(b"user:a:b").decode()
    assert signing.basic_password(request(("authorization", f"basic {pair}"))) == b"a:b"
    assert signing.basic_password(request(("authorization", "Bearer abc"))) is None
    assert signing.header_token(request(("x-a", "ä")), "x-a") == b"\xe4"
    assert signing.header_token(request(), "x-a") is None
    assert signing.query_token(request(query="a=1&token=a%20b+c&b")) == b"a b+c"
    assert signing.query_token(request(query="tokens=1")) is None
    assert signing.query_token(request()) is None


def test_a_carrier_that_stands_twice_or_cannot_be_read_is_refused():
    twice = request(("authorization", "Bearer a"), ("authorization", "Bearer a"), ("x-a", "1"), ("x-a", "1"))
    for reading in (signing.bearer, signing.basic_password, lambda asked: signing.header_token(asked, "x-a")):
        assert refusal(lambda reading=reading: reading(twice)) == "doubled_header"
    assert refusal(lambda: signing.query_token(request(query="token=a&token=a"))) == "doubled_header"
    for pair in ("!!!", base64.b64encode(b"no colon").decode(), "dXNlcjphOmI", ""):
        assert (
            refusal(lambda pair=pair: signing.basic_password(request(("authorization", f"Basic {pair}"))))
            == "bad_token"
        )
    for value in ("a" * 4097, "\N{SNOWMAN}"):
        assert refusal(lambda value=value: signing.header_token(request(("x-a", value)), "x-a")) == "bad_token"
        assert refusal(lambda value=value: signing.query_token(request(query=f"token={value}"))) == "bad_token"


def test_every_offered_token_is_a_secret_and_at_least_one_is_offered():
    signing.check_token(("new", "old"), (None, b"old"))
    signing.check_token(("new", "old"), (b"new", b"old"))
    assert refusal(lambda: signing.check_token(("new", "old"), (None, None))) == "missing_token"
    assert refusal(lambda: signing.check_token(("new", "old"), (b"new", b"guess"))) == "bad_token"
    assert refusal(lambda: signing.check_token(("new",), (b"",))) == "bad_token"
    assert refusal(lambda: signing.check_token(("new", ""), (b"",))) == "no_secret"
    assert refusal(lambda: signing.check_token((), (b"new",))) == "no_secret"
