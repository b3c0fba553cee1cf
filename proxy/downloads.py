"""Downloads under way: a file is fetched once for all who ask, and from then on it is had from the store."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

from buildthrough.proxy.download import Download
from buildthrough.proxy.errors import NotFound, ProxyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from buildthrough.proxy.blobs import Blob, BlobStore
    from buildthrough.proxy.resource import Resource
    from buildthrough.proxy.upstream import Upstream

SMALL_PLACES: Final = 32
"""Small files that are fetched at once: a resolver that asks for core metadata never waits behind large files."""
TRUST_SECONDS: Final = 24 * 3600.0
"""How long a file is believed unchanged for which upstream gives no digest at all."""


class Digests(Protocol):
    """What is remembered of files whose sha256 upstream does not list. It may forget."""

    async def recall(self, key: str) -> str | None:
        """Return the sha256 that was remembered."""
        ...

    async def remember(self, key: str, sha256: str, seconds: float | None) -> None:
        """Remember the sha256, for so many seconds or for good."""
        ...


class Downloads:
    """The downloads under way, at most ``limit`` large ones at once; small files and core metadata have own places."""

    def __init__(
        self,
        upstream: Upstream,
        blobs: BlobStore,
        *,
        limit: int,
        max_bytes: int = 64 << 30,
        remember: Digests | None = None,
        observe: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """Bound each file by ``max_bytes``. ``observe``: ``kept``, ``joined``, ``fetched``, ``absent``, ``failed``."""
        self._upstream = upstream
        self._blobs = blobs
        self._large = asyncio.Semaphore(limit)
        self._small = asyncio.Semaphore(SMALL_PLACES)
        self._max_bytes = max_bytes
        self._digests = remember
        self._observe = observe
        self._under_way: dict[str, Download] = {}
        self._tasks: dict[asyncio.Task[None], Download] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        upstream: Upstream,
        blobs: BlobStore,
        *,
        limit: int,
        max_bytes: int = 64 << 30,
        remember: Digests | None = None,
        observe: Callable[[str], None] = lambda _reason: None,
    ) -> AsyncIterator[Downloads]:
        """Close at the end."""
        downloads = cls(upstream, blobs, limit=limit, max_bytes=max_bytes, remember=remember, observe=observe)
        try:
            yield downloads
        finally:
            await downloads.close()

    async def obtain(self, resource: Resource) -> Blob | Download:
        """Return the file where it is kept, else its download, begun.

        Raise `NotFound`, `UpstreamFault` or `StorageFault`.
        """
        download = self._under_way.get(resource.key)
        if download is None:
            blob = await self._kept(resource)
            if blob is not None:
                self._observe("kept")
                return blob
            download = self._under_way.get(resource.key)
        if download is None:
            download = self._start(resource)
        else:
            self._observe("joined")
        await download.begun()
        return download.kept or download

    async def blob(self, resource: Resource) -> Blob:
        """Return the file once it is kept. Raise as `obtain` does."""
        source = await self.obtain(resource)
        return await source.finished() if isinstance(source, Download) else source

    async def close(self) -> None:
        """End all that is under way, and drop what it wrote."""
        tasks = dict(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for download in tasks.values():
            await download.discard()

    def _start(self, resource: Resource) -> Download:
        download = Download(resource, self._blobs.writer(*resource.algorithms))
        self._under_way[resource.key] = download
        task = asyncio.get_running_loop().create_task(self._run(download))
        self._tasks[task] = download
        task.add_done_callback(self._tasks.pop)
        return download

    async def _run(self, download: Download) -> None:
        """Let a download live. It tells its faults itself to those who wait for it."""
        resource = download.resource
        try:
            async with self._small if resource.is_small else self._large:
                blob = await download.fetch(self._upstream, resource.bound(self._max_bytes))
            if self._digests is not None and "sha256" not in resource.hashes:
                seconds = None if resource.verifiable else TRUST_SECONDS
                await self._digests.remember(resource.memory_key, blob.sha256, seconds)
            self._observe("fetched")
        except NotFound:
            self._observe("absent")
        except ProxyError:
            self._observe("failed")
        finally:
            del self._under_way[resource.key]
            await download.release()

    async def _kept(self, resource: Resource) -> Blob | None:
        sha256 = resource.hashes.get("sha256")
        if sha256 is None and self._digests is not None:
            sha256 = await self._digests.recall(resource.memory_key)
        return None if sha256 is None else await self._blobs.open(sha256, resource.size)
