"""
What may stand in a configuration file, as data: the reader, the JSON Schema and the example are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from gateway.core.change import FIELDS
from gateway.sources import SOURCES

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["text", "texts", "flag", "integer", "words", "query", "queries", "table", "tables"]


@dataclass(frozen=True, slots=True)
class Key:
    """
    One key of a table.

    kind: `text`, `texts` (array of them), `flag`, `integer`, `words` (table of texts), `query` (JMESPath), `queries`
        (table of JMESPath), `table` (with `keys`), `tables` (any names, each a table with `keys`).
    meaning: one phrase, shown by editors.
    example: a value for the example file; None leaves it out there.
    choices: the only values of a text, or of the names of a table of queries.
    low, high: bounds of an integer.
    pattern: what a text, or each of an array, must match from end to end; `must` says it in words. A fault does not
        repeat the text, which may be a secret that was pasted in the place of its variable's name.
    """

    kind: Kind
    meaning: str
    example: Any = None
    choices: tuple[str, ...] = ()
    keys: Mapping[str, Key] = field(default_factory=dict)
    low: int = 0
    high: int = 0
    needed: bool = False
    pattern: str = ""
    must: str = ""


VARIABLE: Final = "[A-Z_][A-Z0-9_]*"
DOMAIN: Final = r"[^\s@./]+(\.[^\s@./]+)+"
PREFIX: Final = r"\S{0,64}"


def _variable(meaning: str, example: str) -> Key:
    must = f"must name a variable, such as {example}: capital letters, digits and _; its value stays out of the file."
    return Key("text", meaning, example, needed=True, pattern=VARIABLE, must=must)


WHOLE_BODY: Final = ("items", "createdAt", "updatedAt", "deleted")
"""Names of a field map that only a map with `sourceId` uses."""
MAP_NAMES: Final = ("sourceId", *WHOLE_BODY, *FIELDS)
"""Names of a field map; `custom.NAME` as well. With `sourceId` the map reads the whole body by itself."""

_DESTINATION: Final = {
    "token_env": _variable("variable that holds the token of the tenant's Private App", "PLANHAT_API_TOKEN"),
    "url": Key("text", "address of the tenant's region", "https://api.planhat.com"),
    "calls_per_minute": Key("integer", "shared by all workers; the soft quota is 200", 150, low=1, high=9000),
    "max_in_flight": Key("integer", "bulk calls at once", 1, low=1, high=50),
    "history": Key("text", "full sends every known status, off sends none", "full", choices=("full", "off")),
}

_API: Final = {
    "email": Key("text", "the agent whose token it is (Zendesk, Jira)", "agent@acme.example"),
    "client_id": Key("text", "the OAuth client (Salesforce, Help Scout); token_env is then its secret"),
    "token_env": _variable("variable that holds the API token or key", "ZENDESK_EMEA_API_TOKEN"),
    "url": Key("text", "another API address than the vendor's"),
}

_ONLY: Final = {
    "tags": Key("texts", "tickets with any of these tags", ["b2b"]),
    "statuses": Key("texts", "tickets in any of these statuses, as the helpdesk words them"),
    "brands": Key("texts", "tickets of these brands, by id or name as the body tells it"),
    "groups": Key("texts", "tickets of these groups, teams, projects, by id or name as the body tells it"),
    "when": Key("query", "bodies of which this JMESPath expression is true"),
}

_IGNORE: Final = {
    "agents": Key("texts", "changes made by these people, by id or e-mail", ["9001"]),
    "apps": Key("texts", "changes made by these apps, by id or name"),
    "tags": Key("texts", "tickets with any of these tags", ["from-planhat"]),
    "when": Key("query", "bodies of which this JMESPath expression is true"),
}

_COMPANY: Final = {
    "by": Key(
        "texts",
        "what places a ticket, all of it by default: external_id, domain",
        ["external_id", "domain"],
        choices=("external_id", "domain"),
    ),
    "external_id": Key("text", "every ticket belongs to the company with this external id"),
    "id": Key("text", "every ticket belongs to the company with this Planhat id"),
    "resolve": Key("flag", "find companyId in Planhat's company list; tickets of unknown companies wait", example=True),
}

_CONNECTION: Final = {
    "source": Key("text", "the helpdesk", "zendesk", choices=tuple(SOURCES), needed=True),
    "destination": Key("text", "name of a table under [destinations]; not needed while there is one", "planhat"),
    "secret_env": _variable(
        "variable that holds the webhook's secret; a comma-separated list rotates", "ZENDESK_EMEA_SECRET"
    ),
    "auth": Key(
        "text", "how the sender proves itself: signature, bearer", "signature", choices=("signature", "bearer")
    ),
    "on_delete": Key(
        "text",
        "what a deleted ticket becomes in Planhat: delete (the default), close, ignore",
        "close",
        choices=("delete", "close", "ignore"),
    ),
    "source_id_prefix": Key(
        "text",
        "put before every ticket id; `NAME:` by default",
        "emea:",
        pattern=PREFIX,
        must="must be at most 64 printable characters without blanks.",
    ),
    "domain": Key("text", "subdomain or host of the helpdesk's pages, makes links", "acme-emea"),
    "account_id": Key("text", "bodies of another account are refused"),
    "api": Key("table", "credentials for look-ups", keys=_API),
    "status": Key("words", "the helpdesk's status -> the word to send", {"hold": "on-hold"}),
    "only": Key("table", "which tickets are sent; all that is named must hold", keys=_ONLY),
    "ignore": Key("table", "which changes are not taken in, so that write-backs do not loop", keys=_IGNORE),
    "map": Key("queries", "Planhat field -> JMESPath expression over the body", {"product": "detail.form_id"}),
    "company": Key("table", "how tickets are placed", keys=_COMPANY),
}

_MUST_DOMAIN: Final = "must be mail domains, such as isp.example, without what stands before the @."

FILE: Final = {
    "destinations": Key("tables", "Planhat tenants", keys=_DESTINATION),
    "connections": Key("tables", "helpdesks; NAME makes the route /webhooks/NAME", keys=_CONNECTION),
    "free_mail": Key(
        "table",
        "mail providers whose domains name no company",
        keys={
            "add": Key("texts", "these as well", ["isp.example"], pattern=DOMAIN, must=_MUST_DOMAIN),
            "remove": Key("texts", "not these", ["web.de"], pattern=DOMAIN, must=_MUST_DOMAIN),
        },
    ),
}
"""Every table of the file."""
