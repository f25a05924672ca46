"""A real uvicorn in a thread, and clients that speak HTTP well or badly."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from gateway.ingest.protocol import SERVER, DeadlineProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEY: Final = bytes(range(32))
SECRET: Final = "whsec_" + base64.b64encode(KEY).decode()


@dataclass(frozen=True)
class Answer:
    """What came back; `said` is the JSON body, or None."""

    status: int
    headers: dict[str, str]
    said: Any


@contextlib.contextmanager
def running(app: Any, protocol: type[DeadlineProtocol] = DeadlineProtocol) -> Iterator[int]:
    """Serve an application on a loopback port while the block runs; gives the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, **{**SERVER, "http": protocol}))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            until = time.monotonic() + 10
            while not server.started and thread.is_alive() and time.monotonic() < until:
                time.sleep(0.01)
            assert server.started
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            server.force_exit = False
            thread.join(15)
            assert not thread.is_alive()


def short(deadline_s: float = 0.5, **limits: Any) -> type[DeadlineProtocol]:
    """Give a protocol with shorter limits."""
    return type("ShortProtocol", (DeadlineProtocol,), {"deadline_s": deadline_s, **limits})


def signed(
    body: bytes, *, message_id: str | None = None, at_s: float | None = None, key: bytes = KEY
) -> dict[str, str]:
    """Give the headers of a Standard Webhooks delivery."""
    message_id = message_id or f"msg_{secrets.token_hex(8)}"
    moment = str(int(time.time() if at_s is None else at_s))
    mac = hmac.new(key, f"{message_id}.{moment}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }


def ticket(number: int | str = 1, **fields: Any) -> bytes:
    """Give the body of a generic delivery about one ticket."""
    item = {"sourceId": str(number), "title": "Printer on fire", "status": "open", "email": "ada@example.com", **fields}
    return json.dumps({"type": "ticket.updated", "timestamp": "2026-01-02T03:04:05Z", "data": item}).encode()


def call(
    port: int, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, *, method: str = "POST"
) -> Answer:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    found = {name.lower(): value for name, value in response.getheaders()}
    said = json.loads(text) if text and found.get("content-type", "").startswith("application/json") else text or None
    return Answer(response.status, found, said)


def deliver(port: int, body: bytes, *, path: str = "/webhooks/generic", **how: Any) -> Answer:
    """Post a body signed with the right key."""
    return call(port, path, body, signed(body, **how))


def raw(port: int, *pieces: bytes, pause_s: float = 0.0, wait_s: float = 10.0) -> tuple[bytes, float]:
    """
    Send bytes as they are, then read until the server closes.

    Returns:
        What came back, and after how many seconds the connection ended (`wait_s` when it did not).
    """
    begun = time.monotonic()
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as client:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                client.sendall(piece)
                if pause_s:
                    time.sleep(pause_s)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while chunk := client.recv(65536):
                answer += chunk
    return answer, time.monotonic() - begun
