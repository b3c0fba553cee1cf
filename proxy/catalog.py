"""The `Catalog` port: what is known and must not be lost; and the SQL database that holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from buildthrough.builders.request import Build
    from buildthrough.proxy.built import BuiltWheel


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """What an operator did. Never changed, never removed."""

    at: datetime
    action: str
    detail: str
    """JSON object."""


class Catalog(Protocol):
    """Built wheels, tombstones, audit. Builds are the queue's."""

    async def wheels(self, project: str) -> tuple[BuiltWheel, ...]:
        """Return the project's built wheels that are not purged. While nothing changes, the very same tuple, without I/O."""
        ...

    async def all_wheels(self) -> Sequence[BuiltWheel]:
        """Return all built wheels that are not purged."""
        ...

    async def filenames(self, project: str) -> dict[str, str]:
        """Return each file name that a built wheel of the project ever had, purged ones too, with its sha256."""
        ...

    async def publish(self, wheel: BuiltWheel, *, log_sha256: str | None) -> Build:
        """Record the wheel and that its build SUCCEEDED, in one transaction. Its bytes are stored before."""
        ...

    async def is_buried(self, *, sdist_sha256: str, target: str) -> bool:
        """Whether a tombstone forbids to build this sdist for this target."""
        ...

    async def unbury(self, *, sdist_sha256: str, target: str) -> None:
        """Remove the tombstones in the way: an operator asked for the build."""
        ...

    async def purge(
        self,
        wheels: Iterable[BuiltWheel],
        *,
        every_target: bool,
        bury: bool,
        builds: Iterable[int],
        audit: AuditRecord,
    ) -> None:
        """Take wheels off the record, cancel those builds, leave tombstones if ``bury``, write the audit: one transaction."""
        ...

    async def doomed(self) -> Sequence[str]:
        """Return the digests of bytes (wheels, core metadata) that no record needs any more and that are still to be deleted."""
        ...

    async def forget(self, sha256: str) -> None:
        """Note that doomed bytes are deleted."""
        ...

    async def audit(self, limit: int = 100) -> Sequence[AuditRecord]:
        """Return what operators did, the newest first."""
        ...
