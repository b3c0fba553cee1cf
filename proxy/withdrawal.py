"""Builds that nobody needs any more are cancelled when upstream's page says so, while they wait and while they run.

No page is asked for because of those that wait, however many: a page that changes is seen when anybody asks for it, and
each build is looked at again when its turn comes. The few that run are looked at from time to time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from buildthrough.builders.database import DatabaseFault
from buildthrough.builders.faults import Cancelled, InfrastructureFault
from buildthrough.builders.request import BuildState
from buildthrough.proxy import logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from buildthrough.builders.queue import BuildQueue
    from buildthrough.builders.request import BuildRequest

log = logs.logger("withdrawal")

_MOST_WAITING: Final = 10_000
"""Projects to be looked at; a change beyond is seen when a build's turn comes."""
_MOST_RUNNING: Final = 1024


class Withdrawals:
    """The projects whose pages changed, and the task that looks at their builds."""

    def __init__(
        self,
        queue: BuildQueue,
        *,
        check: Callable[[BuildRequest], Awaitable[object]],
        withdraw: Callable[[Iterable[int], Cancelled], Awaitable[None]],
        watch_seconds: float = 60,
    ) -> None:
        """``check`` raises `Cancelled` where there is nothing to build, by upstream's page as it is now."""
        self._queue = queue
        self._check = check
        self._withdraw = withdraw
        self._watch_seconds = watch_seconds
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()

    def see(self, project: str) -> None:
        """Take note that a project's page changed, or is gone. Returns at once."""
        if len(self._changed) < _MOST_WAITING:
            self._changed[project] = None
            self._wake.set()

    async def run(self) -> None:
        """Look at what changed, and from time to time at what runs, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._watch_seconds):
                    await self._wake.wait()
            try:
                await self._look_at_all()
            except DatabaseFault as fault:
                log.warning("builds could not be looked at after a page changed", fault=fault.sentence)
            except Exception:
                # The boundary of a background task: what is missed now is seen when the build's turn comes.
                log.exception("builds could not be looked at after a page changed")

    async def _look_at_all(self) -> None:
        if not self._wake.is_set():
            for build in await self._queue.list(state=BuildState.RUNNING, limit=_MOST_RUNNING):
                self._changed[build.request.project] = None
        self._wake.clear()
        while self._changed:
            project = next(iter(self._changed))
            del self._changed[project]
            await self.look(project)

    async def look(self, project: str) -> None:
        """Cancel those builds of a project for which there is nothing to build any more."""
        for build in await self._queue.active(project=project):
            try:
                await self._check(build.request)
            except Cancelled as why:
                log.info("a build is cancelled", build=build.id, project=project, why=why.line)
                await self._withdraw([build.id], why)
            except InfrastructureFault:
                return  # upstream fails: nothing is known of it now
