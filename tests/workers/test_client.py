"""Calls against real servers on loopback: what arrives at Planhat's side, and what each kind of end is called."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ipaddress
import json
import logging
import socket
import ssl
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.core.outcome import BulkOutcome, Verdict, decide
from gateway.errors import ConfigurationError
from workers.planhat.client import ANSWER_MAX_BYTES, DeleteAnswer, PlanhatClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

TOKEN = "tok-0123456789abcdef"
ITEM = b'{"sourceId":"zendesk:1"}'
BIG = [b'{"sourceId":"zendesk:%d","description":"%s"}' % (n, b"x" * 2000) for n in range(2000)]


class Recorder:
    """A Planhat that writes down what reached it whole, served by a real uvicorn."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.cut_bodies = 0
        self.cut = asyncio.Event()
        self.answer: Callable[[Request], Response] = lambda _: JSONResponse({"created": 1, "updated": 0})

    async def __call__(self, request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:
            self.cut_bodies += 1
            self.cut.set()
            return Response()
        self.requests.append((request.method, str(request.url), dict(request.headers), body))
        return self.answer(request)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def client(recorder: Recorder) -> AsyncIterator[PlanhatClient]:
    methods = ["GET", "PUT", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", recorder.__call__, methods=methods)])
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with PlanhatClient(f"http://127.0.0.1:{listener.getsockname()[1]}", TOKEN, timeout_s=5) as made:
        yield made
    server.should_exit = True
    await serving
    listener.close()


@contextlib.asynccontextmanager
async def raw(handler: Handler, *, timeout_s: float = 5) -> AsyncIterator[PlanhatClient]:
    """Serve connections by hand, for ends that no HTTP server makes on purpose."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(start, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with PlanhatClient(f"http://127.0.0.1:{port}", TOKEN, timeout_s=timeout_s) as made:
        yield made
    server.close()
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    await server.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    return await reader.readexactly(length)


def answering(answer: bytes, *, pause_s: float = 0) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(pause_s)

    return handle


# -- what is sent ------------------------------------------------------------------------------------------------------


async def test_a_bulk_upsert_arrives_as_one_json_array_of_known_length(
    client: PlanhatClient, recorder: Recorder
) -> None:
    recorder.answer = lambda _: JSONResponse({"created": 1, "updated": 1999, "nonupdates": 0})
    outcome = await client.upsert(BIG)
    assert outcome == BulkOutcome("clear", 200, created=1, updated=1999, nonupdates=0)
    ((method, url, headers, body),) = recorder.requests
    assert (method, url.partition("/tickets")[1:]) == ("PUT", ("/tickets", ""))
    assert json.loads(body) == [json.loads(item) for item in BIG]
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["content-type"] == "application/json"
    assert int(headers["content-length"]) == len(body)
    assert "transfer-encoding" not in headers


async def test_leave_is_asked_once_just_before_the_last_piece(client: PlanhatClient, recorder: Recorder) -> None:
    asked: list[int] = []

    async def leave() -> bool:
        await asyncio.sleep(0.05)
        asked.append(len(recorder.requests))
        return True

    assert (await client.upsert(BIG, before_last_chunk=leave)).kind == "clear"
    assert asked == [0]
    assert len(recorder.requests) == 1


@pytest.mark.parametrize("items", [[ITEM], BIG])
async def test_without_leave_the_body_never_becomes_whole(
    client: PlanhatClient, recorder: Recorder, items: list[bytes]
) -> None:
    async def refuse() -> bool:
        return False

    outcome = await client.upsert(items, before_last_chunk=refuse)
    assert (outcome.kind, outcome.status) == ("unsent", None)
    assert (await client.upsert([ITEM])).kind == "clear"
    assert [body for *_, body in recorder.requests] == [b"[" + ITEM + b"]"]
    await asyncio.wait_for(recorder.cut.wait(), 2)
    assert recorder.cut_bodies == 1


async def test_what_leave_raises_reaches_the_caller_and_the_body_does_not_reach_planhat(
    client: PlanhatClient, recorder: Recorder
) -> None:
    async def fail() -> bool:
        raise LookupError("redis is away")

    with pytest.raises(LookupError, match="redis is away"):
        await client.upsert([ITEM], before_last_chunk=fail)
    await asyncio.sleep(0.05)
    assert recorder.requests == []


async def test_calls_share_one_connection(client: PlanhatClient, recorder: Recorder) -> None:
    ports: set[int] = set()

    def remember(request: Request) -> Response:
        assert request.client is not None
        ports.add(request.client.port)
        return JSONResponse({"created": 1, "updated": 0})

    recorder.answer = remember
    for _ in range(5):
        await client.upsert([ITEM])
    assert len(ports) == 1


async def test_too_many_items_or_none_are_refused_before_any_call(client: PlanhatClient, recorder: Recorder) -> None:
    for items in ([], [ITEM] * 5001):
        with pytest.raises(ValueError):
            await client.upsert(items)
    assert recorder.requests == []


async def test_a_path_in_the_address_is_kept() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, json=[])

    transport = httpx.MockTransport(answer)
    async with PlanhatClient("https://proxy.example/planhat/", TOKEN, timeout_s=5, transport=transport) as client:
        await client.list_tickets(email="a+b@x.example", limit=2)
        await client.delete("a/../b")
    assert seen == [
        "https://proxy.example/planhat/tickets?email=a%2Bb%40x.example&limit=2",
        "https://proxy.example/planhat/tickets/a%2F..%2Fb",
    ]


# -- how a bulk call ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [206, 400, 403])
async def test_error_entries_are_read(client: PlanhatClient, recorder: Recorder, status: int) -> None:
    body = {"created": 0, "updated": 0, "createdErrors": [{"sourceId": "zendesk:1", "message": "no email"}]}
    recorder.answer = lambda _: JSONResponse(body, status)
    outcome = await client.upsert([ITEM])
    assert (outcome.kind, outcome.status) == ("clear", status)
    assert decide(outcome, ["zendesk:1"]).suspects == {"zendesk:1"}


async def test_429_tells_how_long_to_wait(client: PlanhatClient, recorder: Recorder) -> None:
    recorder.answer = lambda _: Response("<h1>Slow down</h1>", 429, {"Retry-After": "17"})
    outcome = await client.upsert([ITEM])
    assert (outcome.kind, outcome.retry_after_s, outcome.detail) == ("clear", 17.0, "Slow down")


async def test_a_redirect_is_not_followed(client: PlanhatClient, recorder: Recorder) -> None:
    recorder.answer = lambda _: Response(status_code=307, headers={"Location": "/elsewhere"})
    outcome = await client.upsert([ITEM])
    assert (outcome.kind, outcome.status, len(recorder.requests)) == ("clear", 307, 1)
    assert decide(outcome, ["zendesk:1"]).verdict is Verdict.STOP


async def test_nobody_listening_means_unsent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with PlanhatClient(f"http://127.0.0.1:{taken.getsockname()[1]}", TOKEN, timeout_s=5) as client:
            outcome = await client.upsert([ITEM])
    assert (outcome.kind, outcome.status) == ("unsent", None)
    assert "no connection" in outcome.detail


async def test_an_unknown_host_means_unsent() -> None:
    async with PlanhatClient("http://planhat.invalid", TOKEN, timeout_s=5) as client:
        assert (await client.upsert([ITEM])).kind == "unsent"


async def test_a_failing_tls_handshake_means_unsent() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SMTP ready\r\n")
        await writer.drain()

    async with raw(greet) as plain:
        address = plain.base_url.replace("http:", "https:")
        client = PlanhatClient(address, TOKEN, timeout_s=2)
        outcome = await client.upsert([ITEM])
        await client.aclose()
    assert (outcome.kind, outcome.status) == ("unsent", None)


async def test_a_certificate_that_nobody_signed_is_refused(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    begins, ends = (datetime.fromtimestamp(time.time() + days * 86_400, UTC) for days in (-1, 1))
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begins, ends, [])
    certificate = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(private)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    served: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(await read_request(reader))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with PlanhatClient(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", TOKEN, timeout_s=2) as client:
        outcome = await client.upsert([ITEM])
    server.close()
    await server.wait_closed()
    assert (outcome.kind, served) == ("unsent", [])


async def test_a_server_that_takes_no_connection_in_time_means_unsent() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            async with PlanhatClient(f"http://127.0.0.1:{full.getsockname()[1]}", TOKEN, timeout_s=0.3) as client:
                assert (await client.upsert([ITEM])).kind == "unsent"


async def test_no_answer_in_time_is_ambiguous() -> None:
    async with raw(answering(b"", pause_s=5), timeout_s=0.3) as client:
        started = asyncio.get_running_loop().time()
        outcome = await client.upsert([ITEM])
        assert asyncio.get_running_loop().time() - started < 2
    assert outcome == BulkOutcome("ambiguous", detail="no answer within 0.3 s", timed_out=True)


async def test_an_answer_that_drips_is_ended_by_the_time_out_of_the_whole_call() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with raw(drip, timeout_s=0.4) as client:
        assert (await client.upsert([ITEM])).kind == "ambiguous"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n",
        b'HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n{"created":1,"up',
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n....",
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
async def test_every_end_without_a_readable_answer_is_ambiguous(answer: bytes) -> None:
    async with raw(answering(answer)) as client:
        outcome = await client.upsert([ITEM])
    assert outcome.kind == "ambiguous"
    assert outcome.detail
    assert decide(outcome, ["zendesk:1"]).verdict is Verdict.AMBIGUOUS


async def test_a_connection_reset_while_the_body_is_sent_is_ambiguous() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    async with raw(reset) as client:
        assert (await client.upsert(BIG)).kind == "ambiguous"


async def test_a_refusal_whose_body_is_lost_is_still_that_refusal() -> None:
    async with raw(answering(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 30\r\n\r\n<h1>No")) as client:
        outcome = await client.upsert([ITEM])
    assert (outcome.kind, outcome.status, outcome.detail) == ("clear", 401, "No")


async def test_an_answer_over_the_cap_is_not_read_on(client: PlanhatClient, recorder: Recorder) -> None:
    recorder.answer = lambda _: Response(b" " * (ANSWER_MAX_BYTES + 1))
    outcome = await client.upsert([ITEM])
    assert (outcome.kind, outcome.status) == ("ambiguous", 200)
    assert "over 1048576 bytes" in outcome.detail
    recorder.answer = lambda _: Response(b"x" * (ANSWER_MAX_BYTES + 1), 422)
    assert (await client.upsert([ITEM])).kind == "clear"


async def test_a_compressed_answer_is_read_though_none_was_asked_for(client: PlanhatClient, recorder: Recorder) -> None:
    packed = gzip.compress(b'{"created":1,"updated":0}')
    recorder.answer = lambda _: Response(packed, headers={"Content-Encoding": "gzip"})
    assert (await client.upsert([ITEM])).created == 1
    assert recorder.requests[0][2]["accept-encoding"] == "identity"


async def test_a_cancelled_call_stays_cancelled() -> None:
    async with raw(answering(b"", pause_s=5)) as client:
        call = asyncio.create_task(client.upsert([ITEM]))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


# -- list, delete, probe -----------------------------------------------------------------------------------------------


async def test_a_list_gives_rows(client: PlanhatClient, recorder: Recorder) -> None:
    recorder.answer = lambda _: JSONResponse([{"_id": "p1", "externalId": "zendesk:1", "status": "open"}])
    answer = await client.list_tickets(sort="-updateDate", limit=10, offset=0)
    assert answer.rows is not None
    assert [(row.id, row.source_id) for row in answer.rows] == [("p1", "zendesk:1")]
    assert answer.outcome == BulkOutcome("clear", 200)
    assert recorder.requests[0][1].endswith("/tickets?sort=-updateDate&limit=10&offset=0")


@pytest.mark.parametrize(("status", "body"), [(200, {"error": "x"}), (200, None), (401, {"message": "no"}), (503, {})])
async def test_what_brings_no_list_gives_no_rows(
    client: PlanhatClient, recorder: Recorder, status: int, body: Any
) -> None:
    recorder.answer = lambda _: JSONResponse(body, status)
    answer = await client.list_tickets()
    assert answer.rows is None
    assert (answer.outcome.kind, answer.outcome.status) == ("ambiguous" if status == 200 else "clear", status)


async def test_a_list_that_is_cut_gives_no_rows() -> None:
    async with raw(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n[]")) as client:
        answer = await client.list_tickets()
    assert (answer.rows, answer.outcome.kind) == (None, "ambiguous")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "done"),
        (204, "done"),
        (404, "gone"),
        (307, "refused"),
        (401, "refused"),
        (403, "refused"),
        (429, "refused"),
        (500, "refused"),
        (503, "refused"),
        (408, "ambiguous"),
        (502, "ambiguous"),
        (504, "ambiguous"),
        (524, "ambiguous"),
    ],
)
async def test_a_delete_is_done_gone_refused_or_ambiguous(
    client: PlanhatClient, recorder: Recorder, status: int, kind: str
) -> None:
    recorder.answer = lambda _: Response(b"" if status == 204 else b"words", status, {"Retry-After": "9"})
    answer = await client.delete("6907a1")
    assert (answer.kind, answer.status) == (kind, status)
    assert answer.retry_after_s == (9.0 if kind in ("refused", "ambiguous") else None)
    assert (recorder.requests[0][0], recorder.requests[0][1][-15:]) == ("DELETE", "/tickets/6907a1")


async def test_a_delete_without_an_answer_is_ambiguous_and_without_a_connection_refused() -> None:
    async with raw(answering(b"")) as client:
        assert (await client.delete("p1")).kind == "ambiguous"
    answer = await client_to_nowhere()
    assert (answer.kind, answer.status) == ("refused", None)


async def client_to_nowhere() -> DeleteAnswer:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with PlanhatClient(f"http://127.0.0.1:{taken.getsockname()[1]}", TOKEN, timeout_s=5) as client:
            return await client.delete("p1")


async def test_a_probe_asks_for_one_ticket(client: PlanhatClient, recorder: Recorder) -> None:
    recorder.answer = lambda _: JSONResponse([])
    answer = await client.probe()
    assert (answer.ok, answer.status, answer.detail) == (True, 200, "")
    assert recorder.requests[0][1].endswith("/tickets?limit=1")


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "region"), (403, "permission"), (404, "PLANHAT_API_URL"), (308, "redirect"), (429, "quota"), (500, "Oops")],
)
async def test_a_probe_explains_what_is_wrong(
    client: PlanhatClient, recorder: Recorder, status: int, words: str
) -> None:
    recorder.answer = lambda _: Response("<b>Oops</b>", status)
    answer = await client.probe()
    assert (answer.ok, answer.status) == (False, status)
    assert words in answer.detail
    assert "Oops" in answer.detail


# -- the token ---------------------------------------------------------------------------------------------------------


async def test_the_token_shows_nowhere(
    client: PlanhatClient, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = {"message": f"bad token {TOKEN}", "createdErrors": [f"{TOKEN} may not"]}
    recorder.answer = lambda _: JSONResponse(echo, 403)
    outcome = await client.upsert([ITEM])
    seen = [repr(client), str(outcome), str(await client.list_tickets()), str(await client.delete("p"))]
    seen += [str(await client.probe()), caplog.text, *(str(record.args) for record in caplog.records)]
    assert "[token]" in outcome.detail
    assert not [text for text in seen if TOKEN in text]


@pytest.mark.parametrize("token", ["", "two words", "line\nend", "tökén", "tab\t"])
def test_a_token_that_cannot_stand_in_a_header_is_a_configuration_error_that_does_not_show_it(token: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        PlanhatClient("https://api.planhat.com", token, timeout_s=5)
    assert not token or token not in str(raised.value)
