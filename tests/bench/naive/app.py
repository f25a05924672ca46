"""
The web half: check the signature, parse, enqueue a job, answer.

    uvicorn tests.bench.naive.app:app

Environment: NAIVE_REDIS_URL, NAIVE_SECRET.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
from typing import TYPE_CHECKING

import orjson
from arq import create_pool
from arq.connections import RedisSettings
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

SECRET = os.environ.get("NAIVE_SECRET", "").encode()


async def webhook(request: Request) -> Response:
    """Enqueue one job for one webhook."""
    body = await request.body()
    timestamp = request.headers.get("x-zendesk-webhook-signature-timestamp", "").encode()
    expected = base64.b64encode(hmac.digest(SECRET, timestamp + body, "sha256")).decode()
    if not hmac.compare_digest(expected, request.headers.get("x-zendesk-webhook-signature", "")):
        return JSONResponse({"error": "invalid signature"}, 401)
    payload = orjson.loads(body)
    await request.app.state.queue.enqueue_job("deliver", payload)
    return JSONResponse({"status": "accepted"}, 202)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Hold the queue's connections while the server runs."""
    app.state.queue = await create_pool(RedisSettings.from_dsn(os.environ["NAIVE_REDIS_URL"]))
    yield
    await app.state.queue.aclose()


app = Starlette(routes=[Route("/webhooks/zendesk", webhook, methods=["POST"])], lifespan=lifespan)
