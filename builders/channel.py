"""The dialogue with the command inside: JSON objects, one a line, over two pipes; every size and count is bounded."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from buildthrough.builders.sandbox import DialogueError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildthrough.builders.clock import Clock

LONGEST_LINE = 256 << 10
"""Bytes of one message, its line end included."""
MOST_MESSAGES = 64
_PIECE = 1 << 20


class PipeChannel:
    """The host's ends of the two pipes. What breaks the rules once is `broken` for good."""

    def __init__(self, messages: asyncio.StreamReader, answers: asyncio.StreamWriter, clock: Clock) -> None:
        """Talk through streams; ``messages`` has `LONGEST_LINE` as its limit."""
        self._messages = messages
        self._answers = answers
        self._clock = clock
        self._received = 0
        self.broken = False
        """Whether the command inside broke the rules of the dialogue."""

    async def receive(self) -> dict[str, Any] | None:
        """Return the next message, None at the end.

        Raise `DialogueError` for one that is none, or too long, or one too many.
        """
        with self._verdict():
            line = await self._line()
            if not line:
                return None
            self._received += 1
            if self._received > MOST_MESSAGES:
                raise DialogueError(f"the build sends more than {MOST_MESSAGES} messages")
            return _message(line)

    async def send(self, message: dict[str, Any]) -> None:
        """Answer with one JSON object. An answer to a command that has ended is dropped: the next `receive` tells."""
        self._answers.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        with self._clock.commands_turn():
            try:
                await self._answers.drain()
            except ConnectionError:
                return

    async def receive_bytes(self, size: int, file: BinaryIO) -> None:
        """Copy exactly that many bytes into the file. Raise `DialogueError` where fewer come."""
        left = size
        while left:
            piece = await self._piece(min(left, _PIECE))
            await asyncio.to_thread(file.write, piece)
            left -= len(piece)

    def close(self) -> None:
        """Stop listening: the command writes into the void from now on."""
        self._answers.close()

    async def _line(self) -> bytes:
        with self._clock.commands_turn():
            try:
                line = await self._messages.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                if end.partial:
                    raise DialogueError("the build ended in the middle of a message") from None
                return b""
            except asyncio.LimitOverrunError:
                raise DialogueError(f"the build sends a message of more than {LONGEST_LINE} bytes") from None
        self._clock.hear()
        return line

    async def _piece(self, size: int) -> bytes:
        with self._verdict():
            with self._clock.commands_turn():
                piece = await self._messages.read(size)
            if not piece:
                raise DialogueError("the build sends fewer bytes than it announced")
        self._clock.hear()
        return piece

    @contextmanager
    def _verdict(self) -> Iterator[None]:
        try:
            yield
        except DialogueError:
            self.broken = True
            raise


def _message(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # ValueError: no JSON, no UTF-8, or a number of too many digits
        raise DialogueError("the build sends something that is no JSON object") from None
    if not isinstance(message, dict):
        raise DialogueError("the build sends something that is no JSON object")
    return message


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
