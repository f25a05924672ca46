"""osTicket: a thin body whose status is an event, a secret in the URL, and exactly 200."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.errors import VerificationError
from gateway.sources.base import Connection, Reply, Request, needs_lookup
from gateway.sources.osticket import SOURCE
from tests.sources.samples import request_of

if TYPE_CHECKING:
    from gateway.core.change import Change

SECRET = "3f9a1c0e7b2d4856a1b2c3d4e5f60718"
CONNECTION = Connection("desk", "osticket", (SECRET,), prefix="O-")


def read(name: str) -> Change:
    asked = request_of("osticket", name)
    (change,) = SOURCE.normalize(SOURCE.parse(asked), asked, CONNECTION).changes
    return change


def test_the_plugin_can_only_show_the_secret_in_the_url():
    SOURCE.verify(Request("POST", (), f"token={SECRET}", b"{}"), CONNECTION, 0)
    for query in ("", "token=", f"token={SECRET[:-1]}", f"token={SECRET}&token={SECRET}", f"Token={SECRET}"):
        with pytest.raises(VerificationError):
            SOURCE.verify(Request("POST", (), query, b"{}"), CONNECTION, 0)


@pytest.mark.parametrize("stored", [True, False])
def test_whatever_becomes_of_a_body_the_answer_is_200(stored):
    assert SOURCE.acknowledge(stored=stored) == Reply(200)


def test_the_events_name_is_no_status_and_the_front_page_no_link():
    for name, word in (("created", "created"), ("updated", "updated")):
        change = read(name)
        assert word not in change.fields.values()
        assert not {"status", "url"} & change.fields.keys()
        assert needs_lookup(change) == ("ticket", "requester_email")


def test_leading_zeros_of_a_number_stay():
    assert read("created").ticket == "O-004218"


def test_with_the_added_keys_nothing_is_needed():
    assert needs_lookup(read("extended")) == ()
    assert not read("extended").thin
