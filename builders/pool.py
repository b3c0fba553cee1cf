"""The pool: one worker per sandbox takes builds, has them made and published, and settles how they end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from buildthrough.builders.database import DatabaseFault
from buildthrough.builders.faults import BuildEnded, Cancelled, InfrastructureFault, NeedsBuild, PackageFault
from buildthrough.builders.retry import RetryPolicy
from buildthrough.builders.schedule import QueueFull

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from types import TracebackType

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.queue import BuildQueue
    from buildthrough.builders.request import Build
    from buildthrough.builders.sandbox import Sandbox

logger = logging.getLogger(__name__)

_REST = RetryPolicy(first_seconds=1, factor=2, longest_seconds=60)
"""How long a worker rests after faults of ours in a row, so that a broken machine does not use up all builds."""


class Notes(Protocol):
    """The log of a build, as far as the pool needs it."""

    def note(self, sentence: str) -> None:
        """Add a line of the host's own."""
        ...

    def text(self) -> str:
        """Return the whole log."""
        ...


T = TypeVar("T")
L = TypeVar("L", bound=Notes)


class Pool(Generic[L]):
    """Workers over the slots of the machine. Use it as an async context manager: they work in between."""

    def __init__(
        self,
        queue: BuildQueue,
        sandboxes: Sequence[Sandbox],
        *,
        new_log: Callable[[], L],
        make: Callable[[Build, Sandbox, L], Awaitable[CheckedWheel]],
        publish: Callable[[Build, CheckedWheel, str], Awaitable[object]],
        submit_requirement: Callable[[NeedsBuild, Build], Awaitable[Build | None]],
        store_log: Callable[[bytes], Awaitable[str]],
        clean: Callable[[Build], Awaitable[None]],
        beat_seconds: float = 5,
        stop_seconds: float = 30,
    ) -> None:
        """Take the collaborators.

        ``make`` raises the families of `buildthrough.builders.faults` and, when cancelled, ends only when every process
        of the build is dead. ``publish`` records the success. ``submit_requirement`` gives the build of a requirement,
        None where there can be none. ``store_log`` gives the log's sha256. ``clean`` removes what a build left on disk.
        """
        self._queue = queue
        self._sandboxes = tuple(sandboxes)
        self._new_log = new_log
        self._make = make
        self._publish = publish
        self._submit_requirement = submit_requirement
        self._store_log = store_log
        self._clean = clean
        self._beat_seconds = beat_seconds
        self._stop_seconds = stop_seconds
        self._workers: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[Build]] = set()
        self._making: dict[int, asyncio.Task[CheckedWheel]] = {}
        self._running: set[int] = set()
        self._stopped = asyncio.Event()

    @property
    def slots(self) -> int:
        """How many builds can run at once."""
        return len(self._sandboxes)

    @property
    def running(self) -> int:
        """How many builds run now."""
        return len(self._running)

    async def __aenter__(self) -> Self:
        self._stopped.clear()
        for number, sandbox in enumerate(self._sandboxes):
            worker = asyncio.create_task(self._work(sandbox), name=f"worker-{number}")
            worker.add_done_callback(_report)
            self._workers.add(worker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give all builds back once their processes are dead, within ``stop_seconds``."""
        self._stopped.set()
        for task in (*self._waiting, *self._making.values()):
            task.cancel()
        if not self._workers:
            return
        _, late = await asyncio.wait(self._workers, timeout=self._stop_seconds)
        if late:
            logger.error(
                "builds %s did not end in %s s; the next start takes them up", self._running, self._stop_seconds
            )
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=1)
        self._workers.clear()

    def cancel(self, builds: Iterable[int]) -> None:
        """End builds that run here: an operator purged them. Returns at once, they end soon."""
        for build in builds:
            if task := self._making.get(build):
                task.cancel()

    async def _work(self, sandbox: Sandbox) -> None:
        setbacks = 0
        while not self._stopped.is_set():
            build = await self._claim()
            if build is None:
                return
            self._running.add(build.id)
            try:
                ended = await self._attend(build, sandbox)
            finally:
                self._running.discard(build.id)
            setbacks = setbacks + 1 if isinstance(ended, InfrastructureFault) else 0
            if setbacks > 1:
                await self._pause(_REST.delay(setbacks - 1))

    async def _claim(self) -> Build | None:
        """Wait for a build; None when the pool stops."""

        async def waiting() -> Build | None:
            task = asyncio.ensure_future(self._queue.claim())
            self._waiting.add(task)
            try:
                await asyncio.wait({task})
                return None if task.cancelled() else task.result()
            finally:
                self._waiting.discard(task)

        return await self._insist(waiting)

    async def _attend(self, build: Build, sandbox: Sandbox) -> BuildEnded | None:
        """See a claimed build through to its end. Return how it ended without a wheel, None otherwise."""
        log = self._new_log()
        ended: BuildEnded | None = None
        try:
            wheel = await self._made(build, sandbox, log)
            if wheel is not None:
                log.note(f"built {wheel.filename}")
                await self._publish(build, wheel, await self._store_log(log.text().encode()))
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
                await self._insist(lambda: self._queue.give_back(build.id))
        await self._tidy(build)
        if isinstance(ended, NeedsBuild):
            ended = await self._wait_for(build, ended)
        if ended is not None:
            await self._settle(build, ended, log)
        return ended

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
            beating.cancel()
            making.cancel()
        if self._stopped.is_set() and (making.cancelled() or making.exception() is not None):
            return None  # how a build fails whose processes we kill says nothing about it
        if making.cancelled():
            raise Cancelled("cancelled.purged", "An operator purged it.")
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
        await self._insist(lambda: self._queue.wait_for(build.id, other.id))
        _tell("build waits for a requirement's", build, waits_for=other.id)
        return None

    async def _settle(self, build: Build, ended: BuildEnded, log: L) -> None:
        log.note(str(ended))
        sha256: str | None = None
        try:
            sha256 = await self._store_log(log.text().encode())
        except Exception:
            # A full disk must not keep the end of the build from being recorded.
            logger.exception("the log of build %s could not be kept", build.id)
        await self._insist(lambda: self._queue.settle(build.id, ended, log_sha256=sha256))
        _tell("build ended without a wheel", build, why=str(ended))

    async def _tidy(self, build: Build) -> None:
        try:
            await self._clean(build)
        except OSError:
            logger.exception("build %s left files behind", build.id)

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Ask the queue until its database works; None where the pool stops before."""
        failures = 0
        while True:
            try:
                return await call()
            except DatabaseFault as fault:
                failures += 1
                logger.error("the queue fails: %s", fault.sentence)  # noqa: TRY400 - the sentence says it, once each try
            if self._stopped.is_set():
                return None
            await self._pause(_REST.delay(failures))

    async def _pause(self, seconds: float) -> None:
        """Rest, but no longer than until the pool stops."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return


def _report(worker: asyncio.Task[None]) -> None:
    """Say it where a worker ended by a fault in this module: its slot is idle until the next start."""
    if not worker.cancelled() and (error := worker.exception()):
        logger.critical("%s ended by a fault of ours", worker.get_name(), exc_info=error)


def _tell(message: str, build: Build, **fields: object) -> None:
    request = build.request
    about = {"build": build.id, "project": request.project, "version": request.version, "target": request.target}
    logger.info(message, extra={"fields": about | fields})


def _one_line(error: BaseException) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text[:500]
