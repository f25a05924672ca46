"""Tokens by client credentials, against an API of one resource."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.errors import ConfigurationError
from tests.workers.helpdesk_double import Clock
from tests.workers.token_vendor import Vendor
from workers.helpdesks.base import Api, HelpdeskBusy, HelpdeskError, HelpdeskRefused, HelpdeskUnavailable
from workers.helpdesks.oauth import MARGIN_S, TOKEN_MAX_BYTES, ClientCredentials
from workers.settings import from_env

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request


class Plain(Vendor):
    """An API of one resource."""

    def __init__(self) -> None:
        super().__init__()
        self.app = Starlette(routes=[Route("/token", self.token, methods=["POST"]), Route("/thing", self.thing)])

    async def thing(self, request: Request) -> Response:
        return self.refusal(request, set()) or JSONResponse({"here": True})


@pytest.fixture
def plain() -> Plain:
    return Plain()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def api(plain: Plain, clock: Clock) -> AsyncIterator[Api]:
    auth = ClientCredentials("https://api.example/token", "app-1", "app-secret", monotonic=clock)
    made = Api("https://api.example", auth=auth, transport=httpx.ASGITransport(plain.app))
    yield made
    await made.aclose()


async def test_a_token_is_asked_for_once_and_used_until_it_is_refused(api: Api, plain: Plain, clock: Clock) -> None:
    for _ in range(3):
        assert await api.get("thing") == {"here": True}
        clock.now_s += 100_000
    assert plain.made == 1
    plain.tokens.clear()  # revoked
    assert await api.get("thing") == {"here": True}
    assert plain.made == 2


async def test_a_token_that_ends_soon_is_replaced_before(api: Api, plain: Plain, clock: Clock) -> None:
    plain.expires = {"expires_in": 172_800}
    await api.get("thing")
    clock.now_s = 172_800 - MARGIN_S - 1
    await api.get("thing")
    assert plain.made == 1
    clock.now_s += 1
    await api.get("thing")
    assert plain.made == 2
    assert len(plain.seen) == 3  # none of them with a token that was refused


async def test_requests_at_once_share_a_token(api: Api, plain: Plain) -> None:
    await asyncio.gather(*(api.get("thing") for _ in range(8)))
    assert plain.made == 1


async def test_a_new_token_that_is_refused_as_well_ends_it(api: Api, plain: Plain) -> None:
    plain.next = [Response(status_code=401, content=b"no"), Response(status_code=401, content=b"no")]
    with pytest.raises(HelpdeskRefused):
        await api.get("thing")
    assert (plain.made, len(plain.seen)) == (2, 2)
    assert await api.get("thing") == {"here": True}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (JSONResponse({"error": "invalid_client"}, 400), HelpdeskRefused),
        (JSONResponse({"error": "invalid_client"}, 401), HelpdeskRefused),
        (Response(status_code=403), HelpdeskRefused),
        (Response(status_code=429, headers={"Retry-After": "31"}), HelpdeskBusy),
        (Response(status_code=429), HelpdeskBusy),
        (Response(status_code=500), HelpdeskUnavailable),
        (Response(status_code=302, headers={"Location": "https://evil.example/"}), HelpdeskUnavailable),
        (Response(b"<html>"), HelpdeskUnavailable),
        (JSONResponse([]), HelpdeskUnavailable),
        (JSONResponse({"access_token": 7}), HelpdeskUnavailable),
        (JSONResponse({"access_token": ""}), HelpdeskUnavailable),
        (JSONResponse({"access_token": "a\r\nHost: evil.example"}), HelpdeskUnavailable),
        (JSONResponse({"access_token": "é"}), HelpdeskUnavailable),
        (Response(b" " * (TOKEN_MAX_BYTES + 1)), HelpdeskUnavailable),
    ],
)
async def test_without_a_token_nothing_is_asked(
    api: Api, plain: Plain, answer: Response, error: type[HelpdeskError]
) -> None:
    plain.next_token = [answer]
    with pytest.raises(error) as raised:
        await api.get("thing")
    assert "app-secret" not in str(raised.value)
    assert plain.seen == []
    assert await api.get("thing") == {"here": True}


async def test_an_endless_refusal_does_not_fill_the_memory(api: Api, plain: Plain) -> None:
    plain.next = [Response(b"x" * (TOKEN_MAX_BYTES + 1), 401)]
    with pytest.raises(HelpdeskUnavailable):
        await api.get("thing")


def test_a_secret_shows_in_no_repr() -> None:
    assert "app-secret" not in repr(ClientCredentials("https://api.example/token", "app-1", "app-secret"))


APP = {"API_CLIENT_ID": "app-1", "API_CLIENT_SECRET": "app-secret"}


@pytest.mark.parametrize(
    ("source", "more", "base_url"),
    [
        ("SALESFORCE", {"DOMAIN": "acme"}, "https://acme.my.salesforce.com"),
        (
            "SALESFORCE",
            {"DOMAIN": "acme--dev.sandbox.my.salesforce.com"},
            "https://acme--dev.sandbox.my.salesforce.com",
        ),
        ("HELP_SCOUT", {}, "https://api.helpscout.net/v2"),
        ("HELP_SCOUT", {"API_URL": "http://localhost:9/v2/"}, "http://localhost:9/v2"),
    ],
)
def test_an_app_s_id_and_secret_switch_look_ups_on(source: str, more: dict[str, str], base_url: str) -> None:
    (access,) = from_env({f"{source}_{name}": value for name, value in {**APP, **more}.items()}).helpdesks
    assert (access.source, access.base_url) == (source.lower(), base_url)
    assert (access.user, access.secret) == ("app-1", "app-secret")


@pytest.mark.parametrize("name", APP)
def test_one_half_of_an_app_is_a_fault(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"HELP_SCOUT_{name} is set without"):
        from_env({f"HELP_SCOUT_{name}": APP[name]})


@pytest.mark.parametrize("domain", ["", "acme.example", "acme.lightning.force.com"])
def test_salesforce_s_credentials_go_to_no_other_address(domain: str) -> None:
    with pytest.raises(ConfigurationError, match="SALESFORCE_DOMAIN"):
        from_env({"SALESFORCE_DOMAIN": domain} | {f"SALESFORCE_{name}": value for name, value in APP.items()})


def test_a_token_switches_look_ups_at_front_on() -> None:
    (access,) = from_env({"FRONT_API_TOKEN": "fr-token"}).helpdesks
    assert (access.base_url, access.user, access.secret) == ("https://api2.frontapp.com", "", "fr-token")
