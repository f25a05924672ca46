"""
Children that never outlive us: not after Ctrl-C, not after an error, not after our own kill -9.

A child is started through a few lines of Python that tie its life to ours and then become it. On Linux the kernel ends
it (`PR_SET_PDEATHSIG`); elsewhere a watcher stays beside it and ends it when a pipe that only we hold is closed. They
are killed, not asked: everything of ours is safe against that, and a promise that hangs is none.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from gateway.cli import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

Tether = Literal["kernel", "pipe"]
DEFAULT_TETHER: Final[Tether] = "kernel" if sys.platform == "linux" else "pipe"

_KERNEL: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""PR_SET_PDEATHSIG (1) to SIGKILL (9); it holds over exec. Our death before the call is seen by the parent's id."""

_PIPE: Final = """
import os, select, signal, subprocess, sys
leash = int(sys.argv[1])
child = subprocess.Popen(sys.argv[2:], close_fds=False)
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
while child.poll() is None:
    if select.select([leash], [], [], 0.1)[0]:
        child.kill()
        break
sys.exit(child.wait())
"""

_KEPT: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LANGUAGE",
    "TMPDIR",
    "TZ",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "TERM",
)
TAIL_LINES: Final = 15


@dataclass(slots=True)
class Child:
    """
    A running child.

    log: the file that its output goes to; None when it goes elsewhere.
    leash: our end of the pipe, for the pipe tether.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path | None = None
    leash: int | None = None
    pump: threading.Thread | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Give the last lines that it wrote, "" when they went elsewhere."""
        if self.log is None or not self.log.exists():
            return ""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])

    def stop(self, grace_s: float = 5.0) -> None:
        """Ask it to end, wait, and end it; safe to repeat."""
        if self.running:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
        if self.leash is not None:
            os.close(self.leash)
            self.leash = None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
        if self.running:
            self.process.kill()
            self.process.wait()
        if self.pump is not None:
            self.pump.join(1)


def start(
    name: str,
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    log: Path | None = None,
    lines: Callable[[str, str], None] | None = None,
    keep: Sequence[int] = (),
    tether: Tether = DEFAULT_TETHER,
) -> Child:
    """
    Start a child whose life ends with ours. Call it from the main thread: the kernel's tether is that thread's.

    Args:
        command: program (absolute path) and arguments.
        env: its whole environment.
        log: file for its output.
        lines: gets (name, line) for each line of output instead, from a thread.
        keep: file descriptors that it inherits.
    """
    reading, leash = os.pipe() if tether == "pipe" else (None, None)
    first = str(os.getpid()) if reading is None else str(reading)
    script = _KERNEL if reading is None else _PIPE
    sink = log.open("ab") if log else None
    try:
        process = subprocess.Popen(  # noqa: S603  our own programs
            [sys.executable, "-I", "-S", "-c", script, first, *command],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=sink or (subprocess.PIPE if lines else subprocess.DEVNULL),
            stderr=subprocess.STDOUT,
            pass_fds=[*keep, *([] if reading is None else [reading])],
            start_new_session=True,  # a terminal's Ctrl-C is ours to hand on, in order
        )
    finally:
        if sink:
            sink.close()
        if reading is not None:
            os.close(reading)
    child = Child(name, process, log, leash)
    if lines and process.stdout:
        child.pump = threading.Thread(target=_pump, args=(child, lines), daemon=True)
        child.pump.start()
    return child


def _pump(child: Child, lines: Callable[[str, str], None]) -> None:
    assert child.process.stdout is not None  # noqa: S101  started only with a pipe
    with child.process.stdout as out:
        for line in out:
            lines(child.name, line.decode("utf-8", "replace").rstrip())


def python(*arguments: str) -> list[str]:
    """Give the command that runs a module of ours with this interpreter."""
    return [sys.executable, "-m", *arguments]


def environment(settings: Mapping[str, str] | None = None, *, inherit: bool = False) -> dict[str, str]:
    """
    Give a child's environment.

    Args:
        settings: set on top.
        inherit: pass everything of ours on; else only what programs need to run, so that no real token gets in.
    """
    env = {
        name: value
        for name, value in os.environ.items()
        if inherit or name in _KEPT or name.startswith(("LC_", "PYTHON"))
    }
    root = Path(__file__).resolve().parents[2]
    if root.name not in ("site-packages", "dist-packages"):
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), env.get("PYTHONPATH", "")]))
    return env | {"PYTHONUNBUFFERED": "1"} | dict(settings or {})


def free_port() -> int:
    """Give a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(child: Child, port: int, timeout_s: float = 20.0) -> None:
    """
    Wait until a child listens on a loopback port.

    Raises:
        Failure: it ended, or did not listen in time; with the last lines it wrote.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and child.running:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return
        time.sleep(0.02)
    how = "did not listen in time" if child.running else f"ended with {child.process.poll()}"
    raise Failure(f"{child.name} {how} (port {port}).\n{child.tail()}".rstrip())


class _Told(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP: handled like Ctrl-C."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """
    Let SIGTERM and SIGHUP end the block as Ctrl-C does, so that whatever it holds is given back.

    SIGINT, too: a script's `planhat-gateway up &` inherits it ignored, and `kill -INT` would do nothing. A signal that
    Python drops, because it came while a destructor or a callback ran, is felt where the block ends by itself.
    """
    heard: list[int] = []

    def told(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        raise _Told

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        raise _Told


@contextlib.contextmanager
def family(*, grace_s: float = 5.0) -> Iterator[list[Child]]:
    """Give a list for children; whatever ends the block, they are stopped, the first started last, undisturbed."""
    children: list[Child] = []
    try:
        yield children
    finally:
        told = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, signal.SIG_IGN) for number in told}
        for child in reversed(children):
            child.stop(grace_s)
        for number, handler in before.items():
            signal.signal(number, handler)
