"""Seeing one claimed build through to its end: it is made and published, waits, is put back, or fails."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from buildthrough.builders.database import DatabaseFault
from buildthrough.builders.faults import BuildEnded, Cancelled, InfrastructureFault, NeedsBuild, PackageFault
from buildthrough.builders.schedule import QueueFull

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.persistence import Persistence
    from buildthrough.builders.queue import BuildQueue
    from buildthrough.builders.request import Build
    from buildthrough.builders.sandbox import Sandbox

logger = logging.getLogger(__name__)

PURGED = Cancelled("cancelled.purged", "An operator purged it.")


class Notes(Protocol):
    """The log of a build, as far as the pool needs it."""

    def note(self, sentence: str) -> None:
        """Add a line of the host's own."""
        ...

    def text(self) -> str:
        """Return the whole log."""
        ...


L = TypeVar("L", bound=Notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Generic[L]):
    """What is done with a build. The verbs of whoever has the index and the stores."""

    new_log: Callable[[], L]
    make: Callable[[Build, Sandbox, L], Awaitable[CheckedWheel]]
    """Raises the families of `buildthrough.builders.faults` and, when cancelled, ends only when every process of the
    build is dead."""
    publish: Callable[[Build, CheckedWheel, str, L], Awaitable[object]]
    """Records the success."""
    submit_requirement: Callable[[NeedsBuild, Build], Awaitable[Build | None]]
    """Gives the build of a requirement, None where there can be none."""
    store_log: Callable[[bytes], Awaitable[str]]
    """Gives the log's sha256."""
    clean: Callable[[Build], Awaitable[None]]
    """Removes what a build left on disk."""


class Attendance(Generic[L]):
    """Over the builds that run in this process."""

    def __init__(
        self,
        queue: BuildQueue,
        work: Work[L],
        *,
        judge: Callable[[Build, BuildEnded | None], bool],
        stopped: asyncio.Event,
        persistence: Persistence,
        beat_seconds: float,
    ) -> None:
        """``judge`` is told how each build ended, None for a wheel; it says whether that is charged to the build.

        Once ``stopped`` is set, what runs is given back to the queue.
        """
        self._queue = queue
        self._new_log = work.new_log
        self._make = work.make
        self._publish = work.publish
        self._submit_requirement = work.submit_requirement
        self._store_log = work.store_log
        self._clean = work.clean
        self._judge = judge
        self._stopped = stopped
        self._persistence = persistence
        self._beat_seconds = beat_seconds
        self._making: dict[int, asyncio.Task[CheckedWheel]] = {}
        self._reasons: dict[int, Cancelled] = {}

    async def attend(self, build: Build, sandbox: Sandbox) -> None:
        """See a claimed build through to its end."""
        log = self._new_log()
        ended: BuildEnded | None = None
        try:
            wheel = await self._made(build, sandbox, log)
            if wheel is not None:
                log.note(f"built {wheel.filename}")
                await self._publish(build, wheel, await self._store_log(log.text().encode()), log)
                self._judge(build, None)
                _tell("build succeeded", build, wheel=wheel.filename)
        except BuildEnded as end:
            ended = end
        except Exception as error:
            # The boundary of a build: whatever we did not foresee is our fault, and the worker goes on. The traceback
            # is for the server's log: a build's log is shown to anybody.
            logger.exception("build %s failed by a fault of ours", build.id)
            ended = InfrastructureFault("infra.internal", _one_line(error))
        else:
            if wheel is None:
                await self.give_back(build)
        await self._tidy(build)
        if isinstance(ended, NeedsBuild):
            ended = await self._wait_for(build, ended)
        if ended is not None:
            await self._settle(build, ended, log, charged=self._judge(build, ended))

    async def refuse(self, build: Build, fault: PackageFault) -> None:
        """End a claimed build that is not to be started."""
        await self._settle(build, fault, self._new_log(), charged=True)

    async def give_back(self, build: Build) -> None:
        """Put a claimed build back as if it had not been started."""
        await self._persistence.insist(lambda: self._queue.give_back(build.id))

    def cancel(self, builds: Iterable[int], why: Cancelled) -> frozenset[int]:
        """End builds that are being made here, for this reason. Return which; they end soon, and are settled so."""
        found = {build: self._making[build] for build in builds if build in self._making}
        for build, making in found.items():
            self._reasons.setdefault(build, why)
            making.cancel()
        return frozenset(found)

    def stop(self) -> None:
        """End all builds that are being made here; they go back to the queue, once ``stopped`` is set."""
        for making in self._making.values():
            making.cancel()

    async def _made(self, build: Build, sandbox: Sandbox, log: L) -> CheckedWheel | None:
        """Have the wheel made. None when the pool stops. Raise `Cancelled` where the build is no longer ours."""
        if self._stopped.is_set():
            return None
        making = asyncio.ensure_future(self._make(build, sandbox, log))
        self._making[build.id] = making
        beating = asyncio.create_task(self._beat(build.id, making))
        try:
            await asyncio.wait({making})
        finally:
            del self._making[build.id]
            why = self._reasons.pop(build.id, None)
            beating.cancel()
            making.cancel()
        if self._stopped.is_set() and (making.cancelled() or making.exception() is not None):
            return None  # how a build fails whose processes we kill says nothing about it
        if making.cancelled():
            raise why or PURGED
        if why is not None and making.exception() is not None:
            raise why  # how a build fails whose processes we kill says nothing about it
        return making.result()

    async def _beat(self, build: int, making: asyncio.Task[CheckedWheel]) -> None:
        while True:
            await asyncio.sleep(self._beat_seconds)
            try:
                if not await self._queue.beat(build):
                    making.cancel()
                    return
            except DatabaseFault as fault:
                logger.warning("the hold on build %s was not renewed: %s", build, fault.sentence)

    async def _wait_for(self, build: Build, needed: NeedsBuild) -> BuildEnded | None:
        """Let a build wait for its requirement's. Return what ends it instead, None where it waits."""
        try:
            other = await self._submit_requirement(needed, build)
        except BuildEnded as end:
            return end
        except QueueFull:
            return InfrastructureFault("infra.queue-full", f"The queue has no room for {needed.project}.")
        except Exception as error:
            # As in `_attend`: the boundary of a build.
            logger.exception("build %s could not ask for %s", build.id, needed.project)
            return InfrastructureFault("infra.internal", _one_line(error))
        if other is None:
            line = f"The build requirement {needed.project}=={needed.version} has no wheel and cannot be built here."
            return PackageFault("requires", "deps.unresolvable", line)
        await self._persistence.insist(lambda: self._queue.wait_for(build.id, other.id))
        self._judge(build, needed)
        _tell("build waits for a requirement's", build, waits_for=other.id)
        return None

    async def _settle(self, build: Build, ended: BuildEnded, log: L, *, charged: bool) -> None:
        log.note(str(ended))
        sha256: str | None = None
        try:
            sha256 = await self._store_log(log.text().encode())
        except Exception:
            # A full disk must not keep the end of the build from being recorded.
            logger.exception("the log of build %s could not be kept", build.id)
        await self._persistence.insist(lambda: self._queue.settle(build.id, ended, log_sha256=sha256, charged=charged))
        _tell("build ended without a wheel", build, why=str(ended))

    async def _tidy(self, build: Build) -> None:
        try:
            await self._clean(build)
        except OSError:
            logger.exception("build %s left files behind", build.id)


def _tell(message: str, build: Build, **fields: object) -> None:
    request = build.request
    about = {"build": build.id, "project": request.project, "version": request.version, "target": request.target}
    logger.info(message, extra={"fields": about | fields})


def _one_line(error: BaseException) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text[:500]
