"""Which company a ticket belongs to: a fixed rule, else what the helpdesk says, else the requester's mail domain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.core import part as parts
from gateway.core.change import Change
from gateway.core.fold import Folded, fold
from gateway.core.free_mail import FREE_MAIL
from gateway.core.lookups import Company, Found
from gateway.core.placing import AS_SENT, ORDINARY, PLACES, Placing, placed
from gateway.core.ticket import after_upsert, make_item

T0 = 1_790_000_000_000
FULL = {"title": "Export", "status": "open", "email": "ada@kestrel.example"}
ORG = {"organization_id": "5"}
FOUND = Found(companies={"5": Company(("kestrel.example",), "kf-204"), "6": Company(), "7": None})
RESOLVE = Placing(resolve=True)


def folded(state: Any = None, at: int = 0, **said: Any) -> Folded:
    said.setdefault("fields", FULL)
    change = Change("z:1", "z", updated_at_ms=T0 + at, complete=True, **said)
    return fold(state, parts.decode(change.encode(), (T0 + at) * 1000))


def company(one: Folded, placing: Placing = ORDINARY, found: Found = FOUND) -> dict[str, Any]:
    return placed(one, found, one.fields.get("email") or None, placing)


def sent(one: Folded, placing: Placing = ORDINARY, found: Found = FOUND) -> dict[str, Any]:
    body = orjson.loads(make_item(one, found, ticket="z:1", source="z", placing=placing).body)
    return {name: body[name] for name in PLACES if name in body}


def test_a_fixed_company_takes_every_ticket_whatever_the_helpdesk_says():
    one = folded(fields=FULL | {"companyExternalId": "other", "domains": ["other.example"]}, refs=ORG)
    assert company(one, Placing(external_id="acct-1")) == {"companyExternalId": "acct-1"}
    assert company(one, Placing(company_id="60a1")) == {"companyId": "60a1"}
    assert company(one, Placing(external_id="acct-1", company_id="60a1")) == {
        "companyExternalId": "acct-1",
        "companyId": "60a1",
    }


def test_the_organization_s_id_and_domains_place_a_ticket():
    assert company(folded(refs=ORG)) == {"domains": ["kestrel.example"], "companyExternalId": "kf-204"}


@pytest.mark.parametrize(
    ("placing", "places"),
    [
        (Placing(by_domain=False), {"companyExternalId": "kf-204"}),
        (Placing(by_external_id=False), {"domains": ["kestrel.example"]}),
        (Placing(by_external_id=False, by_domain=False), {}),
    ],
)
def test_what_a_rule_does_not_name_places_nothing(placing, places):
    assert company(folded(refs=ORG), placing) == places


@pytest.mark.parametrize(("email", "domains"), [("ada@kestrel.example", ["kestrel.example"]), ("ada@gmail.com", None)])
def test_the_mail_domain_is_the_last_resort_and_a_free_one_is_none(email, domains):
    assert company(folded(fields=FULL | {"email": email})).get("domains") == domains


def test_the_list_of_free_mail_can_be_another():
    one = folded()
    assert company(one, replace(ORDINARY, free_mail=FREE_MAIL | {"kestrel.example"})) == {}
    mine = folded(fields=FULL | {"email": "ada@gmail.com"})
    assert company(mine, replace(ORDINARY, free_mail=FREE_MAIL - {"gmail.com"})) == {"domains": ["gmail.com"]}


def test_an_organization_without_id_or_domains_leaves_the_mail_domain():
    by_mail = {"domains": ["kestrel.example"], "companyExternalId": None}
    assert company(folded(refs={"organization_id": "6"})) == by_mail
    assert company(folded(refs={"organization_id": "7"}))["domains"] == ["kestrel.example"]


def test_a_known_ticket_keeps_its_company_until_it_gets_another():
    first = folded(refs=ORG)
    state = after_upsert(first, make_item(first, FOUND, ticket="z:1", source="z"), None)
    assert sent(folded(state, 5, fields={"status": "solved"})) == {
        "domains": ["kestrel.example"],
        "companyExternalId": "kf-204",
    }
    moved = Found(companies={"8": Company(("lumen.example",), "lu-1")})
    assert sent(folded(state, 5, refs={"organization_id": "8"}), found=moved) == {
        "domains": ["lumen.example"],
        "companyExternalId": "lu-1",
    }
    assert sent(folded(state, 5, refs={"organization_id": None}))["companyExternalId"] is None


def test_what_no_connection_brought_leaves_the_ticket_where_it_is():
    first = folded(refs=ORG)
    for placing in (ORDINARY, Placing(external_id="acct-1"), Placing(by_domain=False), Placing(by_external_id=False)):
        item = make_item(first, FOUND, ticket="z:1", source="z", placing=placing)
        history = Change("z:1", "", history=((T0 - 9, "new"),), history_known=True)
        later = fold(after_upsert(first, item, None), parts.decode(history.encode(), T0 * 1000))
        assert sent(later, AS_SENT) == {name: item.kept[name] for name in PLACES if name in item.kept}


def test_a_company_id_is_found_by_the_external_id():
    assert sent(folded(refs=ORG), RESOLVE, replace(FOUND, ids={"kf-204": "60a1"}))["companyId"] == "60a1"
    assert "companyId" not in sent(folded(refs=ORG), RESOLVE)
    assert "companyId" not in sent(folded(), RESOLVE, replace(FOUND, ids={"kf-204": "60a1"}))


def test_a_company_id_that_a_change_gives_is_not_looked_up():
    one = folded(fields=FULL | {"companyId": "mine"}, refs=ORG)
    assert sent(one, RESOLVE, replace(FOUND, ids={"kf-204": "60a1"}))["companyId"] == "mine"


def test_the_company_id_follows_the_external_id():
    ids = {"kf-204": "60a1", "lu-1": "60b2"}
    first = folded(refs=ORG)
    item = make_item(first, replace(FOUND, ids=ids), ticket="z:1", source="z", placing=RESOLVE)
    state = after_upsert(first, item, None)
    moved = Found(companies={"8": Company((), "lu-1")}, ids=ids)
    assert sent(folded(state, 5, refs={"organization_id": "8"}), RESOLVE, moved)["companyId"] == "60b2"
    unknown = Found(companies={"8": Company((), "nobody")}, ids=ids)
    assert "companyId" not in sent(folded(state, 5, refs={"organization_id": "8"}), RESOLVE, unknown)


@pytest.mark.parametrize(
    ("placing", "places"),
    [
        (Placing(external_id="acct-1"), {"companyExternalId": "acct-1"}),
        (Placing(by_domain=False), {"companyExternalId": "other"}),
        (Placing(by_external_id=False), {"domains": ["other.example"]}),
    ],
)
def test_an_item_carries_nothing_that_its_rules_leave_out_though_the_change_names_it(placing, places):
    one = folded(fields=FULL | {"companyExternalId": "other", "domains": ["other.example"]}, refs=ORG)
    assert sent(one, placing) == places
