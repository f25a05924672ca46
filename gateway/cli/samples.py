"""`send-sample`: sign a sample that came with the package and post it."""

from __future__ import annotations

import importlib.resources
import os
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from gateway.cli import Failure, Misuse
from gateway.cli.frame import config_file, emit, json_option, plain
from gateway.cli.senders import SENDERS, dated, signed

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


NEXT: Final = {
    401: "The gateway has another secret (or another `auth`) for {route}: give its own by --secret or {name}.",
    404: "The gateway has no connection {route}: start it with {name} set, or name one that it has by --connection.",
    503: "The gateway cannot store at this moment: see `planhat-gateway check`, then send again.",
}
"""Status -> what to do about it."""


def cases(source: str) -> list[str]:
    """Give the names of a source's samples; none for an unknown source."""
    folder = _folder() / source
    return sorted(one.name.removesuffix(".json") for one in folder.iterdir()) if folder.is_dir() else []


def sample(source: str, case: str) -> tuple[bytes, dict[str, str]]:
    """
    Give a sample's body and the headers that come with it (lower-case names, no signature).

    Raises:
        Failure: there is no such sample.
    """
    if case not in cases(source):
        known = (
            ", ".join(cases(source))
            or f"none; sources with samples: {', '.join(sorted(one.name for one in _folder().iterdir()))}"
        )
        raise Misuse(f"There is no sample {case!r} of {source!r}. There are: {known}.")
    read: dict[str, Any] = orjson.loads((_folder() / source / f"{case}.json").read_bytes())
    body = read.get("body", read)
    headers = {name.lower(): str(value) for name, value in (read.get("headers") or {}).items()}
    return body.encode() if isinstance(body, str) else orjson.dumps(body), headers


def _folder() -> Traversable:
    return importlib.resources.files("gateway.sources") / "samples"


@click.command("send-sample", epilog=f"Sources: {', '.join(SENDERS)}.")
@click.argument("source")
@click.argument("case")
@click.option("--url", help="The gateway, or the whole hook URL. Default: http://127.0.0.1:PORT.")
@click.option("--secret", help="Signing secret. Default: the first of <SOURCE>_WEBHOOK_SECRET.")
@click.option("--connection", help="A connection of the configuration file: its route and its secret.")
@json_option
def send_sample(
    source: str, case: str, url: str | None, secret: str | None, connection: str | None, *, as_json: bool
) -> None:
    """
    Sign the sample CASE of SOURCE (all are listed below) and post it to a running gateway.

    A CASE that does not exist is answered with those that do. A connection that takes a bearer token is shown it.

    Exit codes: 0 the gateway took it; 1 it refused or is not there; 2 no such sample, or no secret.
    """
    import httpx

    body, headers = sample(source, case)
    name, auth = _proof(source, connection)
    route = connection or source
    secret = secret or os.environ.get(name, "").split(",")[0].strip()
    if not secret:
        raise Misuse(f"No secret to sign with: give --secret, or set {name} as the gateway has it.")
    body = dated(source, body)
    base = (url or f"http://127.0.0.1:{os.environ.get('PORT', '').strip() or 8000}").rstrip("/")
    hook = base if "/webhooks/" in base else f"{base}/webhooks/{route}"
    public = os.environ.get("PUBLIC_URL", "").strip().rstrip("/")
    proof = signed(source, secret, body, auth=auth, url=f"{public}/webhooks/{route}" if public else hook)
    try:
        answer = httpx.post(hook, content=body, headers=proof | headers, timeout=30, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Failure(
            f"{hook} cannot be reached ({error}): start the gateway (`planhat-gateway up`) or give --url."
        ) from error
    if as_json:
        emit({"url": hook, "status": answer.status_code, "answer": _read(answer.text)})
    else:
        click.echo(f"{answer.status_code} {plain(answer.text)}")
    if not answer.is_success:
        if answer.status_code in NEXT:
            click.echo(NEXT[answer.status_code].format(route=hook.rpartition("/webhooks/")[2], name=name), err=True)
        raise click.exceptions.Exit(1)


def _proof(source: str, connection: str | None) -> tuple[str, str]:
    """Give the variable that holds the secret of a source or of a connection of the file, and how it is proved."""
    if connection is None:
        return f"{source.upper()}_WEBHOOK_SECRET", os.environ.get(f"{source.upper()}_AUTH", "").strip() or "signature"
    file = config_file()
    known = file.connections if file else {}
    if connection not in known:
        raise Misuse(
            f"The configuration file has no connection {connection!r}: known are {', '.join(known) or 'none'}."
        )
    if known[connection]["source"] != source:
        raise Misuse(f"The connection {connection} takes webhooks of {known[connection]['source']}, not of {source}.")
    return str(known[connection]["secret_env"]), str(known[connection].get("auth", "signature"))


def _read(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return text
