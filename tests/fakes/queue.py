"""A legal `BuildQueue` without a database: a dictionary of records."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from buildthrough.builders.chain import chain_below, check_chain
from buildthrough.builders.database import utc_now
from buildthrough.builders.faults import BuildEnded, Cancelled, InfrastructureFault, PackageFault
from buildthrough.builders.priority import Priority, more_urgent, rank
from buildthrough.builders.queue import QueueFull, first
from buildthrough.builders.request import TRANSITIONS, Build, BuildRequest, BuildState
from buildthrough.builders.retry import FailureMemory, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

ACTIVE = (BuildState.QUEUED, BuildState.RUNNING)


class FakeQueue:
    """Keeps everything in memory and decides as the contract says, written as plainly as can be."""

    def __init__(
        self,
        *,
        retry: RetryPolicy | None = None,
        memory: FailureMemory | None = None,
        limit: int = 10_000,
        clock: Callable[[], datetime] = utc_now,
        on_change: Callable[[Build], None] = lambda _build: None,
    ) -> None:
        self.builds: dict[int, Build] = {}
        self._retry = retry or RetryPolicy()
        self._memory = memory or FailureMemory()
        self._limit = limit
        self._clock = clock
        self._on_change = on_change
        self._setbacks: dict[int, int] = {}
        self._ranks: dict[int, datetime] = {}

    async def recover(self) -> Sequence[Build]:
        lost = InfrastructureFault("infra.worker-lost", "The server ended while this build was running.")
        running = [build for build in self.builds.values() if build.state is BuildState.RUNNING]
        settled = [await self.settle(build.id, lost, log_sha256=build.log_sha256) for build in running]
        for build in settled:
            self.builds[build.id] = replace(build, not_before=None)
        return [self.builds[build.id] for build in settled]

    async def submit(
        self,
        request: BuildRequest,
        *,
        again: bool = False,
        priority: Priority = Priority.INTERACTIVE,
        parent: Build | None = None,
    ) -> Build:
        last = await self.last(request.key)
        if last is not None:
            remembered = last.expires is None or last.expires > self._clock()
            answers = remembered and last.state is not BuildState.CANCELLED and not again
            if last.state in ACTIVE:
                self._hurry(last.id, priority, rank(priority, last.created))
                return self.builds[last.id]
            if answers:
                return last
        if sum(build.state is BuildState.QUEUED for build in self.builds.values()) >= self._limit:
            raise QueueFull
        number = len(self.builds) + 1
        now = self._clock()
        new = Build(id=number, request=request, state=BuildState.QUEUED, attempts=0, created=now, priority=priority)
        if parent is not None:
            root = parent.id if parent.root is None else parent.root
            check_chain(parent, request, sum(build.root == root for build in self.builds.values()))
            new = replace(new, root=root, chain=chain_below(parent))
        self._ranks[number] = rank(priority, now)
        return self.store(new)

    async def claim(self, choose: Callable[[Sequence[Build]], Build | None] = first) -> Build:
        while True:
            for build in list(self.builds.values()):
                if build.state is BuildState.QUEUED and build.not_before and build.not_before <= self._clock():
                    self.builds[build.id] = replace(build, not_before=None)
            build = choose(self._due())
            if build is not None:
                started = {"attempts": build.attempts + 1, "started": self._clock()}
                return self.move(
                    build,
                    BuildState.RUNNING,
                    fault=None,
                    stage=None,
                    line=None,
                    time_cut=None,
                    findings=None,
                    **started,
                )
            await asyncio.sleep(0.002)

    async def beat(self, build: int) -> bool:
        return build in self.builds and self.builds[build].state is BuildState.RUNNING

    async def mark(
        self,
        build: int,
        *,
        time_cut: datetime | None = None,
        findings: str | None = None,
        unlisted: str | None = None,
        unlisted_sha256: str | None = None,
    ) -> None:
        found = self._known(build)
        if found.state is BuildState.RUNNING:
            noted = {
                "time_cut": time_cut,
                "findings": findings,
                "unlisted": unlisted,
                "unlisted_sha256": unlisted_sha256,
            }
            self.store(replace(found, **{name: value for name, value in noted.items() if value is not None}))

    async def settle(self, build: int, ended: BuildEnded, *, log_sha256: str | None, charged: bool = True) -> Build:
        record = self._known(build)
        if record.state not in ACTIVE:
            return record
        now = self._clock()
        match ended:
            case PackageFault():
                return self._fail(
                    record, ended.stage, ended.kind, ended.line, expires=self._expiry(ended.kind), log_sha256=log_sha256
                )
            case Cancelled():
                why = {"fault": ended.kind, "line": ended.line, "log_sha256": log_sha256, "finished": now}
                cancelled = self.move(record, BuildState.CANCELLED, waits_for=None, **why)
                if ended.is_upstreams:
                    self._release(build)
                else:
                    self._fail_dependents(cancelled, now)
                return cancelled
            case InfrastructureFault() if not charged:
                later = now + timedelta(seconds=self._retry.put_off_seconds)
                why = {"fault": ended.kind, "line": ended.line, "log_sha256": log_sha256, "not_before": later}
                return self.move(record, BuildState.QUEUED, started=None, attempts=record.attempts - 1, **why)
            case InfrastructureFault():
                setbacks = self._setbacks[build] = self._setbacks.get(build, 0) + 1
                if setbacks >= self._retry.max_attempts:
                    return self._fail(record, None, ended.kind, ended.line, expires=now, log_sha256=log_sha256)
                later = now + timedelta(seconds=self._retry.delay(setbacks))
                why = {"fault": ended.kind, "line": ended.line, "log_sha256": log_sha256, "not_before": later}
                return self.move(record, BuildState.QUEUED, started=None, **why)
            case _:
                raise TypeError(ended)

    async def wait_for(self, build: int, other: int) -> Build:
        record, needed = self._known(build), self._known(other)
        if record.state is not BuildState.RUNNING:
            return record
        chain = [needed]
        while chain[-1].waits_for is not None:
            chain.append(self.builds[chain[-1].waits_for])
        if any(one.id == build for one in chain):
            return await self.settle(build, PackageFault("requires", "deps.cycle", "a cycle"), log_sha256=None)
        match needed.state:
            case BuildState.QUEUED | BuildState.RUNNING:
                waiting = self.move(record, BuildState.QUEUED, started=None, waits_for=other)
                self._hurry(other, record.priority, self._ranks[build])
                return waiting
            case BuildState.SUCCEEDED if needed.finished <= record.started:
                unused = PackageFault("requires", "deps.unresolvable", f"{needed.request.project} does not serve")
                return await self.settle(build, unused, log_sha256=None)
            case BuildState.SUCCEEDED:
                return self.move(record, BuildState.QUEUED, started=None)
            case _:
                held = needed.expires if needed.state is BuildState.FAILED else self._clock()
                return self._fail_for(record, needed, held)

    async def give_back(self, build: int) -> None:
        record = self._known(build)
        if record.state is BuildState.RUNNING:
            self.move(record, BuildState.QUEUED, started=None, attempts=record.attempts - 1)

    async def get(self, build: int) -> Build | None:
        return self.builds.get(build)

    async def last(self, key: str) -> Build | None:
        return next((build for build in reversed(self.builds.values()) if build.request.key == key), None)

    async def list(
        self, *, project: str | None = None, state: BuildState | None = None, limit: int = 100
    ) -> Sequence[Build]:
        wanted = [
            build
            for build in reversed(self.builds.values())
            if project in (None, build.request.project) and state in (None, build.state)
        ]
        return wanted[:limit]

    async def active(self, *, project: str | None = None) -> Sequence[Build]:
        return [
            build
            for build in self.builds.values()
            if build.state in ACTIVE and project in (None, build.request.project)
        ]

    async def counts(self) -> Mapping[BuildState, int]:
        return {state: sum(build.state is state for build in self.builds.values()) for state in BuildState}

    async def positions(self, builds: Iterable[int]) -> Mapping[int, int]:
        places = {build.id: place for place, build in enumerate(self._due(), 1)}
        return {number: places[number] for number in builds if number in places}

    def _due(self) -> Sequence[Build]:
        due = [
            build
            for build in self.builds.values()
            if build.state is BuildState.QUEUED and build.waits_for is None and build.not_before is None
        ]
        return sorted(due, key=lambda build: (self._ranks[build.id], build.id))

    def _hurry(self, number: int, priority: Priority, soon: datetime) -> None:
        build = self.builds[number]
        self._ranks[number] = min(self._ranks[number], soon)
        self.builds[number] = replace(build, priority=more_urgent(build.priority, priority))
        if build.waits_for is not None:
            self._hurry(build.waits_for, priority, soon)

    def store(self, build: Build) -> Build:
        """Keep a record as it is."""
        self.builds[build.id] = build
        self._on_change(build)
        return build

    def move(self, build: Build, to: BuildState, **changes: object) -> Build:
        """Put a build into another state."""
        assert to in TRANSITIONS[build.state]
        return self.store(replace(build, state=to, **changes))

    def succeed(self, number: int, *, wheel: str, wheel_sha256: str, log_sha256: str | None) -> Build:
        """End a build with a wheel: what `FakeCatalog.publish` does."""
        what = {"wheel": wheel, "wheel_sha256": wheel_sha256, "log_sha256": log_sha256, "finished": self._clock()}
        ended = self.move(self._known(number), BuildState.SUCCEEDED, **what)
        self._release(number)
        return ended

    def _release(self, number: int) -> None:
        for build in list(self.builds.values()):
            if build.waits_for == number:
                self.store(replace(build, waits_for=None))

    def expire(self, number: int, now: datetime) -> None:
        """Let an ended build answer no more: what `FakeCatalog.purge` does."""
        self.builds[number] = replace(self.builds[number], expires=now)

    def _known(self, number: int) -> Build:
        if number not in self.builds:
            raise LookupError(number)
        return self.builds[number]

    def _expiry(self, kind: str) -> datetime | None:
        seconds = self._memory.of(kind)
        return None if seconds is None else self._clock() + timedelta(seconds=seconds)

    def _fail(
        self, build: Build, stage: str | None, kind: str, line: str, *, expires: datetime | None, log_sha256: str | None
    ) -> Build:
        why = {"stage": stage, "fault": kind, "line": line, "expires": expires, "log_sha256": log_sha256}
        failed = self.move(build, BuildState.FAILED, finished=self._clock(), waits_for=None, **why)
        self._fail_dependents(failed, expires)
        return failed

    def _fail_dependents(self, cause: Build, expires: datetime | None) -> None:
        for build in list(self.builds.values()):
            if build.waits_for == cause.id:
                self._fail_for(build, cause, expires)

    def _fail_for(self, build: Build, cause: Build, expires: datetime | None) -> Build:
        ours = self._expiry("deps.build-failed")
        soonest = min((one for one in (expires, ours) if one is not None), default=None)
        line = f"The build requirement {cause.request.project}=={cause.request.version} could not be built"
        return self._fail(build, "requires", "deps.build-failed", line, expires=soonest, log_sha256=build.log_sha256)
