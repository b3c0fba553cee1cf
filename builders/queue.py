"""The `BuildQueue` port: each distinct build is handed to one worker at a time; and the embedded queue, over SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildthrough.builders.faults import BuildEnded
    from buildthrough.builders.request import Build, BuildRequest, BuildState


class BuildQueue(Protocol):
    """Builds that are to be done, are being done, or are done."""

    async def submit(self, request: BuildRequest, *, again: bool = False) -> Build:
        """Return the build that answers the request: one under way, one that succeeded, a remembered failure, or a new one.

        ``again`` passes over what is done: an operator asks. Two builds of one request are never under way at once.
        """
        ...

    async def claim(self) -> Build:
        """Wait until a build is due, mark it RUNNING and return it."""
        ...

    async def beat(self, build: int) -> bool:
        """Renew the worker's hold on a build; False where the build is no longer its own (cancelled meanwhile)."""
        ...

    async def settle(self, build: int, ended: BuildEnded, *, log_sha256: str | None) -> Build:
        """Record an end without a wheel: FAILED, CANCELLED, or QUEUED again with back-off, by the family of the end.

        `NeedsBuild` is not settled but waited for, see `wait_for`.
        """
        ...

    async def wait_for(self, build: int, other: int) -> Build:
        """Put a build back until another one has ended. A cycle, or the other's failure, settles it as FAILED (``deps.…``)."""
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
