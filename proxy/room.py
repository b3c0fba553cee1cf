"""Room to write in: who writes claims it first, so that it is made before it is used."""

from __future__ import annotations

import math
from typing import Protocol


class Claim(Protocol):
    """The claim of one writer."""

    written: int
    """Bytes that it wrote so far."""

    def expect(self, size: int) -> None:
        """Say how many bytes it will be in the end."""
        ...

    def covers(self, total: int) -> bool:
        """Whether room for so many bytes in all is granted already."""
        ...

    async def extend(self, total: int) -> None:
        """Find room for so many bytes in all. Raise `DiskFull` where none can be made."""
        ...

    def kept(self) -> None:
        """Say that what was written counts as kept from now on. Any thread may call it."""
        ...

    def refused(self) -> None:
        """Say that the disk took no more, though there should have been room."""
        ...

    def end(self) -> None:
        """Give the claim up: it is written, or dropped. May be called twice."""
        ...


class Room(Protocol):
    """Grants claims."""

    def claim(self) -> Claim:
        """Begin to write."""
        ...


class Unbounded:
    """Room without a bound: it is for the disk to say no."""

    written = 0

    def claim(self) -> Claim:
        """Grant everything."""
        return self

    def expect(self, size: int) -> None:
        """Nothing follows from it."""

    def covers(self, total: int) -> bool:
        """Whether it is finite."""
        return total < math.inf

    async def extend(self, total: int) -> None:
        """Nothing has to be done."""

    def kept(self) -> None:
        """Nothing follows from it."""

    def refused(self) -> None:
        """Nothing follows from it."""

    def end(self) -> None:
        """Nothing is held."""
