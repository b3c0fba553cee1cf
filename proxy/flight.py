"""Single flight: work that many ask for at once is done once.

The work belongs to the flight, not to whoever asked first: callers may leave, the work goes on. A failure is shared
by those who wait for it and is not remembered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Flights(Generic[K, V]):
    """The work under way, by key."""

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[V]] = {}

    async def join(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        """Return what the work under way for this key returns; begin it where there is none."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.ensure_future(self._run(work))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End all work under way."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __contains__(self, key: K) -> bool:
        return key in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    @staticmethod
    async def _run(work: Callable[[], Awaitable[V]]) -> V:
        return await work()

    def _land(self, key: K, task: asyncio.Task[V]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # whoever waited has it; where nobody did any more, it was for nobody
