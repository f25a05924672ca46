"""What doubles of APIs with OAuth client credentials have in common: they give tokens and take no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from starlette.requests import Request


class Vendor:
    """What both have in common: tokens by client credentials, a log, and a next answer instead of the usual one."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.next: list[Response | None] = []
        self.next_token: list[Response] = []
        self.tokens: set[str] = set()
        self.made = 0
        self.expires: dict[str, Any] = {}

    async def token(self, request: Request) -> Response:
        self.made += 1
        if self.next_token:
            return self.next_token.pop(0)
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        if form != {"grant_type": "client_credentials", "client_id": "app-1", "client_secret": "app-secret"}:
            return JSONResponse({"error": "invalid_client", "error_description": "invalid client credentials"}, 400)
        token = f"token-{self.made}"
        self.tokens.add(token)
        return JSONResponse({"access_token": token, "token_type": "Bearer", **self.expires})

    def refusal(self, request: Request, allowed: set[str]) -> Response | None:
        self.seen.append(request.url.path)
        if self.next and (answer := self.next.pop(0)) is not None:
            return answer
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return JSONResponse([{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}], 401)
        if request.query_params.keys() - allowed:
            return JSONResponse({"error": "bad query"}, 400)
        return None
