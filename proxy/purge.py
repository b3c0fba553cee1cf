"""Purge: an operator removes built wheels, and says whether they may be built again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from buildthrough.builders.database import utc_now
from buildthrough.builders.target import wheel_tags
from buildthrough.proxy import names
from buildthrough.proxy.catalog import AuditRecord
from buildthrough.proxy.entry import wheel_identity
from buildthrough.proxy.errors import BadRequest, UpstreamFault
from buildthrough.proxy.publication import sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime

    from buildthrough.builders.queue import BuildQueue
    from buildthrough.builders.request import Build, BuildRequest
    from buildthrough.proxy.blobs import BlobStore
    from buildthrough.proxy.built import BuiltWheel
    from buildthrough.proxy.catalog import Catalog
    from buildthrough.proxy.entry import ProjectFiles

    Pages = Callable[[str], Awaitable[ProjectFiles | None]]

_ASKED_AT_ONCE = 8
_SHARED_ABIS = frozenset({"none", "abi3"})
"""A wheel of these ABIs serves interpreters other than its target's, and would come back by way of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which built wheels an operator means: those that fit all that is given."""

    project: str | None = None
    version: str | None = None
    """Only together with a project."""
    file: str | None = None
    """File name of a wheel."""
    yanked: bool = False
    """Those whose very sdist is yanked upstream now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What went, or what would go."""

    wheels: tuple[BuiltWheel, ...]
    builds: tuple[int, ...]
    """Builds under way that were cancelled."""
    unlisted: tuple[Build, ...] = ()
    """Builds that left a wheel for the operator alone, which went."""
    not_asked: tuple[str, ...] = ()
    """Projects whose page upstream did not give, so that nothing is known of their yanks: nothing of them went."""


async def purge(
    selection: Selection,
    *,
    dry_run: bool,
    allow_rebuild: bool,
    catalog: Catalog,
    queue: BuildQueue,
    blobs: BlobStore,
    cancel_running: Callable[[Iterable[int]], object],
    pages: Pages,
    clock: Callable[[], datetime] = utc_now,
) -> Purged:
    """Remove built wheels, listed or not: record and bytes at once. Builds under way in the same scope are cancelled.

    Unless ``allow_rebuild``, tombstones keep them from being built again. ``pages`` gives a project's page as it is
    now, None for one that upstream does not know. Raise `BadRequest` for a selection that means nothing, or everything.
    """
    selection = _checked(selection)
    wheels = [wheel for wheel in await catalog.all_wheels() if _means(selection, wheel, wheel.filename)]
    unlisted = [build for build in await catalog.unlisted(_project(selection)) if _means_unlisted(selection, build)]
    purged_requests = {_request(wheel) for wheel in wheels} | {_request(build.request) for build in unlisted}
    builds = _scope(selection, purged_requests, await queue.active(project=_project(selection)))
    not_asked: tuple[str, ...] = ()
    if selection.yanked:
        projects = {wheel.project for wheel in wheels} | {build.request.project for build in (*builds, *unlisted)}
        yanked, not_asked = await _yanked(projects, pages)
        wheels = [wheel for wheel in wheels if (wheel.sdist, wheel.sdist_sha256) in yanked]
        builds = [build for build in builds if (build.request.sdist, build.request.sdist_sha256) in yanked]
        unlisted = [build for build in unlisted if (build.request.sdist, build.request.sdist_sha256) in yanked]
    purged = Purged(
        wheels=tuple(wheels),
        builds=tuple(build.id for build in builds),
        unlisted=tuple(unlisted),
        not_asked=not_asked,
    )
    if dry_run:
        return purged
    await catalog.purge(
        purged.wheels,
        every_target=selection.file is None or _is_shared(selection.file),
        bury=not allow_rebuild,
        builds=purged.builds,
        unlisted=tuple(build.id for build in unlisted),
        audit=_audit(selection, purged, clock(), allow_rebuild=allow_rebuild),
    )
    cancel_running(purged.builds)
    await sweep(catalog, blobs)
    return purged


def _checked(selection: Selection) -> Selection:
    """Return the selection with its names normalised."""
    project, version, file = selection.project, selection.version, selection.file
    if project is None and version is None and file is None and not selection.yanked:
        raise BadRequest("Say what to purge: a project, a version of it, a file, or everything that is yanked.")
    if version is not None and project is None:
        raise BadRequest("A version alone means nothing: name its project too.")
    if project is not None and not names.is_valid(project):
        raise BadRequest(f"{project[:80]!r} is no valid project name.")
    if file is not None and wheel_identity(file) is None:
        raise BadRequest(f"{file[:120]!r} is no wheel's file name.")
    try:
        version = None if version is None else str(Version(version))
    except InvalidVersion as error:
        raise BadRequest(f"{version!r:.80} is no version (PEP 440).") from error
    return Selection(
        project=None if project is None else canonicalize_name(project),
        version=version,
        file=file,
        yanked=selection.yanked,
    )


def _project(selection: Selection) -> str | None:
    """Return the project that a selection is of, so that not each build of a long queue is looked at."""
    if selection.project is not None or selection.file is None:
        return selection.project
    identity = wheel_identity(selection.file)
    return None if identity is None else identity[0]


def _means(selection: Selection, of: BuiltWheel | BuildRequest, filename: str | None = None) -> bool:
    if selection.project not in (None, of.project) or selection.file not in (None, filename):
        return False
    return selection.version is None or Version(selection.version) == Version(of.version)


def _means_unlisted(selection: Selection, build: Build) -> bool:
    return _means(selection, build.request, build.unlisted)


def _request(of: BuiltWheel | BuildRequest) -> tuple[str, str]:
    return of.sdist_sha256, of.target


def _scope(selection: Selection, purged: set[tuple[str, str]], active: Iterable[Build]) -> list[Build]:
    """Return the builds under way that would bring back what is purged (sdist, target), or bring more of it."""
    if selection.file is None:
        return [build for build in active if _means(selection, build.request)]
    if _is_shared(selection.file):
        sdists = {sdist for sdist, _ in purged}
        return [build for build in active if build.request.sdist_sha256 in sdists]
    return [build for build in active if _request(build.request) in purged]


def _is_shared(filename: str) -> bool:
    return any(tag.abi in _SHARED_ABIS for tag in wheel_tags(filename))


async def _yanked(projects: Iterable[str], pages: Pages) -> tuple[set[tuple[str, str | None]], tuple[str, ...]]:
    """Ask upstream now. Return the yanked sdists (file name, sha256), and the projects that it did not give."""
    slots = asyncio.Semaphore(_ASKED_AT_ONCE)
    yanked: set[tuple[str, str | None]] = set()
    not_asked: list[str] = []

    async def ask(project: str) -> None:
        async with slots:
            try:
                page = await pages(project)
            except UpstreamFault:
                not_asked.append(project)
                return
        if page is not None:
            yanked.update((entry.filename, entry.sha256) for entry in page.entries if entry.yanked is not False)

    try:
        async with asyncio.TaskGroup() as group:
            for project in projects:
                group.create_task(ask(project))
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from faults
    return yanked, tuple(sorted(not_asked))


def _audit(selection: Selection, purged: Purged, at: datetime, *, allow_rebuild: bool) -> AuditRecord:
    detail = {
        "project": selection.project,
        "version": selection.version,
        "file": selection.file,
        "yanked": selection.yanked,
        "allow_rebuild": allow_rebuild,
        "wheels": [{"project": one.project, "filename": one.filename, "sha256": one.sha256} for one in purged.wheels],
        "builds": list(purged.builds),
        "unlisted": [
            {"build": one.id, "filename": one.unlisted, "sha256": one.unlisted_sha256} for one in purged.unlisted
        ],
        "not_asked": list(purged.not_asked),
    }
    return AuditRecord(at=at, action="purge", detail=json.dumps(detail))
