"""
How an outbound message is read: SOAP 1.1 as plain values, with bounds, without a document type and so without entities.

The parser is the standard library's expat: whatever hostile XML can do beyond its size (entities that grow, files and
addresses that are fetched) needs a document type, which is refused where it begins. Depth and number are bounded here,
the size at the door. A session id is passed over: where an administrator ticked it, it is a live token of a user.

Wire: `Envelope/Body/notifications` (namespace `http://soap.sforce.com/2005/09/outbound`) holds `OrganizationId` and 1
    to 100 `Notification`, each an `Id` and an `sObject xsi:type="sf:Case"` with the ticked fields. Prefixes may differ.
Source: developer.salesforce.com docs/platform/api/guide/sforce-api-om-outboundmessaging-wsdl.html (2026-11,
documented); facts of Salesforce §2, §6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.parsers import expat

from gateway.errors import UnreadablePayload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.core.change import Json

OUTBOUND: Final = "http://soap.sforce.com/2005/09/outbound"
SCHEMA: Final = "http://www.w3.org/2001/XMLSchema-instance"
DEPTH_MAX: Final = 16
"""Elements within elements; a message needs seven."""
ELEMENTS_MAX: Final = 100_000
"""A hundred notifications with all of the eight hundred fields that an object can have."""

EXPECTED: Final = "Expected a Salesforce outbound message: a SOAP envelope with Body, notifications and Notification."
_SESSION: Final = re.compile(rb"(<(?:[\w.-]{1,64}:)?SessionId(?:\s[^<>]{0,500})?(?<!/)>).*?(?=</|\Z)", re.DOTALL)


@dataclass(slots=True)
class Element:
    """
    One element.

    space: its namespace, "" for none.
    kind: what `xsi:type` says, without its prefix.
    nil: `xsi:nil` says that it is known to be empty.
    """

    name: str
    space: str = ""
    kind: str = ""
    nil: bool = False
    texts: list[str] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)

    @property
    def value(self) -> str | None:
        """Give the text; None when it is nil."""
        return None if self.nil else "".join(self.texts)

    def named(self, name: str, space: str = OUTBOUND) -> Iterator[Element]:
        """Give the children of a name in a namespace."""
        return (child for child in self.children if child.name == name and child.space == space)

    def text_of(self, name: str) -> str | None:
        """Give the text of the first child of a name; None when there is none."""
        return next((child.value for child in self.named(name)), None)


def message(body: bytes) -> Json:
    """
    Read an outbound message.

    Returns:
        `{"organization": text, "notifications": [{"id": text, "type": text, "fields": {name: text}}]}`, where any text
        may be None. The type of a record that is gone is "", it has no fields.
    Raises:
        UnreadablePayload: `empty_body`, `not_utf8`, `not_xml`, `forbidden_dtd`, `too_deep`, `too_many_elements`,
            `not_an_outbound_message`.
    """
    root = _root(body)
    for soap_body in root.named("Body", root.space):
        for found in soap_body.named("notifications"):
            notifications = [_notification(one) for one in found.named("Notification")]
            return {"organization": found.text_of("OrganizationId"), "notifications": notifications}
    raise UnreadablePayload("not_an_outbound_message", EXPECTED)


def without_session(body: bytes) -> bytes:
    """Take what a session id holds out of a message, well-formed or not, before it is kept."""
    return _SESSION.sub(rb"\1", body)


def _notification(one: Element) -> dict[str, Json]:
    # In whatever namespace: a record that was passed over would look like one that is gone.
    record = next((child for child in one.children if child.name == "sObject"), Element("sObject", nil=True))
    # The record's own `Id` and the notification's differ by place and namespace only.
    fields = {child.name: child.value for child in record.children if not child.children}
    return {"id": one.text_of("Id"), "type": record.kind, "fields": {} if record.nil else fields}


class _Tree:
    """What expat calls while it reads."""

    def __init__(self) -> None:
        self.root = Element("")
        self.path = [self.root]
        self.count = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Open an element."""
        self.count += 1
        if len(self.path) > DEPTH_MAX:
            raise UnreadablePayload("too_deep", f"The XML is nested deeper than {DEPTH_MAX} levels.")
        if self.count > ELEMENTS_MAX:
            raise UnreadablePayload("too_many_elements", f"The XML has more than {ELEMENTS_MAX} elements.")
        space, _, local = name.rpartition(" ")
        kind = attributes.get(f"{SCHEMA} type", "").strip().rpartition(":")[2]
        nil = attributes.get(f"{SCHEMA} nil", "").strip() in ("true", "1")
        element = Element(local, space, kind, nil)
        self.path[-1].children.append(element)
        self.path.append(element)

    def end(self, _name: str) -> None:
        """Close the element that was opened last."""
        self.path.pop()

    def text(self, data: str) -> None:
        """Add to the text of the open element."""
        self.path[-1].texts.append(data)


def _refuse_document_type(*_: object) -> None:
    raise UnreadablePayload("forbidden_dtd", "The XML has a document type, which Salesforce never sends.")


def _root(body: bytes) -> Element:
    if not body.strip():
        raise UnreadablePayload("empty_body", "The request had no body: Salesforce sends a SOAP message.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadablePayload("not_utf8", "The body is not UTF-8 text, which Salesforce always sends.") from error
    tree = _Tree()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.text
    try:
        parser.Parse(text, True)  # as text, so that what the XML says of its encoding does not count
    except expat.ExpatError as error:
        raise UnreadablePayload("not_xml", f"The body is not XML ({error}). {EXPECTED}") from error
    return tree.root.children[0]
