"""Ask upstream again where it fails for the moment."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import aiohttp

from buildthrough.proxy.errors import UpstreamUnavailable
from buildthrough.proxy.upstream_faults import Passing, upstream_faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace
    from yarl import URL

T = TypeVar("T")

READ_BUFFER: Final = 1 << 19
"""Bytes that may lie ready of each file, half of what is read ahead: while one piece is written, the next gathers."""
CONNECTIONS: Final = 128
FIRST_PAUSE: Final = 0.2
"""Seconds before the second attempt, give or take a half; doubled each time."""
LONGEST_PAUSE: Final = 4.0
"""Seconds between two attempts. An upstream that wants to be left alone for longer is: somebody waits."""


class _Connections(aiohttp.TCPConnector):
    """Connections of which none is used again on which something came that nobody had asked for.

    It would be taken for the answer to the next question (https://github.com/aio-libs/aiohttp/issues/13656).
    """

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        while True:
            connection = await super()._get(key, traces)
            if connection is None or connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()


class Attempts:
    """The first over a connection that is kept, the others over new ones: a bad node of a CDN is got round."""

    def __init__(self, session: aiohttp.ClientSession, fresh: aiohttp.ClientSession, retries: int) -> None:
        self._session = session
        self._fresh = fresh
        self._retries = retries

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, connect_seconds: float, read_seconds: float, retries: int, user_agent: str
    ) -> AsyncIterator[Attempts]:
        """Open the two sessions. They decode nothing and keep no cookies; the environment is not theirs to read."""

        def session(*, keep: bool) -> aiohttp.ClientSession:
            return aiohttp.ClientSession(
                connector=_Connections(limit=CONNECTIONS, force_close=not keep, use_dns_cache=keep),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds, sock_read=read_seconds),
                headers={"User-Agent": user_agent},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=READ_BUFFER,
                trust_env=False,
            )

        async with session(keep=True) as kept, session(keep=False) as fresh:
            yield cls(kept, fresh, retries)

    async def run(self, ask: Callable[[aiohttp.ClientSession], Awaitable[T]], url: URL, *, anew: bool = False) -> T:
        """Return what the first attempt that goes well returns, with ``anew`` over a new connection from the first.

        Raise `UpstreamFault`, or what ``ask`` raises.
        """
        for attempt in range(self._retries + 1):
            try:
                with upstream_faults(url):
                    return await ask(self._fresh if attempt or anew else self._session)
            except Passing as fault:
                if attempt == self._retries or fault.pause > LONGEST_PAUSE:
                    raise UpstreamUnavailable(fault.sentence) from fault
                pause = max(fault.pause, FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            await asyncio.sleep(min(pause, LONGEST_PAUSE))
        raise AssertionError("the last attempt returns or raises")
