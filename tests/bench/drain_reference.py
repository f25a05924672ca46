"""
The reference of `drain`: a loop that only encodes batches and PUTs them.

`python -m tests.bench.drain_reference SINK_URL BATCHES ITEMS`; prints wall and CPU seconds as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import httpx
import orjson

from tests.bench.tickets import change


async def main(url: str, batches: int, items: int) -> None:
    """Encode and PUT `batches` of `items` tickets each; the values stand ready as Python objects."""
    made = [change(number) for number in range(items)]
    tickets = [{"sourceId": one.ticket, "source": "zendesk", **one.fields} for one in made]
    history = [{"status": "open", "time": "2025-11-24T16:00:00.000Z"}]
    for ticket in tickets:
        ticket["history"] = history
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        await client.put("/tickets", content=orjson.dumps(tickets[:1]))
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(batches):
            answer = await client.put(
                "/tickets", content=orjson.dumps(tickets), headers={"content-type": "application/json"}
            )
            answer.raise_for_status()
        print(json.dumps({"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
