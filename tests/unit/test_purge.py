"""Purge: what is selected, what goes, what stays, and what is written down."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.fakes.publishing import checked, open_site
from tests.fakes.records import CP311, CP312, a_request

from buildthrough.builders.database import utc_now
from buildthrough.builders.faults import PackageFault
from buildthrough.builders.request import BuildState
from buildthrough.proxy.catalog import AuditRecord
from buildthrough.proxy.entry import Entry, ProjectFiles
from buildthrough.proxy.errors import BadRequest, UpstreamUnavailable
from buildthrough.proxy.publication import publish
from buildthrough.proxy.purge import Selection, purge
from buildthrough.proxy.unlisted import keep_unlisted

PLATFORM = "cp311-cp311-manylinux_2_17_x86_64"


class Operator:
    """Purges on a real data folder; ``pages`` is what upstream says."""

    def __init__(self, site, folder):
        self.site = site
        self.pages = {}
        self.asked = []
        self.ended = []
        self._folder = folder

    async def built(self, request=None, **features):
        request = request or a_request()
        await self.site.queue.submit(request, again=True)
        build = await self.site.queue.claim()
        folder = self._folder / str(build.id)
        features = {"files": {"x.py": f"n = {build.id}\n"}} | features
        wheel = checked(folder, name=request.project, version=request.version, **features)
        return await publish(build, wheel, None, blobs=self.site.blobs, catalog=self.site.catalog)

    async def left(self, request=None, *, name="docopt-0.6.2-py3-none-any.whl", content=b"for nobody"):
        """End a build as one that left a wheel for the operator alone."""
        request = request or a_request()
        await self.site.queue.submit(request, again=True)
        build = await self.site.queue.claim()
        path = self._folder / name
        self._folder.mkdir(exist_ok=True)
        path.write_bytes(content)
        await keep_unlisted(build, path, blobs=self.site.blobs, catalog=self.site.catalog, queue=self.site.queue)
        fault = PackageFault("import", "import.library", "libprivate.so.1 is missing")
        return await self.site.queue.settle(build.id, fault, log_sha256=None)

    async def purge(self, *, dry_run=False, allow_rebuild=False, **selection):
        return await purge(
            Selection(**selection),
            dry_run=dry_run,
            allow_rebuild=allow_rebuild,
            catalog=self.site.catalog,
            queue=self.site.queue,
            blobs=self.site.blobs,
            cancel_running=self.ended.extend,
            pages=self.page,
        )

    async def page(self, project):
        self.asked.append(project)
        page = self.pages.get(project)
        if isinstance(page, Exception):
            raise page
        return page

    async def listed(self):
        return {wheel.filename for wheel in await self.site.catalog.all_wheels()}

    async def buried(self, request):
        return await self.site.catalog.is_buried(sdist_sha256=request.sdist_sha256, target=request.target)


@pytest.fixture
async def operator(tmp_path):
    async with open_site(tmp_path) as site:
        yield Operator(site, tmp_path / "work")


def page(request, *, yanked, sha256=None):
    entry = Entry(
        filename=request.sdist,
        url="https://files.example.org/x",
        path="x",
        hashes={"sha256": sha256 or request.sdist_sha256},
        yanked=yanked,
    )
    return ProjectFiles(project=request.project, entries=(entry,))


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({}, "Say what to purge"),
        ({"version": "1.0"}, "name its project"),
        ({"project": "docopt", "version": "one"}, "is no version"),
        ({"project": "../etc"}, "no valid project name"),
        ({"project": ""}, "no valid project name"),
        ({"file": "docopt-0.6.2.tar.gz"}, "no wheel's file name"),
        ({"file": "../../x.whl"}, "no wheel's file name"),
        ({"yanked": True, "version": "1.0"}, "name its project"),
    ],
)
async def test_a_selection_that_means_nothing_is_refused(operator, selection, words):
    wheel = await operator.built()
    with pytest.raises(BadRequest, match=words):
        await operator.purge(**selection)
    assert await operator.listed() == {wheel.filename}
    assert not await operator.site.catalog.audit()


async def test_a_project_goes_listing_and_bytes_at_once(operator):
    gone = [await operator.built(), await operator.built(a_request(version="0.6.1"))]
    kept = await operator.built(a_request("six"))
    purged = await operator.purge(project="DocOpt")
    assert purged.wheels == tuple(gone)
    assert await operator.listed() == {kept.filename}
    assert await operator.site.digests() == {kept.sha256, kept.metadata_sha256}
    assert list(await operator.site.catalog.doomed()) == []


async def test_versions_are_compared_as_versions(operator):
    gone = await operator.built(a_request(version="1.0"))
    kept = await operator.built(a_request(version="1.0.1"))
    assert (await operator.purge(project="docopt", version="v1.0.0")).wheels == (gone,)
    assert await operator.listed() == {kept.filename}


async def test_a_name_is_normalised(operator):
    gone = await operator.built(a_request("zope-interface"))
    assert (await operator.purge(project="Zope.Interface")).wheels == (gone,)


async def test_a_dry_run_says_the_same_and_changes_nothing(operator):
    wheel = await operator.built()
    waiting = await operator.site.queue.submit(a_request(target=CP312))
    before = await operator.site.digests()
    said = await operator.purge(project="docopt", dry_run=True)
    assert (said.wheels, said.builds) == ((wheel,), (waiting.id,))
    assert await operator.site.digests() == before
    assert await operator.listed() == {wheel.filename}
    assert (await operator.site.queue.get(waiting.id)).state is BuildState.QUEUED
    assert not await operator.site.catalog.audit()
    assert operator.ended == []
    assert await operator.purge(project="docopt") == said


async def test_what_fits_nothing_is_a_fine_answer(operator):
    purged = await operator.purge(project="never-heard-of")
    assert (purged.wheels, purged.builds) == ((), ())
    assert len(await operator.site.catalog.audit()) == 1


async def test_builds_in_scope_end_and_others_do_not(operator):
    for name, target in (("docopt", CP311), ("docopt", CP312), ("six", CP311)):
        await operator.site.queue.submit(a_request(name, target=target))
    runs = await operator.site.queue.claim()
    purged = await operator.purge(project="docopt")
    assert purged.builds == (1, 2)
    assert operator.ended == [1, 2]
    assert not await operator.site.queue.beat(runs.id)
    states = [(await operator.site.queue.get(number)).state for number in (1, 2, 3)]
    assert states == [BuildState.CANCELLED, BuildState.CANCELLED, BuildState.QUEUED]


async def test_a_tombstone_keeps_it_from_coming_back_for_any_target(operator):
    await operator.built()
    await operator.purge(project="docopt")
    assert await operator.buried(a_request())
    assert await operator.buried(a_request(target=CP312))
    assert not await operator.buried(a_request(bytes_="a new sdist"))


async def test_without_a_tombstone_the_next_miss_builds_again(operator):
    wheel = await operator.built()
    await operator.purge(project="docopt", allow_rebuild=True)
    assert not await operator.buried(a_request())
    build = await operator.site.queue.submit(a_request())
    assert (build.id != wheel.build, build.state) == (True, BuildState.QUEUED)


# --- by file


async def test_a_file_of_one_target_is_buried_for_that_target(operator):
    gone = await operator.built(tag=PLATFORM)
    kept = await operator.built(a_request(target=CP312), tag="cp312-cp312-manylinux_2_17_x86_64")
    rebuild = await operator.site.queue.submit(a_request(), again=True)
    other = await operator.site.queue.submit(a_request("six"))
    purged = await operator.purge(file=gone.filename)
    assert (purged.wheels, purged.builds) == ((gone,), (rebuild.id,))
    assert await operator.listed() == {kept.filename}
    assert await operator.buried(a_request())
    assert not await operator.buried(a_request(target=CP312))
    assert (await operator.site.queue.get(other.id)).state is BuildState.QUEUED


@pytest.mark.parametrize("tag", ["py3-none-any", "cp311-abi3-manylinux_2_17_x86_64", "py3-none-manylinux_2_17_x86_64"])
async def test_a_file_that_serves_other_targets_is_buried_for_all(operator, tag):
    gone = await operator.built(tag=tag)
    elsewhere = await operator.site.queue.submit(a_request(target=CP312))
    purged = await operator.purge(file=gone.filename)
    assert (purged.wheels, purged.builds) == ((gone,), (elsewhere.id,))
    assert await operator.buried(a_request(target=CP312))


async def test_bytes_that_two_targets_share_go_with_the_file(operator):
    same = {"files": {"x.py": ""}}
    first = await operator.built(**same)
    second = await operator.built(a_request(target=CP312), **same)
    assert first.sha256 == second.sha256
    purged = await operator.purge(file=first.filename)
    assert purged.wheels == (first, second)
    assert await operator.site.digests() == set()


# --- by yank


async def test_yanked_takes_what_is_yanked_now_and_nothing_else(operator):
    names = ["with-reason", "without", "not-yanked", "gone", "replaced"]
    requests = {name: a_request(name) for name in names}
    wheels = {name: await operator.built(request) for name, request in requests.items()}
    operator.pages = {
        "with-reason": page(requests["with-reason"], yanked="broken"),
        "without": page(requests["without"], yanked=True),
        "not-yanked": page(requests["not-yanked"], yanked=False),
        "gone": None,
        "replaced": page(requests["replaced"], yanked=True, sha256="0" * 64),
    }
    purged = await operator.purge(yanked=True)
    assert {wheel.project for wheel in purged.wheels} == {"with-reason", "without"}
    assert await operator.listed() == {wheels[name].filename for name in ("not-yanked", "gone", "replaced")}
    assert sorted(operator.asked) == sorted(names)
    assert await operator.buried(a_request("without", target=CP312))


async def test_a_project_whose_page_cannot_be_asked_is_reported_not_guessed(operator):
    down, yanked = await operator.built(a_request("down")), await operator.built(a_request("yanked"))
    operator.pages = {
        "down": UpstreamUnavailable("Upstream is down."),
        "yanked": page(a_request("yanked"), yanked=True),
    }
    purged = await operator.purge(yanked=True)
    assert (purged.wheels, purged.not_asked) == ((yanked,), ("down",))
    assert await operator.listed() == {down.filename}


async def test_builds_of_a_yanked_sdist_end(operator):
    build = await operator.site.queue.submit(a_request())
    operator.pages = {"docopt": page(a_request(), yanked=True)}
    assert (await operator.purge(yanked=True)).builds == (build.id,)
    assert (await operator.site.queue.get(build.id)).state is BuildState.CANCELLED


async def test_yanked_can_be_narrowed_to_a_project(operator):
    await operator.built(a_request("a"))
    kept = await operator.built(a_request("b"))
    operator.pages = {name: page(a_request(name), yanked=True) for name in "ab"}
    await operator.purge(yanked=True, project="a")
    assert await operator.listed() == {kept.filename}
    assert operator.asked == ["a"]


async def test_a_fault_of_ours_while_asking_is_not_swallowed(operator):
    wheel = await operator.built()
    operator.pages = {"docopt": ZeroDivisionError()}
    with pytest.raises(ZeroDivisionError):
        await operator.purge(yanked=True)
    assert await operator.listed() == {wheel.filename}


# --- wheels that are listed for nobody


async def test_they_go_at_once_with_bytes_and_record(operator):
    mine, others = await operator.left(), await operator.left(a_request("six"), content=b"another")
    purged = await operator.purge(project="docopt")
    assert [build.id for build in purged.unlisted] == [mine.id]
    assert await operator.site.digests() == {others.unlisted_sha256}
    gone = await operator.site.queue.get(mine.id)
    assert (gone.state, gone.unlisted, gone.unlisted_sha256) == (BuildState.FAILED, None, None)
    assert [build.id for build in await operator.site.catalog.unlisted()] == [others.id]
    [record] = await operator.site.catalog.audit()
    assert json.loads(record.detail)["unlisted"] == [
        {"build": mine.id, "filename": mine.unlisted, "sha256": mine.unlisted_sha256}
    ]
    assert (await operator.purge(project="docopt")).unlisted == ()


async def test_a_dry_run_tells_them_and_removes_nothing(operator):
    build = await operator.left()
    assert [one.id for one in (await operator.purge(project="docopt", dry_run=True)).unlisted] == [build.id]
    assert await operator.site.digests() == {build.unlisted_sha256}
    assert (await operator.site.queue.get(build.id)).unlisted == build.unlisted


@pytest.mark.parametrize(
    ("selection", "goes"),
    [
        ({"project": "docopt", "version": "0.6.2"}, True),
        ({"project": "docopt", "version": "0.6.3"}, False),
        ({"file": "docopt-0.6.2-py3-none-any.whl"}, True),
        ({"file": "docopt-0.6.2-1-py3-none-any.whl"}, False),
        ({"yanked": True}, True),
        ({"project": "six"}, False),
    ],
)
async def test_which_of_them_go(operator, selection, goes):
    build = await operator.left()
    operator.pages = {"docopt": page(a_request(), yanked=True)}
    purged = await operator.purge(**selection)
    assert [one.id for one in purged.unlisted] == [build.id] * goes
    assert await operator.site.digests() == ({build.unlisted_sha256} - ({build.unlisted_sha256} if goes else set()))


@pytest.mark.parametrize("allow_rebuild", [False, True])
async def test_they_come_back_only_if_that_is_allowed(operator, allow_rebuild):
    build = await operator.left()
    await operator.purge(project="docopt", allow_rebuild=allow_rebuild)
    request = a_request()
    catalog = operator.site.catalog
    buried = await catalog.is_buried(sdist_sha256=request.sdist_sha256, target=request.target)
    assert buried is not allow_rebuild
    assert (await operator.site.queue.submit(request)).id != build.id  # the failure is no longer held against it


async def test_bytes_that_are_listed_as_well_stay_with_either(operator):
    """As where a recipe has it published all the same: the same build gives the same bytes."""
    wheel = await operator.built()
    blob = await operator.site.blobs.open(wheel.sha256)
    left = await operator.left(a_request(target=CP312), name=wheel.filename, content=blob.path.read_bytes())
    assert left.unlisted_sha256 == wheel.sha256
    await operator.site.catalog.purge(
        (wheel,), every_target=False, bury=False, builds=(), audit=AuditRecord(at=utc_now(), action="purge", detail="")
    )
    assert wheel.sha256 not in await operator.site.catalog.doomed()
    await operator.purge(project="docopt")
    assert await operator.site.digests() == set()


async def test_one_that_is_kept_while_its_build_is_purged_goes_too(operator, tmp_path):
    """The purge comes between the end of the build and the record of what it left."""
    site = operator.site
    await site.queue.submit(a_request())
    build = await site.queue.claim()
    await operator.purge(project="docopt")
    path = tmp_path / "docopt-0.6.2-py3-none-any.whl"
    path.write_bytes(b"too late")
    await keep_unlisted(build, path, blobs=site.blobs, catalog=site.catalog, queue=site.queue)
    assert await site.digests() == set()
    assert (await site.queue.get(build.id)).unlisted is None


# --- the audit, and races


async def test_the_audit_says_what_was_done(operator):
    wheel = await operator.built()
    await operator.purge(project="docopt", version="0.6.2", allow_rebuild=True)
    [record] = await operator.site.catalog.audit()
    assert record.action == "purge"
    assert json.loads(record.detail) == {
        "project": "docopt",
        "version": "0.6.2",
        "file": None,
        "yanked": False,
        "allow_rebuild": True,
        "wheels": [{"project": "docopt", "filename": wheel.filename, "sha256": wheel.sha256}],
        "builds": [],
        "unlisted": [],
        "not_asked": [],
    }


async def test_two_purges_at_once_do_it_once(operator):
    await operator.built()
    first, second = await asyncio.gather(operator.purge(project="docopt"), operator.purge(project="docopt"))
    assert first.wheels
    assert await operator.site.digests() == set()
    assert len(await operator.site.catalog.audit()) == 2
    assert second.builds == ()
