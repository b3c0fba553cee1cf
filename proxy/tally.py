"""How much a folder of files holds: counted once by a walk, and kept right from then on by each change.

The walk goes through the digests in order. What changes behind it is added; what changes before it, it will see.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BEGIN: Final = ""
_END: Final = "~"
"""Behind all digests."""


@dataclass(slots=True)
class _Count:
    bytes: int = 0
    files: int = 0

    def add(self, size: int, files: int) -> None:
        self.bytes += size
        self.files += files


class Tally:
    """Bytes and files. Any thread may ask and change it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._believed: _Count | None = None
        self._walked = _Count()
        self._position = _BEGIN

    @property
    def bytes(self) -> int:
        """Bytes that are kept; before the first walk has ended, those that were counted."""
        return (self._believed or self._walked).bytes

    @property
    def files(self) -> int:
        """How many files these are."""
        return (self._believed or self._walked).files

    @property
    def is_known(self) -> bool:
        """Whether all was counted once."""
        return self._believed is not None

    def begin(self) -> None:
        """Begin a walk; until it ends, what is believed so far stays."""
        with self._lock:
            self._walked, self._position = _Count(), _BEGIN

    def end(self) -> None:
        """Believe what the walk counted."""
        with self._lock:
            self._believed, self._position = self._walked, _END

    @contextmanager
    def walking(self, prefix: str) -> Iterator[Callable[[int, int], None]]:
        """Hold changes back. The walk is past the digests that begin so once it told their bytes, and how many."""

        def passed(size: int, files: int) -> None:
            self._walked.add(size, files)
            self._position = prefix

        with self._lock:
            yield passed

    @contextmanager
    def changing(self, sha256: str) -> Iterator[Callable[[int, int], None]]:
        """Change one file, with the walk held back. To be told inside: more bytes, more files."""
        with self._lock:
            yield lambda size, files: self._change(sha256, size, files)

    def _change(self, sha256: str, size: int, files: int) -> None:
        if self._believed is not None:
            self._believed.add(size, files)
        if self._believed is not self._walked and sha256[: len(self._position)] <= self._position != _BEGIN:
            self._walked.add(size, files)
