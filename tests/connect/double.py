"""What the doubles have in common: they note every request, and refuse wrong credentials and unknown fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response

from workers.commands.connect import done
from workers.connect.base import Asked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.routing import Route

PUBLIC = "https://gateway.acme.example"
OTHER = "https://staging.acme.example"
MADE = 64
"""Length of a secret that we make: 256 bits in hex."""


class Refusal(Exception):
    def __init__(self, status: int, said: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.answer = JSONResponse(said, status, headers)


class Double:
    """Subclasses give routes and `known`; each handler calls `body` or `query`, which refuse what is unknown."""

    unauthorized: tuple[int, Any] = (401, {"error": "unauthorized"})

    def __init__(self, *routes: Route) -> None:
        self.seen: list[tuple[str, str]] = []
        self.next: dict[str, Refusal] = {}
        self.app = Starlette(routes=list(routes), exception_handlers={Refusal: self._refuse})
        self.ids = 100

    async def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return error.answer

    def known(self, request: Request) -> bool:
        raise AssertionError("each double says whom it knows")

    def id(self) -> int:
        self.ids += 1
        return self.ids

    async def body(self, request: Request, fields: Mapping[str, type], needed: set[str], wrapper: str = "") -> Any:
        """Read a body whose every field is known and of its type."""
        self.enter(request)
        assert request.headers["content-type"] == "application/json"
        read = json.loads(await request.body())
        if wrapper:
            if list(read) != [wrapper]:
                raise Refusal(400, {"error": f"expected only {wrapper}"})
            read = read[wrapper]
        wrong = [name for name in read if name not in fields or not isinstance(read[name], fields[name])]
        if wrong or needed - read.keys():
            raise Refusal(422, {"error": f"unknown or wrong: {wrong}, missing: {sorted(needed - read.keys())}"})
        return read

    def query(self, request: Request, *allowed: str) -> dict[str, str]:
        """Read the query of a GET."""
        self.enter(request)
        if request.query_params.keys() - set(allowed):
            raise Refusal(400, {"error": "unknown parameter"})
        return dict(request.query_params)

    def enter(self, request: Request) -> None:
        self.seen.append((request.method, request.url.path))
        if waiting := self.next.pop(f"{request.method} {request.url.path}", None):
            raise waiting
        if not self.known(request):
            raise Refusal(*self.unauthorized)

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [call for call in self.seen if call[0] != "GET"]


async def go(
    command: str, name: str, double: Double, env: Mapping[str, str], public: str = PUBLIC, **asked: Any
) -> dict[str, Any]:
    """Run a command against a double."""
    environ = {"PUBLIC_URL": public, **env}
    return await done(command, name, Asked(**asked), environ, httpx.ASGITransport(app=double.app))


def empty(status: int = 204) -> Response:
    return Response(status_code=status)
