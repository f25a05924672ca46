"""
A helpdesk's look-up API for the demonstration: Zendesk's `show_many`, from records in memory, on a loopback port.

Source: developer.zendesk.com users, organizations (show_many), documented shapes.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class ZendeskDouble:
    """
    A running double.

    url: base of its REST API. asked: how many requests of each kind were answered.
    """

    def __init__(self, records: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        self.asked: Counter[str] = Counter()
        self._records = records
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api/v2"

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Give status and body for a GET of a path with its query."""
        parts = urlsplit(path)
        steps = [step.removesuffix(".json") for step in parts.path.split("/") if step]
        if steps[-2:] == ["users", "me"]:
            return 200, {"user": {"id": 1, "email": "agent@support.example", "role": "admin"}}
        kind = steps[-2] if steps[-1:] == ["show_many"] and len(steps) > 1 else ""
        if kind not in self._records:
            return 404, {"error": "RecordNotFound"}
        self.asked[kind] += 1
        ids = parse_qs(parts.query).get("ids", [""])[0].split(",")
        return 200, {kind: [self._records[kind][one] for one in ids if one in self._records[kind]]}

    @contextlib.contextmanager
    def serving(self) -> Iterator[ZendeskDouble]:
        """Serve while the block runs."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(2)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, said = double.answer(self.path)
                body = orjson.dumps(said)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's signature
                """Say nothing."""

        return Handler
