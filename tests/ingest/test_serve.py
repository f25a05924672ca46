"""The web process as a platform runs it: its own process, PORT, WEB_CONCURRENCY, SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ingest.server import SECRET, call, deliver, raw, ticket

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
START = (
    "from gateway.app import serve; from gateway.settings import from_process; serve(from_process(), host='127.0.0.1')"
)
BARE = "import sys, uvicorn; uvicorn.run('gateway.app:app', host='127.0.0.1', port=int(sys.argv[1]), lifespan='on')"

pytestmark = pytest.mark.e2e


class Web:
    """A running web process and what it logged."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self._log = process, port, log

    def log(self) -> str:
        return self._log.read_text()

    def rss_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])


@contextlib.contextmanager
def web(redis_url: str, log: Path, code: str = START, **environ: str) -> Iterator[Web]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {"PATH": os.environ["PATH"], "PORT": str(port), "REDIS_URL": redis_url, "GENERIC_WEBHOOK_SECRET": SECRET}
    env |= {"PYTHONPATH": str(ROOT), **environ}
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", code, str(port)], cwd=ROOT, env=env, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError):
                call(port, "/livez", method="GET")
                break
            time.sleep(0.05)
        yield Web(process, port, log)
    finally:
        process.terminate()
        try:
            process.wait(25)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def alive(pid: str) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_listens_on_port_and_stops_on_sigterm(redis_url: str, tmp_path: Path) -> None:
    with web(redis_url, tmp_path / "log") as one:
        assert deliver(one.port, ticket()).status == HTTPStatus.ACCEPTED
        begun = time.monotonic()
        one.process.send_signal(signal.SIGTERM)
        one.process.wait(10)
        assert time.monotonic() - begun < 5
    assert "the door is open" in one.log()
    assert "Traceback" not in one.log()


def test_several_processes_share_the_port_and_all_stop(redis_url: str, tmp_path: Path) -> None:
    with web(redis_url, tmp_path / "log", WEB_CONCURRENCY="2") as one:
        assert {deliver(one.port, ticket(n)).status for n in range(20)} == {202}
        children = Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children").read_text().split()
        assert len(children) >= 2
        one.process.send_signal(signal.SIGTERM)
        one.process.wait(20)
        until = time.monotonic() + 5
        while any(map(alive, children)) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(map(alive, children))
    assert "Traceback" not in one.log()


def test_wrong_settings_end_the_process_with_every_fault(tmp_path: Path) -> None:
    with web("http://nowhere", tmp_path / "log", LOG_LEVEL="loud") as one:
        assert one.process.wait(10) != 0
    assert "REDIS_URL" in one.log()
    assert "LOG_LEVEL" in one.log()


def test_a_delivery_under_way_at_sigterm_is_answered(redis_url: str, tmp_path: Path) -> None:
    with web(redis_url, tmp_path / "log") as one:
        answers: list[int] = []
        stop = threading.Event()

        def post() -> None:
            while not stop.is_set():
                try:
                    answers.append(deliver(one.port, ticket(len(answers))).status)
                except (OSError, ConnectionError):
                    return

        threads = [threading.Thread(target=post) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        one.process.send_signal(signal.SIGTERM)
        one.process.wait(10)
        stop.set()
        for thread in threads:
            thread.join(5)
    assert set(answers) == {202}
    assert "Traceback" not in one.log()


def test_huge_bodies_and_floods_of_forgeries_leave_memory_flat(redis_url: str, tmp_path: Path) -> None:
    with web(redis_url, tmp_path / "log") as one:
        deliver(one.port, ticket())
        before_kib = one.rss_kib()
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        head = b"POST /webhooks/generic HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer, _ = raw(one.port, head, *[chunk] * 300, b"0\r\n\r\n", wait_s=1)
        assert answer.startswith(b"HTTP/1.1 413 ") or answer == b""
        declared = b"POST /webhooks/generic HTTP/1.1\r\nHost: h\r\nContent-Length: 314572800\r\n\r\n"
        answer, _ = raw(one.port, declared, *[b"x" * 0x100000] * 300, wait_s=1)
        assert answer.startswith(b"HTTP/1.1 413 ")
        for n in range(300):
            assert call(one.port, "/webhooks/generic", b"x" * 1000, {"webhook-signature": f"v1,{n}"}).status == 401
        assert one.rss_kib() - before_kib < 20_000
        assert one.rss_kib() < 100_000
        assert deliver(one.port, ticket()).status == HTTPStatus.ACCEPTED
        assert one.log().count("delivery refused") <= 10


def test_plain_uvicorn_serves_it_too_and_its_access_log_hides_tokens(redis_url: str, tmp_path: Path) -> None:
    secret = "freshdesk-shared-canary-0123456789"
    with web(redis_url, tmp_path / "log", BARE, FRESHDESK_WEBHOOK_SECRET=secret) as one:
        assert deliver(one.port, ticket()).status == HTTPStatus.ACCEPTED
        json_type = {"content-type": "application/json"}
        call(one.port, f"/webhooks/freshdesk?token={secret}", b"{}", json_type)
        call(one.port, "/webhooks/freshdesk?token=canary-guess", b"{}", json_type)
    assert "/webhooks/freshdesk?token=" in one.log()
    assert "canary" not in one.log()
