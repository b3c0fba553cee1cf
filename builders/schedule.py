"""What becomes of builds: the embedded queue's decisions, each made within a transaction of the caller."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from buildthrough.builders import ledger, ranks
from buildthrough.builders.faults import Cancelled, InfrastructureFault, NeedsBuild, PackageFault
from buildthrough.builders.ledger import builds
from buildthrough.builders.priority import rank
from buildthrough.builders.request import BuildState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from buildthrough.builders.faults import BuildEnded
    from buildthrough.builders.priority import Priority
    from buildthrough.builders.request import Build, BuildRequest
    from buildthrough.builders.retry import FailureMemory, RetryPolicy

    Choice = Callable[[Sequence[Build]], Build | None]
    """Picks the build to start among those that are due, the most urgent first; None where none is to be started."""


class QueueFull(Exception):
    """There are as many builds to be done as may be: this one is not taken on now."""


class Schedule:
    """Decides by the records and the clock; holds nothing itself."""

    def __init__(self, *, retry: RetryPolicy, memory: FailureMemory, limit: int, clock: Callable[[], datetime]) -> None:
        """``limit`` bounds the QUEUED builds."""
        self._retry = retry
        self._memory = memory
        self._limit = limit
        self._clock = clock

    def answer(
        self,
        connection: Connection,
        request: BuildRequest,
        *,
        again: bool,
        priority: Priority,
        parent: Build | None = None,
    ) -> tuple[Build, list[Build]]:
        """Return the build that answers a request, and it again where it is new. Raise as `BuildQueue.submit` does."""
        now = self._clock()
        last = ledger.newest(connection, request.key)
        if last is not None and last.state in ledger.ACTIVE:
            ranks.hurry(connection, last.id, priority, rank(priority, last.created))
            return ledger.known(connection, last.id), []
        if last is not None and not again and answers(last, now):
            return last, []
        queued = select(func.count()).select_from(builds).where(builds.c.state == BuildState.QUEUED)
        if connection.execute(queued).scalar_one() >= self._limit:
            raise QueueFull(f"{self._limit} builds are waiting already")
        new = ledger.add(connection, request, priority, now, parent)
        return new, [new]

    def claim(self, connection: Connection, choose: Choice, due: list[datetime]) -> list[Build]:
        """Mark the build that is chosen as RUNNING; where there is none, note when the next one comes due."""
        now = self._clock()
        build = choose(ranks.due(connection, now))
        if build is None:
            soonest = ranks.next_due(connection)
            due.extend([] if soonest is None else [soonest])
            return []
        started = {
            "attempts": build.attempts + 1,
            "started": now,
            "fault": None,
            "stage": None,
            "line": None,
            "time_cut": None,
            "findings": None,
        }
        return [ledger.move(connection, build, BuildState.RUNNING, **started)]

    def recover(self, connection: Connection) -> list[Build]:
        """Put back what was running when the process died."""
        ranks.fill(connection)
        running = select(builds).where(builds.c.state == BuildState.RUNNING).order_by(builds.c.id)
        lost = InfrastructureFault("infra.worker-lost", "The server ended while this build was running.")
        changed: list[Build] = []
        for row in connection.execute(running).mappings().all():
            changed.extend(self._set_back(connection, ledger.read(row), lost, row["log_sha256"], delayed=False))
        return changed

    def settle(
        self, connection: Connection, number: int, ended: BuildEnded, log_sha256: str | None, *, charged: bool = True
    ) -> list[Build]:
        """Record an end without a wheel. Return all builds that this changed, it first."""
        build = ledger.known(connection, number)
        if build.state not in ledger.ACTIVE:
            return [build]
        now = self._clock()
        match ended:
            case PackageFault():
                expires = self._expiry(ended.kind, now)
                return ledger.fail(
                    connection,
                    build,
                    stage=ended.stage,
                    kind=ended.kind,
                    line=ended.line,
                    expires=expires,
                    dependents_expire=self._dependents_expire(expires, now),
                    log_sha256=log_sha256,
                    now=now,
                )
            case InfrastructureFault():
                if not charged:
                    return self._put_off(connection, build, ended, log_sha256)
                return self._set_back(connection, build, ended, log_sha256, delayed=True)
            case Cancelled():
                return ledger.cancel(
                    connection,
                    build,
                    kind=ended.kind,
                    line=ended.line,
                    log_sha256=log_sha256,
                    now=now,
                    release=ended.is_upstreams,
                )
            case NeedsBuild():
                raise TypeError("a build that needs another waits for it, it has not ended")
            case _:
                raise TypeError(f"{type(ended).__name__} is no known end of a build")

    def _set_back(
        self, connection: Connection, build: Build, fault: InfrastructureFault, log_sha256: str | None, *, delayed: bool
    ) -> list[Build]:
        """Put a build back after a fault of ours; after too many, give it up, and hold it against nobody."""
        now = self._clock()
        setbacks = 1 + connection.execute(select(builds.c.setbacks).where(builds.c.id == build.id)).scalar_one()
        if setbacks >= self._retry.max_attempts:
            return ledger.fail(
                connection,
                build,
                stage=None,
                kind=fault.kind,
                line=fault.line,
                expires=now,
                dependents_expire=now,
                log_sha256=log_sha256,
                now=now,
            )
        not_before = now + timedelta(seconds=self._retry.delay(setbacks)) if delayed else None
        return [
            ledger.requeue(
                connection,
                build,
                setbacks=setbacks,
                not_before=not_before,
                fault=fault.kind,
                line=fault.line,
                log_sha256=log_sha256,
            )
        ]

    def _put_off(
        self, connection: Connection, build: Build, fault: InfrastructureFault, log_sha256: str | None
    ) -> list[Build]:
        """Put a build back as if it had not been started: what befell it befalls every build now."""
        not_before = self._clock() + timedelta(seconds=self._retry.put_off_seconds)
        why = {"fault": fault.kind, "line": fault.line, "log_sha256": log_sha256}
        return [ledger.requeue(connection, build, attempts=build.attempts - 1, not_before=not_before, **why)]

    def wait_for(self, connection: Connection, number: int, other: int) -> list[Build]:
        """Put a build back until another one has ended, or end it where that cannot help."""
        build = ledger.known(connection, number)
        needed = ledger.known(connection, other)
        if build.state is not BuildState.RUNNING:
            return [build]
        now = self._clock()
        if cycle := _cycle(connection, build, needed):
            return self.settle(connection, number, PackageFault("requires", "deps.cycle", cycle), build.log_sha256)
        if needed.state in ledger.ACTIVE:
            waiting = ledger.requeue(connection, build, waits_for=other)
            ranks.hurry(connection, other, build.priority, ranks.of(connection, number))
            return [waiting]
        if needed.state is BuildState.SUCCEEDED:
            if was_there(needed, build):
                unused = PackageFault("requires", "deps.unresolvable", unused_line(needed))
                return self.settle(connection, number, unused, build.log_sha256)
            return [ledger.requeue(connection, build)]
        held = needed.expires if needed.state is BuildState.FAILED else now
        return ledger.fail_with_requirement(connection, build, needed, self._dependents_expire(held, now), now)

    def give_back(self, connection: Connection, number: int) -> list[Build]:
        """Put a build back as if it had not been started."""
        build = ledger.known(connection, number)
        if build.state is not BuildState.RUNNING:
            return []
        return [ledger.requeue(connection, build, attempts=build.attempts - 1)]

    def _expiry(self, kind: str, now: datetime) -> datetime | None:
        seconds = self._memory.of(kind)
        return None if seconds is None else now + timedelta(seconds=seconds)

    def _dependents_expire(self, expires: datetime | None, now: datetime) -> datetime | None:
        """Return until when a failure of a build requirement is held against what needs it: no longer than its own."""
        moments = [one for one in (expires, self._expiry("deps.build-failed", now)) if one is not None]
        return min(moments, default=None)


def answers(build: Build, now: datetime) -> bool:
    """Whether an ended build still answers for its request: with a wheel, or with a failure that is remembered."""
    remembered = build.expires is None or build.expires > now
    return remembered and build.state in (BuildState.SUCCEEDED, BuildState.FAILED)


def was_there(needed: Build, build: Build) -> bool:
    """Whether a build requirement's wheel was there when the build was started, and yet was not found."""
    return needed.finished is not None and build.started is not None and needed.finished <= build.started


def unused_line(needed: Build) -> str:
    """Say that a build requirement was built in vain."""
    return f"The wheel built of the requirement {needed.request.project}=={needed.request.version} does not serve it."


def _cycle(connection: Connection, build: Build, needed: Build) -> str | None:
    """Say which builds would wait for each other, None where none would."""
    chain = [build, needed]
    while chain[-1].id != build.id:
        following = chain[-1].waits_for
        if following is None:
            return None
        chain.append(ledger.known(connection, following))
    return cycle_line(chain)


def cycle_line(chain: Sequence[Build]) -> str:
    """Say which builds would wait for each other."""
    names = [f"{one.request.project}=={one.request.version}" for one in chain]
    return f"Each needs the next one to be built first: {' -> '.join(names)}"[:500]
