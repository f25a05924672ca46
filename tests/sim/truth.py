"""
The helpdesks: tickets that change, the deliveries that tell of it, and everything that was ever said.

What a delivery says is written down twice, by two pieces of code: as the body that travels, and as a `Said` for the
oracle, after DESIGN's rules.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.sim.planhat import POISON_500, POISON_CALL, POISON_ITEM

if TYPE_CHECKING:
    import random

ZENDESK_SECRET = "zendesk-secret-0123456789"
GENERIC_KEY = b"0123456789abcdef0123456789abcdef"
GENERIC_SECRET = "whsec_" + base64.b64encode(GENERIC_KEY).decode()
STATUSES = ("new", "open", "pending", "hold", "solved")
Rank = tuple[int, int]
"""(updated_at ms, event time µs): what is newer. DESIGN: last writer wins per field by these."""


@dataclass
class Said:
    """
    What one delivery says of one ticket.

    fields: as Planhat names them; None clears. life: "", "live", "deleted", "purged".
    accepted_s: when the gateway answered that it has it, virtual seconds.
    """

    ticket: str
    rank: Rank
    fields: dict[str, Any] = field(default_factory=dict)
    life: str = ""
    creation: bool = False
    full: bool = False
    accepted_s: float = math.inf


@dataclass
class Delivery:
    """One webhook: where to, what, and what it says."""

    path: str
    ident: str
    body: bytes
    said: list[Said]
    kind: str = "good"
    """`good`, `forged` (must be refused) or `unreadable` (must be quarantined)."""

    def headers(self, now_s: float) -> list[tuple[bytes, bytes]]:
        """Sign for a sending at `now_s`, Unix seconds."""
        if self.path.endswith("zendesk"):
            stamp = iso(int(now_s) * 1000)
            digest = hmac.new(ZENDESK_SECRET.encode(), stamp.encode() + self.body, hashlib.sha256).digest()
            signed = [
                (b"x-zendesk-webhook-signature", self._mark(base64.b64encode(digest))),
                (b"x-zendesk-webhook-signature-timestamp", stamp.encode()),
            ]
        else:
            stamp = str(int(now_s))
            content = f"{self.ident}.{stamp}.".encode() + self.body
            digest = hmac.new(GENERIC_KEY, content, hashlib.sha256).digest()
            signed = [
                (b"webhook-id", self.ident.encode()),
                (b"webhook-timestamp", stamp.encode()),
                (b"webhook-signature", b"v1," + self._mark(base64.b64encode(digest))),
            ]
        return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self.body)), *signed]

    def _mark(self, signature: bytes) -> bytes:
        if self.kind != "forged":
            return signature
        return signature[:-3] + (b"AA=" if signature[-3:] != b"AA=" else b"BB=")


def iso(at_ms: int, digits: int = 0) -> str:
    """Write a time in ISO 8601, UTC, with so many digits of a second."""
    seconds, ms = divmod(at_ms, 1000)
    text = datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
    return f"{text}.{ms:03d}Z" if digits else f"{text}Z"


@dataclass
class Person:
    id: str
    email: str | None


@dataclass
class Organization:
    id: str
    domains: list[str]
    external_id: str | None


@dataclass
class Ticket:
    """
    A ticket of a helpdesk.

    number: versions so far. current: the newest snapshot of a Zendesk ticket, for look-ups.
    before: history that Planhat holds from earlier times, (at_ms, status); None when it does not know the ticket.
    """

    key: str
    source: str
    bare: str
    flavour: str
    at_ms: int
    number: int = 0
    gone: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    current: dict[str, Any] = field(default_factory=dict)
    before: list[tuple[int, str]] | None = None


class Helpdesks:
    """All tickets, people and organizations of one seed; makes deliveries."""

    def __init__(self, chance: random.Random, tickets: int, now_ms: int) -> None:
        self.chance = chance
        self.people = {str(900 + n): Person(str(900 + n), f"p{n}@org{n % 3}.example") for n in range(5)}
        self.people["990"] = Person("990", None)
        self.organizations = {
            str(700 + n): Organization(str(700 + n), [f"org{n}.example"], f"x-{n}" if n else None) for n in range(3)
        }
        self.tickets: list[Ticket] = []
        self.said: list[Said] = []
        self.ranks: dict[tuple[str, str, str], Rank] = {}
        """(ticket, field, value as JSON) -> rank, for values that only one version has."""
        self._idents = 0
        poison = ["poison_call", "poison_item"]
        if chance.random() < 0.06:  # rare: it takes long in virtual time until such a one is convicted
            poison.append("poison_500")
        for n in range(tickets):
            source = "zendesk" if chance.random() < 0.5 else "generic"
            bare = str(100 + n) if source == "zendesk" else f"G-{n}"
            flavours = ["plain"] * 5 + ["before", "no_email", *poison]
            if source == "generic":
                flavours += ["partial", "late_email", "free_mail", "ties"]
            ticket = Ticket(f"{source}:{bare}", source, bare, chance.choice(flavours), now_ms - 3_600_000)
            if ticket.flavour == "before":
                ticket.before = [(ticket.at_ms - 90_000_000, "new"), (ticket.at_ms - 80_000_000, "open")]
            self.tickets.append(ticket)

    def ident(self) -> str:
        self._idents += 1
        return hashlib.blake2b(f"{self.chance.random()}{self._idents}".encode(), digest_size=13).hexdigest()

    def next(self, ticket: Ticket) -> list[Delivery]:
        """Let a ticket change; give the deliveries that tell of it, in order."""
        return self._zendesk(ticket) if ticket.source == "zendesk" else [self._generic(ticket)]

    def _say(self, said: Said) -> Said:
        self.said.append(said)
        for name in ("title", "description", "tags"):
            if name in said.fields:
                self.ranks[said.ticket, name, json.dumps(said.fields[name])] = said.rank
        return said

    def _title(self, ticket: Ticket) -> str:
        title = f"{ticket.key} v{ticket.number}"
        poison = {"poison_call": POISON_CALL, "poison_item": POISON_ITEM, "poison_500": POISON_500}.get(ticket.flavour)
        # some recover: a later version without the poison
        healed = ticket.number >= 3 and sum(ticket.key.encode()) % 2
        return f"{title} {poison}" if poison and not healed else title

    # Zendesk: events with snapshots, second resolution, look-ups

    def _zendesk(self, ticket: Ticket) -> list[Delivery]:
        chance = self.chance
        ticket.at_ms += chance.randint(1, 20) * 1000
        first = ticket.number == 0
        word = "created" if first and ticket.before is None else chance.choice(("status_changed", "comment_added"))
        life = "live" if word == "created" else ""
        if not first and not ticket.gone and chance.random() < 0.08:
            word, life, ticket.gone = "soft_deleted", "deleted", True
        elif ticket.gone and chance.random() < 0.5:
            word, life, ticket.gone = "undeleted", "live", False
        requester = "990" if ticket.flavour == "no_email" else chance.choice(sorted(self.people)[:5])
        detail = {
            "id": ticket.bare,
            "subject": self._title(ticket),
            "description": f"Text of {ticket.key}, version {ticket.number}. " + "words " * chance.choice((1, 20, 120)),
            "status": "DELETED" if ticket.gone else chance.choice(STATUSES).upper() if not first else "NEW",
            "priority": chance.choice((None, "LOW", "HIGH")),
            "type": None,
            "tags": [f"t{ticket.number}"],
            "requester_id": requester,
            "organization_id": chance.choice(sorted(self.organizations)),
            "assignee_id": chance.choice((None, "901", "902")),
            "created_at": iso(ticket.at_ms if first else ticket.at_ms - 500_000),
            "updated_at": iso(ticket.at_ms),
            "is_public": True,
        }
        ticket.number += 1
        ticket.current = detail
        event_us = ticket.at_ms * 1000 + chance.randint(0, 999_999)
        full = self._event(ticket, word, life, detail, event_us)
        if chance.random() < 0.15 and not ticket.gone:
            thin = {"id": ticket.bare, "updated_at": detail["updated_at"]}
            return [full, self._event(ticket, "comment_added", "", thin, event_us + 1)]
        return [full]

    def _event(self, ticket: Ticket, word: str, life: str, detail: dict[str, Any], event_us: int) -> Delivery:
        ident = self.ident()
        fraction = f"{event_us % 1_000_000:06d}"
        body = {
            "account_id": 1,
            "detail": detail,
            "id": ident,
            "subject": f"zen:ticket:{ticket.bare}",
            "time": f"{iso(event_us // 1000)[:-1]}.{fraction}Z",
            "type": f"zen:event-type:ticket.{word}",
            "zendesk_event_version": "2022-11-06",
        }
        said = Said(ticket.key, (ticket.at_ms, event_us), life=life, creation=word == "created")
        if "subject" in detail and life != "deleted" and detail["status"] != "DELETED":
            said.full = True
            said.fields = self.fields_of(ticket, detail)
        elif detail.get("status") == "DELETED":
            said.life = "deleted"
        self._say(said)
        return Delivery("/webhooks/zendesk", ident, json.dumps(body).encode(), [said])

    def fields_of(self, ticket: Ticket, detail: dict[str, Any]) -> dict[str, Any]:
        """Give what Planhat must hold of a Zendesk snapshot."""
        person, organization = self.people[detail["requester_id"]], self.organizations[detail["organization_id"]]
        assignee = detail["assignee_id"]
        return {
            "title": detail["subject"],
            "description": detail["description"].strip(),
            "status": detail["status"].lower(),
            "severity": (detail["priority"] or "").lower(),
            "tags": detail["tags"],
            "url": f"https://lumen.zendesk.com/agent/tickets/{ticket.bare}",
            "email": person.email,
            "agentEmail": self.people[assignee].email if assignee else None,
            "domains": organization.domains,
            "companyExternalId": organization.external_id,
        }

    # generic: Planhat's own words, partial updates, milliseconds

    def _generic(self, ticket: Ticket) -> Delivery:
        chance = self.chance
        first = ticket.number == 0
        if not (ticket.flavour == "ties" and chance.random() < 0.5):
            ticket.at_ms += chance.randint(1, 20_000)
        event_us = ticket.at_ms * 1000 + ticket.number
        kind, life = chance.choice((("ticket.updated", ""), ("ticket.upserted", "live")))
        if first and ticket.flavour not in ("before", "partial"):
            kind, life = "ticket.created", "live"
        elif not first and not ticket.gone and ticket.flavour != "pulse" and chance.random() < 0.08:
            kind, life, ticket.gone = "ticket.deleted", "deleted", True
        elif ticket.gone and chance.random() < 0.5:
            kind, life, ticket.gone = "ticket.upserted", "live", False
            first = True  # comes back as a full record
        elif ticket.gone:
            kind, life = "ticket.updated", ""
        everything = {
            "title": self._title(ticket),
            "description": f"Text of {ticket.key}, version {ticket.number}. " + "words " * chance.choice((1, 20, 120)),
            "status": chance.choice(STATUSES) if ticket.flavour != "pulse" else "open",
            "severity": chance.choice((None, "low", "high")),
            "tags": [f"t{ticket.number}"],
            "email": f"ada{chance.randint(0, 2)}@{'gmail.com' if ticket.flavour == 'free_mail' else 'kiosk.example'}",
        }
        if ticket.flavour == "no_email" or (ticket.flavour == "late_email" and ticket.number < 4):
            everything["email"] = None
        chosen = [name for name in everything if first or chance.random() < 0.6] or ["status"]
        if ticket.flavour == "partial" and ticket.number < 3:
            chosen = [name for name in chosen if name != "title"] or ["status"]
        ticket.number += 1
        fields = {} if life == "deleted" else {name: everything[name] for name in chosen}
        said = Said(ticket.key, (ticket.at_ms, event_us), dict(fields), life, kind == "ticket.created")
        said.full = all(fields.get(name) for name in ("title", "status", "email"))
        if "severity" in said.fields and said.fields["severity"] is None:
            said.fields["severity"] = ""
        if "email" in said.fields and said.fields["email"] is None:
            said.fields["email"] = ""
        if "description" in said.fields:
            said.fields["description"] = said.fields["description"].strip()
        self._say(said)
        ident = self.ident()
        item = {"sourceId": ticket.bare, "updatedAt": iso(ticket.at_ms, 3), **fields}
        stamp = f"{iso(ticket.at_ms)[:-1]}.{event_us % 1_000_000:06d}Z"
        body = {"type": kind, "timestamp": stamp, "data": item}
        return Delivery("/webhooks/generic", ident, json.dumps(body).encode(), [said])

    def pulse(self) -> Delivery:
        """Let a healthy ticket change."""
        ticket = next((one for one in self.tickets if one.flavour == "pulse"), None)
        if ticket is None:
            ticket = Ticket("generic:PULSE", "generic", "PULSE", "pulse", self.tickets[0].at_ms)
            self.tickets.append(ticket)
        return self._generic(ticket)

    def forged(self) -> Delivery:
        """Give a delivery that nobody signed."""
        body = {"type": "ticket.created", "timestamp": iso(0), "data": {"sourceId": "FORGED", "title": "forged"}}
        return Delivery("/webhooks/generic", self.ident(), json.dumps(body).encode(), [], "forged")

    def unreadable(self) -> Delivery:
        """Give an authentic delivery that cannot be read."""
        nameless = b'{"type":"ticket.created","data":{"title":"x"}}'
        body = self.chance.choice((b'{"type": "ticket.crea', b"[1, 2]", nameless))
        return Delivery("/webhooks/generic", self.ident(), body, [], "unreadable")


def lookup(desks: Helpdesks, path: str, ids: list[str]) -> dict[str, Any] | None:
    """Answer a look-up as Zendesk's REST API does; None for another path."""
    if path.endswith("/users/show_many"):
        rows: list[dict[str, Any]] = [
            {"id": int(one), "name": f"Person {one}", "email": desks.people[one].email}
            for one in ids
            if one in desks.people
        ]
        return {"users": rows, "count": len(rows)}
    if path.endswith("/organizations/show_many"):
        known = desks.organizations
        rows = [
            {"id": int(one), "name": one, "domain_names": known[one].domains, "external_id": known[one].external_id}
            for one in ids
            if one in known
        ]
        return {"organizations": rows, "count": len(rows)}
    if path.endswith("/tickets/show_many"):
        found: list[dict[str, Any]] = []
        for ticket in desks.tickets:
            if ticket.bare in ids and ticket.source == "zendesk" and ticket.current:
                detail = ticket.current
                row: dict[str, Any] = {**detail, "id": int(ticket.bare), "status": detail["status"].lower()}
                row["priority"] = (detail["priority"] or "").lower() or None
                for name in ("requester_id", "organization_id", "assignee_id"):
                    row[name] = int(detail[name]) if detail[name] else None
                found.append(row)
        return {"tickets": found, "count": len(found)}
    return None
