"""
The worker half: one PUT per job.

    arq tests.bench.naive.worker.WorkerSettings

Environment: NAIVE_REDIS_URL, NAIVE_PLANHAT_URL.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

import httpx
import orjson
from arq.connections import RedisSettings


async def startup(ctx: dict[str, Any]) -> None:
    """Open one keep-alive client."""
    ctx["http"] = httpx.AsyncClient(base_url=os.environ["NAIVE_PLANHAT_URL"], timeout=30)


async def shutdown(ctx: dict[str, Any]) -> None:
    """Close it."""
    await ctx["http"].aclose()


async def deliver(ctx: dict[str, Any], payload: dict[str, Any]) -> None:
    """Send one ticket."""
    detail = payload["detail"]
    item = {
        "sourceId": f"zendesk:{detail['id']}",
        "source": "zendesk",
        "title": detail["subject"],
        "description": detail["description"],
        "status": detail["status"].lower(),
        "severity": (detail["priority"] or "").lower(),
        "tags": detail["tags"],
        "email": f"{detail['requester_id']}@customer.example",
        "domains": ["customer.example"],
    }
    body = orjson.dumps([item])
    answer = await ctx["http"].put("/tickets", content=body, headers={"content-type": "application/json"})
    answer.raise_for_status()


class WorkerSettings:
    """As arq's documentation shows it."""

    functions: ClassVar = [deliver]
    on_startup = startup
    on_shutdown = shutdown
    redis_settings = RedisSettings.from_dsn(os.environ.get("NAIVE_REDIS_URL", "redis://127.0.0.1:6379"))
