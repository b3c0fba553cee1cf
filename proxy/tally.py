"""How much a folder of files holds: counted once by a walk, and kept right from then on by each change.

The walk goes through the digests in order. What changes behind it is added; what changes before it, it will see.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


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
        self._shelf = ""
        """The first letters of the digests where the walk is."""
        self._todo: set[str] = set()
        """The next letters of those that it will still see there."""

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
            self._walked, self._shelf = _Count(), ""

    def end(self) -> None:
        """Believe what the walk counted."""
        with self._lock:
            self._believed = self._walked

    def enter(self, shelf: str, folders: Callable[[], Iterable[str]]) -> list[str]:
        """Let the walk enter a shelf, with changes held back; return its folders, which are to be counted now."""
        with self._lock:
            self._shelf, self._todo = shelf, set(folders())
            return sorted(self._todo)

    @contextmanager
    def counting(self, folder: str) -> Iterator[Callable[[int, int], None]]:
        """Count a folder, with changes held back. To be told inside: its bytes, and how many files they are."""
        with self._lock:
            yield self._walked.add
            self._todo.discard(folder)

    @contextmanager
    def changing(self, sha256: str) -> Iterator[Callable[[int, int], None]]:
        """Change one file, with the walk held back. To be told inside: more bytes, more files."""
        with self._lock:
            yield lambda size, files: self._change(sha256, size, files)

    def _change(self, sha256: str, size: int, files: int) -> None:
        if self._believed is not None:
            self._believed.add(size, files)
        if self._believed is not self._walked and self._is_passed(sha256):
            self._walked.add(size, files)

    def _is_passed(self, sha256: str) -> bool:
        shelf, folder = sha256[:2], sha256[2:4]
        return shelf < self._shelf or (shelf == self._shelf and folder not in self._todo)
