"""
A Zendesk made of plain Python: it makes tickets change, signs webhooks, answers look-ups, and knows the truth.

Shapes after developer.zendesk.com: webhook event schemas, `show_many` of users, organizations and tickets.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    import random

STATUSES = ("NEW", "OPEN", "PENDING", "HOLD", "SOLVED")
SECOND = 1000


def iso(at_ms: int) -> str:
    """Write a time as Zendesk does: whole seconds."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Version:
    """One state of a ticket: its number, time (ms) and the event's `detail`."""

    number: int
    at_ms: int
    detail: dict[str, Any]


@dataclass
class Ticket:
    """A ticket of the helpdesk: every version it ever had."""

    id: str
    requester_id: str
    versions: list[Version] = field(default_factory=list)
    deleted_at_ms: int | None = None


@dataclass
class Delivery:
    """One webhook to send: its body and what it is about."""

    ticket: str
    version: int
    body: bytes


class Helpdesk:
    """Tickets, people, organizations; makes deliveries out of a seeded random."""

    def __init__(self, random: random.Random, tickets: int, *, now_ms: int, without_email: int = 3) -> None:
        self.random = random
        self.now_ms = now_ms
        self.organizations = {
            str(7000 + n): {
                "id": 7000 + n,
                "name": f"Org {n}",
                "domain_names": [f"org{n}.example"],
                "external_id": f"x-{n}",
            }
            for n in range(20)
        }
        self.users = {
            str(9000 + n): {"id": 9000 + n, "name": f"Person {n}", "email": f"person{n}@org{n % 20}.example"}
            for n in range(60)
        }
        for n in range(without_email):
            self.users[str(9900 + n)] = {"id": 9900 + n, "name": f"Phone caller {n}", "email": None}
        self.tickets = {}
        people = sorted(self.users)
        for n in range(tickets):
            requester = str(9900 + n) if n < without_email else random.choice(people[:60])
            self.tickets[str(100 + n)] = Ticket(str(100 + n), requester)
        self.lookups = 0
        self.failing = False
        self.refused = 0

    def new_person(self) -> str:
        """Let somebody become a customer; gives the id."""
        number = 20_000 + len(self.users)
        self.users[str(number)] = {
            "id": number,
            "name": f"Newcomer {number}",
            "email": f"newcomer{number}@org{number % 20}.example",
        }
        return str(number)

    def change(self, ticket: Ticket, mark: str = "") -> Delivery:
        """Give a ticket its next version, and the webhook that tells it; `mark` stands in the subject."""
        number = len(ticket.versions)
        at_ms = self.now_ms - 3_000 * SECOND + number * self.random.randint(2, 20) * SECOND
        if ticket.versions:
            at_ms = ticket.versions[-1].at_ms + self.random.randint(1, 20) * SECOND
        status = "NEW" if number == 0 else self.random.choice(STATUSES)
        detail = {
            "actor_id": ticket.requester_id,
            "assignee_id": self.random.choice([None, "9001", "9002"]),
            "brand_id": "77",
            "created_at": iso(ticket.versions[0].at_ms if ticket.versions else at_ms),
            "custom_status": "501",
            "description": f"Description of {ticket.id}, version {number}",
            "external_id": None,
            "form_id": "12",
            "group_id": "34",
            "id": ticket.id,
            "is_public": True,
            "organization_id": str(7000 + int(ticket.id) % 20),
            "priority": self.random.choice([None, "LOW", "NORMAL", "HIGH", "URGENT"]),
            "requester_id": ticket.requester_id,
            "status": status,
            "subject": f"Ticket {ticket.id} {mark}v{number}",
            "submitter_id": ticket.requester_id,
            "tags": self.random.sample(["export", "billing", "sso", "vip"], k=self.random.randint(0, 3)),
            "type": self.random.choice([None, "QUESTION", "PROBLEM"]),
            "updated_at": iso(at_ms),
            "via": {"channel": "web_form"},
        }
        if ticket.versions:  # of older versions only the status counts any more: a long run keeps many
            ticket.versions[-1].detail = {"status": ticket.versions[-1].detail["status"]}
        ticket.versions.append(Version(number, at_ms, detail))
        word = "created" if number == 0 else self.random.choice(["status_changed", "comment_added", "tags_changed"])
        return self.tell(ticket, word, number, at_ms, detail)

    def delete(self, ticket: Ticket) -> Delivery:
        """Put a ticket into the trash."""
        at_ms = ticket.versions[-1].at_ms + 5 * SECOND
        ticket.deleted_at_ms = at_ms
        detail = {**ticket.versions[-1].detail, "status": "DELETED", "updated_at": iso(at_ms)}
        return self.tell(ticket, "soft_deleted", len(ticket.versions), at_ms, detail)

    def tell(self, ticket: Ticket, word: str, number: int, at_ms: int, detail: dict[str, Any]) -> Delivery:
        """Write the webhook of an event."""
        nanoseconds = self.random.randint(0, 999_999_999)
        event_id = hashlib.md5(f"{ticket.id}-{number}-{word}".encode(), usedforsecurity=False).hexdigest()
        body = {
            "account_id": 31415926,
            "detail": detail,
            "event": {"meta": {"sequence": {"id": event_id[:26].upper(), "position": 1}}},
            "id": f"{event_id[:8]}-{event_id[8:12]}-{event_id[12:16]}-{event_id[16:20]}-{event_id[20:]}",
            "subject": f"zen:ticket:{ticket.id}",
            "time": f"{iso(at_ms)[:-1]}.{nanoseconds:09d}Z",
            "type": f"zen:event-type:ticket.{word}",
            "zendesk_event_version": "2022-11-06",
        }
        return Delivery(ticket.id, number, json.dumps(body).encode())

    def row(self, ticket: Ticket) -> dict[str, Any]:
        """Give a ticket as `tickets/show_many` does: the newest version, in the words of the REST API."""
        last = ticket.versions[-1]
        words = {name: (last.detail[name] or "").lower() or None for name in ("status", "priority", "type")}
        if ticket.deleted_at_ms is not None:
            words["status"] = "deleted"
        kept = ("subject", "description", "tags", "is_public", "requester_id", "organization_id", "assignee_id")
        times = {"created_at": iso(ticket.versions[0].at_ms), "updated_at": iso(ticket.deleted_at_ms or last.at_ms)}
        return {"id": int(ticket.id), **{name: last.detail[name] for name in kept}, **words, **times}

    def expected(self, ticket: Ticket) -> dict[str, Any] | None:
        """Give what Planhat must hold of a ticket; None when it must hold nothing."""
        user = self.users[ticket.requester_id]
        if ticket.deleted_at_ms is not None or user["email"] is None:
            return None
        last = ticket.versions[-1].detail
        organization = self.organizations[last["organization_id"]]
        agent = self.users[last["assignee_id"]]["email"] if last["assignee_id"] else None
        history: list[dict[str, str]] = []
        for version in ticket.versions:
            status = version.detail["status"].lower()
            if not history or history[-1]["status"] != status:
                history.append({"status": status, "time": iso(version.at_ms)})
        return {
            "sourceId": f"zendesk:{ticket.id}",
            "source": "zendesk",
            "title": last["subject"],
            "description": last["description"],
            "status": last["status"].lower(),
            "severity": (last["priority"] or "").lower(),
            "type": (last["type"] or "").lower(),
            "tags": sorted(last["tags"]),
            "email": user["email"],
            "name": user["name"],
            "agentEmail": agent,
            "domains": organization["domain_names"],
            "companyExternalId": organization["external_id"],
            "url": f"https://lumen.zendesk.com/agent/tickets/{ticket.id}",
            "history": history,
        }


def sign(secret: str, body: bytes, at_ms: int) -> dict[str, str]:
    """Sign as Zendesk does: base64(HMAC-SHA256(secret, timestamp + body))."""
    timestamp = iso(at_ms)
    digest = hmac.new(secret.encode(), timestamp.encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Zendesk Webhook",
        "X-Zendesk-Webhook-Signature": base64.b64encode(digest).decode(),
        "X-Zendesk-Webhook-Signature-Timestamp": timestamp,
    }


def serve_lookups(helpdesk: Helpdesk) -> ThreadingHTTPServer:
    """Answer `users|organizations|tickets/show_many` on a free loopback port, in a thread."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            helpdesk.lookups += 1
            if helpdesk.failing:
                helpdesk.refused += 1
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            url = urlsplit(self.path)
            ids = parse_qs(url.query).get("ids", [""])[0].split(",")
            if url.path.endswith("/users/show_many") or url.path.endswith("/users/show_many.json"):
                answer = {"users": [helpdesk.users[one] for one in ids if one in helpdesk.users]}
            elif "/organizations/show_many" in url.path:
                known = helpdesk.organizations
                answer = {"organizations": [known[one] for one in ids if one in known]}
            elif "/tickets/show_many" in url.path:
                there = [helpdesk.tickets[one] for one in ids if one in helpdesk.tickets]
                answer = {"tickets": [helpdesk.row(one) for one in there if one.versions]}
            else:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = json.dumps({**answer, "count": len(ids)}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
