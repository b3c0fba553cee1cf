"""How the pool stands, and what a queued build waits for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from buildthrough.builders.request import BuildState

if TYPE_CHECKING:
    from datetime import datetime

    from buildthrough.builders.demand import Demand
    from buildthrough.builders.fuse import Lock
    from buildthrough.builders.request import Build


class Wait(StrEnum):
    """What a queued build waits for."""

    REQUIREMENT = "requirement"
    """The build of a build requirement, see `Build.waits_for`."""
    BACK_OFF = "back-off"
    """Time, after a fault of ours, see `Build.not_before`."""
    BUILDER = "builder"
    """The builder on `build.socket`, which is away."""
    DRAIN = "drain"
    """An operator's ``resume``."""
    LOCK = "lock"
    """This machine to be able to build again."""
    BUDGET = "budget"
    """Memory or processors."""
    SLOT = "slot"
    """Its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """A builder that does not answer."""

    since: datetime
    why: str
    """In words for an operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """How the pool stands now."""

    slots: int
    """How many builds can run at once; 0 where nothing is built here."""
    running: int
    total: Demand
    free: Demand
    is_draining: bool
    """An operator wants no more builds to be started."""
    lock: Lock | None
    """Why this machine cannot build now, None where it can."""
    mean_seconds: float | None
    """How long builds took lately, None where none has ended yet."""
    away: Away | None = None
    """Since when the builder that has the slots does not answer; None where it does, and where there is none."""

    @property
    def word(self) -> str:
        """The state in a word: ``open``, ``draining``, ``drained``, ``locked``, ``away`` or ``off``."""
        if self.away is not None:
            return "away"
        if not self.slots:
            return "off"
        if self.is_draining:
            return "draining" if self.running else "drained"
        return "locked" if self.lock is not None else "open"

    def estimate(self, position: int) -> float | None:
        """Return in about how many seconds the build at this place of the queue will start, None if nobody knows."""
        if self.mean_seconds is None or self.word != "open":
            return None
        return max(position - (self.slots - self.running), 0) * self.mean_seconds / self.slots


def wait_of(build: Build, demand: Demand, state: PoolState, now: datetime) -> Wait | None:
    """Return what a build waits for, None where it is not queued."""
    if build.state is not BuildState.QUEUED:
        return None
    for reason, holds in (
        (Wait.REQUIREMENT, build.waits_for is not None),
        (Wait.BACK_OFF, build.not_before is not None and build.not_before > now),
        (Wait.BUILDER, state.away is not None),
        (Wait.DRAIN, state.is_draining),
        (Wait.LOCK, state.lock is not None),
        (Wait.BUDGET, state.running < state.slots and not demand.fits(state.free)),
    ):
        if holds:
            return reason
    return Wait.SLOT
