"""
References of `ingest`, served as the gateway is: the same server, parser, limits and event loop.

`python -m tests.bench.references raw|starlette PORT`: `raw` is a bare ASGI application that reads the body and checks
the signature; `starlette` does the same with a route, request and response objects and a JSON parse.
"""

from __future__ import annotations

import base64
import hmac
import json
import sys
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.ingest.protocol import SERVER
from tests.bench.bodies import SECRET

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

KEY: Final = SECRET.encode()
SIGNATURE: Final = b"x-zendesk-webhook-signature"
TIMESTAMP: Final = b"x-zendesk-webhook-signature-timestamp"
SAID: Final = b'{"status":"accepted"}'
HEADERS: Final = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(SAID))]


async def raw(scope: Any, receive: Any, send: Any) -> None:
    """Answer 202 to a body whose signature holds."""
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    signature = timestamp = b""
    for name, value in scope["headers"]:
        if name == SIGNATURE:
            signature = value
        elif name == TIMESTAMP:
            timestamp = value
    mac = base64.b64encode(hmac.digest(KEY, timestamp + body, "sha256"))
    status = 202 if hmac.compare_digest(mac, signature) else 401
    await send({"type": "http.response.start", "status": status, "headers": HEADERS})
    await send({"type": "http.response.body", "body": SAID})


async def hook(request: Request) -> Response:
    """The same, as the framework has it."""
    body = await request.body()
    timestamp = request.headers["x-zendesk-webhook-signature-timestamp"].encode()
    mac = base64.b64encode(hmac.digest(KEY, timestamp + body, "sha256")).decode()
    if not hmac.compare_digest(mac, request.headers["x-zendesk-webhook-signature"]):
        return JSONResponse({"status": "unauthorized"}, 401)
    payload = json.loads(body)
    return JSONResponse({"status": "accepted", "delivery_id": payload["id"]}, 202)


def main(name: str, port: int) -> None:
    """Serve a reference."""
    framework = Starlette(routes=[Route("/webhooks/{connection}", hook, methods=["POST"])])
    app: Any = raw if name == "raw" else framework
    uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, **{**SERVER, "lifespan": "off"})).run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
