"""Our own index, asked in-process for build requirements: upstream's files and the wheels that we built."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

from buildthrough.builders.faults import InfrastructureFault, PackageFault
from buildthrough.builders.listed_wheel import LARGEST, metadata_of
from buildthrough.builders.requirements import ListedFile
from buildthrough.proxy.errors import Denied, ProxyError, UnknownProject
from buildthrough.proxy.link import decoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from buildthrough.proxy.blobs import Blob
    from buildthrough.proxy.built_wheels import BuiltWheels
    from buildthrough.proxy.downloads import Downloads
    from buildthrough.proxy.entry import Entry
    from buildthrough.proxy.mirror import Mirror


class OwnIndex:
    """Our own index, as `buildthrough.builders.requirements.Index`: upstream's files and the wheels that we built."""

    def __init__(
        self,
        *,
        mirror: Mirror,
        built_wheels: BuiltWheels,
        downloads: Downloads,
        private: frozenset[str] = frozenset(),
        asking: str | None = None,
    ) -> None:
        """Offer what all upstreams have, to builds of sdists of the upstream ``asking``; None asks for itself.

        What is of a ``private`` upstream is not given to a build of another upstream's sdist, which could pack it into
        a wheel that others may have.
        """
        self._mirror = mirror
        self._built_wheels = built_wheels
        self._downloads = downloads
        self._private = private
        self._asking = asking

    def asked_by(self, upstream: str) -> OwnIndex:
        """Return this index as a build of an sdist of this upstream may see it."""
        return OwnIndex(
            mirror=self._mirror,
            built_wheels=self._built_wheels,
            downloads=self._downloads,
            private=self._private,
            asking=upstream,
        )

    async def files(self, project: str, *, dated: bool = False) -> Sequence[ListedFile]:
        """Return what a client of our page sees. A built wheel counts as uploaded with its sdist."""
        try:
            listed, ours = await self._mirror.listed(project)
            times = await self._mirror.upload_times(project) if dated else {}
        except UnknownProject:
            return ()
        except Denied as fault:
            raise PackageFault("requires", "deps.denied", fault.sentence) from fault
        except ProxyError as fault:
            raise InfrastructureFault("infra.index", fault.sentence) from fault
        if listed.status == "quarantined":
            return ()
        if self._asking is not None and listed.upstream in self._private - {self._asking}:
            line = f"{project} comes from {listed.upstream}, which wants credentials; this sdist comes from elsewhere"
            raise PackageFault("requires", "deps.denied", line)
        return (
            *(_listed(entry, times) for entry in listed.entries),
            *(
                ListedFile(
                    filename=addition.wheel.filename,
                    path=f"built/{addition.wheel.path}",
                    sha256=addition.wheel.sha256,
                    requires_python=addition.wheel.requires_python,
                    yanked=addition.yanked is not False,
                    has_core_metadata=True,
                    uploaded=times.get(addition.wheel.sdist),
                )
                for addition in ours
            ),
        )

    async def core_metadata(self, project: str, file: ListedFile) -> bytes:
        """Return METADATA from the sidecar where there is one, else from the wheel."""
        if file.has_core_metadata:
            blob = await self._blob(project, file, metadata=True)
            return await asyncio.to_thread(_sidecar, blob, file.filename)
        blob = await self._blob(project, file, metadata=False)
        return await asyncio.to_thread(_metadata_of, blob.path, file.filename)

    async def fetch(self, project: str, file: ListedFile, folder: Path) -> Path:
        """Copy the file into the folder; a copy, because the store's files are not for a builder's eyes."""
        blob = await self._blob(project, file, metadata=False)
        return await copy_for_builds(blob, folder / file.filename)

    async def _blob(self, project: str, file: ListedFile, *, metadata: bool) -> Blob:
        try:
            if file.path.startswith("built/"):
                suffix = ".metadata" if metadata else ""
                return (await self._built_wheels.get(project, file.sha256 or "", file.filename + suffix))[0]
            path = decoded(file.path) + (".metadata" if metadata else "")
            return await self._downloads.blob(await self._mirror.resource(project, path))
        except ProxyError as fault:
            raise InfrastructureFault("infra.index", f"{file.filename}: {fault.sentence}") from fault


def _listed(entry: Entry, times: Mapping[str, datetime]) -> ListedFile:
    return ListedFile(
        filename=entry.filename,
        path=entry.path,
        sha256=entry.sha256,
        requires_python=entry.requires_python,
        yanked=entry.yanked is not False,
        has_core_metadata=entry.core_metadata is not False,
        uploaded=times.get(entry.filename),
    )


def _sidecar(blob: Blob, filename: str) -> bytes:
    if blob.size > LARGEST:
        raise PackageFault("requires", "deps.broken-wheel", f"{filename} has core metadata of {blob.size} bytes")
    return blob.path.read_bytes()


def _metadata_of(path: Path, filename: str) -> bytes:
    """Read METADATA from a wheel that upstream lists, for an index without sidecars (PEP 427)."""
    try:
        return metadata_of(path)
    except (ValueError, OSError) as error:
        raise PackageFault("requires", "deps.broken-wheel", f"{filename} is no readable wheel: {error}") from error


async def copy_for_builds(blob: Blob, destination: Path) -> Path:
    """Copy a file so that the user that builds can read it."""
    with blob.reading():
        return await asyncio.to_thread(_copy, blob.path, destination)


def _copy(source: Path, destination: Path) -> Path:
    shutil.copyfile(source, destination)
    destination.chmod(0o644)
    return destination
