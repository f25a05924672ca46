"""`config` and the other commands with a configuration file: they see connections, rules and destinations."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import gateway.config
from gateway.cli import cli
from gateway.config.file import load
from gateway.config.schema import schema
from tests.cli.test_map_try import GENERIC, ROW
from workers.settings import all_from_env as far_settings

OWN_SECRET = "whsec_" + "QUJD" * 10
FILE = """
[destinations.planhat]
token_env = "MAIN_TOKEN"
[destinations.labs]
token_env = "LABS_TOKEN"
[connections.own]
source = "generic"
destination = "planhat"
secret_env = "OWN_SECRET"
source_id_prefix = "erp:"
only.tags = ["b2b"]
ignore.when = "data.custom.channel == 'chat'"
[connections.own.status]
open = "working"
[connections.own.map]
product = "region"
[connections.desk]
source = "zendesk"
destination = "labs"
secret_env = "DESK_SECRET"
ignore.agents = ["9100000004711"]
company = { resolve = true }
"""
ENVIRON = {
    "OWN_SECRET": OWN_SECRET,
    "DESK_SECRET": "desk-secret-of-20-chars",
    "MAIN_TOKEN": "main-token-0123456789",
    "LABS_TOKEN": "labs-token-0123456789",
    "REDIS_URL": "redis://:hush-hush@redis.example:6379/0",
}
OURS = ("REDIS_", "PLANHAT_", "GENERIC_", "ZENDESK_", "FRESHDESK_", "BATCH_", "GATEWAY_", "PORT")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def run(*arguments: str, code: int = 0, environ: dict[str, str] | None = None) -> Result:
    unset: dict[str, str | None] = {name: None for name in os.environ if name.startswith(OURS)}
    said = CliRunner(env={**unset, **(environ or {})}).invoke(cli, [*arguments])
    assert said.exit_code == code, (said.output, said.exception)
    return said


def with_file(path: Path, *arguments: str, code: int = 0, **environ: str) -> Result:
    return run(*arguments, code=code, environ={**ENVIRON, **environ, "GATEWAY_CONFIG": str(path)})


# --------------------------------------------------------------------------------------------------------------- config
def test_the_example_can_be_saved_and_read(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(run("config", "example").stdout, encoding="utf-8")
    assert path.read_text().startswith("#:schema ./gateway.schema.json\n")
    assert load(path).destinations["planhat"]["token_env"] == "PLANHAT_API_TOKEN"


def test_the_schema_that_is_printed_is_the_one_that_is_shipped() -> None:
    assert json.loads(run("config", "example", "--schema").stdout) == schema()
    shipped = Path(gateway.config.__file__).parent / "schema.json"
    assert json.loads(shipped.read_text()) == schema(), "write it anew: python -m tests.config.write_schema"


def test_check_finds_no_fault_in_a_good_file(file: Path) -> None:
    rows = json.loads(with_file(file, "config", "check", "--json").stdout)
    assert {row["level"] for row in rows} == {"ok"}
    assert any("own (signature), desk (signature)" in row["sentence"] for row in rows)


def test_check_tells_every_fault_of_both_banks_once_with_its_line(file: Path) -> None:
    file.write_text(FILE.replace('"zendesk"', '"zendesc"').replace("resolve = true", 'resolve = "yes"'))
    rows = json.loads(with_file(file, "config", "check", "--json", code=1).stdout)
    faults = [row["sentence"] for row in rows if row["level"] == "fault"]
    assert len(faults) == 2
    assert faults[0].startswith("gateway.toml line 18: connections.desk.source must be one of")
    assert faults[1].startswith("gateway.toml line 22: connections.desk.company.resolve must be true or false")


def test_show_tells_what_holds_and_no_secret(file: Path) -> None:
    said = json.loads(with_file(file, "config", "show", "--json", GENERIC_WEBHOOK_SECRET=OWN_SECRET).stdout)
    assert [row["name"] for row in said["connections"]] == ["generic", "own", "desk"]
    assert said["connections"][1] == {
        "name": "own", "source": "generic", "route": "/webhooks/own", "destination": "planhat", "prefix": "erp:",
        "auth": "signature", "on_delete": "delete", "secrets": 1,
        "rules": "only.tags, ignore.when, status, map.product",
    }  # fmt: skip
    assert said["destinations"] == ["planhat", "labs"]
    assert said["settings"]["GENERIC_WEBHOOK_SECRET"] == "(set)"
    assert said["settings"]["REDIS_URL"] == "redis://...@redis.example:6379/0"
    for arguments in (["config", "show", "--json"], ["config", "show"]):
        text = with_file(file, *arguments, GENERIC_WEBHOOK_SECRET=OWN_SECRET).output
        assert not any(secret in text for secret in (OWN_SECRET, "hush-hush", ENVIRON["MAIN_TOKEN"]))


def test_show_tells_where_each_destination_sends_as_the_worker_reads_it(file: Path) -> None:
    file.write_text(FILE.replace('"LABS_TOKEN"', '"LABS_TOKEN"\nurl = "https://api-us4.planhat.com"\nhistory = "off"'))
    said = json.loads(with_file(file, "config", "show", "--json", PLANHAT_CALLS_PER_MINUTE="90").stdout)["tenants"]
    far = far_settings({**ENVIRON, "GATEWAY_CONFIG": str(file), "PLANHAT_CALLS_PER_MINUTE": "90"})
    assert said == [
        {
            "name": one.destination, "url": one.api_url, "token": one.token_name,
            "calls_per_minute": str(one.calls_per_minute), "max_in_flight": str(one.max_in_flight),
            "history": one.history,
        }
        for one in far
    ]  # fmt: skip
    (alone,) = json.loads(run("config", "show", "--json").stdout)["tenants"]
    assert (alone["url"], alone["token"]) == (far_settings({})[0].api_url, "PLANHAT_API_TOKEN (not set)")


def test_show_without_a_connection_says_what_makes_one() -> None:
    assert (
        "no connection, so every webhook is answered 404: set <SOURCE>_WEBHOOK_SECRET" in run("config", "show").stdout
    )


def test_show_breaks_no_route_or_address_that_may_be_copied(file: Path) -> None:
    name, url = "north-of-the-river-and-beyond-the-hills", "https://api-" + "u" * 60 + ".planhat.com"
    text = FILE.replace("connections.own", f"connections.{name}").replace(
        '"LABS_TOKEN"', f'"LABS_TOKEN"\nurl = "{url}"'
    )
    file.write_text(text)
    said = with_file(file, "config", "show").stdout
    assert f"/webhooks/{name} " in said
    assert f" {url} " in said
    assert f"rules of {name}: only.tags, ignore.when, status, map.product\n" in said


def test_the_line_of_each_config_command_in_the_help_is_whole() -> None:
    assert "..." not in run("config", "--help").stdout.partition("Commands:")[2]


def test_check_tells_what_is_not_set_beside_the_faults_of_the_file(file: Path) -> None:
    text = FILE.replace('"LABS_TOKEN"', '"LABS_TOKEN"\nurl = "nope"').replace('"zendesk"', '"zendesc"')
    file.write_text(text)
    said = run("config", "check", "--json", code=1, environ={"GATEWAY_CONFIG": str(file)}).stdout
    faults = [row["sentence"] for row in json.loads(said) if row["level"] == "fault"]
    for sentence in (
        "line 19: connections.desk.source must be one of",
        "line 10: connections.own.secret_env: the variable OWN_SECRET is not set",
        "line 6: destinations.labs.url must be an address",
        "REDIS_URL is not set",
        "MAIN_TOKEN is not set",
        "LABS_TOKEN is not set",
    ):
        assert len([fault for fault in faults if sentence in fault]) == 1, (sentence, faults)
    assert len(faults) == 6


def test_check_names_no_token_that_a_fault_of_the_file_hides(file: Path) -> None:
    file.write_text("[destinations.x]\n")
    said = run("config", "check", "--json", code=1, environ={"GATEWAY_CONFIG": str(file)}).stdout
    assert "REDIS_URL is not set" in said
    assert "PLANHAT_API_TOKEN is not set" not in said


def test_show_for_a_person_is_a_table(file: Path) -> None:
    text = with_file(file, "config", "show", ZENDESK_ON_DELETE="close").stdout
    assert "/webhooks/own" in text
    assert "destinations: planhat, labs" in text
    assert "warning: ZENDESK_ON_DELETE has no effect" in text


def test_show_refuses_a_wrong_file(file: Path) -> None:
    file.write_text("x = 1")
    assert "x is not a setting" in with_file(file, "config", "show", code=2).output


# -------------------------------------------------------------------------------------------------------------- map try
def tried(file: Path, connection: str, body: Any, **environ: str) -> dict[str, Any]:
    path = file.parent / "body.json"
    path.write_text(json.dumps(body))
    said = with_file(file, "map", "try", connection, str(path), "--json", code=0, **environ)
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def test_map_try_says_which_rule_decided_and_what_would_happen(file: Path) -> None:
    said = tried(file, "own", GENERIC | {"region": "emea", "data": ROW | {"tags": ["b2b"]}})
    assert said["outcome"] == "ticket"
    assert said["tickets"][0]["sourceId"] == "erp:BW-1"
    assert (said["tickets"][0]["status"], said["tickets"][0]["product"]) == ("working", "emea")
    assert said["decided"] == ["map: product = region", "status: erp:BW-1 'open' becomes 'working'"]
    assert said["fates"] == {"erp:BW-1": "sent"}


@pytest.mark.parametrize(
    ("row", "decided"),
    [
        ({"tags": []}, "only.tags: erp:BW-1 has none of them"),
        ({"tags": ["b2b"], "custom": {"channel": "chat"}}, "ignore.when is true of the body"),
    ],
)
def test_map_try_says_why_a_body_is_left_out(file: Path, row: dict[str, Any], decided: str) -> None:
    said = tried(file, "own", GENERIC | {"data": ROW | row})
    assert said["outcome"] == "ignored"
    assert decided in said["decided"]
    assert said["fates"] == {}


@pytest.mark.parametrize(
    ("row", "fate"),
    [
        ({"email": None}, "buried as missing_email: "),
        ({"email": "ada@gmail.com"}, "buried as missing_company: "),
        ({"deleted": True}, "deleted in Planhat"),
    ],
)
def test_map_try_says_what_would_happen_to_an_item(file: Path, row: dict[str, Any], fate: str) -> None:
    said = tried(file, "own", GENERIC | {"data": ROW | {"tags": ["b2b"]} | row})
    assert said["fates"]["erp:BW-1"].startswith(fate)


def test_map_try_says_that_a_part_of_an_unknown_ticket_is_not_enough(file: Path) -> None:
    part = {"sourceId": "BW-1", "email": "eskil@kestrel.example", "tags": ["b2b"]}
    said = tried(file, "own", GENERIC | {"type": "ticket.updated", "data": part})
    assert said["fates"]["erp:BW-1"].startswith("buried as incomplete: ")


def test_map_try_sees_the_company_rules_and_the_look_ups(file: Path) -> None:
    folder = Path(__file__).parent.parent / "samples" / "zendesk"
    body = json.loads((folder / "trigger_full" / "body").read_bytes())
    said = tried(file, "desk", body)
    (ticket,) = said["fates"]
    assert said["fates"][ticket].startswith("sent")
    body = json.loads((folder / "status_changed" / "body").read_bytes())
    assert tried(file, "desk", body)["outcome"] == "ignored", "made by an ignored agent"
    body["detail"]["actor_id"] = "1"
    assert "buried as missing_email" in "".join(tried(file, "desk", body)["fates"].values())
    api = FILE.replace(
        "ignore.agents", 'domain = "acme"\napi = { email = "a@b.example", token_env = "X" }\nignore.agents'
    )
    file.write_text(api)
    assert "looked up in the helpdesk first: " in "".join(tried(file, "desk", body)["fates"].values())
    file.write_text(FILE)
    with_variables = tried(file, "zendesk", body, ZENDESK_API_TOKEN="x")
    assert "looked up in the helpdesk first: " in "".join(with_variables["fates"].values())


def test_map_try_says_what_a_body_without_fields_comes_to(file: Path) -> None:
    folder = Path(__file__).parent.parent / "samples" / "zendesk"
    body = json.loads((folder / "trigger_thin" / "body").read_bytes())
    assert "buried as no_credentials: " in "".join(tried(file, "desk", body)["fates"].values())
    assert "read from the helpdesk first" in "".join(
        tried(file, "zendesk", body, ZENDESK_API_TOKEN="x")["fates"].values()
    )


def test_map_try_says_that_a_ticket_waits_for_its_company(file: Path) -> None:
    resolving = FILE.replace('only.tags = ["b2b"]', "company = { resolve = true }")
    file.write_text(resolving)
    said = tried(file, "own", GENERIC | {"data": ROW | {"companyExternalId": "acct-1"}})
    assert said["fates"]["erp:BW-1"] == "sent when its company stands in Planhat's company list, and waits until then"


@pytest.mark.parametrize(
    ("company", "told", "note"),
    [
        (
            'external_id = "acme-internal"',
            {"companyExternalId": "acme-internal"},
            "company: erp:BW-1 is companyExternalId acme-internal, by company.external_id, whatever the body says",
        ),
        (
            'id = "60a1"',
            {"companyId": "60a1"},
            "company: erp:BW-1 is companyId 60a1, by company.id, whatever the body says",
        ),
        (
            'by = ["domain"]',
            {"domains": ["kestrel.example.com"]},
            'company: erp:BW-1 is domains ["kestrel.example.com"], by domain',
        ),
        (
            "resolve = true",
            {"companyExternalId": "np-3", "domains": ["kestrel.example.com"]},
            'company: erp:BW-1 is companyExternalId np-3, domains ["kestrel.example.com"], by external_id and domain',
        ),
    ],
)
def test_map_try_shows_the_company_that_is_sent_and_the_rule_that_chose_it(
    file: Path, company: str, told: dict[str, Any], note: str
) -> None:
    file.write_text(FILE.replace('only.tags = ["b2b"]', f"company = {{ {company} }}"))
    said = tried(file, "own", GENERIC | {"data": ROW | {"companyExternalId": "np-3"}})
    names = ("companyExternalId", "companyId", "domains")
    assert {name: value for name, value in said["tickets"][0].items() if name in names} == told
    assert any(one.startswith(note) for one in said["decided"]), said["decided"]


def test_map_try_leaves_a_deletion_without_a_company(file: Path) -> None:
    file.write_text(FILE.replace('only.tags = ["b2b"]', 'company = { external_id = "acme-internal" }'))
    said = tried(file, "own", GENERIC | {"data": ROW | {"deleted": True}})
    assert said["tickets"] == [{"sourceId": "erp:BW-1", "updatedAt": "2026-10-14T09:45:02.000Z"}]


def shown(file: Path, connection: str, body: Any) -> str:
    path = file.parent / "body.json"
    path.write_text(json.dumps(body))
    return with_file(file, "map", "try", connection, str(path)).stdout


def test_map_try_promises_no_look_up_that_nobody_makes(file: Path) -> None:
    said = shown(file, "own", GENERIC | {"data": ROW | {"tags": ["b2b"], "email": None}})
    assert "  not in the body, and generic has no look-ups, so the sender must give it: requester_email" in said
    folder = Path(__file__).parent.parent / "samples" / "zendesk"
    body = json.loads((folder / "status_changed" / "body").read_bytes())
    body["detail"]["actor_id"] = "1"
    assert "  not in the body and not looked up: " in shown(file, "desk", body)
    file.write_text(
        FILE.replace(
            "ignore.agents", 'domain = "acme"\napi = { email = "a@b.example", token_env = "X" }\nignore.agents'
        )
    )
    assert "  to be looked up in the helpdesk: " in shown(file, "desk", body)


def test_map_try_says_once_why_a_body_is_left_out(file: Path) -> None:
    folder = Path(__file__).parent.parent / "samples" / "zendesk"
    body = json.loads((folder / "status_changed" / "body").read_bytes())
    assert shown(file, "desk", body).count("ignore.agents: the change was made by 9100000004711") == 1


def test_map_try_for_a_person_tells_rules_and_fates(file: Path) -> None:
    path = file.parent / "body.json"
    path.write_text(json.dumps(GENERIC | {"data": ROW | {"tags": ["b2b"]}}))
    text = with_file(file, "map", "try", "own", str(path)).stdout
    assert "status: erp:BW-1 'open' becomes 'working'" in text
    assert "erp:BW-1 would be sent" in text


def test_map_try_names_the_connections_of_the_file(file: Path) -> None:
    said = with_file(file, "map", "try", "nonsense", str(file), code=2)
    assert "known are own, desk, zendesk" in said.output


def test_map_try_needs_no_secret(file: Path) -> None:
    assert tried(file, "own", GENERIC | {"data": ROW | {"tags": ["b2b"]}}, OWN_SECRET="")["outcome"] == "ticket"


# --------------------------------------------------------------------------------------------------------- destinations
@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("dead", "list"),
        ("pause",),
        ("resume",),
        ("tickets", "list"),
        ("tickets", "delete", "a" * 24, "--yes"),
    ],
)
def test_an_unknown_destination_is_named_with_those_that_are_known(file: Path, arguments: tuple[str, ...]) -> None:
    said = with_file(file, "--destination", "lab", *arguments, code=2)
    assert "There is no destination 'lab': known are planhat, labs." in said.output


@pytest.mark.redis
def test_each_destination_is_held_and_counted_by_itself(file: Path, redis_url: str) -> None:
    with_file(file, "--destination", "labs", "pause", "--reason", "audit", REDIS_URL=redis_url)
    paused = {
        name: json.loads(with_file(file, *asked, "status", "--json", REDIS_URL=redis_url).stdout)["paused"]
        for name, asked in (
            ("first", ()),
            ("planhat", ("--destination", "planhat")),
            ("labs", ("--destination", "labs")),
        )
    }
    assert paused == {"first": None, "planhat": None, "labs": "held by hand: audit"}
    with_file(file, "--destination", "labs", "resume", REDIS_URL=redis_url)


@pytest.mark.redis
def test_check_finds_what_a_renamed_destination_left_behind(file: Path, redis_url: str) -> None:
    from gateway.cli.check import redis_rows
    from gateway.cli.frame import run as started
    from gateway.reader import Reader
    from gateway.settings import store_from
    from gateway.store.client import connect
    from gateway.store.pending import Delivery, Store

    async def leave() -> None:
        redis = connect(redis_url)
        await Store(redis, "planhat").put([Delivery(None, (("zendesk:1", b"frame"),))])
        await redis.aclose()

    started(leave())
    store = store_from(Reader({"REDIS_URL": redis_url}))
    assert not [row for row in started(redis_rows(store)) if row.name == "redis destinations"]
    file.write_text(FILE.replace("destinations.planhat", "destinations.main").replace('"planhat"', '"main"'))
    said = with_file(file, "check", "--json", code=1, REDIS_URL=redis_url, PLANHAT_API_URL="http://127.0.0.1:1")
    (row,) = [row for row in json.loads(said.stdout) if row["name"] == "redis destinations"]
    assert row["sentence"].startswith("1 tickets, 0 dead letters and 0 deliveries belong to the destination planhat")


def test_send_sample_signs_for_a_connection_of_the_file(file: Path) -> None:
    for arguments, said in (
        (["generic", "ticket_upserted", "--connection", "desk"], "takes webhooks of zendesk, not of generic"),
        (["generic", "ticket_upserted", "--connection", "none"], "has no connection 'none': known are own, desk"),
    ):
        case = next(iter((Path(__file__).parents[2] / "gateway/sources/samples/generic").glob("*.json"))).stem
        arguments[1] = case
        assert said in with_file(file, "send-sample", *arguments, code=2).output
    arguments = ["generic", case, "--connection", "own", "--url", "http://127.0.0.1:9"]
    assert (
        "http://127.0.0.1:9/webhooks/own cannot be reached" in with_file(file, "send-sample", *arguments, code=1).output
    )
