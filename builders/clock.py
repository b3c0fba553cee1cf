"""The time that a command takes itself, without the time that it waits for the host or for a processor."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from buildthrough.builders.sandbox import Limits

_SHORTEST_WAIT = 0.01
_MOST_FORGIVEN = 4
"""Times the longest wall time: so long a command that gets no processor may keep its slot."""


class Clock:
    """Runs once the command begins; stands still while the host works out an answer. Seconds."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._counted = 0.0
        self._has_begun = False
        self._is_commands_turn = True
        self._running_since: float | None = None
        self._heard = 0.0
        self._forgiven = 0.0

    @property
    def elapsed(self) -> float:
        """Time counted so far."""
        running = 0.0 if self._running_since is None else self._now() - self._running_since
        return self._counted + running

    @property
    def quiet(self) -> float:
        """Time counted since the command was last heard of."""
        return self.elapsed - self._heard

    def begin(self) -> None:
        """Count from now on: the sandbox is set up, which was the host's doing."""
        self._has_begun = True
        if self._is_commands_turn:
            self.start()

    def hear(self) -> None:
        """Note a sign of life: a message, or output."""
        self._heard = self.elapsed

    def forgive(self, seconds: float, limits: Limits) -> None:
        """Do not count time in which the command would have run, had others left it a processor."""
        if self._running_since is not None and self._forgiven < _MOST_FORGIVEN * limits.wall_seconds:
            self._forgiven += seconds
            self._counted -= seconds

    def stop(self) -> None:
        """Stand still: it is the host's turn."""
        self._is_commands_turn = False
        self._counted = self.elapsed
        self._running_since = None

    def start(self) -> None:
        """Run on: the host is done, or waits for the command."""
        self._is_commands_turn = True
        if self._has_begun and self._running_since is None:
            self._running_since = self._now()

    @contextmanager
    def commands_turn(self) -> Iterator[None]:
        """Run while the host waits for the command, then stand still."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    async def overrun(self, limits: Limits) -> Literal["time", "silence"]:
        """Wait until a limit of time is overrun and return which."""
        while True:
            left = limits.wall_seconds - self.elapsed
            if left <= 0:
                return "time"
            patience = limits.silence_seconds - self.quiet
            if patience <= 0:
                return "silence"
            await asyncio.sleep(max(min(left, patience), _SHORTEST_WAIT))
