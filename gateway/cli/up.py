"""
`up`: everything in one terminal, on a Redis of its own; keeps its data and its secret in ./.planhat-gateway.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import shutil
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from gateway.cli import Failure
from gateway.cli.frame import plain
from gateway.cli.processes import Child, environment, family, free_port, interruptible, python, start, wait_for_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER: Final = Path(".planhat-gateway")
GRACE_S: Final = 25.0
"""A worker may finish the call that is under way."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What `up` makes once and keeps: the secret of the generic connection, the token of the double."""

    generic: str
    sandbox: str


@click.command()
@click.option("--fresh", is_flag=True, help="Throw away what an earlier `up` kept here, the secret included.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port of the web process.  [default: PORT, else 8000]")
def up(*, fresh: bool, port: int | None) -> None:
    """
    Run everything in this terminal: Redis, web, worker and, unless PLANHAT_API_TOKEN is set, Planhat's double.

    Other settings are read from the environment as the processes read them; REDIS_URL is not used. Data and the
    generated secret stay in ./.planhat-gateway. Ctrl-C stops everything gracefully.

    Exit codes: 0 after Ctrl-C; 1 something ended or did not start; 2 settings are wrong.
    """
    try:
        with interruptible():
            _run(fresh=fresh, port=port or _port())
    except KeyboardInterrupt:
        click.echo("\nStopped.")


def _run(*, fresh: bool, port: int) -> None:
    from gateway.cli.embedded import EmbeddedRedis

    _check_port(port)
    real = bool(os.environ.get("PLANHAT_API_TOKEN", "").strip())
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n")
    # what Planhat holds differs by tenant, and so does what we remember of it: each has data of its own
    folder = FOLDER / (f"planhat-{_tenant()}" if real else "sandbox")
    with EmbeddedRedis(folder, fresh=fresh) as redis, family(grace_s=GRACE_S) as children:
        kept = _kept(FOLDER / "secrets.json", fresh=fresh)
        generic = os.environ.get("GENERIC_WEBHOOK_SECRET", "").strip() or kept.generic
        shared = {"REDIS_URL": redis.url, "LOG_FORMAT": os.environ.get("LOG_FORMAT", "").strip() or "text"}
        far = {"PLANHAT_API_TOKEN": os.environ.get("PLANHAT_API_TOKEN", "")}
        if not real:
            far = _sandbox(children, kept.sandbox, folder / "sandbox.jsonl", fresh=fresh)
        mine = environment({**shared, **far}, inherit=True)
        children.append(start("worker", python("workers"), env=mine, lines=_line))
        # one web process: those that uvicorn would start beside it are not tied to our life
        near = {**shared, "PORT": str(port), "WEB_CONCURRENCY": "1", "GENERIC_WEBHOOK_SECRET": generic}
        env = environment(near, inherit=True)
        env.pop("PLANHAT_API_TOKEN", None)  # the near bank never knows it
        children.append(start("web", python("gateway", "web", "--host", "127.0.0.1"), env=env, lines=_line))
        wait_for_port(children[-1], port)
        _welcome(port, generic, _elsewhere(port, kept, far, redis.url), _routes(env), far, folder)
        while all(child.running for child in children) and redis.running:
            time.sleep(0.1)
        ended = next((child for child in children if not child.running), None)
        name, code = (ended.name, ended.process.poll()) if ended else ("redis", None)
        time.sleep(0.2)  # its last lines are still on their way
        raise Failure(
            f"{name} ended{'' if code is None else f' with {code}'}; everything is stopped, what came in is kept."
        )


def _sandbox(children: list[Child], token: str, log: Path, *, fresh: bool) -> dict[str, str]:
    """Start the double with the tickets that an earlier `up` left in it; give the worker's settings for it."""
    from gateway.cli.up_sandbox import remembered, restore

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    before = remembered(log) if not fresh else []
    log.unlink(missing_ok=True)
    arguments = ("sandbox", "--port", str(port), "--token", token, "--log", str(log))
    children.append(start("sandbox", python("workers", *arguments), env=environment(), lines=_line))
    wait_for_port(children[-1], port)
    restore(url, token, before)
    return {"PLANHAT_API_TOKEN": token, "PLANHAT_API_URL": url}


def _kept(path: Path, *, fresh: bool) -> Kept:
    """Give what an earlier `up` kept, else make it; readable only by us."""
    from gateway.cli.senders import new_generic_secret

    if not fresh and path.exists():
        try:
            read: dict[str, Any] = orjson.loads(path.read_bytes())
            return Kept(str(read["generic"]), str(read["sandbox"]))
        except (ValueError, KeyError, TypeError):
            raise Failure(f"{path} cannot be read: remove it, or run `up --fresh`.") from None
    made = Kept(new_generic_secret(), f"sandbox-{secrets.token_hex(12)}")
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(orjson.dumps({"generic": made.generic, "sandbox": made.sandbox}))
    return made


def _tenant() -> str:
    """Give eight digits that differ by Planhat token and address, and do not tell them."""
    told = os.environ.get("PLANHAT_API_URL", "") + "\0" + os.environ.get("PLANHAT_API_TOKEN", "")
    return hashlib.blake2b(told.encode(), digest_size=4).hexdigest()


def _port() -> int:
    from gateway.reader import Reader

    read = Reader(os.environ)
    port = read.integer("PORT", 8000, 1, 65_535)
    read.done()
    return port


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Failure(
                f"Port {port} cannot be used ({error.strerror}): stop what listens there, or give --port."
            ) from None


_SPEAKING: Final = threading.Lock()


def _line(name: str, line: str) -> None:
    """Print a child's line behind its name."""
    with _SPEAKING:
        sys.stdout.write(f"{name:7} | {plain(line, 10_000)}\n")
        sys.stdout.flush()


def _routes(environ: Mapping[str, str]) -> list[str]:
    """Give the names of the connections that the web process has."""
    from gateway.settings import from_env

    return [one.name for one in from_env(environ).connections]


def _elsewhere(port: int, kept: Kept, far: Mapping[str, str], redis_url: str) -> str:
    """Give a line that makes another terminal know what this one made; secrets that it was given are not in it."""
    ours = {"REDIS_URL": redis_url, "PORT": str(port)}
    if far.get("PLANHAT_API_URL"):  # the double's token is good for nothing else
        ours |= far
    given = {name: value for name in ("GATEWAY_CONFIG", "GENERIC_WEBHOOK_SECRET") if (value := _set(name))}
    if "GATEWAY_CONFIG" in given:
        ours["GATEWAY_CONFIG"] = str(Path(given["GATEWAY_CONFIG"]).absolute())
    if "GENERIC_WEBHOOK_SECRET" not in given:
        ours["GENERIC_WEBHOOK_SECRET"] = kept.generic
    return " ".join(("export", *(f"{name}={shlex.quote(value)}" for name, value in ours.items())))


def _set(name: str) -> str:
    return os.environ.get(name, "").strip()


def _welcome(  # noqa: PLR0917  what is said, in its order
    port: int, generic: str, elsewhere: str, routes: Sequence[str], far: Mapping[str, str], folder: Path
) -> None:
    """Say where everything is and how to send something."""
    from gateway.cli.senders import generic_key

    web = f"http://127.0.0.1:{port}"
    planhat = far.get("PLANHAT_API_URL") or os.environ.get("PLANHAT_API_URL", "").strip() or "https://api.planhat.com"
    double = f" (a double; see {planhat}/_sandbox/state)" if far.get("PLANHAT_API_URL") else ""
    first = generic.split(",", 1)[0].strip()
    key = generic_key(first)
    ours = "planhat-gateway" if shutil.which("planhat-gateway") else f"{sys.executable} -m gateway"
    hooks = "\n                ".join(f"{web}/webhooks/{route}" for route in routes)
    said = f"""
webhooks        {hooks}
generic secret  {generic}
health          {web}/readyz   {web}/metrics
planhat         {planhat}{double}
data            {folder}   (Ctrl-C keeps it, `up --fresh` throws it away)

In another terminal, for `status`, `check`, `dead`, `tickets`, ... (beside the settings that you gave this one):

{elsewhere}

Send something from there:

{ours} send-sample generic created_full --url {web} --secret {first}
{_curl(web, key.hex()) if key else ""}

Ctrl-C stops everything.
"""
    with _SPEAKING:
        sys.stdout.write(said + "\n")
        sys.stdout.flush()


def _curl(web: str, key: str) -> str:
    """Give lines for a shell that sign a ticket of today and post it; `key` in hex."""
    ticket = '"data":{"sourceId":"1","title":"Hello","status":"open","email":"ada@example-company.com"}}'
    body = '{"type":"ticket.upserted","timestamp":"\'$now\'",' + ticket
    signing = f"openssl dgst -sha256 -mac HMAC -macopt hexkey:{key} -binary | base64"
    return "\n".join(
        (
            "\nor, with curl:\n",
            "id=msg_$(date +%s) ts=$(date +%s) now=$(date -u +%Y-%m-%dT%H:%M:%SZ)",
            f"body='{body}'",
            f'sig=$(printf %s "$id.$ts.$body" | {signing})',
            f'curl -i {web}/webhooks/generic -H "content-type: application/json" -H "webhook-id: $id" \\',
            '  -H "webhook-timestamp: $ts" -H "webhook-signature: v1,$sig" -d "$body"',
        )
    )
