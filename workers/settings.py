"""
What the environment says to the far bank: Planhat, batches, helpdesk credentials, the bridge.

Never a webhook secret. Read and checked once at boot, every fault reported at once; `SETTINGS` is the table that
documentation and tests read, the far bank's half of `gateway.settings.SETTINGS`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from urllib.parse import urlsplit

from gateway.connections import DESTINATION, destination_of, file_from, source_prefix
from gateway.core.placing import AS_SENT, ORDINARY, Placing
from gateway.errors import ConfigurationError
from gateway.reader import DAY_S, MIB, Reader
from gateway.rules import Rules, placing_of, placing_with, rules_of
from gateway.settings import LogSettings, Setting, StoreSettings, log_from, store_from
from gateway.sources import SOURCES
from workers.access import VENDORS, access_from, access_of, checked_url, secret_from, url_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.file import ConfigFile
    from gateway.sources.base import OnDelete
    from gateway.store.records import Limits
    from workers.access import HelpdeskAccess

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
        """Give the company rules of a connection; "" stands for changes that no connection brought."""
        return self.placings.get(connection, self.placing) if connection else AS_SENT

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
    made = _all_from(read, file_from(read))
    read.done()
    return tuple(replace(one, warnings=tuple(read.warnings)) for one in made)


def faults_from(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Give every fault, and a sentence for each setting that a worker cannot do without and that is not set."""
    read = Reader(environ)
    file = file_from(read)
    made = _all_from(read, file)
    hidden = file.lost if file else "GATEWAY_CONFIG" in environ  # the file's faults hide which token is meant
    said = [sentence for one in made for sentence in one.missing() if not (hidden and one.token_name in sentence)]
    return tuple(dict.fromkeys((*read.faults, *said)))


def _all_from(read: Reader, file: ConfigFile | None) -> tuple[WorkerSettings, ...]:
    """Read every setting of the far bank; faults and warnings stay with the reader."""
    store, log = store_from(read), log_from(read)
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
        api_token=secret_from(read, "PLANHAT_API_TOKEN") or "",
        api_url=url_from(read, "PLANHAT_API_URL") or API_URL,
        calls_per_minute=read.integer("PLANHAT_CALLS_PER_MINUTE", 150, 1, 9000, "calls"),
        max_in_flight=read.integer("PLANHAT_MAX_IN_FLIGHT", 1, 1, 50, "calls"),
        timeout_s=read.number("PLANHAT_TIMEOUT_S", 60, 1, 600, "seconds"),
        hold_s=read.number("PLANHAT_HOLD_S", 30, 0, 3600, "seconds"),
        history=cast("History", read.choice("PLANHAT_HISTORY", "full", ("full", "off"))),
        batch_max_items=read.integer("BATCH_MAX_ITEMS", MAX_ITEMS, 1, MAX_ITEMS, "tickets"),
        batch_max_bytes=read.size("BATCH_MAX_BYTES", 16 * MIB, 4096, MAX_BYTES),
        quiet_s=quiet_s,
        max_wait_s=max_wait_s,
        helpdesks=tuple(one for source in VENDORS if (one := access_from(read, source)) is not None),
        prefixes={source: source_prefix(read.environ, source) for source in SOURCES},
        on_delete=_wishes(read),
    )
    if settings.calls_per_minute > 200:
        read.warnings.append("PLANHAT_CALLS_PER_MINUTE is above 200, Planhat's soft quota: expect answers 429.")
    return (settings,) if file is None else _by_destination(read, settings, file)


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
            token_name = table["token_env"]
            mine = replace(
                mine,
                api_token=secret_from(read, token_name, f"{where('token_env')}: {token_name}") or "",
                token_name=token_name,
                api_url=checked_url(read, where("url"), table.get("url")) or settings.api_url,
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
    access = access_of(read, file, name, row) if "api" in row else None
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


def require(*settings: WorkerSettings) -> WorkerSettings:
    """
    Give the first settings back when a worker can run with all of them.

    Raises:
        ConfigurationError: REDIS_URL or a destination's token is not set.
    """
    if said := tuple(dict.fromkeys(sentence for one in settings for sentence in one.missing())):
        raise ConfigurationError(said)
    return settings[0]


def _wishes(read: Reader) -> dict[str, OnDelete]:
    """Give what deletions become, by source; the gateway tells what is wrong with these settings."""
    said = {source: (read.text(f"{source.upper()}_ON_DELETE") or "delete").lower() for source in SOURCES}
    return {source: cast("OnDelete", wish) for source, wish in said.items() if wish in ("close", "ignore")}


def _hash(*values: str) -> str:
    return hashlib.blake2b("\0".join(values).encode(), digest_size=8).hexdigest()
