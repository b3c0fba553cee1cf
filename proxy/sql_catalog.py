"""The `Catalog` in an SQL database, its wheels in memory too."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import delete, insert, select

from buildthrough.builders import ledger
from buildthrough.builders.database import DatabaseFault
from buildthrough.builders.faults import Cancelled
from buildthrough.builders.request import BuildState
from buildthrough.proxy import wheel_records
from buildthrough.proxy.catalog import AuditRecord
from buildthrough.proxy.errors import Conflict, StorageFault
from buildthrough.proxy.wheel_records import Grave

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy import Connection

    from buildthrough.builders.database import Database
    from buildthrough.builders.request import Build, BuildRequest
    from buildthrough.proxy.built import BuiltWheel

T = TypeVar("T")


class SqlCatalog:
    """The catalog over SQL. The wheels that are not purged are kept in memory too, some kilobyte each: pages need them.

    This process alone changes them, for it holds the data folder.
    """

    def __init__(
        self, database: Database, wheels: Iterable[BuiltWheel], *, notice: Callable[[Iterable[Build]], None]
    ) -> None:
        """``wheels`` is what the database holds, see `open`. ``notice`` gets the builds that a change has ended."""
        self._database = database
        self._notice = notice
        self._bytes = asyncio.Lock()
        self._wheels: dict[str, tuple[BuiltWheel, ...]] = {}
        for wheel in wheels:
            self._wheels[wheel.project] = (*self._wheels.get(wheel.project, ()), wheel)

    @classmethod
    async def open(
        cls, database: Database, *, notice: Callable[[Iterable[Build]], None] = lambda _builds: None
    ) -> SqlCatalog:
        """Read the wheels. ``notice`` is to be the queue's, so that it learns of the builds that end here."""
        return cls(database, await _storage(database.run(wheel_records.kept)), notice=notice)

    async def wheels(self, project: str) -> tuple[BuiltWheel, ...]:
        """Return the project's built wheels that are not purged, from memory."""
        return self.wheels_at_hand(project)

    def wheels_at_hand(self, project: str) -> tuple[BuiltWheel, ...]:
        """Return the same: it never takes I/O."""
        return self._wheels.get(project, ())

    async def all_wheels(self) -> Sequence[BuiltWheel]:
        """Return all built wheels that are not purged, from memory."""
        return tuple(wheel for wheels in self._wheels.values() for wheel in wheels)

    async def filenames(self, project: str) -> dict[str, str]:
        """Return each file name that a built wheel of the project ever had, with its sha256."""
        return await self._run(lambda connection: wheel_records.filenames(connection, project))

    async def publish(self, wheel: BuiltWheel, *, log_sha256: str | None) -> Build:
        """Record the wheel and that its build SUCCEEDED, see `Catalog.publish`."""
        return await asyncio.shield(self._publish(wheel, log_sha256))

    async def is_buried(self, *, sdist_sha256: str, target: str) -> bool:
        """Whether a tombstone forbids to build this sdist for this target."""
        return await self._run(lambda connection: wheel_records.is_buried(connection, sdist_sha256, target))

    async def unbury(self, *, sdist_sha256: str, target: str) -> None:
        """Remove the tombstones in the way."""
        await self._run(lambda connection: wheel_records.unbury(connection, sdist_sha256, target))

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
        """Take wheels off the record, see `Catalog.purge`."""
        change = _Purge(
            wheels=tuple(wheels),
            builds=tuple(builds),
            unlisted=tuple(unlisted),
            every_target=every_target,
            bury=bury,
            audit=audit,
        )
        await asyncio.shield(self._purge(change))

    async def unlisted(self, project: str | None = None) -> Sequence[Build]:
        """Return the builds that left a wheel for the operator alone, the oldest first."""
        return await self._run(lambda connection: wheel_records.left_for_operators(connection, project))

    def hold(self) -> AbstractAsyncContextManager[None]:
        """Hold the bytes of built wheels, see `Catalog.hold`."""
        return self._bytes

    async def known_digests(self) -> frozenset[str]:
        """Return the digests of all bytes that a record needs."""
        return await self._run(wheel_records.digests)

    async def doomed(self) -> Sequence[str]:
        """Return the digests of bytes that no record needs any more and that are still to be deleted."""
        table = wheel_records.doomed_bytes
        statement = select(table.c.sha256).order_by(table.c.sha256)
        return await self._run(lambda connection: connection.execute(statement).scalars().all())

    async def forget(self, sha256: str) -> None:
        """Note that doomed bytes are deleted."""
        table = wheel_records.doomed_bytes
        await self._run(lambda connection: connection.execute(delete(table).where(table.c.sha256 == sha256)))

    async def drop_provenance(self, sha256: str) -> Sequence[BuiltWheel]:
        """Note that the bytes of a provenance record are lost, see `Catalog.drop_provenance`."""
        return await asyncio.shield(self._drop_provenance(sha256))

    async def audit(self, limit: int = 100) -> Sequence[AuditRecord]:
        """Return what operators did, the newest first."""
        table = wheel_records.audit_records
        statement = select(table.c.at, table.c.action, table.c.detail).order_by(table.c.id.desc()).limit(limit)
        return await self._run(
            lambda connection: [AuditRecord(**row) for row in connection.execute(statement).mappings()]
        )

    async def last_audit(self, actions: Collection[str]) -> AuditRecord | None:
        """Return the last of some actions."""
        table = wheel_records.audit_records
        columns = select(table.c.at, table.c.action, table.c.detail)
        statement = columns.where(table.c.action.in_(actions)).order_by(table.c.id.desc()).limit(1)
        row = await self._run(lambda connection: connection.execute(statement).mappings().one_or_none())
        return None if row is None else AuditRecord(**row)

    async def note(self, audit: AuditRecord) -> None:
        """Write down what an operator does."""
        record = {"at": audit.at, "action": audit.action, "detail": audit.detail}
        statement = insert(wheel_records.audit_records).values(**record)
        await asyncio.shield(self._run(lambda connection: connection.execute(statement)))

    async def _run(self, change: Callable[[Connection], T]) -> T:
        return await _storage(self._database.run(change))

    async def _publish(self, wheel: BuiltWheel, log_sha256: str | None) -> Build:
        changed = await self._run(lambda connection: _record(connection, wheel, log_sha256))
        self._wheels[wheel.project] = (*self._wheels.get(wheel.project, ()), wheel)
        self._notice(changed)
        return changed[0]

    async def _drop_provenance(self, sha256: str) -> Sequence[BuiltWheel]:
        await self._run(lambda connection: wheel_records.drop_provenance(connection, sha256))
        dropped = [wheel for wheel in await self.all_wheels() if wheel.provenance_sha256 == sha256]
        for project in {wheel.project for wheel in dropped}:
            self._wheels[project] = tuple(
                replace(one, provenance_sha256=None) if one.provenance_sha256 == sha256 else one
                for one in self._wheels[project]
            )
        return dropped

    async def _purge(self, change: _Purge) -> None:
        changed, gone = await self._run(change)
        for project, wheels in list(self._wheels.items()):
            left = tuple(wheel for wheel in wheels if wheel.build not in gone)
            if not left:
                del self._wheels[project]
            elif len(left) < len(wheels):
                self._wheels[project] = left
        self._notice(changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Purge:
    """One purge, carried out when called with a connection in a transaction."""

    wheels: tuple[BuiltWheel, ...]
    builds: tuple[int, ...]
    unlisted: tuple[int, ...]
    every_target: bool
    bury: bool
    audit: AuditRecord

    def __call__(self, connection: Connection) -> tuple[list[Build], set[int]]:
        """Return the builds that it changed, and the builds whose wheels are gone."""
        now = self.audit.at
        cancelled, changed, succeeded = wheel_records.cancel_builds(connection, self.builds, now)
        gone = {wheel.build for wheel in self.wheels} | {build.id for build in succeeded}
        wheel_records.take_off(connection, gone, now)
        left = wheel_records.drop_unlisted(connection, {*self.unlisted, *self.builds})
        ledger.expire(connection, self.unlisted, now)
        if self.bury:
            graves = {self._grave(wheel) for wheel in self.wheels}
            graves |= {self._grave(build.request) for build in (*cancelled, *left)}
            wheel_records.bury(connection, graves, now)
        record = {"at": now, "action": self.audit.action, "detail": self.audit.detail}
        connection.execute(insert(wheel_records.audit_records).values(**record))
        return changed, gone

    def _grave(self, of: BuiltWheel | BuildRequest) -> Grave:
        target = None if self.every_target else of.target
        return Grave(project=of.project, version=of.version, sdist_sha256=of.sdist_sha256, target=target)


def _record(connection: Connection, wheel: BuiltWheel, log_sha256: str | None) -> list[Build]:
    """Record a wheel and the end of its build. Return all builds that this changed, it first."""
    build = ledger.known(connection, wheel.build)
    if build.state is BuildState.CANCELLED or wheel_records.is_buried(connection, wheel.sdist_sha256, wheel.target):
        raise Cancelled("cancelled.purged", f"{wheel.filename} was purged while it was being built.")
    before = wheel_records.filenames(connection, wheel.project).get(wheel.filename, wheel.sha256)
    if before != wheel.sha256:
        raise Conflict(f"Other bytes were published as {wheel.filename} before.")
    wheel_records.add(connection, wheel)
    return ledger.succeed(
        connection,
        build,
        wheel=wheel.filename,
        wheel_sha256=wheel.sha256,
        log_sha256=log_sha256,
        now=wheel.created,
    )


async def _storage(answer: Awaitable[T]) -> T:
    """Raise a fault of the database as `StorageFault`, with its sentence."""
    try:
        return await answer
    except DatabaseFault as fault:
        raise StorageFault(fault.sentence) from fault
