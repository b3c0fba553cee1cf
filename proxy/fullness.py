"""What `buildthrough doctor` says of the data folder: how full its disk is, and what follows from that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.disk import Disk

if TYPE_CHECKING:
    from pathlib import Path

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024


def fullness(folder: Path, *, max_size: int, min_free: int) -> list[str]:
    """Look at the file system and return lines for people. Blocking."""
    lines = ["data folder", f"  - {folder}"]
    there = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        disk = Disk.of(there)
    except OSError as error:
        return [*lines, f"    it cannot be looked at ({error.strerror})"]
    lines.append(f"    {size(disk.free)} of {size(disk.size)} are free")
    lines.append(f"    it may hold {size(max_size)} (storage.max_size), {size(min_free)} stay free (storage.min_free)")
    if not os.access(there, os.W_OK | os.X_OK):
        lines.append("    it cannot be written: see its permissions")
    if disk.free < min_free or not disk.has_inodes:
        lines.append(
            "    THE DISK IS FULL: cached files go, and where that is not enough, files are passed through and not"
        )
        lines.append("    kept; make room, or lower storage.min_free")
    elif max_size > disk.size - min_free:
        lines.append("    storage.max_size is more than the disk has: storage.min_free will be what bounds it")
    return lines


def size(count: float) -> str:
    """Write a number of bytes for people."""
    unit = 0
    while count >= _STEP and unit < len(_UNITS) - 1:
        count, unit = count / _STEP, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"
