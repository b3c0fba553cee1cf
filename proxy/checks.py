"""Kept bytes are read once after each start, when they are first used, behind the back of who uses them.

Disks lose bits. A client finds that by the digest, but it would find it again and again; here it is found at the first
use, and the second gets a new copy. What is never used is left to ``buildthrough verify``.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from typing import TYPE_CHECKING, Final

from buildthrough.proxy import logs
from buildthrough.proxy.errors import ProxyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from buildthrough.proxy.blobs import Blob

log = logs.logger("checks")

BYTES_A_SECOND: Final = 100 << 20
"""Checks read no faster: what is sent comes first."""
WAITING: Final = 1000
"""Blobs that wait for their check; the rest is checked at another use."""
REMEMBERED: Final = 200_000
"""Blobs of which is remembered that they were checked."""
_PIECE: Final = 4 << 20


class Checks:
    """The checks that wait, and the task that makes them."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, Blob]] = deque()
        self._done: set[bytes] = set()
        self._wake = asyncio.Event()

    def of(self, kind: str) -> CheckedStore:
        """Return the watch on a store."""
        return CheckedStore(self, kind)

    def trust(self, sha256: str) -> None:
        """Note that bytes are known to be sound."""
        if len(self._done) >= REMEMBERED:
            self._done.clear()
        self._done.add(_key(sha256))

    def ask(self, kind: str, blob: Blob) -> None:
        """Have bytes checked, unless they were."""
        if _key(blob.sha256) not in self._done and len(self._waiting) < WAITING:
            self.trust(blob.sha256)
            self._waiting.append((kind, blob))
            self._wake.set()

    async def run(self, heal: Callable[[str, str], Awaitable[object]]) -> None:
        """Check what waits, until cancelled. ``heal`` is told the kind and the digest of what is damaged."""
        while True:
            while self._waiting:
                kind, blob = self._waiting.popleft()
                try:
                    if not await _is_sound(blob):
                        self._done.discard(_key(blob.sha256))
                        await heal(kind, blob.sha256)
                except ProxyError as fault:
                    log.warning("kept bytes cannot be checked", kind=kind, sha256=blob.sha256, fault=fault.sentence)
            self._wake.clear()
            await self._wake.wait()


class CheckedStore:
    """Tells the checks what happens in a store."""

    def __init__(self, checks: Checks, kind: str) -> None:
        self._checks = checks
        self._kind = kind

    def written(self, blob: Blob) -> None:
        """Note that a blob was committed."""
        self._checks.trust(blob.sha256)

    def opened(self, blob: Blob) -> None:
        """Note that a blob was opened."""
        self._checks.ask(self._kind, blob)


def _key(sha256: str) -> bytes:
    return bytes.fromhex(sha256[:16])


def _read_on(descriptor: int, update: Callable[[bytes], object]) -> int:
    data = os.read(descriptor, _PIECE)
    update(data)
    return len(data)


async def _is_sound(blob: Blob) -> bool:
    """Read a blob, slowly; whether it has its digest, or is no longer there."""
    try:
        descriptor = await asyncio.to_thread(os.open, blob.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True  # evicted, or not to be read; who wants it will see
    digest = hashlib.sha256()
    try:
        read = await asyncio.to_thread(_read_on, descriptor, digest.update)
        while read:
            await asyncio.sleep(read / BYTES_A_SECOND)  # the pace, not a condition
            read = await asyncio.to_thread(_read_on, descriptor, digest.update)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return digest.hexdigest() == blob.sha256
