"""What a build asks of the machine, and which of the builds that are due may have it. Pure.

So a big build waits rather than starves the server, small ones go by meanwhile, and yet it has its turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from buildthrough.builders.request import Build, BuildRequest
    from buildthrough.builders.sandbox import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """An amount of memory and of processors: what a build may use, what all may, what is free."""

    memory_bytes: int
    cpus: int

    def fits(self, room: Demand) -> bool:
        """Whether there is that much room."""
        return self.memory_bytes <= room.memory_bytes and self.cpus <= room.cpus

    def __add__(self, other: Demand) -> Demand:
        return Demand(memory_bytes=self.memory_bytes + other.memory_bytes, cpus=self.cpus + other.cpus)

    def __sub__(self, other: Demand) -> Demand:
        return Demand(memory_bytes=self.memory_bytes - other.memory_bytes, cpus=self.cpus - other.cpus)


NOTHING = Demand(memory_bytes=0, cpus=0)


def demand_of(limits: Limits) -> Demand:
    """Return what a build asks for: all that it may use."""
    return Demand(memory_bytes=limits.memory_bytes, cpus=limits.cpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Chooses the next build, by what is free now."""

    total: Demand
    free: Demand
    demand: Callable[[BuildRequest], Demand]
    patience: timedelta
    """For so long after it was asked for, a build that does not fit now lets others go by."""
    clock: Callable[[], datetime]
    avoid: frozenset[str] = frozenset()
    """Projects whose builds are chosen only where there are no others: something seems to be wrong with them."""

    def __call__(self, due: Sequence[Build]) -> Build | None:
        """Return the build to start, None where none may be started now.

        One that can never fit is returned at once: it is to be refused, and takes no room.
        """
        now = self.clock()
        for build in sorted(due, key=lambda one: one.request.project in self.avoid):  # else they stay in their order
            wanted = self.demand(build.request)
            if wanted.fits(self.free) or not wanted.fits(self.total):
                return build
            if now - build.created >= self.patience:
                return None  # what becomes free is held for it
        return None
