"""Who uses the files of a store just now: what is used is not evicted. For the event loop's thread only."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE_SECONDS: Final = 10.0
"""A file that was found so recently may be about to be opened."""


class Readers:
    """Files by their digests."""

    def __init__(self) -> None:
        self._reading: Counter[str] = Counter()
        self._noted: dict[str, float] = {}
        """When each was noted last, the oldest first."""
        self.going: set[str] = set()
        """What is being removed now: it is not to be handed out any more."""

    def note(self, sha256: str) -> bool:
        """Note that a file is wanted. False where it is being removed now."""
        now = time.monotonic()
        self._noted.pop(sha256, None)
        self._noted[sha256] = now
        for oldest in list(islice(self._noted, 2)):  # two out for one in
            if self._noted[oldest] < now - GRACE_SECONDS:
                del self._noted[oldest]
        return sha256 not in self.going

    @contextmanager
    def reading(self, sha256: str) -> Iterator[None]:
        """Note that somebody reads the file, as long as that lasts."""
        self._reading[sha256] += 1
        try:
            yield
        finally:
            self._reading[sha256] -= 1
            if not self._reading[sha256]:
                del self._reading[sha256]
            self.note(sha256)

    def is_used(self, sha256: str) -> bool:
        """Whether it is read now, or may be in a moment."""
        return sha256 in self._reading or self._noted.get(sha256, 0.0) > time.monotonic() - GRACE_SECONDS
