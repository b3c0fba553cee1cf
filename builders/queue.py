"""The `BuildQueue` port: each distinct build is handed to one worker at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from buildthrough.builders.priority import Priority
from buildthrough.builders.schedule import QueueFull

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from buildthrough.builders.faults import BuildEnded
    from buildthrough.builders.request import Build, BuildRequest, BuildState
    from buildthrough.builders.schedule import Choice

__all__ = ["BuildQueue", "QueueFull", "first"]


def first(due: Sequence[Build]) -> Build | None:
    """Choose the most urgent build."""
    return due[0] if due else None


class BuildQueue(Protocol):
    """Builds that are to be done, are being done, or are done."""

    async def submit(
        self,
        request: BuildRequest,
        *,
        again: bool = False,
        priority: Priority = Priority.INTERACTIVE,
        parent: Build | None = None,
    ) -> Build:
        """Return the build that answers the request: one under way, a success, a remembered failure, or a new one.

        ``again`` passes over what is done: an operator asks. Two builds of one request are never under way at once.
        One under way is made as urgent as whoever asks most urgently, and what it waits for too. A success whose wheel
        is purged, and a cancelled build, answer nothing. A new one is noted as made for its ``parent``'s sake. Raise
        `QueueFull`, and `PackageFault` where too many would be made so (`buildthrough.builders.chain`).
        """
        ...

    async def claim(self, choose: Choice = first) -> Build:
        """Wait until a build is due that is chosen, mark it RUNNING and return it.

        ``choose`` is given builds that are due, the most urgent first, but not all of a long queue. It is asked anew
        whenever the queue changes; who wants it asked for another reason cancels the claim and claims again.
        """
        ...

    async def beat(self, build: int) -> bool:
        """Renew the worker's hold on a build; False where the build is no longer its own (cancelled meanwhile)."""
        ...

    async def mark(
        self,
        build: int,
        *,
        time_cut: datetime | None = None,
        findings: str | None = None,
        unlisted: str | None = None,
        unlisted_sha256: str | None = None,
    ) -> None:
        """Note of a RUNNING build that it was tried with an older index, and what the checks of its wheel found.

        ``unlisted`` and its digest are a wheel that it left for its operator alone. What is None stays as it is, and so
        does a build that runs no longer.
        """
        ...

    async def settle(self, build: int, ended: BuildEnded, *, log_sha256: str | None, charged: bool = True) -> Build:
        """Record an end without a wheel: FAILED, CANCELLED, or QUEUED again with back-off, by the family of the end.

        A fault of ours that is not ``charged`` does not count as an attempt of the build: it befalls every build now.
        `NeedsBuild` is not settled but waited for, see `wait_for`. A build that has ended meanwhile (it was purged)
        stays as it is, and is returned.
        """
        ...

    async def wait_for(self, build: int, other: int) -> Build:
        """Put a build back until another one has ended.

        A cycle, or an end of the other one without a wheel, settles it as FAILED (``deps.…``). The other one becomes
        as urgent as the build that waits for it.
        """
        ...

    async def give_back(self, build: int) -> None:
        """Put a build back as if it had not been started: the worker shuts down."""
        ...

    async def get(self, build: int) -> Build | None:
        """Return one record."""
        ...

    async def last(self, key: str) -> Build | None:
        """Return the newest build of a request's key."""
        ...

    async def list(
        self, *, project: str | None = None, state: BuildState | None = None, limit: int = 100
    ) -> Sequence[Build]:
        """Return records, the newest first."""
        ...

    async def active(self, *, project: str | None = None) -> Sequence[Build]:
        """Return every build that is QUEUED or RUNNING, the oldest first."""
        ...

    async def counts(self) -> Mapping[BuildState, int]:
        """Return how many builds are in each state."""
        ...

    async def positions(self, builds: Iterable[int]) -> Mapping[int, int]:
        """Return the places of builds among those that are due, from 1 for the next one; the others have none."""
        ...
