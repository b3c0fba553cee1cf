"""Ask upstream again where it fails for the moment."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, TypeVar

from buildthrough.proxy.errors import UpstreamUnavailable
from buildthrough.proxy.upstream_faults import Passing, upstream_faults

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import aiohttp
    from yarl import URL

T = TypeVar("T")

FIRST_PAUSE: Final = 0.2
"""Seconds before the second attempt, give or take a half; doubled each time."""
LONGEST_PAUSE: Final = 4.0
"""Seconds between two attempts, whatever Retry-After says: somebody waits."""


class Attempts:
    """The first over a connection that is kept, the others over new ones: a bad node of a CDN is got round."""

    def __init__(self, session: aiohttp.ClientSession, fresh: aiohttp.ClientSession, retries: int) -> None:
        self._session = session
        self._fresh = fresh
        self._retries = retries

    async def run(self, ask: Callable[[aiohttp.ClientSession], Awaitable[T]], url: URL) -> T:
        """Return what the first attempt that goes well returns. Raise `UpstreamFault`, or what ``ask`` raises."""
        for attempt in range(self._retries + 1):
            try:
                with upstream_faults(url):
                    return await ask(self._fresh if attempt else self._session)
            except Passing as fault:
                if attempt == self._retries:
                    raise UpstreamUnavailable(fault.sentence) from fault
                pause = max(fault.pause, FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            await asyncio.sleep(min(pause, LONGEST_PAUSE))
        raise AssertionError("the last attempt returns or raises")
