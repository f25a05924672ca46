from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UnreadablePayload
from gateway.sources import reading
from gateway.sources.reading import UNKNOWN
from tests.sources.samples import outcome

ODD: list[Any] = [None, [], {}, True]
"""Values that are neither a text nor a number."""


def unreadable(run) -> UnreadablePayload:
    with pytest.raises(UnreadablePayload) as caught:
        run()
    assert caught.value.detail
    return caught.value


# ---------------------------------------------------------------------------------------------------------------- JSON
@pytest.mark.parametrize(
    "body, reason",
    [
        (b"", "empty_body"),
        (b" \r\n\t", "empty_body"),
        (b'{"a": "\xff"}', "not_utf8"),
        (b"\xff\xfe{\0}\0", "not_utf8"),
        (b"{", "not_json"),
        (b"a=1&b=2", "not_json"),
        (b"<a/>", "not_json"),
        (b'{"a": NaN}', "not_json"),
        (b'{"a": 1e999}', "not_json"),
        (b'{"a": "\\ud800"}', "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b"[" * 33 + b"]" * 33, "too_deep"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "too_deep"),
        (b"[" * 200_000, "too_deep"),
        (b"[" * 200_000 + b"]" * 200_000, "too_deep"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "too_deep"),
    ],
)
def test_a_body_that_cannot_be_read_says_why(body, reason):
    assert unreadable(lambda: reading.json_payload(body)).reason == reason


def test_a_broken_template_is_told_the_line():
    assert "at line 2" in unreadable(lambda: reading.json_payload(b'{"a": 1,\n "id": ,}')).detail


@pytest.mark.parametrize("body", [b"[" * 32 + b"]" * 32, b'{"a":' * 31 + b"[]" + b"}" * 31, b"[[],[],{}]" + b" " * 9])
def test_thirty_two_levels_are_read(body):
    assert reading.json_payload(body) == orjson.loads(body)


def test_many_brackets_are_not_deep():
    assert reading.json_payload(b'["' + b"[{" * 100 + b'", ' + b"[1]," * 100 + b"{}]")


def test_the_last_of_two_equal_keys_counts():
    assert reading.json_payload(b'{"a": 1, "a": 2}') == {"a": 2}


@given(st.binary(max_size=60) | st.text(alphabet='[]{}":,\\ 0eE.-', max_size=60).map(str.encode))
def test_any_bytes_are_json_or_unreadable(body):
    answer = outcome(lambda: reading.json_payload(body))
    assert not isinstance(answer, UnreadablePayload) or (answer.reason and answer.detail)


# -------------------------------------------------------------------------------------------------------------- values
def test_what_is_unknown_is_left_out_and_what_is_empty_stays():
    assert reading.known({"a": UNKNOWN, "b": None, "c": "", "d": []}) == {"b": None, "c": "", "d": []}


def test_a_line_has_single_blanks_and_prose_keeps_its_lines():
    assert reading.line(" Belt \n slips\0 ") == "Belt slips"
    assert reading.prose(" Belt \n slips\0 ") == "Belt\nslips"
    assert (reading.line(7), reading.prose(7), reading.line(""), reading.prose(None)) == ("7", "7", "", "")
    assert all(reading.line(odd) is None for odd in ODD)


def test_what_a_key_tells_is_empty_or_unknown_by_its_presence():
    row: dict[str, Any] = {"status": " On-Hold", "email": "nobody", "title": None}
    assert reading.told(row, "status", reading.word) == "on-hold"
    assert (reading.told(row, "email", reading.mail_address), reading.told(row, "title", reading.text)) == ("", "")
    assert reading.told(row, "priority", reading.word) is UNKNOWN


def test_names_are_those_of_objects_each_once():
    assert reading.names([{"name": "vip"}, {"name": " vip "}, {"id": 7}, "vip", {"name": "export"}]) == [
        "vip",
        "export",
    ]
    assert all(reading.names(odd) == [] for odd in (*ODD, "vip"))


@pytest.mark.parametrize("value", ["https://desk.example/7", " http://desk.example ", "http://x"])
def test_an_address_of_the_web_is_taken_as_it_is_written(value):
    assert reading.web_address(value) == value.strip()


@pytest.mark.parametrize(
    "value", ["desk.example/7", "javascript:x", "https://", "https://a b", "{{link}}", "", 7, *ODD]
)
def test_what_is_no_address_of_the_web_is_none(value):
    assert reading.web_address(value) is None


def test_a_placeholder_that_was_left_in_is_told_from_a_text_around_one():
    assert all(map(reading.is_placeholder, ("{{ticket.id}}", " {{ a }}\n")))
    assert not any(map(reading.is_placeholder, ("{{}}", "see {{ticket.id}}", "{{a}} {{b}}", "", 7, *ODD)))


def test_anything_but_an_object_is_an_empty_object():
    others: list[Any] = [None, [], "a", 1]
    assert reading.mapping({"a": 1}) == {"a": 1}
    assert [reading.mapping(value) for value in others] == [{}] * 4


def test_a_text_is_trimmed_and_a_number_is_its_digits():
    assert reading.text(" a\0b \n") == "ab"
    assert reading.text("") == ""
    assert [reading.text(value) for value in (7, 7.5)] == ["7", "7.5"]
    assert [reading.text(value) for value in ODD] == [None] * 4


def test_a_word_is_one_lower_case_line():
    assert reading.word(" On-Hold\n NOW ") == "on-hold now"
    assert [reading.word(value) for value in ["", " \0", 7, *ODD]] == [None] * 7


def test_an_id_that_may_have_lost_digits_is_none():
    assert [reading.identifier(value) for value in (" a-7 ", 7, 0, 2**53)] == ["a-7", "7", "0", str(2**53)]
    for value in [*ODD, "", " ", 7.0, -1, 2**53 + 1, "a\nb", "a\0", "x" * 257]:
        assert reading.identifier(value) is None


def test_a_ticket_without_an_id_is_told_from_one_that_cannot_be_trusted():
    assert reading.ticket_id(7, "there") == "7"
    for absent in (None, ""):
        error = unreadable(lambda absent=absent: reading.ticket_id(absent, "there"))
        assert (error.reason, "there" in error.detail) == ("no_ticket_id", True)
    for wrong in [7.5, 2**60, " ", "a\tb", *ODD[1:]]:
        assert unreadable(lambda wrong=wrong: reading.ticket_id(wrong, "there")).reason == "bad_ticket_id"


def test_a_list_of_texts_holds_each_once_in_order():
    assert reading.strings([" a", "b", "a ", "", None, 7, ["c"]]) == ["a", "b", "7"]
    others: list[Any] = [None, True, {}, "a b", 7]
    assert [reading.strings(value) for value in others] == [None] * 5


# ------------------------------------------------------------------------------------------------------------ instants
@pytest.mark.parametrize(
    "value, at_us",
    [
        ("2026-10-12T09:20:31Z", 1_791_796_831_000_000),
        (" 2026-10-12T09:20:31Z ", 1_791_796_831_000_000),
        ("2026-10-12T09:20:31.418205933Z", 1_791_796_831_418_205),
        ("2026-10-12T09:20:31.4Z", 1_791_796_831_400_000),
        ("2026-10-12T09:20Z", 1_791_796_800_000_000),
        ("2026-10-12 09:20:31 UTC", 1_791_796_831_000_000),
        ("2026-10-12T11:20:31+02:00", 1_791_796_831_000_000),
        ("2026-10-12T04:20:31-0500", 1_791_796_831_000_000),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_an_instant_is_read_in_every_form_that_vendors_write(value, at_us):
    assert reading.instant_us(value) == at_us
    assert reading.instant_ms(value) == at_us // 1000


@pytest.mark.parametrize(
    "value",
    [
        "",
        "October 7, 2026",
        "2026-10-12",
        "2026-10-12T09:20:31",
        "2026-02-30T09:20:31Z",
        "2026-10-12T24:20:31Z",
        "1969-12-31T23:59:59Z",
        "2026-10-12T09:20:31.1234567890Z",
        "2026-10-12T09:20:31+99:00",
        "\u0662\u0660\u0662\u0666-10-12T09:20:31Z",
        "2026-10-12T09:20:60Z",
        "0000-10-12T09:20:31Z",
        "2026-10-12t09:20:31z",
        1_791_796_831,
        None,
        [],
        {},
        True,
    ],
)
def test_a_day_or_a_time_without_zone_is_no_instant(value):
    assert reading.instant_us(value) is None
    assert reading.instant_ms(value) is None


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_an_instant_is_the_same_in_every_zone(moment, minutes):
    zone = timedelta(minutes=minutes)
    local = moment + zone if moment.year < 9999 else moment
    sign, hours, rest = "-" if minutes < 0 else "+", abs(minutes) // 60, abs(minutes) % 60
    shown = f"{local.isoformat()}{sign}{hours:02}:{rest:02}"
    expected = (local - zone - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001
    assert reading.instant_us(shown) == expected
    assert reading.instant_us(moment.replace(tzinfo=UTC).isoformat()) is not None


# --------------------------------------------------------------------------------------------------------------- mails
@pytest.mark.parametrize(
    "value",
    [
        "a@b.example",
        "first.last+tag@sub-domain.example",
        "o'neil@b.example",
        "x" * 64 + "@b.example",
        "ä@müller.example",
    ],
)
def test_a_plausible_address_is_taken_in_lower_case(value):
    assert reading.mail_address(f" {value.upper()} ") == value.upper().lower()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a",
        "@b.example",
        "a@",
        "a@b",
        "a@b.",
        "a@.example",
        "a@-b.example",
        "a@b-.example",
        "a@@b.example",
        "a b@c.example",
        "a@b c.example",
        '"a"@b.example',
        "a@b_c.example",
        "<a@b.example>",
        "a@b.example\n\nx",
        "a\0@b.example",
        "a,b@c.example",
        "x" * 65 + "@b.example",
        "a@" + "b" * 250 + ".example",
        "{{ticket.requester.email}}",
        "+47 555 01 23",
        None,
        7,
        ["a@b.c"],
    ],
)
def test_what_is_no_address_is_none(value):
    assert reading.mail_address(value) is None


# ---------------------------------------------------------------------------------------------------------------- texts
def test_a_plain_text_is_tidied():
    assert reading.plain_text(" a  b \r\n\r\n\r\n\r\n c\t\0d\n") == "a b\n\nc d"


@pytest.mark.parametrize(
    "markup, plain",
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("a\nb  c", "a b c"),
        ("<tr><td>1</td><td>2</td></tr>", "1 2"),
        ("a<!-- hidden -->b", "ab"),
        ("a<!-- never closed", "a"),
        ("a<script>hidden</script>b<STYLE>hidden</Style>c", "abc"),
        ("a<script>never closed", "a"),
        ("a<script/>b", "ab"),
        ("a<!DOCTYPE html>b<?xml?>c", "abc"),
        ("1 &lt; 2 &amp;&nbsp;3 &#x41;", "1 < 2 & 3 A"),
        ("&#" + "9" * 5000 + ";", "&#" + "9" * 5000 + ";"),
        ("1 < 2 > 0", "1 < 2 > 0"),
        ("", ""),
    ],
)
def test_markup_becomes_what_a_reader_sees(markup, plain):
    assert reading.html_to_text(markup) == plain


@pytest.mark.parametrize("piece", ["<a ", "<", "<!--", "<script>", "&#9;", "</", "<a>", "<td", "&", "<!", "\n\n"])
def test_a_megabyte_of_broken_markup_is_read_in_a_moment(piece):
    started = time.perf_counter()
    reading.html_to_text(piece * (300_000 // len(piece)))
    assert time.perf_counter() - started < 2


@given(st.text(max_size=60) | st.text(alphabet="<>!-/ abscript&#;x\n", max_size=60))
def test_any_text_is_read_as_markup(value):
    assert "\0" not in reading.html_to_text(value)


ORDINARY = "2026-11-02T08:15:00Z"


@given(
    form=st.sampled_from([ORDINARY, "2026-11-02T08:15:00.123Z", "2026-11-02T08:15:00.123456Z"]),
    edits=st.lists(st.tuples(st.integers(0, 26), st.sampled_from("0129-:.TtZz +/\u0660\u00a0W")), max_size=3),
)
def test_the_quick_reading_of_an_instant_says_what_the_pattern_says(form: str, edits: list[tuple[int, str]]) -> None:
    marks = list(form)
    for at, mark in edits:
        marks[at % len(marks)] = mark
    text = "".join(marks)
    quick = reading.ordinary_instant_us(text)
    assert quick in (None, reading.instant_us(" " + text))


@pytest.mark.parametrize("day", ["2026-02-30", "1969-12-31", "0000-01-01", "2026-13-01", "2024-02-29", "9999-12-31"])
def test_the_quick_reading_takes_no_day_that_is_none(day: str) -> None:
    text = f"{day}T00:00:00Z"
    assert reading.ordinary_instant_us(text) == reading.instant_us(" " + text)


@pytest.mark.parametrize(
    "value, per_s, at_us",
    [
        (1_791_787_269, 1, 1_791_787_269_000_000),
        (1_791_787_269_321, 1000, 1_791_787_269_321_000),
        ("1791787269321", 1000, 1_791_787_269_321_000),
        (1_791_787_269.264, 1, 1_791_787_269_264_000),
        (253_402_300_799, 1, 253_402_300_799_000_000),
        (253_402_300_800, 1, None),
        (1_791_787_269_321, 1, None),
        (0, 1, None),
        (-1, 1, None),
        (True, 1, None),
        (None, 1, None),
        ("", 1, None),
        ("1e9", 1, None),
        ("\u0661", 1, None),
        ("9" * 400, 1, None),
        (float("nan"), 1, None),
        (float("inf"), 1, None),
        ([1], 1, None),
    ],
)
def test_a_unix_time_is_read_in_its_own_unit(value: Any, per_s: int, at_us: int | None) -> None:
    assert reading.epoch_us(value, per_s) == at_us


@given(st.text(alphabet="ab \t\n\r\0\v\f\x1c\x1d\x1e\x1f\x85\u00a0\u2028\u3000\u00fc", max_size=30))
def test_plain_text_of_tidy_lines_is_what_taking_the_words_apart_gives(value: str) -> None:
    lines = [" ".join(line.split()) for line in value.replace("\0", "").splitlines()]
    joined = "\n".join(lines).strip()
    while "\n\n\n" in joined:
        joined = joined.replace("\n\n\n", "\n\n")
    assert reading.plain_text(value) == joined
