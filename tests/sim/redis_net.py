"""
A Redis server over a simulated network: what stands in for a socket, and nothing above it.

redis-py's client, its pipelines and our own pool run unmodified; only the connection's bytes are replaced by a call of
the modelled server some virtual milliseconds later. What a network or a server may do to a command is drawn here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis import exceptions
from redis._parsers.base import BaseParser
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as Cut

from tests.sim.redis_data import Data, Wrong
from tests.sim.redis_lua import DENIED_WHEN_FULL, WRITES, Engine

if TYPE_CHECKING:
    from tests.sim.loop import Process
    from tests.sim.world import World

Args = list[bytes]
OOM = "OOM command not allowed when used memory > 'maxmemory'."
UNUSABLE = {
    "loading": "LOADING Redis is loading the dataset in memory",
    "busy": "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "misconf": "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "noreplicas": "NOREPLICAS Not enough good replicas to write.",
}


class Server:
    """
    The server process: data, script cache, and the troubles it may be in.

    full, readonly: as the words say. unusable: an error that every command gets. down: nobody can connect.
    """

    def __init__(self, world: World, engine: Engine) -> None:
        self.world = world
        self.engine = engine
        self.data = Data(self.now_us)
        self.scripts: dict[bytes, Any] = dict(engine.known())
        self.full = self.readonly = self.down = False
        self.unusable = ""
        self.generation = 0
        """Connections of an older generation were cut by a restart."""

    def now_us(self) -> int:
        return self.world.wall_us()

    def restart(self) -> None:
        """Come back on the same data (append-only file): connections and scripts are gone."""
        self.generation += 1
        self.scripts.clear()

    def execute(self, args: Args) -> Any:
        """Run one command; an error reply is given, not raised."""
        try:
            return self._execute(args[0].upper(), args)
        except Wrong as error:
            reply: Exception = BaseParser.parse_error(str(error))
            return reply

    def _execute(self, name: bytes, args: Args) -> Any:
        if self.unusable and not (self.unusable in ("misconf", "noreplicas") and name not in WRITES | {b"EVALSHA"}):
            raise Wrong(UNUSABLE[self.unusable])
        if name in (b"EVALSHA", b"EVAL"):
            return self._script(name, args)
        if name == b"INFO":
            most = 100_000_000
            return b"used_memory:%d\r\nmaxmemory:%d\r\n" % (most + 1 if self.full else most // 2, most)
        if name == b"MULTI":
            return b"OK"
        if self.readonly and name in WRITES:
            raise Wrong("READONLY You can't write against a read only replica.")
        if self.full and name in DENIED_WHEN_FULL:
            raise Wrong(OOM)
        return self.data.call(name, args[1:])

    def _script(self, name: bytes, args: Args) -> Any:
        if name == b"EVALSHA":
            script = self.scripts.get(args[1])
            if script is None:
                raise Wrong("NOSCRIPT No matching script. Please use EVAL.")
        else:
            sha, script = self.engine.script(args[1])
            self.scripts[sha] = script
        if self.readonly and not script.no_writes:
            raise Wrong("READONLY You can't write against a read only replica.")
        if self.full and not (script.allow_oom or script.no_writes):
            raise Wrong(OOM)
        many = int(args[2])
        keys, rest = args[3 : 3 + many], args[3 + many :]
        before = self.data.writes
        reply = self.engine.run(self.data, script, keys, rest)
        self.world.ran(script.name, keys, rest, reply, changed=self.data.writes != before)
        return reply


def encode(arg: Any) -> bytes:
    """Give an argument as bytes, as redis-py's packer does."""
    if type(arg) is bytes:
        return arg
    if type(arg) is str:
        return arg.encode()
    if type(arg) is int:
        return b"%d" % arg
    raise exceptions.DataError(f"Invalid input of type: {type(arg).__name__!r}")


class Wire:
    """Both ends of a connection: what redis-py takes for a reader, a writer and a parser."""

    def __init__(self, server: Server, process: Process | None) -> None:
        self.server = server
        self.process = process
        self.generation = server.generation
        self.replies: list[asyncio.Future[Any]] = []
        self.told = ""
        """What befell the last command, for the counters: told when the client meets it."""

    def close(self) -> None:
        if self.told:
            self.server.world.met(self.process, self.told)
            self.told = ""

    async def wait_closed(self) -> None:
        return

    def on_connect(self, _connection: Any) -> None:
        return

    def on_disconnect(self) -> None:
        return

    async def can_read_destructive(self) -> bool:
        if self.generation != self.server.generation:
            raise Cut("Connection closed by server.")
        return False

    async def read_response(self, disable_decoding: bool = False) -> Any:
        reply = await self.replies.pop(0)
        if self.told:
            self.server.world.met(self.process, self.told)
            self.told = ""
        if isinstance(reply, (exceptions.ConnectionError, OSError)):
            raise reply
        return reply


class SimConnection(AbstractConnection):
    """
    redis-py's connection with its socket replaced.

    Args:
        server: the other end.
        process: whose connection it is; None is the world's own, which nothing ever befalls.
    """

    def __init__(self, *, server: Server, process: Process | None, **more: Any) -> None:
        self._server = server
        self._process = process
        super().__init__(lib_name=None, lib_version=None, **more)

    def __del__(self, *_: Any) -> None:
        """Say nothing of connections that a crash left open."""

    def set_parser(self, parser_class: Any) -> None:
        self._parser: Any = Wire(self._server, self._process)

    def repr_pieces(self) -> list[tuple[str, Any]]:
        return [("simulated", True)]

    def _host_error(self) -> str:
        return "simulated redis"

    async def _connect(self) -> None:
        server, process = self._server, self._process
        if process is None or not process.ghost:
            await asyncio.sleep(0.001)
        if server.down or (process is not None and process.ghost):
            server.world.met(process, "redis_refused_connection")
            raise ConnectionRefusedError(111, "Connection refused")
        wire: Any = Wire(server, process)
        self._parser, self._reader, self._writer = wire, wire, wire

    def pack_commands(self, commands: Any) -> Any:
        return [list(map(encode, one)) for one in commands]

    async def send_command(self, *args: Any, **more: Any) -> None:
        await self.send_packed_command([list(map(encode, args))], more.get("check_health", True))

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if not self.is_connected:
            await self.connect()
        elif check_health and self.health_check_interval and asyncio.get_running_loop().time() > self.next_health_check:
            await self.check_health()
        self._server.world.redis_call(self._parser, command)
