"""A configuration file is read whole or not at all, and every fault is named with its line and what to do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.file import ConfigFile, inspect, lines_of, load
from gateway.config.keys import FILE, MAP_NAMES, Key
from gateway.config.schema import example, schema
from gateway.errors import ConfigurationError
from gateway.settings import from_env
from tests.sources.signers import SIGNERS
from workers.settings import faults_from

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
GOOD = """
[connections.emea]
source = "zendesk"
secret_env = "EMEA_SECRET"
"""


def read(path: Path, text: str) -> ConfigFile:
    file = path / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    return load(file)


def faults(path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(path, text)
    return list(caught.value.faults)


def test_the_example_is_valid_and_holds_every_key(tmp_path):
    text = example()
    file = read(tmp_path, text)
    assert file.connections["zendesk-emea"]["source"] == "zendesk"
    for name in names(FILE):
        assert name in text


def names(keys: Mapping[str, Key]) -> Iterator[str]:
    for name, key in keys.items():
        yield name
        yield from names(key.keys)


def test_the_schema_names_every_key_and_forbids_others():
    made = schema()
    connection = made["properties"]["connections"]["additionalProperties"]
    assert set(connection["properties"]) == set(FILE["connections"].keys)
    assert connection["required"] == ["source", "secret_env"]
    assert not connection["additionalProperties"]
    assert set(connection["properties"]["map"]["properties"]) == set(MAP_NAMES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[conections.a]\n", "gateway.toml line 1: conections is not a setting; did you mean connections?"),
        (GOOD + 'sorce = "x"\n', "gateway.toml line 5: connections.emea.sorce is not a setting; did you mean source?"),
        (GOOD.replace("zendesk", "zendesc"), "did you mean zendesk?"),
        (GOOD.replace("emea]", "Emea]"), "names are lower-case letters, digits, - and _"),
        ('[connections.a]\nsource = "zendesk"\n', "line 1: connections.a needs secret_env: variable that holds"),
        (GOOD + "secret_env = 5\n", "is not TOML: "),
        (GOOD + 'on_delete = "drop"\n', "line 5: connections.emea.on_delete must be one of delete, close, ignore"),
        (GOOD + "domain = 5\n", "connections.emea.domain must be a text in quotes."),
        (GOOD + "status = 5\n", "connections.emea.status must be a table of texts"),
        (GOOD + '[connections.emea.map]\ntitel = "x"\n', "line 6: connections.emea.map.titel is not a field"),
        (GOOD + '[connections.emea.map]\ntitle = "a.["\n', "is no JMESPath expression"),
        (GOOD + "[connections.emea.map]\ntitle = 5\n", "must be a JMESPath expression in quotes."),
        (GOOD + '[connections.emea.map.custom]\nPlan = "x."\n', "connections.emea.map.custom.Plan is no JMESPath"),
        (GOOD + "map = 5\n", "connections.emea.map must be a table of JMESPath expressions."),
        (GOOD + '[connections.emea.only]\ntags = "b2b"\n', "must be a list of texts, such as"),
        (GOOD + '[connections.emea.company]\nby = ["size"]\n', "must be one of external_id, domain, not 'size'"),
        (GOOD + '[connections.emea.company]\nresolve = "yes"\n', "must be true or false."),
        (GOOD + "api = 5\n", "must be a table: write [connections.emea.api] above its keys."),
        ('[destinations.main]\ntoken_env = "T"\ncalls_per_minute = 0\n', "must be a whole number between 1 and 9,000."),
        ("connections = 5\n", "connections must be tables: write [connections.NAME]."),
        ("connections.a = 5\n", "connections.a must be a table"),
    ],
)
def test_a_fault_is_told_with_its_line_and_what_to_do(tmp_path, text, said):
    assert any(said in fault for fault in faults(tmp_path, text)), faults(tmp_path, text)


SECRET = "whsec_GSof9U5VkQ2hY8c="


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("EMEA_SECRET", SECRET),
        GOOD + f'api = {{ token_env = "{SECRET}" }}\n',
        GOOD + f'[destinations.main]\ntoken_env = "{SECRET}"\n',
    ],
)
def test_a_secret_in_the_place_of_its_variable_s_name_is_refused_and_not_repeated(tmp_path, text):
    (said,) = faults(tmp_path, text)
    assert "_env must name a variable, such as " in said
    assert SECRET not in said
    with pytest.raises(ConfigurationError) as caught:
        boot(tmp_path, text)
    assert SECRET not in str(caught.value)


COMPANY = GOOD + "[connections.emea.company]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (COMPANY + 'external_id = "a"\nid = "b"\n', "line 7: connections.emea.company.id stands beside external_id"),
        (
            COMPANY + 'external_id = "a"\nby = ["domain"]\n',
            "line 7: connections.emea.company.by has no effect beside ext",
        ),
        (COMPANY + 'id = "a"\nby = ["domain"]\n', "line 7: connections.emea.company.by has no effect beside id"),
        (COMPANY + 'id = "a"\nresolve = true\n', "line 7: connections.emea.company.resolve has no effect beside id"),
        (COMPANY + 'by = ["domain"]\nresolve = true\n', "company.resolve has no effect when by leaves external_id out"),
        (COMPANY + "by = []\n", "line 6: connections.emea.company.by is an empty list"),
        (GOOD + "only.tags = []\n", "line 5: connections.emea.only.tags is an empty list"),
        (GOOD + 'map.items = "a"\n', "line 5: connections.emea.map.items has no effect without map.sourceId"),
        (GOOD + 'map.deleted = "a"\n', "line 5: connections.emea.map.deleted has no effect without map.sourceId"),
        (GOOD + 'status = { Open = "a", open = "b" }\n', "connections.emea.status.open is the same word as Open"),
        (GOOD + 'source_id_prefix = "has space "\n', "line 5: connections.emea.source_id_prefix must be at most 64"),
        ('[free_mail]\nadd = ["not a domain"]\n', "line 2: free_mail.add must be mail domains, such as isp.example"),
        ('[free_mail]\nremove = ["isp.example", "ada@x.de"]\n', "line 2: free_mail.remove must be mail domains"),
    ],
)
def test_what_says_nothing_or_undoes_itself_is_a_fault(tmp_path, text, said):
    (fault,) = faults(tmp_path, text)
    assert said in fault


@pytest.mark.parametrize(
    "text",
    [
        COMPANY + 'external_id = "a"\nresolve = true\n',
        COMPANY + 'by = ["external_id"]\nresolve = true\n',
        GOOD + 'source_id_prefix = ""\nmap.custom.items = "a"\nstatus = { Open = "a", Closed = "a" }\n',
        GOOD + '[free_mail]\nadd = ["xn--mnchen-3ya.example", "münchen.example"]\n',
    ],
)
def test_what_goes_together_is_no_fault(tmp_path, text):
    assert read(tmp_path, text).connections


def test_what_is_sound_is_read_beside_what_is_not(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[free_mail]\nadd = "x"\n[destinations.planhat]\ntoken_env = "T"\nurl = 5\n'
        + GOOD
        + 'auth = "none"\napi = 5\ndomain = "acme"\n[connections.apac]\nsource = "zendesk"\n',
        encoding="utf-8",
    )
    file, said = inspect(path)
    assert len(said) == 5
    assert not file.lost
    assert file.destinations == {"planhat": {"token_env": "T"}}
    assert file.connections == {"emea": {"source": "zendesk", "secret_env": "EMEA_SECRET", "domain": "acme"}}
    assert file.free_mail == {}


@pytest.mark.parametrize("wrong", ["[destination.labs]\n", "[destinations.labs]\n", "destinations = 5\n"])
def test_a_destination_that_a_fault_hides_makes_no_other_fault(tmp_path, wrong):
    file = tmp_path / "gateway.toml"
    file.write_text(wrong + GOOD + 'destination = "labs"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        from_env({"GATEWAY_CONFIG": str(file)})
    first, unset = caught.value.faults
    assert first.startswith("gateway.toml line 1: ")
    assert "connections.emea.secret_env: the variable EMEA_SECRET is not set" in unset


def test_every_fault_is_told_at_once(tmp_path):
    text = GOOD.replace("zendesk", "x") + 'auth = "none"\non_delete = "no"\nnonsense = 1\n'
    assert len(faults(tmp_path, text)) == 4


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    (tmp_path / "gateway.toml").write_bytes(b"\xff")
    for path, said in ((tmp_path / "none.toml", "cannot be read"), (tmp_path / "gateway.toml", "is not UTF-8")):
        with pytest.raises(ConfigurationError, match=said):
            load(path)
    (tmp_path / "gateway.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigurationError, match="larger than 1 MiB"):
        load(tmp_path / "gateway.toml")


def test_a_fault_below_an_unknown_line_is_told_at_the_table_above(tmp_path):
    file = read(tmp_path, GOOD)
    assert file.where("connections", "emea", "api", "url") == "gateway.toml line 2: connections.emea.api.url"
    assert file.where("elsewhere") == "gateway.toml line 1: elsewhere"


words = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=6)
values = st.one_of(
    st.integers(-5, 5),
    st.booleans(),
    st.sampled_from(["zendesk", "delete", "x.y", "a.[", ""]),
    st.lists(st.sampled_from(["a", ""]), max_size=2),
)
known = st.sampled_from(sorted(set(names(FILE))))
tables = st.recursive(values, lambda inner: st.dictionaries(st.one_of(known, words), inner, max_size=4), max_leaves=12)


def toml(table: Mapping[str, object], path: tuple[str, ...] = ()) -> str:
    lines = [f"[{'.'.join(path)}]"] if path else []
    for name, value in table.items():
        if isinstance(value, dict):
            continue
        shown = str(value).lower() if isinstance(value, bool) else str(value).replace("'", '"')
        lines.append(f"{name} = {f'{value!r}' if isinstance(value, str) else shown}")
    return "\n".join(
        [*lines, *(toml(inner, (*path, name)) for name, inner in table.items() if isinstance(inner, dict))]
    )


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["connections", "destinations", "free_mail", "other"]), tables, max_size=3))
def test_whatever_a_file_holds_it_is_read_or_refused_with_sentences(tmp_path_factory, table):
    text = toml(table)
    tomllib.loads(text)
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text(text, encoding="utf-8")
    said: tuple[str, ...] = ()
    try:
        load(file)
    except ConfigurationError as error:
        said = error.faults
    assert all("line" in fault for fault in said)


def test_lines_are_found_for_tables_dotted_keys_and_quoted_names():
    text = "[a]\nb.c = 1\n\n['x y'.z]\n\"k l\" = 2\n[[list]]\n"
    assert lines_of(text) == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "b", "c"): 2,
        ("x y", "z"): 4,
        ("x y", "z", "k l"): 5,
        ("list",): 6,
    }


# ------------------------------------------------------------------------------------------------ what it makes at boot
TWO = """
[destinations.main]
token_env = "MAIN_TOKEN"
[destinations.labs]
token_env = "LABS_TOKEN"
[connections.emea]
source = "zendesk"
destination = "main"
secret_env = "EMEA_SECRET"
domain = "acme-emea"
on_delete = "close"
[connections.apac]
source = "zendesk"
destination = "labs"
secret_env = "APAC_SECRET"
source_id_prefix = ""
"""
SECRETS = {"EMEA_SECRET": "emea-secret-of-20-chars", "APAC_SECRET": "apac-secret-of-20-chars"}


def boot(path: Path, text: str, **environ: str):
    file = path / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    return from_env({"GATEWAY_CONFIG": str(file), **SECRETS, **environ})


def refused(path: Path, text: str, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        boot(path, text, **environ)
    return str(caught.value)


def test_connections_and_destinations_come_from_the_file(tmp_path):
    settings = boot(tmp_path, TWO)
    emea, apac = settings.connections
    assert settings.destinations == ("main", "labs")
    assert (emea.name, emea.source, emea.destination, emea.prefix) == ("emea", "zendesk", "main", "emea:")
    assert (emea.subdomain, emea.on_delete, emea.secrets) == ("acme-emea", "close", ("emea-secret-of-20-chars",))
    assert (apac.prefix, apac.destination, apac.rules) == ("", "labs", None)


def test_connections_of_the_environment_stand_beside_and_belong_to_the_first_destination(tmp_path):
    settings = boot(tmp_path, TWO, FRESHDESK_WEBHOOK_SECRET="freshdesk-secret-of-20-chars")
    assert {one.name: one.destination for one in settings.connections} == {
        "freshdesk": "main",
        "emea": "main",
        "apac": "labs",
    }


def test_two_connections_without_prefixes_feeding_one_tenant_are_refused_with_the_reason(tmp_path):
    text = TWO.replace('destination = "labs"', 'destination = "main"').replace(
        '"close"', '"close"\nsource_id_prefix = ""'
    )
    said = refused(tmp_path, text)
    assert "are the same (''): Planhat keys tickets by sourceId alone" in said
    assert "ticket 1 of emea and of apac would overwrite each other: give each its own." in said


def test_two_connections_of_one_helpdesk_may_share_a_prefix(tmp_path):
    text = TWO.replace('destination = "labs"', 'destination = "main"\ndomain = "acme-emea"')
    settings = boot(tmp_path, text.replace('source_id_prefix = ""', 'source_id_prefix = "emea:"'))
    assert [one.prefix for one in settings.connections] == ["emea:", "emea:"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"EMEA_SECRET"', '"OTHER"', "connections.emea.secret_env: the variable OTHER is not set"),
        ('destination = "main"\n', "", "connections.emea.destination must name a table under [destinations]"),
        ('"labs"', '"lab"', "did you mean labs?"),
        ('"LABS_TOKEN"', '"MAIN_TOKEN"', "is the same tenant as destinations.main"),
        ('"acme-emea"', '"a/b"', "connections.emea.domain must be a subdomain or host name"),
        ('source_id_prefix = ""', f'source_id_prefix = "{"x" * 65}"', "must be at most 64 printable characters"),
        ('on_delete = "close"', 'account_id = "x"', "connections.emea.account_id must be the number of the account"),
        (
            'source = "zendesk"\ndestination = "labs"',
            'source = "pylon"\ndestination = "labs"\nonly.brands = ["x"]',
            "tell none",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_at_boot(tmp_path, old, new, said):
    assert old in TWO
    assert said in refused(tmp_path, TWO.replace(old, new))


def test_an_account_that_a_map_would_not_check_is_refused(tmp_path):
    text = TWO.replace('on_delete = "close"', 'account_id = "77"\nmap.sourceId = "id"')
    said = refused(tmp_path, text)
    assert "connections.emea.account_id is not checked where map.sourceId reads the whole body" in said


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("zoho_desk", "gateway.toml line 12: connections.apac.account_id is not set: Zoho signs for all its customers"),
        ("hubspot", "PUBLIC_URL is not set: HubSpot signs our address"),
    ],
)
def test_a_signature_that_proves_less_than_it_seems_is_warned_of(tmp_path, source, said):
    text = TWO.replace('source = "zendesk"\ndestination = "labs"', f'source = "{source}"\ndestination = "labs"')
    secret = secret_of(source)
    assert any(said in warning for warning in boot(tmp_path, text, APAC_SECRET=secret).warnings)
    bearer = text.replace('source_id_prefix = ""', 'auth = "bearer"')
    assert boot(tmp_path, bearer, APAC_SECRET="apac-secret-of-20-chars").warnings == ()


def secret_of(source: str) -> str:
    return SIGNERS[source].secrets[0]


@pytest.mark.parametrize(
    ("variable", "do"),
    [
        ("EMEA_SECRET", "give it another name, or remove the variable."),
        ("ZENDESK_WEBHOOK_SECRET", "let secret_env name another variable, since ZENDESK_WEBHOOK_SECRET makes"),
    ],
)
def test_a_name_that_the_environment_made_already_is_refused_once(tmp_path, variable, do):
    text = TWO.replace("connections.emea", "connections.zendesk").replace("EMEA_SECRET", variable)
    said = refused(tmp_path, text, ZENDESK_WEBHOOK_SECRET="zendesk-secret-of-20-chars")
    assert said.startswith("gateway.toml line 6: connections.zendesk exists already by ZENDESK_WEBHOOK_SECRET: ")
    assert do in said
    assert len(said.splitlines()) == 1


EXAMPLES = re.findall(r"```toml\n(.*?)```", (ROOT / "deploy" / "docs" / "configuration.md").read_text(), re.DOTALL)


PAGE = {
    "PLANHAT_API_TOKEN": "planhat-token-of-20-chars",
    "LABS_PLANHAT_TOKEN": "labs-token-of-20-chars",
    "NORTH_SECRET": "north-secret-of-20-chars",
    "SOUTH_SECRET": "south-secret-of-20-chars",
    "INBOX_SECRET": "inbox-secret-of-20-chars",
    "FIELDWORK_SECRET": "fieldwork-secret-of-20-chars",
    "ACME_ZENDESK_TOKEN": "acme-token-of-20-chars",
    "REDIS_URL": "redis://localhost",
}


def test_the_examples_of_the_page_are_one_file_that_both_banks_can_run_with(tmp_path):
    assert len(EXAMPLES) == 5
    text = "\n".join(EXAMPLES)
    settings = boot(tmp_path, text, **PAGE)
    assert [one.name for one in settings.connections] == ["north", "south", "inbox", "fieldwork"]
    assert faults_from({"GATEWAY_CONFIG": str(tmp_path / "gateway.toml"), **PAGE}) == ()
    file = read(tmp_path, text)
    assert file.where("connections", "fieldwork", "map", "sourceId").endswith("connections.fieldwork.map.sourceId")


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_each_example_of_the_page_is_toml_whose_keys_are_known(tmp_path, number):
    path = tmp_path / "gateway.toml"
    path.write_text(EXAMPLES[number], encoding="utf-8")
    assert not [fault for fault in inspect(path)[1] if " needs " not in fault], "what a piece needs, another one gives"
