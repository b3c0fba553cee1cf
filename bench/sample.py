"""Ask for one URL at a fixed rate and report latencies: ``python -m bench.sample URL SECONDS RATE`` prints JSON.

A process of its own, so that nothing else in the measuring process is measured. Requests are due by the clock: a late
answer does not hide those that it delays.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp

JSON = "application/vnd.pypi.simple.v1+json"


async def sample(url: str, seconds: float, rate: float) -> list[float]:
    """Return latencies in seconds."""
    latencies: list[float] = []

    async def one(session: aiohttp.ClientSession, due: float) -> None:
        async with session.get(url, headers={"Accept": JSON, "Accept-Encoding": "identity"}) as answer:
            answer.raise_for_status()
            await answer.read()
        latencies.append(time.perf_counter() - due)

    async with aiohttp.ClientSession() as session:
        await one(session, time.perf_counter())
        latencies.clear()
        begin = time.perf_counter()
        tasks = []
        for n in range(int(seconds * rate)):
            due = begin + n / rate
            await asyncio.sleep(max(0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(session, due)))
        await asyncio.gather(*tasks)
    return latencies


if __name__ == "__main__":
    print(json.dumps(asyncio.run(sample(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))))
