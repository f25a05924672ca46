"""A provider's mail domain places nobody with a company."""

from __future__ import annotations

import pytest

from gateway.core.free_mail import FREE_MAIL, company_domains, mail_domain


@pytest.mark.parametrize(
    "address", ["ada@gmail.com", "ada@Outlook.com", "ada@yahoo.co.uk", " ada@web.de ", "ada@proton.me", "ada@qq.com"]
)
def test_a_free_mail_address_belongs_to_no_company(address: str) -> None:
    assert company_domains(address) == ()


def test_another_address_belongs_to_its_domain_in_lower_case() -> None:
    assert company_domains("Ada@Kestrel.Example") == ("kestrel.example",)


def test_a_company_s_own_subdomain_is_not_a_provider_s() -> None:
    assert company_domains("ada@gmail.com.kestrel.example") == ("gmail.com.kestrel.example",)


@pytest.mark.parametrize("address", ["", "ada", "ada@", "kestrel.example"])
def test_what_has_no_domain_belongs_to_no_company(address: str) -> None:
    assert mail_domain(address) is None
    assert company_domains(address) == ()


def test_the_last_at_sign_begins_the_domain() -> None:
    assert mail_domain('"ada@home"@kestrel.example') == "kestrel.example"


def test_the_list_may_be_another() -> None:
    assert company_domains("ada@gmail.com", frozenset()) == ("gmail.com",)
    assert company_domains("ada@kestrel.example", frozenset({"kestrel.example"})) == ()


def test_the_list_holds_plain_lower_case_domains() -> None:
    assert len(FREE_MAIL) >= 80
    assert all(domain == domain.lower().strip(".@ ") and "." in domain for domain in FREE_MAIL)
