"""What adapters of several vendors share: secrets that are shown, HMACs over the body, accounts, links."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from urllib.parse import quote

import pytest

from gateway.core.change import Change
from gateway.errors import VerificationError
from gateway.sources import SOURCES
from gateway.sources.base import LACKS, NEEDS, Connection, Request, needs_lookup
from gateway.sources.ordinary import Shown, check_account, check_body, check_shown, in_first_second, page, weakness

SECRET = "heronquay+2026/ä=heron"
CONNECTION = Connection("desk", "gorgias", (SECRET, "the-secret-of-last-year"))
BODY = b'{"id": 7}'
SHOWN = sorted(name for name, source in SOURCES.items() if isinstance(source, Shown))


def wire(secret: str) -> str:
    """A secret's UTF-8 bytes as a server decodes header bytes."""
    return secret.encode().decode("latin-1")


def request(*headers: tuple[str, str], query: str = "") -> Request:
    return Request("POST", (("content-type", "application/json"), *headers), query, BODY)


def carried(secret: str) -> list[Request]:
    basic = base64.b64encode(f"gateway:{secret}".encode()).decode()
    return [
        request(("authorization", "Bearer " + wire(secret))),
        request(("authorization", f"Basic {basic}")),
        request(("x-webhook-secret", wire(secret))),
        request(("x-gateway-token", wire(secret))),
        request(query="a=b&token=" + quote(secret, safe="")),
    ]


def refused(asked: Request, connection: Connection = CONNECTION) -> str:
    with pytest.raises(VerificationError) as caught:
        check_shown(asked, connection.secrets)
    return caught.value.reason


@pytest.mark.parametrize("name", SHOWN)
def test_every_source_that_signs_nothing_takes_the_secret_in_every_carrier(name):
    for secret in CONNECTION.secrets:
        for asked in carried(secret):
            SOURCES[name].verify(asked, replace(CONNECTION, source=name), 0)
            with pytest.raises(VerificationError):
                SOURCES[name].verify(asked, replace(CONNECTION, source=name, secrets=("another-secret-of-16",)), 0)


@pytest.mark.parametrize("wrong", ["x" + SECRET[1:], SECRET + "x", SECRET[:-1], SECRET.upper(), "", "é" * 40])
def test_a_wrong_secret_is_refused_in_every_carrier(wrong):
    assert {refused(asked) for asked in carried(wrong)} <= {"bad_token", "missing_token"}


def test_a_wrong_carrier_beside_a_right_one_is_refused():
    right = ("x-gateway-token", wire(SECRET))
    assert refused(request(right, ("x-webhook-secret", "guess"))) == "bad_token"
    assert refused(request(right, query="token=guess")) == "bad_token"
    assert refused(request(right, right)) == "doubled_header"
    check_shown(request(right, ("x-webhook-secret", wire(SECRET))), CONNECTION.secrets)


def test_a_body_is_proved_by_its_hmac_in_the_sources_own_algorithm_and_spelling():
    key = SECRET.encode()
    sha1, sha256 = (hmac.new(key, BODY, name).hexdigest() for name in ("sha1", "sha256"))
    check_body(request(("x-sig", "sha1=" + sha1)), CONNECTION, "x-sig", algorithm="sha1", prefix="sha1=")
    check_body(request(("x-sig", sha256)), CONNECTION, "x-sig", algorithm="sha256")
    for shown in (sha1, sha256, "sha256=" + sha256, "SHA1=" + sha1, "sha1=" + sha1.upper(), "sha1=" + sha1[:-2]):
        with pytest.raises(VerificationError):
            check_body(request(("x-sig", shown)), CONNECTION, "x-sig", algorithm="sha1", prefix="sha1=")
    plain = hashlib.sha256(BODY).hexdigest()
    with pytest.raises(VerificationError):
        check_body(request(("x-sig", plain)), CONNECTION, "x-sig", algorithm="sha256")


def test_where_a_token_is_configured_a_signature_proves_nothing_and_a_token_does():
    bearer = replace(CONNECTION, auth="bearer")
    signature = ("x-sig", hmac.new(SECRET.encode(), BODY, "sha256").hexdigest())
    with pytest.raises(VerificationError) as caught:
        check_body(request(signature), bearer, "x-sig", algorithm="sha256")
    assert caught.value.reason == "missing_token"
    for asked in carried(SECRET):
        check_body(asked, bearer, "x-sig", algorithm="sha256")


@pytest.mark.parametrize("secret", ["", "x" * 15, "with a space in between", "a-secret-of-good-length\n"])
def test_weak_secrets_are_named_without_being_shown(secret):
    assert weakness(secret)
    assert not secret.strip() or secret.strip() not in (weakness(secret) or "")
    assert weakness("x" * 16) is None


@pytest.mark.parametrize("configured", [None, "51", "heronquay"])
def test_a_body_that_names_no_account_is_taken(configured):
    connection = replace(CONNECTION, account_id=configured)
    for shown in ((), (None,), (None, True), ("", {"id": 7})):
        check_account(connection, *shown)


def test_a_body_of_another_account_is_refused():
    connection = replace(CONNECTION, account_id="51")
    check_account(connection, 51)
    check_account(connection, "heronquay", "51")
    check_account(CONNECTION, 52)
    for shown in ((52,), ("heronquay",), (None, "5")):
        with pytest.raises(VerificationError) as caught:
            check_account(connection, *shown)
        assert caught.value.reason == "account_mismatch"


@pytest.mark.parametrize(
    "configured, vendor, named, url",
    [
        ("acme", "gorgias.com", None, "https://acme.gorgias.com/t/7"),
        ("desk.acme.example", "gorgias.com", "other", "https://desk.acme.example/t/7"),
        (None, "gorgias.com", "acme-2", "https://acme-2.gorgias.com/t/7"),
        (None, "gorgias.com", "evil.example", None),
        (None, "gorgias.com", "evil/", None),
        (None, "gorgias.com", ["acme"], None),
        (None, "gorgias.com", None, None),
        ("desk.acme.example", "", None, "https://desk.acme.example/t/7"),
        ("acme", "", None, None),
    ],
)
def test_a_link_leads_to_the_configured_host_or_to_the_vendors(configured, vendor, named, url):
    made = page(replace(CONNECTION, subdomain=configured), vendor, "t/7", named)
    assert made == ({} if url is None else {"url": url})


@pytest.mark.parametrize(
    "updated_at_ms, created_at_ms, new",
    [
        (0, 0, True),
        (1_999, 1_000, True),
        (2_000, 1_000, False),
        (None, 0, False),
        (0, None, False),
        (None, None, False),
    ],
)
def test_a_ticket_is_new_within_its_first_second(updated_at_ms, created_at_ms, new):
    assert in_first_second(updated_at_ms, created_at_ms) is new


def test_what_a_body_never_tells_is_needed_until_the_change_tells_it():
    bare = Change("1", "desk", fields={"email": "ada@acme.example"})
    assert needs_lookup(bare) == ()
    assert needs_lookup(bare, tuple(LACKS)) == ("requester_name", "agent_email", "company", "tags")
    told = {"name": "Ada", "agentEmail": "", "companyExternalId": "a-1", "tags": []}
    assert needs_lookup(replace(bare, fields={**bare.fields, **told}), tuple(LACKS)) == ()
    assert needs_lookup(replace(bare, life="deleted"), tuple(LACKS)) == ()
    assert set(LACKS) <= set(NEEDS)


def test_what_needs_both_is_named_once():
    change = Change("1", "desk", refs={"organization_id": "5", "assignee_id": "9"})
    assert needs_lookup(change, ("company", "agent_email")) == ("requester_email", "company", "agent_email")
