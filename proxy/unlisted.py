"""Wheels that were built but are for nobody: kept for the operator to look at, on no page and at no URL of files.

Such a wheel is bound to the machine that built it, or cannot be imported. Its bytes are not checked any further.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from buildthrough.proxy.errors import NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from buildthrough.builders.queue import BuildQueue
    from buildthrough.builders.request import Build
    from buildthrough.proxy.blobs import Blob, BlobStore
    from buildthrough.proxy.catalog import Catalog

_CHUNK_BYTES = 1 << 20


async def keep_unlisted(build: Build, path: Path, *, blobs: BlobStore, catalog: Catalog, queue: BuildQueue) -> None:
    """Keep a wheel with the record of its build, which is RUNNING. Raise `StorageFault`."""
    writer = blobs.writer()
    try:
        with await asyncio.to_thread(path.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                await writer.write(chunk)
        async with catalog.hold():  # nobody takes the bytes for an orphan's before they are recorded
            await writer.commit()
            sha256 = writer.hexdigest()
            await queue.mark(build.id, unlisted=path.name, unlisted_sha256=sha256)
            if sha256 not in await catalog.known_digests():  # it was purged meanwhile
                await blobs.delete(sha256)
    finally:
        await writer.close()


async def find_unlisted(build: Build, *, blobs: BlobStore) -> Blob:
    """Return the bytes of the wheel that a build left for its operator. Raise `NotFound`."""
    if build.unlisted is None or build.unlisted_sha256 is None:
        raise NotFound(f"Build {build.id} left no wheel that is not listed.")
    blob = await blobs.open(build.unlisted_sha256)
    if blob is None:
        raise NotFound(f"The wheel of build {build.id} is no longer kept.")
    return blob
