"""The pool over the real queue, catalog and blob store: what is on the disk when it stops, and when it begins again."""

from __future__ import annotations

import asyncio
from functools import partial

from tests.fakes.publishing import checked, open_site
from tests.fakes.records import a_request
from tests.fakes.waiting import LONG, until

from buildthrough.builders.attendance import Work
from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.faults import NeedsBuild
from buildthrough.builders.pool import Pool
from buildthrough.builders.request import BuildState
from buildthrough.proxy.publication import clean_up, publish, put_bytes
from buildthrough.proxy.purge import Selection, purge


def pool(site, folder, make):
    async def make_wheel(build, sandbox, log):
        await make(build)
        log.note("made")
        return checked(folder / f"build-{build.id}", name=build.request.project, version=build.request.version)

    async def submit_requirement(needed, build):
        return await site.queue.submit(a_request(needed.project, needed.version))

    async def publish_wheel(build, wheel, log_sha256, _log):
        await publish(build, wheel, log_sha256, blobs=site.blobs, catalog=site.catalog)

    async def clean(build):
        pass

    return Pool(
        site.queue,
        ["first", "second"],
        Work(
            new_log=BuildLog,
            make=make_wheel,
            publish=publish_wheel,
            submit_requirement=submit_requirement,
            store_log=partial(put_bytes, site.blobs),
            clean=clean,
        ),
        beat_seconds=0.02,
    )


async def ended(site, number):
    async with asyncio.timeout(LONG):
        while (build := await site.queue.get(number)).state in {BuildState.QUEUED, BuildState.RUNNING}:
            await asyncio.sleep(0.01)
    return build


async def test_a_build_and_its_requirement_end_as_listed_wheels_with_logs(tmp_path):
    asked = []

    async def make(build):
        asked.append(build.request.project)
        if asked.count("app") == 1 and build.request.project == "app":
            raise NeedsBuild("lib", "1.0")

    async with open_site(tmp_path) as site:
        app = await site.queue.submit(a_request("app"))
        async with pool(site, tmp_path, make):
            build = await ended(site, app.id)
        assert build.state is BuildState.SUCCEEDED
        assert asked == ["app", "lib", "app"]
        assert (await site.blobs.open(build.log_sha256)).path.read_bytes().startswith(b"[made]")
        assert await clean_up(site.catalog, site.blobs) == 0  # logs, wheels and metadata are all known
    async with open_site(tmp_path) as site:
        assert [wheel.project for wheel in await site.catalog.all_wheels()] == ["lib", "app"]


async def test_a_stop_gives_the_build_back_and_the_next_start_finishes_it(tmp_path):
    never, started = asyncio.Event(), asyncio.Event()

    async def hang(build):
        started.set()
        await never.wait()

    async def make(build):
        return

    async with open_site(tmp_path) as site:
        before = await site.queue.submit(a_request())
        async with pool(site, tmp_path, hang):
            await started.wait()
        assert await site.queue.get(before.id) == before
    async with open_site(tmp_path) as site:
        assert not await site.queue.recover()
        async with pool(site, tmp_path, make):
            assert (await ended(site, before.id)).attempts == 1


async def test_a_purge_ends_what_runs_and_nothing_comes_back(tmp_path):
    never, started = asyncio.Event(), asyncio.Event()

    async def hang(build):
        started.set()
        await never.wait()

    async with open_site(tmp_path) as site:
        await site.queue.submit(a_request())
        async with pool(site, tmp_path, hang) as workers:
            await started.wait()
            purged = await purge(
                Selection(project="docopt"),
                dry_run=False,
                allow_rebuild=False,
                catalog=site.catalog,
                queue=site.queue,
                blobs=site.blobs,
                cancel_running=workers.cancel,
                pages=None,
            )
            await until(lambda: not workers.running)
        assert purged.builds == (1,)
        assert (await site.queue.get(1)).fault == "cancelled.purged"
        assert await site.catalog.wheels("docopt") == ()
        assert await site.catalog.is_buried(sdist_sha256=a_request().sdist_sha256, target=a_request().target)
