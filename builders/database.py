"""The SQL database: one engine, one thread of its own, one transaction a call, and faults that say what to do.

Tables are declared where they are used, on `TABLES`. Nothing here or there is SQLite's alone, except the pragmas that
are set when a connection is opened.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, create_engine, event, inspect, select
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy import Connection, Dialect, Engine

T = TypeVar("T")

SCHEMA_VERSION = 2
"""Raised with every release that changes a table. Columns that an older database lacks are added by `_prepare`."""
TABLES = MetaData()

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_schema = Table("schema_version", TABLES, Column("version", Integer, primary_key=True, autoincrement=False))


class DatabaseFault(Exception):
    """The database did not do what was asked. The argument is a plain sentence: what happened, and what to do."""

    @property
    def sentence(self) -> str:
        """One plain sentence for the reader."""
        return str(self.args[0])


class DatabaseUnreachable(DatabaseFault):
    """It cannot be opened: a wrong address, no such folder, no permission."""


class DatabaseReadOnly(DatabaseFault):
    """It can be read but not written."""


class DatabaseDamaged(DatabaseFault):
    """It is no database, or no longer a sound one."""


class DatabaseTooNew(DatabaseFault):
    """A later version of this program wrote it."""


class DatabaseFull(DatabaseFault):
    """There is no room to write."""


class DatabaseBusy(DatabaseFault):
    """Another program holds it."""


_FAULTS: dict[int, tuple[type[DatabaseFault], str]] = {
    sqlite3.SQLITE_CANTOPEN: (DatabaseUnreachable, "cannot be opened: see that its folder exists and may be written"),
    sqlite3.SQLITE_PERM: (DatabaseUnreachable, "may not be opened by this user"),
    sqlite3.SQLITE_READONLY: (DatabaseReadOnly, "cannot be written: see the permissions of the file and its folder"),
    sqlite3.SQLITE_CORRUPT: (DatabaseDamaged, "is damaged: restore it from a backup, or move it away to begin anew"),
    sqlite3.SQLITE_NOTADB: (DatabaseDamaged, "is no SQLite database: move the file away, or name another"),
    sqlite3.SQLITE_FULL: (DatabaseFull, "cannot grow: the disk is full"),
    sqlite3.SQLITE_IOERR: (DatabaseFull, "cannot be read or written: see that the disk has room and works"),
    sqlite3.SQLITE_BUSY: (DatabaseBusy, "is held by another program"),
    sqlite3.SQLITE_LOCKED: (DatabaseBusy, "is held by another program"),
}


class UtcTime(TypeDecorator[datetime]):
    """A moment, stored as whole microseconds since 1970 in UTC: it sorts and compares alike in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's
        """Turn an aware datetime into microseconds."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, ANN401 - SQLAlchemy's
        """Turn microseconds into an aware datetime."""
        return None if value is None else _EPOCH + value * _MICROSECOND


class Database:
    """An open database. Transactions are carried out one after the other, in one thread, never in the event loop."""

    def __init__(self, engine: Engine, thread: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._thread = thread

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Database]:
        """Open the database at an SQLAlchemy URL, make or check its tables, close it at the end.

        Raise a `DatabaseFault`: `DatabaseTooNew`, `DatabaseDamaged`, `DatabaseReadOnly`, `DatabaseUnreachable`, ….
        """
        try:
            engine = create_engine(url, pool_size=1, max_overflow=0)
        except ArgumentError as error:
            raise DatabaseUnreachable(f"The database's URL cannot be used: {error}.") from error
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_immediate)
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        database = cls(engine, thread)
        try:
            await database.run(_prepare)
            yield database
        finally:
            await asyncio.get_running_loop().run_in_executor(thread, engine.dispose)
            thread.shutdown()

    async def run(self, change: Callable[[Connection], T]) -> T:
        """Call the function with a connection in one transaction; what it raises undoes the transaction.

        A cancelled caller does not undo it: it is carried to its end. Raise a `DatabaseFault` where the database fails.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, change)

    def _transact(self, change: Callable[[Connection], T]) -> T:
        try:
            with self._engine.begin() as connection:
                return change(connection)
        except DBAPIError as error:
            fault = _fault(error.orig, self._engine)
            if fault is None:
                raise
            raise fault from error


def utc_now() -> datetime:
    """Return the time, aware, UTC."""
    return datetime.now(UTC)


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_immediate`, not guessed by the driver
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL, not NORMAL: in WAL mode NORMAL may lose the last commits with the power, and the URL of a wheel that was
    # published before may stand in a lock file by then. Commits are few: some per build.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # a transaction that reads, then writes, must not fail in between


def _prepare(connection: Connection) -> None:
    """Check the database, make missing tables, note the schema's version."""
    if connection.dialect.name == "sqlite":
        finding = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if finding != "ok":
            raise DatabaseDamaged(
                f"The database {connection.engine.url.database} is damaged ({_line(finding)}): "
                "restore it from a backup, or move it away to begin anew."
            )
    found = None
    if inspect(connection).has_table(_schema.name):
        found = connection.execute(select(_schema.c.version)).scalar_one_or_none()
    if found is not None and found > SCHEMA_VERSION:
        raise DatabaseTooNew(
            f"The database {connection.engine.url.database} was written by a later version of buildthrough "
            f"(schema {found}, this version knows {SCHEMA_VERSION}): install that version, or name another data folder."
        )
    TABLES.create_all(connection)
    _add_columns(connection)
    for table in TABLES.sorted_tables:
        for index in table.indexes:  # those that came after the table was made
            index.create(connection, checkfirst=True)
    # Written even where it says so already: a database that cannot be written is to be found out now.
    note = _schema.insert() if found is None else _schema.update()
    connection.execute(note.values(version=SCHEMA_VERSION))


def _add_columns(connection: Connection) -> None:
    """Add the columns that came after the database was made. They may be empty, or have a default of the server's."""
    there = inspect(connection)
    for table in TABLES.sorted_tables:
        known = {column["name"] for column in there.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                declaration = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {declaration}")


def _line(finding: str) -> str:
    """Return SQLite's finding without the headline that may stand above it."""
    return finding.strip().splitlines()[-1] if finding.strip() else "nobody knows how"


def _fault(error: BaseException | None, engine: Engine) -> DatabaseFault | None:
    """Name what went wrong by the driver's code; None for a mistake of ours, such as wrong SQL."""
    code = getattr(error, "sqlite_errorcode", None)
    found = None if code is None else _FAULTS.get(code & 0xFF)  # the low byte is the primary code, the rest details
    if found is None:
        return None
    kind, words = found
    return kind(f"The database {engine.url.database} {words}.")
