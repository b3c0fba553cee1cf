"""Stored pages: what upstream said last, for the time after a restart and for when upstream is down.

All of it may be lost and is then asked for again: a record or a database that is damaged is a miss and a line in the
log. Values are bytes and JSON; pickles are refused (CVE-2025-69872).
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import diskcache

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from buildthrough.proxy.bytes_disk import BytesDisk, Pickled
from buildthrough.proxy.errors import StorageFault
from buildthrough.proxy.page_check import is_sound
from buildthrough.proxy.stored_page import StoredHead, StoredPage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from buildthrough.proxy.page_answer import PageAnswer

T = TypeVar("T")
Cache: TypeAlias = Any
"""diskcache has no types."""

MAX_BYTES: Final = 2 << 30
_PACKING: Final[dict[int, int]] = {
    zstd.CompressionParameter.compression_level: 3,
    zstd.CompressionParameter.checksum_flag: 1,
}
"""Pages shrink to a seventh, and the check sum finds damage."""

log = logging.getLogger(__name__)


class PageStore:
    """Pages by project, in one thread of its own: diskcache is SQLite."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder / "v1"
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pages")
        self._cache: Cache = None
        self.digests = StoredDigests(self)
        """What `Downloads` remembers of files without a sha256."""

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, max_bytes: int = MAX_BYTES) -> AsyncIterator[PageStore]:
        """Open the folder, emptied where it is damaged. Raise `StorageFault` where it cannot be written."""
        store = cls(folder, max_bytes)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(store._thread, store._open)
            yield store
        finally:
            await loop.run_in_executor(store._thread, store._close)
            store._thread.shutdown()

    async def settle(self, upstreams: str) -> bool:
        """Throw all away that is of other upstreams than these: it would stand for pages that they never sent.

        Return whether it was so.
        """

        def settle(cache: Cache) -> bool:
            if cache.get("upstreams") == upstreams:
                return False
            cache.clear()
            cache.set("upstreams", upstreams)
            return True

        return await self.run(settle, True)  # noqa: FBT003 - what it returns

    async def get(self, key: str) -> StoredPage | None:
        """Return a page as it was stored."""
        head = await self.head(key)
        body = await self.body(key, head.digest) if head is not None else None
        return None if head is None or body is None else StoredPage(answer=head.answer(body), fetched=head.fetched)

    async def head(self, key: str) -> StoredHead | None:
        """Return what is known of a page."""
        nothing: tuple[object, object] = (None, None)
        told, at = await self.run(lambda cache: (cache.get(f"head/{key}"), cache.get(f"at/{key}")), nothing)
        if not isinstance(told, str):
            return None
        try:
            head = StoredHead(**json.loads(told))
        except (ValueError, TypeError):
            log.warning("the stored page of %s is damaged and is asked for again", key)
            await self.drop(key)
            return None
        return replace(head, fetched=at) if isinstance(at, float) and at > head.fetched else head

    async def body(self, key: str, digest: str) -> bytes | None:
        """Return the body with this digest, None where it is lost."""
        record = await self.run(lambda cache: cache.get(f"body/{key}"), None)
        if not isinstance(record, bytes) or not record.startswith(digest.encode()):
            return None
        try:
            return await asyncio.to_thread(zstd.decompress, memoryview(record)[len(digest) :])
        except zstd.ZstdError:
            log.warning("the stored page of %s is damaged and is asked for again", key)
            await self.drop(key)
            return None

    async def put(self, key: str, answer: PageAnswer, at: float) -> StoredHead:
        """Store a page that was fetched at that time (Unix seconds)."""
        digest = await asyncio.to_thread(answer.digest)
        packed = await asyncio.to_thread(zstd.compress, answer.body, options=_PACKING)
        head = StoredHead(
            content_type=answer.content_type,
            url=answer.url,
            etag=answer.etag,
            last_serial=answer.last_serial,
            upstream=answer.upstream,
            digest=digest,
            fetched=float(at),
        )

        def store(cache: Cache) -> None:
            cache.set(f"body/{key}", digest.encode() + packed)
            cache.set(f"head/{key}", json.dumps(asdict(head)))
            cache.set(f"at/{key}", head.fetched)

        await self.run(store, None)
        return head

    async def form(self, key: str, name: str) -> bytes | None:
        """Return a rendering of the page as it was stored."""
        found = await self.run(lambda cache: cache.get(f"form/{name}/{key}"), None)
        return found if isinstance(found, bytes) else None

    async def put_form(self, key: str, name: str, record: bytes) -> None:
        """Store a rendering of the page, compressed already."""
        await self.run(lambda cache: cache.set(f"form/{name}/{key}", record), None)

    async def renew(self, key: str, at: float) -> None:
        """Note that upstream said at that time that the page is unchanged."""
        await self.run(lambda cache: cache.set(f"at/{key}", float(at)), None)

    async def drop(self, key: str) -> None:
        """Remove a page. Its renderings are of no use without it, and go in time."""

        def remove(cache: Cache) -> None:
            for kind in ("head", "body", "at"):
                cache.delete(f"{kind}/{key}")

        await self.run(remove, None)

    async def heal(self, record: str) -> bool:
        """Look at a record by its whole key, and remove it where it is damaged; return whether it was."""
        missing = object()

        def look(cache: Cache) -> bool:
            value = cache.get(record, default=missing)
            if value is missing:
                return bool(cache.delete(record))  # its file is lost
            return not is_sound(record, value) and bool(cache.delete(record))

        return bool(await self.run(look, None))

    async def volume(self) -> int:
        """Return the bytes that the pages take on the disk."""
        return await self.run(lambda cache: int(cache.volume()), 0)

    async def drop_below(self, prefix: str) -> None:
        """Remove all pages whose keys begin so. It goes through everything that is stored."""

        def remove(cache: Cache) -> None:
            begins = tuple(f"{kind}/{prefix}" for kind in ("head", "body", "at"))
            for key in [key for key in cache.iterkeys() if key.startswith(begins)]:
                cache.delete(key)

        await self.run(remove, None)

    async def run(self, work: Callable[[Cache], T], otherwise: T) -> T:
        """Do something with the cache in its thread; where the cache fails, say so in the log and go on without it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work, otherwise)

    def _guarded(self, work: Callable[[Cache], T], otherwise: T) -> T:
        try:
            return work(self._cache)
        except Pickled as fault:
            log.error("stored pages: %s; somebody else wrote it: all are thrown away", fault)  # noqa: TRY400 - told
            self._reset()
        except sqlite3.OperationalError as error:  # full, locked, read-only: the records themselves are sound
            log.warning("stored pages cannot be used: %s", error)
        except sqlite3.DatabaseError as error:
            log.warning("the database of stored pages is damaged and is made anew: %s", error)
            self._reset()
        except (OSError, UnicodeDecodeError, diskcache.Timeout) as error:
            log.warning("a stored page cannot be read or written: %s", error)
        return otherwise

    def _open(self) -> None:
        try:
            try:
                self._cache = self._connect()
            except (sqlite3.DatabaseError, Pickled) as error:
                log.warning("the stored pages are damaged and are thrown away: %s", error)
                shutil.rmtree(self._folder)
                self._cache = self._connect()
        except (OSError, sqlite3.Error) as error:
            raise StorageFault(f"The folder of stored pages cannot be used: {error}.") from error

    def _connect(self) -> Cache:
        cache = diskcache.Cache(
            str(self._folder),
            timeout=10,
            disk=BytesDisk,
            eviction_policy="least-recently-stored",
            size_limit=self._max_bytes,
            tag_index=0,
        )
        try:
            ((state,),) = cache._sql("PRAGMA quick_check(1)").fetchall()  # noqa: SLF001 - its check() costs minutes
        except BaseException:
            cache.close()
            raise
        if state != "ok":
            cache.close()
            raise sqlite3.DatabaseError(state)
        return cache

    def _reset(self) -> None:
        self._close()
        try:
            shutil.rmtree(self._folder)
            self._cache = self._connect()
        except (OSError, sqlite3.Error) as error:
            log.warning("the folder of stored pages cannot be made anew: %s", error)

    def _close(self) -> None:
        if self._cache is not None:
            self._cache.close()


class StoredDigests:
    """The sha256 of files for which upstream lists none. See `buildthrough.proxy.downloads.Digests`."""

    def __init__(self, pages: PageStore) -> None:
        self._pages = pages

    async def recall(self, key: str) -> str | None:
        """Return the sha256 that was remembered."""
        found = await self._pages.run(lambda cache: cache.get(f"digest/{key}"), None)
        is_digest = isinstance(found, str) and len(found) == 64 and set(found) <= set("0123456789abcdef")  # noqa: PLR2004
        return found if is_digest else None

    async def remember(self, key: str, sha256: str, seconds: float | None) -> None:
        """Remember it, for so many seconds or until it is evicted."""
        await self._pages.run(lambda cache: cache.set(f"digest/{key}", sha256, expire=seconds), None)
