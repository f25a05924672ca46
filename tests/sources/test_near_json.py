from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.near_json import REPAIR_MAX, only_ticket_id, repaired

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), inner),
    max_leaves=12,
)


def meant(text: str) -> Any:
    answer = repaired(text)
    assert answer is not None
    return orjson.loads(answer)


@pytest.mark.parametrize(
    "text, value",
    [
        ('{"a": 1,}', {"a": 1}),
        ('{"a": [1, 2,\n],\n}', {"a": [1, 2]}),
        ('{"a": "one\ntwo\tthree\r\n"}', {"a": "one\ntwo\tthree\r\n"}),
        ('{"a": "bell \x07"}', {"a": "bell \x07"}),
        ('{"a": "<b class="x">hi</b>", "b": "c"}', {"a": '<b class="x">hi</b>', "b": "c"}),
        ('{"a": "say "yes", then go", "b": 1,}', {"a": 'say "yes", then go', "b": 1}),
        ('{"a": "C:\\yard\\dock", "b": "\\u00e9 \\" \\uZZZZ"}', {"a": "C:\\yard\\dock", "b": 'é " \\uZZZZ'}),
        ('{"a": ["one\ntwo", "four", 5,]}', {"a": ["one\ntwo", "four", 5]}),
        ("{“a”: “b”, „c“: ”d”}", {"a": "b", "c": "d"}),
        ('{"a": , "b": }', {"a": None, "b": None}),
        ('{"a": {status:{from:2,to:4}}, "b": {ticket_action:created}}', None),
        ('\ufeff{\xa0"a": 1,}', {"a": 1}),
    ],
)
def test_what_can_only_be_meant_one_way_is_repaired(text, value):
    if value is None:
        value = {"a": "{status:{from:2,to:4}}", "b": "{ticket_action:created}"}
    assert meant(text) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "x", "a": "y",}',  # a key that stands twice
        '{"a": "never closed}',
        '{"a b',
        '{"a": "x" "b": "y"}',
        '["one" two]',
        '{"a": ["one "two" three"]}',  # in a list nothing proves which quote is the last
        '{"a": "say "b": c", "d": 1}',  # a text that looks like a key
        "{" * 40,
        '{"a": "' + "x" * REPAIR_MAX + '",}',
    ],
)
def test_what_stays_doubtful_is_not_repaired(text):
    answer = repaired(text)
    if answer is not None:
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(answer)


def test_a_text_cannot_add_a_key_that_the_template_has():
    subject = 'x", "ticket_status": "Closed'
    assert repaired(f'{{"ticket_subject": "{subject}", "ticket_status": "Open",}}') is None


@given(JSON)
def test_valid_json_means_the_same_after_a_repair(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        answer = repaired(text)
        # A text that looks like the end of a string may be doubted, never misread.
        if answer is not None:
            assert orjson.loads(answer) == value


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.from_regex(r'[\w <>="\n\t.]{0,30}', fullmatch=True)
    )
)
def test_raw_texts_between_quotes_come_back_or_stay_broken(row):
    text = "{" + "".join(f'"{key}": "{value}",\n' for key, value in row.items()) + "}"
    answer = repaired(text)
    if answer is not None and row:
        assert orjson.loads(answer) == row


@given(st.text(max_size=200) | st.text(alphabet='{}[]",:“”\\ \nabid0', max_size=60))
def test_repair_is_total(text):
    answer = repaired(text)
    assert answer is None or isinstance(answer, str)
    found = only_ticket_id(text)
    assert found is None or isinstance(found, str)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "unit",
    ['"', '"a', '"a",', '{"a":', "[“", '"\\', "“ ,", " " * 100 + '"', '"x" ,"y":', ',"', '"ticket_id":', '":"', "{a:"],
)
def test_repair_costs_no_more_than_a_bounded_scan(unit):
    text = '{"k":"' + unit * (REPAIR_MAX // len(unit) - 10)
    assert repaired(text) is None or len(text) <= REPAIR_MAX
    assert only_ticket_id(text) is None


@pytest.mark.parametrize(
    "text, found",
    [
        ('{"ticket_id": "#12", x', "#12"),
        ('{"w": {"ticket_id" : 7\n}, x', "7"),
        ('{"ticket_id": "SR-45",', "SR-45"),
        ('{"freshdesk_webhook": {"id": 8, x', "8"),
        ('{"ticket": {"id": "9", x', "9"),
        ('{"id": 10, x', "10"),
        ('{"requester": {"id": 8, x', None),
        ('{"ticket_id": 7, "y": {"ticket_id": 7}, x', "7"),
        ('{"ticket_id": 7, "ticket_id": 8, x', None),
        ('{"text": "\\"ticket_id\\": 7, ", x', None),
        ('{"ticket_id": "7 or 8", x', None),
        ('{"ticket_id": 12345678901234567890, x', None),
        ("", None),
    ],
)
def test_only_one_id_in_a_key_of_its_own_is_believed(text, found):
    assert only_ticket_id(text) == found
