"""What a configuration file gives the far bank: destinations, look-ups, rules; every fault with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core.placing import ORDINARY
from gateway.errors import ConfigurationError
from workers.helpdesks import open_helpdesks
from workers.settings import WorkerSettings, all_from_env, from_env, require

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[destinations.main]
token_env = "MAIN_TOKEN"
[destinations.labs]
token_env = "LABS_TOKEN"
url = "https://api-eu2.planhat.com/"
calls_per_minute = 60
max_in_flight = 2
history = "off"
[connections.emea]
source = "zendesk"
destination = "main"
secret_env = "EMEA_SECRET"
source_id_prefix = "e:"
on_delete = "close"
domain = "acme-emea"
api = { email = "agent@acme.example", token_env = "EMEA_API" }
only.tags = ["b2b"]
company = { resolve = true }
[connections.own]
source = "generic"
destination = "labs"
secret_env = "OWN_SECRET"
[free_mail]
add = ["isp.example"]
"""
ENVIRON = {
    "REDIS_URL": "redis://r",
    "MAIN_TOKEN": "main-token-0123456789",
    "LABS_TOKEN": "labs-token-0123456789",
    "EMEA_API": "api-token-0123456789",
    "PLANHAT_CALLS_PER_MINUTE": "120",
    "FRESHDESK_DOMAIN": "acme",
    "FRESHDESK_API_KEY": "key-0123456789",
    "FRESHDESK_SOURCE_ID_PREFIX": "fd:",
}


def read(directory: Path, text: str = FILE, **environ: str) -> tuple[WorkerSettings, ...]:
    path = directory / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return all_from_env({"GATEWAY_CONFIG": str(path), **ENVIRON, **environ})


def faults(directory: Path, text: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read(directory, text, **environ)
    return caught.value.faults


def test_each_destination_has_its_own_token_address_and_quota(tmp_path: Path) -> None:
    main, labs = read(tmp_path)
    assert (main.destination, main.api_token, main.api_url) == (
        "main",
        ENVIRON["MAIN_TOKEN"],
        "https://api.planhat.com",
    )
    assert (labs.destination, labs.api_token, labs.api_url) == (
        "labs", ENVIRON["LABS_TOKEN"], "https://api-eu2.planhat.com",
    )  # fmt: skip
    assert (main.calls_per_minute, main.max_in_flight, main.history) == (120, 1, "full")
    assert (labs.calls_per_minute, labs.max_in_flight, labs.history) == (60, 2, "off")
    assert main.token_hash != labs.token_hash
    assert require(main, labs) is main


def test_what_variables_make_belongs_to_the_first_destination(tmp_path: Path) -> None:
    main, labs = read(tmp_path)
    assert [one.connection for one in main.helpdesks] == ["freshdesk", "emea"]
    assert (main.prefix_of("freshdesk"), main.source_of("freshdesk")) == ("fd:", "freshdesk")
    assert labs.helpdesks == ()


def test_a_connection_is_the_far_bank_s_as_it_is_the_gateway_s(tmp_path: Path) -> None:
    main, labs = read(tmp_path)
    assert (main.source_of("emea"), main.prefix_of("emea"), main.on_delete["emea"]) == ("zendesk", "e:", "close")
    assert main.rules["emea"].only_tags == {"b2b"}
    assert (labs.source_of("own"), labs.prefix_of("own"), labs.rules) == ("generic", "own:", {})
    assert "own" not in main.sources


def test_the_api_table_reads_like_the_variables(tmp_path: Path) -> None:
    main, _ = read(tmp_path)
    access = main.helpdesks[1]
    assert (access.source, access.prefix, access.user) == ("zendesk", "e:", "agent@acme.example")
    assert (access.base_url, access.secret) == ("https://acme-emea.zendesk.com/api/v2", ENVIRON["EMEA_API"])
    assert set(open_helpdesks(main)) == {"freshdesk", "emea"}


def test_an_oauth_client_is_named_in_the_api_table(tmp_path: Path) -> None:
    text = """
[connections.hs]
source = "help_scout"
secret_env = "HS_SECRET"
api = { client_id = "app-1", token_env = "EMEA_API" }
"""
    (settings,) = read(tmp_path, text)
    access = settings.helpdesks[-1]
    assert (access.source, access.user, access.secret) == ("help_scout", "app-1", ENVIRON["EMEA_API"])


def test_a_connection_of_the_file_takes_the_place_of_the_variables_look_ups(tmp_path: Path) -> None:
    text = '[connections.freshdesk]\nsource = "freshdesk"\nsecret_env = "FD_SECRET"\nsource_id_prefix = "x:"\n'
    (settings,) = read(tmp_path, text)
    assert (settings.helpdesks, settings.prefix_of("freshdesk")) == ((), "x:")


def test_company_rules_and_free_mail(tmp_path: Path) -> None:
    main, labs = read(tmp_path)
    assert main.resolves_companies
    assert not labs.resolves_companies
    assert main.placing_of("emea").resolve
    assert "isp.example" in main.placing_of("emea").free_mail
    assert "isp.example" in labs.placing_of("own").free_mail
    assert main.express_source_of("freshdesk") == "", "another list of free mail is no ordinary placing"


def test_without_company_rules_the_express_lane_stays_open(tmp_path: Path) -> None:
    text = FILE.partition("[free_mail]")[0].replace("company = { resolve = true }\n", "")
    main, labs = read(tmp_path, text)
    assert (main.express_source_of("emea"), labs.express_source_of("own")) == ("zendesk", "generic")
    assert main.placing_of("emea") is ORDINARY


def test_without_a_file_or_destinations_there_is_one(tmp_path: Path) -> None:
    assert [one.destination for one in all_from_env({})] == ["planhat"]
    (only,) = read(tmp_path, "", PLANHAT_API_TOKEN="t" * 20)
    assert (only.destination, only.api_token) == ("planhat", "t" * 20)
    assert from_env({}).token_name == "PLANHAT_API_TOKEN"


def test_a_missing_token_is_named_by_its_variable(tmp_path: Path) -> None:
    main, labs = read(tmp_path, LABS_TOKEN="")
    with pytest.raises(ConfigurationError) as caught:
        require(main, labs)
    assert caught.value.faults == ("LABS_TOKEN is not set: make a Private App in Planhat and give its token.",)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"EMEA_API"', '"NO_API"', "gateway.toml line 17: connections.emea.api: the variable NO_API is not set"),
        (
            'email = "agent@acme.example", ',
            "",
            "connections.emea.api: token_env is set without email: look-ups at zendesk",
        ),
        ('"agent@acme.example"', '"agent"', "connections.emea.api: email must be the e-mail address of the agent"),
        ('domain = "acme-emea"\n', "", "connections.emea.api: domain is not set: look-ups at zendesk need it"),
        ('token_env = "EMEA_API"', 'token_env = "EMEA_API", url = "http://x.example"', "url must begin with https://"),
        ('source = "zendesk"', 'source = "osticket"', "there are no look-ups at osticket: remove the table."),
        (
            '"https://api-eu2.planhat.com/"',
            '"ftp://x"',
            "gateway.toml line 6: destinations.labs.url must be an address",
        ),
        ('destination = "labs"\n', "", "connections.own.destination must name a table under [destinations]"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in FILE
    found = faults(tmp_path, FILE.replace(old, new))
    assert any(said in fault for fault in found), found


def test_a_token_of_several_words_is_refused_by_the_name_of_its_destination(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, FILE, LABS_TOKEN="two words")
    assert fault.startswith("gateway.toml line 5: destinations.labs.token_env: LABS_TOKEN must be one word")


def test_a_file_that_cannot_be_read_is_a_fault_of_the_far_bank_too(tmp_path: Path) -> None:
    assert "did you mean zendesk?" in " ".join(faults(tmp_path, FILE.replace('"zendesk"', '"zendesc"')))


def test_every_secret_of_every_destination_is_kept_out_of_the_log(tmp_path: Path) -> None:
    said = {secret for one in read(tmp_path) for secret in one.secrets()}
    assert said >= {ENVIRON["MAIN_TOKEN"], ENVIRON["LABS_TOKEN"], ENVIRON["EMEA_API"], ENVIRON["FRESHDESK_API_KEY"]}
