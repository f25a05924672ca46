"""`map try --json` says what a body becomes, one line per file, without signature, Redis or token."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.cli.mapping import LOOKED_UP
from gateway.cli.samples import cases, sample
from gateway.sources import SOURCES
from workers.helpdesks import CLIENTS

GENERIC = {"type": "ticket.upserted", "timestamp": "2026-10-14T09:45:02Z"}
ROW = {"sourceId": "BW-1", "title": "Gate code", "status": "open", "email": "eskil@kestrel.example.com"}


@pytest.fixture
def tried(tmp_path):
    def run(connection, *bodies, headers=None, method=None, env=None, json_too=True):
        files = []
        for number, body in enumerate(bodies):
            files.append(tmp_path / f"{number}.json")
            files[-1].write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
        arguments = ["map", "try", connection, *map(str, files)]
        if headers is not None:
            (tmp_path / "headers.txt").write_text(json.dumps(headers))
            arguments += ["--headers", str(tmp_path / "headers.txt")]
        arguments += ["--method", method] if method else []
        arguments += ["--json"] if json_too else []
        unset = {name: None for name in os.environ if name.startswith(("REDIS_", "PLANHAT_", "GENERIC_", "FRESHDESK_"))}
        said = CliRunner(env={**unset, **(env or {})}).invoke(cli, arguments)
        assert said.exit_code == 0, said.output
        return [json.loads(line) for line in said.stdout.splitlines()] if json_too else said.stdout

    return run


def test_one_line_per_file_with_the_keys_of_the_contract(tried):
    lines = tried("generic", GENERIC | {"data": ROW}, GENERIC | {"data": [ROW, ROW | {"sourceId": "BW-2"}]})
    assert [line["outcome"] for line in lines] == ["ticket", "tickets"]
    assert list(lines[0]) == ["file", "outcome", "reason", "tickets", "deleted", "needs_lookup"]
    assert Path(lines[0]["file"]).name == "0.json"
    assert lines[0]["tickets"] == [ROW | {"updatedAt": "2026-10-14T09:45:02.000Z"}]
    assert lines[0]["needs_lookup"] == []


def test_a_deletion_stands_among_the_rows_and_in_deleted(tried):
    (line,) = tried("generic", GENERIC | {"type": "ticket.deleted", "data": {"sourceId": "BW-1"}})
    assert (line["outcome"], line["deleted"]) == ("delete", ["BW-1"])
    assert [row["sourceId"] for row in line["tickets"]] == ["BW-1"]
    assert "title" not in line["tickets"][0]


def test_a_change_beside_a_deletion_is_one_ticket(tried):
    (line,) = tried("generic", GENERIC | {"data": [ROW, {"sourceId": "BW-2", "deleted": True}]})
    assert (line["outcome"], line["deleted"]) == ("ticket", ["BW-2"])


def test_several_changes_of_one_ticket_are_joined_the_newer_one_wins(tried):
    older = ROW | {"status": "pending", "updatedAt": "2026-10-14T08:00:00Z", "tags": ["late"]}
    (line,) = tried("generic", GENERIC | {"data": [ROW | {"updatedAt": "2026-10-14T09:00:00Z"}, older]})
    assert line["outcome"] == "ticket"
    (row,) = line["tickets"]
    assert (row["status"], row["tags"], row["updatedAt"]) == ("open", ["late"], "2026-10-14T09:00:00.000Z")


def test_what_means_nothing_is_ignored_with_a_reason(tried):
    (line,) = tried("generic", GENERIC | {"type": "invoice.paid", "data": {}})
    assert line["outcome"] == "ignored"
    assert "invoice.paid" in line["reason"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b'{"type": "ticket.updated", "data": {"title": "x"}}'])
def test_what_cannot_be_read_says_why(tried, body):
    (line,) = tried("generic", body)
    assert line["outcome"] == "unreadable"
    assert line["reason"]
    assert line["tickets"] == []


def test_a_content_type_that_is_not_taken_is_unreadable(tried):
    (line,) = tried("generic", GENERIC | {"data": ROW}, headers={"Content-Type": "text/xml"})
    assert line["outcome"] == "unreadable"
    assert line["reason"].startswith("unsupported_content_type")


def test_headers_count_whatever_their_case(tried):
    headers = {"Content-Type": "application/json; charset=utf-8", "CE-SpecVersion": "1.0", "ce-type": "ticket.upserted"}
    headers |= {"ce-source": "/desk", "ce-id": "1", "ce-time": "2026-10-15T06:00:00Z"}
    (line,) = tried("generic", ROW, headers=headers)
    assert line["outcome"] == "ticket"
    assert line["tickets"][0]["updatedAt"] == "2026-10-15T06:00:00.000Z"


def test_a_handshake_is_one_with_its_method_and_headers(tried):
    (line,) = tried("generic", b"", headers={"WebHook-Request-Origin": "desk.example.com"}, method="options")
    assert line["outcome"] == "handshake"
    (line,) = tried("generic", b"", method="DELETE")
    assert (line["outcome"], line["reason"][:18]) == ("unreadable", "method_not_allowed")


def test_prefix_and_on_delete_are_those_of_the_connection_when_set(tried):
    env = {"GENERIC_SOURCE_ID_PREFIX": "erp:", "GENERIC_ON_DELETE": "close"}
    (line,) = tried("generic", GENERIC | {"type": "ticket.deleted", "data": {"sourceId": "BW-1"}}, env=env)
    assert (line["outcome"], line["deleted"]) == ("ticket", [])
    assert line["tickets"][0]["sourceId"] == "erp:BW-1"
    assert line["tickets"][0]["status"] == "closed"


def test_a_thin_body_needs_the_ticket_itself(tried):
    (line,) = tried("freshdesk", {"freshdesk_webhook": {"ticket_id": 7, "triggered_event": "{status:{from:2,to:4}}"}})
    assert line["outcome"] == "ticket"
    assert "ticket" in line["needs_lookup"]


@pytest.mark.parametrize(("source", "case"), [(source, case) for source in SOURCES for case in cases(source)])
def test_every_sample_of_the_package_can_be_read(tried, source, case):
    body, headers = sample(source, case)
    (line,) = tried(source, body, headers=headers)
    assert line["outcome"] in ("ticket", "tickets", "delete", "ignored"), line


def test_the_sources_that_are_looked_up_are_those_with_a_client():
    assert set(CLIENTS) == LOOKED_UP


def test_a_person_gets_a_table_without_control_characters(tried):
    said = tried("generic", GENERIC | {"data": ROW | {"title": "a\x1b]0;evil\x07b"}}, json_too=False)
    assert "Gate code" not in said
    assert "evil" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "arguments",
    [["nonsense", __file__], ["generic"], ["generic", "/does/not/exist"], ["generic", __file__, "--headers", __file__]],
)
def test_wrong_usage_is_2_with_a_sentence(arguments):
    said = CliRunner().invoke(cli, ["map", "try", *arguments])
    assert said.exit_code == 2
    assert said.stderr.strip()
