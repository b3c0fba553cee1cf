"""The use case of a build: from a claimed request to a published wheel, between our own index and the builders."""

from __future__ import annotations

import asyncio
import shutil
import zipfile
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from buildthrough.builders.build import build_wheel
from buildthrough.builders.faults import Cancelled, InfrastructureFault, NeedsBuild, PackageFault
from buildthrough.builders.request import BuildRequest
from buildthrough.builders.requirements import ListedFile, resolve
from buildthrough.builders.target import rank
from buildthrough.proxy import logs
from buildthrough.proxy.entry import sdist_identity, wheel_identity
from buildthrough.proxy.errors import NotFound, ProxyError, UnknownProject
from buildthrough.proxy.mirror import file_resource, metadata_resource
from buildthrough.proxy.overlay import overlay
from buildthrough.proxy.publication import publish

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.build_log import BuildLog
    from buildthrough.builders.queue import BuildQueue
    from buildthrough.builders.request import Build
    from buildthrough.builders.sandbox import Limits, Sandbox
    from buildthrough.builders.target import Target
    from buildthrough.builders.workshop import Workshop
    from buildthrough.proxy.blobs import Blob, BlobStore
    from buildthrough.proxy.catalog import Catalog
    from buildthrough.proxy.downloads import Downloads
    from buildthrough.proxy.entry import Entry, ProjectFiles
    from buildthrough.proxy.mirror import Mirror

log = logs.logger("building")

_METADATA_BYTES = 16 << 20


class MirrorIndex:
    """Our own index, as `buildthrough.builders.requirements.Index`: upstream's files and the wheels that we built."""

    def __init__(self, mirror: Mirror, downloads: Downloads, catalog: Catalog, built: BlobStore) -> None:
        self._mirror = mirror
        self._downloads = downloads
        self._catalog = catalog
        self._built = built

    async def files(self, project: str) -> Sequence[ListedFile]:
        """Return what a client of our page sees."""
        try:
            listed = await self._mirror.files(project)
        except UnknownProject:
            return ()
        except ProxyError as fault:
            raise InfrastructureFault("infra.index", fault.sentence) from fault
        if listed.status == "quarantined":
            return ()
        ours = overlay(listed, await self._catalog.wheels(project))
        return (
            *(_listed(entry) for entry in listed.entries),
            *(
                ListedFile(
                    filename=addition.wheel.filename,
                    path=f"built/{addition.wheel.path}",
                    sha256=addition.wheel.sha256,
                    requires_python=addition.wheel.requires_python,
                    yanked=addition.yanked is not False,
                    has_core_metadata=True,
                )
                for addition in ours
            ),
        )

    async def core_metadata(self, project: str, file: ListedFile) -> bytes:
        """Return METADATA from the sidecar where there is one, else from the wheel."""
        if file.has_core_metadata:
            blob = await self._blob(project, file, metadata=True)
            return await asyncio.to_thread(blob.path.read_bytes)
        blob = await self._blob(project, file, metadata=False)
        return await asyncio.to_thread(_metadata_of, blob.path, file.filename)

    async def fetch(self, project: str, file: ListedFile, folder: Path) -> Path:
        """Copy the file into the folder; a copy, because the store's files are not for a builder's eyes."""
        blob = await self._blob(project, file, metadata=False)
        return await asyncio.to_thread(_copy, blob.path, folder / file.filename)

    async def _blob(self, project: str, file: ListedFile, *, metadata: bool) -> Blob:
        try:
            if file.path.startswith("built/"):
                suffix = ".metadata" if metadata else ""
                return (await self._mirror.built_wheel(project, file.sha256 or "", file.filename + suffix))[0]
            current, _ = await self._mirror.current(project)
            entry = next((one for one in current.page.files.entries if one.path == file.path), None)
            if entry is None:
                raise NotFound(f"Upstream no longer lists {file.filename}.")
            return await self._downloads.blob(metadata_resource(entry) if metadata else file_resource(entry))
        except ProxyError as fault:
            raise InfrastructureFault("infra.index", f"{file.filename}: {fault.sentence}") from fault


class Building:
    """What the pool's workers do with a claimed build."""

    def __init__(
        self,
        *,
        mirror: Mirror,
        downloads: Downloads,
        catalog: Catalog,
        built: BlobStore,
        queue: BuildQueue,
        workshop: Workshop,
        limits: Limits,
        max_wheel_bytes: int,
        work: Path,
    ) -> None:
        self._mirror = mirror
        self._downloads = downloads
        self._catalog = catalog
        self._built = built
        self._queue = queue
        self._kit = workshop.kit
        self._targets = {target.slug: target for target in workshop.targets}
        self._limits = limits
        self._max_wheel_bytes = max_wheel_bytes
        self._work = work
        self._index = MirrorIndex(mirror, downloads, catalog, built)

    async def make(self, build: Build, sandbox: Sandbox, build_log: BuildLog) -> CheckedWheel:
        """Build the wheel of a claimed build. Raise the families of `buildthrough.builders.faults`."""
        request = build.request
        kit, target = self._kit, self._targets.get(request.target)
        if kit is None or target is None:
            raise InfrastructureFault(
                "infra.no-target", f"This machine no longer has an interpreter for {request.target}."
            )
        entry = await self._still_wanted(request, target)
        folder = self._folder(build)
        await asyncio.to_thread(_make_afresh, folder)
        sdist = await self._sdist(entry, folder)

        async def wheels_for(requirements: Sequence[str], into: Path) -> None:
            resolved = await resolve(requirements, target=target, index=self._index, folder=into)
            for one in resolved:
                build_log.note(f"build requirement {one.filename} sha256:{one.sha256}")

        wheel = await build_wheel(
            request=request,
            sdist=sdist,
            target=target,
            sandbox=sandbox,
            kit=kit,
            folder=folder,
            resolve=wheels_for,
            limits=self._limits,
            log=build_log,
            max_wheel_bytes=self._max_wheel_bytes,
        )
        await self._still_wanted(request, target)
        return wheel

    async def publish(self, build: Build, wheel: CheckedWheel, log_sha256: str) -> None:
        """Make the wheel visible: bytes, core metadata and record together, or not at all."""
        await publish(build, wheel, log_sha256, blobs=self._built, catalog=self._catalog)

    async def clean(self, build: Build) -> None:
        """Remove what the build left on disk."""
        await asyncio.to_thread(shutil.rmtree, self._folder(build), ignore_errors=True)

    async def submit_requirement(self, needed: NeedsBuild, build: Build) -> Build | None:
        """Ask for the wheel of a build requirement, for the same target. None where there is no sdist of it."""
        try:
            files = await self._mirror.files(canonicalize_name(needed.project))
        except UnknownProject:
            return None
        except ProxyError as fault:
            raise InfrastructureFault("infra.index", fault.sentence) from fault
        entry = find_sdist(files, needed.version)
        if entry is None or entry.sha256 is None:
            return None
        request = BuildRequest(
            project=files.project,
            version=needed.version,
            sdist=entry.filename,
            sdist_sha256=entry.sha256,
            target=build.request.target,
        )
        if await self._catalog.is_buried(sdist_sha256=request.sdist_sha256, target=request.target):
            return None
        return await self._queue.submit(request)

    def _folder(self, build: Build) -> Path:
        return self._work / f"build-{build.id}"

    async def _sdist(self, entry: Entry, folder: Path) -> Path:
        try:
            blob = await self._downloads.blob(file_resource(entry))
        except ProxyError as fault:
            raise InfrastructureFault("infra.upstream", fault.sentence) from fault
        return await asyncio.to_thread(_copy, blob.path, folder / entry.filename)

    async def _still_wanted(self, request: BuildRequest, target: Target) -> Entry:
        """Return the sdist's entry as upstream lists it now. Raise `Cancelled` where there is nothing to build."""
        try:
            files = await self._mirror.files(request.project)
        except UnknownProject as fault:
            raise Cancelled("cancelled.removed", f"Upstream no longer has {request.project}.") from fault
        except ProxyError as fault:
            raise InfrastructureFault("infra.upstream", fault.sentence) from fault
        entry = next(
            (one for one in files.entries if (one.filename, one.sha256) == (request.sdist, request.sdist_sha256)), None
        )
        if entry is None or files.status == "quarantined":
            raise Cancelled("cancelled.removed", f"Upstream no longer lists this {request.sdist}.")
        if entry.yanked is not False:
            raise Cancelled("cancelled.yanked", f"Upstream has yanked {request.sdist}.")
        for other in files.entries:
            identity = wheel_identity(other.filename)
            if identity and identity[1] == request.version and rank(other.filename, target.environment) is not None:
                raise Cancelled("cancelled.superseded", f"Upstream itself has a wheel that fits: {other.filename}.")
        return entry


def find_sdist(files: ProjectFiles, version: str) -> Entry | None:
    """Return the sdist of a normalised version that is built from: ``.tar.gz`` before ``.zip`` (PEP 625)."""
    sdists = [
        entry
        for entry in files.entries
        if sdist_identity(entry.filename) == (files.project, version) and entry.sha256 is not None
    ]
    return min(sdists, key=lambda entry: (entry.yanked is not False, entry.filename.endswith(".zip")), default=None)


def _listed(entry: Entry) -> ListedFile:
    return ListedFile(
        filename=entry.filename,
        path=entry.path,
        sha256=entry.sha256,
        requires_python=entry.requires_python,
        yanked=entry.yanked is not False,
        has_core_metadata=entry.core_metadata is not False,
    )


def _metadata_of(path: Path, filename: str) -> bytes:
    """Read METADATA from a wheel that upstream lists, for an index without sidecars (PEP 427)."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                one
                for one in archive.infolist()
                if one.filename.count("/") == 1 and one.filename.endswith(".dist-info/METADATA")
            ]
            if len(members) == 1:
                with archive.open(members[0]) as file:
                    return file.read(_METADATA_BYTES)
    except (zipfile.BadZipFile, OSError, NotImplementedError, EOFError) as error:
        raise PackageFault("requires", "deps.broken-wheel", f"{filename} is no readable wheel: {error}") from error
    raise PackageFault("requires", "deps.broken-wheel", f"{filename} has no METADATA file.")


def _make_afresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o755, parents=True)


def _copy(source: Path, destination: Path) -> Path:
    shutil.copyfile(source, destination)
    destination.chmod(0o644)
    return destination
