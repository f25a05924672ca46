"""
The connection to Redis: one way to open it, one way to name what went wrong.

Retries are off: a command that timed out may have been applied, and only our scripts know how to be repeated. A
connection whose command was cancelled is closed, never lent again.

The pool is ours because redis-py's blocking pool has no twin for Sentinels, and so that giving a connection back never
waits for a lock: no cancellation, however often, can lose one (tests/store/test_cancel.py).
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Final, TypeGuard
from urllib.parse import parse_qs, unquote, urlsplit

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer

from gateway.errors import ConfigurationError, StoreUnavailable

if TYPE_CHECKING:
    from types import TracebackType

    from redis.asyncio.connection import AbstractConnection

FAULTS: Final = (exceptions.RedisError, OSError)
"""Everything that redis-py raises when Redis cannot be used; TimeoutError is an OSError."""

CLOSED_HANDLE: Final = "the handler is closed"
"""
In uvloop's words of a RuntimeError: somebody wrote to a connection that was reset a moment before. asyncio's own loop
drops such writes, and the read that follows tells of the reset.
"""

DETAIL_CHARS: Final = 300
HEALTH_CHECK_S: Final = 15
SENTINEL_PORT: Final = 26379
CLIENT_NAME: Final = "planhat-gateway"

_BY_CLASS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.ReadOnlyError, "readonly"),
    (exceptions.OutOfMemoryError, "oom"),
    (exceptions.TryAgainError, "tryagain"),
    (exceptions.MovedError, "moved"),
    (exceptions.AskError, "moved"),
    (exceptions.AuthenticationError, "auth"),
    (exceptions.NoPermissionError, "auth"),
    (exceptions.ClusterDownError, "away"),
    (exceptions.MasterDownError, "away"),
    (exceptions.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
)
_BY_TEXT: Final = (
    ("LOADING", "loading"),
    ("is loading the dataset", "loading"),
    ("READONLY", "readonly"),
    ("previous master is now a slave", "readonly"),
    ("OOM ", "oom"),
    ("MISCONF", "misconf"),
    ("NOREPLICAS", "noreplicas"),
    ("BUSY ", "busy"),
    ("UNKILLABLE", "busy"),
    ("TRYAGAIN", "tryagain"),
    ("MOVED ", "moved"),
    ("NOAUTH", "auth"),
    ("WRONGPASS", "auth"),
    ("NOPERM", "auth"),
    ("invalid username-password", "auth"),
    ("Timeout ", "timeout"),
    ("MASTERDOWN", "away"),
    ("CLUSTERDOWN", "away"),
)


def classify(error: BaseException) -> StoreUnavailable:
    """
    Name what redis-py raised, by class and by text: half of Redis' errors have no class of their own.

    Returns:
        StoreUnavailable with kind `away`, `timeout`, `readonly`, `loading`, `oom`, `misconf`, `noreplicas`, `busy`,
        `tryagain`, `moved`, `auth`, or `error` for an answer that should not happen (a key of a wrong type).
    Source:
        Redis 7.0 and Valkey 9.1 error texts; facts measured on both (tests/store/test_faults.py).
    """
    detail = str(error)[:DETAIL_CHARS] or type(error).__name__
    if isinstance(error.__cause__, exceptions.RedisError):  # redis-py wraps what goes wrong while it connects
        error = error.__cause__
    for kind_class, kind in _BY_CLASS:
        if isinstance(error, kind_class):
            return StoreUnavailable(kind, detail)
    for text, kind in _BY_TEXT:
        if text in detail:
            return StoreUnavailable(kind, detail)
    if isinstance(error, (exceptions.ConnectionError, OSError)) or CLOSED_HANDLE in detail:
        return StoreUnavailable("away", detail)
    return StoreUnavailable("error", detail)


def is_fault(error: BaseException | None) -> TypeGuard[Exception]:
    """Say whether an error means that Redis cannot be used; everything else is a defect of ours."""
    return isinstance(error, FAULTS) or (isinstance(error, RuntimeError) and CLOSED_HANDLE in str(error))


class guarded:  # noqa: N801 - reads as a word: `async with guarded(redis)`
    """
    Turn what redis-py raises into StoreUnavailable.

    After READONLY the idle connections are closed, so that the next command resolves the name (or asks the Sentinel)
    again: the server behind them has become a replica.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not is_fault(error):
            return
        fault = classify(error)
        if fault.kind == "readonly":
            await self._redis.connection_pool.disconnect(inuse_connections=False)
        raise fault from error


class Pool(ConnectionPool):
    """
    At most `max_connections` connections; who finds none free waits, at most `wait_s`.

    Giving a connection back never waits, so no cancellation can lose one.
    """

    def __init__(self, *args: Any, max_connections: int, wait_s: float, **connection: Any) -> None:
        super().__init__(*args, **connection, max_connections=max_connections)  # type: ignore[misc]
        self._free = asyncio.Semaphore(max_connections)
        self._wait_s = wait_s

    def make_connection(self) -> AbstractConnection:
        """Make a connection whose commands are packed by hiredis, as redis-py does for its blocking client only."""
        connection: AbstractConnection = super().make_connection()  # type: ignore[no-untyped-call]
        connection.pack_command = HiredisRespSerializer().pack  # type: ignore[assignment, method-assign]
        return connection

    async def get_connection(self, *_args: Any, **_options: Any) -> AbstractConnection:
        """Lend a connection that is open and has nothing left to read."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise exceptions.TimeoutError("Timeout waiting for a free connection") from None
        try:
            connection: AbstractConnection = self.get_available_connection()  # type: ignore[no-untyped-call]
        except BaseException:
            self._free.release()
            raise
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """Take a connection back, at once."""
        self._in_use_connections.remove(connection)
        self._available_connections.append(connection)
        self._free.release()

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Close connections. Idle ones alone are closed at once, so that none is lent while it closes."""
        if inuse_connections:
            await super().disconnect()
            return
        for connection in self._available_connections:
            await connection.disconnect(nowait=True)


class SentinelPool(Pool, SentinelConnectionPool):
    """The same, to whichever server the Sentinels call the primary."""


def connect(
    url: str,
    *,
    tls_verify: bool = True,
    max_connections: int = 3,
    socket_timeout_s: float = 5.0,
    name: str = CLIENT_NAME,
) -> Redis:
    """
    Open a client; the first command connects.

    Args:
        url: `redis://`, `rediss://`, `unix://` or `redis+sentinel://host:port,host:port/service/db` (`rediss+sentinel`
            for TLS; `?sentinel_username=&sentinel_password=` where the Sentinels ask for their own). Percent-encoded
            passwords are decoded.
        tls_verify: False accepts a self-signed certificate, as some managed servers have.
        max_connections: at most open at once.
        socket_timeout_s: for connecting, writing, reading, and for waiting for a free connection.
        name: as `CLIENT LIST` shows it.
    Raises:
        ConfigurationError: the URL cannot be read. Its text holds no password.
    """
    scheme = url.partition("://")[0].lower()
    common: dict[str, Any] = {
        "socket_timeout": socket_timeout_s,
        "socket_connect_timeout": socket_timeout_s,
        "health_check_interval": HEALTH_CHECK_S,
        "client_name": name,
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),
    }
    if scheme.startswith("rediss"):
        common |= {"ssl_cert_reqs": "required" if tls_verify else "none", "ssl_check_hostname": tls_verify}
    bounds: dict[str, Any] = {"max_connections": max_connections, "wait_s": socket_timeout_s}
    try:
        if scheme in ("redis+sentinel", "rediss+sentinel"):
            return Redis.from_pool(_sentinel_pool(url, common, bounds))
        if scheme != "unix":
            common |= {"socket_keepalive": True}
        options = {key: value for key, value in parse_url(url).items() if key in _URL_OPTIONS}
        return Redis.from_pool(Pool(**(common | options | bounds)))
    except (ValueError, exceptions.RedisError, ssl.SSLError):
        raise ConfigurationError(
            "REDIS_URL cannot be read: it must be redis://, rediss://, unix:// or "
            "redis+sentinel://host:port,host:port/service/db"
        ) from None


_URL_OPTIONS: Final = frozenset(
    (
        "username",
        "password",
        "host",
        "port",
        "db",
        "path",
        "connection_class",
        "ssl_ca_certs",
        "ssl_certfile",
        "ssl_keyfile",
    )
)
"""What a URL may set. Time-outs, retries and pool sizes are ours, whatever a provider writes behind the "?"."""


def _sentinel_pool(url: str, common: dict[str, Any], bounds: dict[str, Any]) -> SentinelPool:
    parts = urlsplit(url)
    user_info, _, hosts = parts.netloc.rpartition("@")
    username, _, password = user_info.partition(":")
    service, _, db = parts.path.strip("/").partition("/")
    if not service or not hosts:
        raise ValueError("hosts and service are needed")
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    with_tls = parts.scheme.startswith("rediss")
    asking = dict(common)
    if with_tls:
        asking["ssl"] = True
    else:
        asking["socket_keepalive"] = True
    for key in ("username", "password"):
        if f"sentinel_{key}" in query:
            asking[key] = query[f"sentinel_{key}"]
    nodes = [urlsplit("//" + host) for host in hosts.split(",")]
    addresses = [(node.hostname or "localhost", node.port or SENTINEL_PORT) for node in nodes]
    sentinel = Sentinel(addresses, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    return SentinelPool(
        service,
        sentinel,
        connection_class=SentinelManagedSSLConnection if with_tls else SentinelManagedConnection,
        db=int(db or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        socket_keepalive=True,
        **common,
        **bounds,
    )
