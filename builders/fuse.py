"""When faults of our own lock the pool, and when it tries again. Pure.

A machine that cannot build fails every package that it is given. So faults of ours that hit one project after the other
lock the pool: nothing is charged to the builds, an alarm is raised, and one build at a time tries whether it is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING

from buildthrough.builders.faults import Cancelled, InfrastructureFault, PackageFault
from buildthrough.builders.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from buildthrough.builders.faults import BuildEnded
    from buildthrough.builders.request import Build

    Strike = tuple[str, str, str]


class Blame(Enum):
    """What a fault of ours is a fault of."""

    POOL = auto()
    """This machine: its disk, its sandbox, this program."""
    UPSTREAM = auto()
    """Upstream cannot be asked now: builds wait for it, which is nothing to be alarmed about here."""
    BUILD = auto()
    """Only this build is hit."""


_BLAMES = {
    "infra.upstream": Blame.UPSTREAM,
    "infra.index": Blame.UPSTREAM,
    "infra.no-target": Blame.BUILD,
    "infra.queue-full": Blame.BUILD,
    "infra.worker-lost": Blame.BUILD,
    "infra.builder-away": Blame.BUILD,  # nothing is started while it is away; it may be this build that ended it
    # What runs inside may bring these about on purpose: a hostile sdist must not keep others from being built.
    "infra.driver": Blame.BUILD,
    "infra.remains": Blame.BUILD,  # and its slot takes no other build
}
_ADVICE = {
    "infra.disk": "Make room on the disks of the data folder and of build.work_dir",
    "infra.sandbox": "Run `buildthrough doctor`, which says what the sandbox lacks",
}
_OTHER_ADVICE = "See what the server's log says of these builds"


def blame(kind: str) -> Blame:
    """Return what a fault of this class is a fault of."""
    return _BLAMES.get(kind, Blame.POOL)


@dataclass(frozen=True, slots=True, kw_only=True)
class FusePolicy:
    """When the pool is locked."""

    faults: int = 5
    """So many faults of this machine in a row, …"""
    projects: int = 2
    """… over so many projects: a build that fails by itself locks nothing."""
    rest: RetryPolicy = field(default_factory=lambda: RetryPolicy(first_seconds=1, factor=2, longest_seconds=60))
    """How long the pool rests after faults in a row, before they are so many."""
    probe: RetryPolicy = field(default_factory=lambda: RetryPolicy(first_seconds=60, factor=2, longest_seconds=900))
    """How long a locked pool waits before it tries a build."""
    upstream_patience: timedelta = timedelta(days=1)
    """For so long a build waits for upstream before that counts as its attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A locked pool, in words for an operator."""

    since: datetime
    why: str
    advice: str
    next_probe: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuse:
    """What the last ends of builds say about this machine. A value: `after` gives the next one."""

    policy: FusePolicy = field(default_factory=FusePolicy)
    strikes: tuple[Strike, ...] = ()
    """Project, class and line of the latest faults in a row, except those that are a build's own."""
    lock: Lock | None = None
    probes: int = 0

    @property
    def projects(self) -> frozenset[str]:
        """The projects that were hit."""
        return frozenset(project for project, _, _ in self.strikes)

    @property
    def rest_seconds(self) -> float:
        """How long to rest before the next build: not at all while only one project is hit."""
        return self.policy.rest.delay(len(self.strikes) - 1) if len(self.projects) > 1 else 0.0

    def after(self, project: str, ended: BuildEnded | None, now: datetime) -> Fuse:
        """Learn how a build ended; None is a wheel. What came out of the sandbox shows that the machine works."""
        if isinstance(ended, Cancelled) or (isinstance(ended, PackageFault) and _is_before_the_sandbox(ended)):
            return self
        if not isinstance(ended, InfrastructureFault):
            return Fuse(policy=self.policy)
        blamed = blame(ended.kind)
        if blamed is not Blame.POOL and self.lock is not None:
            return replace(self, lock=replace(self.lock, next_probe=self._next_probe(now, self.probes)))
        if blamed is Blame.BUILD:
            return self
        strikes = (*self.strikes, (project, ended.kind, ended.line))[-4 * self.policy.faults :]
        if blamed is Blame.UPSTREAM or not (self.lock is not None or _blows(strikes, self.policy)):
            return replace(self, strikes=strikes)
        probes = self.probes + 1
        lock = Lock(
            since=now if self.lock is None else self.lock.since,
            why=_why(strikes),
            advice=f"{_ADVICE.get(ended.kind, _OTHER_ADVICE)}; then `buildthrough resume`, or wait: "
            "one build at a time tries whether it is over.",
            next_probe=self._next_probe(now, probes),
        )
        return replace(self, strikes=strikes, lock=lock, probes=probes)

    def _next_probe(self, now: datetime, probes: int) -> datetime:
        return now + timedelta(seconds=self.policy.probe.delay(probes))

    def charges(self, build: Build, ended: BuildEnded, now: datetime) -> bool:
        """Whether an end, already learned by `after`, counts as an attempt of its build."""
        if not isinstance(ended, InfrastructureFault):
            return True
        match blame(ended.kind):
            case Blame.BUILD:
                return True
            case Blame.UPSTREAM:
                return now - build.created > self.policy.upstream_patience
            case Blame.POOL:
                return self.lock is None and len(self.projects) <= 1


def _is_before_the_sandbox(fault: PackageFault) -> bool:
    return fault.stage == "fetch" or fault.kind.partition(".")[0] == "skipped"


def _blows(strikes: Sequence[Strike], policy: FusePolicy) -> bool:
    ours = [project for project, kind, _ in strikes if blame(kind) is Blame.POOL]
    return len(ours) >= policy.faults and len(set(ours)) >= policy.projects


def _why(strikes: Sequence[Strike]) -> str:
    ours = [strike for strike in strikes if blame(strike[1]) is Blame.POOL]
    _, kind, line = ours[-1]
    projects = len({project for project, _, _ in ours})
    return f"{len(ours)} builds in a row, of {projects} projects, ended by faults of this machine, {kind}: {line}"
