from __future__ import annotations

import codecs
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Connection, Discreet, Normalized, Request, needs_lookup
from gateway.sources.salesforce import NOTIFICATIONS_MAX, SOURCE
from gateway.sources.salesforce_cases import case_fields, widened
from gateway.sources.salesforce_soap import DEPTH_MAX, ELEMENTS_MAX, message
from tests.sources.samples import outcome, request_of

if TYPE_CHECKING:
    from gateway.core.change import Change

SECRET = "salesforce-token-0123456789abcdef"
CONNECTION = Connection("salesforce", "salesforce", (SECRET,), prefix="S-")
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Body>'
    '<n:notifications xmlns:n="http://soap.sforce.com/2005/09/outbound">'
)
TAIL = "</n:notifications></e:Body></e:Envelope>"
ACK = (
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>%s</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>"
)


def case(fields: str = "<Status>New</Status>", number: str = "500Hn00000kQ3vT", kind: str = "s:Case") -> str:
    return (
        f'<n:Notification><n:Id>04lHn00000Bq7Wd</n:Id><n:sObject xsi:type="{kind}" '
        f'xmlns="urn:sobject.enterprise.soap.sforce.com"><Id>{number}</Id>{fields}</n:sObject></n:Notification>'
    )


def posted(body: str | bytes, query: str = "", *headers: tuple[str, str]) -> Request:
    raw = body.encode() if isinstance(body, str) else body
    return Request("POST", (("content-type", "text/xml; charset=utf-8"), *headers), query, raw)


def read(*parts: str, connection: Connection = CONNECTION) -> Normalized:
    asked = posted(HEAD + "".join(parts) + TAIL)
    return SOURCE.normalize(SOURCE.parse(asked), asked, connection)


def only(*parts: str, connection: Connection = CONNECTION) -> Change:
    (change,) = read(*parts, connection=connection).changes
    return change


def reason(body: str | bytes) -> str:
    answer = outcome(lambda: message(body.encode() if isinstance(body, str) else body))
    assert isinstance(answer, UnreadablePayload)
    assert answer.detail
    return answer.reason


# ------------------------------------------------------------------------------------------------------------- proofs
@pytest.mark.parametrize(
    ("query", "headers"),
    [
        (f"token={SECRET}", ()),
        (f"a=b&token={SECRET.replace('-', '%2D')}", ()),
        ("", (("x-webhook-secret", SECRET),)),
        ("", (("authorization", f"Bearer {SECRET}"),)),
        (f"token={SECRET}", (("authorization", f"Bearer {SECRET}"),)),
    ],
)
def test_the_secret_stands_in_the_address_because_an_outbound_message_can_set_nothing_else(query, headers):
    SOURCE.verify(posted("", query, *headers), CONNECTION, 0.0)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", ()),
        ("token=", ()),
        (f"token={SECRET[:-1]}", ()),
        (f"token={SECRET}&token={SECRET}", ()),
        (f"Token={SECRET}", ()),
        (f"token={SECRET}", (("x-webhook-secret", "another-secret-of-16"),)),
    ],
)
def test_every_carrier_that_is_there_must_be_right(query, headers):
    with pytest.raises(VerificationError):
        SOURCE.verify(posted("", query, *headers), CONNECTION, 0.0)


@pytest.mark.parametrize("account", ["00DHn000000fN2x", "00DHn000000fN2xMAE"])
def test_only_messages_of_the_configured_organization_are_taken(account):
    made = replace(CONNECTION, account_id=account)
    organization = "<n:OrganizationId>{}</n:OrganizationId>"
    assert widened("00DHn000000fN2x") == "00DHn000000fN2xMAE"
    for same in ("00DHn000000fN2x", "00DHn000000fN2xMAE"):
        assert only(organization.format(same), case(), connection=made).ticket
    for other in (organization.format("00DHn000000fN2X"), organization.format("x"), ""):
        with pytest.raises(VerificationError, match="account_mismatch"):
            read(other, case(), connection=made)


# ------------------------------------------------------------------------------------------------------------- answers
def test_the_answer_is_salesforces_own_acknowledgement():
    taken, refused = SOURCE.acknowledge(stored=True), SOURCE.acknowledge(stored=False)
    assert (taken.status, taken.body) == (200, ACK % b"true")
    assert (refused.status, refused.body) == (503, ACK % b"false")
    assert taken.headers["Content-Type"].startswith("text/xml")


# ----------------------------------------------------------------------------------------------------- hardened reading
@pytest.mark.parametrize(
    "body",
    [
        "<!DOCTYPE a><a/>",
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        '<!DOCTYPE a PUBLIC "-//x//y" "http://127.0.0.1/x"><a/>',
        '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1/x"> %x;]><a/>',
        '<!DOCTYPE a [<!ENTITY a0 "ha"><!ENTITY a1 "&a0;&a0;&a0;"><!ENTITY a2 "&a1;&a1;&a1;">]><a>&a2;</a>',
        "<!DOCTYPE a [<!ATTLIST a b CDATA #IMPLIED>]><a/>",
        '<?xml version="1.0"?>\n<!-- x -->\n<!DOCTYPE a><a/>',
    ],
)
def test_a_document_type_is_refused_where_it_begins(body):
    assert reason(body) == "forbidden_dtd"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "empty_body"),
        (" \n", "empty_body"),
        ("<a>&company;</a>", "not_xml"),
        ("<a>", "not_xml"),
        ("<a/><b/>", "not_xml"),
        ("<x:a/>", "not_xml"),
        ('<a b="1" b="2"/>', "not_xml"),
        ("<a>\0</a>", "not_xml"),
        ("<a>&#0;</a>", "not_xml"),
        ("{}", "not_xml"),
        ("<a><!DOCTYPE b></a>", "not_xml"),
        (b"\xff\xfe<\0a\0/\0>\0", "not_utf8"),
        ("<a>\xe4</a>".encode("latin-1"), "not_utf8"),
        ("<a/>", "not_an_outbound_message"),
        (HEAD.replace("2005/09/outbound", "other") + TAIL, "not_an_outbound_message"),
        ("<a>" * (DEPTH_MAX + 1) + "</a>" * (DEPTH_MAX + 1), "too_deep"),
        ("<a>" * 500_000, "too_deep"),
        ("<a>" + "<b/>" * ELEMENTS_MAX + "</a>", "too_many_elements"),
    ],
)
def test_whatever_is_no_outbound_message_says_why(body, why):
    assert reason(body) == why


def test_what_the_xml_says_of_its_encoding_does_not_count():
    for declared in ("UTF-16", "ISO-8859-1", "x-unknown"):
        change = only(case("<Status>Neu für Öl</Status>"))
        body = (HEAD.replace("UTF-8", declared, 1) + case("<Status>Neu für Öl</Status>") + TAIL).encode()
        assert SOURCE.normalize(message(codecs.BOM_UTF8 + body), posted(body), CONNECTION).changes == (change,)
    assert change.fields["status"] == "neu für öl"


def test_instructions_and_inclusions_are_passed_over():
    body = '<?php x?><Status>New</Status><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/passwd"/>'
    change = only(case(body + "<Subject>a<!-- b -->c<![CDATA[&<d>]]></Subject>"))
    assert change.fields == {"status": "new", "title": "ac&<d>"}


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_with_a_sentence(body):
    assert reason(body)


@given(st.data())
def test_any_mutation_of_a_message_is_read_or_refused(data):
    body = request_of("salesforce", "case_batch").body
    at, cut = data.draw(st.integers(0, len(body))), data.draw(st.integers(0, 40))
    changed = body[:at] + data.draw(st.binary(max_size=6)) + body[at + cut :]
    answer = outcome(lambda: SOURCE.normalize(message(changed), posted(changed), CONNECTION))
    assert isinstance(answer, Normalized) or answer.detail


# ---------------------------------------------------------------------------------------------------------- session ids
@pytest.mark.parametrize(
    "body",
    [
        b"<SessionId>%s</SessionId><EnterpriseUrl>kept</EnterpriseUrl>",
        b"<n:SessionId>%s</n:SessionId>kept",
        b'<SessionId xsi:type="xsd:string">\n %s \n</SessionId>kept',
        b"<SessionId><![CDATA[%s]]></SessionId>kept",
        b"<SessionId>%s&amp;</SessionId>kept",
        b"kept<SessionId>%s",
        b"kept<SessionId><b>%s</SessionId>",
        b"<SessionId>x</SessionId>kept<SessionId>%s</SessionId>",
    ],
)
def test_a_session_id_is_no_part_of_what_is_kept(body):
    assert isinstance(SOURCE, Discreet)
    kept = SOURCE.without_secrets(body % b"00D!AQ-live-token")
    assert b"live-token" not in kept
    assert b"kept" in kept


def test_what_holds_no_session_id_is_kept_as_it_is():
    for body in (b'<SessionId xsi:nil="true"/><a>b</a>', b"<SessionIds>a</SessionIds>", b"", b"\xff<", b"<SessionId"):
        assert SOURCE.without_secrets(body) == body


def test_a_session_id_stands_in_no_payload():
    payload = SOURCE.parse(request_of("salesforce", "case_session_id"))
    assert "PRIVATE-CANARY" not in str(payload)


# ------------------------------------------------------------------------------------------------------------------ ids
@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("500Hn00000kQ3vT", "500Hn00000kQ3vTIAS"),
        ("aaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaAAA"),
        ("AAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAA555"),
        ("Aaaaa0AAAA00000", "Aaaaa0AAAA00000B4A"),
        (" 500Hn00000kQ3vT\n", "500Hn00000kQ3vTIAS"),
        ("500Hn00000kQ3vTIAS", "500Hn00000kQ3vTIAS"),
    ],
)
def test_fifteen_characters_become_eighteen(short, long):
    assert widened(short) == long


@pytest.mark.parametrize("value", [None, 7, "", "500", "500Hn00000kQ3v/", "500Hn00000kQ3vTIA", "5" * 19, "\uff15" * 15])
def test_what_is_no_id_is_none(value):
    assert widened(value) is None


@given(st.text("abCDxyZ019", min_size=15, max_size=15), st.text("abCDxyZ019", min_size=15, max_size=15))
def test_ids_that_differ_by_case_alone_stay_apart_without_it(one, other):
    assert ((widened(one) or "").lower() == (widened(other) or "").lower()) == (one == other)


def test_a_delivery_is_known_by_its_notifications_in_any_order():
    def known(*ids: Any) -> str | None:
        return SOURCE.delivery_id(posted(""), {"notifications": [{"id": one} for one in ids]})

    assert known("04lA") == "04lA"
    assert known("04lA", "04lB") == known("04lB", "04lA")
    assert known("04lA", "04lB") not in (known("04lA", "04lC"), "04lA")
    assert known() is known("04lA", None) is known("") is None
    assert SOURCE.delivery_id(posted(""), None) is SOURCE.delivery_id(posted(""), {"notifications": 7}) is None


# ------------------------------------------------------------------------------------------------------------- changes
def test_a_link_is_made_of_the_configured_domain_only():
    fields = "<Subject>a</Subject><Status>New</Status>"
    shown = "https://acme.lightning.force.com/lightning/r/Case/500Hn00000kQ3vTIAS/view"
    for domain in ("acme", "acme.my.salesforce.com", "acme.lightning.force.com"):
        assert only(case(fields), connection=replace(CONNECTION, subdomain=domain)).fields["url"] == shown
    sandbox = only(case(fields), connection=replace(CONNECTION, subdomain="acme--dev.sandbox.my.salesforce.com"))
    assert sandbox.fields["url"].startswith("https://acme--dev.sandbox.lightning.force.com/")
    assert "url" not in only("<n:EnterpriseUrl>https://evil.example</n:EnterpriseUrl>", case(fields)).fields


def test_what_a_message_never_tells_is_to_be_looked_up():
    mail = "<Subject>a</Subject><Status>New</Status><ContactEmail>a@b.example</ContactEmail>"
    refs = f"<AccountId>{'001Hn00000pLm9Z'}</AccountId><OwnerId>005Hn00000c7RtY</OwnerId>"
    told = read(case(mail + refs))
    assert needs_lookup(told.changes[0], told.lacks) == ("company", "agent_email", "requester_name")
    thin = read(case())
    assert needs_lookup(thin.changes[0], thin.lacks) == ("ticket", "requester_email")


@pytest.mark.parametrize(("value", "status"), [("true", "closed"), (" 1 ", "closed"), ("false", None), ("TRUE", None)])
def test_closed_without_a_status_is_closed(value, status):
    assert case_fields({"IsClosed": value}).get("status") == status
    assert case_fields({"IsClosed": value, "Status": "Done"})["status"] == "done"


def test_the_system_time_dates_a_case_where_it_is_the_only_one_ticked():
    system = "<SystemModstamp>2026-10-12T09:15:02.000Z</SystemModstamp>"
    both = "<LastModifiedDate>2026-10-12T09:15:00.000Z</LastModifiedDate>" + system
    assert only(case(system)).updated_at_ms == 1_791_796_502_000
    assert only(case(both)).updated_at_ms == 1_791_796_500_000
    assert only(case(both)).event_at_us == only(case(system)).event_at_us == 1_791_796_502_000_000


def test_a_record_is_found_though_its_own_namespace_is_that_of_its_fields():
    shown = case().replace("n:sObject", "sObject")
    assert only(shown).ticket == "S-500Hn00000kQ3vTIAS"
    assert read(shown.replace("s:Case", "Contact")).ignored == "Contact is no Case"


def test_a_record_whose_fields_are_all_nil_is_gone_and_keeps_no_other_case_back():
    nil = case('<Status xsi:nil="true"/><Subject/>').replace("<Id>500Hn00000kQ3vT</Id>", '<Id xsi:nil="true"/>')
    assert read(nil).ignored == "a notification without data: its record was deleted meanwhile"
    assert only(nil, case()).ticket == "S-500Hn00000kQ3vTIAS"


def test_the_api_writes_the_same_case_in_json():
    row = {"IsClosed": True, "Subject": None, "Priority": "High", "ContactEmail": None, "SuppliedEmail": "A@b.example"}
    assert case_fields(row) == {"title": "", "severity": "high", "status": "closed", "email": "a@b.example"}


def test_more_notifications_than_salesforce_sends_are_refused():
    assert len(read(*[case()] * NOTIFICATIONS_MAX).changes) == NOTIFICATIONS_MAX
    with pytest.raises(UnreadablePayload, match="too_many_items"):
        read(*[case()] * (NOTIFICATIONS_MAX + 1))


def test_one_case_that_cannot_be_read_keeps_the_whole_message_aside():
    with pytest.raises(UnreadablePayload, match="bad_ticket_id"):
        read(case(), case(number="500"))
