"""
What the environment says, read and checked once at boot.

`from_env` finds every fault before it complains, so that one start tells the administrator everything that is wrong.
`SETTINGS` is the table that documentation and tests read; `workers/settings.py` holds the far bank's. Only these two
modules read the environment; the gateway never reads a Planhat token or a helpdesk's API credentials. How single values
are read stands in `gateway.reader`, what becomes a connection in `gateway.connections`.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from urllib.parse import urlsplit

from gateway.connections import DESTINATION, LINK_SETTING, SECRET_MIN, connections_from, destinations_of, file_from
from gateway.errors import ConfigurationError
from gateway.reader import DAY_S, MIB, Reader
from gateway.sources import SOURCES
from gateway.store.records import Limits
from gateway.telemetry import FORMATS, LEVELS, Format, Level

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.sources.base import Connection

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

_OURS: Final = ("WEBHOOK_", "PENDING_", "DEDUPE_", "DEAD_LETTER_", "PLANHAT_", "BATCH_", "TICKET_MEMORY_")
_CLOSE: Final = 0.88


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
    destinations: tuple[str, ...] = (DESTINATION,)
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
    connections = connections_from(read, file)
    read.warnings += _misspelt(environ)
    read.done()
    return Settings(store, web, log, connections, destinations_of(file), tuple(read.warnings))


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


def table() -> list[dict[str, Any]]:
    """Give the settings table as plain rows, for documentation."""
    return [{name: getattr(setting, name) for name in Setting.__slots__} for setting in SETTINGS]
