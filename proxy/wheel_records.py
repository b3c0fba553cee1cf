"""The tables of built wheels, tombstones and the audit, and what reads and changes them within a transaction."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, delete, insert, or_, select
from sqlalchemy import update as sql_update

from buildthrough.builders import ledger
from buildthrough.builders.database import TABLES, UtcTime
from buildthrough.builders.ledger import builds
from buildthrough.builders.request import BuildState
from buildthrough.proxy.built import BuiltWheel

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from buildthrough.builders.request import Build

built_wheels = Table(
    "built_wheels",
    TABLES,
    Column("build", Integer, ForeignKey("builds.id"), primary_key=True, autoincrement=False),
    Column("project", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("metadata_sha256", String(64), nullable=False),
    Column("requires_python", Text),
    Column("sdist", Text, nullable=False),
    Column("sdist_sha256", String(64), nullable=False),
    Column("target", Text, nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("provenance_sha256", String(64)),
    Column("purged", UtcTime),  # rows stay: a file name is never given to other bytes
)
Index("built_wheels_by_project", built_wheels.c.project)
Index("built_wheels_by_sha256", built_wheels.c.sha256)
Index("built_wheels_by_metadata_sha256", built_wheels.c.metadata_sha256)

tombstones = Table(
    "tombstones",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("project", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("sdist_sha256", String(64), nullable=False, index=True),
    Column("target", Text),  # None is every target
    Column("created", UtcTime, nullable=False),
)

doomed_bytes = Table("doomed_bytes", TABLES, Column("sha256", String(64), primary_key=True))

audit_records = Table(
    "audit",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False),
    sqlite_autoincrement=True,
)

_UNLISTED = 100
"""So many of the newest wheels that are listed for nobody are kept."""
_NAMES = tuple(field.name for field in fields(BuiltWheel))
_DIGESTS = (built_wheels.c.sha256, built_wheels.c.metadata_sha256, built_wheels.c.provenance_sha256)
_is_kept = built_wheels.c.purged.is_(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grave:
    """What a tombstone forbids to build."""

    project: str
    version: str
    sdist_sha256: str
    target: str | None
    """None is every target."""


def kept(connection: Connection) -> list[BuiltWheel]:
    """Return all built wheels that are not purged, in the order of their publication."""
    columns = [built_wheels.c[name] for name in _NAMES]
    statement = select(*columns).where(_is_kept).order_by(built_wheels.c.created, built_wheels.c.build)
    return [BuiltWheel(**row) for row in connection.execute(statement).mappings()]


def filenames(connection: Connection, project: str) -> dict[str, str]:
    """Return each file name that the project's wheels ever had, with its sha256."""
    statement = select(built_wheels.c.filename, built_wheels.c.sha256).where(built_wheels.c.project == project)
    return {row.filename: row.sha256 for row in connection.execute(statement)}


def add(connection: Connection, wheel: BuiltWheel) -> None:
    """Record a wheel. What was doomed of its bytes is needed again: they were stored anew before."""
    connection.execute(insert(built_wheels).values(**asdict(wheel)))
    connection.execute(delete(doomed_bytes).where(doomed_bytes.c.sha256.in_(wheel.digests)))


def is_buried(connection: Connection, sdist_sha256: str, target: str) -> bool:
    """Whether a tombstone forbids to build this sdist for this target."""
    return (
        connection.execute(select(tombstones.c.id).where(_in_the_way(sdist_sha256, target)).limit(1)).first()
        is not None
    )


def unbury(connection: Connection, sdist_sha256: str, target: str) -> None:
    """Remove the tombstones that forbid it."""
    connection.execute(delete(tombstones).where(_in_the_way(sdist_sha256, target)))


def bury(connection: Connection, graves: Iterable[Grave], now: datetime) -> None:
    """Leave tombstones, where there is none yet."""
    for grave in graves:
        same = (tombstones.c.sdist_sha256 == grave.sdist_sha256) & tombstones.c.target.is_not_distinct_from(
            grave.target
        )
        if connection.execute(select(tombstones.c.id).where(same).limit(1)).first() is None:
            connection.execute(insert(tombstones).values(created=now, **asdict(grave)))


def take_off(connection: Connection, numbers: Iterable[int], now: datetime) -> None:
    """Mark the wheels of these builds as purged, and doom the bytes that no other wheel needs."""
    digests: set[str] = set()
    for number in numbers:
        statement = (
            sql_update(built_wheels)
            .where(built_wheels.c.build == number, _is_kept)
            .values(purged=now)
            .returning(*_DIGESTS)
        )
        for row in connection.execute(statement):
            digests.update(digest for digest in row if digest is not None)
    ledger.expire(connection, numbers, now)
    _doom(connection, digests)


def left_for_operators(connection: Connection, project: str | None) -> list[Build]:
    """Return the builds that left a wheel that is listed for nobody, of a project or all, the oldest first."""
    statement = select(builds).where(builds.c.unlisted.is_not(None)).order_by(builds.c.id)
    if project is not None:
        statement = statement.where(builds.c.project == project)
    return [ledger.read(row) for row in connection.execute(statement).mappings()]


def drop_unlisted(connection: Connection, numbers: Iterable[int]) -> list[Build]:
    """Forget the unlisted wheels of these builds, and doom the bytes that no record needs. Return who had one."""
    left = []
    for number in numbers:
        build = ledger.known(connection, number)
        if build.unlisted_sha256 is not None:
            left.append(build)
            gone = sql_update(builds).where(builds.c.id == number).values(unlisted=None, unlisted_sha256=None)
            connection.execute(gone)
    _doom(connection, {build.unlisted_sha256 for build in left if build.unlisted_sha256 is not None})
    return left


def drop_provenance(connection: Connection, sha256: str) -> None:
    """Forget which record wheels have whose bytes are lost."""
    connection.execute(
        sql_update(built_wheels).where(built_wheels.c.provenance_sha256 == sha256).values(provenance_sha256=None)
    )


def _doom(connection: Connection, digests: Iterable[str]) -> None:
    """Doom those bytes that no wheel needs any more, be it listed or not."""
    for digest in sorted(digests):
        needs = or_(*(column == digest for column in _DIGESTS))
        needed = (
            connection.execute(select(built_wheels.c.build).where(_is_kept, needs).limit(1)).first()
            or connection.execute(select(builds.c.id).where(builds.c.unlisted_sha256 == digest).limit(1)).first()
        )
        noted = connection.execute(select(doomed_bytes).where(doomed_bytes.c.sha256 == digest)).first()
        if needed is None and noted is None:
            connection.execute(insert(doomed_bytes).values(sha256=digest))


def cancel_builds(
    connection: Connection, numbers: Iterable[int], now: datetime
) -> tuple[list[Build], list[Build], list[Build]]:
    """Cancel builds. Return them as they were, all builds that this changed, and those that succeeded meanwhile."""
    before: list[Build] = []
    changed: list[Build] = []
    succeeded: list[Build] = []
    for number in numbers:
        build = ledger.known(connection, number)  # read one by one: the end of one may have ended the next
        before.append(build)
        if build.state in ledger.ACTIVE:
            changed.extend(
                ledger.cancel(
                    connection,
                    build,
                    kind="cancelled.purged",
                    line="An operator purged it.",
                    log_sha256=build.log_sha256,
                    now=now,
                )
            )
        elif build.state is BuildState.SUCCEEDED:
            succeeded.append(build)
    return before, changed, succeeded


def digests(connection: Connection) -> frozenset[str]:
    """Return the sha256 of all bytes that a record needs: wheels, core metadata, provenance, logs."""
    wheels = kept(connection)
    has_unlisted = builds.c.unlisted_sha256.is_not(None)
    newest = select(builds.c.unlisted_sha256).where(has_unlisted).order_by(builds.c.id.desc()).limit(_UNLISTED)
    unlisted = connection.execute(newest)
    logs = connection.execute(select(builds.c.log_sha256).where(builds.c.log_sha256.is_not(None))).scalars()
    return frozenset(
        (
            *(digest for wheel in wheels for digest in wheel.digests),
            *(log for log in logs if log is not None),
            *unlisted.scalars(),
        )
    )


def _in_the_way(sdist_sha256: str, target: str) -> ColumnElement[bool]:
    return (tombstones.c.sdist_sha256 == sdist_sha256) & or_(
        tombstones.c.target.is_(None), tombstones.c.target == target
    )
