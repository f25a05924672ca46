"""The far bank's settings: defaults, limits, every fault at once, and no webhook secret."""

from __future__ import annotations

from collections import UserDict
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.settings import FAR_BANK, Setting
from gateway.settings import SETTINGS as GATEWAY_SETTINGS
from workers.access import VENDORS
from workers.helpdesks import CLIENTS, open_helpdesks
from workers.settings import SETTINGS, WorkerSettings, from_env, from_process, require

TOKEN = "planhat-token-0123456789"
ZENDESK = {"ZENDESK_SUBDOMAIN": "acme", "ZENDESK_API_EMAIL": "agent@acme.example", "ZENDESK_API_TOKEN": "zd-token-1"}
FRESHDESK = {"FRESHDESK_DOMAIN": "acme", "FRESHDESK_API_KEY": "fd-key-1"}


def faults(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as raised:
        from_env(environ)
    return raised.value.faults


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = from_env({})
    assert (settings.api_url, settings.api_token) == ("https://api.planhat.com", "")
    assert (settings.calls_per_minute, settings.max_in_flight) == (150, 1)
    assert (settings.timeout_s, settings.hold_s, settings.history) == (60, 30, "full")
    assert (settings.batch_max_items, settings.batch_max_bytes) == (5000, 16 * 1024 * 1024)
    assert (settings.quiet_s, settings.max_wait_s) == (2, 10)
    assert (settings.ticket_memory_ttl_s, settings.dead_letter_ttl_s) == (90 * 86_400, 30 * 86_400)
    assert (settings.redis_url, settings.redis_tls_verify, settings.destination) == ("", True, "planhat")
    assert settings.limits.dead_letter_max == 100_000
    assert (settings.helpdesks, settings.warnings) == ((), ())


def test_every_setting_is_read() -> None:
    settings = from_env(
        {
            "REDIS_URL": "rediss://:redis-password@r.example:6380/0",
            "REDIS_TLS_VERIFY": "0",
            "TICKET_MEMORY_TTL_S": "60",
            "DEAD_LETTER_TTL_S": "70",
            "PLANHAT_API_TOKEN": TOKEN,
            "PLANHAT_API_URL": "https://api-eu2.planhat.com/",
            "PLANHAT_CALLS_PER_MINUTE": "120",
            "PLANHAT_MAX_IN_FLIGHT": "2",
            "PLANHAT_TIMEOUT_S": "45.5",
            "PLANHAT_HOLD_S": "5",
            "PLANHAT_HISTORY": "OFF",
            "BATCH_MAX_ITEMS": "100",
            "BATCH_MAX_BYTES": "1MiB",
            "BATCH_QUIET_S": "0.5",
            "BATCH_MAX_WAIT_S": "3",
            "LOG_LEVEL": "debug",
        }
    )
    assert (settings.api_url, settings.api_token) == ("https://api-eu2.planhat.com", TOKEN)
    assert (settings.calls_per_minute, settings.max_in_flight) == (120, 2)
    assert (settings.timeout_s, settings.hold_s, settings.history) == (45.5, 5, "off")
    assert (settings.batch_max_items, settings.batch_max_bytes) == (100, 1024 * 1024)
    assert (settings.quiet_s, settings.max_wait_s) == (0.5, 3)
    assert (settings.ticket_memory_ttl_s, settings.dead_letter_ttl_s) == (60, 70)
    assert (settings.redis_tls_verify, settings.log.level) == (False, "debug")
    assert require(settings) is settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BATCH_MAX_ITEMS", "5001"),
        ("BATCH_MAX_ITEMS", "0"),
        ("BATCH_MAX_ITEMS", "many"),
        ("BATCH_MAX_BYTES", "33MiB"),
        ("BATCH_MAX_BYTES", "10"),
        ("BATCH_QUIET_S", "-1"),
        ("BATCH_MAX_WAIT_S", "1e9"),
        ("PLANHAT_CALLS_PER_MINUTE", "0"),
        ("PLANHAT_MAX_IN_FLIGHT", "51"),
        ("PLANHAT_TIMEOUT_S", "0"),
        ("PLANHAT_HOLD_S", "x"),
        ("PLANHAT_HISTORY", "append"),
        ("PLANHAT_API_TOKEN", "two words"),
        ("PLANHAT_API_TOKEN", "tökén"),
        ("PLANHAT_API_URL", "api.planhat.com"),
        ("PLANHAT_API_URL", "ftp://api.planhat.com"),
        ("PLANHAT_API_URL", "https://"),
        ("PLANHAT_API_URL", "https://user:pw@api.planhat.com"),
        ("PLANHAT_API_URL", "https://api.planhat.com?x=1"),
        ("PLANHAT_API_URL", "https://api.planhat.com:port"),
        ("PLANHAT_API_URL", "http://api.planhat.com"),
        ("PLANHAT_API_URL", "http://8.8.8.8"),
        ("PLANHAT_API_URL", "http://169.254.169.254"),
        ("GATEWAY_CONFIG", "gateway.toml"),
        ("ZENDESK_SUBDOMAIN", "acme/agent"),
        ("FRESHDESK_DOMAIN", "a b"),
        ("ZENDESK_API_URL", "zendesk"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_fault_that_names_its_setting(name: str, value: str) -> None:
    (fault,) = faults(**{name: value})
    assert name in fault
    assert fault.endswith(".")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "http://localhost:9000/api",
        "http://[::1]:8080",
        "http://10.1.2.3",
        "http://sandbox:8000",
        "http://sandbox.default.svc.cluster.local",
        "https://api.planhatdemo.com",
    ],
)
def test_plain_http_is_for_this_machine_and_its_networks(url: str) -> None:
    assert from_env({"PLANHAT_API_URL": url}).api_url == url


def test_quiet_above_max_wait_is_a_fault() -> None:
    (fault,) = faults(BATCH_QUIET_S="11")
    assert "BATCH_QUIET_S" in fault
    assert "BATCH_MAX_WAIT_S" in fault


def test_every_fault_is_told_at_once() -> None:
    said = faults(
        BATCH_MAX_ITEMS="9999", PLANHAT_API_URL="x", BATCH_QUIET_S="99", ZENDESK_API_TOKEN="zd-token-1", REDIS_URL="x"
    )
    for name in ("BATCH_MAX_ITEMS", "PLANHAT_API_URL", "BATCH_QUIET_S", "ZENDESK_API_EMAIL", "REDIS_URL"):
        assert [fault for fault in said if name in fault]


def test_a_blank_setting_counts_as_not_set() -> None:
    assert from_env(dict.fromkeys((one.name for one in SETTINGS), " ")) == from_env({})


def test_a_worker_cannot_run_without_redis_and_token() -> None:
    with pytest.raises(ConfigurationError) as raised:
        require(from_env({}))
    assert [fault.split()[0] for fault in raised.value.faults] == ["REDIS_URL", "PLANHAT_API_TOKEN"]


def test_a_quota_above_planhats_is_a_warning() -> None:
    (warning,) = from_env({"PLANHAT_CALLS_PER_MINUTE": "201"}).warnings
    assert "PLANHAT_CALLS_PER_MINUTE" in warning


# -- helpdesks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subdomain", ["acme", "ACME.zendesk.com", "https://acme.zendesk.com/"])
def test_zendesk_credentials_make_its_look_ups(subdomain: str) -> None:
    (one,) = from_env({**ZENDESK, "ZENDESK_SUBDOMAIN": subdomain}).helpdesks
    assert (one.connection, one.source, one.prefix) == ("zendesk", "zendesk", "zendesk:")
    assert (one.base_url, one.site) == ("https://acme.zendesk.com/api/v2", "acme.zendesk.com")
    assert (one.user, one.secret) == ("agent@acme.example", "zd-token-1")


@pytest.mark.parametrize("domain", ["acme", "acme.freshdesk.com", "https://acme.freshdesk.com"])
def test_a_freshdesk_key_makes_its_look_ups(domain: str) -> None:
    (one,) = from_env({**FRESHDESK, "FRESHDESK_DOMAIN": domain, "FRESHDESK_SOURCE_ID_PREFIX": ""}).helpdesks
    assert (one.connection, one.prefix, one.secret) == ("freshdesk", "", "fd-key-1")
    assert (one.base_url, one.site) == ("https://acme.freshdesk.com/api/v2", "acme.freshdesk.com")


def test_an_address_for_tests_overrides_the_vendors() -> None:
    url = "http://127.0.0.1:9/api/v2"
    settings = from_env({**ZENDESK, **FRESHDESK, "ZENDESK_API_URL": url, "FRESHDESK_API_URL": url + "/"})
    assert [one.base_url for one in settings.helpdesks] == [url, url]
    only = from_env({"FRESHDESK_API_KEY": "fd-key-1", "FRESHDESK_API_URL": url})
    assert [(one.base_url, one.site) for one in only.helpdesks] == [(url, "")]


def test_a_subdomain_without_credentials_is_legal() -> None:
    assert from_env({"ZENDESK_SUBDOMAIN": "acme", "FRESHDESK_DOMAIN": "help.acme.example"}).helpdesks == ()


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({**ZENDESK, "ZENDESK_API_EMAIL": ""}, "ZENDESK_API_EMAIL"),
        ({**ZENDESK, "ZENDESK_API_TOKEN": ""}, "ZENDESK_API_TOKEN"),
        ({**ZENDESK, "ZENDESK_SUBDOMAIN": ""}, "ZENDESK_SUBDOMAIN"),
        ({**ZENDESK, "ZENDESK_SUBDOMAIN": "help.acme.example"}, "ZENDESK_SUBDOMAIN"),
        ({**ZENDESK, "ZENDESK_SUBDOMAIN": "acme/agent"}, "ZENDESK_SUBDOMAIN"),
        ({**ZENDESK, "ZENDESK_API_EMAIL": "agent"}, "ZENDESK_API_EMAIL"),
        ({**ZENDESK, "ZENDESK_API_TOKEN": "two words"}, "ZENDESK_API_TOKEN"),
        ({**FRESHDESK, "FRESHDESK_DOMAIN": ""}, "FRESHDESK_DOMAIN"),
        ({**FRESHDESK, "FRESHDESK_DOMAIN": "zendesk.example"}, "FRESHDESK_DOMAIN"),
        ({**FRESHDESK, "FRESHDESK_API_KEY": "k\u00e9y"}, "FRESHDESK_API_KEY"),
    ],
)
def test_half_a_helpdesk_is_one_fault(environ: dict[str, str], name: str) -> None:
    (fault,) = faults(**environ)
    assert name in fault


def test_the_token_suffix_of_curl_examples_is_taken_off() -> None:
    (one,) = from_env({**ZENDESK, "ZENDESK_API_EMAIL": "agent@acme.example/token"}).helpdesks
    assert one.user == "agent@acme.example"


async def test_every_helpdesk_with_credentials_gets_a_client() -> None:
    helpdesks = open_helpdesks(from_env({**ZENDESK, **FRESHDESK}))
    assert sorted(helpdesks) == ["freshdesk", "zendesk"]
    assert all(one.at_once > 0 for one in helpdesks.values())
    for one in helpdesks.values():
        await one.aclose()


def test_prefixes_are_those_the_gateway_puts() -> None:
    settings = from_env({"ZENDESK_SOURCE_ID_PREFIX": "", "FRESHDESK_SOURCE_ID_PREFIX": " fd- "})
    assert [settings.prefix_of(one) for one in ("zendesk", "freshdesk", "generic", "other", "")] == [
        "",
        "fd-",
        "generic:",
        "other:",
        "",
    ]
    assert settings.source_of("zendesk") == "zendesk"


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_no_secret_shows_in_a_repr_and_every_one_is_redacted() -> None:
    settings = from_env({**ZENDESK, **FRESHDESK, "PLANHAT_API_TOKEN": TOKEN, "REDIS_URL": "redis://:redis-pass@r/0"})
    assert set(settings.secrets()) == {TOKEN, "zd-token-1", "fd-key-1", "redis-pass"}
    assert not [secret for secret in settings.secrets() if secret in repr(settings)]


def test_hashes_change_with_what_they_stand_for_and_do_not_tell_it() -> None:
    def hashes(**environ: str) -> tuple[str, str]:
        settings = from_env(environ)
        return settings.token_hash, settings.credentials_hash

    assert hashes(PLANHAT_API_TOKEN=TOKEN) == hashes(PLANHAT_API_TOKEN=TOKEN)
    assert hashes(PLANHAT_API_TOKEN=TOKEN)[0] != hashes(PLANHAT_API_TOKEN=TOKEN + "x")[0]
    assert hashes(PLANHAT_API_TOKEN=TOKEN)[0] != hashes(PLANHAT_API_TOKEN=TOKEN, PLANHAT_API_URL="https://a.example")[0]
    assert hashes(**ZENDESK)[1] != hashes(**ZENDESK | {"ZENDESK_API_TOKEN": "zd-token-2"})[1]
    assert TOKEN not in str(hashes(PLANHAT_API_TOKEN=TOKEN))


class Watched(UserDict[str, str]):
    """An environment that notes which names were asked for."""

    def __init__(self) -> None:
        super().__init__({**ZENDESK, **FRESHDESK})
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)


def test_a_webhook_secret_is_never_read() -> None:
    environ = Watched()
    from_env(environ)
    assert "PLANHAT_API_TOKEN" in environ.asked
    assert not [name for name in environ.asked if "WEBHOOK" in name or "CONSOLE" in name or "METRICS" in name]


# -- the table ---------------------------------------------------------------------------------------------------------


def test_the_table_names_every_setting_that_the_far_bank_alone_reads() -> None:
    environ = Watched()
    from_env(environ)
    shared = {one.name for one in GATEWAY_SETTINGS}
    suffixes = tuple(name.removeprefix("<SOURCE>") for name in shared if name.startswith("<SOURCE>"))
    read = {name for name in environ.asked - shared if not name.endswith(suffixes)}
    ours = {one.name for one in SETTINGS} - shared
    spelt = {one.replace("<SOURCE>", source.upper()) for one in ours for source in VENDORS}
    assert read <= spelt
    assert {name for name in ours if "<" not in name} <= read
    assert all(read & {name.replace("<SOURCE>", source.upper()) for source in VENDORS} for name in ours)
    assert set(VENDORS) == set(CLIENTS)
    assert all(isinstance(one, Setting) for one in SETTINGS)


def test_the_gateway_knows_the_far_banks_names_as_no_misspelling() -> None:
    assert {one.name for one in SETTINGS} - {one.name for one in GATEWAY_SETTINGS} <= FAR_BANK


def test_the_tables_defaults_are_the_real_ones() -> None:
    defaults = {one.name: one.default for one in SETTINGS if one.default is not None}
    assert from_env(defaults) == from_env({})


def test_this_process_can_be_read() -> None:
    assert isinstance(from_process(), WorkerSettings)
