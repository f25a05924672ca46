from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import VerificationError
from gateway.sources.adf import adf_to_text
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.jira_issue import issue_link
from gateway.sources.jira_service_management import DELIVERY, SIGNATURE, SOURCE
from tests.sources.samples import request_of

if TYPE_CHECKING:
    from gateway.core.change import Change

SECRET = "It's a Secret to Everybody"
PUBLISHED = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
CONNECTION = Connection("jira", "jira_service_management", (SECRET,), prefix="J-")
SELF = "https://tallowmill.atlassian.net/rest/api/2/issue/7"


def shown(signature: str, body: bytes = b"Hello World!") -> Request:
    return Request("POST", ((SIGNATURE, signature),), "", body)


def refused(asked: Request, connection: Connection = CONNECTION) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, connection, 0.0)
    return caught.value.reason


def read(body: Any, connection: Connection = CONNECTION) -> Change:
    asked = Request("POST", (), "", orjson.dumps(body))
    (change,) = SOURCE.normalize(SOURCE.parse(asked), asked, connection).changes
    return change


def event(kind: str = "jira:issue_updated", *, timestamp: Any = 1_791_787_269_321, **fields: Any) -> dict[str, Any]:
    issue = {"id": "7", "key": "DESK-7", "self": SELF, "fields": fields}
    return {"webhookEvent": kind, "timestamp": timestamp, "issue": issue}


def fields(**shown_fields: Any) -> dict[str, Any]:
    return dict(read(event(**shown_fields), replace(CONNECTION, subdomain="x")).fields)


# ------------------------------------------------------------------------------------------------------------ signature
def test_the_published_vector_is_accepted():
    SOURCE.verify(shown(PUBLISHED), CONNECTION, 0.0)


@pytest.mark.parametrize(
    "signature",
    [
        PUBLISHED.removeprefix("sha256="),
        PUBLISHED.upper(),
        "sha256=" + PUBLISHED,
        PUBLISHED.replace("sha256=", "sha1="),
        PUBLISHED + " ",
        PUBLISHED[:-2],
        "sha1=" + hmac.new(SECRET.encode(), b"Hello World!", "sha1").hexdigest(),
        "sha256=" + hmac.new(SECRET.encode(), b"Hello, World!", "sha256").hexdigest(),
        "sha256=" + hashlib.sha256(SECRET.encode() + b"Hello World!").hexdigest(),
    ],
)
def test_the_algorithm_and_its_spelling_are_fixed(signature):
    assert refused(shown(signature)) == "bad_signature"


def test_a_secret_that_a_person_types_may_hold_blanks_but_not_around_it():
    assert SOURCE.check_secret(SECRET, "signature") is None
    for weak in (f"{SECRET} ", f" {SECRET}", f"{SECRET}\n", "a b c", "a\tsecret of enough length"):
        assert SOURCE.check_secret(weak, "signature")
    assert SOURCE.check_secret(SECRET, "bearer")


def test_a_rule_that_cannot_sign_shows_a_token_where_that_is_configured():
    asked = Request("POST", (("authorization", "Bearer a-token-of-enough-length"),), "", b"{}")
    rules = replace(CONNECTION, auth="bearer", secrets=("a-token-of-enough-length",))
    SOURCE.verify(asked, rules, 0.0)
    assert refused(asked) == "missing_signature"


# ------------------------------------------------------------------------------------------------------------ site
@pytest.mark.parametrize(
    "address",
    [
        SELF,
        SELF.replace("https://tallowmill", "https://TallowMill"),
        "https://api.atlassian.com/ex/jira/6d0f/rest/api/3/issue/7",
        "",
        None,
        7,
        "ftp://x/",
    ],
)
def test_an_issue_of_the_registered_site_or_of_none_is_taken(address):
    body = event(summary="x")
    body["issue"]["self"] = address
    assert read(body, replace(CONNECTION, account_id="tallowmill.atlassian.net")).ticket == "J-7"


@pytest.mark.parametrize(
    "address", ["https://other.atlassian.net/rest/api/2/issue/7", "https://tallowmill.atlassian.net.evil.example/"]
)
def test_an_issue_of_another_site_is_refused(address):
    body = event(summary="x")
    body["issue"]["self"] = address
    with pytest.raises(VerificationError, match="account_mismatch"):
        read(body, replace(CONNECTION, account_id="tallowmill.atlassian.net"))
    assert read(body).ticket == "J-7"


@pytest.mark.parametrize(
    "site, key, address, url",
    [
        (None, "DESK-7", SELF, "https://tallowmill.atlassian.net/browse/DESK-7"),
        ("quill", "DESK-7", SELF, "https://quill.atlassian.net/browse/DESK-7"),
        ("jira.quill.example", "DESK-7", None, "https://jira.quill.example/browse/DESK-7"),
        (None, "DESK-7", "https://api.atlassian.com/ex/jira/1/rest/api/3/issue/7", None),
        (None, "DESK-7", "http://jira.quill.example/rest/api/2/issue/7", None),
        (None, "../x", SELF, None),
        (None, 7, SELF, None),
    ],
)
def test_a_link_is_made_of_the_site_and_the_key(site, key, address, url):
    assert issue_link({"key": key, "self": address}, site).get("url") == url


# ------------------------------------------------------------------------------------------------------------ delivery
def test_a_delivery_is_known_by_the_header_that_stays_over_retries():
    assert SOURCE.delivery_id(Request("POST", ((DELIVERY, "f101"),), "", b""), {}) == "f101"
    assert SOURCE.delivery_id(Request("POST", (), "", b""), {}) is None


# -------------------------------------------------------------------------------------------------------------- stamps
@pytest.mark.parametrize(
    "timestamp, updated, at_ms",
    [
        (1_791_787_269_321, "2026-10-12T08:41:09.120+0200", 1_791_787_269_120),
        (1_791_787_269_321, "yesterday", 1_791_787_269_321),
        ("1791787269321", None, 1_791_787_269_321),
        (True, None, None),
        (-1, None, None),
        (10**18, None, None),
        ("1e3", None, None),
        (None, None, None),
    ],
)
def test_the_issues_own_time_counts_and_else_the_events(timestamp, updated, at_ms):
    assert read(event(timestamp=timestamp, summary="x", updated=updated)).updated_at_ms == at_ms


def test_a_comments_event_counts_by_nothing_but_the_issues_own_time():
    assert read(event("comment_created", summary="x")).updated_at_ms is None
    late = event("comment_created", summary="x", updated="2026-10-12T08:41:09.120+0200")
    assert read(late).updated_at_ms == 1_791_787_269_120


def test_a_deletion_counts_by_its_own_time_not_by_the_last_change_before_it():
    gone = read(event("jira:issue_deleted", updated="2026-10-12T08:00:00.000+0200"))
    assert (gone.life, gone.updated_at_ms, gone.fields, gone.thin) == ("deleted", 1_791_787_269_321, {}, False)


# -------------------------------------------------------------------------------------------------------------- people
def test_a_requester_is_known_by_address_or_by_account_and_else_the_issue_is_read_anew():
    whole: dict[str, Any] = {"summary": "x", "status": {"name": "Open"}}
    strange: list[Any] = [{}, {"name": "abrekke"}, {"accountId": ""}, {"emailAddress": "hidden"}, "abrekke", []]
    assert not read(event(**whole, reporter={"emailAddress": "a@quill.example"})).thin
    assert not read(event(**whole, reporter={"accountId": "qm:1:2"})).thin
    assert not read(event(**whole, reporter=None)).thin
    for reporter in strange:
        change = read(event(**whole, reporter=reporter))
        assert (change.thin, change.complete) == (True, False)
        assert "requester_email" in needs_lookup(change)
        assert "ticket" not in needs_lookup(change)
    assert "ticket" in needs_lookup(read(event(status={"name": "Open"})))


def test_a_hidden_address_is_unknown_and_nobody_is_nobody():
    assert "agentEmail" not in fields(assignee={"accountId": "5"})
    assert fields(assignee={"emailAddress": "L@Mill.example"})["agentEmail"] == "l@mill.example"
    assert fields(assignee=None)["agentEmail"] == ""
    assert "email" not in fields(reporter={"accountId": "5", "emailAddress": ""})
    assert read(event(summary="x", assignee=None, reporter=None)).refs == {"requester_id": None, "assignee_id": None}
    assert read(event(summary="x", assignee=[], reporter="x")).refs == {}


# -------------------------------------------------------------------------------------------------------------- fields
@pytest.mark.parametrize(
    "value, organization",
    [
        ([{"id": "14", "name": "Quill"}], "14"),
        ([{"id": 14, "name": "Quill", "_links": {}, "uuid": "u"}, {"id": 15, "name": "Mill"}], "14"),
        ([{"id": True, "name": "Quill"}], None),
        ([{"id": "3", "name": "Sprint 3", "state": "active"}], None),
        ([{"id": "3", "name": "x"}, {"value": "North"}], None),
        ([{"name": "x"}], None),
        (["Quill"], None),
        ([], None),
        ({"id": "14", "name": "Quill"}, None),
    ],
)
def test_organizations_are_found_whatever_their_fields_number(value, organization):
    assert read(event(summary="x", customfield_10999=value)).refs.get("organization_id") == organization
    assert "organization_id" not in read(event(summary="x", fixVersions=value)).refs


@pytest.mark.parametrize(
    "name, value, becomes",
    [
        ("timespent", 5459, {"timeSpent": 90}),
        ("timespent", None, {"timeSpent": None}),
        ("timespent", "90", {}),
        ("timespent", True, {}),
        ("timespent", -1, {}),
        ("timespent", 2**60, {}),
        ("components", [{"name": "Belts"}], {"product": "Belts"}),
        ("components", [], {"product": ""}),
        ("components", [7], {"product": ""}),
        ("components", None, {}),
        ("labels", ["a", "a", " b "], {"tags": ["a", "b"]}),
        ("labels", None, {"tags": []}),
        ("priority", {"name": "P1 - Highest"}, {"severity": "p1 - highest"}),
        ("priority", "High", {"severity": "high"}),
        ("priority", None, {"severity": ""}),
        ("status", {"name": None}, {}),
        ("status", None, {}),
        ("issuetype", {"name": "Bug"}, {"type": "bug"}),
        ("issuetype", [], {}),
        ("summary", None, {"title": ""}),
        ("summary", 7, {"title": "7"}),
        ("description", 7, {"description": "7"}),
        ("description", [], {"description": ""}),
        ("reporter", {"displayName": " Ida "}, {"name": "Ida"}),
    ],
)
def test_fields_are_read_or_left_unknown(name, value, becomes):
    made = fields(**{name: value})
    made.pop("url", None)
    assert made == becomes


# ----------------------------------------------------------------------------------------------------------------- adf
def test_a_document_keeps_its_order_and_loses_its_marks():
    sample = orjson.loads(request_of("jira_service_management", "issue_updated_cloud").body)
    shown_text = adf_to_text(sample["issue"]["fields"]["description"])
    assert [line for line in shown_text.splitlines() if line] == [
        "What happens",
        "It hums, then stops.",
        "See https://mill.example/7 👋",
        "since Monday",
        "@Ida Brekke saw it",
        "line",
        "4",
    ]


@pytest.mark.parametrize(
    "node, becomes",
    [
        ({"type": "text", "text": 7}, ""),
        ({"type": "emoji", "attrs": {"shortName": ":wave:"}}, ":wave:"),
        ({"type": "mention"}, ""),
        ({"type": "unheard", "content": [{"type": "text", "text": "kept"}]}, "kept"),
        ({"type": ["doc"], "content": [{"type": "text", "text": "kept"}]}, "kept"),
        ({"type": "media", "attrs": {"url": "x"}}, ""),
        ("text", ""),
        (None, ""),
    ],
)
def test_an_odd_node_shows_what_it_can(node, becomes):
    assert adf_to_text(node) == becomes


def test_a_document_without_end_is_cut():
    node: Any = {"type": "text", "text": "deep"}
    for _ in range(10_000):
        node = {"type": "paragraph", "content": [node]}
    assert adf_to_text(node) == ""


NODES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["doc", "text", "mention", "hardBreak", "tableCell", "x"]) | inner,
            "content": st.lists(inner, max_size=4) | inner,
            "text": inner,
            "attrs": inner,
        },
    ),
    max_leaves=20,
)


@given(NODES)
def test_any_document_is_read(node):
    assert isinstance(adf_to_text(node), str)
