"""
The helpdesks' sending side: each delivery again and again until it is answered 2xx, some twice, some late, some deaf.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sim.processes import Web
    from tests.sim.truth import Delivery, Helpdesks
    from tests.sim.world import World

SENDER_PATIENCE_S = 10.0
Answer = tuple[int, dict[str, Any]]


class Senders:
    """
    Sends what the helpdesks have to say.

    Args:
        webs: gives the web processes as they are now.

    answered: tickets of which a delivery was accepted. left: deliveries still to be accepted. attempts: requests made.
    """

    def __init__(self, world: World, desks: Helpdesks, webs: Callable[[], list[Web]]) -> None:
        self.world, self.desks, self._webs = world, desks, webs
        self.answered: set[str] = set()
        self.left = 0
        self.attempts = 0
        self._newest: dict[str, tuple[int, int]] = {}

    async def all(self) -> None:
        world, plan, chance = self.world, self.world.plan, self.world.chance
        made: list[tuple[float, Delivery]] = []
        rates = plan.rates
        at_s = 0.0
        while len(made) < plan.deliveries:
            at_s += chance.expovariate(plan.deliveries / plan.storm_s)
            ticket = chance.choice(self.desks.tickets)
            for delivery in self.desks.next(ticket):
                late_s = chance.uniform(0.0, 12.0) if chance.random() < rates.get("sender_reorder", 0.0) else 0.0
                made.append((at_s + late_s, delivery))
                if chance.random() < rates.get("sender_duplicate", 0.0):
                    made.append((at_s + late_s + chance.choice((0.0, 0.01, 1.0, 20.0)) * chance.random(), delivery))
            if chance.random() < rates.get("sender_forged", 0.0):
                made.append((at_s, self.desks.forged()))
            if chance.random() < rates.get("sender_unreadable", 0.0):
                made.append((at_s, self.desks.unreadable()))
        self.left = len(made)
        await asyncio.gather(*(world.loop.create_task(self.send(at, one)) for at, one in made))

    async def send(self, at_s: float, delivery: Delivery) -> None:
        """Send one delivery as a helpdesk does: again and again until it is answered 2xx."""
        chance = self.world.chance
        await asyncio.sleep(at_s)
        while True:
            self.attempts += 1
            answer = await self._post(delivery)
            if answer is not None:
                status, said = answer
                word = said.get("status", "")
                self._check(delivery, status, word)
                if 200 <= status < 300 or delivery.kind == "forged":
                    break
            await asyncio.sleep(chance.uniform(0.5, 4.0))
        if delivery.kind == "good":
            self.answered.update(one.ticket for one in delivery.said)
        self.left -= 1

    def _check(self, delivery: Delivery, status: int, word: str) -> None:
        world = self.world
        world.note("answer", f"{delivery.ident} {status} {word}")
        expected = {
            "good": {(202, "accepted"), (200, "duplicate")},
            "forged": {(401, "refused")},
            "unreadable": {(202, "quarantined")},
        }[delivery.kind]
        if status == 503:
            world.seen("web_503")
        elif (status, word) not in expected:
            world.broken(f"{delivery.kind} delivery {delivery.ident} was answered {status} {word} (I8)")
        elif word == "duplicate":
            world.seen("duplicate_absorbed")
        elif word == "refused":
            world.seen("forged_refused")
        elif word == "quarantined":
            world.seen("unreadable_quarantined")
        elif word == "accepted":
            for said in delivery.said:
                said.accepted_s = world.loop.now_s
                if said.rank < self._newest.get(said.ticket, said.rank):
                    world.seen("reordered")
                self._newest[said.ticket] = max(said.rank, self._newest.get(said.ticket, said.rank))

    async def _post(self, delivery: Delivery) -> Answer | None:
        """Post once; None when no answer came."""
        world, chance, rates = self.world, self.world.chance, self.world.plan.rates
        web = chance.choice(self._webs())
        await asyncio.sleep(chance.uniform(0.001, 0.01))
        if web.dead:
            return None
        answer: asyncio.Future[Answer | None] = world.loop.create_future()
        web.waiting.add(answer)
        world.awaits["delivery"] += 1
        wide = chance.random() < 0.5
        cancel_in_s = None
        patience_s = SENDER_PATIENCE_S
        deaf = False
        if not world.calm:
            if wide and chance.random() < rates.get("web_cancel", 0.0):
                cancel_in_s = chance.uniform(0.0, 0.012)
            if chance.random() < rates.get("sender_gives_up", 0.0):
                patience_s = chance.uniform(0.0005, 0.01)
            deaf = chance.random() < rates.get("sender_no_ack", 0.0)
        took = lambda: web.take(delivery, answer, wide=wide, cancel_in_s=cancel_in_s)  # noqa: E731
        world.loop.inside(web, took)
        done, _ = await asyncio.wait([answer], timeout=patience_s)
        web.waiting.discard(answer)
        if not done:
            if patience_s < 1:
                world.seen("sender_gave_up")
            return None
        if deaf and answer.result() is not None:
            world.seen("answer_lost")
            return None
        return answer.result()
