"""Settings: every fault at once, by name, with what to do; nothing open by mistake."""

from __future__ import annotations

import pytest

from gateway.connections import TEST_SECRET
from gateway.errors import ConfigurationError
from gateway.settings import FAR_BANK, SETTINGS, Settings, from_env, require_redis
from gateway.sources import SOURCES
from tests.ingest.server import SECRET
from tests.sources.signers import SIGNERS

ZENDESK = "zendesk-signing-secret-0123456789"
FRESHDESK = "freshdesk-shared-secret-0123456789"


def faults(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        from_env(environ)
    return caught.value.faults


def one_fault(**environ: str) -> str:
    (found,) = faults(**environ)
    return found


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = from_env({})
    assert (settings.web.port, settings.web.concurrency, settings.web.max_body_bytes) == (8000, 1, 1_048_576)
    assert settings.store.limits.pending_max_tickets == 1_000_000
    assert settings.store.limits.dead_letter_max == 100_000
    assert settings.store.limits.dedupe_ttl_s == 86_400
    assert settings.store.ticket_memory_ttl_s == 90 * 86_400
    assert settings.store.dead_letter_ttl_s == 30 * 86_400
    assert settings.store.tls_verify
    assert (settings.log.level, settings.log.form) == ("info", "json")
    assert (settings.connections, settings.warnings) == ((), ())
    assert settings.web.metrics_token is None
    assert settings.web.console_password is None


def test_the_table_tells_the_defaults_that_hold() -> None:
    table = {setting.name: setting.default for setting in SETTINGS}
    plain = {name: default for name, default in table.items() if default is not None and "<" not in name}
    assert from_env(plain) == from_env({})
    assert len(table) == len(SETTINGS)
    assert not FAR_BANK & table.keys()


def test_every_fault_is_reported_at_once_and_by_name() -> None:
    found = faults(
        PORT="eighty",
        WEB_CONCURRENCY="0",
        REDIS_URL="http://localhost",
        REDIS_TLS_VERIFY="maybe",
        WEBHOOK_MAX_BODY_BYTES="big",
        PENDING_MAX_TICKETS="-1",
        LOG_LEVEL="loud",
        LOG_FORMAT="xml",
        ZENDESK_WEBHOOK_SECRET="short",
        ZENDESK_ON_DELETE="shred",
        ZENDESK_AUTH="none",
        ZENDESK_ACCOUNT_ID="acme",
        GATEWAY_CONFIG="gateway.toml",
        METRICS_TOKEN=" ",
    )
    for name in (
        "PORT", "WEB_CONCURRENCY", "REDIS_URL", "REDIS_TLS_VERIFY", "WEBHOOK_MAX_BODY_BYTES", "PENDING_MAX_TICKETS",
        "LOG_LEVEL", "LOG_FORMAT", "ZENDESK_WEBHOOK_SECRET", "ZENDESK_ON_DELETE", "ZENDESK_AUTH", "ZENDESK_ACCOUNT_ID",
        "GATEWAY_CONFIG", "METRICS_TOKEN",
    ):  # fmt: skip
        assert sum(name in fault for fault in found) == 1, name
    assert len(found) == 14


@pytest.mark.parametrize("fault", faults(PORT="x", GATEWAY_CONFIG="x", ZENDESK_WEBHOOK_SECRET="x,", METRICS_TOKEN=""))
def test_a_fault_is_a_sentence(fault: str) -> None:
    assert fault.endswith(".")
    assert ":" in fault or "must be" in fault


@pytest.mark.parametrize(
    "value", ["1.5", "1e3", "\uff11\uff12", "1_000", "0x10", "99999999999999999999", "70000", "-1"]
)
def test_a_number_is_plain_digits_within_its_range(value: str) -> None:
    assert "PORT must be a whole number between 0 and 65,535" in one_fault(PORT=value)


@pytest.mark.parametrize(("value", "size"), [("65536", 65_536), ("64KiB", 65_536), ("2 MiB", 2 * 1024 * 1024)])
def test_sizes_may_have_a_unit(value: str, size: int) -> None:
    assert from_env({"WEBHOOK_MAX_BODY_BYTES": value}).web.max_body_bytes == size


def test_a_blank_setting_counts_as_not_set() -> None:
    blank = {"PORT": "", "REDIS_URL": " ", "LOG_LEVEL": "", "GATEWAY_CONFIG": "", "CONSOLE_PASSWORD": ""}
    assert from_env(blank) == from_env({})


def test_a_secret_makes_a_connection() -> None:
    settings = from_env(
        {
            "ZENDESK_WEBHOOK_SECRET": ZENDESK,
            "ZENDESK_SUBDOMAIN": "https://Acme.zendesk.com/",
            "ZENDESK_ACCOUNT_ID": "42",
            "WEBHOOK_TOLERANCE_S": "60",
            "GENERIC_WEBHOOK_SECRET": SECRET,
            "GENERIC_ON_DELETE": "close",
            "GENERIC_SOURCE_ID_PREFIX": "",
        }
    )
    by_name = {connection.name: connection for connection in settings.connections}
    zendesk, generic = by_name["zendesk"], by_name["generic"]
    assert (zendesk.source, zendesk.secrets, zendesk.prefix) == ("zendesk", (ZENDESK,), "zendesk:")
    assert (zendesk.auth, zendesk.on_delete, zendesk.tolerance_s) == ("signature", "delete", 60)
    assert (zendesk.subdomain, zendesk.account_id) == ("acme", "42")
    assert (generic.prefix, generic.on_delete) == ("", "close")


def test_every_source_has_its_settings() -> None:
    for source in SOURCES:
        assert f"{source.upper()}_WEBHOOK_SECRET" in one_fault(**{f"{source.upper()}_WEBHOOK_SECRET": "short"})


def test_a_list_of_secrets_rotates_and_stray_white_space_does_not_count() -> None:
    settings = from_env({"ZENDESK_WEBHOOK_SECRET": f" {ZENDESK} ,{ZENDESK}-next\n"})
    assert settings.connections[0].secrets == (ZENDESK, f"{ZENDESK}-next")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        (",", "Entry 1"),
        (f"{ZENDESK},", "Entry 2 of ZENDESK_WEBHOOK_SECRET is empty"),
        (f",{ZENDESK}", "Entry 1"),
        ("fifteen-letters", "fewer than 16 characters"),
        (f"{ZENDESK},short", "Entry 2"),
        (TEST_SECRET, "ZENDESK_WEBHOOK_SECRET"),
    ],
)
def test_an_empty_short_or_public_secret_is_refused_at_boot(value: str, says: str) -> None:
    found = faults(ZENDESK_WEBHOOK_SECRET=value)
    assert says in found[0]
    entries = [entry.strip() for entry in value.split(",") if entry.strip()]
    assert not any(entry in fault for entry in entries for fault in found)


@pytest.mark.parametrize("value", ["whsec_", "whsec_short_but_long_enough_to_count", "whsec_AAAAAAAAAAAAAAAAAAAAAA=="])
def test_the_source_has_a_word_in_what_a_secret_is(value: str) -> None:
    assert "GENERIC_WEBHOOK_SECRET" in faults(GENERIC_WEBHOOK_SECRET=value)[0]


def test_the_public_test_secret_counts_only_when_asked_for_and_is_warned_of() -> None:
    settings = from_env({"ZENDESK_WEBHOOK_SECRET": ZENDESK, "ZENDESK_ALLOW_TEST_SECRET": "1"})
    assert settings.connections[0].secrets == (ZENDESK, TEST_SECRET)
    assert "ZENDESK_ALLOW_TEST_SECRET" in settings.warnings[0]


def test_zohos_keys_sign_for_everybody_so_a_missing_organization_is_warned_of() -> None:
    key = {"ZOHO_DESK_WEBHOOK_SECRET": SIGNERS["zoho_desk"].secrets[0]}
    (warning,) = from_env(key).warnings
    assert "ZOHO_DESK_ACCOUNT_ID" in warning
    for account in ("4711", "4711/9"):
        settings = from_env({**key, "ZOHO_DESK_ACCOUNT_ID": account})
        assert (settings.connections[0].account_id, settings.warnings) == (account, ())
    assert from_env({"ZOHO_DESK_WEBHOOK_SECRET": "q" * 24, "ZOHO_DESK_AUTH": "bearer"}).warnings == ()
    for account in ("orgId:4711", "4711/9/2", "/"):
        assert "ZOHO_DESK_ACCOUNT_ID" in one_fault(**key, ZOHO_DESK_ACCOUNT_ID=account)


def test_a_phrase_may_be_githubs_secret() -> None:
    settings = from_env({"GITHUB_WEBHOOK_SECRET": "It's a Secret to Everybody"})
    assert settings.connections[0].secrets == ("It's a Secret to Everybody",)


def test_two_connections_with_one_prefix_are_refused_with_the_reason() -> None:
    two = {"ZENDESK_WEBHOOK_SECRET": ZENDESK, "FRESHDESK_WEBHOOK_SECRET": FRESHDESK}
    both = one_fault(**two, ZENDESK_SOURCE_ID_PREFIX="", FRESHDESK_SOURCE_ID_PREFIX="")
    assert "ZENDESK_SOURCE_ID_PREFIX" in both
    assert "FRESHDESK_SOURCE_ID_PREFIX" in both
    assert "overwrite each other" in both
    from_env({**two, "ZENDESK_SOURCE_ID_PREFIX": ""})


def test_hubspot_signs_our_address_so_a_missing_one_is_warned_of() -> None:
    secret = {"HUBSPOT_WEBHOOK_SECRET": "q" * 24}
    (warning,) = from_env(secret).warnings
    assert "PUBLIC_URL" in warning
    settings = from_env({**secret, "PUBLIC_URL": "https://gateway.mill.example/"})
    assert (settings.connections[0].public_url, settings.warnings) == ("https://gateway.mill.example", ())
    assert from_env({**secret, "HUBSPOT_AUTH": "bearer"}).warnings == ()


@pytest.mark.parametrize(
    "value", ["gateway.mill.example", "https://", "ftp://x", "https://a b", "https://x?y=1", "https://u@x"]
)
def test_our_public_address_is_an_address(value: str) -> None:
    assert "PUBLIC_URL" in one_fault(PUBLIC_URL=value)


def test_every_source_may_be_bound_to_an_account_and_have_a_domain_for_its_links() -> None:
    settings = from_env(
        {
            "INTERCOM_WEBHOOK_SECRET": "q" * 24,
            "INTERCOM_ACCOUNT_ID": "tm7wq2kd",
            "INTERCOM_DOMAIN": "https://app.eu.intercom.com/",
        }
    )
    (intercom,) = settings.connections
    assert (intercom.account_id, intercom.subdomain) == ("tm7wq2kd", "app.eu.intercom.com")
    assert "HUBSPOT_ACCOUNT_ID" in one_fault(HUBSPOT_ACCOUNT_ID="acme")
    assert "INTERCOM_DOMAIN" in one_fault(INTERCOM_DOMAIN="app/x")


def test_a_phrase_may_be_jiras_secret() -> None:
    settings = from_env({"JIRA_SERVICE_MANAGEMENT_WEBHOOK_SECRET": "It's a Secret to Everybody"})
    assert settings.connections[0].secrets == ("It's a Secret to Everybody",)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ZENDESK_WEBHOOK_SECRT", "ZENDESK_WEBHOOK_SECRET"),
        ("ZENDESK_WEBHOK_SECRET", "ZENDESK_WEBHOOK_SECRET"),
        ("DEDUPE_TTL", "DEDUPE_TTL_S"),
        ("PLANHAT_API_TOKN", "PLANHAT_API_TOKEN"),
        ("METRICS_TOKENS", "METRICS_TOKEN"),
        ("WEBHOOK_MAX_BODY", None),
        ("BATCH_SOMETHING", None),
        ("NOSUCHDESK_WEBHOOK_SECRET", None),
    ],
)
def test_a_misspelt_setting_is_warned_of_without_its_value(name: str, meant: str | None) -> None:
    settings = from_env({name: "canary-value"})
    (warning,) = settings.warnings
    assert name in warning
    assert "canary-value" not in warning
    assert meant is None or f"did you mean {meant}?" in warning


def test_other_peoples_variables_are_none_of_our_business() -> None:
    others = ("PATH", "HOME", "REDIS_TLS_URL", "DYNO", "PYTHONPATH", "LANG", "DATABASE_URL", "SECRET_KEY", "LOGNAME")
    assert from_env(dict.fromkeys(others, "x")).warnings == ()
    assert from_env(dict.fromkeys(FAR_BANK, "x")).warnings == ()


def test_a_setting_without_its_connection_is_warned_of() -> None:
    (warning,) = from_env({"ZENDESK_ON_DELETE": "close"}).warnings
    assert "ZENDESK_WEBHOOK_SECRET" in warning


def test_redis_is_missed_only_by_who_needs_it() -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL is not set"):
        require_redis(from_env({}))
    assert require_redis(from_env({"REDIS_URL": "redis://h/1"})) == "redis://h/1"


def test_no_secret_stands_in_a_printed_setting() -> None:
    settings: Settings = from_env(
        {
            "ZENDESK_WEBHOOK_SECRET": ZENDESK,
            "REDIS_URL": "redis://:canary-redis-password@h/0",
            "METRICS_TOKEN": "canary-metrics-token",
            "CONSOLE_PASSWORD": "canary-console-password",
        }
    )
    shown = f"{settings!r} {settings}"
    assert "canary" not in shown
    assert ZENDESK not in shown
    hidden = {ZENDESK, "canary-redis-password", "canary-metrics-token", "canary-console-password"}
    assert set(settings.secrets()) == hidden
