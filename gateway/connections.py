"""
The connections of this process: those that variables make and those of the configuration file, checked together.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from gateway.config.file import ConfigFile, hint, inspect
from gateway.errors import ConfigurationError
from gateway.reader import DAY_S, Reader
from gateway.rules import rules_of
from gateway.sources import SOURCES
from gateway.sources.base import Auth, Connection, OnDelete
from gateway.sources.places import AGENTS, APPS, BRANDS, GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DESTINATION: Final = "planhat"
"""The one destination where no configuration file names others."""

PREFIX_MAX: Final = 64
SECRET_MIN: Final = 16
"""Characters; a shorter secret is refused at boot."""

TEST_SECRET: Final = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="  # noqa: S105  public: Zendesk prints it
"""What Zendesk signs "Test webhook" with before the webhook is saved. Source: Zendesk, "Verifying webhooks"."""

LINK_SETTING: Final = {"zendesk": "ZENDESK_SUBDOMAIN"}
"""The setting that makes links, where it is not <SOURCE>_DOMAIN."""

DIGIT_ACCOUNTS: Final = frozenset({"zendesk", "hubspot", "zoho_desk"})
"""Sources whose account ids are numbers; another text could never match."""

HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]{0,200})?")
"""Our own address, as a helpdesk can be told it."""

PLACES: Final = (
    ("only", "brands", BRANDS),
    ("only", "groups", GROUPS),
    ("ignore", "agents", AGENTS),
    ("ignore", "apps", APPS),
)
"""Rules that need a place in the bodies of the source."""


def link_setting(source: str) -> str:
    """Give the setting that names the host of a source's pages."""
    return LINK_SETTING.get(source, f"{source.upper()}_DOMAIN")


def source_prefix(environ: Mapping[str, str], source: str) -> str:
    """Give what stands before the ticket ids of the connection that variables make; both banks ask."""
    return environ.get(f"{source.upper()}_SOURCE_ID_PREFIX", f"{source}:").strip()


def file_from(read: Reader) -> ConfigFile | None:
    """Read the configuration file, if one is named, as far as it is sound; what is wrong with it becomes faults."""
    path = read.text("GATEWAY_CONFIG")
    if path is None:
        return None
    try:
        file, faults = inspect(Path(path))
    except ConfigurationError as error:
        read.faults += error.faults
        return None
    read.faults += faults
    tenants: dict[str, str] = {}
    for name, table in file.destinations.items():
        token = table["token_env"]
        if token in tenants:
            where = file.where("destinations", name)
            read.fault(f"{where} is the same tenant as destinations.{tenants[token]}: one tenant has one quota.")
        tenants[token] = name
    return file


def destinations_of(file: ConfigFile | None) -> tuple[str, ...]:
    """Give the names of the destinations, never none."""
    return tuple(file.destinations) if file and file.destinations else (DESTINATION,)


def connections_from(read: Reader, file: ConfigFile | None) -> tuple[Connection, ...]:
    """Make every connection; no two of them may overwrite each other's tickets."""
    tolerance_s = read.integer("WEBHOOK_TOLERANCE_S", 300, 1, DAY_S, "seconds")
    public_url = _public_url(read)
    made = [one for source in SOURCES if (one := _connection(read, source, tolerance_s, public_url)) is not None]
    origin = {one.name: f"{one.source.upper()}_SOURCE_ID_PREFIX" for one in made}
    if file is not None:
        made = [replace(one, destination=destinations_of(file)[0]) for one in made]
        for name, table in file.connections.items():
            where = partial(file.where, "connections", name)
            if name in origin:
                variable = f"{name.upper()}_WEBHOOK_SECRET"
                ways = (
                    f"let secret_env name another variable, since {variable} makes a connection by itself"
                    if table["secret_env"] == variable
                    else "give it another name, or remove the variable"
                )
                read.fault(f"{where()} exists already by {variable}: {ways}.")
                continue  # one connection twice is one fault
            made.append(_connection_of(read, file, name, table, where, tolerance_s, public_url))
            origin[name] = where("source_id_prefix")
    for at, one in enumerate(made):
        for other in made[:at]:
            same_desk = one.source == other.source and one.subdomain is not None and one.subdomain == other.subdomain
            if one.prefix == other.prefix and one.destination == other.destination and not same_desk:
                read.fault(
                    f"{origin[other.name]} and {origin[one.name]} are the same ({one.prefix!r}): Planhat keys tickets "
                    f"by sourceId alone, so ticket 1 of {other.name} and of {one.name} would overwrite each other: "
                    "give each its own."
                )
    return tuple(made)


def destination_of(read: Reader, file: ConfigFile, name: str, table: Mapping[str, Any]) -> str:
    """Give the destination of a connection of the file; both banks ask."""
    known = tuple(file.destinations)
    wanted = table.get("destination")
    if wanted is None and len(known) <= 1:
        return known[0] if known else DESTINATION
    if wanted in known:
        return str(wanted)
    if file.lost:
        return DESTINATION  # perhaps the one that is meant; its fault is told
    where = file.where("connections", name, "destination")
    read.fault(f"{where} must name a table under [destinations]; {hint(str(wanted), known)}")
    return DESTINATION


def connection_for_trial(file: ConfigFile, name: str) -> Connection:
    """
    Make a connection of the file that can map but not verify, its secret unknown.

    Raises:
        ConfigurationError: something else is wrong with it.
    """
    table = file.connections[name]
    read = Reader({table["secret_env"]: ""})
    where = partial(file.where, "connections", name)
    made = _connection_of(read, file, name, table, where, 300, None)
    read.faults = [fault for fault in read.faults if table["secret_env"] not in fault]
    read.done()
    return made


def _connection_of(  # noqa: PLR0917
    read: Reader,
    file: ConfigFile,
    name: str,
    table: Mapping[str, Any],
    where: Callable[..., str],
    tolerance_s: int,
    public_url: str | None,
) -> Connection:
    """Make a connection of the file."""
    source, auth = table["source"], cast("Auth", table.get("auth", "signature"))
    prefix = _prefix(read, where("source_id_prefix"), table.get("source_id_prefix", f"{name}:"))
    variable = table["secret_env"]
    if variable in read.environ:
        secrets = secrets_from(read, source, auth, variable)
    else:
        secrets = ()
        read.fault(f"{where('secret_env')}: the variable {variable} is not set: give it the secret of {source}.")
    for outer, inner, places in PLACES:
        if inner in table.get(outer, {}) and source not in places:
            read.fault(
                f"{where(outer, inner)}: bodies of {source} tell none: use {outer}.when with a JMESPath expression."
            )
    if "account_id" in table and "sourceId" in table.get("map", {}):
        read.fault(
            f"{where('account_id')} is not checked where map.sourceId reads the whole body: remove one of the two, or "
            "check the account by only.when."
        )
    account_id = _account(read, where("account_id"), table.get("account_id"), source)
    if auth == "signature":
        _weak_proof(read, source, where("account_id"), account_id, public_url)
    return Connection(
        name=name,
        source=source,
        secrets=secrets,
        auth=auth,
        on_delete=cast("OnDelete", table.get("on_delete", "delete")),
        prefix=prefix,
        subdomain=_host(read, where("domain"), table.get("domain"), source),
        account_id=account_id,
        tolerance_s=tolerance_s,
        destination=destination_of(read, file, name, table),
        public_url=public_url,
        rules=rules_of(table),
    )


def _connection(read: Reader, source: str, tolerance_s: int, public_url: str | None) -> Connection | None:
    upper = source.upper()
    auth = cast("Auth", read.choice(f"{upper}_AUTH", "signature", ("signature", "bearer")))
    on_delete = cast("OnDelete", read.choice(f"{upper}_ON_DELETE", "delete", ("delete", "close", "ignore")))
    prefix = _prefix(read, f"{upper}_SOURCE_ID_PREFIX", source_prefix(read.environ, source))
    account_id = _account(read, f"{upper}_ACCOUNT_ID", read.text(f"{upper}_ACCOUNT_ID"), source)
    allow_test = source == "zendesk" and read.flag("ZENDESK_ALLOW_TEST_SECRET", default=False)
    link = link_setting(source)
    subdomain = _host(read, link, read.text(link), source)
    if f"{upper}_WEBHOOK_SECRET" not in read.environ:
        for name in (f"{upper}_AUTH", f"{upper}_ON_DELETE", f"{upper}_SOURCE_ID_PREFIX"):
            if name in read.environ:
                read.warnings.append(
                    f"{name} has no effect without {upper}_WEBHOOK_SECRET, which makes the connection {source}."
                )
        return None
    secrets = secrets_from(read, source, auth, f"{upper}_WEBHOOK_SECRET")
    if allow_test:
        secrets += (TEST_SECRET,)
        read.warnings.append(
            "ZENDESK_ALLOW_TEST_SECRET=1 accepts webhooks that anybody can sign: remove it after the test."
        )
    if auth == "signature":
        _weak_proof(read, source, f"{upper}_ACCOUNT_ID", account_id, public_url)
    return Connection(
        name=source,
        source=source,
        secrets=secrets,
        auth=auth,
        on_delete=on_delete,
        prefix=prefix,
        subdomain=subdomain,
        account_id=account_id,
        tolerance_s=tolerance_s,
        public_url=public_url,
    )


def _weak_proof(read: Reader, source: str, name: str, account_id: str | None, public_url: str | None) -> None:
    """Warn where a signature proves less than it seems; only a warning, so that a first delivery can be tried."""
    if source == "zoho_desk" and account_id is None:
        read.warnings.append(
            f"{name} is not set: Zoho signs for all its customers with the same keys, so any of them could send as "
            "yours: set the orgId of your Zoho Desk."
        )
    if source == "hubspot" and public_url is None:
        read.warnings.append(
            "PUBLIC_URL is not set: HubSpot signs our address, which is now taken from the Host header of each "
            "request: set it to the address that HubSpot calls, without /webhooks/hubspot."
        )


def _public_url(read: Reader) -> str | None:
    """Give our own address without its last slash, as helpdesks were told it."""
    value = read.text("PUBLIC_URL")
    if value is None:
        return None
    if not ADDRESS.fullmatch(value):
        read.fault("PUBLIC_URL must be our address as helpdesks call it, such as https://gateway.acme.example.")
        return None
    return value.rstrip("/")


def _prefix(read: Reader, name: str, value: str) -> str:
    """Check what stands before ticket ids: commands and logs name tickets by one word."""
    if len(value) > PREFIX_MAX or not value.isprintable() or " " in value:
        read.fault(f"{name} must be at most {PREFIX_MAX} printable characters without blanks.")
    return value


def _account(read: Reader, name: str, value: str | None, source: str) -> str | None:
    digits = (value or "0").replace("/", "", 1 if source == "zoho_desk" else 0)  # organization, or organization/webhook
    if source in DIGIT_ACCOUNTS and not (digits.isascii() and digits.isdigit()):
        read.fault(f"{name} must be the number of the account as {source} sends it, digits only.")
    return value


def _host(read: Reader, name: str, value: str | None, source: str) -> str | None:
    if value is None:
        return None
    host = value.removeprefix("https://").removeprefix("http://").rstrip("/").lower()
    if not HOST.fullmatch(host):
        read.fault(f"{name} must be a subdomain or host name such as acme or help.acme.example, without a path.")
        return None
    return host.removesuffix(".zendesk.com") if source == "zendesk" else host


def secrets_from(read: Reader, source: str, auth: Auth, name: str) -> tuple[str, ...]:
    """Give the webhook secrets of a variable that is set, the newest first; a fault for each that proves too little."""
    found: list[str] = []
    for number, entry in enumerate(read.environ[name].split(","), 1):
        secret = entry.strip()
        where = name if "," not in read.environ[name] else f"Entry {number} of {name}"
        if not secret:
            surplus = name if where == name else "the comma"
            read.fault(f"{where} is empty: give the signing secret of {source}, or remove {surplus}.")
        elif len(secret) < SECRET_MIN:
            read.fault(
                f"{where} has fewer than {SECRET_MIN} characters: copy it whole from {source}, or make a longer one."
            )
        elif source == "zendesk" and secret == TEST_SECRET:
            read.fault(f"{where} is the test secret that Zendesk prints for everybody: copy the webhook's own.")
        elif complaint := SOURCES[source].check_secret(secret, auth):
            read.fault(f"{where}: {complaint.rstrip('.')}.")
        elif secret not in found:
            found.append(secret)
    return tuple(found)
