"""
What the environment says to the far bank: Planhat, batches, helpdesk credentials, the bridge.

Never a webhook secret. Read and checked once at boot, every fault reported at once; `SETTINGS` is the table that
documentation and tests read, the far bank's half of `gateway.settings.SETTINGS`.

Longer than 400 lines because what each vendor needs and the sentences about its faults belong beside their reading.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast
from urllib.parse import urlsplit

from gateway.connections import DESTINATION, LINK_SETTING, destination_of, file_from
from gateway.core.placing import ORDINARY, Placing
from gateway.errors import ConfigurationError
from gateway.reader import DAY_S, MIB, Reader
from gateway.rules import Rules, placing_of, placing_with, rules_of
from gateway.settings import LogSettings, Setting, StoreSettings, log_from, store_from
from gateway.sources import SOURCES
from gateway.sources.reading import mail_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.file import ConfigFile
    from gateway.sources.base import OnDelete
    from gateway.store.records import Limits

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
    Setting("<SOURCE>_DOMAIN", None, "", "host of the helpdesk's pages, for links and look-ups", "helpdesk"),
    Setting("<SOURCE>_API_TOKEN", None, "", "switches look-ups at the helpdesk on", "helpdesk"),
    Setting("<SOURCE>_API_EMAIL", None, "", "agent whose API token it is (Zendesk, Jira)", "helpdesk"),
    Setting("<SOURCE>_API_URL", None, "", "another API address than the vendor's", "helpdesk"),
    Setting("<SOURCE>_API_CLIENT_ID", None, "", "OAuth client (Salesforce, Help Scout), and", "helpdesk"),
    Setting("<SOURCE>_API_CLIENT_SECRET", None, "", "its secret: switches look-ups on", "helpdesk"),
    Setting("FRESHDESK_API_KEY", None, "", "switches look-ups at Freshdesk on", "helpdesk"),
)
"""Beside these the far bank reads rooms `store` and `log` and <SOURCE>_SOURCE_ID_PREFIX of the gateway's table."""


class Vendor(NamedTuple):
    """
    What a source's look-ups need. A client in `workers.helpdesks.CLIENTS` has its row here.

    vendor: what the host of its pages ends in; credentials go to no other address unless <SOURCE>_API_URL says so.
    api: the API's address; `{site}` is the host of its pages, `{name}` what stands in it before `vendor`, `{region}`
        that without `app`.
    site: that host when no setting names it; "" when one must.
    secret, email: endings of the settings with the credentials; `email` "" when the secret alone does.
    client: ending of the setting with an OAuth client's id, which goes with the secret instead of an address.
    hosted: it may be the customer's own server, named by <SOURCE>_API_URL, where the secret alone does.
    """

    vendor: str
    api: str
    site: str = ""
    secret: str = "API_TOKEN"  # noqa: S105  a name
    email: str = ""
    client: str = ""
    hosted: bool = False


VENDORS: Final[Mapping[str, Vendor]] = {
    "zendesk": Vendor("zendesk.com", "https://{site}/api/v2", email="API_EMAIL"),
    "freshdesk": Vendor("freshdesk.com", "https://{site}/api/v2", secret="API_KEY"),  # noqa: S106  a name
    "freshservice": Vendor("freshservice.com", "https://{site}/api/v2"),
    "jira_service_management": Vendor("atlassian.net", "https://{site}", email="API_EMAIL", hosted=True),
    "intercom": Vendor("intercom.com", "https://api{region}.intercom.io", site="app.intercom.com"),
    "hubspot": Vendor("hubspot.com", "https://api.hubapi.com", site="app.hubspot.com"),
    "kustomer": Vendor("kustomerapp.com", "https://{name}.api.kustomerapp.com/v1"),
    "pylon": Vendor("usepylon.com", "https://api.usepylon.com", site="app.usepylon.com"),
    "front": Vendor("frontapp.com", "https://api2.frontapp.com", site="app.frontapp.com"),
    "help_scout": Vendor(
        "helpscout.net",
        "https://api.helpscout.net/v2",
        site="secure.helpscout.net",
        secret="API_CLIENT_SECRET",  # noqa: S106  a name
        client="API_CLIENT_ID",
    ),
    "salesforce": Vendor(
        "my.salesforce.com",
        "https://{site}",
        secret="API_CLIENT_SECRET",  # noqa: S106  a name
        client="API_CLIENT_ID",
    ),
}
"""Source -> what its look-ups need."""

_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_LOCAL: Final = (".local", ".internal", ".localhost", ".test", ".cluster.local")


@dataclass(frozen=True, slots=True)
class HelpdeskAccess:
    """
    One connection's way to its helpdesk.

    base_url: of the REST API.
    site: host of the pages that people open, for links; "" when not configured.
    user: the agent's e-mail or the OAuth client's id where the secret alone does not do, else "".
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
    api_token: "" when not set: `require` says so, for the commands that need it. `token_name` is its variable.
    prefixes: connection -> what stands before its ticket ids.
    sources, rules, placings: connection of the configuration file -> its source, rules, company rules.
    placing: the company rules of all other connections.
    on_delete: connection -> what its deletions become, where it is not `delete`.
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
    sources: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, Rules] = field(default_factory=dict)
    on_delete: Mapping[str, OnDelete] = field(default_factory=dict)
    placing: Placing = ORDINARY
    placings: Mapping[str, Placing] = field(default_factory=dict)
    destination: str = DESTINATION
    token_name: str = "PLANHAT_API_TOKEN"  # noqa: S105  a name
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
        return self.sources.get(connection, connection)

    def express_source_of(self, connection: str) -> str:
        """Give the same for connections without company rules of their own, "" for the others."""
        return self.source_of(connection) if self.placing_of(connection) is ORDINARY else ""

    @property
    def resolves_companies(self) -> bool:
        """Whether any connection wants `companyId` from Planhat's company list."""
        return any(placing.resolve for placing in self.placings.values())

    def placing_of(self, connection: str) -> Placing:
        """Give the company rules of a connection."""
        return self.placings.get(connection, self.placing)

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
            said.append(f"{self.token_name} is not set: make a Private App in Planhat and give its token.")
        return tuple(said)


def from_env(environ: Mapping[str, str]) -> WorkerSettings:
    """Read the settings of the first destination, the only one without a configuration file. See `all_from_env`."""
    return all_from_env(environ)[0]


def all_from_env(environ: Mapping[str, str]) -> tuple[WorkerSettings, ...]:
    """
    Read every setting of the far bank, one result for each destination; there is always one.

    A missing REDIS_URL or PLANHAT_API_TOKEN is no fault here, because not every command needs them: see `missing`.

    Raises:
        ConfigurationError: with every fault at once, each a sentence that names the setting and says what to do.
    """
    read = Reader(environ)
    file = file_from(read)
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
        helpdesks=tuple(one for source in VENDORS if (one := _access(read, source)) is not None),
        prefixes=_prefixes(environ),
        on_delete=_wishes(read),
    )
    if settings.calls_per_minute > 200:
        read.warnings.append("PLANHAT_CALLS_PER_MINUTE is above 200, Planhat's soft quota: expect answers 429.")
    made = (settings,) if file is None else _by_destination(read, settings, file)
    read.done()
    return tuple(replace(one, warnings=tuple(read.warnings)) for one in made)


def from_process() -> WorkerSettings:
    """Read the settings of this process' first destination. Raises ConfigurationError like `from_env`."""
    return from_env(os.environ)


def all_from_process() -> tuple[WorkerSettings, ...]:
    """Read the settings of this process. Raises ConfigurationError like `all_from_env`."""
    return all_from_env(os.environ)


def _by_destination(read: Reader, settings: WorkerSettings, file: ConfigFile) -> tuple[WorkerSettings, ...]:
    """Give each destination of the file its settings; those of the environment belong to the first."""
    placing = placing_with(file.free_mail)
    made: list[WorkerSettings] = []
    for name, table in (file.destinations or {DESTINATION: {}}).items():
        where = partial(file.where, "destinations", name)
        mine = replace(settings, destination=name, placing=placing)
        if made:
            mine = replace(mine, helpdesks=(), prefixes={}, on_delete={})
        if table:
            token = read.environ.get(table["token_env"], "").strip()
            if token and not _PRINTABLE.fullmatch(token):
                read.fault(f"{where('token_env')}: {table['token_env']} must be one word of ASCII characters.")
            mine = replace(
                mine,
                api_token=token,
                token_name=table["token_env"],
                api_url=_checked_url(read, where("url"), table.get("url")) or settings.api_url,
                calls_per_minute=table.get("calls_per_minute", settings.calls_per_minute),
                max_in_flight=table.get("max_in_flight", settings.max_in_flight),
                history=table.get("history", settings.history),
            )
        for connection, row in file.connections.items():
            if destination_of(read, file, connection, row) == name:
                mine = _with_connection(read, mine, file, connection, row)
        made.append(mine)
    return tuple(made)


def _with_connection(
    read: Reader, mine: WorkerSettings, file: ConfigFile, name: str, row: Mapping[str, Any]
) -> WorkerSettings:
    """Add a connection of the file."""
    source, prefix = row["source"], row.get("source_id_prefix", f"{name}:")
    access = _access_of(read, file, name, row) if "api" in row else None
    placing = placing_of(row, mine.placing)
    rules = rules_of(row)
    return replace(
        mine,
        helpdesks=(
            *(one for one in mine.helpdesks if one.connection != name),
            *([replace(access, connection=name, prefix=prefix)] if access else []),
        ),
        prefixes={**mine.prefixes, name: prefix},
        sources={**mine.sources, name: source},
        on_delete={**mine.on_delete, name: row.get("on_delete", "delete")},
        rules={**mine.rules, name: rules} if rules else mine.rules,
        placings={**mine.placings, name: placing} if placing != mine.placing else mine.placings,
    )


def _access_of(read: Reader, file: ConfigFile, name: str, row: Mapping[str, Any]) -> HelpdeskAccess | None:
    """Read a connection's `api` table as if its values stood in the environment."""
    source, api, where = row["source"], row["api"], file.where("connections", name, "api")
    if source not in VENDORS:
        read.fault(f"{where}: there are no look-ups at {source}: remove the table.")
        return None
    vendor, upper = VENDORS[source], source.upper()
    variable = api["token_env"]
    if not read.environ.get(variable, "").strip():
        read.fault(f"{where}: the variable {variable} is not set: give it the API token of {source}.")
        return None
    keys = {
        f"{upper}_{vendor.secret}": ("token_env", read.environ[variable]),
        f"{upper}_API_EMAIL": ("email", api.get("email", "")),
        f"{upper}_API_CLIENT_ID": ("client_id", api.get("client_id", "")),
        f"{upper}_API_URL": ("url", api.get("url", "")),
        LINK_SETTING.get(source, f"{upper}_DOMAIN"): ("domain", row.get("domain", "")),
    }
    inner = Reader({name: value for name, (_, value) in keys.items()})
    access = _access(inner, source)
    for fault in inner.faults:
        for variable_name, (key, _) in keys.items():
            fault = fault.replace(variable_name, key)  # noqa: PLW2901  in the words of the file
        read.fault(f"{where}: {fault}")
    return access


def require(*settings: WorkerSettings) -> WorkerSettings:
    """
    Give the first settings back when a worker can run with all of them.

    Raises:
        ConfigurationError: REDIS_URL or a destination's token is not set.
    """
    if said := tuple(dict.fromkeys(sentence for one in settings for sentence in one.missing())):
        raise ConfigurationError(said)
    return settings[0]


def _access(read: Reader, source: str) -> HelpdeskAccess | None:
    """
    Put a connection's access together; None without credentials.

    It needs an address, and one that belongs to the vendor.
    """
    upper, row = source.upper(), VENDORS[source]
    name = LINK_SETTING.get(source, f"{upper}_DOMAIN")
    site = _site(read, name, row.vendor) or row.site
    url = _url(read, f"{upper}_API_URL")
    secret = _secret(read, f"{upper}_{row.secret}") or ""
    whose = row.email or row.client
    user = (_email if row.email else _secret)(read, f"{upper}_{whose}") or "" if whose else ""
    if not user and not secret:
        return None
    if not secret or (whose and not user and not (row.hosted and url)):
        names = (f"{upper}_{row.secret}", f"{upper}_{whose}")
        given, lacking = names if secret else names[::-1]
        read.fault(f"{given} is set without {lacking}: look-ups at {source} need both.")
    if not site and not url:
        if not read.text(name):
            read.fault(f"{name} is not set: look-ups at {source} need it, for example {name}=acme.")
        return None
    if not url and not site.endswith(f".{row.vendor}"):
        read.fault(f"{name} must be the name before .{row.vendor}, such as acme: credentials go to no other address.")
        return None
    label = site.removesuffix(f".{row.vendor}")
    return HelpdeskAccess(
        connection=source,
        source=source,
        base_url=url or row.api.format(site=site, name=label, region=label.removeprefix("app")),
        site=site,
        user=user,
        secret=secret,
        prefix=read.environ.get(f"{upper}_SOURCE_ID_PREFIX", f"{source}:").strip(),
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
    return _checked_url(read, name, read.text(name))


def _checked_url(read: Reader, name: str, value: str | None) -> str | None:
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


def _wishes(read: Reader) -> dict[str, OnDelete]:
    """Give what deletions become, by source; the gateway tells what is wrong with these settings."""
    said = {source: (read.text(f"{source.upper()}_ON_DELETE") or "delete").lower() for source in SOURCES}
    return {source: cast("OnDelete", wish) for source, wish in said.items() if wish in ("close", "ignore")}


def _hash(*values: str) -> str:
    return hashlib.blake2b("\0".join(values).encode(), digest_size=8).hexdigest()
