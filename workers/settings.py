"""
What the environment says to the far bank: Planhat, batches, helpdesk credentials, the bridge.

Never a webhook secret. Read and checked once at boot, every fault reported at once; `SETTINGS` is the table that
documentation and tests read, the far bank's half of `gateway.settings.SETTINGS`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, cast
from urllib.parse import urlsplit

from gateway.errors import ConfigurationError
from gateway.settings import DAY_S, MIB, LogSettings, Reader, Setting, StoreSettings, log_from, store_from
from gateway.sources import SOURCES
from gateway.sources.reading import mail_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.store.records import Limits

DESTINATION: Final = "planhat"
API_URL: Final = "https://api.planhat.com"
MAX_ITEMS: Final = 5_000
"""Planhat's own limit of one bulk upsert."""
MAX_BYTES: Final = 32 * MIB
"""Planhat's limit of one post, documented for analytics and applied to everything by others."""

History = Literal["full", "off"]

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("PLANHAT_API_TOKEN", None, "", "token of a Planhat Private App; the worker needs it", "planhat"),
    Setting("PLANHAT_API_URL", API_URL, "", "address of the tenant's region", "planhat"),
    Setting(
        "PLANHAT_CALLS_PER_MINUTE", "150", "calls", "shared by all workers; Planhat's soft quota is 200", "planhat"
    ),
    Setting("PLANHAT_MAX_IN_FLIGHT", "1", "calls", "concurrent bulk calls per destination", "planhat"),
    Setting("PLANHAT_TIMEOUT_S", "60", "s", "one call, from connecting to the end of the answer", "planhat"),
    Setting("PLANHAT_HOLD_S", "30", "s", "how much longer an abandoned call may still land", "planhat"),
    Setting("PLANHAT_HISTORY", "full", "", "full sends every known status, off sends none", "planhat"),
    Setting("BATCH_MAX_ITEMS", "5000", "tickets", "largest batch; Planhat takes at most 5000", "batch"),
    Setting("BATCH_MAX_BYTES", "16777216", "bytes", "largest body of a batch", "batch"),
    Setting("BATCH_QUIET_S", "2", "s", "a batch leaves when nothing has come in for this long", "batch"),
    Setting("BATCH_MAX_WAIT_S", "10", "s", "or when its oldest change is this old", "batch"),
    Setting("ZENDESK_SUBDOMAIN", None, "", "acme of acme.zendesk.com, for links and look-ups", "helpdesk"),
    Setting("ZENDESK_API_EMAIL", None, "", "agent whose API token it is", "helpdesk"),
    Setting("ZENDESK_API_TOKEN", None, "", "switches look-ups at Zendesk on", "helpdesk"),
    Setting("ZENDESK_API_URL", None, "", "another API address than the subdomain's, for tests", "helpdesk"),
    Setting("FRESHDESK_DOMAIN", None, "", "acme or acme.freshdesk.com, for links and look-ups", "helpdesk"),
    Setting("FRESHDESK_API_KEY", None, "", "switches look-ups at Freshdesk on", "helpdesk"),
    Setting("FRESHDESK_API_URL", None, "", "another API address than the domain's, for tests", "helpdesk"),
)
"""Beside these the far bank reads rooms `store` and `log` and <SOURCE>_SOURCE_ID_PREFIX of the gateway's table."""

_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_LOCAL: Final = (".local", ".internal", ".localhost", ".test", ".cluster.local")


@dataclass(frozen=True, slots=True)
class HelpdeskAccess:
    """
    One connection's way to its helpdesk.

    base_url: of the REST API.
    site: host of the pages that people open, for links; "" when not configured.
    user: Zendesk's agent e-mail; "" for Freshdesk.
    secret: API token or key.
    prefix: put before every ticket id to make `sourceId`.
    """

    connection: str
    source: str
    base_url: str
    site: str
    user: str
    secret: str = field(repr=False)
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """
    Everything the far bank knows at boot.

    store: how to reach the bridge; `redis_url` below is its address, "" when not set.
    api_token: "" when not set: `require` says so, for the commands that need it.
    prefixes: source -> what stands before its ticket ids.
    warnings: sentences for the administrator about settings that are legal and probably not meant.
    """

    store: StoreSettings
    log: LogSettings
    api_token: str = field(repr=False)
    api_url: str = API_URL
    calls_per_minute: int = 150
    max_in_flight: int = 1
    timeout_s: float = 60
    hold_s: float = 30
    history: History = "full"
    batch_max_items: int = MAX_ITEMS
    batch_max_bytes: int = 16 * MIB
    quiet_s: float = 2
    max_wait_s: float = 10
    helpdesks: tuple[HelpdeskAccess, ...] = ()
    prefixes: Mapping[str, str] = field(default_factory=dict)
    destination: str = DESTINATION
    warnings: tuple[str, ...] = ()

    @property
    def redis_url(self) -> str:
        """The bridge's address, "" when not set."""
        return self.store.redis_url or ""

    @property
    def redis_tls_verify(self) -> bool:
        """Whether the bridge's certificate is checked."""
        return self.store.tls_verify

    @property
    def limits(self) -> Limits:
        """What may lie on the bridge."""
        return self.store.limits

    @property
    def ticket_memory_ttl_s(self) -> int:
        """How long the state of a closed ticket lives, seconds."""
        return self.store.ticket_memory_ttl_s

    @property
    def dead_letter_ttl_s(self) -> int:
        """How long a dead letter is kept, seconds."""
        return self.store.dead_letter_ttl_s

    @property
    def token_hash(self) -> str:
        """What changes with the token or the address, and does not tell them."""
        return _hash(self.api_url, self.api_token)

    @property
    def credentials_hash(self) -> str:
        """What changes with any helpdesk's address or credentials, and does not tell them."""
        return _hash(
            *(value for one in self.helpdesks for value in (one.connection, one.base_url, one.user, one.secret))
        )

    def prefix_of(self, connection: str) -> str:
        """Give what stands before the ticket ids of a connection."""
        return self.prefixes.get(connection, f"{connection}:" if connection else "")

    def source_of(self, connection: str) -> str:
        """Give the source of a connection; without a configuration file its name is the source's."""
        return connection

    def secrets(self) -> tuple[str, ...]:
        """Give every secret value, for the log's redaction."""
        found = [self.api_token, *(one.secret for one in self.helpdesks), urlsplit(self.redis_url).password]
        return tuple(one for one in found if one)

    def missing(self) -> tuple[str, ...]:
        """Give a sentence for each setting that a worker cannot do without and that is not set."""
        said = []
        if not self.redis_url:
            said.append("REDIS_URL is not set: give the address of a Redis >= 7 or Valkey.")
        if not self.api_token:
            said.append("PLANHAT_API_TOKEN is not set: make a Private App in Planhat and give its token.")
        return tuple(said)


def from_env(environ: Mapping[str, str]) -> WorkerSettings:
    """
    Read every setting of the far bank.

    A missing REDIS_URL or PLANHAT_API_TOKEN is no fault here, because not every command needs them: see `missing`.

    Raises:
        ConfigurationError: with every fault at once, each a sentence that names the setting and says what to do.
    """
    read = Reader(environ)
    if read.text("GATEWAY_CONFIG"):
        read.fault("GATEWAY_CONFIG is set, but configuration files come in a later release: remove it.")
    store, log = store_from(read), log_from(read)
    token = read.text("PLANHAT_API_TOKEN") or ""
    if token and not _PRINTABLE.fullmatch(token):
        read.fault(
            "PLANHAT_API_TOKEN must be one word of ASCII characters: copy it again, without spaces or line ends."
        )
    quiet_s = read.number("BATCH_QUIET_S", 2, 0, 3600, "seconds")
    max_wait_s = read.number("BATCH_MAX_WAIT_S", 10, 0, DAY_S, "seconds")
    if quiet_s > max_wait_s:
        read.fault(
            f"BATCH_QUIET_S ({quiet_s:g}) must not be more than BATCH_MAX_WAIT_S ({max_wait_s:g}): "
            "a batch would never wait for the quiet."
        )
    settings = WorkerSettings(
        store=store,
        log=log,
        api_token=token,
        api_url=_url(read, "PLANHAT_API_URL") or API_URL,
        calls_per_minute=read.integer("PLANHAT_CALLS_PER_MINUTE", 150, 1, 9000, "calls"),
        max_in_flight=read.integer("PLANHAT_MAX_IN_FLIGHT", 1, 1, 50, "calls"),
        timeout_s=read.number("PLANHAT_TIMEOUT_S", 60, 1, 600, "seconds"),
        hold_s=read.number("PLANHAT_HOLD_S", 30, 0, 3600, "seconds"),
        history=cast("History", read.choice("PLANHAT_HISTORY", "full", ("full", "off"))),
        batch_max_items=read.integer("BATCH_MAX_ITEMS", MAX_ITEMS, 1, MAX_ITEMS, "tickets"),
        batch_max_bytes=read.size("BATCH_MAX_BYTES", 16 * MIB, 4096, MAX_BYTES),
        quiet_s=quiet_s,
        max_wait_s=max_wait_s,
        helpdesks=tuple(one for one in (_zendesk(read), _freshdesk(read)) if one is not None),
        prefixes=_prefixes(environ),
    )
    if settings.calls_per_minute > 200:
        read.warnings.append("PLANHAT_CALLS_PER_MINUTE is above 200, Planhat's soft quota: expect answers 429.")
    read.done()
    return replace(settings, warnings=tuple(read.warnings))


def from_process() -> WorkerSettings:
    """Read the settings of this process. Raises ConfigurationError like `from_env`."""
    return from_env(os.environ)


def require(settings: WorkerSettings) -> WorkerSettings:
    """
    Give the settings back when a worker can run with them.

    Raises:
        ConfigurationError: REDIS_URL or PLANHAT_API_TOKEN is not set.
    """
    if said := settings.missing():
        raise ConfigurationError(said)
    return settings


def _zendesk(read: Reader) -> HelpdeskAccess | None:
    site = _site(read, "ZENDESK_SUBDOMAIN", "zendesk.com")
    url = _url(read, "ZENDESK_API_URL")
    email, token = _email(read, "ZENDESK_API_EMAIL"), _secret(read, "ZENDESK_API_TOKEN")
    if not email and not token:
        return None
    if not email or not token:
        given, lacking = (
            ("ZENDESK_API_TOKEN", "ZENDESK_API_EMAIL") if token else ("ZENDESK_API_EMAIL", "ZENDESK_API_TOKEN")
        )
        read.fault(f"{given} is set without {lacking}: look-ups at Zendesk need both.")
    return _access(read, "zendesk", "ZENDESK_SUBDOMAIN", site=site, url=url, user=email or "", secret=token or "")


def _freshdesk(read: Reader) -> HelpdeskAccess | None:
    site = _site(read, "FRESHDESK_DOMAIN", "freshdesk.com")
    url = _url(read, "FRESHDESK_API_URL")
    key = _secret(read, "FRESHDESK_API_KEY")
    return _access(read, "freshdesk", "FRESHDESK_DOMAIN", site=site, url=url, user="", secret=key) if key else None


def _access(
    read: Reader, source: str, name: str, *, site: str | None, url: str | None, user: str, secret: str
) -> HelpdeskAccess | None:
    """Put a connection's access together; it needs an address, and one that belongs to the vendor."""
    vendor = f"{source}.com"
    if not site and not url:
        if not read.text(name):
            read.fault(f"{name} is not set: look-ups at {source} need it, for example {name}=acme.")
        return None
    if not url and site and not site.endswith(f".{vendor}"):
        read.fault(f"{name} must be the name before .{vendor}, such as acme: credentials go to no other address.")
        return None
    prefix = read.environ.get(f"{source.upper()}_SOURCE_ID_PREFIX", f"{source}:").strip()
    return HelpdeskAccess(
        connection=source,
        source=source,
        base_url=url or f"https://{site}/api/v2",
        site=site or "",
        user=user,
        secret=secret,
        prefix=prefix,
    )


def _site(read: Reader, name: str, vendor: str) -> str | None:
    """Give the host of a helpdesk's pages; a bare word is a subdomain of the vendor's."""
    value = read.text(name)
    if value is None:
        return None
    host = value.lower().removeprefix("https://").removeprefix("http://").rstrip("/")
    if not _HOST.fullmatch(host):
        read.fault(f"{name} must be a subdomain or host name such as acme or acme.{vendor}, without a path.")
        return None
    return host if "." in host else f"{host}.{vendor}"


def _email(read: Reader, name: str) -> str | None:
    """Give an agent's address; what is copied from curl examples ends in `/token`."""
    value = read.text(name)
    if value is None:
        return None
    address = value.removesuffix("/token")
    if mail_address(address) is None or ":" in address:
        read.fault(f"{name} must be the e-mail address of the agent whose token it is.")
    return address


def _secret(read: Reader, name: str) -> str | None:
    value = read.text(name)
    if value is not None and not _PRINTABLE.fullmatch(value):
        read.fault(f"{name} must be one word of ASCII characters: copy it again, without spaces or line ends.")
    return value


def _url(read: Reader, name: str) -> str | None:
    """Give an API address without its last slash. Plain http only where it stays within the house."""
    value = read.text(name)
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or "@" in parts.netloc:
        read.fault(f"{name} must be an address such as {API_URL}, without user, query or fragment.")
        return None
    if parts.scheme == "http" and not _is_local(host):
        read.fault(f"{name} must begin with https://, because it carries a token; http:// is for local networks only.")
        return None
    return value.rstrip("/")


def _is_local(host: str) -> bool:
    """Say whether a host is this machine, a private network or a name without a domain (compose, Kubernetes)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_LOCAL)
    return address.is_loopback or (address.is_private and not address.is_link_local)


def _prefixes(environ: Mapping[str, str]) -> dict[str, str]:
    """Give every source's prefix as `gateway.settings` reads it."""
    return {source: environ.get(f"{source.upper()}_SOURCE_ID_PREFIX", f"{source}:").strip() for source in SOURCES}


def _hash(*values: str) -> str:
    return hashlib.blake2b("\0".join(values).encode(), digest_size=8).hexdigest()
