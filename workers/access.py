"""
What leads to a helpdesk's API and may carry a token there: each vendor's needs, a connection's access, its reading.

Read by `workers.settings` for look-ups and by `workers.connect` for set-ups; the sentences about faults stand beside
the reading.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from gateway.connections import HOST, link_setting, source_prefix
from gateway.reader import Reader
from gateway.sources.reading import mail_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.file import ConfigFile


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


def access_from(read: Reader, source: str) -> HelpdeskAccess | None:
    """
    Put a connection's access together; None without credentials.

    It needs an address, and one that belongs to the vendor.
    """
    upper, row = source.upper(), VENDORS[source]
    name = link_setting(source)
    site = _site(read, name, row.vendor) or row.site
    url = url_from(read, f"{upper}_API_URL")
    secret = secret_from(read, f"{upper}_{row.secret}") or ""
    whose = row.email or row.client
    user = (_email if row.email else secret_from)(read, f"{upper}_{whose}") or "" if whose else ""
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
        prefix=source_prefix(read.environ, source),
    )


def access_of(read: Reader, file: ConfigFile, name: str, row: Mapping[str, Any]) -> HelpdeskAccess | None:
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
        link_setting(source): ("domain", row.get("domain", "")),
    }
    inner = Reader({name: value for name, (_, value) in keys.items()})
    access = access_from(inner, source)
    for fault in inner.faults:
        for variable_name, (key, _) in keys.items():
            fault = fault.replace(variable_name, key)  # noqa: PLW2901  in the words of the file
        read.fault(f"{where}: {fault}")
    return access


def _site(read: Reader, name: str, vendor: str) -> str | None:
    """Give the host of a helpdesk's pages; a bare word is a subdomain of the vendor's."""
    value = read.text(name)
    if value is None:
        return None
    host = value.lower().removeprefix("https://").removeprefix("http://").rstrip("/")
    if not HOST.fullmatch(host):
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


def secret_from(read: Reader, name: str, said: str = "") -> str | None:
    """
    Give a token or key, one word of printable ASCII.

    Args:
        said: what a fault calls it, where `name` alone does not tell.
    """
    value = read.text(name)
    if value is not None and not _PRINTABLE.fullmatch(value):
        read.fault(f"{said or name} must be one word of ASCII characters: copy it again, without spaces or line ends.")
    return value


def url_from(read: Reader, name: str, *, local_names: bool = True) -> str | None:
    """Give an API's address. See `checked_url`."""
    return checked_url(read, name, read.text(name), local_names=local_names)


def checked_url(read: Reader, name: str, value: str | None, *, local_names: bool = True) -> str | None:
    """
    Give an API's address without its last slash; None when there is none, or after a fault.

    Plain http only where it stays within the house.

    Args:
        name: what a fault calls it.
        local_names: names of a local network count as its addresses do.
    """
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or "@" in parts.netloc:
        read.fault(f"{name} must be an address such as https://api.planhat.com, without user, query or fragment.")
        return None
    if parts.scheme == "http" and not _is_local(host, names=local_names):
        read.fault(f"{name} must begin with https://, because it carries a token; http:// is for local networks only.")
        return None
    return value.rstrip("/")


def _is_local(host: str, *, names: bool) -> bool:
    """Say whether a host is this machine, a private network or a name without a domain (compose, Kubernetes)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or (names and ("." not in host or host.endswith(_LOCAL)))
    return address.is_loopback or (address.is_private and not address.is_link_local)
