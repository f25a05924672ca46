"""
`map try`: what a webhook body becomes. No signature, no Redis, no token; nothing is sent.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click
import orjson

from gateway.cli import Misuse
from gateway.cli.frame import config_file, console, emit, json_option, plain, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.core.change import Change, Json
    from gateway.core.placing import Placing
    from gateway.sources.base import Connection, Normalized, OnDelete, Request

NEW_STATUS: Final = {
    "ticket": "one ticket changes",
    "tickets": "several tickets change",
    "delete": "gone",
    "ignored": "authentic, nothing to do",
    "handshake": "the sender asks whether we are here",
    "unreadable": "would be kept whole in quarantine",
}


LOOKED_UP: Final = frozenset(
    {
        "zendesk",
        "freshdesk",
        "freshservice",
        "jira_service_management",
        "intercom",
        "hubspot",
        "kustomer",
        "pylon",
        "front",
        "help_scout",
        "salesforce",
    }
)
"""Sources that the far bank can ask, `workers.helpdesks.CLIENTS`; held equal by tests/cli/test_map_try.py."""


@click.group("map")
def map_() -> None:
    """Show what a webhook body becomes."""


@map_.command("try", short_help="Show what the bodies in files become; sends nothing.")
@click.argument("connection")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--headers",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON object of header names and values, as the sender sends them.",
)
@click.option("--method", default="POST", show_default=True, help="HTTP method.")
@json_option
def try_(connection: str, files: tuple[Path, ...], headers: Path | None, method: str, *, as_json: bool) -> None:
    """
    Show what the bodies in FILES become when CONNECTION (of the configuration file, or a source's name) gets them.

    One line per file with --json. With GATEWAY_CONFIG it also says which rule decided what, and what would happen to
    each ticket. Needs no signature, Redis or token and sends nothing. <SOURCE>_ON_DELETE and the
    subdomain are used when they are set, and so is <SOURCE>_SOURCE_ID_PREFIX: without it ids are shown bare, while the
    gateway puts `CONNECTION:` before them.

    Exit codes: 0 whatever a body becomes; 2 for an unknown connection or an unreadable --headers file.
    """
    made = connection_named(connection)
    sent = _headers(headers) if headers else ()
    for path in files:
        from gateway.sources.base import Request

        said = {"file": str(path)} | tried(Request(method.upper(), sent, "", path.read_bytes()), made)
        if as_json:
            emit(said)
        else:
            _show(said, made.source)


def connection_named(name: str) -> Connection:
    """
    Make a connection that can map but not verify; without a configuration file's, its prefix is empty unless set.

    Raises:
        Misuse: no connection and no source has that name, or the configuration file is wrong.
    """
    from gateway.connections import connection_for_trial
    from gateway.sources import SOURCES
    from gateway.sources.base import Connection

    file = config_file()
    if file and name in file.connections:
        return connection_for_trial(file, name)
    if name not in SOURCES:
        known = [*(file.connections if file else ()), *SOURCES]
        raise Misuse(f"There is no connection {name!r}: known are {', '.join(known)}.")
    upper = name.upper()
    wish = os.environ.get(f"{upper}_ON_DELETE", "delete").strip().lower() or "delete"
    if wish not in ("delete", "close", "ignore"):
        raise Misuse(f"{upper}_ON_DELETE must be one of delete, close, ignore.")
    subdomain = os.environ.get(f"{upper}_SUBDOMAIN", "") or os.environ.get(f"{upper}_DOMAIN", "")
    return Connection(
        name=name,
        source=name,
        secrets=(),
        on_delete=cast("OnDelete", wish),
        prefix=os.environ.get(f"{upper}_SOURCE_ID_PREFIX", "").strip(),
        subdomain=subdomain.strip() or None,
    )


def _headers(path: Path) -> tuple[tuple[str, str], ...]:
    try:
        read = orjson.loads(path.read_bytes())
    except ValueError as error:
        raise Misuse(f"{path} is not JSON: {error}. Give one object of header names and values.") from error
    if not isinstance(read, dict):
        raise Misuse(f"{path} must hold one JSON object of header names and values.")
    return tuple((name.lower(), value if isinstance(value, str) else str(value)) for name, value in read.items())


def tried(request: Request, connection: Connection) -> dict[str, Any]:
    """
    Say what a request would become if it were authentic.

    Returns:
        `outcome`, `reason`, `tickets`, `deleted`, `needs_lookup`, as `map try --json` prints them.
    """
    from gateway.errors import UnreadablePayload
    from gateway.ingest.gate import on_delete
    from gateway.rules import Rules
    from gateway.sources import SOURCES

    source = SOURCES[connection.source]
    if request.method != "POST":
        if request.method in source.methods and source.handshake(request, connection) is not None:
            return _said("handshake")
        return _said("unreadable", f"method_not_allowed: {request.method} is no handshake of {source.name}")
    media = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if media and media not in source.content_types:
        return _said(
            "unreadable", f"unsupported_content_type: {media}; {source.name} sends {', '.join(source.content_types)}"
        )
    if source.handshake(request, connection) is not None:
        return _said("handshake")
    notes: list[str] = []
    more: dict[str, Any] = {} if connection.rules is None else {"decided": notes}
    try:
        payload = source.parse(request)
        if isinstance(connection.rules, Rules):
            normalized = connection.rules.normalize(source, payload, request, connection, notes.append)
        else:
            normalized = source.normalize(payload, request, connection)
    except UnreadablePayload as error:
        return _said("unreadable", str(error), **more)
    normalized = on_delete(normalized, connection)
    said = _outcome(normalized)
    if os.environ.get("GATEWAY_CONFIG", "").strip():
        ends = fates(normalized, connection)
        more["fates"] = {ticket: end.sentence for ticket, end in ends.items()}
        notes += (end.why for end in ends.values() if end.why)
        more |= {"decided": notes} if notes else {}
        said["tickets"] = [_placed(row, ends[row["sourceId"]]) for row in said["tickets"]]
    return said | more


@dataclass(frozen=True, slots=True)
class Fate:
    """
    What would become of a ticket.

    sentence: what would happen to it.
    company: the company fields of its item, None for a deletion.
    why: which company rule decided them, "" when none did.
    """

    sentence: str
    company: Mapping[str, Json] | None = None
    why: str = ""


def _placed(row: dict[str, Json], fate: Fate) -> dict[str, Json]:
    """Lay the company fields that are sent over those that the body gave."""
    from gateway.core.placing import PLACES

    if fate.company is None:
        return row
    return {name: value for name, value in row.items() if name not in PLACES} | dict(fate.company)


def fates(normalized: Normalized, connection: Connection) -> dict[str, Fate]:
    """Say what would become of each ticket of a body, were it the first that is heard of it, by ticket."""
    from gateway.core.change import frame
    from gateway.core.fold import fold
    from gateway.core.lookups import Found, wants, wants_reread
    from gateway.core.part import read
    from gateway.core.placing import ORDINARY, PLACES
    from gateway.core.ticket import REASONS, make_item, screen
    from gateway.rules import placing_of, placing_with

    file = config_file()
    row = file.connections.get(connection.name, {}) if file else {}
    placing = placing_of(row, placing_with(file.free_mail if file else {}))
    looks_up = "api" in row if row else _has_credentials(connection.source)
    told: dict[str, Fate] = {}
    frames: dict[str, list[bytes]] = {}
    now_us = 1 + max((change.updated_at_ms or 0 for change in normalized.changes), default=0) * 1000
    for at, change in enumerate(normalized.changes):
        frames.setdefault(change.ticket, []).append(frame(change.encode(), now_us + at))
    for ticket, parts in frames.items():
        folded = fold(None, read(b"".join(parts)))
        if folded.action == "delete":
            told[ticket] = Fate("deleted in Planhat")
            continue
        wanted = sorted({want.kind for want in wants(folded)})
        item = make_item(folded, Found(), ticket=ticket, source=connection.source, placing=placing)
        if wants_reread(folded) and looks_up:
            sentence = "read from the helpdesk first: the body alone is not enough"
        elif wants_reread(folded) and not folded.part.fields:
            sentence = f"buried as no_credentials: {REASONS['no_credentials']}"
        elif wanted and looks_up:
            sentence = f"looked up in the helpdesk first: {', '.join(wanted)}"
        elif reason := screen(folded, item, max_bytes=1 << 24):
            sentence = f"buried as {reason}: {REASONS[reason]}"
        elif placing.resolve and item.kept.get("companyExternalId"):
            sentence = "sent when its company stands in Planhat's company list, and waits until then"
        else:
            sentence = "sent"
        company = {name: value for name in PLACES if (value := item.kept.get(name))}
        told[ticket] = Fate(sentence, company, "" if placing == ORDINARY else _why(ticket, company, placing))
    return told


def _why(ticket: str, company: Mapping[str, Json], placing: Placing) -> str:
    """Say which company rule gave a ticket its company."""
    shown = ", ".join(f"{name} {plain(value)}" for name, value in company.items()) or "in no company"
    if placing.external_id or placing.company_id:
        rule = "external_id" if placing.external_id else "id"
        return f"company: {ticket} is {shown}, by company.{rule}, whatever the body says"
    left = [name for name, wanted in (("external_id", placing.by_external_id), ("domain", placing.by_domain)) if wanted]
    resolved = "; companyId is looked up in Planhat's list" if placing.resolve else ""
    return f"company: {ticket} is {shown}, by {' and '.join(left)}{resolved}"


def _has_credentials(source: str) -> bool:
    """Say whether variables switch look-ups on; their values are the far bank's."""
    endings = ("API_TOKEN", "API_KEY", "API_CLIENT_SECRET")
    return any(os.environ.get(f"{source.upper()}_{ending}", "").strip() for ending in endings)


def _said(outcome: str, reason: str = "", **more: Any) -> dict[str, Any]:
    return {"outcome": outcome, "reason": reason, "tickets": [], "deleted": [], "needs_lookup": []} | more


def _outcome(normalized: Normalized) -> dict[str, Any]:
    from gateway.sources.base import NEEDS, needs_lookup

    by_ticket: dict[str, list[Change]] = {}
    for change in normalized.changes:
        by_ticket.setdefault(change.ticket, []).append(change)
    if not by_ticket:
        return _said("ignored", normalized.ignored or "nothing for tickets")
    merged = [_merged(changes) for changes in by_ticket.values()]
    live = [change for change in merged if not _gone(change)]
    needs = {word for change in live for word in needs_lookup(change, normalized.lacks)}
    return _said(
        "delete" if not live else "ticket" if len(live) == 1 else "tickets",
        tickets=[_row(change) for change in merged],
        deleted=[change.ticket for change in merged if _gone(change)],
        needs_lookup=[word for word in NEEDS if word in needs],
    )


def _gone(change: Change) -> bool:
    return change.life in ("deleted", "purged")


def _merged(changes: list[Change]) -> Change:
    """Say in one change what several of one body say of a ticket, by the same join that the workers use."""
    from gateway.core.change import Change, decode_fresh
    from gateway.core.part import join_all, part_of

    if len(changes) == 1:
        return changes[0]
    newest_ms = _last(change.updated_at_ms for change in changes) or 0  # arrival: no stamp may seem to be of the future
    part = join_all(
        part_of(decode_fresh(change.encode()), newest_ms * 1000 + at) for at, change in enumerate(changes, 1)
    )
    return Change(
        ticket=changes[0].ticket,
        connection=changes[0].connection,
        fields=part.fields,
        refs={name[1:]: value for name, value in part.values.items() if name[0] == "@"},
        updated_at_ms=newest_ms or None,
        created_at_ms=part.created_at_ms,
        life=part.life[1] if part.life else "",
        thin=part.thin_us > 0,
    )


def _last(times: Iterable[int | None]) -> int | None:
    return max((at for at in times if at is not None), default=None)


def _row(change: Change) -> dict[str, Json]:
    from gateway.core.history import instant

    row: dict[str, Json] = {"sourceId": change.ticket}
    if not _gone(change):
        row |= change.fields
    for name, at_ms in (("createdAt", change.created_at_ms), ("updatedAt", change.updated_at_ms)):
        if at_ms is not None:
            row[name] = instant(at_ms)
    return row


def _show(said: Mapping[str, Any], source: str) -> None:
    screen = console()
    screen.print(f"{said['file']}: {said['outcome']}, {NEW_STATUS[said['outcome']]}", style="bold")
    if said["reason"]:
        screen.print(f"  {plain(said['reason'])}")
    for row in said["tickets"]:
        gone = row["sourceId"] in said["deleted"]
        table(("field", "becomes"), [*row.items(), *([("(ticket)", "deleted")] if gone else [])])
    for note in said.get("decided", ()):
        if note != said["reason"]:
            screen.print(f"  {plain(note)}", style="cyan")
    for ticket, fate in said.get("fates", {}).items():
        screen.print(f"  {plain(ticket)} would be {plain(fate)}")
    if said["needs_lookup"]:
        screen.print(f"  {_lacking(said, source)}: {', '.join(said['needs_lookup'])}")


def _lacking(said: Mapping[str, Any], source: str) -> str:
    """Say who must give what the body does not tell."""
    if source not in LOOKED_UP:
        return f"not in the body, and {source} has no look-ups, so the sender must give it"
    ends = [end for ticket, end in said.get("fates", {}).items() if ticket not in said["deleted"]]
    if ends and not any(end.startswith(("looked up", "read from")) for end in ends):
        return "not in the body and not looked up: the body must tell it, or its id where API credentials are set"
    return "to be looked up in the helpdesk"
