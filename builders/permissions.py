"""What a user can read of this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_readable_by(path: Path, uid: int | None) -> bool:
    """Whether a user, with the group of the same number, can read (and enter or run) a path; None for ourselves."""
    real = path.resolve()
    if uid is None:
        return os.access(real, os.R_OK | os.X_OK)
    try:
        return _permits(real, uid, 0o5) and all(_permits(parent, uid, 0o1) for parent in real.parents)
    except OSError:
        return False


def _permits(path: Path, uid: int, wanted: int) -> bool:
    found = path.stat()
    shift = 6 if found.st_uid == uid else 3 if found.st_gid == uid else 0
    return (found.st_mode >> shift) & wanted == wanted
