"""What a long queue costs: processor time of this process by what is done to ten builds or ten thousand, and memory."""

from __future__ import annotations

import asyncio
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fakes.records import a_request

from bench.peers.ours import Ours
from buildthrough.builders.database import Database
from buildthrough.builders.faults import Cancelled
from buildthrough.builders.request import BuildState
from buildthrough.builders.sql_queue import SqlQueue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.report import Report, Table

    Call = Callable[[], Awaitable[object]]

LONG = 10_000
_YANKED = Cancelled("cancelled.yanked", "Upstream has yanked it.")


def main(report: Report, *, quick: bool = False) -> None:
    """Measure both lengths, and judge the long one."""
    table = report.table("The queue of builds", "milliseconds of processor time")
    memory = report.table("What a queue keeps in memory", "KiB")
    for length in (10, LONG):
        asyncio.run(_measure(table, memory, length, rounds=20 if quick else 100))
    slowest = max(table.median(Ours.name, column) or 0 for column in table.columns if column.endswith(f"of {LONG}"))
    kept = memory.median(Ours.name, f"after {LONG} submissions")
    report.at_most("memory kept for a queue of ten thousand builds, in KiB", kept, 1024)
    report.at_most("the slowest of all that is done to a queue of ten thousand builds, in ms", slowest, 10)


async def _measure(table: Table, memory: Table, length: int, *, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Database.open(f"sqlite:///{Path(folder) / 'queue.sqlite'}") as database:
            queue = SqlQueue(database, limit=2 * LONG)
            tracemalloc.start()
            for number in range(length):
                await queue.submit(a_request(f"p{number}"))
            kept, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            memory.add(Ours.name, f"after {length} submissions", kept / 1024)
            for number in range(rounds):
                await _round(lambda what, call: _timed(table, f"{what}, of {length}", call), queue, number)


async def _round(timed: Callable[[str, Call], Awaitable[None]], queue: SqlQueue, n: int) -> None:
    await timed("submit", lambda: queue.submit(a_request(f"new{n}")))
    await timed("submit what is queued", lambda: queue.submit(a_request("p1")))
    await timed("claim", queue.claim)
    running = (await queue.list(state=BuildState.RUNNING, limit=1))[0]
    await timed("settle", lambda: queue.settle(running.id, _YANKED, log_sha256=None))
    await timed("list 100", lambda: queue.list(limit=100))
    await timed("active of a project", lambda: queue.active(project="p7"))
    await timed("counts", queue.counts)
    await timed("positions of 100", lambda: queue.positions(range(5, 105)))


async def _timed(table: Table, what: str, call: Call) -> None:
    began = time.process_time()
    await call()
    table.add(Ours.name, what, (time.process_time() - began) * 1000)
