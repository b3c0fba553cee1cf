"""The claims of those who write into the data folder: what is written, and what is to come."""

from __future__ import annotations

from typing import Final, Protocol

STEP: Final = 8 << 20
"""Bytes that are claimed at a time where nobody knows how many there will be."""


class Grants(Protocol):
    """Who grants claims."""

    async def grant(self, claim: Claimed, total: int, ahead: int) -> None:
        """Find room for so many bytes in all, and for some ahead if there is any, and set `Claimed.granted`.

        Raise `DiskFull` where none can be made.
        """
        ...

    def refuse(self) -> None:
        """Note that the disk took no more."""
        ...


class Claimed:
    """What one writer may write."""

    def __init__(self, room: ClaimedRoom) -> None:
        self.written = 0
        self.granted = 0
        self._room = room
        self._expected = 0

    @property
    def is_record(self) -> bool:
        """Whether it is never refused."""
        return self._room.is_record

    @property
    def outstanding(self) -> int:
        """Bytes that it may still write."""
        return max(0, self.granted - self.written)

    def expect(self, size: int) -> None:
        """Say how many bytes it will be in the end."""
        self._expected = size

    def covers(self, total: int) -> bool:
        """Whether room for so many bytes in all is granted already."""
        return total <= self.granted

    async def extend(self, total: int) -> None:
        """Find room. Where nobody knows how much it will be, in growing steps."""
        self._room.claims.add(self)
        ahead = STEP if self.granted and total > self._expected else 0
        await self._room.grants.grant(self, max(total, self._expected), ahead)

    def kept(self) -> None:
        """Count for nothing: what was written is counted by its store. Any thread may call it."""
        self.granted = self.written = 0

    def refused(self) -> None:
        """Say that the disk took no more."""
        self._room.grants.refuse()

    def end(self) -> None:
        """Give it up."""
        self._room.claims.discard(self)


class ClaimedRoom:
    """The room of one store."""

    def __init__(self, grants: Grants, claims: Claims, *, is_record: bool) -> None:
        self.grants = grants
        self.claims = claims
        self.is_record = is_record

    def claim(self) -> Claimed:
        """Begin to write."""
        return Claimed(self)


class Claims:
    """All claims that have not ended."""

    def __init__(self) -> None:
        self._claims: set[Claimed] = set()

    @property
    def written(self) -> int:
        """Bytes that lie on the disk, and are not yet kept."""
        return sum(claim.written for claim in self._claims)

    @property
    def outstanding(self) -> int:
        """Bytes that are to come."""
        return sum(claim.outstanding for claim in self._claims)

    def add(self, claim: Claimed) -> None:
        """Count one."""
        self._claims.add(claim)

    def discard(self, claim: Claimed) -> None:
        """Count it no more."""
        self._claims.discard(claim)
