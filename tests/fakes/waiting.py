"""Waiting for a condition itself, not for the time in which it usually comes about."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LONG: Final = 60.0
"""Seconds that pass only where something hangs, however busy the machine is."""
_PAUSE_SECONDS = 0.005


async def until(condition: Callable[[], object], seconds: float = LONG) -> None:
    """Ask again and again until the condition holds; one that is a coroutine is awaited. Raise `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while True:
            held = condition()
            if await held if inspect.isawaitable(held) else held:
                return
            await asyncio.sleep(_PAUSE_SECONDS)


def wait_until(condition: Callable[[], object], seconds: float = LONG) -> None:
    """Do as `until` does, in a test without an event loop."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(_PAUSE_SECONDS)
