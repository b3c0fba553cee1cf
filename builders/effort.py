"""What one resolution of requirements may cost: steps and processor time, over all of its beginnings."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from resolvelib import BaseReporter

if TYPE_CHECKING:
    from collections.abc import Iterator


class TooMuch(Exception):
    """A resolution takes more steps or time than it may; the message says which."""


class Effort(BaseReporter[Any, Any, Any]):
    """Counts as resolvelib's reporter. It raises `TooMuch` from inside the work, since nothing can end a thread."""

    def __init__(self, *, steps: int = 50_000, seconds: float = 30) -> None:
        """Allow so many steps, and so many seconds of processor time."""
        self._steps = steps
        self._seconds = seconds
        self._taken = 0
        self._spent = 0.0
        self._since: float | None = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the processor time of this thread meanwhile."""
        self._since = time.thread_time()
        try:
            yield
        finally:
            self._spent += time.thread_time() - self._since
            self._since = None

    def look(self) -> None:
        """Raise `TooMuch` where the time is over. To be called in every loop over what strangers wrote."""
        now = 0.0 if self._since is None else time.thread_time() - self._since
        if self._spent + now > self._seconds:
            raise TooMuch(f"resolving the build requirements takes more than {self._seconds:g} seconds of computing")

    def step(self) -> None:
        """Count a step."""
        self._taken += 1
        if self._taken > self._steps:
            raise TooMuch(f"no versions that go together were found in {self._steps} steps")
        self.look()

    def starting_round(self, index: int) -> None:  # noqa: ARG002 # resolvelib's signature
        """Count a round of the resolver."""
        self.step()

    def adding_requirement(self, requirement: object, parent: object) -> None:  # noqa: ARG002 # resolvelib's signature
        """Count a requirement that is looked at."""
        self.step()

    def rejecting_candidate(self, criterion: object, candidate: object) -> None:  # noqa: ARG002 # resolvelib's signature
        """Count a version that does not do."""
        self.step()
