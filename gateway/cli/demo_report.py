"""
What the demonstration found: figures counted from answers, Redis and the double, and the journey of one ticket.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.frame import console, instant, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.cli.demo import Answered
    from gateway.cli.demo_plan import Plan

CODES: Final = {"accepted": 202, "duplicate": 200, "refused": 401}


def tell(found: Mapping[str, Any]) -> dict[str, Any]:
    """
    Make a report of what was read back.

    Args:
        found: `plan`, `answered`, `status`, `dead`, `counters`, `log` (the double's), `planhat` (its ticket list).
    Returns:
        What `demo --json` prints; `unexpected` names whatever differs from what the stories say must come of them.
    """
    plan: Plan = found["plan"]
    answered: list[Answered] = found["answered"]
    puts = [row for row in found["log"] if row["method"] == "PUT"]
    held = {row["externalId"]: row for row in found["planhat"]}
    words = [one.word for one in answered]
    return {
        "posted": len(answered),
        "accepted": words.count("accepted"),
        "duplicates": words.count("duplicate"),
        "refused": sum(one.code == 401 for one in answered),
        "tickets": len({one.post.ticket for one in answered if one.code != 401}),
        "calls": len(puts),
        "items": sum(row["items"] for row in puts),
        "in_planhat": len(held),
        "redis_counted": {
            name: count
            for name, count in sorted(found["counters"].items())
            if name in ("deliveries", "duplicates", "changes") or name.startswith("gateway_refused")
        },
        "status": found["status"],
        "dead": found["dead"],
        "journey": _journey(plan, answered, puts, held),
        "unexpected": _unexpected(plan, answered, held, found),
    }


def _journey(
    plan: Plan, answered: list[Answered], puts: list[dict[str, Any]], held: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Follow one ticket from its first delivery to what Planhat shows."""
    own = [one for one in answered if one.post.ticket == plan.told]
    calls = []
    for row in puts:
        items = dict(row.get("pairs") or [])
        if plan.told in items:
            calls.append(
                {
                    "at": _clock(row["at_ms"] / 1000),
                    "items": row["items"],
                    "status": row["status"],
                    "item": items[plan.told],
                }
            )
    newest = 0
    arrived = []
    for one in own:
        late = one.word == "accepted" and 0 < one.post.stamp_ms < newest
        newest = max(newest, one.post.stamp_ms if one.word == "accepted" else 0)
        arrived.append(
            {
                "at": _clock(one.at_s),
                "event": one.post.event,
                "happened": instant(one.post.stamp_ms),
                "status": one.post.status,
                "code": one.code,
                "answer": one.word,
                "out_of_order": late,
            }
        )
    return {"ticket": plan.told, "arrived": arrived, "calls": calls, "planhat": held.get(plan.told)}


def _unexpected(
    plan: Plan, answered: list[Answered], held: Mapping[str, dict[str, Any]], found: Mapping[str, Any]
) -> list[str]:
    """Compare with what the stories say must come of them."""
    wrong = [
        f"{one.post.connection} {one.post.event} of {one.post.ticket}: {one.code} {one.word!r}, not {one.post.expected}"
        for one in answered
        if one.code != CODES[one.post.expected] or one.word != one.post.expected
    ]
    dead = {row["ticket"]: row["reason"] for row in found["dead"]}
    for story in plan.stories:
        row = held.get(story.ticket)
        if story.dead:
            if dead.get(story.ticket) != story.dead:
                wrong.append(f"{story.ticket} should be dead ({story.dead}) and is {dead.get(story.ticket, 'not')}")
        elif row is None:
            wrong.append(f"{story.ticket} is not in Planhat")
        elif (row["status"].lower(), row["email"]) != (story.status, story.email):
            wrong.append(f"{story.ticket} is {row['status']} of {row['email']}, not {story.status} of {story.email}")
        elif story.posts[0].stamp_ms and (seen := tuple(one["status"] for one in row["history"])) != story.history:
            wrong.append(f"{story.ticket} has the history {seen}, not {story.history}")
    wrong += [
        f"{ticket} is dead: {reason}"
        for ticket, reason in dead.items()
        if ticket not in {s.ticket for s in plan.stories if s.dead}
    ]
    wrong += [
        f"Planhat has {ticket}, which nobody told of"
        for ticket in held.keys() - {story.ticket for story in plan.stories}
    ]
    return wrong


def _clock(at_s: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(at_s)) + f".{int(at_s * 1000) % 1000:03d}"


def show(report: Mapping[str, Any]) -> None:
    """Print a report for a person."""
    screen = console()
    journey = report["journey"]
    screen.print(f"\nThe journey of ticket {journey['ticket']}", style="bold")
    table(
        ("arrived", "happened", "event", "shows", "answer", ""),
        [
            (row["at"], row["happened"], row["event"], row["status"], f"{row['code']} {row['answer']}", _remark(row))
            for row in journey["arrived"]
        ],
    )
    taken = sum(row["answer"] == "accepted" for row in journey["arrived"])
    for call in journey["calls"]:
        others = call["items"] - 1
        beside = f", together with {others} other tickets" if others else ""
        screen.print(f"\n{call['at']}  PUT /tickets carried the {taken} of them as one item{beside}: {call['status']}")
    row = journey["planhat"] or {}
    screen.print("\nPlanhat now holds", style="bold")
    names = ("subject", "status", "email", "companyName", "tags", "url")
    table(
        ("", ""),
        [
            (name, ", ".join(row[name]) if isinstance(row.get(name), list) else row.get(name))
            for name in names
            if row.get(name)
        ],
    )
    table(("status history", ""), [(entry["status"], entry["time"]) for entry in row.get("history", [])])
    screen.print("\nIn all", style="bold")
    looked = ", ".join(f"{kind} in {_calls(count)}" for kind, count in sorted(report["lookups"].items())) or "none"
    table(
        ("", ""),
        [
            ("webhooks posted", report["posted"]),
            ("  taken in", f"{report['accepted']}, about {report['tickets']} tickets"),
            ("  duplicates absorbed", report["duplicates"]),
            ("  forged, refused", report["refused"]),
            ("look-ups at the helpdesk", looked),
            ("calls to Planhat", f"{report['calls']}, with {report['items']} items"),
            ("tickets in Planhat", report["in_planhat"]),
            ("dead letters", len(report["dead"])),
            ("still pending", report["status"]["pending"]),
        ],
    )
    for dead in report["dead"]:
        screen.print(f"\nDead letter {dead['id']}: {dead['reason']}", style="bold")
        screen.print(f"  {dead['detail']}")
    screen.print(
        f"\n{report['posted']} deliveries about {report['tickets']} tickets -> {_calls(report['calls'])} to Planhat, "
        f"in {report['seconds']} s"
    )


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"


def _remark(row: Mapping[str, Any]) -> str:
    if row["code"] == 401:
        return "forged: not signed with our secret"
    if row["answer"] == "duplicate":
        return "the same again: no effect"
    return "older than the last: put in its place" if row["out_of_order"] else ""
