"""Publication of a built wheel: bytes, core metadata, provenance and record, together or not at all.

Bytes come first and the record last, so whatever happens in between leaves bytes that nobody can see; `clean_up`
deletes them when the server starts.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.builders.build_tag import next_build_tag, with_build_tag
from buildthrough.builders.database import utc_now
from buildthrough.builders.faults import InfrastructureFault
from buildthrough.proxy.built import BuiltWheel
from buildthrough.proxy.errors import StorageFault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.request import Build
    from buildthrough.proxy.blobs import BlobStore
    from buildthrough.proxy.catalog import Catalog

_CHUNK_BYTES = 1 << 20


async def publish(
    build: Build,
    wheel: CheckedWheel,
    log_sha256: str | None,
    *,
    blobs: BlobStore,
    catalog: Catalog,
    provenance: Callable[[CheckedWheel, datetime], bytes] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> BuiltWheel:
    """Make a checked wheel visible. A file name that other bytes had before gets the next build tag.

    ``provenance`` writes what is kept beside the wheel, under the name that it is published with, at the moment given.
    Raise `Cancelled` where it was purged meanwhile, `StorageFault` where it cannot be stored, `InfrastructureFault`
    where the file is no longer what was checked.
    """
    created = clock()
    async with catalog.hold():
        history = await catalog.filenames(build.request.project)
        async with _renamed(wheel, history) as named:
            await _put_file(blobs, named)
        metadata_sha256 = await put_bytes(blobs, named.metadata)
        provenance_sha256 = None if provenance is None else await put_bytes(blobs, provenance(named, created))
        record = BuiltWheel(
            project=build.request.project,
            version=build.request.version,
            filename=named.filename,
            sha256=named.sha256,
            size=named.size,
            metadata_sha256=metadata_sha256,
            requires_python=named.requires_python,
            sdist=build.request.sdist,
            sdist_sha256=build.request.sdist_sha256,
            target=build.request.target,
            build=build.id,
            created=created,
            provenance_sha256=provenance_sha256,
        )
        await catalog.publish(record, log_sha256=log_sha256)
    return record


async def put_bytes(blobs: BlobStore, data: bytes) -> str:
    """Keep bytes that are in memory, such as core metadata or a log. Return their sha256. Raise `StorageFault`."""
    writer = blobs.writer()
    try:
        await writer.write(data)
        await writer.commit()
    finally:
        await writer.close()
    return hashlib.sha256(data).hexdigest()


async def put_log(blobs: BlobStore, data: bytes) -> str:
    """Keep a build's log. Return its sha256. Raise `InfrastructureFault`: a full disk is held against no package."""
    try:
        return await put_bytes(blobs, data)
    except StorageFault as fault:
        raise InfrastructureFault("infra.disk", fault.sentence) from fault


async def sweep(catalog: Catalog, blobs: BlobStore) -> int:
    """Delete doomed bytes, then forget them. Return how many. What a crash leaves undone is done by the next call."""
    async with catalog.hold():
        doomed = await catalog.doomed()
        for sha256 in doomed:
            await blobs.delete(sha256)
            await catalog.forget(sha256)
        return len(doomed)


async def clean_up(catalog: Catalog, blobs: BlobStore) -> int:
    """Delete doomed bytes and bytes that no record needs, left by a crash. Return how many."""
    swept = await sweep(catalog, blobs)
    known = await catalog.known_digests()
    orphans = {blob.sha256 async for blob in blobs if blob.sha256 not in known}
    if orphans:
        async with catalog.hold():  # nobody is between putting bytes and recording them now
            orphans -= await catalog.known_digests()
            for sha256 in orphans:
                await blobs.delete(sha256)
    return swept + len(orphans)


@asynccontextmanager
async def _renamed(wheel: CheckedWheel, history: Mapping[str, str]) -> AsyncIterator[CheckedWheel]:
    """Give the wheel under the build tag, if there is to be one: a copy that is removed afterwards."""
    number = next_build_tag(history, wheel)
    if number is None:
        yield wheel
        return
    folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="build-tag-", dir=wheel.path.parent)
    try:
        yield await asyncio.to_thread(_tagged, wheel, number, history, Path(folder.name))
    finally:
        await asyncio.to_thread(folder.cleanup)


def _tagged(wheel: CheckedWheel, number: int, history: Mapping[str, str], folder: Path) -> CheckedWheel:
    """Return the wheel with a build tag: the newest one that there is where that gives the very same bytes."""
    if number > 1:
        newest = with_build_tag(wheel, number - 1, folder)
        if history.get(newest.filename) == newest.sha256:
            return newest
    return with_build_tag(wheel, number, folder)


async def _put_file(blobs: BlobStore, wheel: CheckedWheel) -> None:
    writer = blobs.writer()
    try:
        with await asyncio.to_thread(wheel.path.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                await writer.write(chunk)
        if writer.hexdigest() != wheel.sha256:
            raise InfrastructureFault("infra.disk", f"{wheel.filename} changed on the disk after it was checked.")
        await writer.commit()
    finally:
        await writer.close()
