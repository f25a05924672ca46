"""
Mail domains that belong to providers, not to companies: they never place a ticket with a company.
"""

from __future__ import annotations

from typing import Final

FREE_MAIL: Final = frozenset({"gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "yahoo.com", "icloud.com"})


def mail_domain(address: str) -> str | None:
    """Give the domain of a mail address, lower case; None when there is none."""
    _, at, domain = address.strip().lower().rpartition("@")
    return domain if at and domain else None


def company_domains(address: str, free_mail: frozenset[str] = FREE_MAIL) -> tuple[str, ...]:
    """Give the mail domain as a company's domain, nothing for a free-mail provider."""
    domain = mail_domain(address)
    return (domain,) if domain and domain not in free_mail else ()
