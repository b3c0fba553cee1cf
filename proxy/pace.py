"""How fast something arrives. Pure, but for its clock."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_SECONDS: Final = 3.0
"""What was measured longer ago says nothing of now."""
SETTLED_SECONDS: Final = 0.5
"""Before so long nothing is measured, and `ASSUMED` is believed."""
ASSUMED: Final = 8e6
"""Bytes per second."""
_MARK_SECONDS: Final = 0.1


class Pace:
    """The pace of one arrival, from the moment it is made."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks = deque([(clock(), 0)])
        self._total = 0

    def note(self, total: int) -> None:
        """Say how many bytes are here by now."""
        self._total = total
        now = self._clock()
        if now - self._marks[-1][0] < _MARK_SECONDS:
            return
        self._marks.append((now, total))
        while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW_SECONDS:  # noqa: PLR2004 - the ends of a line
            self._marks.popleft()

    def seconds_to(self, total: int) -> float:
        """Return how long it will be until so many bytes are here; infinite while nothing comes."""
        if total <= self._total:
            return 0.0
        begun, before = self._marks[0]
        elapsed = self._clock() - begun
        speed = ASSUMED if elapsed < SETTLED_SECONDS else (self._total - before) / elapsed
        return (total - self._total) / speed if speed else math.inf
