"""Places for what may not be done by too many at once: so many for each key, and so many in all."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Places:
    """The places."""

    def __init__(self, *, each: int, total: int) -> None:
        self._each = each
        self._total = total
        self._taken: Counter[str] = Counter()
        self._freed = asyncio.Event()

    def free(self, key: str) -> bool:
        """Whether one can be taken now."""
        return self._taken[key] < self._each and self._taken.total() < self._total

    async def wait(self, key: str, seconds: float) -> None:
        """Wait until one can be taken, to be taken before anything else is awaited. Raise TimeoutError."""
        async with asyncio.timeout(seconds):
            while not self.free(key):
                await self._freed.wait()

    @contextmanager
    def taken(self, key: str) -> Iterator[None]:
        """Take one that is free."""
        self._taken[key] += 1
        try:
            yield
        finally:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]
            self._freed.set()
            self._freed = asyncio.Event()
