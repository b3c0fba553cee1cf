"""The database: transactions, and faults that tell a reader what is wrong."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable
from tests.fakes.waiting import LONG

import buildthrough.proxy.sql_catalog  # noqa: F401 - declares its tables
from buildthrough.builders import ledger
from buildthrough.builders.database import (
    SCHEMA_VERSION,
    TABLES,
    Database,
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseTooNew,
    DatabaseUnreachable,
    UtcTime,
)

scratch = Table("scratch", MetaData(), Column("id", Integer, primary_key=True), Column("at", UtcTime))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def url(file):
    return f"sqlite:///{file}"


def _numbers(connection):
    return connection.execute(select(scratch.c.id).order_by(scratch.c.id)).scalars().all()


async def test_what_was_committed_is_there_after_reopening(url):
    moment = datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    async with Database.open(url) as database:
        await database.run(scratch.create)
        await database.run(lambda connection: connection.execute(insert(scratch).values(id=1, at=moment)))
    async with Database.open(url) as database:
        assert await database.run(lambda connection: connection.execute(select(scratch.c.at)).scalar_one()) == moment


async def test_an_exception_undoes_the_transaction(url):
    def half(connection):
        connection.execute(insert(scratch).values(id=1))
        raise ZeroDivisionError

    async with Database.open(url) as database:
        await database.run(scratch.create)
        with pytest.raises(ZeroDivisionError):
            await database.run(half)
        assert await database.run(_numbers) == []


async def test_a_cancelled_caller_does_not_undo_the_transaction(url):
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection):
        begun.set()
        go_on.wait(LONG)
        connection.execute(insert(scratch).values(id=1))

    async with Database.open(url) as database:
        await database.run(scratch.create)
        task = asyncio.ensure_future(database.run(slow))
        await asyncio.to_thread(begun.wait, LONG)
        task.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await database.run(_numbers) == [1]


async def test_the_event_loop_goes_on_while_the_database_works(url):
    release = threading.Event()
    async with Database.open(url) as database:
        task = asyncio.ensure_future(database.run(lambda _connection: release.wait(LONG)))
        await asyncio.sleep(0.01)
        release.set()
        assert await task


async def test_commits_survive_the_loss_of_power(url):
    async with Database.open(url) as database:
        pragmas = [
            await database.run(lambda connection, name=name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]


async def test_a_newer_schema_is_refused_and_left_alone(url, file):
    async with Database.open(url) as database:
        await database.run(lambda connection: connection.execute(text("UPDATE schema_version SET version = 99")))
    with pytest.raises(DatabaseTooNew, match=f"schema 99, this version knows {SCHEMA_VERSION}"):
        async with Database.open(url):
            pass
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(99,)]
    connection.close()


async def test_a_file_that_is_no_database_is_named(url, file):
    file.write_bytes(b"these are not the bytes of a database" * 100)
    with pytest.raises(DatabaseDamaged, match="is no SQLite database") as caught:
        async with Database.open(url):
            pass
    assert str(file) in caught.value.sentence


async def test_a_damaged_file_is_found_when_it_is_opened(url, file):
    async with Database.open(url) as database:
        await database.run(scratch.create)
        await database.run(
            lambda connection: connection.execute(insert(scratch), [{"id": one} for one in range(20_000)])
        )
    damaged = bytearray(file.read_bytes())
    for page in range(20, 40):
        damaged[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    file.write_bytes(damaged)
    with pytest.raises(DatabaseDamaged, match="damaged"):
        async with Database.open(url):
            pass


async def test_a_read_only_file_is_refused_when_it_is_opened(url, file):
    async with Database.open(url):
        pass
    with pytest.raises(DatabaseReadOnly, match="cannot be written"):
        async with Database.open(f"sqlite:///file:{file}?mode=ro&uri=true"):
            pass


async def test_a_missing_folder_is_said_so(tmp_path):
    with pytest.raises(DatabaseUnreachable, match="cannot be opened"):
        async with Database.open(f"sqlite:///{tmp_path}/nowhere/catalog.sqlite"):
            pass


async def test_a_url_that_is_none_is_said_so():
    with pytest.raises(DatabaseUnreachable, match="URL"):
        async with Database.open("no such thing"):
            pass


async def test_a_full_disk_is_said_so_and_the_database_goes_on(url):
    def fill(connection):
        connection.execute(insert(scratch), [{"id": one} for one in range(100_000)])

    async with Database.open(url) as database:
        await database.run(scratch.create)
        pages = await database.run(lambda connection: connection.exec_driver_sql("PRAGMA page_count").scalar_one())
        await database.run(lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}").all())
        with pytest.raises(DatabaseFull, match="full"):
            await database.run(fill)
        assert await database.run(_numbers) == []
        await database.run(lambda connection: connection.execute(insert(scratch).values(id=1)))
        assert await database.run(_numbers) == [1]


async def test_a_database_that_another_program_holds_is_said_so(url, file):
    async with Database.open(url) as database:
        await database.run(scratch.create)
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            with pytest.raises(DatabaseBusy, match="another program"):
                await database.run(_numbers)
        finally:
            other.close()
        assert await database.run(_numbers) == []


async def test_a_mistake_of_ours_is_no_database_fault(url):
    async with Database.open(url) as database:
        with pytest.raises(OperationalError):
            await database.run(lambda connection: connection.execute(text("SELECT nonsense")))


async def test_two_active_builds_of_one_key_are_refused_by_the_database_itself(url):
    row = dict.fromkeys(("key", "project", "version", "sdist", "sdist_sha256", "target"), "x")
    row |= {"state": "QUEUED", "created": datetime(2026, 1, 1, tzinfo=UTC)}
    async with Database.open(url) as database:
        await database.run(lambda connection: connection.execute(insert(ledger.builds).values(**row)))
        with pytest.raises(IntegrityError):
            await database.run(
                lambda connection: connection.execute(insert(ledger.builds).values(**row | {"state": "RUNNING"}))
            )
        await database.run(
            lambda connection: connection.execute(insert(ledger.builds).values(**row | {"state": "FAILED"}))
        )


def test_the_tables_are_postgresql_s_as_well():
    dialect = postgresql.dialect()
    for table in TABLES.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
    [unique] = [index for index in ledger.builds.indexes if index.unique]
    assert "WHERE state IN ('QUEUED', 'RUNNING')" in str(CreateIndex(unique).compile(dialect=dialect))


async def test_columns_that_an_older_database_lacks_are_added(url, file):
    async with Database.open(url):
        pass
    older = sqlite3.connect(file)
    older.execute("ALTER TABLE builds DROP COLUMN line")
    older.execute("UPDATE schema_version SET version = 1")
    older.commit()
    older.close()
    async with Database.open(url) as database:
        assert await database.run(lambda connection: connection.execute(select(ledger.builds.c.line)).all()) == []
        found = await database.run(lambda connection: connection.execute(text("SELECT version FROM schema_version")))
        assert found.scalar_one() == SCHEMA_VERSION
