"""The order in which queued builds are taken, in the table of builds. Each takes a connection in a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from buildthrough.builders import ledger
from buildthrough.builders.ledger import builds
from buildthrough.builders.priority import Priority, more_urgent
from buildthrough.builders.request import BuildState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from buildthrough.builders.request import Build

LOOK_AHEAD = 32
"""Builds that are looked at for one that fits into what is free; those behind them wait until one of them has gone."""


def of(connection: Connection, number: int) -> datetime:
    """Return the rank of a build."""
    found: datetime = connection.execute(select(builds.c.rank).where(builds.c.id == number)).scalar_one()
    return found


def fill(connection: Connection) -> None:
    """Rank what an older version queued."""
    unranked = builds.c.rank.is_(None) & builds.c.state.in_(ledger.ACTIVE)
    connection.execute(update(builds).where(unranked).values(rank=builds.c.created))


def hurry(connection: Connection, number: int, priority: Priority, rank: datetime) -> None:
    """Make a build at least as urgent as this, and what it waits for in turn. Their states stay as they are."""
    following: int | None = number
    while following is not None:  # to an end: `Schedule.wait_for` lets no builds wait for each other
        columns = select(builds.c.priority, builds.c.rank, builds.c.waits_for)
        row = connection.execute(columns.where(builds.c.id == following)).one()
        urgent, soon = more_urgent(Priority(row.priority), priority), min(row.rank, rank)
        if (urgent, soon) == (row.priority, row.rank):
            break  # what it waits for was made as urgent as it is when it began to wait
        connection.execute(update(builds).where(builds.c.id == following).values(priority=urgent, rank=soon))
        following = row.waits_for


def due(connection: Connection, now: datetime) -> list[Build]:
    """Return the builds that may be started now, the most urgent first, at most `LOOK_AHEAD`.

    The time of a build that was put off is taken off its record first, so that all that are due stand in one row of the
    index: it takes as long with ten thousand of them as with ten.
    """
    over = builds.c.not_before.is_not(None) & (builds.c.not_before <= now)
    connection.execute(update(builds).where(_free(), over).values(not_before=None))
    statement = (
        select(builds)
        .where(_free(), builds.c.not_before.is_(None))
        .order_by(builds.c.rank, builds.c.id)
        .limit(LOOK_AHEAD)
        .with_for_update(skip_locked=True)
    )
    return [ledger.read(row) for row in connection.execute(statement).mappings()]


def next_due(connection: Connection) -> datetime | None:
    """Return when the next build comes due that was put off."""
    found: datetime | None = connection.execute(select(func.min(builds.c.not_before)).where(_free())).scalar_one()
    return found


def positions(connection: Connection, numbers: Iterable[int]) -> dict[int, int]:
    """Return the places of builds among those that are due, from 1; the others have none."""
    row = func.row_number().over(order_by=(builds.c.rank, builds.c.id)).label("place")
    queue = select(builds.c.id, row).where(_free(), builds.c.not_before.is_(None)).subquery()
    found = connection.execute(select(queue.c.id, queue.c.place).where(queue.c.id.in_(list(numbers))))
    return {row.id: row.place for row in found}


def _free() -> ColumnElement[bool]:
    return (builds.c.state == BuildState.QUEUED) & builds.c.waits_for.is_(None)
