"""
Which connection is meant, where its helpdesk's API is and who we are there, read from the environment.

A name is a source (`zendesk`, with `ZENDESK_...` settings) or a connection of the configuration file. `connect` is the
one far-bank command that sees a webhook's secret: it gives it to the helpdesk or takes it from there, and keeps none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from gateway.connections import ADDRESS, HOST, file_from, link_setting, secrets_from
from gateway.errors import ConfigurationError
from gateway.reader import Reader
from gateway.sources import SOURCES
from workers.access import VENDORS, HelpdeskAccess, secret_from, url_from
from workers.connect.base import Target
from workers.settings import all_from_env

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.sources.base import Auth

AUTHS: Final = ("signature", "bearer")

OTHERS: Final[Mapping[str, str]] = {
    "github": "https://api.github.com",
    "linear": "https://api.linear.app",
    "zammad": "https://{domain}",
    "chatwoot": "https://{domain}",
}
"""Sources without look-ups -> their API, used by set-ups only; `{domain}` is the customer's own server."""


def target_of(environ: Mapping[str, str], name: str) -> Target:
    """
    Find a connection by its name.

    Raises:
        ConfigurationError: there is none of that name, PUBLIC_URL is missing or not https, or a setting is wrong.
    """
    read = Reader(environ)
    file = file_from(read)
    row: Mapping[str, Any] = file.connections.get(name, {}) if file else {}
    if not row and name not in SOURCES:
        own = f" and the connections {', '.join(file.connections)}" if file and file.connections else ""
        read.fault(f"There is no source or connection {name!r}: known are {', '.join(sorted(SOURCES))}{own}.")
        read.done()
    source = str(row.get("source", name))
    upper = source.upper()
    public = _public_url(read)
    secret_name = str(row.get("secret_env", f"{upper}_WEBHOOK_SECRET"))
    auth = str(row.get("auth", "signature")) if row else read.choice(f"{upper}_AUTH", "signature", AUTHS)
    secret = _secret(read, source, cast("Auth", auth), secret_name)
    account = str(row.get("account_id") or "") if row else read.text(f"{upper}_ACCOUNT_ID") or ""
    access = _other(read, name, source, row) if source in OTHERS else None
    read.done()
    if source in VENDORS:
        found = [one for far in all_from_env(environ) for one in far.helpdesks if one.connection == name]
        access = found[0] if found else None
    return Target(
        connection=name,
        source=source,
        url=f"{public}/webhooks/{name}",
        secret_name=secret_name,
        secret=secret,
        account=account,
        access=access,
        in_file=bool(row),
    )


def needed(target: Target, *names: str) -> HelpdeskAccess:
    """
    Give the way to the helpdesk's API.

    Args:
        names: the settings that make it; for a connection of the file its `api` table does, where there are look-ups.
    Raises:
        ConfigurationError: they are not set.
    """
    if target.access is None:
        if target.in_file and target.source in VENDORS:
            where = f"connections.{target.connection}.api in the configuration file"
        else:
            where = ", ".join(names)
        many = where == ", ".join(names) and len(names) > 1
        raise ConfigurationError(
            f"{where}: set {'them' if many else 'it'} to an administrator's credentials, so that we can reach "
            f"{target.source}."
        )
    return target.access


def _public_url(read: Reader) -> str:
    value = read.text("PUBLIC_URL") or ""
    if not value:
        read.fault(
            "PUBLIC_URL is not set: give our address as helpdesks call it, such as https://gateway.acme.example."
        )
    elif not ADDRESS.fullmatch(value) or not value.startswith("https://"):
        read.fault(
            "PUBLIC_URL must begin with https:// and be our address as helpdesks call it, such as "
            "https://gateway.acme.example: no helpdesk may send tickets in the clear."
        )
    return value.rstrip("/")


def _secret(read: Reader, source: str, auth: Auth, name: str) -> str:
    """Give the newest secret that is stored already; what the gateway would refuse is refused here, too."""
    return next(iter(secrets_from(read, source, auth, name)), "") if read.text(name) else ""


def _other(read: Reader, name: str, source: str, row: Mapping[str, Any]) -> HelpdeskAccess | None:
    """Put the access to a source without look-ups together; None without a token."""
    upper = source.upper()
    token = secret_from(read, f"{upper}_API_TOKEN")
    if token is None:
        return None
    link = link_setting(source)
    domain = str(row.get("domain") or "") if row else read.text(link) or ""
    domain = domain.lower().removeprefix("https://").rstrip("/")
    if "{domain}" in OTHERS[source] and read.text(f"{upper}_API_URL") is None and not HOST.fullmatch(domain):
        read.fault(f"{link} must be the host of your {source}, such as desk.acme.example: its API is there.")
    url = url_from(read, f"{upper}_API_URL", local_names=False) or OTHERS[source].format(domain=domain)
    return HelpdeskAccess(connection=name, source=source, base_url=url, site=domain, user="", secret=token)
