"""From a miss to a build request: a known client downloads an sdist of a version for which no listed wheel fits.

`judge` decides, and is pure; `Misses` looks up what it has to know and submits the request.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from buildthrough.builders.database import DatabaseFault
from buildthrough.builders.request import BuildRequest, BuildState
from buildthrough.builders.schedule import QueueFull
from buildthrough.builders.target import serves
from buildthrough.proxy import logs
from buildthrough.proxy.client import read_user_agent
from buildthrough.proxy.entry import sdist_identity
from buildthrough.proxy.errors import ProxyError
from buildthrough.proxy.overlay import admits, fitting, overlay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from buildthrough.builders.queue import BuildQueue
    from buildthrough.builders.request import Build
    from buildthrough.builders.target import Environment, Target
    from buildthrough.builders.workplace import Workplace
    from buildthrough.proxy.built import BuiltWheel
    from buildthrough.proxy.catalog import Catalog
    from buildthrough.proxy.entry import Entry, ProjectFiles

    Download = tuple[str, Callable[[], Awaitable[ProjectFiles]], str | None]
    """The name of the file, what is listed beside it when that is asked for, and the User-Agent."""

log = logs.logger("misses")

_MAX_UNDER_WAY = 1000
"""Downloads that are being looked at; more are let pass, for the next one of the same sdist counts as well."""
_MOST_PUT_BY = 1000
"""Downloads that are looked at again once a builder answers that has not answered before."""


class Verdict(StrEnum):
    """What follows from the download of a file, named as the metric names it."""

    NOT_SDIST = "not-sdist"
    UNKNOWN_CLIENT = "unknown-client"
    UNLISTED = "unlisted"
    NO_DIGEST = "no-digest"
    YANKED = "yanked"
    WRONG_PYTHON = "wrong-python"
    WHEEL_FITS = "wheel-fits"
    NO_TARGET = "no-target"
    BUILDS_OFF = "builds-off"
    BUILDER_AWAY = "builder-away"
    BUILT = "built"
    BURIED = "buried"
    FAILED_BEFORE = "failed-before"
    UNDER_WAY = "under-way"
    QUEUE_FULL = "queue-full"
    OVERLOADED = "overloaded"
    SUBMITTED = "submitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A file that a client downloads, and what is listed beside it."""

    entry: Entry | None
    """None where it is not listed any more."""
    files: ProjectFiles
    wheels: tuple[BuiltWheel, ...]
    client: Environment | None


def judge(sighting: Sighting, targets: Sequence[Target]) -> Verdict | BuildRequest:  # noqa: PLR0911 - a list of checks
    """Decide whether a download is a miss that can be built for; if so, say what to build."""
    entry, client = sighting.entry, sighting.client
    if entry is None:
        return Verdict.UNLISTED
    identity = sdist_identity(entry.filename)
    if identity is None or identity[0] != sighting.files.project:
        return Verdict.NOT_SDIST
    if client is None:
        return Verdict.UNKNOWN_CLIENT
    if entry.sha256 is None:
        return Verdict.NO_DIGEST
    if entry.yanked is not False:
        return Verdict.YANKED
    if not admits(entry.requires_python, client.python):
        return Verdict.WRONG_PYTHON
    if fitting(sighting.files, overlay(sighting.files, sighting.wheels), identity[1], client):
        return Verdict.WHEEL_FITS
    target = _target_for(client, targets)
    if target is None:
        return Verdict.NO_TARGET
    return BuildRequest(
        project=identity[0], version=identity[1], sdist=entry.filename, sdist_sha256=entry.sha256, target=target.slug
    )


def _target_for(client: Environment, targets: Sequence[Target]) -> Target | None:
    """Return the target that is the client's very environment, else one that can be hoped to serve it."""
    able = [target for target in targets if serves(target.environment, client)]
    return next((target for target in able if target.environment == client), able[0] if able else None)


class Misses:
    """Sees downloads of sdists and asks for the wheels that are missing."""

    def __init__(
        self,
        queue: BuildQueue,
        catalog: Catalog,
        workplace: Workplace,
        *,
        observe: Callable[[Verdict], None],
        identify: Callable[[BuildRequest], BuildRequest] = lambda request: request,
    ) -> None:
        """``identify`` gives a request the recipe that applies to it."""
        self._queue = queue
        self._catalog = catalog
        self._workplace = workplace
        self._observe = observe
        self._identify = identify
        self._tasks: set[asyncio.Task[None]] = set()
        self._put_by: dict[tuple[str, Environment | None], Download] = {}
        self._closed = False
        workplace.follow(self._look_again)

    def see(self, entry: Entry, files: Callable[[], Awaitable[ProjectFiles]], user_agent: str | None) -> None:
        """Look at a download in the background: no client waits for it, or fails with it."""
        if not entry.is_sdist:
            self._observe(Verdict.NOT_SDIST)
            return
        if len(self._tasks) >= _MAX_UNDER_WAY:
            self._observe(Verdict.OVERLOADED)
            return
        self._start(self._note_safely((entry.filename, files, user_agent)))

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what is under way."""
        self._closed = True
        await asyncio.gather(*self._tasks)

    async def _note_safely(self, download: Download) -> None:
        filename, files, user_agent = download
        try:
            verdict = await self.note(filename, await files(), user_agent)
        except (ProxyError, DatabaseFault) as fault:
            log.warning("a miss could not be looked at", filename=filename, fault=fault.sentence)
            return
        except Exception:
            # The boundary of a background task: the client has its sdist, and the next miss asks again.
            log.exception("a miss could not be looked at", filename=filename)
            return
        if verdict is Verdict.BUILDER_AWAY and len(self._put_by) < _MOST_PUT_BY:
            self._put_by[filename, read_user_agent(user_agent)] = download

    async def note(self, filename: str, files: ProjectFiles, user_agent: str | None) -> Verdict:
        """Look at a download and submit a build request where it is a miss, by what is listed now."""
        wheels = await self._catalog.wheels(files.project)
        entry = next((one for one in files.entries if one.filename == filename), None)
        sighting = Sighting(entry=entry, files=files, wheels=wheels, client=read_user_agent(user_agent))
        judged = judge(sighting, self._workplace.workshop.targets)
        if judged is Verdict.NO_TARGET and self._workplace.is_unknown:
            judged = Verdict.BUILDER_AWAY
        verdict = judged if isinstance(judged, Verdict) else await self._submit(self._identify(judged), wheels)
        self._observe(verdict)
        return verdict

    def _look_again(self) -> None:
        """Look at what was put by, now that it is known what can be built."""
        if self._put_by and self._workplace.away is None:
            put_by, self._put_by = self._put_by, {}
            self._start(self._look_at_all(tuple(put_by.values())))

    async def _look_at_all(self, downloads: Sequence[Download]) -> None:
        for download in downloads:
            if self._closed:
                return
            await self._note_safely(download)

    async def _submit(self, request: BuildRequest, wheels: Sequence[BuiltWheel]) -> Verdict:
        if not self._workplace.workshop.sandboxes:
            return Verdict.BUILDS_OFF
        if any((wheel.sdist_sha256, wheel.target) == (request.sdist_sha256, request.target) for wheel in wheels):
            return Verdict.BUILT  # but too new for this client: building it again gives the same
        if await self._catalog.is_buried(sdist_sha256=request.sdist_sha256, target=request.target):
            return Verdict.BURIED
        before = await self._queue.last(request.key)
        try:
            build = await self._queue.submit(request, again=before is not None and before.state is BuildState.SUCCEEDED)
        except QueueFull:
            log.warning("a build was asked for but the queue is full", project=request.project, version=request.version)
            return Verdict.QUEUE_FULL
        return _outcome(before, build)


def _outcome(before: Build | None, build: Build) -> Verdict:
    if before is None or build.id != before.id:
        log.info(
            "build queued",
            build=build.id,
            project=build.request.project,
            version=build.request.version,
            target=build.request.target,
        )
        return Verdict.SUBMITTED
    return Verdict.FAILED_BEFORE if build.state is BuildState.FAILED else Verdict.UNDER_WAY
