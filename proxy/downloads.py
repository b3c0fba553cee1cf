"""Downloads under way: a file is fetched once for all who ask, and from then on it is had from the store."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from buildthrough.proxy import logs
from buildthrough.proxy.download import Download, Ways
from buildthrough.proxy.errors import DiskFull, NoRoom, NotFound, ProxyError, StorageFault, UpstreamFault
from buildthrough.proxy.places import Places

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from buildthrough.proxy.blobs import Blob, BlobStore
    from buildthrough.proxy.resource import Resource
    from buildthrough.proxy.upstream import Upstream

log = logs.logger("downloads")

SMALL_PLACES: Final = 32
"""Small files that are fetched at once: a resolver that asks for core metadata never waits behind large files."""
TRUST_SECONDS: Final = 24 * 3600.0
"""How long a file is believed unchanged for which upstream gives no digest at all."""
ASIDE_EACH: Final = 8
ASIDE_PLACES: Final = 32
"""Ranges that are fetched at once beside the downloads of their files: of one file, and in all."""
PASSING_EACH: Final = 16
PASSING_PLACES: Final = 32
"""Clients that are sent files at once past a store that cannot take them: one file, and in all."""
FULL_SECONDS: Final = 5.0
"""After the store could not take a file, others are not tried for so long."""


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
        """Bound each file by ``max_bytes``.

        ``observe`` is told of each request: ``kept``, ``joined``, ``passed`` (past the store); of each download:
        ``fetched``, ``absent``, ``failed``, ``unkept``; and of each range fetched beside one: ``aside``.
        """
        self._blobs = blobs
        self._ways = Ways(
            upstream=upstream,
            max_bytes=max_bytes,
            aside=Places(each=ASIDE_EACH, total=ASIDE_PLACES),
            passing=Places(each=PASSING_EACH, total=PASSING_PLACES),
            observe=observe,
        )
        self._full: tuple[StorageFault, float] | None = None
        """Why the store takes nothing, and until when that is believed."""
        self._large = asyncio.Semaphore(limit)
        self._small = asyncio.Semaphore(SMALL_PLACES)
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
        """Return the file where it is kept, else its download, begun; also where it will not be kept.

        Raise `NotFound`, `UpstreamFault`, or `StorageFault` where the store cannot be read.
        """
        return await self._source(resource, or_past=True)

    async def blob(self, resource: Resource) -> Blob:
        """Return the file once it is kept. Raise as `obtain` does, and `StorageFault` where it cannot be kept."""
        source = await self._source(resource, or_past=False)
        return await source.finished() if isinstance(source, Download) else source

    async def _source(self, resource: Resource, *, or_past: bool) -> Blob | Download:
        download = self._under_way.get(resource.key)
        if download is None:
            blob = await self._kept(resource)
            if blob is not None:
                self._observe("kept")
                return blob
            download = self._under_way.get(resource.key)
        if download is None and or_past and self._full is not None and time.monotonic() < self._full[1]:
            return await self._past(resource, self._full[0])
        if download is None:
            download = self._start(resource)
        else:
            self._observe("joined")
        await download.begun()
        return download.kept or download

    async def close(self) -> None:
        """End all that is under way, and drop what it wrote."""
        tasks = dict(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for download in tasks.values():
            await download.discard()

    async def _past(self, resource: Resource, fault: StorageFault) -> Download:
        """Return the file as one that will not be kept."""
        download = Download(resource, self._blobs.writer(*resource.algorithms), self._ways)
        download.give_up(fault)
        if resource.size is None:
            with suppress(UpstreamFault):  # it may refuse HEAD alone; then the size is not told
                download.size = await self._ways.upstream.size(resource.url, upstream=resource.upstream)
        return download

    def _start(self, resource: Resource) -> Download:
        download = Download(resource, self._blobs.writer(*resource.algorithms), self._ways)
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
                blob = await download.fetch()
            if self._digests is not None and "sha256" not in resource.hashes:
                seconds = None if resource.verifiable else TRUST_SECONDS
                await self._digests.remember(resource.memory_key, blob.sha256, seconds)
            self._observe("fetched")
        except NotFound:
            self._observe("absent")
        except StorageFault as fault:
            if not isinstance(fault, DiskFull):  # that is told once, not for each file
                log.warning("a file is not kept, clients get it past the store", url=resource.url, why=fault.sentence)
            if not isinstance(fault, NoRoom):
                self._full = fault, time.monotonic() + FULL_SECONDS
            self._observe("unkept")
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
