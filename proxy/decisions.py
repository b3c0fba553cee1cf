"""The `Decisions` port: which of several upstreams a project comes from, decided once; and the SQL table of it.

It is kept among what must not be lost: forgotten, a project could be taken from whoever offers its name today.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from sqlalchemy import Column, Table, Text, delete, insert, select

from buildthrough.builders.database import TABLES, DatabaseFault, UtcTime, utc_now
from buildthrough.proxy.errors import StorageFault
from buildthrough.proxy.wheel_records import audit_records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from buildthrough.builders.database import Database

T = TypeVar("T")

_table = Table(
    "upstream_decisions",
    TABLES,
    Column("project", Text, primary_key=True),
    Column("upstream", Text, nullable=False),
    Column("decided", UtcTime, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where a project comes from."""

    project: str
    """Its normalised name."""
    upstream: str
    decided: datetime


class Decisions(Protocol):
    """Which upstream each project comes from. All raise `StorageFault`."""

    async def recall(self, project: str) -> str | None:
        """Return the upstream that was decided on, None where none was."""
        ...

    async def decide(self, project: str, upstream: str) -> str:
        """Remember the upstream unless another was decided on before; return the one that holds, once it is durable."""
        ...

    async def forget(self, project: str) -> str | None:
        """Forget a decision and write the audit, in one transaction; return what it was. None and no audit if none."""
        ...

    async def list(self, project: str | None = None, limit: int = 100) -> Sequence[Decision]:
        """Return decisions, the newest first; of one project, if so asked."""
        ...


class SqlDecisions:
    """The decisions in the catalog's database."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    async def recall(self, project: str) -> str | None:
        """Return the upstream that was decided on, see `Decisions.recall`."""
        return await self._run(lambda connection: _recall(connection, project))

    async def decide(self, project: str, upstream: str) -> str:
        """Remember the upstream, see `Decisions.decide`."""
        now = self._clock()

        def change(connection: Connection) -> str:
            before = _recall(connection, project)
            if before is None:
                connection.execute(insert(_table).values(project=project, upstream=upstream, decided=now))
            return before or upstream

        return await self._run(change)

    async def forget(self, project: str) -> str | None:
        """Forget a decision, see `Decisions.forget`."""
        now = self._clock()

        def change(connection: Connection) -> str | None:
            before = _recall(connection, project)
            if before is not None:
                connection.execute(delete(_table).where(_table.c.project == project))
                detail = json.dumps({"project": project, "upstream": before})
                connection.execute(insert(audit_records).values(at=now, action="forget", detail=detail))
            return before

        return await self._run(change)

    async def list(self, project: str | None = None, limit: int = 100) -> Sequence[Decision]:
        """Return decisions, see `Decisions.list`."""
        statement = select(_table).order_by(_table.c.decided.desc(), _table.c.project).limit(limit)
        if project is not None:
            statement = statement.where(_table.c.project == project)
        return await self._run(lambda connection: [Decision(**row) for row in connection.execute(statement).mappings()])

    async def _run(self, change: Callable[[Connection], T]) -> T:
        try:
            return await self._database.run(change)
        except DatabaseFault as fault:
            raise StorageFault(fault.sentence) from fault


def _recall(connection: Connection, project: str) -> str | None:
    return connection.execute(select(_table.c.upstream).where(_table.c.project == project)).scalar_one_or_none()
