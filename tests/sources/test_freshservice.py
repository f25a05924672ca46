"""Freshservice is Freshdesk with departments, display numbers and fewer fixed codes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.sources import freshdesk, freshservice
from gateway.sources.base import Connection, Request
from gateway.sources.freshworks_fields import STATUS, STATUSES
from tests.sources.samples import change_as_json

SECRET = "a-secret-of-freshservice"


def read(body: dict[str, Any], name: str = "freshservice") -> dict[str, Any]:
    source = {"freshservice": freshservice.SOURCE, "freshdesk": freshdesk.SOURCE}[name]
    connection = Connection("desk", name, (SECRET,), prefix="F-", subdomain="heronquay")
    (change,) = source.normalize(body, Request("POST", (), "", b""), connection).changes
    return change_as_json(change)


def test_the_two_products_are_two_sources_of_one_kind():
    assert (freshdesk.SOURCE.name, freshservice.SOURCE.name) == ("freshdesk", "freshservice")
    assert type(freshdesk.SOURCE) is type(freshservice.SOURCE)


@pytest.mark.parametrize("code", ["6", "7"])
def test_a_code_above_five_has_a_meaning_at_freshdesk_only(code):
    assert read({"ticket_id": 1, "status": code})["fields"]["status"] == code
    assert read({"ticket_id": 1, "status": code}, "freshdesk")["fields"]["status"] == STATUS[code]


def test_the_first_codes_mean_the_same():
    assert STATUSES["freshservice"] == {code: STATUS[code] for code in ("2", "3", "4", "5")}


@pytest.mark.parametrize(
    "shown, ticket",
    [
        ({"ticket_id": "INC-9"}, "F-INC-9"),
        ({"ticket_id": "#SR-9"}, "F-SR-9"),
        ({"ticket_id": "INC-9", "ticket_id_numeric": "9"}, "F-9"),
        ({"ticket_id": "INC-9", "id_numeric": 9}, "F-9"),
        ({"ticket_id": "INC-9", "ticket_id_numeric": ""}, "F-INC-9"),
        ({"ticket_id": "INC-9", "ticket_id_numeric": "{{ticket.id_numeric}}"}, "F-INC-9"),
    ],
)
def test_the_number_of_the_api_goes_before_the_display_form(shown, ticket):
    answer = read(shown | {"status": "Open"})
    assert answer["ticket"] == ticket
    assert answer["fields"]["url"] == "https://heronquay.freshservice.com/helpdesk/tickets/9"


def test_a_department_stands_where_freshdesk_has_a_company():
    row = {"ticket_id": 9, "status": "Open", "department": {"id": 55, "domains": ["Yard.example"]}}
    assert read(row)["refs"] == {"organization_id": "55"}
    assert read(row)["fields"]["domains"] == ["yard.example"]


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("flag", ["deleted", "spam"])
def test_an_update_tells_by_its_changes_that_a_ticket_goes_or_comes_back(flag, beside):
    def told(change: object, **own: bool) -> str:
        ticket: dict[str, Any] = {"id": 341, "subject": "Dock", "status": 2} | own
        data: dict[str, Any] = {"ticket": ticket}
        (data if beside else ticket)["changes"] = {"status": [3, 2], flag: change}
        return str(read({"event": "onTicketUpdate", "timestamp": 1_792_404_123_456, "data": data}).get("life", ""))

    assert told([False, True]) == "deleted"
    assert told([True, False]) == "live"
    assert told([False, True], **{flag: True}) == "deleted"
    assert told([True, False], **{flag: False}) == "live"
    for nothing in (None, [], [True], "true", [0, 1], {"to": True}):
        assert told(nothing) == ""
        assert told(nothing, **{flag: True}) == "deleted"
