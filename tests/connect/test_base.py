"""The client that keeps account: what is no answer is a sentence, and a dry run asks but changes nothing."""

from __future__ import annotations

import httpx
import pytest

from gateway.sources import SOURCES
from tests.connect.double import PUBLIC
from workers.connect import APIS, STEPS
from workers.connect.base import ANSWER_MAX_BYTES, Client, ConnectError, Target, made_secret, rows

TARGET = Target("zendesk", "zendesk", f"{PUBLIC}/webhooks/zendesk", "ZENDESK_WEBHOOK_SECRET", "a-stored-secret")


def client(answer: httpx.Response | Exception, *, dry_run: bool = False) -> Client:
    def handle(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Client(
        "Desk",
        "https://desk.example/api",
        auth=httpx.BasicAuth("a", "b"),
        words={},
        hidden=("sesame",),
        dry_run=dry_run,
        transport=httpx.MockTransport(handle),
    )


@pytest.mark.parametrize(
    "answer, sentence",
    [
        (httpx.Response(200, text="<html>Log in</html>"), "no JSON"),
        (httpx.Response(200, content=b"[" + b" " * ANSWER_MAX_BYTES + b"]"), "over"),
        (httpx.ConnectError("refused"), r"cannot be reached \(ConnectError"),
        (httpx.ReadTimeout("slow"), "did not answer"),
        (httpx.Response(418, text="I am sesame"), r"answers 418\. It says: I am <secret>"),
        (httpx.Response(308, headers={"location": "https://evil.example"}), "redirects"),
    ],
)
async def test_what_is_no_answer_is_a_sentence_without_secrets(answer, sentence):
    desk = client(answer)
    with pytest.raises(ConnectError, match=sentence):
        await desk.read("webhooks")
    await desk.aclose()


@pytest.mark.parametrize("answer", [None, [], {"webhooks": None}, {"webhooks": {}}, "text"])
def test_an_answer_without_the_list_says_nothing_of_what_exists(answer):
    with pytest.raises(ConnectError, match="without the list"):
        rows(answer, "Desk", "webhooks")


async def test_a_dry_run_notes_a_call_without_secrets_and_does_not_make_it():
    desk = client(AssertionError("asked"), dry_run=True)
    body = {"config": {"secret": "sesame", "list": ["sesame street"]}, "n": 1}
    assert await desk.write("POST", "/hooks", body, {"a": "b"}, why="try") is None
    assert desk.calls == [
        {
            "method": "POST",
            "url": "https://desk.example/api/hooks?a=b",
            "why": "try",
            "body": {"config": {"secret": "<secret>", "list": ["<secret> street"]}, "n": 1},
        }
    ]
    await desk.aclose()


def test_a_secret_is_not_in_a_target_s_text():
    assert "a-stored-secret" not in repr(TARGET)


@pytest.mark.parametrize("source", sorted(SOURCES.keys() & (APIS.keys() | STEPS.keys())))
def test_a_secret_that_we_make_is_one_that_the_gateway_takes(source):
    made = made_secret()
    assert SOURCES[source].check_secret(made, "signature") is None
    assert made != made_secret()
