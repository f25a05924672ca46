"""
`demo`: real processes on an embedded Redis.

Webhooks are signed and posted, tickets arrive in a double of Planhat, and everything that is shown is read back from
Redis, from the double or from the answers; nothing is known beforehand.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli import Failure
from gateway.cli.frame import console, emit, json_option, open_store, run
from gateway.cli.processes import Child, environment, family, free_port, interruptible, python, start, wait_for_port

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from gateway.cli.demo_plan import Plan, Post

DRAIN_S: Final = 20.0
QUIET_S: Final = 1.0
SHOWN: Final = 10
"""So many differences are told one by one."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One request that was made: when (Unix seconds), what it was, HTTP status and the word in the answer."""

    at_s: float
    post: Post
    code: int
    word: str


@dataclass(slots=True)
class Stage:
    """
    What runs: addresses and secrets, all made for this one run.

    say: tells the audience of progress.
    """

    say: Callable[[str], None]
    redis_url: str = ""
    zendesk_url: str = ""
    web: str = ""
    sandbox: str = ""
    token: str = field(default_factory=lambda: f"demo-{secrets.token_hex(12)}", repr=False)
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    children: list[Child] = field(default_factory=list)


@click.command()
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Another seed tells other stories.")
@click.option("--keep", is_flag=True, help="Stay up afterwards and print the URLs; Ctrl-C ends it.")
@json_option
def demo(seed: int, *, keep: bool, as_json: bool) -> None:
    """
    See a webhook become a ticket in Planhat. Needs no account, no Redis and no settings, and reads none.

    Starts a Redis, a web process, a worker and a double of Planhat's ticket API, posts signed webhooks of three
    helpdesks, and shows what became of them. Everything is stopped and removed at the end.

    Exit codes: 0 what arrived is what was told; 1 it is not, or something did not start.
    """
    begun = time.monotonic()
    screen = console(stderr=as_json)

    def say(text: str) -> None:
        screen.print(f"[{time.monotonic() - begun:5.1f} s] {text}")
        sys.stdout.flush()

    with contextlib.suppress(KeyboardInterrupt) if keep else contextlib.nullcontext():
        _perform(Stage(say), seed, keep=keep, as_json=as_json, begun=begun)


def _perform(stage: Stage, seed: int, *, keep: bool, as_json: bool, begun: float) -> None:
    from gateway.cli.demo_plan import plan
    from gateway.cli.demo_report import show, tell
    from gateway.cli.demo_zendesk import ZendeskDouble
    from gateway.cli.embedded import EmbeddedRedis

    told = plan(seed, time.time())
    double = ZendeskDouble({"users": told.users, "organizations": told.organizations})
    # the directory's name is short, because a socket's path must be
    with (
        tempfile.TemporaryDirectory(prefix="phg-") as folder,
        interruptible(),
        double.serving(),
        EmbeddedRedis(Path(folder) / "redis") as redis,
        family() as children,
    ):
        stage.children, stage.zendesk_url, stage.redis_url = children, double.url, redis.url
        stage.say(f"{redis.server.name} {'.'.join(map(str, redis.server.version))} runs on {redis.where}")
        try:
            _start(stage, seed, Path(folder))
            answered = _post(stage, told)
            _drain(stage)
            found = tell(_read_back(stage, told, answered))
        except Failure as failure:
            raise Failure(f"{failure.message}\n\n{_tails(stage)}".rstrip()) from failure
        report: dict[str, Any] = {"seed": seed, "seconds": round(time.monotonic() - begun, 1)}
        report |= {"lookups": dict(double.asked), **found}
        if as_json:
            emit(report)
        else:
            show(report)
        if wrong := report["unexpected"]:
            more = f"\n... and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
            raise Failure("This is not what was expected:\n" + "\n".join(wrong[:SHOWN]) + f"{more}\n\n{_tails(stage)}")
        if keep:
            _stay(stage)


def _start(stage: Stage, seed: int, folder: Path) -> None:
    """Start the double, the worker and the web process, and wait until they are ready."""
    from gateway.cli.senders import new_generic_secret

    stage.keys = {
        "zendesk": secrets.token_urlsafe(32),
        "freshdesk": secrets.token_urlsafe(32),
        "generic": new_generic_secret(),
    }
    web_port, sandbox_port = free_port(), free_port()
    stage.web, stage.sandbox = f"http://127.0.0.1:{web_port}", f"http://127.0.0.1:{sandbox_port}"
    shared = {"REDIS_URL": stage.redis_url, "LOG_FORMAT": "text"}
    near = {f"{source.upper()}_WEBHOOK_SECRET": key for source, key in stage.keys.items()}
    far = {
        "PLANHAT_API_TOKEN": stage.token,
        "PLANHAT_API_URL": stage.sandbox,
        "BATCH_QUIET_S": str(QUIET_S),
        "BATCH_MAX_WAIT_S": "5",
        "ZENDESK_SUBDOMAIN": "demo",
        "ZENDESK_API_EMAIL": "agent@support.example",
        "ZENDESK_API_TOKEN": secrets.token_hex(16),
        "ZENDESK_API_URL": stage.zendesk_url,
    }
    double = ["sandbox", "--port", str(sandbox_port), "--token", stage.token, "--seed", str(seed), "--log-items"]
    for name, command, env in (
        ("sandbox", python("workers", *double), {}),
        ("web", python("gateway", "web", "--host", "127.0.0.1"), {**shared, **near, "PORT": str(web_port)}),
        ("worker", python("workers"), {**shared, **far}),
    ):
        stage.children.append(start(name, command, env=environment(env), log=folder / f"{name}.log"))
    sandbox, web, worker = stage.children
    wait_for_port(sandbox, sandbox_port)
    wait_for_port(web, web_port)
    if not worker.running:
        raise Failure("The worker ended at once.")
    stage.say(f"web {stage.web}, worker, Planhat's double {stage.sandbox}")


def _client() -> httpx.Client:
    import httpx

    return httpx.Client(timeout=30, trust_env=False)


def _post(stage: Stage, told: Plan) -> list[Answered]:
    """Sign and post everything, one request after the other."""
    import httpx

    from gateway.cli.senders import signed

    answered: list[Answered] = []
    with _client() as client:
        for post in told.posts:
            key = stage.keys[post.connection] if post.expected != "refused" else secrets.token_urlsafe(32)
            headers = signed(post.connection, key, post.body, delivery_id=post.delivery_id)
            at_s = time.time()
            try:
                answer = client.post(f"{stage.web}/webhooks/{post.connection}", content=post.body, headers=headers)
            except httpx.HTTPError as error:
                raise Failure(f"The web process does not answer: {error}.") from error
            word = answer.json().get("status", "") if answer.headers.get("content-type") == "application/json" else ""
            answered.append(Answered(at_s, post, answer.status_code, word))
    stage.say(f"{len(answered)} signed webhooks posted in {answered[-1].at_s - answered[0].at_s:.2f} s")
    return answered


def _drain(stage: Stage) -> None:
    """Wait until nothing is pending any more."""
    from gateway.cli.status import figures
    from gateway.reader import Reader
    from gateway.settings import store_from

    settings = store_from(Reader({"REDIS_URL": stage.redis_url}))

    async def wait() -> dict[str, Any]:
        import asyncio

        async with open_store(settings) as store:
            deadline = time.monotonic() + DRAIN_S
            while (found := await figures(store))["pending"] and time.monotonic() < deadline:
                if ended := [child for child in stage.children if not child.running]:
                    raise Failure(f"{ended[0].name} ended with {ended[0].process.poll()}.")
                await asyncio.sleep(0.05)
            return found

    left = run(wait())
    if left["pending"]:
        raise Failure(f"{left['pending']} tickets were still pending after {DRAIN_S:g} s: {left}.")
    stage.say("nothing is pending any more")


def _read_back(stage: Stage, told: Plan, answered: list[Answered]) -> dict[str, Any]:
    """Ask Redis, the web process and the double what they know now."""
    from gateway.cli.dead import rows_of, shown
    from gateway.cli.status import figures
    from gateway.reader import Reader
    from gateway.settings import store_from

    settings = store_from(Reader({"REDIS_URL": stage.redis_url}))

    async def bridge() -> dict[str, Any]:
        async with open_store(settings) as store:
            rows = [shown(row) for row in await rows_of(store)]
            return {"status": await figures(store), "dead": rows, "counters": await store.counters()}

    with _client() as client:
        client.get(f"{stage.web}/metrics").raise_for_status()  # the web process hands its counters on
        log = client.get(f"{stage.sandbox}/_sandbox/log").raise_for_status().json()
        listed = client.get(
            f"{stage.sandbox}/tickets", params={"limit": 10_000}, headers={"authorization": f"Bearer {stage.token}"}
        )
        listed.raise_for_status()
        return run(bridge()) | {"plan": told, "answered": answered, "log": log, "planhat": listed.json()}


def _tails(stage: Stage) -> str:
    return "\n".join(f"--- {child.name}, last lines\n{child.tail()}" for child in stage.children)


def _stay(stage: Stage) -> None:
    """Keep everything up until Ctrl-C."""
    stage.say("Everything stays up until Ctrl-C:")
    for name, where in (
        ("webhooks", f"{stage.web}/webhooks/zendesk, /freshdesk, /generic"),
        ("generic secret", stage.keys["generic"]),
        ("health, metrics", f"{stage.web}/readyz, {stage.web}/metrics"),
        ("Planhat's double", f"{stage.sandbox}/_sandbox/state, /_sandbox/log (token {stage.token})"),
        ("Redis", stage.redis_url),
    ):
        stage.say(f"  {name:17} {where}")
    while all(child.running for child in stage.children):
        time.sleep(0.2)
    raise Failure(f"A process ended.\n\n{_tails(stage)}")
