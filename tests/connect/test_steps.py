"""Where a helpdesk has no API for it, `connect` tells a person what to do, and keeps the secret out of the steps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.connect.double import MADE, PUBLIC, Double, go
from workers.connect import STEPS, steps

README = (Path(__file__).resolve().parents[2] / "gateway" / "sources" / "README.md").read_text()
DESK = {"FRESHDESK_DOMAIN": "tallow", "FRESHDESK_API_KEY": "fd-key-1"}


def blocks(section: str) -> list[object]:
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def body_in(said: dict[str, list[str]]) -> object:
    (step,) = (step for step in said["steps"] if "{" in step)
    return json.loads(step[step.index("{") :])


@pytest.fixture
def nobody() -> Double:
    """A helpdesk that fails every request: steps ask nobody."""
    return Double()


def test_the_documents_show_the_same_bodies():
    assert blocks("Freshdesk") == [steps.THIN, steps.FULL]
    assert blocks("Freshservice") == [steps.SERVICE_THIN]


async def test_freshdesk_s_rules_are_told_with_url_header_body_and_a_secret(nobody):
    said = await go("connect", "freshdesk", nobody, {})
    told = "\n".join(said["steps"])
    assert said["outcome"] == "steps" and said["calls"] == []
    for part in (
        f"{PUBLIC}/webhooks/freshdesk",
        "X-Webhook-Secret",
        "Ticket Creation",
        "Ticket Updates",
        "execute all",
    ):
        assert part in told
    secret = said["settings"]["FRESHDESK_WEBHOOK_SECRET"]
    assert len(secret) == MADE and secret not in told
    assert body_in(said) == steps.FULL


async def test_with_an_api_key_the_thin_body_is_enough(nobody):
    assert body_in(await go("connect", "freshdesk", nobody, DESK)) == steps.THIN
    env = {"FRESHSERVICE_DOMAIN": "tallow", "FRESHSERVICE_API_TOKEN": "fs-key"}
    assert body_in(await go("connect", "freshservice", nobody, env)) == steps.SERVICE_THIN


async def test_freshservice_s_full_body_uses_the_numeric_id_and_the_requester(nobody):
    body = json.dumps(body_in(await go("connect", "freshservice", nobody, {})))
    assert "ticket.id_numeric" in body and "ticket_requester_email" in body and "ticket_contact" not in body


async def test_a_secret_that_is_stored_is_used_and_not_shown(nobody):
    secret = "the-secret-that-is-stored"
    said = await go("connect", "freshdesk", nobody, {"FRESHDESK_WEBHOOK_SECRET": secret})
    assert said["settings"] == {} and secret not in json.dumps(said)


async def test_a_dry_run_shows_no_secret(nobody):
    said = await go("connect", "freshdesk", nobody, {}, dry_run=True)
    assert said["settings"] == {"FRESHDESK_WEBHOOK_SECRET": "<secret>"}


@pytest.mark.parametrize("source, topic", [("intercom", "ticket.state.updated"), ("hubspot", "hs_pipeline_stage")])
async def test_apps_are_set_up_in_their_pages(nobody, source, topic):
    said = await go("connect", source, nobody, {})
    told = "\n".join(said["steps"])
    assert f"{PUBLIC}/webhooks/{source}" in told and topic in told and f"{source.upper()}_WEBHOOK_SECRET" in told
    assert said["settings"] == {}


@pytest.mark.parametrize(
    "name", [*steps.TICKETS.split(", "), *steps.CONVERSATIONS.split(", "), *steps.PROPERTIES.split(", ")]
)
def test_each_topic_stands_in_the_documents(name):
    assert f"`{name}`" in README


@pytest.mark.parametrize("source", sorted(STEPS))
async def test_each_set_of_steps_has_its_way_back(nobody, source):
    said = await go("disconnect", source, nobody, {})
    assert said["outcome"] == "steps"
    assert f"{source.upper()}_WEBHOOK_SECRET" in said["steps"][-1]
