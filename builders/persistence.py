"""Going on where the queue's database fails for a while, for example because its disk is full."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from buildthrough.builders.database import DatabaseFault
from buildthrough.builders.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

logger = logging.getLogger(__name__)

_REST = RetryPolicy(first_seconds=1, factor=2, longest_seconds=60)


class Persistence:
    """Asks again until it is answered, or until ``stopped`` is set."""

    def __init__(self, stopped: asyncio.Event) -> None:
        self._stopped = stopped

    async def insist(self, call: Callable[[], Awaitable[T]]) -> T | None:
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
            await self.pause(_REST.delay(failures))

    async def pause(self, seconds: float) -> None:
        """Rest, but no longer than until the pool stops."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return
