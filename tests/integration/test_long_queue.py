"""A queue of ten thousand builds costs what a queue of ten costs: bounds on SQLite's steps, not on time.

A step is an instruction of SQLite's virtual machine: how many there are depends on the rows that are touched and on
nothing of this machine. `python -m bench queue` measures time and memory.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import insert
from tests.fakes.records import Clock, a_request
from tests.fakes.waiting import until

from buildthrough.builders import ledger
from buildthrough.builders.database import Database
from buildthrough.builders.faults import Cancelled, InfrastructureFault
from buildthrough.builders.priority import Priority, rank
from buildthrough.builders.request import BuildRequest, BuildState
from buildthrough.builders.sql_queue import SqlQueue

LONG = 10_000
NO_DISK = InfrastructureFault("infra.disk", "No space left on device")
YANKED = Cancelled("cancelled.yanked", "Upstream has yanked it.")


def fill(connection, count, now):
    """Queue builds of as many projects, in one statement."""
    rows = []
    for number in range(count):
        request = a_request(f"p{number}")
        values = {name: getattr(request, name) for name in BuildRequest.__dataclass_fields__}
        priority = list(Priority)[number % 3]
        rows.append(
            {"key": request.key, "state": BuildState.QUEUED, "created": now, "priority": priority, **values}
            | {"rank": rank(priority, now)}
        )
    connection.execute(insert(ledger.builds), rows)


class Steps:
    """Counts the steps of the one connection that a database has, in tens."""

    def __init__(self, database):
        self._database = database
        self._count = 0

    async def start(self):
        await self._database.run(
            lambda connection: connection.connection.driver_connection.set_progress_handler(self._note, 10)
        )

    def _note(self):
        self._count += 10

    @asynccontextmanager
    async def counted(self, into):
        before = self._count
        yield
        into.append(self._count - before)


async def costs(folder, count):
    """Return the steps of what is done to a queue of so many builds, by name."""
    clock, found = Clock(), {}
    folder.mkdir()
    async with Database.open(f"sqlite:///{folder / 'x.sqlite'}") as database:
        queue = SqlQueue(database, clock=clock, limit=LONG + 100)
        await database.run(lambda connection: fill(connection, count, clock.now))
        steps = Steps(database)
        await steps.start()

        async def cost(name, awaitable):
            async with steps.counted(found.setdefault(name, [])):
                return await awaitable

        for number in range(3):
            await cost("submit", queue.submit(a_request(f"new{number}")))
            await cost("submit what is queued", queue.submit(a_request("p1")))
            build = await cost("claim", queue.claim())
            await cost("beat", queue.beat(build.id))
            await cost("settle", queue.settle(build.id, YANKED, log_sha256=None))
            other = await cost("claim", queue.claim())
            await cost("put back", queue.settle(other.id, NO_DISK, log_sha256=None))
            clock.forward(3600)
            await cost(
                "claim what was put back",
                queue.claim(lambda due, other=other: next((one for one in due if one.id == other.id), due[0])),
            )
            await cost("get", queue.get(other.id))
            await cost("last", queue.last(a_request("p5").key))
            await cost("list", queue.list(limit=100))
            await cost("list running", queue.list(state=BuildState.RUNNING, limit=100))
            await cost("list a project", queue.list(project="p7", limit=100))
            await cost("active of a project", queue.active(project="p7"))
            await cost("nothing fits", _refused(queue))
        await cost("counts", queue.counts())
        await cost("positions", queue.positions(range(1, 101)))
    return {name: max(values) for name, values in found.items()}


async def _refused(queue):
    """Claim where nothing that is due may be started."""
    looked = []
    task = asyncio.ensure_future(queue.claim(lambda _due: looked.append(1)))
    await until(lambda: looked)
    await asyncio.sleep(0.02)  # time to look once more, which must not come
    task.cancel()
    await asyncio.wait({task})


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("queues")
    return asyncio.run(costs(folder / "short", 100)), asyncio.run(costs(folder / "long", LONG))


AS_CHEAP = [
    "submit what is queued", "claim", "claim what was put back", "beat", "settle", "put back", "get", "last", "list",
    "list running", "list a project", "active of a project", "nothing fits",
]  # fmt: skip
COUNTED = {"submit": 6, "counts": 8, "positions": 60}
"""What looks at each queued build once, in an index: steps for each."""


@pytest.mark.parametrize("what", AS_CHEAP)
def test_what_takes_no_longer_in_a_long_queue(compared, what):
    short, long = compared
    assert long[what] <= 2 * short[what] + 200, (short[what], long[what])


@pytest.mark.parametrize("what", COUNTED)
def test_what_only_counts_is_bounded_by_row(compared, what):
    assert compared[1][what] <= COUNTED[what] * LONG + 2000


def test_all_that_is_measured_is_bounded(compared):
    assert set(compared[1]) == {*AS_CHEAP, *COUNTED}
