"""A file system, as it says how full it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_INODES: Final = 64
"""Fewer free ones are as bad as no bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What the file system says."""

    free: int
    """Bytes that we may use."""
    size: int
    has_inodes: bool

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """Look at the file system of a folder. Blocking. Raise OSError."""
        found = os.statvfs(folder)
        # Some file systems count no inodes.
        has_inodes = not found.f_files or found.f_favail >= min(_INODES, found.f_files // 2)
        return cls(free=found.f_bavail * found.f_frsize, size=found.f_blocks * found.f_frsize, has_inodes=has_inodes)
