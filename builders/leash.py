"""What holds a command back until everything that ends it is in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable


class Leash:
    """Between the host and a command whose set-up is done, and which waits for a word."""

    def __init__(self, ready: StreamReader, word: StreamWriter, begins: Callable[[], None]) -> None:
        """Hold on until a line comes over ``ready``; ``begins`` is called just before the line that lets go."""
        self._ready = ready
        self._word = word
        self._begins = begins
        self.let_go = False
        """Whether the command began; holds once everything is dead."""

    async def hold(self) -> None:
        """Wait for the end of the set-up and let the command begin; return also where the set-up ended without one."""
        if await self._ready.readline():
            self._begins()
            self.let_go = True
            self._word.write(b"go\n")
