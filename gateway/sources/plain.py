"""
Plain: events of threads, each with the whole thread, signed by the workspace and dated inside the body.

A thread is the ticket. Its texts are not in the event (`previewText` is only a beginning), nor is the company. Notes
and messages stand beside the thread and are never read.

Source: www.plain.com/docs/request-signing, docs/webhooks (08d9aa8, 2026-03-17, documented); team-plain/typescript-sdk
src/webhooks/verify.ts and src/tests (88de018, 2026-03-30, recorded); facts of Plain §1, §2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Normalized
from gateway.sources.body_time import check_body_age
from gateway.sources.ordinary import Ordinary, check_body
from gateway.sources.reading import (
    UNKNOWN,
    identifier,
    instant_ms,
    instant_us,
    known,
    mail_address,
    mapping,
    ms_of,
    strings,
    text,
    ticket_id,
    told,
    word,
)
from gateway.sources.signing import iso_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Connection, Request, Source

SIGNATURE: Final = "plain-request-signature"
ATTEMPT: Final = ("webhookMetadata", "webhookDeliveryAttemptTimestamp")
"""Where the signed time stands: that of this attempt, so that a retry after days is as fresh as the first one."""

CREATED: Final = "thread.thread_created"
PRIORITY: Final = {0: "urgent", 1: "high", 2: "normal", 3: "low"}
"""0 is the most urgent, not none. Wire: `"priority": 2`."""

_WORKSPACE: Final = re.compile(r"w_[A-Za-z0-9]{1,60}")
_THREAD: Final = re.compile(r"th_[A-Za-z0-9]{1,60}")


class PlainSource(Ordinary):
    """The adapter; see the module."""

    name = "plain"
    signed = "HMAC-SHA256, with a time"

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:
        """
        Prove the signature over the raw body, then the age of the attempt that the body names.

        Wire: `Plain-Request-Signature: hex(HMAC-SHA256(secret as text, body))`, only sent when the workspace has a
            secret; `"webhookMetadata": {"webhookDeliveryAttemptTimestamp": "2023-10-19T14:12:25.733Z"}`.
        Raises:
            VerificationError: see `check_body`, `check_body_age`.
        """
        check_body(request, connection, SIGNATURE, algorithm="sha256")
        if connection.auth == "signature":
            check_body_age(request, connection, now_s, ATTEMPT, _attempt_s)

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Give the signed id of the event, the same on every attempt."""
        return identifier(mapping(payload).get("id"))

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn an event that shows a thread into a change; `previousThread` is never looked at.

        Raises:
            UnreadablePayload: `unknown_shape`, `no_ticket_id`, `bad_ticket_id`.
            VerificationError: `account_mismatch`, another workspace.
        """
        inner = mapping(payload).get("payload")
        if not isinstance(inner, dict):
            raise UnreadablePayload("unknown_shape", "Expected an event of Plain: a JSON object with type and payload.")
        if connection.account_id and payload.get("workspaceId") != connection.account_id:
            raise VerificationError("account_mismatch")
        kind = payload.get("type") or inner.get("eventType")
        if "thread" not in inner:
            return Normalized(ignored=f"{str(kind)[:64]} shows no thread")
        return Normalized((_change(mapping(inner["thread"]), payload, kind, connection),), lacks=("company",))


def _attempt_s(value: Json) -> float:
    if not isinstance(value, str):
        raise VerificationError("bad_timestamp")
    return iso_s(value)


def _change(thread: Mapping[str, Json], payload: Mapping[str, Json], kind: Json, connection: Connection) -> Change:
    ticket = ticket_id(thread.get("id"), "payload.thread.id")
    customer = mapping(thread.get("customer"))
    # Marking a customer as spam ends all threads, unmarking brings them back: each event shows which it is.
    spam = customer.get("markedAsSpamAt", UNKNOWN)
    life: Life = "" if spam is UNKNOWN else "deleted" if spam else "live"
    fields = {} if life == "deleted" else _fields(thread, customer, _url(ticket, payload.get("workspaceId")))
    event_at_us = instant_us(payload.get("timestamp"))
    updated_at_ms = instant_ms(thread.get("updatedAt"))
    if updated_at_ms is None:
        updated_at_ms = ms_of(event_at_us)
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields,
        refs={} if life == "deleted" else _refs(thread, customer),
        updated_at_ms=updated_at_ms,
        event_at_us=event_at_us,
        created_at_ms=instant_ms(thread.get("createdAt")),
        life=life,
        creation=kind == CREATED and life != "deleted",
        complete={"title", "status"} <= fields.keys(),
        thin=life != "deleted" and not fields.keys() & {"title", "status"},
    )


def _fields(thread: Mapping[str, Json], customer: Mapping[str, Json], url: str | None) -> dict[str, Json]:
    """Read a thread; what stands there as null is known to be empty."""
    email = customer.get("email", UNKNOWN)
    shown = email if isinstance(email, str) else mapping(email).get("email")
    priority = thread.get("priority")
    fields: dict[str, Json] = {
        "title": told(thread, "title", text),
        "url": url or UNKNOWN,
        "tags": _tags(thread["labels"]) if "labels" in thread else UNKNOWN,
        "severity": PRIORITY.get(priority, UNKNOWN) if type(priority) is int else UNKNOWN,
        "status": word(thread.get("status")) or UNKNOWN,
        # A customer of a chat may have no address: known to be empty, so that the ticket is held with its reason.
        "email": UNKNOWN if email is UNKNOWN else mail_address(shown) or "",
        "name": text(customer.get("fullName")) or UNKNOWN,
        "agentEmail": _agent(thread),
    }
    return known(fields)


def _tags(labels: Json) -> Json:
    listed = labels if isinstance(labels, list) else []
    return strings([mapping(mapping(label).get("labelType")).get("name") for label in listed])


def _agent(thread: Mapping[str, Json]) -> Json:
    """Give the assignee's address; "" for nobody and for a machine user, who has none."""
    if "assignee" not in thread:
        return UNKNOWN
    assignee = mapping(thread["assignee"])
    address = mail_address(assignee.get("email")) or mail_address(mapping(assignee.get("user")).get("email"))
    return address or (UNKNOWN if _user_id(assignee) else "")


def _refs(thread: Mapping[str, Json], customer: Mapping[str, Json]) -> dict[str, str | None]:
    refs: dict[str, str | None] = {}
    if customer_id := identifier(customer.get("id")):
        refs["requester_id"] = customer_id
    if "assignee" in thread:
        refs["assignee_id"] = _user_id(mapping(thread["assignee"]))
    return refs


def _user_id(assignee: Mapping[str, Json]) -> str | None:
    """Give a person's id; machine users (`mu_...`) have no address to look up."""
    found = identifier(assignee.get("id") or assignee.get("userId") or mapping(assignee.get("user")).get("id"))
    return found if found and found.startswith("u_") else None


def _url(ticket: str, workspace: Json) -> str | None:
    """Give the page of a thread. Plain sends no link; this is how its own are made."""
    if not isinstance(workspace, str) or not _WORKSPACE.fullmatch(workspace) or not _THREAD.fullmatch(ticket):
        return None
    return f"https://app.plain.com/workspace/{workspace}/thread/{ticket}"


SOURCE: Final[Source] = PlainSource()
