"""The bridge as one page of Python: what the scripts must do, without Redis."""

from __future__ import annotations

from dataclasses import dataclass, field

ASIDE_MS = 600_000
Frame = tuple[int, bytes]
"""(arrival_us, payload)."""


@dataclass
class Ticket:
    frames: list[Frame] = field(default_factory=list)
    score: int | None = None
    token: str | None = None
    doubt: int = 0
    group: int | None = None
    state: bytes | None = None
    dead: Frame | None = None

    def due_since_first(self, not_before_ms: int = 0) -> None:
        self.score = max(self.frames[0][0] // 1000, not_before_ms) if self.frames else None


@dataclass
class Model:
    tickets: dict[str, Ticket] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    arrival_us: int = 0

    def of(self, name: str) -> Ticket:
        return self.tickets.setdefault(name, Ticket())

    def put(self, now_us: int, ident: str | None, payloads: list[tuple[str, bytes]]) -> str:
        if ident in self.seen:
            return "duplicate"
        for name, payload in payloads:
            self.arrival_us = max(now_us, self.arrival_us + 1)
            ticket = self.of(name)
            ticket.frames.append((self.arrival_us, payload))
            ticket.score = self.arrival_us // 1000 if ticket.score is None else ticket.score
        self.seen |= {ident} if ident else set()
        return "accepted"

    def claim(self, now_ms: int, limit: int, token: str, lease_ms: int) -> list[tuple[str, int]]:
        claimed: list[tuple[str, int]] = []
        while len(claimed) < limit:
            size = limit - len(claimed)
            due = sorted((one.score, name) for name, one in self.tickets.items() if (one.score or now_ms + 1) <= now_ms)
            for _, name in due[:size]:
                one = self.tickets[name]
                one.doubt = 1 if one.token else one.doubt
                one.token = token if one.group is None else None
                one.score = now_ms + (lease_ms if one.group is None else ASIDE_MS)
                claimed += [(name, one.doubt)] if one.token else []
            if len(due) < size:
                break
        return claimed

    def claim_named(self, now_ms: int, names: list[str], token: str, lease_ms: int) -> list[tuple[str, int]]:
        claimed = []
        for name in names:
            one = self.of(name)
            ahead = one.score is not None and one.score > now_ms
            if one.score is None or (ahead and (one.token or (one.doubt == 2 and one.group is None))):
                continue
            one.doubt = 1 if one.token else one.doubt
            one.token, one.score = token, now_ms + lease_ms
            claimed.append((name, one.doubt))
        return claimed

    def held(self, name: str, token: str) -> Ticket | None:
        return one if (one := self.of(name)).token == token else None

    def ack(
        self, now_ms: int, name: str, token: str, cut: int, state: bytes, resend: Frame | None, lease_ms: int
    ) -> str:
        if not (one := self.held(name, token)):
            return "gone"
        one.frames = ([resend] if resend else []) + one.frames[cut:]
        one.state, one.dead, one.group, one.token, one.doubt = state, None, None, None, 2 if resend else 0
        one.due_since_first()
        one.score = now_ms + 2 * lease_ms if resend else one.score
        return "resend" if resend else "acked"

    def release(self, name: str, token: str, not_before_ms: int, group: int | None) -> bool:
        if one := self.held(name, token):
            one.token, one.group = None, one.group if group is None else group
            one.due_since_first(not_before_ms)
        return one is not None

    def bury(self, name: str, token: str, cut: int, frame: Frame) -> str:
        if not (one := self.held(name, token)):
            return "gone"
        one.frames, one.dead, one.token, one.doubt, one.group = one.frames[cut:], frame, None, 0, None
        one.due_since_first()
        return "buried"

    def compact(self, name: str, token: str, cut: int, frame: Frame) -> bool:
        if one := self.held(name, token):
            one.frames, one.token = [frame, *one.frames[cut:]], None
            one.due_since_first()
        return one is not None

    def replay(self, now_ms: int, name: str) -> bool:
        one = self.of(name)
        if one.dead is None:
            return False
        one.frames, one.dead = [*one.frames, one.dead], None
        if one.score is None or (not one.token and one.score > now_ms):
            one.score = now_ms
        return True

    def unsuspect(self, now_ms: int, name: str) -> None:
        one = self.of(name)
        one.group = None
        if one.score is not None and not one.token and one.doubt != 2:
            one.score = min(one.score, now_ms)
