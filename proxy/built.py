"""The record of a built wheel. Nothing about a yank is in it, so nothing about a yank can go stale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltWheel:
    """A wheel that we built, filed under the request that it answers."""

    project: str
    """Normalised name."""
    version: str
    filename: str
    sha256: str
    size: int
    metadata_sha256: str
    requires_python: str | None
    sdist: str
    """File name of the very sdist that it was built from."""
    sdist_sha256: str
    target: str
    """Slug of the environment that it was built for."""
    build: int
    """Identifier of the build that made it."""
    created: datetime
    provenance_sha256: str | None = None
    """Of the record of how it was built; None for wheels of versions that kept none."""

    @property
    def digests(self) -> tuple[str, ...]:
        """The sha256 of all bytes that are kept of it."""
        return (self.sha256, self.metadata_sha256, *([self.provenance_sha256] if self.provenance_sha256 else []))

    @property
    def path(self) -> str:
        """Where we serve it, below ``/built/``."""
        return f"{self.project}/{self.sha256}/{self.filename}"
