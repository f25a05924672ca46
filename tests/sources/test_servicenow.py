"""ServiceNow: keys and tokens side by side, numbers that mean something else in each table, ties within a second."""

from __future__ import annotations

import base64
import copy
import re
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.change import Change, decode_fresh
from gateway.errors import VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.servicenow import SOURCE
from gateway.sources.servicenow_records import STATES
from tests.sources.samples import PACKAGED, request_of
from tests.sources.signers import standard_webhooks

KEY = "whsec_" + base64.b64encode(b"a key of thirty-two random bytes").decode()
TOKEN = "a-token-for-flow-designer"
CONNECTION = Connection("snow", "servicenow", (KEY, TOKEN), prefix="S-")
NOW = 1_792_600_000
ARRIVAL_US = 1_793_000_000_000_000


def payload(name: str = "created", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(SOURCE.parse(request_of("servicenow", name)))
    return found | more


def read(body: dict[str, Any]) -> Change:
    (change,) = SOURCE.normalize(body, Request("POST", (), "", b""), CONNECTION).changes
    return change


def signed(secret: str = KEY) -> Request:
    return Request("POST", tuple(standard_webhooks(secret, b"{}", NOW).items()), "", b"{}")


def shown(token: str) -> Request:
    return Request("POST", (("authorization", f"Bearer {token}"),), "", b"{}")


def refused(asked: Request, connection: Connection = CONNECTION) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, connection, NOW)
    return caught.value.reason


def test_a_signed_request_and_a_shown_token_are_both_taken_where_both_are_configured():
    SOURCE.verify(signed(), CONNECTION, NOW)
    SOURCE.verify(shown(TOKEN), CONNECTION, NOW)
    assert SOURCE.delivery_id(signed(), {}) == "msg_8f1c"
    assert SOURCE.delivery_id(shown(TOKEN), {}) is None


def test_a_key_is_never_a_token_and_a_token_never_a_key():
    assert refused(shown(KEY)) == "bad_token"
    assert refused(shown(KEY), replace(CONNECTION, secrets=(KEY,))) == "missing_signature"
    assert refused(signed(), replace(CONNECTION, secrets=(TOKEN,))) == "missing_token"
    SOURCE.verify(shown(KEY), replace(CONNECTION, auth="bearer"), NOW)


def test_a_wrong_signature_is_not_mended_by_a_right_token():
    other = "whsec_" + base64.b64encode(b"another key of 32 random bytes!!").decode()
    asked = signed(other)
    both = replace(asked, headers=(*asked.headers, *shown(TOKEN).headers))
    assert refused(both) == "bad_signature"


def test_the_window_holds_for_signed_requests():
    asked = signed()
    SOURCE.verify(asked, CONNECTION, NOW + 300)
    with pytest.raises(VerificationError):
        SOURCE.verify(asked, CONNECTION, NOW + 301)


def test_keys_and_tokens_are_checked_by_what_they_are():
    assert SOURCE.check_secret(KEY, "signature") is None
    assert SOURCE.check_secret(TOKEN, "signature") is None
    assert SOURCE.check_secret(TOKEN, "bearer") is None
    assert "24 random bytes" in (SOURCE.check_secret("whsec_dG9vIHNob3J0", "signature") or "")
    assert SOURCE.check_secret("whsec_dG9vIHNob3J0", "bearer") is None
    assert SOURCE.check_secret("short", "bearer")


def stamp(change: Change) -> Any:
    return decode_fresh(change.encode()).stamp(ARRIVAL_US)


def test_updates_of_one_second_are_put_in_order_by_their_count_and_a_deletion_is_the_last():
    second, tenth = (read(payload(eventType="update", sys_mod_count=count)) for count in (2, "10"))
    deleted = read(payload(eventType="delete"))
    assert stamp(read(payload())) < stamp(second) < stamp(tenth) < stamp(deleted)
    next_second = read(payload(eventType="update", sys_updated_on="2026-10-19 08:15:31"))
    assert stamp(deleted) < stamp(next_second)


@pytest.mark.parametrize("count", [None, "", "x", "-1", "1" * 7, 1.5, True, [2]])
def test_a_count_that_is_none_is_no_order(count):
    assert read(payload(sys_mod_count=count)).event_at_us == 1_792_397_730_000_000


@pytest.mark.parametrize(
    "shown_event, life",
    [
        ("insert", "live"),
        ("Created", "live"),
        ("inserted", "live"),
        ("after_insert", "live"),
        ("incident_created", "live"),
        ("DELETE", "deleted"),
        ("deleted", "deleted"),
        ("before delete", "deleted"),
        ("afterdelete", "deleted"),
        ("incident_deleted", "deleted"),
        ("sn_customerservice_case.delete", "deleted"),
        ("comment_deleted", ""),
        ("undelete", ""),
        ("update", ""),
        (7, ""),
    ],
)
@pytest.mark.parametrize("key", ["eventType", "event_type", "operation", "action"])
def test_the_event_word_decides_however_a_script_writes_it(key, shown_event, life):
    change = read({"sysId": "a1", "shortDescription": "x", "state_label": "New", key: shown_event})
    assert (change.life, change.creation) == (life, life == "live")


def test_people_are_read_where_a_script_walks_to_them_in_one_key_or_in_two():
    people = {"caller_id": {"email": "A@b.example", "name": "Ada"}, "assigned_to": {"email": "p@q.example"}}
    walked = {"caller_id.email": "a@b.example", "caller_id.name": "Ada", "assigned_to.email": "p@q.example"}
    assert read({"sysId": "a1"} | people).fields == read({"sysId": "a1"} | walked).fields
    bare = {"caller_id": {"display_value": "Ada", "value": "7c1"}, "contact": "7c1"}
    assert not read({"sysId": "a1"} | bare).fields.keys() & {"email", "name"}


@pytest.mark.parametrize("key", ["tableName", "table_name", "table", "sys_class_name"])
@pytest.mark.parametrize("table", ["incident", {"display_value": "Incident", "value": "incident"}])
def test_the_table_is_found_under_each_of_its_names(key, table):
    assert read({"sysId": "a1", "state": "3", key: table}).fields["status"] == "on hold"


@pytest.mark.parametrize("table, state, word", [(table, *row) for table in STATES for row in STATES[table].items()])
def test_the_table_gives_a_number_its_word(table, state, word):
    body = {"sysId": "a1", "state": state, "tableName": table}
    assert read(body).fields["status"] == word
    assert read(body | {"state_label": "Own Label"}).fields["status"] == "own label"


@pytest.mark.parametrize(
    "number, word", [("INC0001", "on hold"), ("CS0001", "closed"), ("MOVE1", None), ("17", None), ("", None)]
)
def test_without_a_table_the_numbers_prefix_tells_it(number, word):
    assert read({"sysId": "a1", "shortDescription": "x", "number": number, "state": "3"}).fields.get("status") == word


@pytest.mark.parametrize(
    "shown_time, at_ms",
    [
        ("2026-10-19 08:15:30", 1_792_397_730_000),
        (" 2026-10-19 08:15:30 ", 1_792_397_730_000),
        ("2026-10-19T10:15:30+02:00", 1_792_397_730_000),
        ("2026-10-19T08:15:30", 1_792_397_730_000),
        ({"display_value": "2026-10-19 10:15:30", "value": "2026-10-19 08:15:30"}, 1_792_397_730_000),
        ({"display_value": "19/10/2026 10:15:30", "value": "2026-10-19 08:15:30"}, 1_792_397_730_000),
        ("19/10/2026 08:15", None),
        ("2026-10-19", None),
        (None, None),
    ],
)
def test_a_time_without_a_zone_is_utc(shown_time, at_ms):
    assert read(payload(sys_updated_on=shown_time)).updated_at_ms == at_ms


def test_the_set_up_pages_script_sends_the_keys_that_are_read():
    page = (PACKAGED.parent / "README.md").read_text()
    script = page.split("## ServiceNow")[1].split("```js")[1].split("```")[0]
    assert set(re.findall(r"^ {4}(\w+):", script, re.MULTILINE)) == payload().keys()


def test_five_keys_leave_only_the_address_to_be_looked_up():
    assert needs_lookup(read(payload("incident_minimal"))) == ("requester_email",)
    assert needs_lookup(read(payload())) == ()
