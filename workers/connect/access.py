"""
Which connection is meant, where its helpdesk's API is and who we are there, read from the environment.

A name is a source (`zendesk`, with `ZENDESK_...` settings) or a connection of the configuration file. `connect` is the
one far-bank command that sees a webhook's secret: it gives it to the helpdesk or takes it from there, and keeps none.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gateway.connections import LINK_SETTING, SECRET_MIN, file_from
from gateway.errors import ConfigurationError
from gateway.reader import Reader
from gateway.sources import SOURCES
from workers.connect.base import Target
from workers.settings import VENDORS, HelpdeskAccess, all_from_env

if TYPE_CHECKING:
    from collections.abc import Mapping

OTHERS: Final[Mapping[str, str]] = {
    "github": "https://api.github.com",
    "linear": "https://api.linear.app",
    "zammad": "https://{domain}",
    "chatwoot": "https://{domain}",
}
"""Sources without look-ups -> their API, used by set-ups only; `{domain}` is the customer's own server."""

_PUBLIC: Final = re.compile(r"https://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]{0,200})?")
_WORD: Final = re.compile(r"[\x21-\x7e]+")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


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
    secret = _secret(read, source, secret_name)
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
    )


def needed(target: Target, *names: str) -> HelpdeskAccess:
    """
    Give the way to the helpdesk's API.

    Args:
        names: the settings that make it.
    Raises:
        ConfigurationError: they are not set.
    """
    if target.access is None:
        in_file = target.connection != target.source and target.source in VENDORS
        where = f" (or connections.{target.connection}.api)" if in_file else ""
        raise ConfigurationError(
            f"{', '.join(names)}{where}: set {'them' if len(names) > 1 else 'it'} to an administrator's credentials, "
            f"so that `connect` can reach {target.source}."
        )
    return target.access


def _public_url(read: Reader) -> str:
    value = read.text("PUBLIC_URL") or ""
    if not value:
        read.fault(
            "PUBLIC_URL is not set: give our address as helpdesks call it, such as https://gateway.acme.example."
        )
    elif not _PUBLIC.fullmatch(value):
        read.fault(
            "PUBLIC_URL must begin with https:// and be our address as helpdesks call it, such as "
            "https://gateway.acme.example: no helpdesk may send tickets in the clear."
        )
    return value.rstrip("/")


def _secret(read: Reader, source: str, name: str) -> str:
    """Give the newest secret that is stored already; one that the gateway would refuse is refused here, too."""
    secret = (read.text(name) or "").split(",")[0].strip()
    if not secret:
        return ""
    short = f"it has fewer than {SECRET_MIN} characters" if len(secret) < SECRET_MIN else None
    if complaint := short or SOURCES[source].check_secret(secret, "signature"):
        read.fault(f"{name}: {complaint.rstrip('.')}.")
    return secret


def _other(read: Reader, name: str, source: str, row: Mapping[str, Any]) -> HelpdeskAccess | None:
    """Put the access to a source without look-ups together; None without a token."""
    upper = source.upper()
    token = read.text(f"{upper}_API_TOKEN")
    if token is None:
        return None
    if not _WORD.fullmatch(token):
        read.fault(f"{upper}_API_TOKEN must be one word of ASCII characters: copy it again, without spaces.")
    link = LINK_SETTING.get(source, f"{upper}_DOMAIN")
    domain = str(row.get("domain") or "") if row else read.text(link) or ""
    domain = domain.lower().removeprefix("https://").rstrip("/")
    url = read.text(f"{upper}_API_URL")
    if url is None:
        if "{domain}" in OTHERS[source] and not _HOST.fullmatch(domain):
            read.fault(f"{link} must be the host of your {source}, such as desk.acme.example: its API is there.")
        url = OTHERS[source].format(domain=domain)
    elif not _safe(url):
        read.fault(f"{upper}_API_URL must begin with https://, because it carries a token.")
    return HelpdeskAccess(
        connection=name, source=source, base_url=url.rstrip("/"), site=domain, user="", secret=token or ""
    )


def _safe(url: str) -> bool:
    """Say whether a token may go there: https, or this machine and private networks."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.query or parts.fragment or "@" in parts.netloc:
        return False
    if parts.scheme == "https":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return parts.scheme == "http" and host == "localhost"
    return parts.scheme == "http" and (address.is_loopback or (address.is_private and not address.is_link_local))
