"""
What the environment says, read and checked once at boot.

`from_env` finds every fault before it complains, so that one start tells the administrator everything that is wrong.
`SETTINGS` is the table that documentation and tests read; `workers/settings.py` holds the far bank's. Only these two
modules read the environment; the gateway never reads a Planhat token or a helpdesk's API credentials.

Longer than 400 lines because the table of settings and the sentences about their faults belong beside their reading.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from urllib.parse import urlsplit

from gateway.config.file import ConfigFile, load
from gateway.errors import ConfigurationError
from gateway.rules import rules_of
from gateway.sources import SOURCES
from gateway.sources.base import Auth, Connection, OnDelete
from gateway.sources.places import AGENTS, APPS, BRANDS, GROUPS
from gateway.store.records import Limits
from gateway.telemetry import FORMATS, LEVELS, Format, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX_MAX: Final = 64
SECRET_MIN: Final = 16
"""Characters; a shorter secret is refused at boot."""

Room = Literal["web", "store", "log", "connection", "planhat", "batch", "helpdesk", "cli"]


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One row of the settings table.

    name: as in the environment; `<SOURCE>` stands for a source's name in upper case.
    default: what holds when it is not set, as text; None when nothing does.
    unit: "" for plain text.
    meaning: one phrase.
    room: which part of the system reads it.
    """

    name: str
    default: str | None
    unit: str
    meaning: str
    room: Room


MIB: Final = 1024 * 1024
DAY_S: Final = 86_400

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("PORT", "8000", "", "port of the web process", "web"),
    Setting("WEB_CONCURRENCY", "1", "processes", "web server processes on one machine", "web"),
    Setting("REDIS_URL", None, "", "redis://, rediss:// or redis+sentinel:// address; web and worker need it", "store"),
    Setting("REDIS_TLS_VERIFY", "1", "0 or 1", "0 accepts a self-signed certificate", "store"),
    Setting("WEBHOOK_TOLERANCE_S", "300", "s", "signed timestamps further off are refused", "web"),
    Setting("WEBHOOK_MAX_BODY_BYTES", "1048576", "bytes", "largest webhook body; larger ones get 413", "web"),
    Setting("PENDING_MAX_TICKETS", "1000000", "tickets", "backlog above which hooks get 503", "store"),
    Setting("DEDUPE_TTL_S", "86400", "s", "how long a delivery id is remembered", "store"),
    Setting("TICKET_MEMORY_TTL_S", "7776000", "s", "how long the last-sent state of a closed ticket is kept", "store"),
    Setting("DEAD_LETTER_TTL_S", "2592000", "s", "how long a dead letter is kept", "store"),
    Setting("DEAD_LETTER_MAX", "100000", "tickets", "dead letters above which nothing more is taken in", "store"),
    Setting("PUBLIC_URL", None, "", "our address as helpdesks call it; HubSpot signs it", "web"),
    Setting("CONSOLE_PASSWORD", None, "", "for the operator console, which comes in a later release", "web"),
    Setting("METRICS_TOKEN", None, "", "bearer token that /metrics then demands", "web"),
    Setting("LOG_LEVEL", "info", "", "debug, info, warning or error", "log"),
    Setting("LOG_FORMAT", "json", "", "json or text", "log"),
    Setting("GATEWAY_CONFIG", None, "", "path of a TOML file with more connections and their rules", "connection"),
    Setting("<SOURCE>_WEBHOOK_SECRET", None, "", "makes a connection; a comma-separated list rotates", "connection"),
    Setting("<SOURCE>_AUTH", "signature", "", "signature or bearer", "connection"),
    Setting("<SOURCE>_ON_DELETE", "delete", "", "delete, close or ignore", "connection"),
    Setting("<SOURCE>_SOURCE_ID_PREFIX", "<connection>:", "", "put before every sourceId; may be empty", "connection"),
    Setting("<SOURCE>_ACCOUNT_ID", None, "", "bodies of another account are refused", "connection"),
    Setting("<SOURCE>_DOMAIN", None, "", "host of the helpdesk's pages, makes links to tickets", "connection"),
    Setting("ZENDESK_SUBDOMAIN", None, "", "the same for Zendesk", "connection"),
    Setting("ZENDESK_ALLOW_TEST_SECRET", "0", "0 or 1", "1 also accepts Zendesk's public test secret", "connection"),
)

FAR_BANK: Final = frozenset(
    {
        "PLANHAT_API_TOKEN",
        "PLANHAT_API_URL",
        "PLANHAT_CALLS_PER_MINUTE",
        "PLANHAT_MAX_IN_FLIGHT",
        "PLANHAT_TIMEOUT_S",
        "PLANHAT_HOLD_S",
        "PLANHAT_HISTORY",
        "BATCH_MAX_ITEMS",
        "BATCH_MAX_BYTES",
        "BATCH_QUIET_S",
        "BATCH_MAX_WAIT_S",
        "<SOURCE>_API_EMAIL",
        "<SOURCE>_API_TOKEN",
        "<SOURCE>_API_URL",
        "<SOURCE>_API_CLIENT_ID",
        "<SOURCE>_API_CLIENT_SECRET",
        "FRESHDESK_API_KEY",
    }
)
"""Names left to the workers and the command line; known here only so as not to call them misspelt."""

TEST_SECRET: Final = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="  # noqa: S105  public: Zendesk prints it
"""What Zendesk signs "Test webhook" with before the webhook is saved. Source: Zendesk, "Verifying webhooks"."""

LINK_SETTING: Final = {"zendesk": "ZENDESK_SUBDOMAIN"}
"""The setting that makes links, where it is not <SOURCE>_DOMAIN."""

DIGIT_ACCOUNTS: Final = frozenset({"zendesk", "hubspot", "zoho_desk"})
"""Sources whose account ids are numbers; another text could never match."""

_OURS: Final = ("WEBHOOK_", "PENDING_", "DEDUPE_", "DEAD_LETTER_", "PLANHAT_", "BATCH_", "TICKET_MEMORY_")
_CLOSE: Final = 0.88
_SIZE: Final = re.compile(r"([0-9]{1,15})\s*(KiB|MiB|GiB)?")
_SIZES: Final = {None: 1, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB}
_INTEGER: Final = re.compile(r"-?[0-9]{1,15}")
_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]{0,200})?")


class Reader:
    """
    Takes settings out of an environment and collects what is wrong with them.

    A setting that is blank counts as not set, since compose files and dashboards pass unset ones on as "".
    Every method gives a usable value, the default after a fault; `faults` tells afterwards.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[str] = []
        self.warnings: list[str] = []

    def fault(self, sentence: str) -> None:
        """Note what must be changed before anything can start."""
        self.faults.append(sentence)

    def text(self, name: str) -> str | None:
        """Give a setting without the blanks around it; None when it is not set."""
        return self.environ.get(name, "").strip() or None

    def integer(self, name: str, default: int, low: int, high: int, unit: str = "") -> int:
        """Give a whole number between `low` and `high`, both allowed."""
        raw = self.text(name)
        if raw is None:
            return default
        if _INTEGER.fullmatch(raw) and low <= int(raw) <= high:
            return int(raw)
        self.fault(f"{name} must be a whole number {_range(low, high, unit)}, for example {name}={default}.")
        return default

    def number(self, name: str, default: float, low: float, high: float, unit: str = "") -> float:
        """Give a number between `low` and `high`, both allowed."""
        raw = self.text(name)
        if raw is None:
            return default
        if _NUMBER.fullmatch(raw) and low <= float(raw) <= high:
            return float(raw)
        self.fault(f"{name} must be a number {_range(low, high, unit)}, for example {name}={default:g}.")
        return default

    def size(self, name: str, default: int, low: int, high: int) -> int:
        """Give a number of bytes, written plainly or with KiB, MiB, GiB."""
        raw = self.text(name)
        if raw is None:
            return default
        found = _SIZE.fullmatch(raw)
        if found and low <= (size := int(found[1]) * _SIZES[found[2]]) <= high:
            return size
        self.fault(f"{name} must be a size {_range(low, high, 'bytes')}, for example {name}={default} or {name}=1MiB.")
        return default

    def flag(self, name: str, *, default: bool) -> bool:
        """Give a switch."""
        raw = (self.text(name) or ("1" if default else "0")).lower()
        if raw in ("1", "true", "yes", "on"):
            return True
        if raw in ("0", "false", "no", "off"):
            return False
        self.fault(f"{name} must be 1 or 0.")
        return default

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """Give one of a few words, upper or lower case."""
        raw = (self.text(name) or default).lower()
        if raw in choices:
            return raw
        self.fault(f"{name} must be one of {', '.join(choices)}.")
        return default

    def done(self) -> None:
        """
        Stop here when anything was wrong.

        Raises:
            ConfigurationError: with every fault found so far.
        """
        if self.faults:
            raise ConfigurationError(self.faults)


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How this process writes its log."""

    level: Level = "info"
    form: Format = "json"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How to reach Redis and how much may lie there; the same in every process. `redis_url` is None when not set."""

    redis_url: str | None = field(repr=False)
    tls_verify: bool
    limits: Limits
    ticket_memory_ttl_s: int
    dead_letter_ttl_s: int


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What the web process alone reads."""

    port: int = 8000
    concurrency: int = 1
    max_body_bytes: int = MIB
    console_password: str | None = field(default=None, repr=False)
    metrics_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """
    Everything the gateway knows at boot.

    destinations: names of the Planhat tenants, never empty.
    warnings: sentences for the administrator about settings that are legal and probably not meant.
    """

    store: StoreSettings
    web: WebSettings
    log: LogSettings
    connections: tuple[Connection, ...]
    destinations: tuple[str, ...] = ("planhat",)
    warnings: tuple[str, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Give every secret value, for the log's redaction."""
        found = [secret for connection in self.connections for secret in connection.secrets]
        found += [one for one in (self.web.console_password, self.web.metrics_token) if one]
        if self.store.redis_url and (password := urlsplit(self.store.redis_url).password):
            found.append(password)
        return tuple(found)


def from_env(environ: Mapping[str, str]) -> Settings:
    """
    Read every setting of the gateway.

    Args:
        environ: names and values as the process got them.
    Raises:
        ConfigurationError: with every fault at once, each a sentence that names the setting and says what to do.
    """
    read = Reader(environ)
    file = file_from(read)
    store = store_from(read)
    web = _web(read)
    log = log_from(read)
    connections = _connections(read, file)
    read.warnings += _misspelt(environ)
    read.done()
    destinations = tuple(file.destinations) if file and file.destinations else ("planhat",)
    return Settings(store, web, log, connections, destinations, tuple(read.warnings))


def from_process() -> Settings:
    """Read the settings of this process. Raises ConfigurationError like `from_env`."""
    return from_env(os.environ)


def require_redis(settings: Settings) -> str:
    """
    Give the address of Redis, for the processes that cannot do without.

    Raises:
        ConfigurationError: REDIS_URL is not set.
    """
    if settings.store.redis_url is None:
        raise ConfigurationError(
            "REDIS_URL is not set: give the address of a Redis >= 7 or Valkey, for example "
            "REDIS_URL=redis://localhost:6379/0 (`planhat-gateway demo` and `up` bring their own)."
        )
    return settings.store.redis_url


def store_from(read: Reader) -> StoreSettings:
    """Read what both banks need to reach the bridge."""
    url = read.text("REDIS_URL")
    if url is not None and not url.startswith(("redis://", "rediss://", "redis+sentinel://", "unix://")):
        read.fault("REDIS_URL must begin with redis://, rediss:// or redis+sentinel://, as Redis providers print it.")
    tls_verify = read.flag("REDIS_TLS_VERIFY", default=True)
    limits = Limits(
        pending_max_tickets=read.integer("PENDING_MAX_TICKETS", 1_000_000, 1, 100_000_000, "tickets"),
        dead_letter_max=read.integer("DEAD_LETTER_MAX", 100_000, 1, 100_000_000, "tickets"),
        dedupe_ttl_s=read.integer("DEDUPE_TTL_S", DAY_S, 1, 365 * DAY_S, "seconds"),
    )
    return StoreSettings(
        redis_url=url,
        tls_verify=tls_verify,
        limits=limits,
        ticket_memory_ttl_s=read.integer("TICKET_MEMORY_TTL_S", 90 * DAY_S, 1, 3650 * DAY_S, "seconds"),
        dead_letter_ttl_s=read.integer("DEAD_LETTER_TTL_S", 30 * DAY_S, 1, 3650 * DAY_S, "seconds"),
    )


def log_from(read: Reader) -> LogSettings:
    """Read how a process writes its log."""
    level = cast("Level", read.choice("LOG_LEVEL", "info", LEVELS))
    return LogSettings(level, cast("Format", read.choice("LOG_FORMAT", "json", FORMATS)))


def _web(read: Reader) -> WebSettings:
    if "METRICS_TOKEN" in read.environ and read.text("METRICS_TOKEN") is None:
        read.fault(
            "METRICS_TOKEN is set but empty, which would open /metrics to everybody: give it a value or remove it."
        )
    password = read.text("CONSOLE_PASSWORD")
    if password is not None and len(password) < SECRET_MIN:
        read.warnings.append(
            f"CONSOLE_PASSWORD has fewer than {SECRET_MIN} characters: it can be guessed; choose a longer one."
        )
    return WebSettings(
        port=read.integer("PORT", 8000, 0, 65_535),
        concurrency=read.integer("WEB_CONCURRENCY", 1, 1, 64, "processes"),
        max_body_bytes=read.size("WEBHOOK_MAX_BODY_BYTES", MIB, 1024, 64 * MIB),
        console_password=password,
        metrics_token=read.text("METRICS_TOKEN"),
    )


def file_from(read: Reader) -> ConfigFile | None:
    """Read the configuration file, if one is named; what is wrong with it becomes faults."""
    path = read.text("GATEWAY_CONFIG")
    if path is None:
        return None
    try:
        file = load(Path(path))
    except ConfigurationError as error:
        read.faults += error.faults
        return None
    tenants: dict[tuple[str, str], str] = {}
    for name, table in file.destinations.items():
        tenant = (table["token_env"], table.get("url", ""))
        if tenant in tenants:
            where = file.where("destinations", name)
            read.fault(f"{where} is the same tenant as destinations.{tenants[tenant]}: one tenant has one quota.")
        tenants[tenant] = name
    return file


def _connections(read: Reader, file: ConfigFile | None) -> tuple[Connection, ...]:
    tolerance_s = read.integer("WEBHOOK_TOLERANCE_S", 300, 1, DAY_S, "seconds")
    public_url = _public_url(read)
    made = [one for source in SOURCES if (one := _connection(read, source, tolerance_s, public_url)) is not None]
    origin = {one.name: f"{one.source.upper()}_SOURCE_ID_PREFIX" for one in made}
    if file is not None:
        first = next(iter(file.destinations), "planhat")
        made = [replace(one, destination=first) for one in made]
        for name, table in file.connections.items():
            where = partial(file.where, "connections", name)
            if name in origin:
                read.fault(f"{where()} exists already by {name.upper()}_WEBHOOK_SECRET: give one of them another name.")
            made.append(_connection_of(read, file, name, table, where, tolerance_s, public_url))
            origin[name] = where("source_id_prefix")
    for at, one in enumerate(made):
        for other in made[:at]:
            same_desk = one.source == other.source and one.subdomain is not None and one.subdomain == other.subdomain
            if one.prefix == other.prefix and one.destination == other.destination and not same_desk:
                read.fault(
                    f"{origin[other.name]} and {origin[one.name]} are the same ({one.prefix!r}): Planhat keys tickets "
                    f"by sourceId alone, so ticket 1 of {other.name} and of {one.name} would overwrite each other: give "
                    "each its own."
                )
    return tuple(made)


def destination_of(read: Reader, file: ConfigFile, name: str, table: Mapping[str, Any]) -> str:
    """Give the destination of a connection of the file; both banks ask."""
    known = tuple(file.destinations)
    wanted = table.get("destination")
    if wanted is None and len(known) <= 1:
        return known[0] if known else "planhat"
    if wanted in known:
        return str(wanted)
    close = difflib.get_close_matches(str(wanted), known, 1, 0.6)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}."
    read.fault(f"{file.where('connections', name, 'destination')} must name a table under [destinations]; {hint}")
    return "planhat"


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
    prefix = table.get("source_id_prefix", f"{name}:")
    if len(prefix) > PREFIX_MAX or not prefix.isprintable():
        read.fault(f"{where('source_id_prefix')} must be at most {PREFIX_MAX} printable characters.")
    variable = table["secret_env"]
    if variable in read.environ:
        secrets = _secrets(read, source, auth, variable)
    else:
        secrets = ()
        read.fault(f"{where('secret_env')}: the variable {variable} is not set: give it the secret of {source}.")
    rules = rules_of(table)
    for part, places in (
        ("only.brands", BRANDS),
        ("only.groups", GROUPS),
        ("ignore.agents", AGENTS),
        ("ignore.apps", APPS),
    ):
        outer, inner = part.split(".")
        if inner in table.get(outer, {}) and source not in places:
            read.fault(
                f"{where(outer, inner)}: bodies of {source} tell none: use {outer}.when with a JMESPath expression."
            )
    return Connection(
        name=name,
        source=source,
        secrets=secrets,
        auth=auth,
        on_delete=cast("OnDelete", table.get("on_delete", "delete")),
        prefix=prefix,
        subdomain=_host(read, where("domain"), table.get("domain"), source),
        account_id=_account(read, where("account_id"), table.get("account_id"), source),
        tolerance_s=tolerance_s,
        destination=destination_of(read, file, name, table),
        public_url=public_url,
        rules=rules,
    )


def _connection(read: Reader, source: str, tolerance_s: int, public_url: str | None) -> Connection | None:
    upper = source.upper()
    auth = cast("Auth", read.choice(f"{upper}_AUTH", "signature", ("signature", "bearer")))
    on_delete = cast("OnDelete", read.choice(f"{upper}_ON_DELETE", "delete", ("delete", "close", "ignore")))
    prefix = read.environ.get(f"{upper}_SOURCE_ID_PREFIX", f"{source}:").strip()
    if len(prefix) > PREFIX_MAX or not prefix.isprintable():
        read.fault(f"{upper}_SOURCE_ID_PREFIX must be at most {PREFIX_MAX} printable characters.")
    account_id = _account(read, f"{upper}_ACCOUNT_ID", read.text(f"{upper}_ACCOUNT_ID"), source)
    allow_test = source == "zendesk" and read.flag("ZENDESK_ALLOW_TEST_SECRET", default=False)
    link = LINK_SETTING.get(source, f"{upper}_DOMAIN")
    subdomain = _host(read, link, read.text(link), source)
    if f"{upper}_WEBHOOK_SECRET" not in read.environ:
        for name in (f"{upper}_AUTH", f"{upper}_ON_DELETE", f"{upper}_SOURCE_ID_PREFIX"):
            if name in read.environ:
                read.warnings.append(
                    f"{name} has no effect without {upper}_WEBHOOK_SECRET, which makes the connection {source}."
                )
        return None
    secrets = _secrets(read, source, auth, f"{upper}_WEBHOOK_SECRET")
    if allow_test:
        secrets += (TEST_SECRET,)
        read.warnings.append(
            "ZENDESK_ALLOW_TEST_SECRET=1 accepts webhooks that anybody can sign: remove it after the test."
        )
    if source == "zoho_desk" and auth == "signature" and account_id is None:
        read.warnings.append(
            "ZOHO_DESK_ACCOUNT_ID is not set: Zoho signs for all its customers with the same keys, so any of them "
            "could send as yours: set the orgId of your Zoho Desk."
        )
    if source == "hubspot" and auth == "signature" and public_url is None:
        read.warnings.append(
            "PUBLIC_URL is not set: HubSpot signs our address, which is now taken from the Host header of each "
            "request: set it to the address that HubSpot calls, without /webhooks/hubspot."
        )
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


def _public_url(read: Reader) -> str | None:
    """Give our own address without its last slash, as helpdesks were told it."""
    value = read.text("PUBLIC_URL")
    if value is None:
        return None
    if not _ADDRESS.fullmatch(value):
        read.fault("PUBLIC_URL must be our address as helpdesks call it, such as https://gateway.acme.example.")
        return None
    return value.rstrip("/")


def _account(read: Reader, name: str, value: str | None, source: str) -> str | None:
    digits = (value or "0").replace("/", "", 1 if source == "zoho_desk" else 0)  # organization, or organization/webhook
    if source in DIGIT_ACCOUNTS and not (digits.isascii() and digits.isdigit()):
        read.fault(f"{name} must be the number of the account as {source} sends it, digits only.")
    return value


def _host(read: Reader, name: str, value: str | None, source: str) -> str | None:
    if value is None:
        return None
    host = value.removeprefix("https://").removeprefix("http://").rstrip("/").lower()
    if not _HOST.fullmatch(host):
        read.fault(f"{name} must be a subdomain or host name such as acme or help.acme.example, without a path.")
        return None
    return host.removesuffix(".zendesk.com") if source == "zendesk" else host


def _secrets(read: Reader, source: str, auth: Auth, name: str) -> tuple[str, ...]:
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


def _misspelt(environ: Mapping[str, str]) -> list[str]:
    """Name what looks like one of our settings and is none; its value is never shown."""
    known = {setting.name for setting in SETTINGS} | FAR_BANK
    suffixes = [name.removeprefix("<SOURCE>") for name in known if "<" in name]
    known |= {source.upper() + suffix for source in SOURCES for suffix in suffixes}
    ours = (*_OURS, *(f"{source.upper()}_" for source in SOURCES))
    said: list[str] = []
    for name in sorted(environ.keys() - known - set(LINK_SETTING.values())):
        close = difflib.get_close_matches(name, known, 1, _CLOSE)
        if close:
            said.append(f"{name} is not a setting of this gateway and has no effect: did you mean {close[0]}?")
        elif name.endswith("_WEBHOOK_SECRET"):
            said.append(f"{name} has no effect: this release knows the sources {', '.join(sorted(SOURCES))}.")
        elif name.startswith(ours):
            said.append(f"{name} is not a setting of this gateway and has no effect.")
    return said


def _range(low: float, high: float, unit: str) -> str:
    return f"between {_figure(low)} and {_figure(high)}{' ' if unit else ''}{unit}"


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def table() -> list[dict[str, Any]]:
    """Give the settings table as plain rows, for documentation."""
    return [{name: getattr(setting, name) for name in Setting.__slots__} for setting in SETTINGS]
