"""A connection's rules: what of a body counts and what its fields become; nothing is lost that no rule names."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.change import Change
from gateway.core.free_mail import FREE_MAIL
from gateway.core.placing import ORDINARY, Placing
from gateway.errors import UnreadablePayload, VerificationError
from gateway.rules import ITEMS_MAX, PARTS_MAX, Rules, placing_of, placing_with, rules_of
from gateway.sources import SOURCES
from gateway.sources.base import Connection, Normalized, Request
from gateway.sources.places import AGENTS, APPS, BRANDS, GROUPS
from tests.sources.samples import names, outcome, read, request_of

CASES = [(source, name) for source in SOURCES for name in names(source)]
LEFT_OUT = "the connection's rules leave this ticket out"
ROW: dict[str, Any] = {
    "sourceId": "BW-1",
    "title": "Gate code",
    "status": "Open",
    "email": "eskil@kestrel.example",
    "tags": ["B2B"],
}
EVENT = {"type": "ticket.upserted", "timestamp": "2026-10-14T09:45:02Z"}


def rules(source: str, **table: Any) -> Rules:
    made = rules_of({"source": source, **table})
    assert made is not None
    return made


def connection(source: str, **more: Any) -> Connection:
    return Connection("desk", source, (), prefix="d:", **more)


class Heard(list[str]):
    """What the rules said they decided."""


def normalized(source: str, payload: Any, table: dict[str, Any], heard: list[str] | None = None, **more: Any):
    asked = Request("POST", (("content-type", "application/json"),), "", orjson.dumps(payload, default=str))
    said = [] if heard is None else heard
    return rules(source, **table).normalize(SOURCES[source], payload, asked, connection(source, **more), said.append)


def sample(source: str, name: str) -> Any:
    return SOURCES[source].parse(request_of(source, name))


def generic(*rows: dict[str, Any], **event: Any) -> dict[str, Any]:
    return EVENT | event | {"data": list(rows) if len(rows) > 1 else rows[0]}


def tickets(found: Normalized) -> list[str]:
    return [change.ticket for change in found.changes]


# ------------------------------------------------------------------------------------------------- without a rule's say
@pytest.mark.parametrize(("source", "name"), CASES)
def test_rules_that_name_nothing_of_a_sample_change_nothing(source, name):
    asked = request_of(source, name)
    made, adapter = connection(source), SOURCES[source]
    plain = read(adapter, asked, made)
    neutral = rules(source, status={"no such status": "x"}, ignore={"tags": ["no such tag"]})
    ruled = outcome(lambda: neutral.normalize(adapter, adapter.parse(asked), asked, made))
    if isinstance(plain, UnreadablePayload):
        assert isinstance(ruled, UnreadablePayload)
        assert ruled.reason == plain.reason
    else:
        assert isinstance(ruled, Normalized)
        assert ruled.changes == plain.changes
        assert bool(ruled.ignored) == bool(plain.ignored)
        assert set(ruled.lacks) == set(plain.lacks) or len(plain.changes) != 1


def test_a_connection_without_rules_has_none():
    assert rules_of({"source": "zendesk", "secret_env": "X", "on_delete": "close"}) is None
    assert rules_of({"source": "zendesk", "only": {}, "map": {}}) is None


# ---------------------------------------------------------------------------------------------------- who made a change
AGENT_BODIES = [
    ("zendesk", {"detail": {"actor_id": "9001"}}, "9001"),
    ("zendesk", {"event": {"actor": {"id": "zd:answerBot"}}}, "ZD:answerbot"),
    ("zendesk", {"current_user": {"email": "Bot@acme.example"}}, "bot@acme.example"),
    ("freshdesk", {"data": {"actor": {"id": 77}}}, "77"),
    ("freshservice", {"actor": {"email": "bot@acme.example"}}, "bot@acme.example"),
    ("jira_service_management", {"user": {"accountId": "5f70aa"}}, "5f70aa"),
    ("jira_service_management", {"comment": {"author": {"emailAddress": "bot@acme.example"}}}, "bot@acme.example"),
    ("jira_service_management", {"comment": {"author": {"name": "ada"}, "updateAuthor": {"name": "bot"}}}, "bot"),
    ("github", {"sender": {"login": "Planhat-Bot"}}, "planhat-bot"),
    ("linear", {"actor": {"email": "bot@acme.example"}}, "bot@acme.example"),
    ("kustomer", {"data": {"relationships": {"modifiedBy": {"data": {"id": "5e90"}}}}}, "5e90"),
    ("kustomer", {"data": {"data": {"relationships": {"modifiedBy": {"data": {"id": "5e90"}}}}}}, "5e90"),
    ("hubspot", {"sourceId": "userId:70511"}, "userid:70511"),
    ("zammad", {"ticket": {"updated_by": {"login": "bot@acme.example"}}}, "bot@acme.example"),
    ("zammad", {"ticket": {"updated_by_id": 7}}, "7"),
    ("front", {"source": {"data": {"id": "tea_2b"}}}, "tea_2b"),
    ("front", {"payload": {"source": {"data": {"email": "bot@acme.example"}}}}, "bot@acme.example"),
    ("intercom", {"data": {"item": {"conversation_parts": {"conversation_parts": [{"author": {"id": "1"}}]}}}}, "1"),
    ("intercom", {"data": {"item": {"ticket": {"ticket_parts": {"ticket_parts": [{"author": {"id": 1}}]}}}}}, "1"),
    ("chatwoot", {"sender": {"id": 9, "email": "bot@acme.example"}}, "bot@acme.example"),
    ("salesforce", {"notifications": [{"fields": {"LastModifiedById": "005Hn00"}}]}, "005hn00"),
    ("servicenow", {"sys_updated_by": "planhat.sync"}, "planhat.sync"),
]
APP_BODIES = [
    ("hubspot", {"changeSource": "INTEGRATION"}, "integration"),
    ("github", {"sender": {"login": "planhat[bot]"}}, "planhat[bot]"),
    ("github", {"comment": {"performed_via_github_app": {"slug": "planhat"}}}, "planhat"),
    ("kustomer", {"client": "planhat"}, "planhat"),
    ("linear", {"actor": {"type": "integration", "name": "Planhat"}}, "planhat"),
    ("front", {"source": {"_meta": {"type": "api"}}}, "api"),
]


@pytest.mark.parametrize(("source", "body", "wanted"), AGENT_BODIES)
def test_what_a_configured_agent_did_is_left_out(source, body, wanted):
    found = normalized(source, body, {"ignore": {"agents": [wanted, "another"]}})
    assert (found.changes, found.ignored) == ((), f"ignore.agents: the change was made by {wanted.lower()}")


@pytest.mark.parametrize(("source", "body", "wanted"), APP_BODIES)
def test_what_a_configured_app_did_is_left_out(source, body, wanted):
    found = normalized(source, body, {"ignore": {"apps": [wanted]}})
    assert (found.changes, found.ignored) == ((), f"ignore.apps: the change was made by {wanted}")


def test_every_place_is_shown_by_a_body_of_this_page():
    assert {source for source, *_ in AGENT_BODIES} == set(AGENTS)
    assert {source for source, *_ in APP_BODIES} == set(APPS)
    assert {source for source, *_ in BRAND_BODIES} == set(BRANDS)
    assert {source for source, *_ in GROUP_BODIES} == set(GROUPS)


def test_hubspot_s_own_subscription_is_no_app_that_changed_something():
    events = sample("hubspot", "batch")
    app = str(events[0]["appId"])
    assert normalized("hubspot", events, {"ignore": {"apps": [app]}}).changes


def test_the_last_part_of_an_intercom_conversation_tells_who_acted():
    parts = {"ticket_parts": {"ticket_parts": [{"author": {"id": "1"}}, {"author": {"id": "2"}}]}}
    heard: list[str] = []
    outcome(lambda: normalized("intercom", {"data": {"item": parts}}, {"ignore": {"agents": ["1"]}}, heard))
    assert heard == []
    normalized("intercom", {"data": {"item": parts}}, {"ignore": {"agents": ["2"]}}, heard)
    assert heard == ["ignore.agents: the change was made by 2"]


def test_a_loop_of_our_own_writes_ends_and_the_next_change_of_a_person_is_taken():
    wishes = {"ignore": {"agents": ["9100000004711"]}}
    body = sample("zendesk", "status_changed")
    assert body["detail"]["actor_id"] == "9100000004711"
    assert normalized("zendesk", body, wishes).changes == ()
    body["detail"]["actor_id"] = "9100000000042"
    assert len(normalized("zendesk", body, wishes).changes) == 1


def test_a_deletion_by_an_ignored_agent_is_an_echo_as_well():
    body = sample("zendesk", "soft_deleted") | {
        "detail": {**sample("zendesk", "soft_deleted")["detail"], "actor_id": "1"}
    }
    assert normalized("zendesk", body, {"ignore": {"agents": ["1"]}}).changes == ()


@pytest.mark.parametrize("tags", [["from-planhat"], ["From-Planhat"]])
def test_tickets_with_an_ignored_tag_are_left_out_whatever_its_case(tags):
    body = generic(ROW | {"tags": ["x", "FROM-planhat"]})
    assert normalized("generic", body, {"ignore": {"tags": tags}}).ignored == LEFT_OUT
    assert normalized("generic", generic(ROW), {"ignore": {"tags": tags}}).changes


def test_ignore_when_leaves_out_the_bodies_of_which_it_is_true():
    wishes = {"ignore": {"when": "data.custom.channel == 'chat'"}}
    assert normalized("generic", generic(ROW | {"custom": {"channel": "chat"}}), wishes).ignored
    assert normalized("generic", generic(ROW | {"custom": {"channel": "mail"}}), wishes).changes
    assert normalized("generic", generic(ROW), wishes).changes


@pytest.mark.parametrize(
    ("value", "true"), [(0, True), ("x", True), ([0], True), ("", False), ([], False), ({}, False)]
)
def test_what_is_empty_is_not_true_and_zero_is(value, true):
    found = normalized("generic", generic(ROW) | {"mark": value}, {"ignore": {"when": "mark"}})
    assert bool(found.ignored) is true


# ----------------------------------------------------------------------------------------------------- which are wanted
BRAND_BODIES = [
    ("zendesk", {"detail": {"brand_id": "71"}}, "71"),
    ("zendesk", {"ticket": {"brand": {"name": "North"}}}, "north"),
    ("zendesk", {"brand": "North"}, "north"),
    ("kustomer", {"data": {"relationships": {"brand": {"data": {"id": "b1"}}}}}, "b1"),
]
GROUP_BODIES = [
    ("zendesk", {"detail": {"group_id": "55"}}, "55"),
    ("zendesk", {"group": {"name": "Second line"}}, "second line"),
    ("freshdesk", {"freshdesk_webhook": {"ticket_group_name": "Yard"}}, "yard"),
    ("freshdesk", {"data": {"ticket": {"group_id": 4}}}, "4"),
    ("freshservice", {"ticket": {"group": {"name": "Yard"}}}, "yard"),
    ("jira_service_management", {"issue": {"fields": {"project": {"key": "DESK"}}}}, "desk"),
    ("jira_service_management", {"fields": {"project": {"id": "10010"}}}, "10010"),
    ("github", {"repository": {"full_name": "tallgrass/desk"}}, "tallgrass/desk"),
    ("linear", {"data": {"team": {"key": "GAT"}}}, "gat"),
    ("kustomer", {"data": {"attributes": {"assignedTeams": ["5e90"]}}}, "5e90"),
    ("zammad", {"ticket": {"group": "Port service"}}, "port service"),
    ("zammad", {"ticket": {"group": {"id": 2}}}, "2"),
    ("zoho_desk", {"payload": {"departmentId": "1"}}, "1"),
    ("chatwoot", {"conversation": {"inbox_id": 3}}, "3"),
    ("chatwoot", {"meta": {"team": {"name": "Night"}}}, "night"),
    ("front", {"source": {"_meta": {"type": "inboxes"}, "data": [{"id": "inb_31"}]}}, "inb_31"),
    ("gorgias", {"ticket": {"assignee_team": {"id": 5}}}, "5"),
    ("help_scout", {"mailboxId": 12}, "12"),
    ("intercom", {"data": {"item": {"team_assignee_id": 88}}}, "88"),
    ("salesforce", {"notifications": [{"fields": {"OwnerId": "00G1"}}]}, "00g1"),
]


@pytest.mark.parametrize(
    ("source", "kind", "body", "wanted"),
    [
        *((source, "brands", body, wanted) for source, body, wanted in BRAND_BODIES),
        *((source, "groups", body, wanted) for source, body, wanted in GROUP_BODIES),
    ],
)
def test_a_body_of_another_brand_or_group_is_left_out(source, kind, body, wanted):
    heard: list[str] = []
    found = normalized(source, body, {"only": {kind: ["somewhere else"]}}, heard)
    assert found.changes == ()
    assert found.ignored
    heard.clear()
    outcome(lambda: normalized(source, body, {"only": {kind: [wanted.upper()]}}, heard))
    assert not any(said.startswith("only.") for said in heard), heard


def test_a_body_that_tells_no_brand_passes_and_that_is_told():
    heard: list[str] = []
    body = sample("zendesk", "trigger_full")
    assert normalized("zendesk", body, {"only": {"brands": ["71"]}}, heard).changes
    assert "only.brands: the body does not tell, so it passes" in heard


def test_two_brands_of_one_helpdesk_share_nothing():
    body = sample("zendesk", "status_changed")
    mine, theirs = {"only": {"brands": ["7100000000001"]}}, {"only": {"brands": ["7100000000002"]}}
    assert len(normalized("zendesk", body, mine).changes) == 1
    found = normalized("zendesk", body, theirs)
    assert (found.changes, found.ignored) == ((), "only.brands: the ticket's is 7100000000001")


@pytest.mark.parametrize("only", [{"brands": ["1"]}, {"groups": ["1"]}, {"when": "`false`"}, {"tags": ["x"]}])
def test_a_deletion_passes_whatever_only_says_since_the_ticket_may_have_been_let_in_before(only):
    (change,) = normalized("zendesk", sample("zendesk", "soft_deleted"), {"only": only}).changes
    assert change.life == "deleted"


def test_what_only_does_not_name_need_not_be_readable():
    found = normalized("generic", {"type": "nonsense of another team", "data": 5}, {"only": {"when": "`false`"}})
    assert found.changes == ()
    found = normalized("generic", {"type": "ticket.upserted", "data": 5}, {"only": {"when": "`false`"}})
    assert (found.changes, found.ignored) == ((), "only.when is not true of the body")


def test_only_statuses_and_tags_decide_by_the_ticket_s_own_words():
    assert normalized("generic", generic(ROW), {"only": {"statuses": ["open"]}}).changes
    assert normalized("generic", generic(ROW), {"only": {"statuses": ["Solved"]}}).ignored == LEFT_OUT
    assert normalized("generic", generic(ROW), {"only": {"tags": ["b2b"]}}).changes
    assert normalized("generic", generic(ROW | {"tags": []}), {"only": {"tags": ["b2b"]}}).ignored == LEFT_OUT
    unknown = {name: value for name, value in ROW.items() if name not in ("tags", "status")}
    both = {"only": {"tags": ["b2b"], "statuses": ["solved"]}}
    assert normalized("generic", generic(unknown), both).changes, "what is not told yet keeps nothing out"


def test_all_that_only_names_must_hold():
    wishes = {"only": {"tags": ["b2b"], "statuses": ["open"], "when": "data.custom.tier"}}
    assert normalized("generic", generic(ROW | {"custom": {"tier": 1}}), wishes).changes
    assert normalized("generic", generic(ROW), wishes).ignored == "only.when is not true of the body"


# ---------------------------------------------------------------------------------------------------------- status map
def test_the_status_map_renames_the_status_and_the_history():
    seen = [("Hold", "2026-10-14T08:00:00Z"), ("new", "2026-10-14T07:00:00Z")]
    row = ROW | {"status": "HOLD", "history": [{"status": status, "time": time} for status, time in seen]}
    heard: list[str] = []
    (change,) = normalized("generic", generic(row), {"status": {"Hold": "on-hold"}}, heard).changes
    assert change.fields["status"] == "on-hold"
    assert [status for _, status in change.history] == ["on-hold", "new"]
    assert heard == ["status: d:BW-1 'hold' becomes 'on-hold'"]


def test_a_history_is_renamed_beside_a_status_that_is_not():
    row = ROW | {"history": [{"status": "hold", "time": "2026-10-14T08:00:00Z"}]}
    (change,) = normalized("generic", generic(row), {"status": {"hold": "on-hold"}}).changes
    assert (change.fields["status"], change.history[0][1]) == ("open", "on-hold")


def test_filters_see_the_helpdesk_s_word_and_not_the_renamed_one():
    wishes = {"status": {"open": "working"}, "only": {"statuses": ["open"]}}
    (change,) = normalized("generic", generic(ROW), wishes).changes
    assert change.fields["status"] == "working"


# ------------------------------------------------------------------------------------------------------------ field map
def test_the_map_s_fields_are_laid_over_what_the_adapter_read():
    body = generic(ROW | {"custom": {"a": 1}}, region="emea", minutes=7.9)
    table = {"map": {"product": "region", "timeSpent": "minutes", "custom": {"Plan": "region"}, "custom.Mark": "`5`"}}
    (change,) = normalized("generic", body, table).changes
    assert change.fields["product"] == "emea"
    assert change.fields["timeSpent"] == 7
    assert change.fields["custom"] == {"a": 1, "Plan": "emea", "Mark": 5}
    assert (change.fields["title"], change.ticket) == ("Gate code", "d:BW-1")


def test_a_null_of_an_expression_leaves_the_adapter_s_value():
    heard: list[str] = []
    (change,) = normalized("generic", generic(ROW), {"map": {"title": "nothing.here"}}, heard).changes
    assert change.fields["title"] == "Gate code"
    assert heard == []


@pytest.mark.parametrize(
    ("name", "value", "becomes"),
    [
        ("status", "  On-Hold ", "on-hold"),
        ("status", 3, "3"),
        ("title", 5, "5"),
        ("title", "", ""),
        ("email", "Ada@Kestrel.Example", "ada@kestrel.example"),
        ("email", "no address", ""),
        ("agentEmail", "Ada@Kestrel.Example", "ada@kestrel.example"),
        ("tags", "one", ["one"]),
        ("tags", ["one", "two", "one"], ["one", "two"]),
        ("tags", [], []),
        ("domains", "Kestrel.Example", ["kestrel.example"]),
        ("domains", [], []),
        ("timeSpent", 0, 0),
        ("companyId", "60a1", "60a1"),
        ("custom", {"b": 2}, {"b": 2}),
    ],
)
def test_a_found_value_becomes_what_the_field_is(name, value, becomes):
    (change,) = normalized("generic", generic(ROW) | {"x": value}, {"map": {name: "x"}}).changes
    assert change.fields[name] == becomes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", {"a": 1}),
        ("status", ""),
        ("title", ["x"]),
        ("email", 5),
        ("tags", [{"a": 1}]),
        ("domains", {"a": 1}),
        ("timeSpent", "5"),
        ("timeSpent", -1),
        ("timeSpent", 1e300),
        ("timeSpent", True),
        ("custom", "x"),
    ],
)
def test_what_cannot_be_such_a_field_leaves_the_adapter_s_value_and_that_is_told(name, value):
    heard: list[str] = []
    row = ROW | {"timeSpent": 3}
    (change,) = normalized("generic", generic(row) | {"x": value}, {"map": {name: "x"}}, heard).changes
    plain = SOURCES["generic"].normalize(generic(row), Request("POST", (), "", b""), connection("generic"))
    assert change.fields == plain.changes[0].fields
    assert heard == [f"map: {name} = x finds nothing that can be a {name}"]


def test_custom_fields_may_be_anything_that_json_can_say_and_nothing_else():
    body = generic(ROW) | {"x": {"deep": [1, None]}, "big": [2**63, 2**63]}
    heard: list[str] = []
    (change,) = normalized(
        "generic", body, {"map": {"custom": {"x": "x", "none": "&x", "sum": "sum(big)"}}}, heard
    ).changes
    assert change.fields["custom"] == {"x": {"deep": [1, None]}}
    assert "map: custom.none = &x finds nothing that can be a custom.none" in heard


def test_a_map_of_custom_as_a_whole_gives_way_to_single_ones():
    table = {"map": {"custom.b": "`9`", "custom": "x"}}
    (change,) = normalized("generic", generic(ROW) | {"x": {"a": 1, "b": 2}}, table).changes
    assert change.fields["custom"] == {"a": 1, "b": 9}


def test_deletions_get_no_fields():
    body = EVENT | {"type": "ticket.deleted", "data": {"sourceId": "BW-1"}}
    (change,) = normalized("generic", body, {"map": {"title": "type"}}).changes
    assert (change.life, change.fields) == ("deleted", {})


# ---------------------------------------------------------------------------------------------- a map that reads it all
OWN = {
    "sourceId": "ref",
    "items": "page.cases",
    "title": "headline",
    "status": "state",
    "email": "who.mail",
    "updatedAt": "changed",
    "createdAt": "made",
    "deleted": "state == 'gone'",
    "custom": {"Site": "site"},
}
CASE = {"ref": 17, "headline": "Belt slips", "state": "Open", "who": {"mail": "ada@kestrel.example"}, "site": "K2"}


def test_a_map_with_source_id_reads_a_body_of_any_shape():
    body = {"page": {"cases": [CASE | {"changed": 1792397730, "made": 1792397730155}, CASE | {"ref": "18"}]}}
    first, second = normalized("generic", body, {"map": OWN}).changes
    assert first.ticket == "d:17"
    assert (first.updated_at_ms, first.created_at_ms) == (1792397730000, 1792397730155)
    assert first.fields == {
        "title": "Belt slips",
        "status": "open",
        "email": "ada@kestrel.example",
        "custom": {"Site": "K2"},
    }
    assert first.complete
    assert (second.ticket, second.updated_at_ms, second.life) == ("d:18", None, "live")


@pytest.mark.parametrize(
    ("value", "at_ms"),
    [
        ("2026-10-19T09:02:11Z", 1792400531000),
        (1792400531, 1792400531000),
        (1792400531.5, 1792400531500),
        (1792400531000, 1792400531000),
        ("1792400531000", 1792400531000),
        ("1792400531", 1792400531000),
        (True, None),
        (-5, None),
        (1e300, None),
        ("soon", None),
        ("٣", None),
        (None, None),
    ],
)
def test_times_are_iso_or_epochs_in_seconds_or_milliseconds(value, at_ms):
    (change,) = normalized("generic", CASE | {"at": value}, {"map": {"sourceId": "ref", "updatedAt": "at"}}).changes
    assert change.updated_at_ms == at_ms


def test_a_body_whose_time_is_not_found_counts_by_its_arrival_and_that_is_told():
    heard: list[str] = []
    normalized("generic", CASE, {"map": {"sourceId": "ref"}}, heard)
    assert heard == ["map: updatedAt finds no time: what arrives last counts"]


@pytest.mark.parametrize(("state", "life"), [("gone", "deleted"), ("open", "live"), (None, "live")])
def test_deleted_says_that_a_ticket_is_gone_or_there(state, life):
    (change,) = normalized("generic", {"page": {"cases": CASE | {"state": state}}}, {"map": OWN}).changes
    assert change.life == life
    assert bool(change.fields) is (life == "live")


def test_deleted_that_finds_nothing_says_nothing():
    (change,) = normalized("generic", CASE, {"map": {"sourceId": "ref", "deleted": "no.such"}}).changes
    assert change.life == ""


@pytest.mark.parametrize(
    ("body", "reason"),
    [({"page": {"cases": [{}]}}, "no_ticket_id"), ({"page": {"cases": [CASE] * (ITEMS_MAX + 1)}}, "too_many_items")],
)
def test_what_the_map_cannot_read_is_unreadable(body, reason):
    with pytest.raises(UnreadablePayload) as caught:
        normalized("generic", body, {"map": OWN})
    assert caught.value.reason == reason


def test_an_empty_array_of_items_is_no_ticket_and_says_so():
    found = normalized("generic", {"page": {"cases": []}}, {"map": OWN})
    assert (found.changes, found.ignored) == ((), "map.items (page.cases) finds an empty array")
    found = normalized("generic", [], {"map": OWN})
    assert (found.changes, found.ignored) == ((), "the body is an empty array")


@pytest.mark.parametrize(
    ("page", "found"),
    [({}, "nothing"), ({"cases": None}, "nothing"), ({"cases": 5}, "no array"), ({"cases": "x"}, "no array")],
)
def test_items_that_find_no_array_keep_the_body_since_the_map_may_have_a_slip(page, found):
    with pytest.raises(UnreadablePayload) as caught:
        normalized("generic", {"page": page}, {"map": OWN})
    assert caught.value.reason == "bad_map"
    assert caught.value.detail == f"map.items (page.cases) finds {found} in this body."


def test_data_of_a_body_of_another_shape_is_left_as_it_is():
    (change,) = normalized("generic", {"data": [CASE]}, {"map": {"sourceId": "data[0].ref"}}).changes
    assert change.ticket == "d:17"


@pytest.mark.parametrize("expression", ["length(`5`)", "sort_by(@, &ref)", "keys(@.ref)", "keys(@)[::0]", "ceil(big)"])
def test_an_expression_that_fails_on_a_body_keeps_the_body(expression):
    with pytest.raises(UnreadablePayload) as caught:
        normalized("generic", CASE | {"big": float("inf")}, {"map": {"sourceId": "ref", "title": expression}})
    assert caught.value.reason == "bad_map"
    assert expression in caught.value.detail


# ------------------------------------------------------------------------------------------------- several in one body
def test_of_hubspot_s_array_each_event_stands_for_itself():
    events = sample("hubspot", "batch")
    plain = SOURCES["hubspot"].normalize(events, Request("POST", (), "", b""), connection("hubspot"))
    events[0]["sourceId"] = "userId:1"
    found = normalized("hubspot", events, {"ignore": {"agents": ["userId:1"]}, "map": {"product": "changeSource"}})
    assert 0 < len(found.changes) < len(plain.changes)
    assert all(change.fields["product"] == "CRM_UI" for change in found.changes if not change.life)


def test_of_zoho_s_array_each_event_stands_for_itself():
    first, second, deletion = sample("zoho_desk", "two_tickets")
    found = normalized("zoho_desk", [first, second, deletion], {"only": {"when": "payload.id == 'none'"}})
    assert [change.life for change in found.changes] == ["deleted"]
    found = normalized("zoho_desk", [first, second], {"ignore": {"when": f"payload.id == '{second['payload']['id']}'"}})
    assert tickets(found) == [f"d:{first['payload']['id']}"]


def test_of_salesforce_s_notifications_each_stands_for_itself():
    message = sample("salesforce", "case_batch")
    first, second = (row["fields"] for row in message["notifications"])
    first["LastModifiedById"] = "005Hn00000c7RtYIAU"
    found = normalized("salesforce", message, {"ignore": {"agents": ["005Hn00000c7RtYIAU"]}})
    assert tickets(found) == [f"d:{second['Id']}"]
    mapped = normalized("salesforce", message, {"map": {"product": "notifications[0].fields.Subject"}})
    assert [change.fields["product"] for change in mapped.changes] == [first["Subject"], second["Subject"]]


def test_of_our_own_items_each_stands_for_itself_and_bare():
    rows: list[dict[str, Any]] = [ROW, ROW | {"sourceId": "BW-2", "custom": {"tier": 2}}]
    for body in (generic(*rows), EVENT | {"data": [rows[1]]}):
        found = normalized("generic", body, {"only": {"when": "data.custom.tier"}})
        assert tickets(found) == ["d:BW-2"]


def test_more_items_than_the_adapter_takes_are_refused_by_it():
    with pytest.raises(UnreadablePayload) as caught:
        normalized("generic", EVENT | {"data": [ROW] * (PARTS_MAX + 1)}, {"only": {"tags": ["b2b"]}})
    assert caught.value.reason == "too_many_items"


def test_one_unreadable_event_keeps_the_whole_array():
    events = [*sample("hubspot", "batch"), {"no": "event"}]
    with pytest.raises(UnreadablePayload):
        normalized("hubspot", events, {"ignore": {"agents": ["x"]}})


def test_events_of_another_account_are_left_out_of_a_mixed_array_and_refused_alone():
    events = sample("hubspot", "batch")
    account = str(events[0]["portalId"])
    foreign = [{**event, "portalId": 1} for event in events]
    wishes = {"ignore": {"agents": ["x"]}}
    mixed = normalized("hubspot", [*foreign, *events], wishes, account_id=account)
    assert mixed.changes == normalized("hubspot", events, wishes, account_id=account).changes
    with pytest.raises(VerificationError):
        normalized("hubspot", foreign, wishes, account_id=account)


def test_an_empty_array_is_what_the_adapter_takes_it_for():
    adapter = SOURCES["hubspot"].normalize([], Request("POST", (), "", b"[]"), connection("hubspot"))
    assert normalized("hubspot", [], {"ignore": {"agents": ["x"]}}) == adapter


# --------------------------------------------------------------------------------------------------- a re-read ticket
def test_a_ticket_read_from_the_helpdesk_meets_the_rules_about_fields():
    wishes = rules("zendesk", only={"tags": ["b2b"], "brands": ["71"]}, status={"hold": "on-hold"})
    held = Change("d:1", "desk", fields={"status": "hold", "tags": ["B2B"]}, reread=True)
    kept = wishes.of_change(held)
    assert kept is not None
    assert (kept.fields["status"], kept.reread) == ("on-hold", True)
    assert wishes.of_change(Change("d:1", "desk", fields={"tags": ["x"]})) is None
    gone = Change("d:1", "desk", life="purged")
    assert wishes.of_change(gone) is gone


# -------------------------------------------------------------------------------------------------------- company rules
def test_company_rules_come_from_the_table_and_free_mail_from_the_file():
    common = placing_with({"add": ["ISP.example"], "remove": ["web.de"]})
    assert "isp.example" in common.free_mail
    assert "web.de" not in common.free_mail
    assert placing_with({}) is ORDINARY
    assert placing_with({"add": sorted(FREE_MAIL)[:1]}) is ORDINARY
    assert placing_of({}, common) is common
    assert placing_of({"company": {"by": ["domain"], "resolve": True}}, common) == Placing(
        by_external_id=False, resolve=True, free_mail=common.free_mail
    )
    assert placing_of({"company": {"id": "60a1", "external_id": "acct-1"}}, ORDINARY) == Placing(
        company_id="60a1", external_id="acct-1"
    )


# ------------------------------------------------------------------------------------------------------------- totality
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
keys = st.sampled_from(
    ["ref", "page", "cases", "state", "who", "mail", "changed", "data", "detail", "notifications", "fields", "payload"]
)
bodies = st.recursive(
    json_values,
    lambda inner: st.dictionaries(keys, inner, max_size=5) | st.lists(inner, max_size=3),
    max_leaves=12,
)
TABLES = [
    {"map": OWN},
    {
        "map": {
            "sourceId": "ref || payload.ref",
            "timeSpent": "page",
            "custom": "who",
            "tags": "cases",
            "domains": "mail",
        }
    },
    {
        "map": {"title": "join(' ', cases)", "custom.x": "max_by(data, &ref)", "status": "state"},
        "status": {"open": "x"},
    },
    {
        "only": {"tags": ["x"], "statuses": ["open"], "when": "ref > `3` || starts_with(state, 'o')"},
        "ignore": {"tags": ["y"], "when": "contains(cases, 'x')"},
    },
]


@settings(max_examples=120, deadline=None)
@given(body=bodies, table=st.sampled_from(TABLES), source=st.sampled_from(sorted(SOURCES)))
def test_whatever_a_body_is_it_is_read_or_refused(body, table, source):
    asked = {
        name: {kind: ["x"]}
        for name, kind, places in (("ignore", "agents", AGENTS), ("only", "groups", GROUPS))
        if source in places
    }
    merged = {**table, **{key: {**table.get(key, {}), **more} for key, more in asked.items()}}
    try:
        found = normalized(source, body, merged)
    except (UnreadablePayload, VerificationError):
        return
    for change in found.changes:
        assert change.ticket.startswith("d:")
        assert len(change.ticket) > 2
        change.encode()
    assert found.changes or found.ignored
