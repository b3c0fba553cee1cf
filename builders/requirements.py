"""Build requirements: which wheels satisfy them for a target, taken from our own index, never built on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """A file that our index lists, as far as a resolver needs to know it."""

    filename: str
    path: str
    """Where our index serves it, which is all that is needed to ask for it."""
    sha256: str | None
    requires_python: str | None
    yanked: bool
    has_core_metadata: bool


class Index(Protocol):
    """Our own index, asked in-process: upstream's files and the wheels that we built."""

    async def files(self, project: str) -> Sequence[ListedFile]:
        """Return the files of a normalised project name, none for an unknown one. Raise `InfrastructureFault` when upstream fails."""
        ...

    async def core_metadata(self, project: str, file: ListedFile) -> bytes:
        """Return a wheel's METADATA, from its sidecar or from the wheel itself."""
        ...

    async def fetch(self, project: str, file: ListedFile, folder: Path) -> Path:
        """Put the file, its digest checked, under its own name into the folder."""
        ...
