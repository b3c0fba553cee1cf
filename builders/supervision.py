"""Watches over one command from its start to the death of its last process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from buildthrough.builders.sandbox import DialogueError, Overrun

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from buildthrough.builders.channel import PipeChannel
    from buildthrough.builders.clock import Clock
    from buildthrough.builders.log import Log
    from buildthrough.builders.sandbox import Channel, Limits
    from buildthrough.builders.walls import Processes
    from buildthrough.builders.watchdog import Watchdog

T = TypeVar("T")
SET_UP_SECONDS = 60.0
"""So long a sandbox may take to be set up: milliseconds, unless the machine hangs."""
_LAST_WORDS_SECONDS = 1.0


class Supervision:
    """Of one command that runs. What it found out holds once `hold` is over, however that ended."""

    def __init__(
        self,
        *,
        tree: Processes,
        channel: PipeChannel,
        log: Log,
        clock: Clock,
        limits: Limits,
        watchdog: Watchdog,
        stop: asyncio.Event,
        dies: Callable[[], None] = lambda: None,
    ) -> None:
        """Take over a tree. ``stop``, once set, ends it as if `hold` were cancelled; ``dies`` is called first."""
        self._tree = tree
        self._channel = channel
        self._log = log
        self._clock = clock
        self._limits = limits
        self._watchdog = watchdog
        self._stop = stop
        self._dies = dies
        self.exit_code = 0
        self.overrun: Overrun | None = None
        self.stuck = False
        """Whether the command was ended before it began, since its set-up took too long."""

    @property
    def log(self) -> bytes:
        """Head and tail of what the command printed."""
        return self._log.text()

    @property
    def seconds(self) -> float:
        """How long the command took itself."""
        return self._clock.elapsed

    async def hold(self, talk: Callable[[Channel], Awaitable[T]]) -> T | None:
        """Hold the dialogue while the limits are kept; whatever happens, nothing is alive at the end.

        Return what ``talk`` returned, None where the command was ended before. Raise what it raised.
        """
        talking = asyncio.create_task(self._talk(talk))
        ending = asyncio.create_task(self._tree.wait())
        watches = [asyncio.create_task(watch) for watch in self._watches()]
        try:
            while not (talking.done() and ending.done()):
                under_way = [task for task in (talking, ending, *watches) if not task.done()]
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                self.overrun = next((limit for task in watches if task.done() and (limit := task.result())), None)
                if self.overrun or self.stuck or self._stop.is_set() or (talking.done() and talking.exception()):
                    break
            return self._outcome(talking)
        finally:
            self._clock.stop()  # what its death takes is not its own time
            self._dies()
            self.exit_code = await self._tree.kill()
            await _cancel(talking, ending, *watches)
            await self._last_words()

    async def _talk(self, talk: Callable[[Channel], Awaitable[T]]) -> T:
        try:
            return await talk(self._channel)
        finally:
            self._channel.close()
            self._clock.start()  # from now on only the command's end is waited for

    def _outcome(self, talking: asyncio.Task[T]) -> T | None:
        if self.overrun or not talking.done():
            return None
        try:
            return talking.result()
        except DialogueError:
            return None
        finally:
            if self._channel.broken:
                self.overrun = "dialogue"

    def _watches(self) -> list[Coroutine[None, None, Overrun | None]]:
        watches: list[Coroutine[None, None, Overrun | None]] = [
            self._clock.overrun(self._limits),
            self._log.overrun(),
            self._stopped(),
            self._set_up(),
            self._watchdog.overrun(),
        ]
        return watches

    async def _stopped(self) -> None:
        await self._stop.wait()

    async def _set_up(self) -> None:
        try:
            async with asyncio.timeout(SET_UP_SECONDS):
                await self._tree.begun()
        except TimeoutError:
            self.stuck = True

    async def _last_words(self) -> None:
        """Read what is left in the pipe of the log; its end comes at once, now that everything is dead."""
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._log.closed()
        except TimeoutError:
            return  # a log that is not whole is still a log


async def _cancel(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
