"""The embedded `BuildQueue`: durable records in SQL, and workers in this process."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from buildthrough.builders import ledger, ranks
from buildthrough.builders.database import utc_now
from buildthrough.builders.ledger import builds
from buildthrough.builders.priority import Priority
from buildthrough.builders.queue import first
from buildthrough.builders.request import BuildState
from buildthrough.builders.retry import FailureMemory, RetryPolicy
from buildthrough.builders.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from buildthrough.builders.database import Database
    from buildthrough.builders.faults import BuildEnded
    from buildthrough.builders.request import Build, BuildRequest
    from buildthrough.builders.schedule import Choice

    Changes = list[Build]  # named here, for a queue has a verb of the name ``list``
    Moments = list[datetime]

_LONGEST_NAP = 30.0
"""Seconds after which a waiting `SqlQueue.claim` looks again whatever the clock did meanwhile."""


class SqlQueue:
    """The embedded queue: durable records, and workers in this process.

    A worker's hold on a build is this process's hold on the data folder, so no lease can run out: `recover` at the
    start takes up what was running when the process died.
    """

    def __init__(
        self,
        database: Database,
        *,
        retry: RetryPolicy | None = None,
        memory: FailureMemory | None = None,
        limit: int = 10_000,
        clock: Callable[[], datetime] = utc_now,
        on_change: Callable[[Build], None] = lambda _build: None,
    ) -> None:
        """``limit`` bounds the QUEUED builds. ``on_change`` gets every build that a committed change has touched."""
        self._database = database
        self._schedule = Schedule(
            retry=retry or RetryPolicy(), memory=memory or FailureMemory(), limit=limit, clock=clock
        )
        self._clock = clock
        self._on_change = on_change
        self._wake = asyncio.Event()

    async def recover(self) -> Sequence[Build]:
        """Take up what was running when the process died. To be called once, before the first claim.

        It counts as a setback, so that a build that ends the process each time is given up at last.
        """
        return await self._apply(self._schedule.recover)

    def notice(self, changed: Iterable[Build]) -> None:
        """Learn of builds changed elsewhere, in a committed transaction over `buildthrough.builders.ledger`."""
        loop = asyncio.get_running_loop()
        wake = False
        for build in changed:
            loop.call_soon(self._on_change, build)
            wake = wake or build.state is BuildState.QUEUED
        if wake:
            self._wake.set()
            self._wake = asyncio.Event()

    async def submit(
        self,
        request: BuildRequest,
        *,
        again: bool = False,
        priority: Priority = Priority.INTERACTIVE,
        parent: Build | None = None,
    ) -> Build:
        """Return the build that answers the request, see `BuildQueue.submit`."""
        answer = partial(self._schedule.answer, request=request, again=again, priority=priority, parent=parent)
        return await asyncio.shield(self._submit(answer))

    async def claim(self, choose: Choice = first) -> Build:
        """Wait until a build is due that is chosen. A caller that is cancelled has taken nothing.

        ``choose`` is called in the database's thread: it must not change what others use.
        """
        while True:
            wake = self._wake  # taken before looking, so that what comes between looking and waiting is not missed
            due: Moments = []
            taking = asyncio.ensure_future(self._transact(partial(self._schedule.claim, choose=choose, due=due)))
            try:
                claimed = await asyncio.shield(taking)
            except asyncio.CancelledError:
                for build in await taking:
                    await self.give_back(build.id)
                raise
            if claimed:
                return claimed[0]
            seconds = min(((moment - self._clock()).total_seconds() for moment in due), default=_LONGEST_NAP)
            try:
                async with asyncio.timeout(min(max(seconds, 0.0), _LONGEST_NAP)):
                    await wake.wait()
            except TimeoutError:
                continue

    async def beat(self, build: int) -> bool:
        """Tell whether the worker still has the build: nothing needs to be renewed, see the class."""
        found = await self.get(build)
        return found is not None and found.state is BuildState.RUNNING

    async def mark(
        self,
        build: int,
        *,
        time_cut: datetime | None = None,
        findings: str | None = None,
        unlisted: str | None = None,
        unlisted_sha256: str | None = None,
    ) -> None:
        """Note what was learnt of a running build, see `BuildQueue.mark`."""
        noted = {
            "time_cut": time_cut,
            "findings": findings,
            "unlisted": unlisted,
            "unlisted_sha256": unlisted_sha256,
        }
        await self._apply(lambda connection: ledger.mark(connection, build, noted))

    async def settle(self, build: int, ended: BuildEnded, *, log_sha256: str | None, charged: bool = True) -> Build:
        """Record an end without a wheel, see `BuildQueue.settle`. Raise LookupError for an unknown build."""
        settle = partial(self._schedule.settle, number=build, ended=ended, log_sha256=log_sha256, charged=charged)
        return (await self._apply(settle))[0]

    async def wait_for(self, build: int, other: int) -> Build:
        """Put a build back until another one has ended, see `BuildQueue.wait_for`."""
        return (await self._apply(lambda connection: self._schedule.wait_for(connection, build, other)))[0]

    async def give_back(self, build: int) -> None:
        """Put a build back as if it had not been started; one that is not RUNNING stays as it is."""
        await self._apply(lambda connection: self._schedule.give_back(connection, build))

    async def get(self, build: int) -> Build | None:
        """Return one record."""
        return await self._database.run(lambda connection: ledger.find(connection, build))

    async def last(self, key: str) -> Build | None:
        """Return the newest build of a request's key."""
        return await self._database.run(lambda connection: ledger.newest(connection, key))

    async def list(
        self, *, project: str | None = None, state: BuildState | None = None, limit: int = 100
    ) -> Sequence[Build]:
        """Return records, the newest first."""
        statement = select(builds).order_by(builds.c.id.desc()).limit(limit)
        if project is not None:
            statement = statement.where(builds.c.project == project)
        if state is not None:
            statement = statement.where(builds.c.state == state)
        return await self._database.run(
            lambda connection: tuple(ledger.read(row) for row in connection.execute(statement).mappings())
        )

    async def active(self, *, project: str | None = None) -> Sequence[Build]:
        """Return every build that is QUEUED or RUNNING, the oldest first."""
        statement = select(builds).where(builds.c.state.in_(ledger.ACTIVE)).order_by(builds.c.id)
        if project is not None:
            statement = statement.where(builds.c.project == project)
        return await self._database.run(
            lambda connection: tuple(ledger.read(row) for row in connection.execute(statement).mappings())
        )

    async def counts(self) -> Mapping[BuildState, int]:
        """Return how many builds are in each state."""
        statement = select(builds.c.state, func.count()).group_by(builds.c.state)
        found = await self._database.run(lambda connection: connection.execute(statement).all())
        return dict.fromkeys(BuildState, 0) | {BuildState(state): number for state, number in found}

    async def positions(self, builds: Iterable[int]) -> Mapping[int, int]:
        """Return the places of builds among those that are due."""
        return await self._database.run(lambda connection: ranks.positions(connection, builds))

    async def _apply(self, change: Callable[[Connection], Changes]) -> Changes:
        """Carry out a change to its end, even where the caller is cancelled meanwhile."""
        return await asyncio.shield(self._transact(change))

    async def _transact(self, change: Callable[[Connection], Changes]) -> Changes:
        changed = await self._database.run(change)
        self.notice(changed)
        return changed

    async def _submit(self, answer: Callable[[Connection], tuple[Build, Changes]]) -> Build:
        build, changed = await self._database.run(answer)
        self.notice(changed)
        return build
