"""What the pool makes of how builds end: whether and when this machine can go on, and how long builds take."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from buildthrough.builders.faults import PackageFault, SlotFault
from buildthrough.builders.fuse import Fuse

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from buildthrough.builders.faults import BuildEnded
    from buildthrough.builders.fuse import FusePolicy, Lock
    from buildthrough.builders.request import Build

logger = logging.getLogger(__name__)

_LATELY = 20
"""The mean of how long builds take is over about so many of them."""


class Judgement:
    """Over all builds of a pool. It raises the alarm."""

    def __init__(self, policy: FusePolicy, *, clock: Callable[[], datetime], changed: Callable[[], None]) -> None:
        """Call ``changed`` where builds may be started from now on, or no longer."""
        self._fuse = Fuse(policy=policy)
        self._clock = clock
        self._changed = changed
        self._rested = clock()
        """Until when to leave a machine alone on which builds fail, so that it does not use them all up."""
        self._unsafe: set[int] = set()
        """Builds that may have left something alive: their slots are not used again."""
        self.mean_seconds: float | None = None
        """How long builds took lately."""

    @property
    def lock(self) -> Lock | None:
        """Why this machine cannot build now."""
        return self._fuse.lock

    @property
    def suspects(self) -> frozenset[str]:
        """The projects that are not to be tried first where the pool is locked."""
        return frozenset() if self._fuse.lock is None else self._fuse.projects

    def seconds_to_rest(self) -> float:
        """Return how long no build is to be started; 0 or less where one may be."""
        lock = self._fuse.lock
        return ((lock.next_probe if lock is not None else self._rested) - self._clock()).total_seconds()

    def judge(self, build: Build, ended: BuildEnded | None) -> bool:
        """Learn how a build ended, None is a wheel; return whether that is charged to the build."""
        now = self._clock()
        if build.started is not None and (ended is None or isinstance(ended, PackageFault)):
            self._time((now - build.started).total_seconds())
        if isinstance(ended, SlotFault):
            self._unsafe.add(build.id)
            logger.critical("a slot takes no more builds until the server starts again: %s", ended.line)
        fuse = self._fuse.after(build.request.project, ended, now)
        charged = ended is None or fuse.charges(build, ended, now)
        self._rested = now + timedelta(seconds=fuse.rest_seconds)
        self._learn(fuse)
        return charged

    def forgive(self) -> None:
        """Begin anew: an operator says that the machine is well."""
        self._rested = self._clock()
        self._learn(Fuse(policy=self._fuse.policy))

    def is_unsafe(self, build: int) -> bool:
        """Whether the slot of a build that has ended is to take no other one; asked once."""
        found = build in self._unsafe
        self._unsafe.discard(build)
        return found

    def _time(self, seconds: float) -> None:
        share = 1 if self.mean_seconds is None else 1 / _LATELY
        self.mean_seconds = (self.mean_seconds or 0) * (1 - share) + seconds * share

    def _learn(self, fuse: Fuse) -> None:
        before, self._fuse = self._fuse, fuse
        if fuse.lock is not None and before.lock is None:
            logger.critical("BUILDS ARE LOCKED: %s. %s", fuse.lock.why, fuse.lock.advice)
        elif fuse.lock is None and before.lock is not None:
            logger.warning("builds are unlocked")
        self._changed()
