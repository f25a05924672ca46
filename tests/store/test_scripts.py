"""Every script says what it takes and gives, and the code takes exactly that."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from gateway.core.change import frames
from gateway.store.client import connect
from gateway.store.pending import Delivery, Store
from gateway.store.scripts import Scripts, sources

if TYPE_CHECKING:
    from redis.asyncio import Redis

NAMES = sorted(sources())
DOCUMENTED = re.compile(r"^-- (KEYS|ARGV)\[(\d+)(\.\.)?\] \S", re.MULTILINE)
LITERAL = re.compile(r"(KEYS|ARGV)\[(\d+)\]")
COMPUTED = re.compile(r"(KEYS|ARGV)\[[^\]\d][^\]]*\]|unpack\((KEYS|ARGV), (\d+)\)|#(KEYS|ARGV)\b")
MORE_THAN_FIVE = {"put", "ack", "bury", "look"}


def script(name: str) -> tuple[list[str], list[str]]:
    """The comment lines before the first line of code, and the code without comments."""
    lines = sources()[name][1].decode().splitlines()
    code_starts = next(i for i, line in enumerate(lines) if not line.startswith(("--", "#!")))
    code = [re.sub(r"\s--\s.*$", "", line) for line in lines[code_starts:]]
    return lines[:code_starts], [line for line in code if line.strip()]


@pytest.mark.parametrize("name", NAMES)
def test_header_tells_every_key_and_argument_and_no_other(name: str) -> None:
    header, code = script(name)
    documented = {(kind, int(index)): bool(tail) for kind, index, tail in DOCUMENTED.findall("\n".join(header))}
    text = "\n".join(code)
    used = {(kind, int(index)) for kind, index in LITERAL.findall(text)}
    tails = {kind: index for (kind, index), tail in documented.items() if tail}
    computed = {next(filter(None, (a, b, c))) for a, b, _, c in COMPUTED.findall(text)}
    singles = {entry for entry, tail in documented.items() if not tail}
    # Named ones that are read through a loop (`for i = 5, 9 do ... KEYS[i]`) are used through the computed index.
    assert used <= singles, f"used but not told: {used - singles}"
    unused = {entry for entry in singles - used if entry[0] not in computed}
    assert not unused, f"told but not used: {unused}"
    assert set(tails) <= computed, f"a tail is told but not walked: {set(tails) - computed}"
    for kind, index in tails.items():
        assert all(other < index for other_kind, other in singles if other_kind == kind)
        assert {other for other_kind, other in singles if other_kind == kind} == set(range(1, index))


@pytest.mark.parametrize("name", NAMES)
def test_header_begins_with_a_purpose_and_ends_with_what_it_returns(name: str) -> None:
    header, _ = script(name)
    assert header[0].startswith("#!lua")
    assert re.match(r"-- [A-Z]", header[1])
    assert any(line.startswith("-- Returns ") for line in header)


@pytest.mark.parametrize("name", NAMES)
def test_only_intake_is_refused_by_a_full_redis(name: str) -> None:
    flags = script(name)[0][0]
    intake = {"put": "#!lua", "quarantine": "#!lua", "look": "#!lua flags=no-writes"}
    assert flags == intake.get(name, "#!lua flags=allow-oom")


@pytest.mark.parametrize("name", NAMES)
def test_script_stays_small(name: str) -> None:
    header, code = script(name)
    assert len(code) <= 40
    assert all(len(line) <= 120 for line in header + code)
    named = {int(index) for kind, index, tail in DOCUMENTED.findall("\n".join(header)) if kind == "KEYS" and not tail}
    if len(named) > 5:
        assert name in MORE_THAN_FIVE or "More than five named keys" in "\n".join(header)
        assert "More than five named keys" in "\n".join(header)


@pytest.mark.parametrize("name", NAMES)
def test_scripts_never_read_payloads_nor_print_numbers_as_floats(name: str) -> None:
    text = "\n".join(script(name)[1])
    assert "cjson" not in text
    assert "cmsgpack" not in text
    assert "tostring" not in text


def test_every_file_in_lua_is_a_script() -> None:
    folder = resources.files("gateway.store").joinpath("lua")
    assert {file.name for file in folder.iterdir()} == {f"{name}.lua" for name in NAMES}


async def test_frames_that_put_writes_are_those_that_core_reads(redis: Redis) -> None:
    store = Store(redis)
    payloads = [b"x", b"y" * 300, bytes(range(256)) * 300]
    before_us = await store.now_us()
    await store.put([Delivery(None, tuple(("t", payload) for payload in payloads))])
    (loaded,) = await store.peek(["t"])
    found = list(frames(loaded.value))
    arrivals = [arrival for arrival, _ in found]
    assert [payload for _, payload in found] == payloads
    assert arrivals == [arrivals[0], arrivals[0] + 1, arrivals[0] + 2]
    assert before_us <= arrivals[0] <= await store.now_us()


async def test_arrivals_stay_exact_to_the_microsecond_for_centuries(redis: Redis) -> None:
    late_us = 2**53 - 10
    store = Store(redis, now_us=lambda: late_us)
    await store.put([Delivery(None, (("t", b"a"), ("t", b"b")))])
    (loaded,) = await store.peek(["t"])
    assert [arrival for arrival, _ in frames(loaded.value)] == [late_us, late_us + 1]
    assert await redis.zscore(store.keys.due, "t") == late_us // 1000


async def test_a_server_that_forgot_the_scripts_gets_them_again(redis: Redis) -> None:
    scripts = Scripts(redis)
    args = [scripts.now(), "take", "token", 1, 1000]
    assert await scripts.run("slot", ["k"], args) == 1
    await redis.script_flush()
    assert await scripts.run("slot", ["k"], args) == 1


async def test_scripts_run_at_once_on_a_connection_of_their_own(redis_url: str) -> None:
    client = connect(redis_url, max_connections=1)
    try:
        assert await Store(client).claim(5, "t", 1000) == []
    finally:
        await client.aclose()
