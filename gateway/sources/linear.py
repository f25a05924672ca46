"""
Linear: data change webhooks of issues, signed and dated inside the body.

Linear has no requester and no company: a rule has to give both, else a ticket ends in the dead letters. `actor` is who
acted, never a customer. Only `Issue` is read: a comment's text never leaves, and says nothing of the issue's fields.

Source: linear.app/developers/webhooks (documented); linear/linear packages/sdk src/webhooks/client.ts (8335e09,
2026-07-22, recorded); captures of 2023, which lack `identifier` and `actor`; facts of Linear §1-§4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.change import Change
from gateway.errors import UnreadablePayload, VerificationError
from gateway.sources.base import Normalized, Reply
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
    names,
    prose,
    text,
    ticket_id,
    told,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.change import Json, Life
    from gateway.sources.base import Connection, Request, Source

SIGNATURE: Final = "linear-signature"
DELIVERY: Final = "linear-delivery"
MOMENT: Final = ("webhookTimestamp",)
_MS_MAX: Final = 10**14

LIFE: Final[Mapping[str, Life]] = {"create": "live", "restore": "live", "remove": "deleted"}
"""What an action says of the issue's existence; a removed one lies in the trash for a while and may come back."""

PRIORITY: Final = {0: "", 1: "urgent", 2: "high", 3: "medium", 4: "low"}
"""0 is "No priority". Wire: `"priority": 1, "priorityLabel": "Urgent"`."""


class LinearSource(Ordinary):
    """The adapter; see the module."""

    name = "linear"
    signed = "HMAC-SHA256, with a time"

    def verify(self, request: Request, connection: Connection, now_s: float) -> None:
        """
        Prove the signature over the raw body, then its age. The header `Linear-Timestamp` is unsigned and not read.

        Wire: `Linear-Signature: hex(HMAC-SHA256(secret as text, body))`; `"webhookTimestamp": 1792219925336` (ms).
        Raises:
            VerificationError: see `check_body`, `check_body_age`.
        """
        check_body(request, connection, SIGNATURE, algorithm="sha256")
        if connection.auth == "signature":
            check_body_age(request, connection, now_s, MOMENT, _moment_s)

    def delivery_id(self, request: Request, payload: Json) -> str | None:  # noqa: ARG002
        """Give the delivery's UUID; the body holds none."""
        return identifier(request.header(DELIVERY))

    def normalize(self, payload: Json, request: Request, connection: Connection) -> Normalized:  # noqa: ARG002
        """
        Turn an event of an issue into a change.

        Raises:
            UnreadablePayload: `unknown_shape`, `no_ticket_id`, `bad_ticket_id`.
            VerificationError: `account_mismatch`, another workspace.
        """
        kind = mapping(payload).get("type")
        if not isinstance(kind, str):
            raise UnreadablePayload("unknown_shape", "Expected an event of Linear: a JSON object with action and type.")
        if connection.account_id and payload.get("organizationId") != connection.account_id:
            raise VerificationError("account_mismatch")
        if kind != "Issue":
            return Normalized(ignored=f"{kind[:64]} is no issue")
        return Normalized((_change(mapping(payload.get("data")), payload, connection),), lacks=("company",))

    def acknowledge(self, *, stored: bool) -> Reply | None:  # noqa: ARG002
        """Linear asks for 200; another 2xx may count as failed."""
        return Reply(200)


def _moment_s(value: Json) -> float:
    if type(value) is not int or not 0 < value < _MS_MAX:
        raise VerificationError("bad_timestamp")
    return value / 1000


def _change(data: Mapping[str, Json], payload: Mapping[str, Json], connection: Connection) -> Change:
    ticket = ticket_id(data.get("id"), "data.id")
    before, action = mapping(payload.get("updatedFrom")), payload.get("action")
    life = _life(action, data, before)
    event_at_us = instant_us(payload.get("createdAt"))
    updated_at_ms = instant_ms(data.get("updatedAt"))
    # Removing and restoring leave `updatedAt` alone, so then the event's own time counts.
    if event_at_us is not None and (updated_at_ms is None or (life and action != "create")):
        updated_at_ms = max(updated_at_ms or 0, event_at_us // 1000)
    # An empty field is left out of `data`; what it was before shows that it is empty now.
    shown = dict.fromkeys(before) | dict(data)
    fields = {} if life == "deleted" else _fields(shown, payload)
    return Change(
        ticket=connection.prefix + ticket,
        connection=connection.name,
        fields=fields,
        refs={} if life == "deleted" else _refs(shown),
        updated_at_ms=updated_at_ms,
        event_at_us=event_at_us,
        created_at_ms=instant_ms(data.get("createdAt")),
        life=life,
        creation=action == "create" and life != "deleted",
        complete={"title", "status"} <= fields.keys(),
        thin=life != "deleted" and not fields.keys() & {"title", "status"},
    )


def _life(action: Json, data: Mapping[str, Json], before: Mapping[str, Json]) -> Life:
    """Tell the trash from the archive, where finished issues end by themselves and stay what they are."""
    if data.get("trashed") is True:
        return "deleted"
    if data.get("archivedAt"):
        return ""
    if before.get("archivedAt") or before.get("trashed"):
        return "live"
    return LIFE.get(action, "") if isinstance(action, str) else ""


def _fields(shown: Mapping[str, Json], payload: Mapping[str, Json]) -> dict[str, Json]:
    state, assignee = mapping(shown.get("state")), mapping(shown.get("assignee"))
    agent = mail_address(assignee.get("email"))
    fields: dict[str, Json] = {
        "title": told(shown, "title", text),
        "description": told(shown, "description", prose),
        "url": text(payload.get("url")) or text(shown.get("url")) or UNKNOWN,
        "tags": names(shown["labels"]) if "labels" in shown else UNKNOWN,
        "severity": _priority(shown),
        "product": text(mapping(shown.get("team")).get("name")) or UNKNOWN,
        "status": word(state.get("name")) or word(state.get("type")) or UNKNOWN,
        "agentEmail": agent or UNKNOWN,
    }
    return known(fields)


def _priority(shown: Mapping[str, Json]) -> Json:
    """Read the number, which no language changes; a label only where the number is none of ours."""
    number = shown.get("priority")
    if type(number) is int and number in PRIORITY:
        return PRIORITY[number]
    return word(shown.get("priorityLabel")) or UNKNOWN


def _refs(shown: Mapping[str, Json]) -> dict[str, str | None]:
    assignee = mapping(shown.get("assignee")).get("id") or shown.get("assigneeId")
    if not assignee and not shown.keys() & {"assignee", "assigneeId"}:
        return {}
    return {"assignee_id": identifier(assignee)}


SOURCE: Final[Source] = LinearSource()
