"""A legal `Catalog` without a database, over a `FakeQueue`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from buildthrough.builders.faults import Cancelled
from buildthrough.builders.request import BuildState
from buildthrough.proxy.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from buildthrough.builders.request import Build, BuildRequest
    from buildthrough.proxy.built import BuiltWheel
    from buildthrough.proxy.catalog import AuditRecord
    from tests.fakes.queue import FakeQueue


class FakeCatalog:
    """Keeps every wheel that was ever published, and which of them are purged."""

    def __init__(self, queue: FakeQueue) -> None:
        self._queue = queue
        self._all: list[BuiltWheel] = []
        self._purged: set[int] = set()
        self._tuples: dict[str, tuple[BuiltWheel, ...]] = {}
        self._tombstones: set[tuple[str, str | None]] = set()
        self._doomed: set[str] = set()
        self._audit: list[AuditRecord] = []
        self._lock = asyncio.Lock()

    async def wheels(self, project: str) -> tuple[BuiltWheel, ...]:
        now = tuple(wheel for wheel in self._kept() if wheel.project == project)
        if self._tuples.get(project) != now:
            self._tuples[project] = now
        return self._tuples[project]

    def wheels_at_hand(self, project: str) -> tuple[BuiltWheel, ...] | None:
        return None

    async def all_wheels(self) -> Sequence[BuiltWheel]:
        return self._kept()

    async def filenames(self, project: str) -> dict[str, str]:
        return {wheel.filename: wheel.sha256 for wheel in self._all if wheel.project == project}

    async def publish(self, wheel: BuiltWheel, *, log_sha256: str | None) -> Build:
        cancelled = self._queue.builds[wheel.build].state is BuildState.CANCELLED
        if cancelled or await self.is_buried(sdist_sha256=wheel.sdist_sha256, target=wheel.target):
            raise Cancelled("cancelled.purged", "An operator purged it.")
        if (await self.filenames(wheel.project)).get(wheel.filename, wheel.sha256) != wheel.sha256:
            raise Conflict(f"Other bytes were published as {wheel.filename} before.")
        build = self._queue.succeed(wheel.build, wheel=wheel.filename, wheel_sha256=wheel.sha256, log_sha256=log_sha256)
        self._all.append(wheel)
        self._doomed -= set(wheel.digests)
        return build

    async def is_buried(self, *, sdist_sha256: str, target: str) -> bool:
        return bool({(sdist_sha256, None), (sdist_sha256, target)} & self._tombstones)

    async def unbury(self, *, sdist_sha256: str, target: str) -> None:
        self._tombstones -= {(sdist_sha256, None), (sdist_sha256, target)}

    async def purge(
        self,
        wheels: Iterable[BuiltWheel],
        *,
        every_target: bool,
        bury: bool,
        builds: Iterable[int],
        audit: AuditRecord,
        unlisted: Iterable[int] = (),
    ) -> None:
        gone = list(wheels)
        graves: list[BuiltWheel | BuildRequest] = list(gone)
        builds = tuple(builds)
        left = [self._queue.builds[number] for number in {*unlisted, *builds}]
        left = [build for build in left if build.unlisted_sha256 is not None]
        graves += [build.request for build in left]
        for build in left:
            self._queue.store(replace(build, unlisted=None, unlisted_sha256=None))
        for number in unlisted:
            self._queue.expire(number, audit.at)
        for number in builds:
            build = self._queue.builds[number]
            graves.append(build.request)
            if build.state is BuildState.SUCCEEDED:
                gone += [wheel for wheel in self._kept() if wheel.build == number]
            await self._queue.settle(number, Cancelled("cancelled.purged", "An operator purged it."), log_sha256=None)
        for wheel in gone:
            self._purged.add(wheel.build)
            self._queue.expire(wheel.build, audit.at)
        needed = {digest for wheel in self._kept() for digest in wheel.digests}
        needed |= {build.unlisted_sha256 for build in self._queue.builds.values()}
        self._doomed |= {digest for wheel in gone for digest in wheel.digests} - needed
        self._doomed |= {build.unlisted_sha256 for build in left} - needed
        if bury:
            self._tombstones |= {(one.sdist_sha256, None if every_target else one.target) for one in graves}
        self._audit.append(audit)

    async def unlisted(self, project: str | None = None) -> Sequence[Build]:
        found = (build for build in self._queue.builds.values() if build.unlisted is not None)
        return [build for build in found if project in {None, build.request.project}]

    def hold(self) -> asyncio.Lock:
        return self._lock

    async def known_digests(self) -> frozenset[str]:
        logs = {build.log_sha256 for build in self._queue.builds.values() if build.log_sha256}
        logs |= {build.unlisted_sha256 for build in self._queue.builds.values() if build.unlisted_sha256}
        return frozenset(logs | {digest for wheel in self._kept() for digest in wheel.digests})

    async def doomed(self) -> Sequence[str]:
        return sorted(self._doomed)

    async def forget(self, sha256: str) -> None:
        self._doomed.discard(sha256)

    async def drop_provenance(self, sha256: str) -> Sequence[BuiltWheel]:
        dropped = [wheel for wheel in self._all if wheel.provenance_sha256 == sha256]
        self._all = [replace(one, provenance_sha256=None) if one in dropped else one for one in self._all]
        return [wheel for wheel in dropped if wheel.build not in self._purged]

    async def audit(self, limit: int = 100) -> Sequence[AuditRecord]:
        return self._audit[::-1][:limit]

    async def last_audit(self, actions: Collection[str]) -> AuditRecord | None:
        return next((one for one in reversed(self._audit) if one.action in actions), None)

    async def note(self, audit: AuditRecord) -> None:
        self._audit.append(audit)

    def _kept(self) -> list[BuiltWheel]:
        return [wheel for wheel in self._all if wheel.build not in self._purged]
