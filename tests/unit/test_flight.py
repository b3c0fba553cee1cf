"""Work that many ask for at once is done once."""

from __future__ import annotations

import asyncio

import pytest

from buildthrough.proxy.flight import Flights


class Work:
    def __init__(self) -> None:
        self.runs = 0
        self.go = asyncio.Event()
        self.fault: Exception | None = None

    async def __call__(self) -> int:
        self.runs += 1
        await self.go.wait()
        if self.fault is not None:
            raise self.fault
        return self.runs


async def test_many_join_one_flight() -> None:
    flights: Flights[str, int] = Flights()
    work = Work()
    callers = [asyncio.create_task(flights.join("key", work)) for _ in range(50)]
    await asyncio.sleep(0)
    assert len(flights) == 1
    work.go.set()
    assert await asyncio.gather(*callers) == [1] * 50
    assert len(flights) == 0
    assert await flights.join("key", work) == 2


async def test_keys_do_not_wait_for_each_other() -> None:
    flights: Flights[str, int] = Flights()
    slow, quick = Work(), Work()
    waiting = asyncio.create_task(flights.join("slow", slow))
    quick.go.set()
    assert await flights.join("quick", quick) == 1
    assert not waiting.done()
    await flights.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_the_work_outlives_whoever_asked_first() -> None:
    flights: Flights[str, int] = Flights()
    work = Work()
    first = asyncio.create_task(flights.join("key", work))
    second = asyncio.create_task(flights.join("key", work))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    work.go.set()
    assert await second == 1
    assert first.cancelled()


async def test_a_failure_is_shared_and_not_remembered() -> None:
    flights: Flights[str, int] = Flights()
    work = Work()
    work.fault = OSError("no")
    callers = [asyncio.create_task(flights.join("key", work)) for _ in range(3)]
    await asyncio.sleep(0)
    work.go.set()
    assert [type(outcome) for outcome in await asyncio.gather(*callers, return_exceptions=True)] == [OSError] * 3
    work.fault = None
    assert await flights.join("key", work) == 2


async def test_a_failure_that_nobody_waits_for_is_no_complaint_of_the_loop() -> None:
    flights: Flights[str, int] = Flights()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    work = Work()
    work.fault = OSError("no")
    caller = asyncio.create_task(flights.join("key", work))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    work.go.set()
    while len(flights):
        await asyncio.sleep(0)
    import gc

    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
