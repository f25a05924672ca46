"""Samples are signed as their senders sign; children are started, watched and stopped as told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import subprocess
import sys
import threading
import time
from typing import ClassVar

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.cli import Failure, Misuse, cli
from gateway.cli.processes import DEFAULT_TETHER, environment, family, free_port, python, start, wait_for_port
from gateway.cli.samples import cases, sample
from gateway.cli.senders import dated, new_generic_secret, signed
from gateway.errors import VerificationError
from gateway.sources import SOURCES
from gateway.sources.base import Connection, Request

SECRETS = {"generic": new_generic_secret(), "freshdesk": "a-secret-of-freshdesk", "zendesk": "a-secret-of-zendesk-42"}


def pair() -> tuple[str, str]:
    """A key pair as Zoho has one: the private half as PEM, the public one as base64 of PEM."""
    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    kept = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return kept.decode(), base64.b64encode(public).decode()


def request(source: str, secret: str, body: bytes) -> Request:
    body = dated(source, body)
    headers = signed(source, secret, body, url=f"https://gateway.example/webhooks/{source}")
    return Request("POST", (*headers.items(), ("host", "gateway.example")), "", body)


def test_zohos_sender_signs_with_a_private_key_of_ones_own():
    private, public = pair()
    connection = Connection("zoho_desk", "zoho_desk", (public,), account_id="7/0")
    for key in (private, base64.b64encode(private.encode()).decode()):
        asked = request("zoho_desk", key, b'[{"orgId": "7"}]')
        SOURCES["zoho_desk"].verify(asked, connection, time.time())
    for key in (public, "no key at all", pair()[1]):
        with pytest.raises(Misuse, match="--secret"):
            request("zoho_desk", key, b"[]")


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"zoho_desk"}))  # signs with another key than it is known by
def test_what_we_sign_is_what_the_gateway_verifies(name):
    secret = SECRETS.get(name, f"a-secret-of-{name}")
    connection = Connection(name, name, (secret,))
    SOURCES[name].verify(request(name, secret, b'{"a": 1}'), connection, time.time())
    with pytest.raises(VerificationError):
        SOURCES[name].verify(request(name, new_generic_secret(), b'{"a": 1}'), connection, time.time())


def test_zendesk_is_signed_as_its_page_shows():
    headers = signed("zendesk", "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==", b"", now_s=1_784_714_400)
    assert headers["x-zendesk-webhook-signature-timestamp"] == "2026-07-22T10:00:00Z"
    assert headers["x-zendesk-webhook-signature"] == "Vkek8gND7LZLBmaCYkPfWqG0roHsw88HFS3GJh60xcM="


def test_standard_webhooks_sign_id_time_and_body():
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    headers = signed("generic", secret, b"{}", delivery_id="msg_1", now_s=1_700_000_000.9)
    expected = hmac.digest(b"k" * 24, b"msg_1.1700000000.{}", hashlib.sha256)
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()


def test_there_are_samples_of_every_source():
    for name in SOURCES:
        assert cases(name)
        assert all(isinstance(sample(name, case)[0], bytes) for case in cases(name))
    assert cases("nonsense") == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["generic", "nonsense", "--secret", SECRETS["generic"]], 2, "created_full"),
        (["nonsense", "x", "--secret", "s"], 2, "generic"),
        (["generic", "created_full"], 2, "GENERIC_WEBHOOK_SECRET"),
        (["generic", "created_full", "--secret", "not base64"], 2, "whsec_"),
        (
            ["generic", "created_full", "--secret", SECRETS["generic"], "--url", "http://127.0.0.1:1"],
            1,
            "cannot be reached",
        ),
    ],
)
def test_send_sample_says_what_is_missing(arguments, code, words):
    said = CliRunner(env={"GENERIC_WEBHOOK_SECRET": None}).invoke(cli, ["send-sample", *arguments])
    assert (said.exit_code, words in said.stderr) == (code, True), said.output


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers every POST with the status that its path ends in, and keeps its headers."""

    seen: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(int(self.path[-3:]))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_) -> None:
        """Say nothing."""


@pytest.fixture
def refusing():
    with http.server.HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/webhooks/s"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "--secret or GENERIC_WEBHOOK_SECRET"), (404, "has no connection s404"), (503, "planhat-gateway check")],
)
def test_a_refused_sample_names_the_next_step(refusing, status, words):
    arguments = ["send-sample", "generic", "created_full", "--secret", SECRETS["generic"]]
    said = CliRunner().invoke(cli, [*arguments, "--url", f"{refusing}{status}"])
    assert (said.exit_code, said.stdout[:3], words in said.stderr) == (1, str(status), True), said.output


def test_a_connection_with_a_bearer_token_is_shown_it(refusing, tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text('[connections.field]\nsource = "generic"\nsecret_env = "FIELD_SECRET"\nauth = "bearer"\n')
    ways: tuple[tuple[list[str], dict[str, str]], ...] = (
        (["--connection", "field"], {"GATEWAY_CONFIG": str(path), "FIELD_SECRET": "a-token-of-the-field"}),
        ([], {"GENERIC_AUTH": "bearer", "GENERIC_WEBHOOK_SECRET": "a-token-of-the-field"}),
    )
    for options, env in ways:
        arguments = ["send-sample", "generic", "created_full", "--url", f"{refusing}202", *options]
        assert CliRunner(env=env).invoke(cli, arguments).exit_code == 0
        assert Refusing.seen[-1]["authorization"] == "Bearer a-token-of-the-field"


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_token_that_we_show_is_what_the_gateway_verifies(name):
    secret = f"a-token-for-{name}"
    headers = signed(name, secret, b"{}", auth="bearer")
    asked = Request("POST", (*headers.items(), ("host", "gateway.example")), "", b"{}")
    SOURCES[name].verify(asked, Connection(name, name, (secret,), auth="bearer"), time.time())


def test_the_help_of_send_sample_names_every_source():
    said = CliRunner().invoke(cli, ["send-sample", "--help"]).stdout
    assert [name for name in SOURCES if name not in said] == []


def test_a_child_that_ends_instead_of_listening_is_told_with_its_last_lines(tmp_path):
    with family() as children:
        command = [sys.executable, "-c", "print('no room'); raise SystemExit(3)"]
        children.append(start("web", command, env=environment(), log=tmp_path / "log"))
        with pytest.raises(Failure, match=r"(?s)web ended with 3.*no room"):
            wait_for_port(children[0], free_port())
        assert children[0].tail() == "no room"


def test_a_child_that_ignores_a_signal_is_ended_all_the_same(tmp_path):
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    lines: list[tuple[str, str]] = []
    with family(grace_s=0.2) as children:
        child = start("deaf", [sys.executable, "-c", script], env=environment(), lines=lambda *one: lines.append(one))
        children.append(child)
        deadline = time.monotonic() + 10
        while not lines and time.monotonic() < deadline:
            time.sleep(0.01)
    assert lines == [("deaf", "deaf")]
    assert not child.running


def test_a_childs_environment_holds_no_setting_of_ours_unless_asked(monkeypatch):
    monkeypatch.setenv("PLANHAT_API_TOKEN", "real")
    assert "PLANHAT_API_TOKEN" not in environment()
    assert environment(inherit=True)["PLANHAT_API_TOKEN"] == "real"
    assert environment({"PORT": "1"})["PORT"] == "1"
    assert DEFAULT_TETHER in ("kernel", "pipe")


@pytest.mark.parametrize(
    ("arguments", "code"), [(["nonsense"], 2), (["--help"], 0), (["tickets"], 2), (["check", "-x"], 2)]
)
def test_the_far_bank_knows_its_commands(arguments, code):
    said = subprocess.run(
        python("workers", *arguments), env=environment(), capture_output=True, check=False, timeout=60
    )
    assert said.returncode == code
    assert said.stdout if code == 0 else said.stderr


def test_misuse_and_failure_have_their_exit_codes():
    assert (Failure("x").exit_code, Misuse("x").exit_code) == (1, 2)
