"""
The helpdesk's sending side: signs, posts, repeats until it is answered 2xx, and remembers what was accepted.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING

from tests.faults.helpdesk import sign
from tests.faults.processes import ask

if TYPE_CHECKING:
    from tests.faults.helpdesk import Delivery

TRIES = 100


class Sender:
    """Posts deliveries side by side and repeats each until it is answered 2xx, as a helpdesk would."""

    def __init__(self, url: str, secret: str, rate_per_s: float) -> None:
        self.url, self.secret, self.rate = url, secret, rate_per_s
        self.accepted: dict[str, set[int]] = {}
        self.answers: dict[str, int] = {}
        self.lock = threading.Lock()

    def send_all(self, made: list[Delivery], threads: int = 8) -> None:
        """Send everything at about the rate, over some threads."""
        todo: queue.Queue[tuple[float, Delivery]] = queue.Queue()
        began = time.monotonic()
        for number, one in enumerate(made):
            todo.put((began + number / self.rate, one))
        workers = [threading.Thread(target=self._work, args=(todo,)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _work(self, todo: queue.Queue[tuple[float, Delivery]]) -> None:
        while True:
            try:
                due, one = todo.get_nowait()
            except queue.Empty:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            for _ in range(TRIES):
                status, answer = ask(
                    self.url, data=one.body, headers=sign(self.secret, one.body, int(time.time() * 1000))
                )
                word = answer.get("status", "?") if isinstance(answer, dict) else "?"
                with self.lock:
                    key = f"{status} {word}" if status else "no answer"
                    self.answers[key] = self.answers.get(key, 0) + 1
                    if 200 <= status < 300:
                        self.accepted.setdefault(one.ticket, set()).add(one.version)
                if 200 <= status < 300:
                    break
                time.sleep(0.3)
