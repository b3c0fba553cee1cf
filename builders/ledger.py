"""The table of builds, and the only functions that change it: each takes a connection in a transaction of the caller.

So the end of a build can be one transaction with whatever else must be true with it, such as a wheel's record.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text, func, insert, select, update

from buildthrough.builders.chain import chain_below, check_chain, root_of
from buildthrough.builders.database import TABLES, UtcTime
from buildthrough.builders.priority import Priority, rank
from buildthrough.builders.request import TRANSITIONS, Build, BuildRequest, BuildState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

builds = Table(
    "builds",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("key", String(64), nullable=False),
    Column("project", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("sdist", Text, nullable=False),
    Column("sdist_sha256", String(64), nullable=False),
    Column("target", Text, nullable=False),
    Column("recipe", String(64)),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("setbacks", Integer, nullable=False, default=0),  # infrastructure faults, which alone use up the attempts
    Column("created", UtcTime, nullable=False),
    Column("started", UtcTime),
    Column("finished", UtcTime),
    Column("not_before", UtcTime),  # a QUEUED build is not due before, None at once
    Column("fault", Text),
    Column("stage", Text),
    Column("line", Text),
    Column("expires", UtcTime),
    Column("waits_for", Integer, ForeignKey("builds.id")),
    Column("log_sha256", String(64)),
    Column("wheel", Text),
    Column("wheel_sha256", String(64)),
    Column("priority", String(16), nullable=False, server_default=Priority.INTERACTIVE.value),
    Column("rank", UtcTime),  # the lowest is built first; None only in records of older versions, see `ranks.fill`
    Column("time_cut", UtcTime),
    Column("root", Integer),
    Column("chain", Text),  # a JSON list of strings
    Column("findings", Text),
    Column("unlisted", Text),  # a wheel that was built and is for nobody but the operator
    Column("unlisted_sha256", String(64)),
    sqlite_autoincrement=True,  # a build's number is never given again
)

ACTIVE = (BuildState.QUEUED, BuildState.RUNNING)
_is_active = builds.c.state.in_(ACTIVE)
_OURS = ("key", "setbacks", "rank")

Index(
    "one_active_build_per_key",
    builds.c.key,
    unique=True,
    sqlite_where=_is_active,
    postgresql_where=_is_active,
)
Index("builds_by_key", builds.c.key, builds.c.id)
Index("builds_by_state", builds.c.state, builds.c.id)
Index("builds_by_project", builds.c.project, builds.c.id)
Index("builds_by_root", builds.c.root)
Index("builds_by_waits_for", builds.c.waits_for)
# What is due is found at its beginning, however long the queue is: `Schedule.claim` asks in this very order.
Index("builds_by_rank", builds.c.state, builds.c.waits_for, builds.c.not_before, builds.c.rank, builds.c.id)


class IllegalTransition(Exception):
    """A build cannot go from the state that it is in to the one asked for: a fault in this program."""


def read(row: RowMapping) -> Build:
    """Return the record that a row holds."""
    values: dict[str, Any] = {name: value for name, value in row.items() if name not in _OURS}
    request = BuildRequest(**{name: values.pop(name) for name in BuildRequest.__dataclass_fields__})
    state, priority = BuildState(values.pop("state")), Priority(values.pop("priority"))
    chain = tuple(json.loads(values.pop("chain") or "[]"))
    return Build(request=request, state=state, priority=priority, chain=chain, **values)


def find(connection: Connection, build: int) -> Build | None:
    """Return a build by its number."""
    row = connection.execute(select(builds).where(builds.c.id == build)).mappings().one_or_none()
    return None if row is None else read(row)


def known(connection: Connection, build: int) -> Build:
    """Return a build by its number. Raise LookupError where there is none."""
    found = find(connection, build)
    if found is None:
        raise LookupError(f"there is no build {build}")
    return found


def newest(connection: Connection, key: str) -> Build | None:
    """Return the newest build of a request."""
    statement = select(builds).where(builds.c.key == key).order_by(builds.c.id.desc()).limit(1)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else read(row)


def add(
    connection: Connection, request: BuildRequest, priority: Priority, now: datetime, parent: Build | None = None
) -> Build:
    """Record a new build, QUEUED, for a parent's sake if there is one. Raise `PackageFault` where that is too much."""
    values = {name: getattr(request, name) for name in BuildRequest.__dataclass_fields__}
    values |= {"key": request.key, "state": BuildState.QUEUED, "created": now}
    if parent is not None:
        root = root_of(parent)
        started = select(func.count()).select_from(builds).where(builds.c.root == root)
        check_chain(parent, request, connection.execute(started).scalar_one())
        values |= {"root": root, "chain": json.dumps(chain_below(parent))}
    statement = insert(builds).values(priority=priority, rank=rank(priority, now), **values).returning(builds)
    return read(connection.execute(statement).mappings().one())


def move(connection: Connection, build: Build, to: BuildState, **values: Any) -> Build:  # noqa: ANN401 - columns differ
    """Put a build into another state. The one place where `TRANSITIONS` is enforced: raise `IllegalTransition`."""
    if to not in TRANSITIONS[build.state]:
        raise IllegalTransition(f"build {build.id} cannot go from {build.state} to {to}")
    statement = (
        update(builds)
        .where(builds.c.id == build.id, builds.c.state == build.state)
        .values(state=to, **values)
        .returning(builds)
    )
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise IllegalTransition(f"build {build.id} is no longer {build.state}")
    return read(row)


def mark(connection: Connection, build: int, values: Mapping[str, Any]) -> list[Build]:
    """Note of a RUNNING build what is not None. Return it, none where it runs no longer."""
    running = (builds.c.id == build) & (builds.c.state == BuildState.RUNNING)
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        return []
    marked = update(builds).where(running).values(known).returning(builds)
    return [read(row) for row in connection.execute(marked).mappings()]


def requeue(connection: Connection, build: Build, **values: Any) -> Build:  # noqa: ANN401 - columns differ
    """Put a RUNNING build back among those to be done."""
    return move(connection, build, BuildState.QUEUED, started=None, **values)


def succeed(
    connection: Connection, build: Build, *, wheel: str, wheel_sha256: str, log_sha256: str | None, now: datetime
) -> list[Build]:
    """End a build with a wheel. Return all builds that this changed, it first: those that waited for it are due."""
    ended = move(
        connection,
        build,
        BuildState.SUCCEEDED,
        finished=now,
        wheel=wheel,
        wheel_sha256=wheel_sha256,
        log_sha256=log_sha256,
    )
    return [ended, *_release(connection, build.id)]


def fail(
    connection: Connection,
    build: Build,
    *,
    stage: str | None,
    kind: str,
    line: str,
    expires: datetime | None,
    dependents_expire: datetime | None,
    log_sha256: str | None,
    now: datetime,
) -> list[Build]:
    """End a build as FAILED, and with it all that waited for it. Return all builds that this changed, it first."""
    ended = move(
        connection,
        build,
        BuildState.FAILED,
        finished=now,
        stage=stage,
        fault=kind,
        line=line,
        expires=expires,
        log_sha256=log_sha256,
        waits_for=None,
    )
    return [ended, *_fail_dependents(connection, ended, dependents_expire, now)]


def cancel(
    connection: Connection,
    build: Build,
    *,
    kind: str,
    line: str,
    log_sha256: str | None,
    now: datetime,
    release: bool = False,
) -> list[Build]:
    """End a build as CANCELLED. Those that waited for it fail, but nothing is held against them.

    ``release`` lets them be started again instead: they will find something else to build with.
    """
    ended = move(
        connection,
        build,
        BuildState.CANCELLED,
        finished=now,
        fault=kind,
        line=line,
        log_sha256=log_sha256,
        waits_for=None,
    )
    return [ended, *(_release(connection, build.id) if release else _fail_dependents(connection, ended, now, now))]


def _release(connection: Connection, number: int) -> list[Build]:
    """Let those that waited for a build wait no longer."""
    released = (
        update(builds)
        .where(builds.c.waits_for == number, builds.c.state == BuildState.QUEUED)
        .values(waits_for=None)
        .returning(builds)
    )
    return [read(row) for row in connection.execute(released).mappings()]


def expire(connection: Connection, numbers: Iterable[int], now: datetime) -> None:
    """Let ended builds no longer answer for their requests: their wheels are purged."""
    for number in numbers:
        connection.execute(update(builds).where(builds.c.id == number).values(expires=now))


def fail_with_requirement(
    connection: Connection, build: Build, cause: Build, expires: datetime | None, now: datetime
) -> list[Build]:
    """End a build whose build requirement brought no wheel, and what waits for it. Return all, it first."""
    ended = _fail_for(connection, build, cause, expires, now)
    return [ended, *_fail_dependents(connection, ended, expires, now)]


def _fail_dependents(connection: Connection, ended: Build, expires: datetime | None, now: datetime) -> list[Build]:
    """Fail what waits for a build that brought no wheel, and what waits for that in turn."""
    changed: list[Build] = []
    causes = [ended]
    while causes:
        cause = causes.pop()
        waiting = select(builds).where(builds.c.waits_for == cause.id, builds.c.state == BuildState.QUEUED)
        for row in connection.execute(waiting).mappings().all():
            dependent = _fail_for(connection, read(row), cause, expires, now)
            changed.append(dependent)
            causes.append(dependent)
    return changed


def _fail_for(connection: Connection, build: Build, cause: Build, expires: datetime | None, now: datetime) -> Build:
    needed = f"{cause.request.project}=={cause.request.version}"
    return move(
        connection,
        build,
        BuildState.FAILED,
        finished=now,
        stage="requires",
        fault="deps.build-failed",
        line=f"The build requirement {needed} could not be built (build {cause.id}): {cause.line}"[:500],
        expires=expires,
        waits_for=None,
    )
