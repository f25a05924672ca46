"""
The project's own Lua files, run by an embedded Lua 5.1 over the modelled data: nothing of a script is rewritten.

As a Redis server does it, a script that fails midway keeps what it wrote.
"""

from __future__ import annotations

import hashlib
import struct
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tests.sim.redis_data import Wrong

if TYPE_CHECKING:
    from tests.sim.redis_data import Data, Reply

lua51: Any = import_module("lupa.lua51")
_WRAP = b"return function(KEYS, ARGV) %s\nend"
_PRELUDE = b"""
struct = {pack = ..., unpack = select(2, ...)}
redis = {call = select(3, ...)}
"""
_FORMATS: dict[bytes, struct.Struct] = {
    b">I4": struct.Struct(">I"),
    b">I8": struct.Struct(">Q"),
    b">I4I8": struct.Struct(">IQ"),
    b">I4I4I4I1": struct.Struct(">IIIB"),
}

DENIED_WHEN_FULL = frozenset(
    (b"SET", b"APPEND", b"HSET", b"HSETNX", b"HINCRBY", b"SADD", b"ZADD"),
)
WRITES = DENIED_WHEN_FULL | {b"DEL", b"HDEL", b"ZREM", b"ZREMRANGEBYSCORE", b"EXPIRE", b"FLUSHALL"}


class Script:
    """A script as the server keeps it."""

    __slots__ = ("allow_oom", "name", "no_writes", "run")

    def __init__(self, run: Any, text: bytes, name: str) -> None:
        first = text.split(b"\n", 1)[0]
        self.run = run
        self.allow_oom = b"allow-oom" in first
        self.no_writes = b"no-writes" in first
        self.name = name


class Engine:
    """
    Lua over one `Data` at a time; made once for many simulations, because a runtime is dear.

    Args:
        scripts: name -> text of the project's scripts.
    """

    def __init__(self, scripts: dict[str, bytes]) -> None:
        self._texts = list(scripts.values())
        self._names = {
            hashlib.sha1(text, usedforsecurity=False).hexdigest().encode(): name for name, text in scripts.items()
        }
        self._lua = lua51.LuaRuntime(encoding=None, unpack_returned_tuples=True)
        self._compiled: dict[bytes, Script] = {}
        self._data: Data | None = None
        self._table = self._lua.table_from
        prelude = self._lua.eval(b"function(...) " + _PRELUDE + b" end")
        prelude(_pack, _unpack, self._call)
        self._list_type = type(self._lua.table_from([]))

    def script(self, text: bytes) -> tuple[bytes, Script]:
        """Compile a text, once."""
        sha = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        script = self._compiled.get(sha)
        if script is None:
            body = text
            if text.startswith(b"#!"):
                body = b"--" + text
            run = self._lua.execute(_WRAP % body)
            script = self._compiled[sha] = Script(run, text, self._names.get(sha, "?"))
        return sha, script

    def version(self) -> bytes:
        """Give the version of the language."""
        version: bytes = self._lua.globals()[b"_VERSION"]
        return version

    def known(self) -> dict[bytes, Script]:
        """Give every script of the project, as a server that has run for a while knows them."""
        return dict(self.script(text) for text in self._texts)

    def run(self, data: Data, script: Script, keys: list[bytes], args: list[bytes]) -> Reply:
        """
        Run a script.

        Raises:
            Wrong: its error reply; what it wrote before stays.
        """
        self._data = data
        data.ran += 1
        try:
            result = script.run(self._table(keys), self._table(args))
        except lua51.LuaError as error:
            raise Wrong(f"ERR {error}") from error
        finally:
            self._data = None
        return self._reply(result)

    def _call(self, name: bytes, *args: Any) -> Any:
        data = self._data
        assert data is not None
        command = data.commands.get(name)
        if command is None:
            raise Wrong(f"ERR Unknown Redis command called from script: {name!r}")
        reply = command([one if type(one) is bytes else _bytes(one) for one in args])
        kind = type(reply)
        if kind is bytes or kind is int:
            return reply
        if reply is None:
            return False
        return self._table([False if one is None else one for one in reply])

    def _reply(self, result: Any) -> Reply:
        kind = type(result)
        if kind is bytes or kind is int:
            return result
        if kind is float:
            return int(result)
        if result is None or result is False:
            return None
        if result is True:
            return 1
        return [self._reply(one) for one in self._list(result)]

    def _list(self, table: Any) -> list[Any]:
        rows = []
        for at in range(1, len(table) + 1):
            one = table[at]
            if one is None:
                break
            rows.append(one)
        return rows


def _bytes(one: Any) -> bytes:
    if isinstance(one, bool) or not isinstance(one, int | float):
        raise Wrong("ERR Lua redis lib command arguments must be strings or integers")
    return b"%d" % one if one == int(one) else b"%.17g" % one


def _pack(shape: bytes, *values: Any) -> bytes:
    return _FORMATS[shape].pack(*map(int, values))


def _unpack(shape: bytes, raw: bytes, at: Any = 1) -> Any:
    form = _FORMATS[shape]
    if len(raw) < int(at) - 1 + form.size:
        raise Wrong("ERR data string too short")
    # the values and the position behind them, as the struct library gives them
    return (*form.unpack_from(raw, int(at) - 1), int(at) + form.size)
