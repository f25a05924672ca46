"""Requests as Planhat documents them; answers of every shape read without a fault."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.outcome import TEXT_CAP, BulkOutcome, ErrorEntry, Verdict, decide
from workers.planhat import wire

JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)
KNOWN_KEYS = st.sampled_from(
    ("created", "updated", "nonupdates", "createdErrors", "permissionErrors", "insertsKeys", "updatesKeys", "error")
)


def read(status: int, payload: object, **headers: str) -> BulkOutcome:
    return wire.decipher(
        status, {name.replace("_", "-"): text for name, text in headers.items()}, orjson.dumps(payload)
    )


# -- requests ----------------------------------------------------------------------------------------------------------


def test_the_body_is_a_json_array_of_the_items() -> None:
    assert json.loads(wire.bulk_body([b'{"a":1}', b'{"b":2}'])) == [{"a": 1}, {"b": 2}]
    assert wire.bulk_body([]) == b"[]"


@given(
    items=st.lists(st.binary(min_size=1, max_size=30), max_size=30),
    chunk_bytes=st.integers(1, 100),
)
def test_the_pieces_are_the_body_in_order_and_none_is_empty(items: list[bytes], chunk_bytes: int) -> None:
    chunks = list(wire.bulk_chunks(items, chunk_bytes))
    assert b"".join(chunks) == wire.bulk_body(items)
    assert all(chunks)
    assert sum(map(len, chunks)) == wire.bulk_length(items)


def test_only_the_last_piece_closes_the_array() -> None:
    chunks = list(wire.bulk_chunks([b'{"a":1}'] * 10, 16))
    assert len(chunks) > 1
    with pytest.raises(json.JSONDecodeError):
        json.loads(b"".join(chunks[:-1]))


def test_the_token_goes_as_bearer() -> None:
    assert wire.call_headers("t0ken")["authorization"] == "Bearer t0ken"


def test_the_query_has_long_names_and_leaves_out_none() -> None:
    query = wire.list_query(companyId="c1", limit=500, offset=0, sort="-updateDate", email=None)
    assert query == {"companyId": "c1", "limit": "500", "offset": "0", "sort": "-updateDate"}


def test_an_undocumented_parameter_is_refused_because_planhat_would_answer_everything() -> None:
    with pytest.raises(ValueError, match="cid"):
        wire.list_query(cid="c1")


@pytest.mark.parametrize("parameters", [{"limit": 0}, {"limit": 10_001}, {"limit": "many"}, {"offset": -1}])
def test_a_limit_or_offset_that_planhat_does_not_take_is_refused(parameters: dict[str, str | int]) -> None:
    with pytest.raises(ValueError):
        wire.list_query(**parameters)


def test_an_id_in_a_path_is_quoted_whole() -> None:
    assert wire.delete_path("6907a1b2") == "/tickets/6907a1b2"
    assert wire.delete_path("a/b?c#d é") == "/tickets/a%2Fb%3Fc%23d%20%C3%A9"


@pytest.mark.parametrize("planhat_id", ["", ".", ".."])
def test_an_id_that_would_name_another_path_is_refused(planhat_id: str) -> None:
    with pytest.raises(ValueError):
        wire.delete_path(planhat_id)


# -- bulk answers ------------------------------------------------------------------------------------------------------


def test_the_documented_answer_gives_its_counts() -> None:
    assert read(200, {"created": 1, "updated": 2}) == BulkOutcome("clear", 200, created=1, updated=2)


def test_the_full_answer_gives_ids_and_who_was_created() -> None:
    outcome = read(
        200,
        {
            "created": 1,
            "createdErrors": [],
            "insertsKeys": [{"_id": "p1", "sourceId": "zendesk:1"}],
            "updated": 1,
            "updatedErrors": [],
            "updatesKeys": [{"_id": "p2", "externalId": "zendesk:2"}],
            "nonupdates": 1,
            "modified": ["p2"],
            "upsertedIds": ["p1"],
            "permissionErrors": [],
            "validationErrors": [],
        },
        x_request_id="r-1",
    )
    assert outcome == BulkOutcome(
        "clear",
        200,
        created=1,
        updated=1,
        nonupdates=1,
        ids={"zendesk:1": "p1", "zendesk:2": "p2"},
        created_ids=frozenset({"zendesk:1"}),
        request_id="r-1",
    )


@pytest.mark.parametrize("keys", [None, "p1", 7, {"_id": "p1"}, ["p1", None, {"_id": "p1"}, {"sourceId": ["x"]}]])
def test_keys_of_another_shape_tell_nothing(keys: object) -> None:
    assert read(200, {"created": 1, "insertsKeys": keys}) == BulkOutcome("clear", 200, created=1)


def test_a_key_without_planhats_id_still_tells_who_was_created() -> None:
    outcome = read(200, {"created": 1, "insertsKeys": [{"sourceId": 7}]})
    assert (dict(outcome.ids), set(outcome.created_ids)) == ({}, {"7"})


@pytest.mark.parametrize("status", [200, 206, 400, 403])
@pytest.mark.parametrize("key", ["createdErrors", "updatedErrors", "permissionErrors", "validationErrors", "errors"])
def test_every_list_of_errors_is_read(status: int, key: str) -> None:
    outcome = read(status, {"created": 0, "updated": 1, key: ["externalId,email duplicated"]})
    assert outcome.entries == (ErrorEntry("externalId,email duplicated", frozenset({"externalId,email duplicated"})),)
    assert (outcome.kind, outcome.status, outcome.updated) == ("clear", status, 1)
    assert outcome.detail == "externalId,email duplicated"


def test_every_string_of_an_entry_may_be_an_id() -> None:
    entry = {"item": {"sourceId": "zendesk:1", "n": 7}, "messages": ["no email", {"zendesk:2": None, "plain": 1}]}
    (found,) = read(206, {"created": 0, "createdErrors": [entry]}).entries
    assert found.ids == {"zendesk:1", "no email", "zendesk:2"}
    assert '"sourceId":"zendesk:1"' in found.text


def test_an_entry_of_id_and_message_reads_as_its_message() -> None:
    (found,) = read(206, {"created": 0, "createdErrors": [{"sourceId": "zendesk:1", "message": "no email"}]}).entries
    assert (found.text, set(found.ids)) == ("no email", {"zendesk:1", "no email"})


@pytest.mark.parametrize(
    "errors",
    ["no email for zendesk:1", {"zendesk:1": "no email"}, [["zendesk:1"]], [None, {"sourceId": "zendesk:1"}]],
)
def test_errors_of_another_shape_still_name_their_item(errors: object) -> None:
    outcome = read(206, {"created": 1, "updated": 0, "createdErrors": errors})
    assert decide(outcome, ["zendesk:1", "zendesk:2"]).suspects == {"zendesk:1"}


@pytest.mark.parametrize("errors", [3, True, 0.5])
def test_a_number_of_errors_is_an_error_that_names_nobody(errors: object) -> None:
    outcome = read(206, {"created": 1, "updated": 0, "createdErrors": errors})
    assert decide(outcome, ["zendesk:1", "zendesk:2"]).verdict is Verdict.BISECT
    assert outcome.entries[0].text == f"createdErrors: {errors}"


@pytest.mark.parametrize("errors", [None, [], {}, "", 0, False])
def test_empty_errors_are_none(errors: object) -> None:
    assert read(200, {"created": 1, "createdErrors": errors}).entries == ()


@pytest.mark.parametrize("count", ["3", None, True, -1, 1.5, [], {}])
def test_a_count_of_a_wrong_type_is_no_count(count: object) -> None:
    outcome = read(200, {"created": count, "updated": 1})
    assert (outcome.created, outcome.updated) == (None, 1)


@pytest.mark.parametrize("payload", [{}, {"ok": True}, [], [1], "fine", 7, None, {"created": "x"}])
def test_a_2xx_of_another_shape_is_ambiguous(payload: object) -> None:
    outcome = read(200, payload)
    assert (outcome.kind, outcome.status) == ("ambiguous", 200)
    assert outcome.detail


@pytest.mark.parametrize("body", [b"", b" ", b'{"created":1,"upda', b"<html><body>OK</body></html>", b"\xff\xfe\x00"])
@pytest.mark.parametrize("status", [200, 204, 206])
def test_a_2xx_that_cannot_be_read_is_ambiguous(status: int, body: bytes) -> None:
    outcome = wire.decipher(status, {}, body)
    assert (outcome.kind, outcome.created, outcome.updated) == ("ambiguous", None, None)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 429, 500, 502, 503])
def test_a_page_of_html_becomes_its_text(status: int) -> None:
    page = b"<html><head><style>p{}</style><script>var x;</script></head><h1>Bad\n  Gateway</h1><p>a &lt; b</p>"
    outcome = wire.decipher(status, {}, page)
    assert (outcome.kind, outcome.detail) == ("clear", "Bad Gateway a < b")


def test_a_broken_declaration_in_html_does_not_stop_the_reading() -> None:
    assert "words" in wire.plain(b"<![if foo[>words</p> <!DOCTYPE [ <b>")
    assert "words" in wire.plain(b"<p>words<![foo[x]]></p>")


def test_an_empty_refusal_names_its_status() -> None:
    assert wire.decipher(403, {}, b"").detail == "HTTP 403 without a body"


@pytest.mark.parametrize("status", [401, 400, 422, 500])
@pytest.mark.parametrize("key", ["message", "error", "msg", "detail"])
def test_a_message_in_json_is_the_detail(status: int, key: str) -> None:
    assert read(status, {key: "Token <b>expired</b>"}).detail == "Token expired"


def test_a_message_inside_an_error_object_is_the_detail() -> None:
    assert read(401, {"error": {"message": "expired", "code": 7}}).detail == "expired"


def test_counts_of_statuses_without_the_envelope_are_not_read() -> None:
    outcome = read(500, {"created": 5, "updated": 0, "createdErrors": ["x"]})
    assert (outcome.kind, outcome.created, outcome.entries) == ("clear", None, ())


def test_words_are_capped_and_one_line() -> None:
    long = "no\r\nemail\x00 " * 400
    outcome = read(206, {"created": 0, "createdErrors": [long], "message": long})
    assert len(outcome.detail) <= TEXT_CAP
    assert len(outcome.entries[0].text) <= TEXT_CAP
    assert outcome.detail.isprintable()
    assert outcome.entries[0].text.isprintable()


def test_an_answer_of_many_megabytes_is_read() -> None:
    outcome = read(
        206, {"created": 0, "createdErrors": [{"sourceId": f"zendesk:{n}", "m": "x" * 900} for n in range(5000)]}
    )
    assert len(outcome.entries) == 5000
    assert wire.decipher(500, {}, b"<p>" * 2_000_000).status == 500


def test_an_entry_nested_too_deep_to_write_is_read() -> None:
    body = b'{"created":0,"createdErrors":[' + b"[" * 500 + b'"zendesk:1"' + b"]" * 500 + b"]}"
    (entry,) = wire.decipher(206, {}, body).entries
    assert entry.ids == {"zendesk:1"}


def test_a_body_nested_beyond_the_parser_is_unreadable_not_fatal() -> None:
    assert wire.decipher(200, {}, b"[" * 100_000).kind == "ambiguous"


def test_the_first_known_header_is_the_request_id() -> None:
    assert wire.decipher(500, {"CF-Ray": "8a", "X-Request-Id": "r\n2"}, b"").request_id == "r 2"
    assert wire.decipher(500, {}, b"").request_id is None


@given(
    status=st.integers(100, 599),
    payload=st.one_of(
        JSON_VALUES, st.dictionaries(st.one_of(KNOWN_KEYS, st.text(max_size=4)), JSON_VALUES, max_size=6)
    ),
    cut=st.integers(0, 40),
)
def test_any_json_whole_or_cut_is_read_and_decided(status: int, payload: object, cut: int) -> None:
    body = json.dumps(payload).encode()
    outcome = wire.decipher(status, {"retry-after": "7"}, body[: len(body) - cut])
    assert len(outcome.detail) <= TEXT_CAP
    assert outcome.retry_after_s == 7
    decide(outcome, ["zendesk:1", "zendesk:2"])


@given(status=st.integers(100, 599), body=st.binary(max_size=200))
def test_any_bytes_are_read(status: int, body: bytes) -> None:
    outcome = wire.decipher(status, {}, body)
    assert outcome.status == status
    assert outcome.kind == "clear" or 200 <= status < 300


# -- Retry-After -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("7", 7.0),
        (" 7.5 ", 7.5),
        ("-5", 0.0),
        ("9" * 60, 3600.0),
        ("<html>", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
        ("Thu, 21 Oct 2027 07:28:00 GMT", 3600.0),
        ("Wed, 99 Oct 2026 07:28:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_an_hour(value: str | None, seconds: float | None) -> None:
    assert wire.retry_after_s(value, now_s=1792567680.0) == seconds


def test_a_date_without_a_clock_says_nothing() -> None:
    assert wire.retry_after_s("Wed, 21 Oct 2026 07:28:30 GMT") is None


def test_a_date_counts_from_the_answers_own_clock_first() -> None:
    headers = {"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:20 GMT"}
    assert wire.decipher(429, headers, b"", now_s=0.0).retry_after_s == 10.0
    assert wire.decipher(429, {"Retry-After": headers["Retry-After"]}, b"", now_s=1792567700.0).retry_after_s == 10.0


@given(value=st.text(max_size=40), now_s=st.one_of(st.none(), st.floats(0, 4e9)))
def test_any_retry_after_is_read(value: str, now_s: float | None) -> None:
    found = wire.retry_after_s(value, now_s=now_s)
    assert found is None or 0 <= found <= 3600


# -- rows --------------------------------------------------------------------------------------------------------------


def test_a_row_is_read_in_the_documented_shape() -> None:
    document = {
        "_id": "6907a1b2c3d4e5f6a7b8c9d0",
        "externalId": "zendesk:70881",
        "type": "ticket",
        "source": "zendesk",
        "subject": "Export stops at row 500",
        "email": "requester@lumenfoundry.example",
        "status": "pending",
        "history": [{"status": "pending", "time": "2026-11-03T10:41:55.120Z"}],
        "updateDate": "2026-11-03T10:40:12.000Z",
        "companyId": "64b0c0ffee64b0c0ffee64b0",
        "isOpen": False,
    }
    assert wire.read_rows(orjson.dumps([document])) == [
        wire.Row(
            id="6907a1b2c3d4e5f6a7b8c9d0",
            source_id="zendesk:70881",
            email="requester@lumenfoundry.example",
            status="pending",
            history=({"status": "pending", "time": "2026-11-03T10:41:55.120Z"},),
            update_date="2026-11-03T10:40:12.000Z",
            subject="Export stops at row 500",
            source="zendesk",
            company_id="64b0c0ffee64b0c0ffee64b0",
        )
    ]


def test_a_source_id_counts_before_an_external_id() -> None:
    rows = wire.read_rows(b'[{"_id":"p","sourceId":"zendesk:1","externalId":"other"},{"_id":7,"externalId":8}]')
    assert rows is not None
    assert [(row.id, row.source_id) for row in rows] == [("p", "zendesk:1"), ("7", "8")]


def test_an_element_that_is_no_object_is_an_empty_row_so_that_a_page_keeps_its_length() -> None:
    rows = wire.read_rows(b'[null, 1, {"history": "?", "email": 7}, {"history": [1, {"status": "new"}]}]')
    assert rows is not None
    assert len(rows) == 4
    assert rows[3].history == ({"status": "new"},)
    assert all(row.id == row.source_id == row.email == "" for row in rows)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"error":"x"}', b"<html>", b"[{", b"null"])
def test_what_is_no_array_is_no_list(body: bytes) -> None:
    assert wire.read_rows(body) is None


@given(payload=st.lists(JSON_VALUES, max_size=4))
def test_any_array_is_read(payload: list[object]) -> None:
    rows = wire.read_rows(json.dumps(payload).encode())
    assert rows is None or len(rows) == len(payload)
