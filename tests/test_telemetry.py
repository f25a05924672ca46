"""Logs are one line each and hold no secret; metrics come out as Prometheus reads them."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from pathlib import Path

import pytest

from gateway.core.outcome import Verdict
from gateway.telemetry import (
    LOG_FIELDS,
    METRICS,
    LineFormatter,
    Redaction,
    Sample,
    Throttle,
    counter,
    exposition,
    samples,
)

ROOT = Path(__file__).parent.parent
SECRET = "canary-7f3a9c-secret"


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("gateway.test", logging.WARNING, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    return made


def line(made: logging.LogRecord, form: str = "json") -> str:
    return LineFormatter(form, Redaction([SECRET])).format(made)  # type: ignore[arg-type]


def test_a_line_is_json_with_declared_fields_only() -> None:
    said = json.loads(line(record("took %d", 3, connection="zendesk", status=202, private="x")))
    assert said["message"] == "took 3"
    assert (said["connection"], said["status"]) == ("zendesk", 202)
    assert "private" not in said


def test_a_text_line_reads_like_a_sentence() -> None:
    said = line(record("delivery refused", connection="zendesk"), "text")
    assert re.fullmatch(r"\S+Z WARNING gateway\.test: delivery refused connection=zendesk", said)


@pytest.mark.parametrize(
    "text",
    [
        f"GET /webhooks/freshdesk?token={SECRET}&a=1",
        f"Authorization: Bearer {SECRET}",
        f"plain {SECRET} in the middle",
        f"redis://default:{SECRET}@host:6379/0",
    ],
)
@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_comes_out(text: str, form: str) -> None:
    assert SECRET not in line(record(text, detail=text), form)
    assert SECRET not in line(record("%s", text), form)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("POST /webhooks/x?token=unknown-one&b=2 HTTP/1.1", "unknown-one"),
        ("headers: {'authorization': 'Bearer unknown-one'}", "unknown-one"),
        ("Basic dW5rbm93bi1vbmU=", "dW5rbm93bi1vbmU"),
        ("x-webhook-secret: unknown-one", "unknown-one"),
        ("rediss://user:unknown-one@host/0", "unknown-one"),
        ("api_key=unknown-one", "unknown-one"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out_though_nobody_configured_it(text: str, hidden: str) -> None:
    assert hidden not in line(record(text))


@pytest.mark.parametrize("text", ["a\nforged line", "esc \x1b[31m", "nul \x00", "ls \u2028", "c1 \x85", "lone \ud800"])
@pytest.mark.parametrize("form", ["json", "text"])
def test_control_characters_cannot_forge_a_line(text: str, form: str) -> None:
    said = line(record(text, detail=text), form)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", said)


def test_lengths_are_capped() -> None:
    assert len(line(record("x" * 100_000, detail="y" * 100_000))) < 4_000


def test_a_trace_is_one_line_without_secrets() -> None:
    made = record("failed")
    try:
        int(f"{SECRET}\nsecond line")
    except ValueError:
        made.exc_info = sys.exc_info()
    for form in ("json", "text"):
        said = line(made, form)
        assert "ValueError" in said
        assert SECRET not in said
        assert "\n" not in said


def test_a_message_that_does_not_fit_its_arguments_is_still_written() -> None:
    assert "broken %d" in line(record("broken %d", "x"))


def test_a_throttle_lets_the_first_pass_and_tells_the_rest() -> None:
    throttle = Throttle(lines=2, window_s=10)
    assert [throttle.allow("a", now)[0] for now in (0, 1, 2, 3)] == [True, True, False, False]
    assert throttle.allow("b", 3) == (True, 0)
    assert throttle.allow("a", 11) == (True, 2)
    assert throttle.allow("a", 12) == (True, 0)


def test_a_throttle_does_not_grow_with_strangers() -> None:
    throttle = Throttle(lines=1, kinds=10)
    passed = sum(throttle.allow(str(n), 0)[0] for n in range(10_000))
    assert passed == 11


def test_counters_survive_the_way_through_redis() -> None:
    field = counter("gateway_answers_total", outcome="accepted", connection="zendesk")
    assert field == "gateway_answers_total|connection=zendesk|outcome=accepted"
    assert list(samples({field: 3})) == [
        Sample("gateway_answers_total", {"connection": "zendesk", "outcome": "accepted"}, 3)
    ]


def test_metrics_are_prometheus_text() -> None:
    text = exposition(
        [
            *samples({counter("gateway_answers_total", connection="zendesk", outcome="accepted"): 3, "deliveries": 7}),
            *samples({"unheard_of": 1, 'bad"name\n': 2}),
            Sample("gateway_pending_tickets", {"destination": "planhat"}, 5),
        ]
    ).decode()
    assert 'gateway_answers_total{connection="zendesk",outcome="accepted"} 3.0' in text
    assert "gateway_deliveries_total 7.0" in text
    assert "gateway_unheard_of_total 1.0" in text
    assert 'gateway_pending_tickets{destination="planhat"} 5.0' in text
    assert "# TYPE gateway_pending_tickets gauge" in text
    assert "bad" not in text


def test_metrics_are_declared_once_and_named_after_the_rule() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"gateway_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.meaning.endswith(".")


@pytest.mark.parametrize("room", ["gateway", "workers"])
def test_every_field_that_is_logged_is_declared(room: str) -> None:
    used = {
        name
        for file in (ROOT / room).rglob("*.py")
        for block in re.findall(r"extra=\{([^}]*)\}", file.read_text(encoding="utf-8"))
        for name in re.findall(r'"([a-z_]+)":', block)
    }
    assert used
    assert used <= LOG_FIELDS.keys()


def test_every_counter_of_the_workers_is_declared() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "workers").glob("*.py"))
    blocks = re.findall(r"count\(\{(.*?)\}\)\n", source)
    counted = {name for block in blocks for name in re.findall(r'(?<!f)"([a-z_]+)":', block)}
    counted |= {f"calls_{verdict}" for verdict in Verdict}
    assert {"items_sent", "buried"} <= counted
    assert {f"gateway_{name}_total" for name in counted} <= {metric.name for metric in METRICS}


@pytest.mark.parametrize(
    "address",
    [
        "canary@kestrel.example",
        "Canary.B+x_1%2@MAIL.kestrel.example",
        "canary%40kestrel.example",
        "canary@m\xfcller.example",
        "c\xe4nary@xn--mller-kva.example",
        "\u043a\u0430\u043d\u0430\u0440@\u043f\u043e\u0447\u0442\u0430.example",
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "<{}>", "mailto:{}", "u={}&v=1", "'{}'", '{{"email": "{}"}}', "x {},y", "({}).", "/tickets/{}/x"]
)
def test_no_address_of_any_form_comes_out(address: str, around: str) -> None:
    text = around.format(address)
    for form in ("json", "text"):
        said = line(record(text, detail=text), form)
        assert address not in said
        assert said.count("[e-mail]") == 2


def test_a_flood_of_almost_addresses_costs_no_time() -> None:
    begun = time.monotonic()
    for piece in ("a", "a.", "%40", "@", "a@", "a@b", "a@b.", "\xe9"):
        Redaction()(piece * 40_000)
    assert time.monotonic() - begun < 5


def test_no_person_s_address_comes_out() -> None:
    said = json.loads(line(record("refused", detail="email 'ada+1@mail.kestrel.example' is invalid")))
    assert said["detail"] == "email '[e-mail]' is invalid"
