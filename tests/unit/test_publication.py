"""Publication: bytes, core metadata and record together or not at all, and no file name twice."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fakes.publishing import KILLED, PROVENANCE, checked, open_site
from tests.fakes.records import CP312, Clock, a_request

from buildthrough.builders.faults import Cancelled, InfrastructureFault
from buildthrough.builders.request import BuildState
from buildthrough.proxy.catalog import AuditRecord
from buildthrough.proxy.errors import StorageFault
from buildthrough.proxy.publication import clean_up, publish, sweep

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def site(tmp_path):
    async with open_site(tmp_path) as site:
        yield site


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


async def publish_one(site, wheel, request=None):
    await site.queue.submit(request or a_request(), again=True)
    return await publish(await site.queue.claim(), wheel, "f" * 64, blobs=site.blobs, catalog=site.catalog)


async def content(site, sha256):
    return (await site.blobs.open(sha256)).path.read_bytes()


async def test_the_bytes_the_core_metadata_and_the_record_are_there(site, work):
    wheel = checked(work)
    record = await publish_one(site, wheel)
    assert await site.catalog.wheels("docopt") == (record,)
    assert await content(site, record.sha256) == wheel.path.read_bytes()
    assert await content(site, record.metadata_sha256) == wheel.metadata
    assert (record.filename, record.size, record.sdist_sha256) == (
        wheel.filename,
        wheel.size,
        a_request().sdist_sha256,
    )
    build = await site.queue.get(record.build)
    assert (build.state, build.wheel, build.log_sha256) == (BuildState.SUCCEEDED, wheel.filename, "f" * 64)


async def test_the_same_bytes_for_another_target_keep_the_name_and_are_stored_once(site, work):
    first = await publish_one(site, checked(work))
    second = await publish_one(site, checked(work), a_request(target=CP312))
    assert (first.filename, first.sha256) == (second.filename, second.sha256)
    assert len(await site.catalog.wheels("docopt")) == 2
    assert await site.digests() == {first.sha256, first.metadata_sha256}


async def test_other_bytes_under_a_known_name_get_the_next_build_tag(site, work):
    first = await publish_one(site, checked(work))
    wheel = checked(work, files={"docopt.py": "other = 1\n"})
    assert wheel.filename == first.filename
    second = await publish_one(site, wheel, a_request(bytes_="another sdist"))
    assert second.filename == "docopt-0.6.2-1-py3-none-any.whl"
    data = await content(site, second.sha256)
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (second.sha256, second.size)
    assert second.sha256 != wheel.sha256
    assert [path.name for path in work.iterdir()] == [wheel.filename]


async def test_a_rebuild_that_gives_the_newest_bytes_again_gets_no_other_name(site, work):
    other = {"docopt.py": "other = 1\n"}
    first = await publish_one(site, checked(work))
    second = await publish_one(site, checked(work, files=other))
    third = await publish_one(site, checked(work, files=other))
    assert (third.filename, third.sha256) == (second.filename, second.sha256)
    again = await publish_one(site, checked(work))
    assert (again.filename, again.sha256) == (first.filename, first.sha256)
    assert [path.name for path in work.iterdir()] == [first.filename]
    assert await site.digests() == {first.sha256, second.sha256, first.metadata_sha256}


async def test_provenance_speaks_of_the_name_that_is_published(site, work):
    await publish_one(site, checked(work))
    await site.queue.submit(a_request(), again=True)
    build, wheel, told = await site.queue.claim(), checked(work, files={"docopt.py": "other = 1\n"}), []

    def provenance(named, finished):
        told.append((named.filename, named.sha256, finished))
        return b"{}"

    record = await publish(
        build, wheel, None, blobs=site.blobs, catalog=site.catalog, provenance=provenance, clock=Clock()
    )
    assert told == [(record.filename, record.sha256, record.created)]
    assert record.filename == "docopt-0.6.2-1-py3-none-any.whl"
    assert await content(site, record.provenance_sha256) == b"{}"


async def test_a_name_stays_taken_after_a_purge(site, work):
    first = await publish_one(site, checked(work))
    audit = AuditRecord(at=Clock().now, action="purge", detail="{}")
    await site.catalog.purge([first], every_target=True, bury=False, builds=(), audit=audit)
    await sweep(site.catalog, site.blobs)
    again = await publish_one(site, checked(work, files={"docopt.py": "other = 1\n"}))
    assert again.filename == "docopt-0.6.2-1-py3-none-any.whl"


async def test_two_publications_at_once_never_share_a_name(site, work):
    one, two = checked(work / "one"), checked(work / "two", files={"docopt.py": "other = 1\n"})
    first, second = await asyncio.gather(publish_one(site, one), publish_one(site, two, a_request(target=CP312)))
    assert {first.filename, second.filename} == {one.filename, "docopt-0.6.2-1-py3-none-any.whl"}


async def test_a_file_that_changed_after_the_check_is_not_published(site, work):
    wheel = checked(work)
    wheel.path.write_bytes(wheel.path.read_bytes()[:-1])
    with pytest.raises(InfrastructureFault, match="changed on the disk"):
        await publish_one(site, wheel)
    assert await site.digests() == set()
    assert await site.catalog.wheels("docopt") == ()


async def test_a_build_that_was_purged_meanwhile_is_not_published(site, work):
    await site.queue.submit(a_request())
    build = await site.queue.claim()
    await site.queue.settle(build.id, Cancelled("cancelled.purged", "x"), log_sha256=None)
    with pytest.raises(Cancelled):
        await publish(build, checked(work), None, blobs=site.blobs, catalog=site.catalog)
    assert await site.catalog.wheels("docopt") == ()
    assert await clean_up(site.catalog, site.blobs) == 2
    assert await site.digests() == set()


async def test_a_store_that_fails_between_wheel_and_core_metadata_lists_nothing(site, work):
    class Full:
        """The store, whose second writer finds the disk full."""

        def __init__(self):
            self.writers = 0

        def writer(self):
            self.writers += 1
            writer = site.blobs.writer()
            if self.writers == 2:
                writer.write = self.refuse
            return writer

        async def refuse(self, data):
            raise StorageFault("The disk is full.")

    await site.queue.submit(a_request())
    with pytest.raises(StorageFault):
        await publish(await site.queue.claim(), checked(work), None, blobs=Full(), catalog=site.catalog)
    assert await site.catalog.wheels("docopt") == ()


async def test_cleaning_up_keeps_what_records_need(site, work):
    record = await publish_one(site, checked(work))
    writer = site.blobs.writer()
    await writer.write(b"an orphan")
    orphan = await writer.commit()
    await writer.close()
    assert await clean_up(site.catalog, site.blobs) == 1
    assert await site.digests() == {record.sha256, record.metadata_sha256}
    assert orphan.sha256 not in await site.digests()


async def test_bytes_that_are_being_published_are_not_swept_away(site, work):
    """A purge and a publication of the same core metadata at the same moment, in every order that the loop gives."""
    first = await publish_one(site, checked(work))
    audit = AuditRecord(at=Clock().now, action="purge", detail="{}")
    for number in range(10):
        request = a_request(bytes_=str(number))
        wheel = checked(work, files={"docopt.py": f"n = {number}\n"})

        async def remove(gone=first):
            await site.catalog.purge([gone], every_target=True, bury=False, builds=(), audit=audit)
            await sweep(site.catalog, site.blobs)

        first, _ = await asyncio.gather(publish_one(site, wheel, request), remove())
        assert {first.sha256, first.metadata_sha256} <= await site.digests()


def die(folder, what, step):
    command = [sys.executable, "-m", "tests.fakes.publishing", str(folder), what, str(step)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode in {0, KILLED}, ended.stderr
    return ended.returncode == KILLED


@pytest.mark.parametrize("step", range(5))
async def test_a_death_before_any_step_of_a_publication(tmp_path, step):
    assert die(tmp_path, "publish", step) is (step < 4)
    async with open_site(tmp_path) as site:
        wheels = await site.catalog.wheels("docopt")
        [build] = await site.queue.list()
        if step < 4:
            assert (wheels, build.state) == ((), BuildState.RUNNING)
            assert await clean_up(site.catalog, site.blobs) == step
            assert await site.digests() == set()
            await site.queue.recover()
            again = checked(tmp_path / "work")
            claimed = await site.queue.claim()
            provenance = lambda *_: PROVENANCE  # noqa: E731 - no more than that
            record = await publish(claimed, again, None, blobs=site.blobs, catalog=site.catalog, provenance=provenance)
            wheels = (record,)
        assert await clean_up(site.catalog, site.blobs) == 0
        assert set(wheels[0].digests) == await site.digests()
        assert wheels[0].provenance_sha256 == hashlib.sha256(PROVENANCE).hexdigest()
        assert (await site.queue.get(build.id)).state is BuildState.SUCCEEDED


@pytest.mark.parametrize("step", range(6))
async def test_a_death_before_any_step_of_a_purge(tmp_path, step):
    async with open_site(tmp_path) as site:
        record = await publish_one(site, checked(tmp_path / "work"))
    assert die(tmp_path, "purge", step) is (step < 5)
    async with open_site(tmp_path) as site:
        if await site.catalog.wheels("docopt"):
            assert step == 0
            assert await clean_up(site.catalog, site.blobs) == 0
            assert {record.sha256, record.metadata_sha256} == await site.digests()
            assert not await site.catalog.audit()
            return
        await clean_up(site.catalog, site.blobs)
        assert await site.digests() == set()
        assert list(await site.catalog.doomed()) == []
        assert await site.catalog.is_buried(sdist_sha256=record.sdist_sha256, target=record.target)
        assert len(await site.catalog.audit()) == 1
