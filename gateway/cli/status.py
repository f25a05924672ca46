"""
`status`, `pause`, `resume`: the bridge at a glance, and the hand on its gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli.frame import emit, json_option, open_store, run, span, table

if TYPE_CHECKING:
    from gateway.store.pending import Pause, Store, View


def why_paused(pause: Pause, now_ms: int) -> str | None:
    """Say in one phrase why nothing is sent; None when it is."""
    if pause.held:
        return f"held by hand: {pause.held}"
    if pause.stopped:
        return f"stopped ({pause.stopped}): {pause.detail}" if pause.detail else f"stopped ({pause.stopped})"
    if pause.until_ms > now_ms:
        return f"{pause.reason or 'paused'}, for {(pause.until_ms - now_ms + 999) // 1000} s more"
    return None


def oldest_pending_s(view: View) -> float:
    """Give the age of the oldest change that may be sent now, seconds; 0 without one."""
    return max(0, view.now_ms - view.oldest_due_ms) / 1000 if view.oldest_due_ms is not None else 0.0


async def figures(store: Store) -> dict[str, Any]:
    """Give what `status --json` prints."""
    view = await store.look(exact=True)
    return {
        "pending": view.pending,
        "leased": view.leased,
        "parked": view.parked,
        "dead": view.dead,
        "quarantined": view.quarantined,
        "paused": why_paused(view.pause, view.now_ms),
        "oldest_pending_s": round(oldest_pending_s(view), 3),
        "calls_last_minute": await store.calls_last_minute(),
    }


@click.command()
@json_option
def status(*, as_json: bool) -> None:
    """
    Count what waits, what is parked, what is dead. Reads REDIS_URL.

    Exit codes: 0 counted; 1 Redis cannot be used; 2 settings are wrong.
    """

    async def work() -> dict[str, Any]:
        async with open_store() as store:
            return await figures(store)

    found = run(work())
    if as_json:
        emit(found)
        return
    explained = {
        "pending": "tickets with something unsent",
        "leased": "of these, held by a worker at this moment",
        "parked": "of these, waiting for a later time (look-ups, retries)",
        "dead": "tickets that cannot be sent: see `planhat-gateway dead list`",
        "quarantined": "deliveries that could not be read: see `planhat-gateway dead list`",
        "paused": "why nothing is sent",
        "oldest_pending_s": "age of the oldest change that is due",
        "calls_last_minute": "calls to Planhat in the last 60 s",
    }
    shown = found | {"paused": found["paused"] or "no", "oldest_pending_s": span(found["oldest_pending_s"])}
    table(("", "", ""), [(name, shown[name], explained[name]) for name in found])


@click.command()
@click.option("--reason", help="Shown by `status`; without it the one of an earlier `pause` stays, else: by hand.")
def pause(reason: str | None) -> None:
    """
    Stop sending to Planhat until `resume`; webhooks are still taken in. Reads REDIS_URL.

    Exit codes: 0 held; 1 Redis cannot be used; 2 settings are wrong.
    """

    async def work() -> None:
        async with open_store() as store:
            await store.hold(reason)

    run(work())
    click.echo("Nothing is sent to Planhat until `planhat-gateway resume`; webhooks are still taken in.")


@click.command()
def resume() -> None:
    """
    Send again: ends a `pause` and a stop after a refusal. A pause that Planhat asked for (429) runs out by itself.

    Exit codes: 0 done; 1 Redis cannot be used; 2 settings are wrong.
    """

    async def work() -> tuple[bool, bool]:
        async with open_store() as store:
            return await store.unhold(), await store.resume()

    held, stopped = run(work())
    ended = [what for what, was in (("the hold", held), ("the stop", stopped)) if was]
    click.echo(f"Ended {' and '.join(ended)}: sending goes on." if ended else "Nothing was held or stopped.")
