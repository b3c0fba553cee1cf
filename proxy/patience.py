"""How long clients wait for upstream. They give up themselves after 10 (pdm), 15 (pip, poetry) or 30 seconds (uv).

Who is told no does not end the question: it goes on, and whoever asks again joins it. So the retries of a client add
up to the patience that a slow upstream needs, and each of them is answered in time.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

from buildthrough.proxy.errors import UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from buildthrough.proxy.flight import Flights

K = TypeVar("K", bound="Hashable")
T = TypeVar("T")

MOST_OPEN: Final = 2000
"""Questions of one kind that may be open: they go on where nobody waits for them any more."""

_SILENT_SECONDS: Final = 30.0
"""How long upstream is taken for silent after somebody waited in vain, unless it answers anybody before."""
_SHARE: Final = 10
"""While upstream is silent, such a part of the time is waited: pip asks for its pages one after another."""


class Patience:
    """The bounds of waiting, and whether upstream is silent now."""

    def __init__(self, *, unknown: float, known: float) -> None:
        """Wait for so many seconds where there is nothing to answer with, and where there is an old page."""
        self._unknown = unknown
        self._known = known
        self._silent_until = 0.0

    async def ask(self, questions: Flights[K, T], key: K, question: Callable[[], Awaitable[T]], *, is_known: bool) -> T:
        """Ask what many may ask at once; return as `wait` does. Raise `UpstreamUnavailable` where too much is open."""
        if len(questions) >= MOST_OPEN and key not in questions:
            raise UpstreamUnavailable("Too many questions to upstream are open; try again later.")
        return await self.wait(questions.join(key, question), is_known=is_known)

    async def wait(self, answer: Awaitable[T], *, is_known: bool) -> T:
        """Return the answer, which must be shielded. Raise `UpstreamUnavailable` where it takes too long."""
        seconds = self._unknown
        if is_known:
            seconds = self._known / _SHARE if time.monotonic() < self._silent_until else self._known
        try:
            async with asyncio.timeout(seconds):
                given = await answer
        except TimeoutError as error:
            if is_known:  # a page that is new may just be long
                self._silent_until = time.monotonic() + _SILENT_SECONDS
            msg = f"Upstream's answer is not here after {seconds:g} seconds; it is still being asked, so try again."
            raise UpstreamUnavailable(msg) from error
        self._silent_until = 0.0
        return given
