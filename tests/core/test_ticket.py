"""What an item holds, which look-ups it wants, and whether it may be sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.core import part as parts
from gateway.core.change import Change
from gateway.core.fold import Folded, fold, keeps
from gateway.core.lookups import Company, Found, Person, Want, wants, wants_reread
from gateway.core.part import Part, join
from gateway.core.state import State  # noqa: TC001 - named in helpers' signatures
from gateway.core.ticket import REASONS, Item, after_delete, after_upsert, make_item, screen, unchanged

T0 = 1_790_000_000_000
ARRIVAL = (T0 + 1000) * 1000
FULL = {"title": "Export", "status": "open", "email": "ada@kestrel.example"}
PEOPLE = {"7": Person("ada@kestrel.example", "Ada"), "9": Person("agent@lumen.example", "Agent")}
COMPANIES = {"5": Company(("kestrel.example", "kestrel.test"), "kf-204")}
FOUND = Found(PEOPLE, COMPANIES)
REFS = {"requester_id": "7", "organization_id": "5", "assignee_id": "9"}


def part(at_ms: int = T0, arrival_us: int = ARRIVAL, **said: Any) -> Part:
    said.setdefault("updated_at_ms", at_ms)
    return parts.decode(Change("zendesk:1", "zendesk", **said).encode(), arrival_us)


def item_of(folded: Folded, found: Found = FOUND, *, with_history: bool = True) -> tuple[Item, dict[str, Any]]:
    item = make_item(folded, found, ticket="zendesk:1", source="zendesk", with_history=with_history)
    return item, orjson.loads(item.body)


def sent(first: Part, found: Found = FOUND) -> State:
    folded = fold(None, first)
    return after_upsert(folded, item_of(folded, found)[0], "id-1")


def test_an_event_s_ids_become_people_and_company() -> None:
    folded = fold(None, part(fields={"title": "Export", "status": "open"}, refs=REFS, complete=True))
    assert wants(folded) == {Want("user", "7"), Want("user", "9"), Want("organization", "5")}
    item, body = item_of(folded)
    assert body == {
        "sourceId": "zendesk:1",
        "source": "zendesk",
        "title": "Export",
        "status": "open",
        "email": "ada@kestrel.example",
        "name": "Ada",
        "agentEmail": "agent@lumen.example",
        "domains": ["kestrel.example", "kestrel.test"],
        "companyExternalId": "kf-204",
    }
    assert screen(folded, item, max_bytes=10_000) is None


def test_unchanged_refs_need_no_second_look_up() -> None:
    state = sent(part(fields={"title": "Export", "status": "open"}, refs=REFS, complete=True))
    folded = fold(state, part(T0 + 1, fields={"status": "solved"}, refs=REFS))
    assert wants(folded) == frozenset()
    _, body = item_of(folded, Found())
    assert body["email"] == "ada@kestrel.example"
    assert body["domains"] == ["kestrel.example", "kestrel.test"]
    assert body["companyExternalId"] == "kf-204"


def test_another_requester_is_looked_up_and_never_taken_for_the_former() -> None:
    state = sent(part(fields=FULL, refs=REFS, complete=True))
    folded = fold(state, part(T0 + 1, fields={"status": "open"}, refs={**REFS, "requester_id": "8"}))
    assert Want("user", "8") in wants(folded)
    item, _ = item_of(folded, Found())
    assert screen(folded, item, max_bytes=10_000) == "missing_email"
    item, body = item_of(folded, Found({"8": Person("eve@kestrel.example")}))
    assert body["email"] == "eve@kestrel.example"


def test_an_address_in_the_changes_counts_when_it_is_as_new_as_the_requester() -> None:
    folded = fold(None, part(fields=FULL, refs=REFS, complete=True))
    assert Want("user", "7") not in wants(folded)
    older = part(T0 - 9, fields=FULL)
    newer_requester = part(T0, refs={"requester_id": "8"}, fields={})
    folded = fold(None, join(older, newer_requester))
    assert Want("user", "8") in wants(folded)
    assert item_of(folded, Found({"8": Person("eve@kestrel.example")}))[1]["email"] == "eve@kestrel.example"
    assert item_of(folded, Found({"8": None}))[1]["email"] == "ada@kestrel.example"


def test_a_ticket_without_address_is_never_sent() -> None:
    folded = fold(None, part(fields={"title": "x", "status": "open"}, refs={"requester_id": "7"}, complete=True))
    item, body = item_of(folded, Found({"7": Person(None, "Phone caller")}))
    assert "email" not in body
    assert body["name"] == "Phone caller"
    assert screen(folded, item, max_bytes=10_000) == "missing_email"


def test_a_free_mail_address_places_no_new_ticket() -> None:
    folded = fold(None, part(fields={**FULL, "email": "ada@gmail.com"}, complete=True))
    item, body = item_of(folded)
    assert "domains" not in body
    assert screen(folded, item, max_bytes=10_000) == "missing_company"


def test_an_update_of_a_known_ticket_needs_no_company() -> None:
    state = replace(sent(part(fields=FULL, complete=True)), kept={"email": "ada@gmail.com"})
    folded = fold(state, part(T0 + 1, fields={"status": "closed"}))
    item, _ = item_of(folded)
    assert screen(folded, item, max_bytes=10_000) is None


def test_an_organization_without_domains_falls_back_to_the_mail_domain() -> None:
    folded = fold(None, part(fields=FULL, refs={"organization_id": "5"}, complete=True))
    assert item_of(folded, Found({}, {"5": Company()}))[1]["domains"] == ["kestrel.example"]
    assert item_of(folded, Found({}, {"5": None}))[1]["domains"] == ["kestrel.example"]


def test_a_ticket_that_leaves_its_organization_loses_the_external_id() -> None:
    state = sent(part(fields=FULL, refs=REFS, complete=True))
    folded = fold(state, part(T0 + 1, fields={"status": "open"}, refs={**REFS, "organization_id": None}))
    _, body = item_of(folded)
    assert body["companyExternalId"] is None
    assert body["domains"] == ["kestrel.example"]


def test_an_assignee_taken_away_clears_the_agent() -> None:
    state = sent(part(fields=FULL, refs=REFS, complete=True))
    folded = fold(state, part(T0 + 1, fields={"status": "open"}, refs={**REFS, "assignee_id": None}))
    assert item_of(folded)[1]["agentEmail"] is None


def test_known_empty_values_clear_and_unknown_ones_are_left_out() -> None:
    fields: dict[str, Any] = {**FULL, "tags": [], "severity": None, "description": ""}
    _, body = item_of(fold(None, part(fields=fields, complete=True)))
    assert (body["tags"], body["severity"], body["description"]) == ([], None, "")
    assert "product" not in body


def test_what_planhat_was_sent_already_is_skipped() -> None:
    first = part(fields=FULL, creation=True, complete=True)
    state = sent(first)
    again = fold(state, first)
    assert unchanged(again, item_of(again)[0])
    same_later = fold(state, part(T0 + 5, fields=FULL))
    assert unchanged(same_later, item_of(same_later)[0])
    changed = fold(state, part(T0 + 5, fields={**FULL, "status": "solved"}))
    assert not unchanged(changed, item_of(changed)[0])
    older = fold(state, part(T0 - 5, fields={"title": "older"}))
    assert unchanged(older, item_of(older)[0])


def test_an_older_status_that_arrives_late_is_sent_for_the_history_alone() -> None:
    state = sent(part(fields=FULL, creation=True, complete=True))
    late = fold(state, part(T0 - 5, fields={"status": "new"}))
    item, body = item_of(late)
    assert not unchanged(late, item)
    assert [row["status"] for row in body["history"]] == ["new", "open"]
    assert "status" not in body


def test_history_off_sends_none() -> None:
    folded = fold(None, part(fields=FULL, creation=True, complete=True))
    assert "history" not in item_of(folded, with_history=False)[1]


def test_a_part_of_an_unknown_ticket_is_incomplete() -> None:
    folded = fold(None, part(fields={"status": "closed", "email": "ada@kestrel.example"}))
    assert screen(folded, item_of(folded)[0], max_bytes=10_000) == "incomplete"
    titled = fold(None, part(fields=FULL))
    assert screen(titled, item_of(titled)[0], max_bytes=10_000) is None
    created = fold(None, part(fields={"status": "new", "email": "ada@kestrel.example"}, creation=True))
    assert screen(created, item_of(created)[0], max_bytes=10_000) is None


def test_a_ticket_larger_than_a_batch_is_buried() -> None:
    folded = fold(None, part(fields={**FULL, "description": "x" * 999}, complete=True))
    assert screen(folded, item_of(folded)[0], max_bytes=500) == "too_large"


def test_thin_and_unstamped_deliveries_want_a_re_read_until_one_arrived() -> None:
    assert wants_reread(fold(None, part(thin=True)))
    assert wants_reread(fold(None, part(fields=FULL, updated_at_ms=None)))
    assert not wants_reread(fold(None, part(fields=FULL)))
    reread = part(fields=FULL, reread=True, complete=True, arrival_us=ARRIVAL + 1)
    assert not wants_reread(fold(None, join(part(thin=True), reread)))
    assert wants_reread(fold(None, join(part(thin=True, arrival_us=ARRIVAL + 2), reread)))


def test_a_deleted_ticket_wants_no_look_ups() -> None:
    assert wants(fold(None, part(life="deleted", refs=REFS))) == frozenset()


def test_after_a_deletion_the_planhat_id_is_forgotten_and_a_revival_must_be_complete() -> None:
    state = sent(part(fields=FULL, complete=True))
    assert state.planhat_id == "id-1"
    gone = after_delete(fold(state, part(T0 + 1, life="deleted")))
    assert gone.gone
    assert gone.planhat_id is None
    assert gone.may_expire
    thin = fold(gone, part(T0 + 2, life="live"))
    assert screen(thin, item_of(thin)[0], max_bytes=10_000) == "incomplete"
    full = fold(gone, part(T0 + 2, life="live", fields=FULL, complete=True))
    revived = after_upsert(full, item_of(full)[0], None)
    assert not revived.gone
    assert revived.dropped is None
    assert revived.planhat_id is None


@pytest.mark.parametrize(("status", "expires"), [("closed", True), ("solved", False), ("open", False)])
def test_only_closed_tickets_states_may_expire(status: str, expires: bool) -> None:
    assert sent(part(fields={**FULL, "status": status}, complete=True)).may_expire is expires


def test_kept_values_are_the_changes_over_the_former() -> None:
    state = sent(part(fields=FULL, complete=True))
    folded = fold(state, part(T0 + 1, fields={"email": "eve@kestrel.example"}))
    assert keeps(folded) == {"email": "eve@kestrel.example", "domains": ["kestrel.example"]}


def test_every_reason_is_a_sentence() -> None:
    assert all(len(text) > 20 for text in REASONS.values())


def test_a_revival_whose_newest_values_were_dropped_is_incomplete_even_without_an_address() -> None:
    gone = after_delete(fold(None, part(life="deleted")))
    dropped = fold(gone, part(T0 + 1, fields={"title": "Export", "email": None}, complete=True))
    assert dropped.action == "nothing"
    later = fold(dropped.state, part(T0 + 2, life="live", fields={"status": "open"}))
    assert screen(later, item_of(later)[0], max_bytes=10_000) == "incomplete"
