"""The pool: takes builds as slots, memory and processors allow, and has them attended to."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, Self

from buildthrough.builders.attendance import PURGED, Attendance, L
from buildthrough.builders.database import utc_now
from buildthrough.builders.demand import NOTHING, Admission, Demand
from buildthrough.builders.faults import Cancelled, PackageFault
from buildthrough.builders.fuse import FusePolicy
from buildthrough.builders.judgement import Judgement
from buildthrough.builders.persistence import Persistence
from buildthrough.builders.pool_state import PoolState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from types import TracebackType

    from buildthrough.builders.attendance import Work
    from buildthrough.builders.pool_state import Away
    from buildthrough.builders.queue import BuildQueue
    from buildthrough.builders.request import Build, BuildRequest
    from buildthrough.builders.sandbox import Sandbox

logger = logging.getLogger(__name__)

_UNBOUNDED = Demand(memory_bytes=1 << 62, cpus=1 << 20)


class Pool(Generic[L]):
    """Builds in the slots of the machine. Use it as an async context manager: it works in between."""

    def __init__(
        self,
        queue: BuildQueue,
        sandboxes: Sequence[Sandbox],
        work: Work[L],
        *,
        total: Demand = _UNBOUNDED,
        demand: Callable[[BuildRequest], Demand] = lambda _request: NOTHING,
        is_draining: bool = False,
        policy: FusePolicy | None = None,
        patience_seconds: float = 300,
        beat_seconds: float = 5,
        stop_seconds: float = 30,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Take the collaborators; a sandbox is a slot.

        ``total`` is what all builds may use together, ``demand`` what one may; the latter is called from another
        thread too. A build that was asked for ``patience_seconds`` ago and does not fit has the room held for it.
        """
        self._queue = queue
        self._slots = len(sandboxes)
        self._idle = list(sandboxes)
        self._total = self._free = total
        self._demand = demand
        self._patience = timedelta(seconds=patience_seconds)
        self._clock = clock
        self._is_draining = is_draining
        self._judgement = Judgement(policy or FusePolicy(), clock=clock, changed=self._notify)
        self._stop_seconds = stop_seconds
        self._stopped = asyncio.Event()
        self._changed = asyncio.Event()
        self._persistence = Persistence(self._stopped)
        self._attendance = Attendance(
            queue,
            work,
            judge=self._judgement.judge,
            stopped=self._stopped,
            persistence=self._persistence,
            beat_seconds=beat_seconds,
        )
        self._running: dict[int, asyncio.Task[None]] = {}
        self._crew = 0
        """Counts how often the slots were replaced: one of an earlier crew takes no more builds."""
        self._away: Away | None = None
        self._dispatching: asyncio.Task[None] | None = None

    @property
    def slots(self) -> int:
        """How many builds can run at once."""
        return self._slots

    @property
    def running(self) -> int:
        """How many builds run now."""
        return len(self._running)

    @property
    def state(self) -> PoolState:
        """How it stands now."""
        return PoolState(
            slots=self._slots,
            running=self.running,
            total=self._total,
            free=self._free,
            is_draining=self._is_draining,
            lock=self._judgement.lock,
            mean_seconds=self._judgement.mean_seconds,
            away=self._away,
        )

    async def __aenter__(self) -> Self:
        self._stopped.clear()
        self._dispatching = asyncio.create_task(self._dispatch(), name="dispatch")
        self._dispatching.add_done_callback(_report)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give all builds back once their processes are dead, within ``stop_seconds``."""
        self._stopped.set()
        self._notify()
        self._attendance.stop()
        if self._dispatching is not None:
            await asyncio.wait({self._dispatching})
        if not self._running:
            return
        _, late = await asyncio.wait(self._running.values(), timeout=self._stop_seconds)
        if late:
            logger.error(
                "builds %s did not end in %s s; the next start takes them up", [*self._running], self._stop_seconds
            )
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=1)

    def cancel(self, builds: Iterable[int], why: Cancelled = PURGED) -> frozenset[int]:
        """End builds that run here, for this reason. Return which: they end soon, and are settled so."""
        return self._attendance.cancel(builds, why)

    async def withdraw(self, builds: Iterable[int], why: Cancelled) -> None:
        """Cancel builds, whether they wait or run; what has ended stays as it is."""
        numbers = tuple(builds)
        here = self.cancel(numbers, why)
        for number in numbers:
            if number not in here:
                await self._queue.settle(number, why, log_sha256=None)

    def demand(self, request: BuildRequest) -> Demand:
        """Return what a build of this request asks for."""
        return self._demand(request)

    def adopt(self, sandboxes: Sequence[Sandbox], *, away: Away | None = None) -> None:
        """Build in these slots from now on; builds that run go on in theirs. ``away`` says why there are none."""
        self._crew += 1
        self._slots = len(sandboxes)
        self._idle = list(sandboxes)
        self._away = away
        self._notify()

    def drain(self) -> None:
        """Start no more builds; those that run go on."""
        self._is_draining = True
        self._notify()

    def resume(self) -> None:
        """Start builds again, also where faults of ours have locked the pool."""
        self._is_draining = False
        self._judgement.forgive()

    async def _dispatch(self) -> None:
        while not self._stopped.is_set():
            changed = self._changed
            seconds = self._seconds_to_wait()
            if seconds is None or seconds > 0:
                await _first(changed, seconds)
                continue
            try:
                build = await self._claim(changed)
            except Exception:
                # The boundary of the pool: what we did not foresee must not end all building.
                logger.exception("no build could be taken from the queue by a fault of ours")
                await self._persistence.pause(1)
                continue
            if build is None:
                continue
            if self._idle:
                self._start(build)
            else:  # the slots were taken away while it was claimed
                await self._attendance.give_back(build)

    def _seconds_to_wait(self) -> float | None:
        """Return how long no build may be started, None until something changes; 0 or less where one may."""
        if not self._idle or self._is_draining:
            return None
        if self._judgement.lock is not None and self._running:
            return None  # one at a time
        return self._judgement.seconds_to_rest()

    async def _claim(self, changed: asyncio.Event) -> Build | None:
        """Wait for a build that fits; None where something changed before, so that all is to be looked at anew."""
        admission = Admission(
            total=self._total,
            free=self._free,
            demand=self._demand,
            patience=self._patience,
            clock=self._clock,
            avoid=self._judgement.suspects,
        )

        async def claiming() -> Build | None:
            task = asyncio.ensure_future(self._queue.claim(admission))
            await asyncio.wait({task, change}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            return None if task.cancelled() else task.result()

        change = asyncio.ensure_future(changed.wait())
        try:
            return await self._persistence.insist(claiming)
        finally:
            change.cancel()

    def _start(self, build: Build) -> None:
        """Take a slot and room for a build, before anything else is claimed."""
        wanted = self._demand(build.request)
        too_big = None if wanted.fits(self._total) else _too_big(wanted, self._total)
        taken = NOTHING if too_big else wanted
        sandbox, crew = self._idle.pop(0), self._crew
        self._free -= taken

        async def occupy() -> None:
            try:
                await self._see_to(build, sandbox, too_big)
            finally:
                self._free += taken
                is_unsafe = self._judgement.is_unsafe(build.id)
                if crew == self._crew:
                    self._slots -= is_unsafe
                    self._idle += [] if is_unsafe else [sandbox]
                del self._running[build.id]
                self._notify()

        task = asyncio.create_task(occupy(), name=f"build-{build.id}")
        task.add_done_callback(_report)
        self._running[build.id] = task

    async def _see_to(self, build: Build, sandbox: Sandbox, too_big: PackageFault | None) -> None:
        if self._stopped.is_set() or self._is_draining:
            await self._attendance.give_back(build)
        elif too_big is not None:
            await self._attendance.refuse(build, too_big)
        else:
            await self._attendance.attend(build, sandbox)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _too_big(wanted: Demand, total: Demand) -> PackageFault:
    line = (
        f"It may use {wanted.memory_bytes >> 20} MiB of memory and {wanted.cpus} processors, "
        f"and all builds together {total.memory_bytes >> 20} MiB and {total.cpus}."
    )
    return PackageFault("plan", "limit.budget", line)


async def _first(changed: asyncio.Event, seconds: float | None) -> None:
    """Wait until something changes, or for so long."""
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return


def _report(task: asyncio.Task[None]) -> None:
    """Say it where a task of the pool ended by a fault in this module."""
    if not task.cancelled() and (error := task.exception()):
        logger.critical("%s ended by a fault of ours", task.get_name(), exc_info=error)
