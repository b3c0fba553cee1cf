"""The use cases of operators: look at builds, ask for one, purge, see what can be built for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from buildthrough.builders.faults import Cancelled
from buildthrough.builders.request import BuildRequest
from buildthrough.builders.schedule import QueueFull
from buildthrough.proxy import logs, names
from buildthrough.proxy.entry import sdist_identity
from buildthrough.proxy.errors import BadRequest, Conflict, NotFound, UnknownProject
from buildthrough.proxy.purge import purge
from buildthrough.proxy.sdists import find_sdist, wanted_sdist
from buildthrough.proxy.unlisted import find_unlisted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from buildthrough.builders.queue import BuildQueue
    from buildthrough.builders.request import Build, BuildState
    from buildthrough.builders.target import Target
    from buildthrough.builders.workplace import Workplace
    from buildthrough.proxy.blobs import Blob, BlobStore
    from buildthrough.proxy.built_wheels import BuiltWheels
    from buildthrough.proxy.catalog import Catalog
    from buildthrough.proxy.decisions import Decision, Decisions
    from buildthrough.proxy.entry import ProjectFiles
    from buildthrough.proxy.mirror import Mirror
    from buildthrough.proxy.purge import Purged, Selection
    from buildthrough.proxy.signing import VerifyingKey
    from buildthrough.proxy.space import Space
    from buildthrough.proxy.upstreams import Member

log = logs.logger("operations")


class Operations:
    """What an operator can ask of a running server."""

    def __init__(
        self,
        *,
        mirror: Mirror,
        built_wheels: BuiltWheels,
        catalog: Catalog,
        queue: BuildQueue,
        built: BlobStore,
        logs_store: BlobStore,
        workplace: Workplace,
        cancel_running: Callable[[Iterable[int]], object],
        upstreams: Sequence[Member],
        decisions: Decisions,
        forgotten: Callable[[str], Awaitable[None]],
        space: Space,
        heal: Callable[[str, str], Awaitable[bool]],
        identify: Callable[[BuildRequest], BuildRequest],
        key: VerifyingKey | None = None,
    ) -> None:
        """``forgotten`` drops what is kept of a project whose upstream is to be decided anew.

        ``heal`` looks at something in the data folder by its kind and name, see `Healing.heal`. ``identify`` gives a
        request the recipe that applies to it.
        """
        self.space = space
        self._heal = heal
        self._identify = identify
        self._key = key
        self._mirror = mirror
        self._built_wheels = built_wheels
        self._catalog = catalog
        self._queue = queue
        self._built = built
        self._logs = logs_store
        self._workplace = workplace
        self._cancel_running = cancel_running
        self._upstreams = tuple(upstreams)
        self._decisions = decisions
        self._forgotten = forgotten

    async def builds(self, *, project: str | None, state: BuildState | None, limit: int) -> Sequence[Build]:
        """Return builds, the newest first."""
        normalized = None if project is None else _normalize(project)
        return await self._queue.list(project=normalized, state=state, limit=limit)

    async def counts(self) -> Mapping[BuildState, int]:
        """Return how many builds are in each state."""
        return await self._queue.counts()

    async def build(self, number: int) -> Build:
        """Return one build. Raise `NotFound`."""
        build = await self._queue.get(number)
        if build is None:
            raise NotFound(f"There is no build {number}.")
        return build

    async def build_log(self, number: int) -> bytes:
        """Return what a build printed. Raise `NotFound` where there is no build, or no log yet."""
        build = await self.build(number)
        if build.log_sha256 is None:
            raise NotFound(f"Build {number} is {build.state} and has no log yet.")
        blob = await self._logs.open(build.log_sha256)
        if blob is None:
            raise NotFound(f"The log of build {number} is no longer kept.")
        return await asyncio.to_thread(blob.path.read_bytes)

    async def unlisted(self, number: int) -> tuple[Build, Blob]:
        """Return a build and the wheel that it left for its operator alone. Raise `NotFound`."""
        build = await self.build(number)
        return build, await find_unlisted(build, blobs=self._built)

    async def provenance(self, sha256: str) -> bytes:
        """Return the record of how the wheel with this digest was built. Raise `NotFound`."""
        blob = await self._built_wheels.provenance(sha256)
        return await asyncio.to_thread(blob.path.read_bytes)

    def public_key(self) -> VerifyingKey:
        """Return what the records' signatures can be checked with. Raise `NotFound`."""
        if self._key is None:
            raise NotFound("This server does not sign its records: build.signing_key is not set.")
        return self._key

    async def request_build(self, name: str, version: str, target: str | None, *, again: bool = False) -> Build:
        """Ask for a build whatever failed or was purged before; ``again`` also where the wheel is built already.

        What is built then stays where it is: other bytes get a file name of their own.

        Raise `BadRequest`, `NotFound`, `Denied` or `Conflict`.
        """
        project = _normalize(name)
        try:
            asked = Version(version)
        except InvalidVersion as error:
            raise BadRequest(f"{version[:60]!r} is no version (PEP 440).") from error
        isolation = self._workplace.workshop.isolation
        if self._workplace.is_unknown and self._workplace.away is not None:
            raise Conflict(f"Nothing can be built until the builder is back: {self._workplace.away.why}.")
        if not isolation.can_build:
            raise Conflict(f"Builds are off: {' '.join(isolation.sentences)}")
        chosen = self._target(target)
        files, screened = await self._mirror.screened(project)
        wanted = _spelling(files, asked)
        entry = find_sdist(files, wanted)
        if entry is None or entry.sha256 is None:
            raise NotFound(f"Upstream lists no sdist of {project} {wanted} that has a sha256.")
        screened.check(entry.filename)
        request = BuildRequest(
            project=project, version=wanted, sdist=entry.filename, sdist_sha256=entry.sha256, target=chosen.slug
        )
        try:
            wanted_sdist(screened.shown(files), request, chosen.environment)
        except Cancelled as reason:
            raise Conflict(f"There is nothing to build: {reason.line}") from reason
        for wheel in await self._catalog.wheels(project):
            if not again and (wheel.sdist_sha256, wheel.target) == (request.sdist_sha256, request.target):
                raise Conflict(f"{wheel.filename} is built already; ask with again to have it built once more.")
        await self._catalog.unbury(sdist_sha256=request.sdist_sha256, target=request.target)
        try:
            build = await self._queue.submit(self._identify(request), again=True)
        except QueueFull as error:
            raise Conflict("The queue of builds is full; ask again later.") from error
        log.info("build asked for by an operator", build=build.id, project=project, version=wanted, target=chosen.slug)
        return build

    async def repair(self, kind: str, name: str) -> bool:
        """Look at something in the data folder, and drop it where it is damaged; return whether it was."""
        return await self._heal(kind, name)

    async def purge(self, selection: Selection, *, dry_run: bool, allow_rebuild: bool) -> Purged:
        """Remove built wheels, or say what would go."""
        return await purge(
            selection,
            dry_run=dry_run,
            allow_rebuild=allow_rebuild,
            catalog=self._catalog,
            queue=self._queue,
            blobs=self._built,
            cancel_running=self._cancel_running,
            pages=self._page,
        )

    async def upstreams(self, project: str | None, limit: int) -> tuple[Sequence[Member], Sequence[Decision]]:
        """Return the upstreams in their order, and decisions, the newest first; of one project, if so asked."""
        normalized = None if project is None else _normalize(project)
        return self._upstreams, await self._decisions.list(normalized, limit)

    async def forget(self, name: str) -> tuple[str, str]:
        """Let it be decided anew where a project comes from; return it and where it came from. Raise `NotFound`."""
        project = _normalize(name)
        before = await self._decisions.forget(project)
        if before is None:
            raise NotFound(f"Nothing was decided about {project}: see `buildthrough upstreams` and the settings.")
        await self._forgotten(project)
        log.info("a project's upstream is decided anew, an operator says", project=project, upstream=before)
        return project, before

    def workplace(self) -> Workplace:
        """Return where things are built: what is isolated, what is built for, and whether the builder is there."""
        return self._workplace

    async def _page(self, project: str) -> ProjectFiles | None:
        try:
            return await self._mirror.ask(project)
        except UnknownProject:
            return None

    def _target(self, slug: str | None) -> Target:
        targets = self._workplace.workshop.targets
        if not targets:
            raise Conflict("This machine has no target to build for; `buildthrough doctor` says why.")
        if slug is None:
            return targets[0]
        for target in targets:
            if target.slug == slug:
                return target
        raise BadRequest(f"There is no target {slug[:80]!r} here; there are {', '.join(one.slug for one in targets)}.")


def _spelling(files: ProjectFiles, version: Version) -> str:
    """Return a version as the sdists listed spell it: ``1.0`` where ``1.0.0`` is asked for (PEP 440)."""
    for entry in files.entries:
        identity = sdist_identity(entry.filename)
        if identity is not None and identity[0] == files.project and Version(identity[1]) == version:
            return identity[1]
    return str(version)


def _normalize(name: str) -> str:
    if not names.is_valid(name):
        raise BadRequest("This is no valid project name: letters, digits, and . - _ between them.")
    return names.normalize(name)
