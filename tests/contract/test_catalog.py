"""What every `Catalog` promises, tried on the one over a real database file and on the fake."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.fakes.catalog import FakeCatalog
from tests.fakes.queue import FakeQueue
from tests.fakes.records import CP311, CP312, Clock, a_request, a_wheel, digest
from tests.fakes.waiting import LONG, until

from buildthrough.builders.database import Database
from buildthrough.builders.faults import Cancelled, PackageFault
from buildthrough.builders.request import BuildState
from buildthrough.builders.sql_queue import SqlQueue
from buildthrough.proxy.catalog import AuditRecord
from buildthrough.proxy.errors import Conflict, StorageFault
from buildthrough.proxy.sql_catalog import SqlCatalog


class SqlKind:
    def __init__(self, folder, clock):
        self._url = f"sqlite:///{folder / 'catalog.sqlite'}"
        self._clock = clock

    @asynccontextmanager
    async def open(self):
        async with Database.open(self._url) as self.database:
            queue = SqlQueue(self.database, clock=self._clock)
            yield queue, await SqlCatalog.open(self.database, notice=queue.notice)


class FakeKind:
    def __init__(self, _folder, clock):
        self._queue = FakeQueue(clock=clock)
        self._catalog = FakeCatalog(self._queue)

    @asynccontextmanager
    async def open(self):
        yield self._queue, self._catalog


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=[SqlKind, FakeKind], ids=["sql", "fake"])
def kind(request, tmp_path, clock):
    return request.param(tmp_path, clock)


@pytest.fixture
async def both(kind):
    async with kind.open() as both:
        yield both


@pytest.fixture
def queue(both):
    return both[0]


@pytest.fixture
def catalog(both):
    return both[1]


async def running(queue, request):
    await queue.submit(request)
    return await asyncio.wait_for(queue.claim(), LONG)


async def published(queue, catalog, request=None, **features):
    request = request or a_request()
    wheel = a_wheel(request, (await running(queue, request)).id, **features)
    await catalog.publish(wheel, log_sha256=None)
    return wheel


def note(clock, detail="{}"):
    return AuditRecord(at=clock.now, action="purge", detail=detail)


async def purge(catalog, clock, *wheels, every_target=True, bury=True, builds=()):
    await catalog.purge(wheels, every_target=every_target, bury=bury, builds=builds, audit=note(clock))


async def buried(catalog, request):
    return await catalog.is_buried(sdist_sha256=request.sdist_sha256, target=request.target)


# --- publication


async def test_a_published_wheel_is_there_and_its_build_succeeded(queue, catalog, clock):
    build = await running(queue, a_request())
    wheel = a_wheel(a_request(), build.id)
    ended = await catalog.publish(wheel, log_sha256=digest("log"))
    assert await catalog.wheels("docopt") == (wheel,)
    assert list(await catalog.all_wheels()) == [wheel]
    assert await queue.get(build.id) == ended
    assert (ended.state, ended.wheel, ended.wheel_sha256, ended.log_sha256) == (
        BuildState.SUCCEEDED,
        wheel.filename,
        wheel.sha256,
        digest("log"),
    )


async def test_an_unchanged_project_gives_the_very_same_tuple(queue, catalog, clock):
    await published(queue, catalog)
    before = await catalog.wheels("docopt")
    other = await published(queue, catalog, a_request("six"))
    await purge(catalog, clock, other)
    assert await catalog.wheels("docopt") is before
    second = await published(queue, catalog, a_request(target=CP312), tags="cp312-cp312-manylinux_2_17_x86_64")
    assert (await catalog.wheels("docopt")) == (*before, second)


async def test_a_project_without_wheels_has_none(catalog):
    assert await catalog.wheels("nothing") == ()
    assert await catalog.wheels("nothing") is await catalog.wheels("nothing")
    assert await catalog.filenames("nothing") == {}


async def test_all_is_there_after_a_restart(kind, clock):
    async with kind.open() as (queue, catalog):
        kept = await published(queue, catalog)
        gone = await published(queue, catalog, a_request("six"), content="six")
        await purge(catalog, clock, gone)
    async with kind.open() as (queue, catalog):
        assert await catalog.wheels("docopt") == (kept,)
        assert await catalog.wheels("six") == ()
        assert await catalog.filenames("six") == {gone.filename: gone.sha256}
        assert await buried(catalog, a_request("six"))
        assert list(await catalog.doomed()) == [gone.sha256]
        assert list(await catalog.audit()) == [note(clock)]


async def test_the_success_wakes_what_waits_for_it(queue, catalog, clock):
    app = await running(queue, a_request("app"))
    lib = await queue.submit(a_request("lib"))
    await queue.wait_for(app.id, lib.id)
    assert (await queue.claim()).id == lib.id
    waiting = asyncio.ensure_future(queue.claim())
    await asyncio.sleep(0.01)
    await catalog.publish(a_wheel(a_request("lib"), lib.id), log_sha256=None)
    assert (await asyncio.wait_for(waiting, LONG)).id == app.id


async def test_a_build_that_was_cancelled_publishes_nothing(queue, catalog, clock):
    build = await running(queue, a_request())
    await purge(catalog, clock, bury=False, builds=[build.id])
    with pytest.raises(Cancelled):
        await catalog.publish(a_wheel(a_request(), build.id), log_sha256=None)
    assert await catalog.wheels("docopt") == ()
    assert await catalog.filenames("docopt") == {}


async def test_a_build_that_a_purge_did_not_see_publishes_nothing_either(queue, catalog, clock):
    wheel = await published(queue, catalog)
    late = await running(queue, a_request(target=CP312))
    await purge(catalog, clock, wheel)
    with pytest.raises(Cancelled):
        await catalog.publish(a_wheel(a_request(target=CP312), late.id), log_sha256=None)
    assert await catalog.wheels("docopt") == ()


async def test_a_file_name_is_never_given_to_other_bytes(queue, catalog, clock):
    first = await published(queue, catalog)
    await purge(catalog, clock, first, bury=False)
    build = await running(queue, a_request())
    with pytest.raises(Conflict, match=first.filename):
        await catalog.publish(a_wheel(a_request(), build.id, content="other"), log_sha256=None)
    assert (await queue.get(build.id)).state is BuildState.RUNNING
    await catalog.publish(a_wheel(a_request(), build.id), log_sha256=None)
    assert [wheel.build for wheel in await catalog.wheels("docopt")] == [build.id]


async def test_one_build_publishes_once(queue, catalog):
    wheel = await published(queue, catalog)
    with pytest.raises(Exception):  # noqa: B017 - whichever; the point is that nothing is recorded
        await catalog.publish(replace(wheel, filename="docopt-0.6.2-1-py3-none-any.whl"), log_sha256=None)
    assert await catalog.wheels("docopt") == (wheel,)


# --- purge


async def test_a_purged_wheel_is_gone_its_name_is_known_and_its_bytes_are_doomed(queue, catalog, clock):
    wheel = await published(queue, catalog)
    await purge(catalog, clock, wheel)
    assert await catalog.wheels("docopt") == ()
    assert list(await catalog.all_wheels()) == []
    assert await catalog.filenames("docopt") == {wheel.filename: wheel.sha256}
    assert sorted(await catalog.doomed()) == sorted([wheel.sha256, wheel.metadata_sha256])
    assert await catalog.known_digests() == set()
    for sha256 in await catalog.doomed():
        await catalog.forget(sha256)
    assert list(await catalog.doomed()) == []


async def left(queue, request, sha256):
    """End a build as one that left a wheel for its operator alone."""
    build = await running(queue, request)
    await queue.mark(build.id, unlisted="docopt-0.6.2-py3-none-any.whl", unlisted_sha256=sha256)
    return await queue.settle(build.id, PackageFault("import", "import.error", "no"), log_sha256=None)


async def test_what_builds_left_for_the_operator_goes_too(queue, catalog, clock):
    first = await left(queue, a_request(), "a" * 64)
    second = await left(queue, a_request(target=CP312), "a" * 64)
    other = await left(queue, a_request("six"), "b" * 64)
    assert await catalog.unlisted("docopt") == [first, second]
    assert await catalog.unlisted() == [first, second, other]
    await catalog.purge((), every_target=False, bury=True, builds=(), audit=note(clock), unlisted=[first.id])
    assert list(await catalog.doomed()) == []  # the second needs the bytes
    assert await catalog.known_digests() == {"a" * 64, "b" * 64}
    assert await catalog.is_buried(sdist_sha256=first.request.sdist_sha256, target=first.request.target)
    assert not await catalog.is_buried(sdist_sha256=second.request.sdist_sha256, target=CP312)
    assert (await queue.submit(a_request())).id != first.id
    await catalog.purge((), every_target=False, bury=False, builds=(), audit=note(clock), unlisted=[second.id])
    assert list(await catalog.doomed()) == ["a" * 64]
    assert await catalog.unlisted() == [other]


async def test_what_a_cancelled_build_left_goes_with_it(queue, catalog, clock):
    build = await running(queue, a_request())
    await queue.mark(build.id, unlisted="docopt-0.6.2-py3-none-any.whl", unlisted_sha256="a" * 64)
    await purge(catalog, clock, builds=[build.id])
    assert list(await catalog.doomed()) == ["a" * 64]
    assert await catalog.unlisted() == []


async def test_bytes_that_another_wheel_needs_are_not_doomed(queue, catalog, clock):
    first = await published(queue, catalog)
    second = await published(queue, catalog, a_request(target=CP312))
    third = await published(queue, catalog, a_request("six"), content="six")
    assert first.sha256 == second.sha256
    await purge(catalog, clock, first)
    assert list(await catalog.doomed()) == []
    await purge(catalog, clock, second)
    assert list(await catalog.doomed()) == [first.sha256]
    assert await catalog.known_digests() == {third.sha256, third.metadata_sha256}


async def test_bytes_that_are_published_again_are_no_longer_doomed(queue, catalog, clock):
    await purge(catalog, clock, await published(queue, catalog), bury=False)
    again = await published(queue, catalog)
    assert list(await catalog.doomed()) == []
    assert await catalog.wheels("docopt") == (again,)


async def test_provenance_is_known_doomed_with_its_wheel_and_forgotten_without_it(kind, clock):
    async with kind.open() as (queue, catalog):
        first = await published(queue, catalog, provenance="record")
        second = await published(queue, catalog, a_request("six"), content="six", provenance="record")
        plain = await published(queue, catalog, a_request("plain"), content="plain")
        assert digest("record") in await catalog.known_digests()
        assert await catalog.drop_provenance(digest("metadata")) == []
        await purge(catalog, clock, first)
        assert digest("record") not in await catalog.doomed()
        await purge(catalog, clock, second)
        assert digest("record") in await catalog.doomed()
        third = await published(queue, catalog, a_request("new"), content="new", provenance="record")
        assert digest("record") not in await catalog.doomed()
        assert await catalog.drop_provenance(digest("record")) == [third]
        assert await catalog.wheels("new") == (replace(third, provenance_sha256=None),)
        assert await catalog.wheels("plain") == (plain,)
        assert digest("record") not in await catalog.known_digests()
    async with kind.open() as (_, catalog):
        assert await catalog.wheels("new") == (replace(third, provenance_sha256=None),)


async def test_the_logs_of_builds_are_known_bytes(queue, catalog):
    build = await running(queue, a_request())
    await queue.settle(build.id, PackageFault("build", "compiler", "error"), log_sha256=digest("log"))
    assert await catalog.known_digests() == {digest("log")}


async def test_a_tombstone_for_every_target(queue, catalog, clock):
    wheel = await published(queue, catalog)
    await purge(catalog, clock, wheel)
    await purge(catalog, clock, wheel)  # a second one changes nothing
    assert await buried(catalog, a_request())
    assert await buried(catalog, a_request(target=CP312))
    assert not await buried(catalog, a_request(bytes_="another release of the file"))
    await catalog.unbury(sdist_sha256=a_request().sdist_sha256, target=CP312)
    assert not await buried(catalog, a_request(target=CP312))


async def test_a_tombstone_for_one_target(queue, catalog, clock):
    await purge(catalog, clock, await published(queue, catalog), every_target=False)
    assert await buried(catalog, a_request(target=CP311))
    assert not await buried(catalog, a_request(target=CP312))
    await catalog.unbury(sdist_sha256=a_request().sdist_sha256, target=CP312)
    assert await buried(catalog, a_request(target=CP311))
    await catalog.unbury(sdist_sha256=a_request().sdist_sha256, target=CP311)
    assert not await buried(catalog, a_request(target=CP311))


async def test_a_purge_that_allows_a_rebuild_leaves_no_tombstone_and_the_next_miss_builds(queue, catalog, clock):
    wheel = await published(queue, catalog)
    assert (await queue.submit(a_request())).id == wheel.build
    await purge(catalog, clock, wheel, bury=False)
    assert not await buried(catalog, a_request())
    assert (await queue.submit(a_request())).id != wheel.build


async def test_builds_in_scope_are_cancelled_and_buried(queue, catalog, clock):
    runs = await running(queue, a_request("runs"))
    waits = await queue.submit(a_request("waits"))
    other = await queue.submit(a_request("other"))
    await purge(catalog, clock, builds=[runs.id, waits.id])
    states = [(await queue.get(build.id)).state for build in (runs, waits, other)]
    assert states == [BuildState.CANCELLED, BuildState.CANCELLED, BuildState.QUEUED]
    assert (await queue.get(runs.id)).fault == "cancelled.purged"
    assert not await queue.beat(runs.id)
    assert [await buried(catalog, a_request(name)) for name in ("runs", "waits", "other")] == [True, True, False]


async def test_a_build_in_scope_that_published_meanwhile_loses_its_wheel(queue, catalog, clock):
    wheel = await published(queue, catalog)
    await purge(catalog, clock, builds=[wheel.build])
    assert await catalog.wheels("docopt") == ()
    assert wheel.sha256 in await catalog.doomed()


async def test_the_audit_is_newest_first(catalog, clock):
    for number in range(3):
        clock.forward(1)
        await catalog.purge((), every_target=True, bury=True, builds=(), audit=note(clock, f'{{"n": {number}}}'))
    records = await catalog.audit(2)
    assert [record.detail for record in records] == ['{"n": 2}', '{"n": 1}']
    assert records[0].at == clock.now


async def test_the_bytes_are_held_by_one_at_a_time(catalog):
    async with catalog.hold():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), catalog.hold():
                pass
    async with asyncio.timeout(LONG), catalog.hold():
        pass


# --- only over SQL: what happens when the disk or the process fails


async def test_a_failing_database_records_nothing_at_all(tmp_path, clock):
    kind = SqlKind(tmp_path, clock)
    async with kind.open() as (queue, catalog):
        build = await running(queue, a_request())
        pages = await kind.database.run(lambda one: one.exec_driver_sql("PRAGMA page_count").scalar_one())
        await kind.database.run(lambda one: one.exec_driver_sql(f"PRAGMA max_page_count = {pages}").all())
        wheel = a_wheel(a_request(), build.id, filename="docopt-0.6.2-" + "9" * 20_000 + "-py3-none-any.whl")
        with pytest.raises(StorageFault, match="full"):
            await catalog.publish(wheel, log_sha256=None)
        assert await catalog.wheels("docopt") == ()
        assert (await queue.get(build.id)).state is BuildState.RUNNING
    async with kind.open() as (queue, catalog):
        assert await catalog.wheels("docopt") == ()
        assert (await queue.get(build.id)).state is BuildState.RUNNING


async def test_a_caller_that_leaves_does_not_part_the_record_from_the_memory(tmp_path, clock):
    async with SqlKind(tmp_path, clock).open() as (queue, catalog):
        build = await running(queue, a_request())
        task = asyncio.ensure_future(catalog.publish(a_wheel(a_request(), build.id), log_sha256=None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async def is_recorded():
            return (await queue.get(build.id)).state is not BuildState.RUNNING

        async def is_remembered():
            return [wheel.build for wheel in await catalog.wheels("docopt")] == [build.id]

        await until(is_recorded)
        await until(is_remembered)
