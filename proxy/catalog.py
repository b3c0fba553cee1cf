"""The `Catalog` port: what is known and must not be lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager
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
        """Return the project's built wheels that are not purged.

        While nothing changes it is the very same tuple, without I/O.
        """
        ...

    def wheels_at_hand(self, project: str) -> tuple[BuiltWheel, ...] | None:
        """Return what `wheels` would, None where that would take I/O."""
        ...

    async def all_wheels(self) -> Sequence[BuiltWheel]:
        """Return all built wheels that are not purged."""
        ...

    async def filenames(self, project: str) -> dict[str, str]:
        """Return each file name that a built wheel of the project ever had, purged ones too, with its sha256."""
        ...

    async def publish(self, wheel: BuiltWheel, *, log_sha256: str | None) -> Build:
        """Record the wheel and that its build SUCCEEDED, in one transaction. Its bytes are stored before.

        Raise `Cancelled` where the build or its sdist was purged meanwhile, `Conflict` where the file name was given to
        other bytes before.
        """
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
        unlisted: Iterable[int] = (),
    ) -> None:
        """Take wheels off the record, cancel builds, leave tombstones if ``bury``, write the audit: one transaction.

        ``unlisted`` are ended builds that left a wheel for the operator alone: it goes too. A tombstone forbids the
        sdist of a wheel or a build for its target, or for ``every_target``. What those builds published meanwhile goes
        as well. Afterwards the same requests may be submitted anew.
        """
        ...

    async def unlisted(self, project: str | None = None) -> Sequence[Build]:
        """Return the builds that left a wheel for the operator alone, the oldest first."""
        ...

    def hold(self) -> AbstractAsyncContextManager[None]:
        """Hold the bytes of built wheels while they are put and recorded, or found to be of no use and deleted.

        So bytes that are being published anew are never deleted under the publication.
        """
        ...

    async def known_digests(self) -> frozenset[str]:
        """Return the digests of all bytes that a record needs: wheels, core metadata, provenance, logs of builds."""
        ...

    async def doomed(self) -> Sequence[str]:
        """Return the digests of wheels and what is kept beside them that no record needs, still to be deleted."""
        ...

    async def forget(self, sha256: str) -> None:
        """Note that doomed bytes are deleted."""
        ...

    async def drop_provenance(self, sha256: str) -> Sequence[BuiltWheel]:
        """Note that the bytes of a provenance record are lost. Return the wheels whose it was, as they were."""
        ...

    async def audit(self, limit: int = 100) -> Sequence[AuditRecord]:
        """Return what operators did, the newest first."""
        ...

    async def last_audit(self, actions: Collection[str]) -> AuditRecord | None:
        """Return the last of some actions; None where none of them was ever done."""
        ...

    async def note(self, audit: AuditRecord) -> None:
        """Write down what an operator does that changes nothing else here."""
        ...
