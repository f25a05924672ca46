"""Everything that a Redis holds, as one piece of bytes: what does not stand there, nobody can find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio import Redis

READ = {
    "none": ("EXISTS",),  # it has gone meanwhile
    "string": ("GET",),
    "hash": ("HGETALL",),
    "zset": ("ZRANGE", 0, -1),
    "set": ("SMEMBERS",),
    "list": ("LRANGE", 0, -1),
}


async def dump(redis: Redis) -> bytes:
    """Give every key with all its contents."""
    client: Any = redis
    pieces: list[bytes] = []
    for key in await client.keys("*"):
        command, *arguments = READ[(await client.type(key)).decode()]
        pieces += (key, repr(await client.execute_command(command, key, *arguments)).encode(), b"")
    return b"\n".join(pieces)
