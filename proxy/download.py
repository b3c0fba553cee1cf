"""Downloads under way: a file is fetched once for all who ask, kept under its digest, and read while it grows.

The disk is the buffer between upstream and the clients: neither a slow client nor one that leaves holds up the rest.
The last piece is shown to nobody before the digest is right, so wrong bytes never look like a whole file.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from buildthrough.proxy.errors import NotFound, ProxyError, UpstreamInvalid, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from buildthrough.proxy.blobs import Blob, BlobStore, BlobWriter
    from buildthrough.proxy.upstream import Upstream

WITHHELD: Final = 64 << 10
"""Bytes at the end of a file that wait for the digest."""
PIECE: Final = 256 << 10
RESUMES: Final = 5
RESUME_PAUSE: Final = 0.5
"""Seconds before the first resumption; doubled each time."""
TRUST_SECONDS: Final = 24 * 3600.0
"""How long a file is believed unchanged for which upstream gives no digest at all."""

_STOPPED: Final = "The server stopped while the file was arriving."


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A file to have."""

    key: str
    """Who asks for the same key shares one download."""
    url: str
    hashes: Mapping[str, str]
    """Lower-case hexadecimal digests by hashlib's name, as upstream lists them."""
    size: int | None

    @property
    def verifiable(self) -> dict[str, str]:
        """The digests to check: sha256 where it is there, else all that this Python can compute."""
        if "sha256" in self.hashes:
            return {"sha256": self.hashes["sha256"]}
        return {name: digest for name, digest in self.hashes.items() if _is_computable(name)}

    @property
    def memory_key(self) -> str:
        """What names the bytes where their sha256 is not listed: another digest or size is another file."""
        return "\n".join((self.url, str(self.size), *(f"{name}={self.hashes[name]}" for name in sorted(self.hashes))))


class Digests(Protocol):
    """What is remembered of files whose sha256 upstream does not list. It may forget."""

    async def recall(self, key: str) -> str | None:
        """Return the sha256 that was remembered."""
        ...

    async def remember(self, key: str, sha256: str, seconds: float | None) -> None:
        """Remember the sha256, for so many seconds or for good."""
        ...


class Download:
    """A file that is arriving. `Downloads.obtain` makes them."""

    def __init__(self, resource: Resource, writer: BlobWriter) -> None:
        self.resource = resource
        self.size: int | None = resource.size
        """Bytes of the whole file, once they are known."""
        self.kept: Blob | None = None
        """Set when the file is in the store."""
        self._writer = writer
        self._fault: ProxyError | None = None
        self._begun = False
        self._verified = False
        self._readers = 0
        self._changed = asyncio.Event()

    async def begun(self) -> None:
        """Wait until upstream began to send. Raise what went wrong before."""
        await self._until(lambda: self._begun or self._verified)

    async def readable(self, offset: int) -> int:
        """Wait for bytes beyond the offset, or the end; return up to where can be read. Raise what went wrong."""
        await self._until(lambda: self._shown > offset or self._verified)
        return self._shown

    async def finished(self) -> Blob:
        """Wait until the file is kept. Raise what went wrong."""
        await self._until(lambda: self.kept is not None)
        if self.kept is None:
            raise AssertionError("waited for it")
        return self.kept

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the bytes readable inside: to be entered before anything else is awaited where `kept` was None."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._changed.set()
            self._changed = asyncio.Event()

    async def chunks(self, begin: int, end: int | None) -> AsyncIterator[bytes]:
        """Go through the bytes as they come, inside `reading`. Raise what went wrong: then the file is not whole."""
        position = begin
        while end is None or position < end:
            shown = await self.readable(position)
            if shown <= position:
                return
            stop = shown if end is None else min(shown, end)
            data = await self._writer.read(position, min(PIECE, stop - position))
            position += len(data)
            yield data

    async def fetch(self, upstream: Upstream, max_bytes: int) -> Blob:
        """Get the file, resuming where it breaks off, and keep it; or keep nothing and raise."""
        try:
            await self._arrive(upstream, max_bytes)
            self._verify()
            self._verified = True
            self._tell()
            self.kept = await self._writer.commit()
        except ProxyError as fault:
            self._fault = fault
            raise
        except BaseException:
            self._fault = UpstreamUnavailable(_STOPPED)
            raise
        finally:
            self._tell()
        return self.kept

    async def release(self) -> None:
        """Wait for the last reader, then drop what was not kept and the file handle."""
        try:
            while self._readers:
                await self._changed.wait()
        finally:
            await self._writer.close()

    async def discard(self) -> None:
        """Drop it at once, whoever waits or reads."""
        if self.kept is None and self._fault is None:
            self._fault = UpstreamUnavailable(_STOPPED)
            self._tell()
        await self._writer.close()

    @property
    def _shown(self) -> int:
        written = self._writer.size
        if self._verified:
            return written
        if self.size is None:
            return max(0, written - WITHHELD)
        return min(written, max(0, self.size - WITHHELD))

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while True:
            if is_so():
                return
            if self._fault is not None:
                raise self._fault
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _arrive(self, upstream: Upstream, max_bytes: int) -> None:
        for attempt in range(RESUMES + 1):
            try:
                await self._receive(upstream, max_bytes)
            except UpstreamUnavailable:
                # Pieces of two answers are joined only where a digest tells whether they belong together.
                is_resumable = self._begun and (self._writer.size == 0 or self.resource.verifiable)
                if attempt == RESUMES or not is_resumable:
                    raise
            else:
                return
            await asyncio.sleep(RESUME_PAUSE * 2**attempt)

    async def _receive(self, upstream: Upstream, max_bytes: int) -> None:
        async with upstream.file(self.resource.url, self._writer.size) as answer:
            self._expect(answer.size, max_bytes)
            skip = self._writer.size - answer.offset
            self._begun = True
            self._tell()
            async for chunk in answer.chunks:
                piece = chunk[skip:] if skip else chunk
                skip -= len(chunk) - len(piece)
                if piece:
                    await self._take(piece, max_bytes)
        if self.size is not None and self._writer.size < self.size:
            raise UpstreamUnavailable("Upstream broke off before the file was whole.")

    def _expect(self, size: int | None, max_bytes: int) -> None:
        if size is not None and self.size is not None and size != self.size:
            raise UpstreamInvalid(f"Upstream sends a file of {size} bytes where {self.size} are to be.")
        self.size = self.size if size is None else size
        if self.size is not None and self.size > max_bytes:
            raise UpstreamInvalid(f"Upstream's file is larger than {max_bytes} bytes.")

    async def _take(self, piece: bytes, max_bytes: int) -> None:
        limit = max_bytes if self.size is None else self.size
        if self._writer.size + len(piece) > limit:
            raise UpstreamInvalid(f"Upstream sends more than the {limit} bytes that the file may have.")
        await self._writer.write(piece)
        self._tell()

    def _verify(self) -> None:
        for name, digest in self.resource.verifiable.items():
            if self._writer.hexdigest(name) != digest.lower():
                raise UpstreamInvalid(f"Upstream's file has not the {name} that its page lists. It was thrown away.")


class Downloads:
    """The downloads under way, at most so many at once."""

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
        self._slots = asyncio.Semaphore(limit)
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
        algorithms = tuple(name for name in resource.verifiable if name != "sha256")
        download = Download(resource, self._blobs.writer(*algorithms))
        self._under_way[resource.key] = download
        task = asyncio.get_running_loop().create_task(self._run(download))
        self._tasks[task] = download
        task.add_done_callback(self._tasks.pop)
        return download

    async def _run(self, download: Download) -> None:
        """Let a download live. It tells its faults itself to those who wait for it."""
        resource = download.resource
        try:
            async with self._slots:
                blob = await download.fetch(self._upstream, self._max_bytes)
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


def _is_computable(name: str) -> bool:
    return name in hashlib.algorithms_available and hashlib.new(name, usedforsecurity=False).digest_size > 0
