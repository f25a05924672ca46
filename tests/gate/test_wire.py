"""Every source over a real server and a real Redis: what only shows between the wire, the door and the bridge."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.app import create_app
from gateway.core.change import frames
from gateway.settings import from_env
from gateway.sources import SOURCES
from gateway.store.client import connect
from gateway.store.pending import Store
from tests.gate.hostile import CANARY, EXPIRY_S, MAIL, Attacker
from tests.gate.stage import settings
from tests.gate.targets import Target, wire
from tests.ingest.server import call, raw, running, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.sources.base import Request

CLOSE = ("connection", "close")


@pytest.fixture
def served(redis_url: str) -> Callable[..., Any]:
    """Serve every source with further settings; entered anew, it is another process on the same Redis."""

    @contextlib.contextmanager
    def serve(**more: str) -> Iterator[int]:
        app = create_app(from_env(settings(**{"REDIS_URL": redis_url, "LOG_LEVEL": "error", **more})))
        with running(app, short(2.0)) as port:
            yield port

    return serve


def post(port: int, target: Target, request: Request) -> tuple[int, Any]:
    """Send one request; give the status and the JSON body (None for another)."""
    closing = replace(request, headers=(*request.headers, CLOSE))
    answer, _ = raw(port, wire(closing, target.path))
    with contextlib.suppress(orjson.JSONDecodeError):
        return int(answer[9:12]), orjson.loads(answer.partition(b"\r\n\r\n")[2])
    return int(answer[9:12]), None


def signed(target: Target, secret: str | None = None, at_s: float | None = None) -> Request:
    return target.signed(target.authentic[0], secret, at_s)


def pending(redis_url: str) -> dict[str, int]:
    """Give the tickets that wait and how many changes each has."""

    async def look() -> dict[str, int]:
        redis = connect(redis_url)
        try:
            store = Store(redis)
            names = [name.decode() for name in await redis.zrange(store.keys.due, 0, -1)]
            return {one.ticket: len(list(frames(one.value))) for one in await store.peek(names)}
        finally:
            await redis.aclose()

    return asyncio.run(look())


def every() -> list[Target]:
    return [Target(name) for name in SOURCES]


def test_a_delivery_in_chunks_is_taken_as_one_in_whole(served: Any, redis_url: str) -> None:
    statuses = {}
    with served() as port:
        for target in every():
            request = signed(target)
            head = wire(replace(request, headers=(*request.headers, CLOSE), body=b""), target.path)
            head = head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
            middle = len(request.body) // 2
            parts = [part for part in (request.body[:middle], request.body[middle:]) if part]
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
            statuses[target.name] = raw(port, head + chunks + b"0\r\n\r\n")[0][9:10]
    assert statuses == dict.fromkeys(SOURCES, b"2")
    assert {ticket.partition(":")[0] for ticket in pending(redis_url)} == set(SOURCES)


def test_a_replay_has_no_second_effect_before_and_after_a_restart(served: Any, redis_url: str) -> None:
    requests = {target: signed(target) for target in every()}
    with served() as port:
        first = {target.name: post(port, target, request)[0] // 100 for target, request in requests.items()}
        counts = pending(redis_url)
        again = {target.name: post(port, target, request)[0] // 100 for target, request in requests.items()}
    with served() as port:
        after = {target.name: post(port, target, request)[0] // 100 for target, request in requests.items()}
    assert first == again == after == dict.fromkeys(SOURCES, 2)
    for target, request in requests.items():
        source = SOURCES[target.name]
        ours = {ticket: count for ticket, count in counts.items() if ticket.startswith(f"{target.name}:")}
        now = {ticket: count for ticket, count in pending(redis_url).items() if ticket in ours}
        assert ours
        if source.delivery_id(request, source.parse(request)) is None:
            assert now.keys() == ours.keys(), f"{target.name}: the fold absorbs what a sender without ids repeats"
        else:
            assert now == ours, f"{target.name}: a delivery is remembered in Redis, not in the process"


def test_a_replay_outside_the_window_is_refused_where_time_is_signed(served: Any, redis_url: str) -> None:
    now_s = time.time()
    dated = [target for target in every() if target.signer.moment or target.signer.dates]
    ending = [target for target in every() if target.dated and target not in dated]

    def statuses(port: int, off_s: float, targets: list[Target]) -> set[int]:
        return {post(port, target, signed(target, at_s=now_s + off_s))[0] // 100 for target in targets}

    with served() as port:
        assert statuses(port, -330, dated) == statuses(port, 330, dated) == {4}
        assert statuses(port, -EXPIRY_S, ending) == statuses(port, EXPIRY_S, ending) == {4}
        assert pending(redis_url) == {}
        assert statuses(port, -240, [*dated, *ending]) == statuses(port, 240, dated) == {2}


def test_a_secret_is_good_from_the_start_that_names_it_to_the_start_that_does_not(served: Any) -> None:
    def statuses(*places: int) -> tuple[set[int], ...]:
        """Which answers the current, the old and the removed secret get, when those in these places are configured."""
        named = {
            f"{target.name.upper()}_WEBHOOK_SECRET": ",".join(target.signer.secrets[place] for place in places)
            for target in every()
        }
        with served(**named) as port:
            return tuple(
                {post(port, target, signed(target, target.signer.secrets[place]))[0] // 100 for target in every()}
                for place in range(3)
            )

    assert statuses(1, 2) == ({4}, {2}, {2})
    assert statuses(0, 1) == ({2}, {2}, {4})
    assert statuses(0) == ({2}, {4}, {4})


def test_a_wrong_secret_deployed_shows_in_the_figures(served: Any, redis_url: str) -> None:
    wrong = {f"{target.name.upper()}_WEBHOOK_SECRET": target.signer.secrets[3] for target in every()}
    with served(**wrong) as port:
        for target in every():
            assert [post(port, target, signed(target))[0] for _ in range(3)] == [401] * 3, target.name
        text = call(port, "/metrics", method="GET").said.decode()
    told = [line for line in text.splitlines() if line.startswith("gateway_refused_total{")]
    assert {line.split('"')[1] for line in told if line.endswith(" 3.0")} == set(SOURCES)
    assert pending(redis_url) == {}


def test_a_signed_request_of_another_method_changes_nothing(served: Any, redis_url: str) -> None:
    strange = {}
    with served() as port:
        for target in every():
            for method in ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"):
                status, _ = post(port, target, replace(signed(target), method=method))
                if status != 405 and not (method in SOURCES[target.name].methods and status < 300):
                    strange[target.name, method] = status
    assert strange == {}
    assert pending(redis_url) == {}


def test_whatever_stands_in_an_unreadable_delivery_it_can_be_shown_and_read_again(served: Any, redis_url: str) -> None:
    strange = (("x-odd", "\xff\xfe\x80 \\u0000 %00"), ("x-long", "\xe9" * 9_000))
    with served() as port:
        for target in every():
            request = replace(target.authentic[0], body=b"\xff\xfe\x00 not readable \xed\xa0\x80")
            signed_so = target.signed(replace(request, headers=(*request.headers, *strange)))
            assert post(port, target, signed_so)[0] // 100 == 2, target.name

    async def show() -> list[tuple[dict[str, Any] | None, Any]]:
        redis = connect(redis_url)
        try:
            store = Store(redis)
            rows = await store.dead_letters("delivery")
            return [(await store.show(row.id), await store.quarantined(row.id)) for row in rows]
        finally:
            await redis.aclose()

    found = asyncio.run(show())
    assert len(found) == len(SOURCES)
    for shown, kept in found:
        assert orjson.loads(orjson.dumps(shown)) is not None
        assert kept.body.startswith(b"\xff\xfe\x00")
        assert dict(kept.headers)["x-odd"] == strange[0][1]


def test_what_strangers_send_stands_in_no_answer(served: Any) -> None:
    attacker = Attacker(random.Random(23))
    with served() as port:
        answers = []
        for shot in attacker.shots(1_500):
            if CANARY.encode() in shot.data and not shot.authentic and not shot.alone:
                closing = shot.data.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nConnection: close\r\n", 1)
                answers.append(raw(port, closing)[0])
        pages = [str(call(port, path, method="GET")) for path in ("/metrics", "/readyz", f"/nosuch/{MAIL}", "/")]
    assert len(answers) > 50
    assert not any(CANARY.encode() in answer for answer in answers)
    assert not any(CANARY in page for page in pages)
