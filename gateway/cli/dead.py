"""
`dead`: tickets that could not be sent and deliveries that could not be read; why, and what to do about it.
"""

from __future__ import annotations

import base64
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import click
import orjson

from gateway.cli import Failure, Misuse
from gateway.cli.frame import ago, console, emit, instant, json_option, open_store, plain, run, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.sources.base import Connection
    from gateway.store.pending import DeadRow, Quarantined, Store

WHAT_TO_DO: Final = {
    "missing_email": "Give the requester an e-mail address in the helpdesk, or set the helpdesk's API credentials so "
    "that it is looked up; the ticket's next change then closes this by itself, or replay it.",
    "missing_company": "Give the ticket an organization with a domain or external id that Planhat knows; then "
    "replay it.",
    "incomplete": "Set the helpdesk's API credentials so that the whole ticket is read, or let the webhook send "
    "title, status and e-mail; then replay it.",
    "no_credentials": "Set the helpdesk's API credentials, if the source has look-ups: a worker that starts with them "
    "replays this by itself. Else let the sender give what is missing: the ticket's next change then closes this.",
    "not_found": "The helpdesk has no such ticket: discard this, unless the credentials belong to another account.",
    "too_large": "Shorten the ticket, or raise BATCH_MAX_BYTES, then replay it.",
    "refused": "Read Planhat's words above, change the ticket (or Planhat's settings), then replay it.",
    "unconfirmed": "Look whether Planhat has the ticket (`planhat-gateway tickets list`); replay it when it has not.",
    "damaged": "This release cannot read the change: update the gateway, then replay it.",
}
FOR_DELIVERIES: Final = (
    "Mend what reads it (the field map of its connection, its settings, or the gateway by an update), then replay it: "
    "the body is kept as it came and is read anew. Changing what the helpdesk sends mends only what comes after; "
    "discard this when nobody can read it."
)
OTHERWISE: Final = "Mend what the reason says, then replay it; discard it when it is not wanted."


@click.group("dead")
def dead() -> None:
    """
    What could not be sent (tickets) or read (deliveries). All commands read REDIS_URL.

    Exit codes: 0 done; 1 something stays as it was, or Redis cannot be used; 2 wrong usage or settings.
    """


@dead.command("list", short_help="List both, newest first.")
@click.option("--reason", help="Only those with this reason.")
@click.option("--kind", type=click.Choice(["ticket", "delivery"]), help="Only tickets, or only deliveries.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many, newest first.")
@json_option
def list_(reason: str | None, kind: str | None, limit: int, *, as_json: bool) -> None:
    """List dead letters and quarantined deliveries, newest first."""

    async def work() -> list[DeadRow]:
        async with open_store() as store:
            return await rows_of(store, kind=kind, reason=reason, limit=limit)

    rows = run(work())
    if not rows:
        click.echo(run(none_there(kind=kind, reason=reason)), err=as_json)
    if as_json:
        emit([shown(row) for row in rows])
        return
    if not rows:
        return
    table(
        ("id", "kind", "reason", "since", "detail"),
        [(row.id, row.kind, row.reason, ago(row.at_ms), row.detail) for row in rows],
    )


async def rows_of(
    store: Store, *, kind: str | None = None, reason: str | None = None, limit: int | None = None
) -> list[DeadRow]:
    """Give dead letters and quarantined deliveries, newest first."""
    return await store.dead_letters(
        kind="ticket" if kind == "ticket" else "delivery" if kind else None, reason=reason, limit=limit
    )


async def none_there(*, kind: str | None = None, reason: str | None = None) -> str:
    """Say that nothing was found, and what there is of other kinds and reasons."""
    async with open_store() as store:
        rows = await rows_of(store)
    if not rows:
        return "Nothing is dead and nothing is quarantined."
    names = {"tickets": "ticket", "deliveries": "delivery"}
    counted = {name: Counter(row.reason for row in rows if row.kind == one) for name, one in names.items()}
    there = " and ".join(
        f"{name} ({', '.join(f'{why} {count}' for why, count in whys.most_common())})"
        for name, whys in counted.items()
        if whys
    )
    wanted = " and ".join(
        (*([f"is a {kind}"] if kind else []), *([f"has reason {reason}"] if reason is not None else []))
    )
    return plain(f"None of the {len(rows)} {wanted}: there are {there}.")


def shown(row: DeadRow) -> dict[str, Any]:
    """Give a row as `dead list --json` prints it."""
    return {
        "id": row.id,
        "kind": row.kind,
        "ticket": row.ticket or None,
        "reason": row.reason,
        "detail": row.detail,
        "at": instant(row.at_ms),
    }


@dead.command("show", short_help="Print all that is kept under an id, and what to do.")
@click.argument("ident", metavar="ID")
@json_option
def show(ident: str, *, as_json: bool) -> None:
    """Print everything that is kept under ID, and what to do about it."""

    async def work() -> dict[str, Any] | None:
        async with open_store() as store:
            return await store.show(ident)

    found = run(work())
    if found is None:
        raise Failure(f"Nothing dead or quarantined has the id {ident!r}: see `planhat-gateway dead list`.")
    full = _full(found)
    if as_json:
        emit(full)
        return
    screen = console()
    apart = ("fields", "body", "headers", "do")
    table(("", ""), [(name, value) for name, value in full.items() if name not in apart and value not in ("", [])])
    for part in ("headers", "fields"):
        if full.get(part):
            table((part, ""), dict(full[part]).items())
    if "body" in full:
        screen.print("body", style="bold")
        click.echo(plain(full["body"], 100_000))  # as it came: a line broken for the screen could not be copied
    screen.print(f"\nWhat to do: {full['do']}")


def _full(found: dict[str, Any]) -> dict[str, Any]:
    """Make what the bridge keeps readable: a ticket's fields, a delivery's body."""
    from gateway.core.change import UnknownFrame
    from gateway.core.part import read

    full = {name: found[name] for name in ("id", "kind", "ticket", "connection", "reason", "detail") if found.get(name)}
    full["at"] = instant(found["at_ms"])
    if found["kind"] == "ticket":
        try:
            part = read(base64.b64decode(found["frames"]))
        except UnknownFrame as error:
            full["unreadable"] = str(error)
        else:
            full["fields"] = dict(sorted(part.values.items()))
            full["seen"] = [f"{one.status} {instant(one.at_ms)}" for one in sorted(part.sightings)]
        full["do"] = WHAT_TO_DO.get(found["reason"], OTHERWISE)
    else:
        full |= {"method": found["method"], "query": found["query"] or "", "headers": found["headers"] or []}
        full["body"] = base64.b64decode(found["body"]).decode("utf-8", "replace")
        full["do"] = FOR_DELIVERIES
    return full


@dataclass(slots=True)
class Replayed:
    """
    What a replay came to.

    stayed: id -> why it is still where it was.
    """

    tickets: int = 0
    deliveries: int = 0
    ignored: int = 0
    stayed: dict[str, str] = field(default_factory=dict)


@dead.command("replay", short_help="Send dead letters again; read deliveries again.")
@click.argument("idents", metavar="[ID]...", nargs=-1)
@click.option("--reason", help="Everything with this reason.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@json_option
def replay(idents: tuple[str, ...], reason: str | None, *, everything: bool, as_json: bool) -> None:
    """
    Send dead letters again; read quarantined deliveries again, with today's code and settings.

    A delivery that still cannot be read stays where it is, and the reason is said. Nothing is sent twice: a replayed
    change joins its ticket, and what is older than what Planhat has changes nothing.
    """

    async def work() -> Replayed | None:
        async with open_store() as store:
            chosen = await _chosen(store, idents, reason, everything=everything)
            return None if not chosen else await replayed(store, chosen, named=bool(idents))

    came = run(work())
    if came is None:
        click.echo(run(none_there(reason=reason)), err=as_json)
        if not as_json:
            return
        came = Replayed()
    said = {"tickets": came.tickets, "deliveries": came.deliveries, "ignored": came.ignored, "stayed": came.stayed}
    if as_json:
        emit(said)
    else:
        click.echo(f"Replayed: tickets {came.tickets}, deliveries {came.deliveries}; a running worker sends them.")
        if came.ignored:
            click.echo(f"Deliveries that mean nothing for tickets with today's code, closed: {came.ignored}.")
        for ident, why in came.stayed.items():
            click.echo(f"{plain(ident)} stays: {plain(why)}", err=True)
    if came.stayed:
        raise click.exceptions.Exit(1)


async def _chosen(store: Store, idents: Sequence[str], reason: str | None, *, everything: bool) -> list[str]:
    """Give the ids that are meant by ids, by a reason or by --all; exactly one of these."""
    if sum((bool(idents), reason is not None, everything)) != 1:
        raise Misuse("Give ids, or --reason REASON, or --all: one of the three.")
    if idents:
        return list(dict.fromkeys(idents))
    return [row.id for row in await rows_of(store, reason=reason)]


async def replayed(store: Store, idents: Sequence[str], *, named: bool) -> Replayed:
    """
    Replay tickets and deliveries by their ids.

    Args:
        named: a person gave the ids, so each that is not there is told of; else they were just listed.
    """
    from gateway.store.dead_letters import is_quarantine_id

    came = Replayed()
    tickets = [ident for ident in idents if not is_quarantine_id(ident)]
    for part in [[ident] for ident in tickets] if named else [tickets]:
        count = await store.replay_tickets(part)
        came.tickets += count
        if named and not count:
            came.stayed[part[0]] = "there is no dead letter of that id"
    deliveries = [ident for ident in idents if is_quarantine_id(ident)]
    connections = _connections() if deliveries else {}
    for ident in deliveries:
        kept = await store.quarantined(ident)
        why = "there is no quarantined delivery of that id" if kept is None else await _reread(store, kept, connections)
        if why == "":
            came.deliveries += 1
        elif why == "ignored":
            came.ignored += 1
        else:
            came.stayed[ident] = why
            continue
        await store.close_quarantined([ident])
    return came


def _connections() -> dict[str, Connection]:
    """Give the connections as they are configured now."""
    from gateway.settings import from_process

    return {connection.name: connection for connection in from_process().connections}


async def _reread(store: Store, kept: Quarantined, connections: dict[str, Connection]) -> str:
    """
    Read a quarantined delivery anew and put it past the duplicate check; "" when stored, "ignored", or why not.

    It goes where its connection feeds now.
    """
    from gateway.errors import UnreadablePayload, VerificationError
    from gateway.ingest.gate import understood
    from gateway.sources import SOURCES
    from gateway.sources.base import Request
    from gateway.store.pending import Delivery, Store

    connection = connections.get(kept.connection)
    if connection is None:
        return (
            f"its connection {kept.connection!r} is not configured now: set {kept.connection.upper()}_WEBHOOK_SECRET, "
            "or name it in the configuration file"
        )
    source = SOURCES[connection.source]
    request = Request(kept.method, kept.headers, kept.query, kept.body)
    try:
        normalized = understood(source, source.parse(request), request, connection)
    except UnreadablePayload as error:
        return f"still unreadable: {error}"
    except VerificationError as error:
        return f"refused now: {error.reason}"
    except Exception as error:  # noqa: BLE001  an adapter's defect must not end the replay of the others
        return f"still unreadable: this release fails on it ({type(error).__name__})"
    payloads = tuple((change.ticket, change.encode()) for change in normalized.changes)
    if not payloads:
        return "ignored"
    await Store(store.redis, connection.destination, limits=store.limits).put([Delivery(None, payloads)])
    return ""


@dead.command("discard", short_help="Remove for good.")
@click.argument("idents", metavar="[ID]...", nargs=-1)
@click.option("--reason", help="Everything with this reason.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def discard(idents: tuple[str, ...], reason: str | None, *, everything: bool, yes: bool) -> None:
    """Remove dead letters and quarantined deliveries for good."""

    async def choose() -> list[str]:
        async with open_store() as store:
            return await _chosen(store, idents, reason, everything=everything)

    async def work(chosen: list[str]) -> int:
        async with open_store() as store:
            return await store.discard(chosen)

    chosen = run(choose())
    if not chosen:
        click.echo(f"There is nothing to discard. {run(none_there(reason=reason))}")
        return
    if not yes:
        click.confirm(f"Remove {len(chosen)} for good? What they hold is lost", abort=True)
    count = run(work(chosen))
    click.echo(f"Removed {count}.")
    if count < len(chosen):
        raise Failure(f"{len(chosen) - count} of the ids were not there: see `planhat-gateway dead list`.")


@dead.command("export", short_help="Write everything as JSON lines; removes nothing.")
@click.option("--output", type=click.Path(dir_okay=False, writable=True), help="A file; stdout when it is left out.")
@click.option("--reason", help="Only those with this reason.")
def export(output: str | None, reason: str | None) -> None:
    """Write everything as JSON lines, one dead letter or delivery each, with all it holds. Removes nothing."""

    async def work(out: BinaryIO) -> int:
        count = 0
        with out:
            async with open_store() as store:
                for row in await rows_of(store, reason=reason):
                    found = await store.show(row.id)
                    if found is not None:
                        out.write(orjson.dumps(_full(found)) + b"\n")
                        count += 1
        return count

    try:
        out = cast("BinaryIO", click.open_file(output or "-", "wb"))
    except OSError as error:
        raise Failure(f"{output} cannot be written ({error.strerror}): give another --output.") from error
    count = run(work(out))
    sys.stderr.write(f"{count} written\n")
    if not count:
        click.echo(run(none_there(reason=reason)), err=True)
