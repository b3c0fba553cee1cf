"""Build requests and the records of their builds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from buildthrough.builders.priority import Priority

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One wheel to build. Equal requests are one build, on one machine or on fifty."""

    project: str
    """Normalised name."""
    version: str
    """Normalised version (PEP 440)."""
    sdist: str
    """File name of the sdist."""
    sdist_sha256: str
    target: str
    """Slug of the target's environment."""
    recipe: str | None = None
    """Digest of the recipe that applies, see `buildthrough.builders.recipe`; None where none does."""

    @property
    def key(self) -> str:
        """What makes two requests the same build: 64 hexadecimal digits."""
        parts = (self.project, self.version, self.sdist_sha256, self.target, *((self.recipe,) if self.recipe else ()))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class BuildState(StrEnum):
    """Where a build stands. `TRANSITIONS` says which state may follow which."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


TRANSITIONS: dict[BuildState, frozenset[BuildState]] = {
    BuildState.QUEUED: frozenset({BuildState.RUNNING, BuildState.CANCELLED, BuildState.FAILED}),
    BuildState.RUNNING: frozenset({BuildState.QUEUED, BuildState.SUCCEEDED, BuildState.FAILED, BuildState.CANCELLED}),
    BuildState.SUCCEEDED: frozenset(),
    BuildState.FAILED: frozenset(),
    BuildState.CANCELLED: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One record of the queue: a request and how far it has come. Times are UTC."""

    id: int
    request: BuildRequest
    state: BuildState
    attempts: int
    """How often it was started; an infrastructure fault puts it back and it is started again."""
    created: datetime
    priority: Priority = Priority.INTERACTIVE
    """That of the most urgent who asked for it, or who needs it."""
    not_before: datetime | None = None
    """A QUEUED build that was put back is not due before; None where it may be due at once."""
    started: datetime | None = None
    finished: datetime | None = None
    fault: str | None = None
    """Dotted class of what ended it, for FAILED and CANCELLED; of the last setback while QUEUED again."""
    stage: str | None = None
    line: str | None = None
    """First telling line of the fault."""
    expires: datetime | None = None
    """What it says about its request holds until then; None for ever. A purge ends it for SUCCEEDED ones as well."""
    waits_for: int | None = None
    """The build of a build requirement that must end first."""
    log_sha256: str | None = None
    wheel: str | None = None
    """File name of the wheel, for SUCCEEDED."""
    wheel_sha256: str | None = None
    root: int | None = None
    """The build that it was first started for, at the end of its chain; None for one that was asked for itself."""
    chain: tuple[str, ...] = ()
    """For whose sake it was first started, each ``project==version``, the root first: `buildthrough.builders.chain`."""
    findings: str | None = None
    """What the checks of its wheel found, as JSON: see `buildthrough.builders.findings`."""
    unlisted: str | None = None
    """File name of a wheel that was built but is for nobody: kept for the operator, never listed."""
    unlisted_sha256: str | None = None
    time_cut: datetime | None = None
    """It was tried once more, with build requirements as of then; for SUCCEEDED, its wheel was built with these."""
