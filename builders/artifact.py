"""What a build hands over: a wheel that was checked, not yet published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedWheel:
    """A wheel on disk that `builders.wheel.check_wheel` found to be what was asked for."""

    path: Path
    filename: str
    sha256: str
    size: int
    """Bytes."""
    metadata: bytes
    """The METADATA file inside, unmodified (PEP 658)."""
    requires_python: str | None
    warnings: tuple[str, ...] = ()
    """Oddities that are the author's right, such as a ``.pth`` file."""
    files: tuple[str, ...] = ()
    """Paths of all files inside, sorted."""
