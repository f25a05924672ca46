from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
import sys
from dataclasses import replace
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Connection, Request, needs_lookup
from gateway.sources.zoho_desk import SOURCE
from gateway.sources.zoho_desk_token import public_keys
from tests.sources.samples import expected_of, outcome, request_of, said
from tests.sources.signers import SIGNERS, ZOHO_KEYS, base64url, jwt, zoho_secret

SECRET = SIGNERS["zoho_desk"].secrets[0]
KEY = ZOHO_KEYS[SECRET]
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
NOW = 1_791_900_000
CONNECTION = Connection("zoho_desk", "zoho_desk", (SECRET,), account_id="4711/9")
CLAIMS = {"iss": "orgId:4711", "aud": "webhookId:9", "iat": NOW, "exp": NOW + 600}


def carrying(token: str, body: bytes = b"[]") -> Request:
    return Request("POST", (("x-zdesk-jwt", token),), "", body)


def with_claims(**more: Any) -> Request:
    return carrying(jwt(KEY, {name: value for name, value in (CLAIMS | more).items() if value is not ...}))


def accepted(asked: Request, connection: Connection = CONNECTION, now_s: float = NOW) -> None:
    SOURCE.verify(asked, connection, now_s)


def refused(asked: Request, connection: Connection = CONNECTION, now_s: float = NOW) -> str:
    with pytest.raises(VerificationError) as caught:
        SOURCE.verify(asked, connection, now_s)
    return caught.value.reason


def read(events: Any, connection: Connection = CONNECTION) -> Any:
    return SOURCE.normalize(events, Request("POST", (), "", b""), connection)


def event(kind: str = "Ticket_Update", row: Any = None, **more: Any) -> dict[str, Any]:
    return {"eventType": kind, "orgId": "4711", "payload": {"id": "7"} if row is None else row} | more


# --------------------------------------------------------------------------------------------------------------- token
def test_a_token_proves_who_sends_and_not_what():
    token = jwt(KEY, CLAIMS)
    for body in (b"[]", b"anything"):
        accepted(carrying(token, body))


@pytest.mark.parametrize(
    "form",
    [PEM.decode(), PEM.decode().strip(), PEM.decode().replace("\n", "\\n"), base64.b64encode(PEM).decode(), SECRET],
)
def test_the_key_may_be_a_pem_or_one_line_of_base64(form):
    assert SOURCE.check_secret(form, "signature") is None
    accepted(with_claims(), replace(CONNECTION, secrets=(form,)))


def test_a_key_set_is_taken_as_zoho_publishes_it_and_every_key_of_it_is_tried():
    rows = []
    for secret in (zoho_secret("set"), zoho_secret("set")):
        rows += orjson.loads(base64.b64decode(secret))["keys"]
    mixed = {"keys": [{"kty": "EC", "crv": "P-256"}, 7, *rows]}
    both = base64.b64encode(orjson.dumps(mixed)).decode()
    assert len(public_keys(both)) == 2
    for secret in list(ZOHO_KEYS)[-2:]:
        accepted(carrying(jwt(ZOHO_KEYS[secret], CLAIMS)), replace(CONNECTION, secrets=(both,)))


def private_pem() -> bytes:
    return KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def private_set() -> bytes:
    numbers = KEY.private_numbers()
    row = {"n": numbers.public_numbers.n, "e": numbers.public_numbers.e, "d": numbers.d}
    sized = {name: base64url(value.to_bytes(256, "big")) for name, value in row.items()}
    return orjson.dumps({"keys": [{"kty": "RSA", **sized}]})


def public_pem(private: Any) -> bytes:
    shown: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return shown


@pytest.mark.parametrize(
    "raw",
    [
        private_pem(),
        private_set(),
        public_pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505  which is why it is refused
        public_pem(ec.generate_private_key(ec.SECP256R1())),
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b'{"keys": [{"kty": "RSA", "n": "AQ"}]}',
        b'{"keys": [{"kty": "RSA", "n": 7, "e": 5}]}',
        b'{"keys": [{"kty": "RSA", "n": "AQ", "e": "AQ", "d": 7}]}',
        b'{"keys": {"kty": "RSA"}}',
        b"[]",
        b"not a key at all",
    ],
)
def test_what_is_no_strong_public_rsa_key_is_refused_at_boot_and_proves_nothing(raw):
    for form in (base64.b64encode(raw).decode(), raw.decode()):
        complaint = SOURCE.check_secret(form, "signature")
        assert complaint
        assert form not in complaint
        assert refused(with_claims(), replace(CONNECTION, secrets=(form,))) == "no_secret"


def test_a_token_of_ours_needs_no_key_and_may_stand_in_the_address():
    connection = replace(CONNECTION, auth="bearer", secrets=("a-token-of-our-own-choice",))
    assert SOURCE.check_secret("a-token-of-our-own-choice", "bearer") is None
    accepted(Request("POST", (), "token=a-token-of-our-own-choice", b"[]"), connection)
    assert refused(with_claims(), connection) == "missing_token"


@pytest.mark.parametrize(
    "head",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS384"},
        {"alg": "rs256"},
        {"alg": ["RS256"]},
        {"alg": None},
        {"typ": "JWT"},
        {"alg": "RS256", "crit": ["exp"], "exp": 1},
        {"alg": "RS256", "kid": 7},
        {"alg": "RS256", "b64": False, "crit": ["b64"]},
    ],
)
def test_the_algorithm_is_ours_and_an_unknown_demand_of_the_header_is_refused(head):
    assert refused(carrying(jwt(KEY, CLAIMS, head))) == "bad_signature"


def test_a_key_of_the_senders_choice_is_never_looked_at():
    own = rsa.generate_private_key(65537, 2048)
    numbers = own.public_key().public_numbers()
    n, e = base64url(numbers.n.to_bytes(256, "big")), base64url(numbers.e.to_bytes(3, "big"))
    offered = {"jku": "https://evil.example/jwks", "x5u": "https://evil.example/c", "kid": "../../dev/null"}
    jwk = {"kty": "RSA", "n": n, "e": e}
    assert refused(carrying(jwt(own, CLAIMS, {"alg": "RS256", "jwk": jwk, **offered}))) == "bad_signature"
    accepted(carrying(jwt(KEY, CLAIMS, {"alg": "RS256", "jwk": jwk, **offered})))


def test_a_public_key_is_no_shared_secret():
    text = f"{base64url(orjson.dumps({'alg': 'HS256'}))}.{base64url(orjson.dumps(CLAIMS))}"
    for key in (PEM, SECRET.encode(), PEM.strip()):
        digest = hmac.new(key, text.encode(), hashlib.sha256).digest()
        assert refused(carrying(f"{text}.{base64url(digest)}")) == "bad_signature"


RIGHT = jwt(KEY, CLAIMS)


@pytest.mark.parametrize(
    "token",
    [
        RIGHT + "=",
        RIGHT + "==",
        RIGHT + ".x",
        "." + RIGHT,
        RIGHT.rpartition(".")[0] + ".",
        RIGHT.rpartition(".")[0],
        RIGHT[:-1] + ("A" if RIGHT[-1] != "A" else "Q"),
        RIGHT.replace(".", "..", 1),
        "Bearer " + RIGHT,
        RIGHT + " ",
        RIGHT + "\n",
        RIGHT[:-3] + "+/" + RIGHT[-1],
        "A.A.A",
        "a.b.c",
        "é.é.é",
        "[" * 3000,
        base64url(b"[" * 4000) + ".e30.AA",
        base64url(b"[]") + ".e30.AA",
        base64url(b'{"alg":"RS256"}') + ".e30.",
        "A" * 9000 + ".AA.AA",
    ],
)
def test_a_token_that_is_not_strictly_written_is_refused(token):
    assert refused(carrying(token)) == "bad_signature"


def test_a_token_whose_claims_are_none_is_refused_though_signed():
    odd: tuple[Any, ...] = ([], "x", None, 7)
    for claims in odd:
        assert refused(carrying(jwt(KEY, claims))) == "bad_signature"


@given(st.text(max_size=80) | st.binary(max_size=80).map(base64url))
def test_no_text_is_a_token(text):
    assert refused(carrying(f"{text}.{text}.{text}")).startswith(("bad_", "missing_"))


# ---------------------------------------------------------------------------------------------------------------- time
@pytest.mark.parametrize("unit", [1, 1000])
def test_times_may_be_seconds_or_milliseconds(unit):
    asked = with_claims(iat=NOW * unit, exp=(NOW + 600) * unit)
    for now_s in (NOW - 300, NOW, NOW + 600, NOW + 630):
        accepted(asked, now_s=now_s)
    for now_s in (NOW - 301, NOW + 631):
        assert refused(asked, now_s=now_s) == "stale_timestamp"


@pytest.mark.parametrize("name", ["iat", "exp"])
def test_a_token_without_a_readable_time_is_refused(name):
    assert refused(with_claims(**{name: ...})) == "missing_timestamp"
    odd: tuple[Any, ...] = ("1791900000", True, -1, 0, 10**17, [], {"a": 1})
    for value in odd:
        assert refused(with_claims(**{name: value})) == "bad_timestamp"


# ------------------------------------------------------------------------------------------------------------- account
@pytest.mark.parametrize("more", [{"iss": "orgId:1"}, {"iss": "4711"}, {"iss": ...}, {"iss": ["orgId:4711"]}])
def test_a_token_of_another_organization_is_refused(more):
    assert refused(with_claims(**more)) == "account_mismatch"
    accepted(with_claims(**more), replace(CONNECTION, account_id=None))


@pytest.mark.parametrize("audience", ["webhookId:8", "9", ..., 9, [], ["webhookId:8"], {"webhookId:9": 1}])
def test_a_token_of_another_webhook_is_refused_where_one_is_named(audience):
    assert refused(with_claims(aud=audience)) == "account_mismatch"
    accepted(with_claims(aud=audience), replace(CONNECTION, account_id="4711"))
    accepted(with_claims(aud=["webhookId:8", "webhookId:9"]))


@pytest.mark.parametrize("organization", ["1", None, 47, ["4711"]])
def test_an_event_of_another_organization_is_refused(organization):
    for kind in ("Ticket_Add", "Contact_Add"):
        with pytest.raises(VerificationError) as caught:
            read([event(), event(kind, orgId=organization)])
        assert caught.value.reason == "account_mismatch"
    assert read([event(orgId=organization)], replace(CONNECTION, account_id=None)).changes
    assert read([event(orgId=4711)]).changes


# ----------------------------------------------------------------------------------------------------------- handshake
@pytest.mark.parametrize("body", [b"", b" \n", b"[]", b"{}"])
def test_the_check_of_the_address_is_answered_before_anything_is_proved(body):
    for asked in (Request("GET", (), "", b""), Request("POST", (), "", body)):
        reply = SOURCE.handshake(asked, CONNECTION)
        assert reply is not None
        assert reply.status == 200
    assert SOURCE.handshake(carrying("a.b.c", body), CONNECTION) is None
    assert SOURCE.handshake(Request("POST", (), "", b"[{}]"), CONNECTION) is None
    assert SOURCE.handshake(Request("OPTIONS", (), "", b""), CONNECTION) is None


@pytest.mark.parametrize("body", [b"", b" \n", b"[]", b"{}"])
def test_a_check_that_carries_a_token_means_nothing_and_is_not_kept(body):
    asked = carrying("a.b.c", body)
    assert SOURCE.handshake(asked, CONNECTION) is None
    assert read(SOURCE.parse(asked)).ignored


# ------------------------------------------------------------------------------------------------------- what it means
def test_zoho_is_answered_with_exactly_200():
    reply = SOURCE.acknowledge(stored=True)
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"")


def test_an_event_is_known_by_what_happened_to_which_ticket_and_when():
    asked = carrying("x")
    payload = SOURCE.parse(request_of("zoho_desk", "delete"))
    assert SOURCE.delivery_id(asked, payload) == "Ticket_Delete:411730000000958017:1791600000000"
    for other in (None, [], [event()], [event(eventTime="1"), event(eventTime="1")], [7], {"body": 7}, "x"):
        assert SOURCE.delivery_id(asked, other) is None


@pytest.mark.parametrize("count, lacks", [("2", ("tags",)), (2, ("tags",)), ("0", ()), (0, ()), (None, ()), ([], ())])
def test_tags_are_lacking_when_they_are_counted(count, lacks):
    found = read(
        [event(row={"id": "7", "subject": "A", "status": "Open", "email": "a@kiln.example", "tagCount": count})]
    )
    assert found.lacks == lacks
    assert needs_lookup(found.changes[0], found.lacks) == lacks
    assert read([event("Ticket_Delete", {"id": "7", "tagCount": count})]).lacks == ()


def test_what_an_update_leaves_out_stays_as_it_is():
    change = read([event(row={"id": "7", "status": "Open", "tagCount": "1"})]).changes[0]
    assert change.fields == {"status": "open"}
    assert (change.thin, change.complete, change.refs) == (True, False, {})


@pytest.mark.parametrize("flag", ["isTrashed", "isDeleted", "isSpam"])
def test_a_flag_ends_a_ticket_and_its_absence_brings_it_back(flag):
    assert read([event(row={"id": "7", flag: True})]).changes[0].life == "deleted"
    assert read([event(row={"id": "7", flag: False})]).changes[0].life == "live"
    assert read([event(row={"id": "7", flag: None})]).changes[0].life == ""
    gone = read([event("Ticket_Delete", {"id": "7", flag: False, "modifiedTime": "2026-10-09T08:00:00.000Z"})])
    assert (gone.changes[0].life, gone.changes[0].updated_at_ms) == ("deleted", 1_791_532_800_000)


def test_one_bad_event_keeps_the_whole_array_aside():
    answer = outcome(lambda: read([event(), event(row={})]))
    assert isinstance(answer, UnreadablePayload)
    assert said(SOURCE, request_of("zoho_desk", "two_tickets")).keys() == expected_of("zoho_desk", "two_tickets").keys()


def test_no_events_are_ignored():
    assert read([]).ignored
    assert read([event("Ticket_Comment_Add")]).ignored.startswith("Ticket_Comment_Add")


def test_the_library_waits_until_it_is_needed():
    heavy = "import sys, gateway.sources; print([m for m in ('jwt', 'cryptography') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
