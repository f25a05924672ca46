"""
Requests that must be refused, without end: forged, mutated, malformed; and a few authentic ones among them.

Nothing here names a helpdesk: sources come from the registry, their proofs from `tests.sources.signers`, their bodies
from the samples of the conformance suite. What makes a request hostile is how it is made, never what our own `verify`
says of it. Every value that a stranger chooses carries a canary, which may appear nowhere.
"""

from __future__ import annotations

import random
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.sources import SOURCES
from tests.gate.targets import BLANKS, Shot, Target, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.sources.base import Request

CANARY: Final = "canary-5e1f"
MAIL: Final = f"{CANARY}@leak.example"
TOLERANCE_S: Final = 300
HOSTS: Final = re.compile(rb"(?<=\n)host: [^\r]*\r\n", re.IGNORECASE)
EXPIRY_S: Final = 3_600
"""More than a proof lasts that names its own end."""


class Attacker:
    """
    Makes shots, the same ones for the same luck (but for the time of day, which signatures carry).

    Args:
        luck: where every choice comes from.
        targets: the sources that are attacked; all of them when left out.
    """

    def __init__(self, luck: random.Random, targets: list[Target] | None = None) -> None:
        self.luck = luck
        self.targets = targets or [Target(name) for name in SOURCES]
        self._kinds: dict[str, tuple[int, Callable[[], Shot]]] = {
            "authentic": (1, self.authentic),
            "signed for another body": (12, self.other_body),
            "signed for another time": (12, self.other_time),
            "signed by another connection": (10, self.other_connection),
            "signed with another secret": (10, self.other_secret),
            "proof changed": (20, self.proof_changed),
            "proof lacking or doubled": (8, self.proof_lacking),
            "proof of garbage": (8, self.proof_of_garbage),
            "body of garbage": (9, self.body_of_garbage),
            "another route, method or type": (7, self.elsewhere),
            "not HTTP": (2, self.not_http),
            "HTTP cut and spliced": (1, self.spliced),
        }

    def shots(self, count: int) -> Iterator[Shot]:
        """
        Make `count` shots; in every hundred each kind has its share, so that none is left to luck.

        Each shot draws from a luck of its own: a signature made a second later looks different, so breaking it may use
        up more luck or less, and must not change the shots behind it.
        """
        hundred = [maker for share, maker in self._kinds.values() for _ in range(share)]
        order = random.Random(self.luck.getrandbits(64))
        while count > 0:
            order.shuffle(hundred)
            for maker in hundred[:count]:
                self.luck = random.Random(order.getrandbits(64))
                yield maker()
            count -= len(hundred)

    def _any(self, of: list[Target] | None = None) -> tuple[Target, Request]:
        target = self.luck.choice(of or self.targets)
        return target, self._varied(self.luck.choice(target.requests))

    def _varied(self, request: Request) -> Request:
        """The request with white space behind its body, which means nothing and changes every signature."""
        if request.body[:1] not in (b"{", b"[", b"<"):
            return request
        return replace(request, body=request.body + bytes(self.luck.choices(BLANKS, k=self.luck.randrange(16))))

    # Authentic

    def authentic(self) -> Shot:
        """A helpdesk's own request, signed with its current or its old secret."""
        target = self.luck.choice([target for target in self.targets if target.authentic])
        request = self._varied(self.luck.choice(target.authentic))
        signed = target.signed(request, self.luck.choice(target.signer.secrets[:2]))
        return Shot("authentic", wire(signed, target.path), authentic=True)

    # Signed, for something else

    def other_body(self) -> Shot:
        """A body under the proof of another one."""
        target, request = self._any([target for target in self.targets if target.binds])
        signed = target.signed(request, self.luck.choice(target.signer.secrets[:2]))
        body = self._changed_body(signed.body, self.luck.choice(target.requests).body)
        body += b"!" if body == signed.body else b""
        return Shot("signed for another body", wire(replace(signed, body=body), target.path), signed=True)

    def _changed_body(self, body: bytes, another: bytes) -> bytes:
        way = self.luck.randrange(5)
        if way == 0 and another != body:
            return another
        if way == 1 and body:
            at = self.luck.randrange(len(body))
            return body[:at] + bytes((body[at] ^ (1 << self.luck.randrange(8)),)) + body[at + 1 :]
        if way == 2 and len(body) > 1:
            return body[: self.luck.randrange(len(body))]
        if way == 3:
            return body.replace(b'"', b'"' + CANARY.encode(), 1) if b'"' in body else body + b"\r\n"
        return body + self.luck.choice((b" ", b"\n", b"\0", b"{}", b"\xff", MAIL.encode()))

    def other_time(self) -> Shot:
        """A proof of another time: stale, early, or an old one under a fresh time."""
        target = self.luck.choice([target for target in self.targets if target.dated])
        request = self._varied(self.luck.choice([request for request in target.requests if target.ages(request)]))
        signer = target.signer
        least_s = TOLERANCE_S + 30 if signer.moment or signer.dates else EXPIRY_S
        far_s = least_s + self.luck.choice((1.0, 1e3, 1e6)) * self.luck.random()
        off_s = far_s if self.luck.random() < 0.3 else -far_s
        signed = target.signed(request, at_s=time.time() + off_s)
        moment = signer.moment
        if moment and self.luck.random() < 0.4:
            fresh = dict(target.signed(request).headers)
            signed = replace(signed, headers=tuple({**dict(signed.headers), moment: fresh[moment]}.items()))
        return Shot("signed for another time", wire(signed, target.path), signed=True)

    def other_connection(self) -> Shot:
        """What another source has signed, whole or moved into this one's header."""
        target, request = self._any()
        other = self.luck.choice([one for one in self.targets if one is not target])
        proved = other.proof(other.signer.secrets[0], request.body, time.time())
        if self.luck.random() < 0.5:
            ours = target.proof(target.signer.secrets[0], request.body, time.time())
            proved = {**ours, target.signer.proof: proved[other.signer.proof]}
        headers = [*request.headers, *proved.items()]
        return Shot("signed by another connection", wire(request, target.path, headers), signed=True)

    def other_secret(self) -> Shot:
        """A secret that was taken out, or another tenant's."""
        target, request = self._any()
        signed = target.signed(request, self.luck.choice(target.signer.secrets[2:]))
        return Shot("signed with another secret", wire(signed, target.path), signed=True)

    # Mutated

    def proof_changed(self) -> Shot:
        """A good proof of which something inside is another."""
        target, request = self._any()
        signed = target.signed(request)
        headers = dict(signed.headers)
        name = self.luck.choice(target.signer.needed)
        headers[name] = self._changed(headers[name])
        return Shot("proof changed", wire(signed, target.path, list(headers.items())), alone=name == "host")

    def _changed(self, value: str) -> str:
        run = max(re.finditer(r"[A-Za-z0-9+/_-]+", value), key=lambda found: len(found.group()))
        at = self.luck.randrange(run.start(), run.end())
        way = self.luck.randrange(4)
        if way == 0:
            return value[:at] + value[at + 1 :]
        if way == 1:
            return value[:at] + self.luck.choice("!\xe9~x9=") + value[at:]
        if way == 2:
            return value[: run.start()] + value[run.start() : at]
        other = self.luck.choice([mark for mark in "aQ7z+0" if mark.casefold() != value[at].casefold()])
        return value[:at] + other + value[at + 1 :]

    def proof_lacking(self) -> Shot:
        """A good proof of which one header is missing, or stands twice."""
        target, request = self._any()
        signed = target.signed(request)
        name = self.luck.choice(target.signer.needed)
        value = signed.header(name) or ""
        if self.luck.random() < 0.5:
            headers = [pair for pair in signed.headers if pair[0] != name]
        else:
            headers = [*signed.headers, (name, self.luck.choice((value, value[:-1] + "x", "", CANARY)))]
        return Shot("proof lacking or doubled", wire(signed, target.path, headers), alone=name == "host")

    def proof_of_garbage(self) -> Shot:
        """No proof at all, where proofs are looked for, and claims that prove nothing."""
        target, request = self._any()
        garbage = self.luck.choice(
            (
                "",
                CANARY,
                f"v1,{CANARY}",
                "sha256=" + "0" * 64,
                "A" * self.luck.randrange(4_000),
                "".join(chr(self.luck.randrange(0x21, 0x7F)) for _ in range(self.luck.randrange(1, 80))),
                "".join(chr(self.luck.randrange(0xA0, 0x100)) for _ in range(self.luck.randrange(1, 80))),
                f"Bearer {CANARY}",
                "none",
                "null",
            )
        )
        needed = [name for name in target.signer.needed if name != "host"]
        places = list(dict.fromkeys((*needed, "authorization", "x-webhook-secret", "x-api-key")))
        chosen = self.luck.sample(places, k=self.luck.randrange(1, 4))
        claims = [("x-forwarded-for", "127.0.0.1"), ("forwarded", f"for=127.0.0.1;by={MAIL}"), ("user-agent", MAIL)]
        kept = [pair for pair in request.headers if pair[0] not in chosen]
        asked = replace(
            request, query=self.luck.choice(("", f"token={CANARY}", f"email={MAIL}&token=", "token=%00&token=x"))
        )
        return Shot(
            "proof of garbage", wire(asked, target.path, [*kept, *((name, garbage) for name in chosen), *claims])
        )

    def body_of_garbage(self) -> Shot:
        """A hostile body under a forged proof: nothing of it may be read."""
        luck = self.luck
        target, request = self._any()
        depth = luck.choice((10, 300, 3_000, 60_000 if luck.random() < 0.01 else 100))
        body = luck.choice(
            (
                lambda: luck.randbytes(luck.randrange(2_000)),
                lambda: b"[" * depth,
                lambda: b'{"a":' * depth,
                lambda: b"9" * depth,
                lambda: b'{"id": NaN, "email": "' + MAIL.encode() + b'", "x": 1e999}',
                lambda: b'{"id": "\\ud800", "id": 1, "ID": 2}',
                lambda: b"\x1f\x8b\x08\x00" + luck.randbytes(60),
                lambda: (
                    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "%s"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>'
                    % MAIL.encode()
                ),
                lambda: b"a=%00&b=" + MAIL.encode() + b"&" * depth,
                lambda: b"",
            )
        )()
        forged = target.signed(replace(request, body=body), luck.choice(target.signer.secrets[2:]))
        return Shot("body of garbage", wire(forged, target.path))

    # Elsewhere

    def elsewhere(self) -> Shot:
        """Signed rightly, but for an address, a method, a type or an encoding that is none of ours."""
        luck = self.luck
        target, request = self._any()
        signed, path = target.signed(request), target.path
        match luck.randrange(4):
            case 0:
                path = luck.choice(
                    (
                        f"/webhooks/{MAIL}",
                        "/webhooks/" + luck.randbytes(luck.randrange(1, 30)).hex(),
                        f"{target.path}/more",
                        f"/webhooks/..%2f{target.name}x",
                        f"/webhooks/{target.name}%00",
                        "/webhooks/" + "a" * 3_000,
                        f"/WEBHOOKS/{target.name}",
                        f"//webhooks/{target.name}",
                    )
                )
            case 1:
                signed = replace(signed, method=luck.choice(("PUT", "DELETE", "PATCH", "TRACE")))
            case 2:
                kept = [pair for pair in signed.headers if pair[0] != "content-type"]
                kind = luck.choice(
                    ("text/html", "multipart/form-data; boundary=x", f"application/{CANARY}", "image/png")
                )
                signed = replace(signed, headers=(*kept, ("content-type", kind)))
            case _:
                coding = luck.choice(("gzip", "deflate", "br", "gzip, identity", CANARY))
                signed = replace(signed, headers=(*signed.headers, ("content-encoding", coding)))
        return Shot("another route, method or type", wire(signed, path))

    # Broken on the wire

    def not_http(self) -> Shot:
        """Heads and frames that two servers could read differently, or that no server should read."""
        luck = self.luck
        target, request = self._any()
        forged = target.signed(request, target.signer.secrets[3])
        whole = wire(forged, target.path)
        start = f"POST {target.path} HTTP/1.1\r\nHost: h\r\n".encode()
        data = luck.choice(
            (
                lambda: luck.randbytes(luck.randrange(1, 200)) + b"\r\n\r\n",
                lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + luck.randbytes(40),
                lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                lambda: whole.replace(b"\r\n", b"\n"),
                lambda: HOSTS.sub(b"", whole),
                lambda: HOSTS.sub(b"Host: a\r\nHost: b\r\n", whole),
                lambda: whole.replace(b"Content-Length: ", b"Content-Length: +"),
                lambda: whole.replace(b"Content-Length: ", b"Content-Length: 3\r\nContent-Length: "),
                lambda: whole.replace(b"Content-Length: ", b"Transfer-Encoding: chunked\r\nContent-Length: "),
                lambda: (
                    start
                    + b"Transfer-Encoding: chunked\r\n\r\n"
                    + luck.choice((b"zz\r\n", b"-1\r\n", b"5\r\nab\r\n0\r\n\r\n", b"ffffffffffffffff1\r\n"))
                ),
                lambda: start + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                lambda: start + b"X: a\r\n b\r\n\r\n",
                lambda: start + b"X: \0\r\n\r\n",
                lambda: start + b"X: " + b"a" * luck.choice((30_000, 70_000, 300_000)) + b"\r\n\r\n",
                lambda: start + b"X: y\r\n" * luck.choice((101, 5_000)) + b"\r\n",
                lambda: b"POST /?" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
                lambda: whole.replace(b"POST ", b"post ", 1),
                lambda: whole.replace(b" HTTP/1.1", b" HTTP/9.9", 1),
                lambda: b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n",
                lambda: start + b"Content-Length: 99999999\r\n\r\n",
                lambda: start + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
            )
        )()
        return Shot("not HTTP", data, alone=True)

    def spliced(self) -> Shot:
        """A forged request cut, doubled and overwritten anywhere."""
        luck = self.luck
        target, request = self._any()
        data = wire(target.signed(request, target.signer.secrets[2]), target.path)
        for _ in range(luck.randrange(1, 4)):
            at = luck.randrange(len(data) + 1)
            piece = luck.choice((b"", b"\r\n", b"\r\n\r\n", b"\0", b": ", data[:at], luck.randbytes(luck.randrange(8))))
            data = data[:at] + piece + data[min(len(data), at + luck.randrange(12)) :]
        return Shot("HTTP cut and spliced", data, alone=True)
