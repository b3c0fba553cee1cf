"""What every `Decisions` promises, tried on the one over a real database file and on the fake."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from tests.fakes.decisions import FakeDecisions

from buildthrough.builders.database import Database
from buildthrough.proxy.decisions import SqlDecisions
from buildthrough.proxy.errors import StorageFault
from buildthrough.proxy.sql_catalog import SqlCatalog


@asynccontextmanager
async def sql(folder):
    async with Database.open(f"sqlite:///{folder / 'catalog.sqlite'}") as database:
        yield SqlDecisions(database)


@asynccontextmanager
async def fake(_folder):
    yield FakeDecisions()


@pytest.fixture(params=[sql, fake])
async def decisions(request, tmp_path):
    async with request.param(tmp_path) as made:
        yield made


async def test_the_first_decision_holds(decisions):
    assert await decisions.recall("six") is None
    assert await decisions.decide("six", "corp") == "corp"
    assert await decisions.decide("six", "pypi") == "corp"
    assert await decisions.recall("six") == "corp"
    assert await decisions.recall("sixteen") is None


async def test_of_many_at_once_one_holds_for_all(decisions):
    names = [f"upstream-{number}" for number in range(20)]
    assert len(set(await asyncio.gather(*(decisions.decide("six", name) for name in names)))) == 1


async def test_what_is_forgotten_is_decided_anew(decisions):
    assert await decisions.forget("six") is None
    await decisions.decide("six", "corp")
    await decisions.decide("attrs", "corp")
    assert await decisions.forget("six") == "corp"
    assert await decisions.recall("six") is None
    assert await decisions.recall("attrs") == "corp"
    assert await decisions.decide("six", "pypi") == "pypi"


async def test_decisions_are_listed_the_newest_first(decisions):
    for name in ("a", "b", "c"):
        await decisions.decide(name, "corp")
    assert [one.project for one in await decisions.list()] == ["c", "b", "a"]
    assert [one.project for one in await decisions.list(limit=2)] == ["c", "b"]
    assert [(one.project, one.upstream) for one in await decisions.list("b")] == [("b", "corp")]
    assert list(await decisions.list("unknown")) == []


async def test_decisions_outlive_the_process_and_forgetting_is_audited(tmp_path):
    async with sql(tmp_path) as decisions:
        await decisions.decide("six", "corp")
        await decisions.decide("attrs", "corp")
    async with Database.open(f"sqlite:///{tmp_path / 'catalog.sqlite'}") as database:
        decisions = SqlDecisions(database)
        assert await decisions.recall("six") == "corp"
        await decisions.forget("six")
        await decisions.forget("unknown")
        catalog = await SqlCatalog.open(database)
        (record,) = await catalog.audit()
        assert (record.action, json.loads(record.detail)) == ("forget", {"project": "six", "upstream": "corp"})
    async with sql(tmp_path) as decisions:
        assert await decisions.recall("six") is None


async def test_a_full_disk_is_said_and_decides_nothing(tmp_path):
    async with Database.open(f"sqlite:///{tmp_path / 'catalog.sqlite'}") as database:
        decisions = SqlDecisions(database)
        pages = await database.run(lambda one: one.exec_driver_sql("PRAGMA page_count").scalar_one())
        await database.run(lambda one: one.exec_driver_sql(f"PRAGMA max_page_count = {pages}").all())
        with pytest.raises(StorageFault, match="full"):
            await decisions.decide("six" * 20_000, "corp")
        assert list(await decisions.list()) == []
