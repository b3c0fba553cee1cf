"""Withdrawals: what is looked at when a page changes, and what never is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from tests.fakes.queue import FakeQueue
from tests.fakes.records import a_request
from tests.fakes.waiting import until

from buildthrough.builders.database import DatabaseFault
from buildthrough.builders.faults import Cancelled, InfrastructureFault
from buildthrough.proxy.withdrawal import Withdrawals

YANKED = Cancelled("cancelled.yanked", "Upstream has yanked it.")


class House:
    def __init__(self):
        self.queue = FakeQueue()
        self.checked, self.withdrawn, self.faults = [], [], {}

    async def check(self, request):
        self.checked.append(request.project)
        if fault := self.faults.get(request.project):
            raise fault

    async def withdraw(self, builds, why):
        for build in builds:
            self.withdrawn.append((build, why.kind))
            await self.queue.settle(build, why, log_sha256=None)

    @asynccontextmanager
    async def at_work(self, watch_seconds=3600):
        work = Withdrawals(self.queue, check=self.check, withdraw=self.withdraw, watch_seconds=watch_seconds)
        task = asyncio.ensure_future(work.run())
        yield work
        task.cancel()


async def test_only_builds_of_a_project_whose_page_changed_are_looked_at():
    house = House()
    house.faults = {"a": YANKED, "b": YANKED}
    a, _, _ = [await house.queue.submit(a_request(name)) for name in ("a", "b", "last")]
    async with house.at_work() as work:
        for project in ("nobody-builds-this", "a", "a", "last"):
            work.see(project)
        await until(lambda: "last" in house.checked)
    assert house.checked == ["a", "last"]
    assert house.withdrawn == [(a.id, "cancelled.yanked")]


async def test_what_runs_is_looked_at_from_time_to_time_and_what_waits_is_not():
    house = House()
    running = await house.queue.submit(a_request("a"))
    await house.queue.claim()
    await house.queue.submit(a_request("b"))
    async with house.at_work(watch_seconds=0.01):
        await until(lambda: len(house.checked) >= 3)
        assert set(house.checked) == {"a"}
        house.faults = {"a": YANKED}
        await until(lambda: house.withdrawn)
    assert house.withdrawn == [(running.id, "cancelled.yanked")]


async def test_a_fault_ends_no_build_and_no_task(caplog):
    house = House()
    house.faults = {
        "a": InfrastructureFault("infra.upstream", "down"),
        "b": ZeroDivisionError(),
        "c": DatabaseFault("The disk is full."),
        "d": YANKED,
    }
    builds = [await house.queue.submit(a_request(name)) for name in "abcd"]
    async with house.at_work() as work:
        for project in "abcd":
            work.see(project)
            await until(lambda project=project: project in house.checked)
        await until(lambda: house.withdrawn)
    assert house.withdrawn == [(builds[3].id, "cancelled.yanked")]
    traced = [bool(record.exc_info) for record in caplog.records if "could not be looked at" in record.message]
    assert traced == [True, False]  # only the division is told with a traceback
