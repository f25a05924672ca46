"""
The helpdesk's sending side: signs, posts, repeats until it is answered 2xx, and remembers what was accepted.

With several addresses it behaves as a router does: each try goes to the next one.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from tests.faults.helpdesk import sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.faults.helpdesk import Delivery

TRIES: Final = 600
AGAIN_S: Final = 0.3
STALE_MS: Final = 900_000

Kind = Literal["true", "forged", "stale", "torn", "unsigned", "unreadable"]
"""`true` and `unreadable` are authentic; the others must be refused."""


@dataclass
class Parcel:
    """One delivery and how it is sent; signed with the sender's secret unless it has one of its own."""

    delivery: Delivery
    kind: Kind = "true"
    secret: str = ""


class Sender:
    """
    Posts deliveries side by side and repeats each until it is answered 2xx, as a helpdesk would.

    Args:
        urls: of the same hook, one for each web process.
        rate_per_s: deliveries a second, if the gateway keeps up.
        timeout_s: of one try; then the sender gives up on it and tries again.
    """

    def __init__(self, urls: str | list[str], secret: str, rate_per_s: float, *, timeout_s: float = 10.0) -> None:
        self.urls = [urls] if isinstance(urls, str) else urls
        self.secret, self.rate, self.timeout_s = secret, rate_per_s, timeout_s
        self.accepted: dict[str, set[int]] = {}
        self.moments: dict[str, list[float]] = {}
        self.answers: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.quarantined: set[bytes] = set()
        self.slow: deque[tuple[float, float]] = deque(maxlen=5_000)
        self.wrong: list[str] = []
        self.lock = threading.Lock()
        self._next = 0

    def send_all(self, made: list[Delivery], threads: int = 8) -> None:
        """Send everything at about the rate, over some threads."""
        self.send((Parcel(one) for one in made), threads)

    def send(self, parcels: Iterable[Parcel], threads: int = 8, stop: threading.Event | None = None) -> None:
        """Send what comes, until it ends or `stop` is set; what was begun is sent to its end."""
        todo = self._timed(iter(parcels), stop or threading.Event())
        workers = [threading.Thread(target=self._work, args=(todo,)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _timed(self, parcels: Iterator[Parcel], stop: threading.Event) -> Iterator[tuple[float, Parcel]]:
        began = time.monotonic()
        for number, one in enumerate(parcels):
            if stop.is_set():
                return
            yield began + number / self.rate, one

    def _work(self, todo: Iterator[tuple[float, Parcel]]) -> None:
        while True:
            with self.lock:
                taken = next(todo, None)
            if taken is None:
                return
            due, parcel = taken
            time.sleep(max(0.0, due - time.monotonic()))
            self.deliver(parcel)

    def deliver(self, parcel: Parcel, url: str = "") -> bool:
        """Post one parcel until it is answered; give whether an authentic one was taken."""
        one, failed = parcel.delivery, False
        for _ in range(TRIES):
            with self.lock:
                self._next += 1
                to = url or self.urls[self._next % len(self.urls)]
            began = time.monotonic()
            status, word = self._post(to, parcel)
            with self.lock:
                self.slow.append((began, time.monotonic() - began))
                self.answers[f"{status} {word}" if status else word] += 1
                if parcel.kind not in ("true", "unreadable"):
                    if status and status != 503:
                        self._judge_refusal(parcel, status)
                        return False
                elif 200 <= status < 300:
                    self._remember(parcel, word, failed=failed)
                    return True
                elif status not in (0, 503):
                    self.wrong.append(f"{one.ticket} v{one.version}: an authentic delivery was answered {status}")
            failed = True
            time.sleep(AGAIN_S)
        return False

    def _judge_refusal(self, parcel: Parcel, status: int) -> None:
        self.events[parcel.kind] += 1
        if status != 401:
            self.wrong.append(f"{parcel.delivery.ticket}: a {parcel.kind} delivery was answered {status} (I8)")

    def _remember(self, parcel: Parcel, word: str, *, failed: bool) -> None:
        one = parcel.delivery
        self.events["sent"] += 1
        if parcel.kind == "unreadable":
            self.events["unreadable"] += 1
            self.quarantined.add(one.body)
            self.events["unreadable, sent again"] += failed
            if word != "quarantined":
                self.wrong.append(f"an unreadable delivery was answered {word!r}")
            return
        known = self.accepted.setdefault(one.ticket, set())
        if word == "duplicate":
            self.events["stored, but its answer was lost" if failed and one.version not in known else "duplicate"] += 1
        if known and one.version < max(known) and one.version not in known:
            self.events["out of order"] += 1
        if failed:
            self.events["repeated"] += 1
        known.add(one.version)
        self.moments.setdefault(one.ticket, []).append(time.monotonic())

    def _post(self, url: str, parcel: Parcel) -> tuple[int, str]:
        """Post once; give the status and the body's word, or 0 and how the connection failed."""
        body, at = parcel.delivery.body, urlsplit(url)
        now_ms = int(time.time() * 1000) - (STALE_MS if parcel.kind == "stale" else 0)
        headers = sign("f" * 32 if parcel.kind == "forged" else parcel.secret or self.secret, body, now_ms)
        if parcel.kind == "unsigned":
            del headers["X-Zendesk-Webhook-Signature"]
        if parcel.kind == "torn":
            body = body[:-2] + b" }"
        link = http.client.HTTPConnection(at.hostname or "", at.port, timeout=self.timeout_s)
        try:
            link.request("POST", at.path, body, headers)
            answer = link.getresponse()
            said = json.loads(answer.read())
        except TimeoutError:
            return 0, "timed out"
        except ConnectionRefusedError:
            return 0, "refused"
        except (OSError, http.client.HTTPException):
            return 0, "cut"
        except ValueError:
            return answer.status, "?"
        finally:
            link.close()
        return answer.status, str(said.get("status", "?")) if isinstance(said, dict) else "?"

    def slowest_since(self, at_s: float) -> float:
        """Give the longest answer among the tries begun since `at_s` (monotonic), seconds."""
        with self.lock:
            return max((took for began, took in self.slow if began >= at_s), default=0.0)

    def median_since(self, at_s: float) -> float:
        """Give the median answer among the tries begun since `at_s`, seconds."""
        with self.lock:
            took = sorted(took for began, took in self.slow if began >= at_s)
        return took[len(took) // 2] if took else 0.0
