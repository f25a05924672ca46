"""Gorgias: whole tickets and templates of their shape, the trash, and accounts."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.gorgias import LACKS, SOURCE
from tests.sources.samples import PACKAGED, request_of

if TYPE_CHECKING:
    from gateway.core.change import Change

CONNECTION = Connection("shop", "gorgias", ("a-token-of-sixteen-or-more",), prefix="G-")


def payload(name: str = "created", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(SOURCE.parse(request_of("gorgias", name)))
    return found | more


def read(body: dict[str, Any], connection: Connection = CONNECTION) -> Change:
    (change,) = SOURCE.normalize(body, Request("POST", (), "", b""), connection).changes
    return change


def test_nothing_tells_a_repeat_from_a_second_event():
    assert SOURCE.delivery_id(request_of("gorgias", "created"), payload()) is None
    assert SOURCE.acknowledge(stored=True) is None


@pytest.mark.parametrize(
    "flags, life",
    [
        ({}, "live"),
        ({"trashed_datetime": "2026-10-19T11:00:00+00:00"}, "deleted"),
        ({"trashed_datetime": "", "spam": "false"}, "live"),
        ({"trashed_datetime": "2026-10-19T11:00:00.000000"}, "deleted"),
        ({"trashed_datetime": "None"}, ""),
        ({"spam": "TRUE"}, "deleted"),
        ({"spam": 1}, "live"),
    ],
)
def test_the_trash_and_the_spam_flag_tell_the_life_of_a_ticket(flags, life):
    assert read(payload(**flags)).life == life


@pytest.mark.parametrize(
    "shown, status",
    [("2026-10-20T11:00:00+00:00", "snoozed"), ("2026-10-20T11:00:00", "snoozed"), ("None", "open"), (None, "open")],
)
def test_a_time_that_is_set_counts_even_without_a_zone(shown, status):
    assert read(payload(snooze_datetime=shown)).fields["status"] == status


def test_a_template_without_the_flags_says_nothing_of_the_life():
    body = payload()
    del body["trashed_datetime"]
    assert read(body).life == ""


def test_a_deletion_is_not_older_than_the_last_update():
    trashed = {"trashed_datetime": "2026-10-19T11:00:00+00:00"}
    assert read(payload(**trashed)).updated_at_ms == 1_792_407_600_000
    later = read(payload(**trashed, updated_datetime="2026-10-19T12:00:00+00:00"))
    assert later.updated_at_ms == 1_792_411_200_000
    assert read(payload(**trashed, updated_datetime=None)).updated_at_ms == 1_792_407_600_000


def test_another_account_is_refused_where_one_is_configured():
    for body in (payload(), payload("template")):
        assert read(body, replace(CONNECTION, account_id="heronquay")).ticket == "G-4410021"
    for body in (payload(), {"ticket": payload()}, {"ticket": {"id": 7}, "account": {"domain": "heronquay"}}):
        with pytest.raises(VerificationError):
            read(body, replace(CONNECTION, account_id="acme"))


def test_a_template_and_a_whole_ticket_are_the_same_ticket():
    assert read(payload()).ticket == read(payload("template")).ticket == "G-4410021"


def test_the_set_up_pages_template_is_read_as_gorgias_renders_it():
    page = (PACKAGED.parent / "README.md").read_text()
    template = page.split("## Gorgias")[1].split("```json")[1].split("```")[0]

    def rendered(placeholder: re.Match[str]) -> str:
        value: Any = payload()
        for name in placeholder[1].split("."):
            value = value[name]
        return "" if value is None else str(value)

    body = orjson.loads(re.sub(r"\{\{ticket\.([a-z_.]+)\}\}", rendered, template))
    change, whole = read(body), read(payload())
    assert (change.ticket, change.life, change.complete) == (whole.ticket, "live", True)
    assert (change.updated_at_ms, change.created_at_ms) == (whole.updated_at_ms, whole.created_at_ms)
    assert change.fields == {name: whole.fields[name] for name in change.fields if name != "url"}
    assert change.fields.keys() >= {"title", "status", "severity", "email", "name", "agentEmail"}


@pytest.mark.parametrize("public", [False, None, "true", 1])
def test_a_first_message_that_is_not_plainly_public_is_no_description(public):
    body = payload()
    body["first_message"]["public"] = public
    assert "description" not in read(body).fields


def test_the_company_is_what_a_body_never_tells():
    assert needs_lookup(read(payload()), LACKS) == ("company",)
    assert needs_lookup(read(payload("nameless")), LACKS) == ("company",)
    assert needs_lookup(read(payload("trashed")), LACKS) == ()
    assert needs_lookup(read(payload(customer={"email": None})), LACKS) == ("requester_email", "company")


@pytest.mark.parametrize(
    "shown, tags",
    [([{"name": "a"}, {"id": 2}, "b", 7, None], ["a", "b", "7"]), ("", []), ("a, b", ["a", "b"]), (7, None)],
)
def test_tags_are_objects_names_or_a_text_with_commas(shown, tags):
    assert read(payload(tags=shown)).fields.get("tags") == tags


@pytest.mark.parametrize("body", [[], "x", {}, {"ticket": []}, {"ticket": {"id": ""}}, {"id": None, "status": "open"}])
def test_what_names_no_ticket_is_kept_aside(body):
    with pytest.raises(UnreadablePayload) as caught:
        SOURCE.normalize(body, Request("POST", (), "", b""), CONNECTION)
    assert caught.value.detail
