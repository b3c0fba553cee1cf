"""What is left of the room inside: which limit of files and disk a failure came from, as the kernel counts it."""

from __future__ import annotations

import errno
import os
import resource
import signal

from buildthrough.builders.inside.places import place

WRITABLE = tuple(map(place, ("/build", "/tmp", "/home/build", "/dev/shm")))  # noqa: S108 # the sandbox's own
_FULL_BYTES = 1 << 20
"""A file system with less room than this is taken for full."""
_FULL_FILES = 16
_MOST_LOOKED_AT = 50_000
"""Files that are looked at to find one that met the limit of its size."""


def shortage(exit_code: int = 0) -> tuple[str, str] | None:
    """Return the class of the limit that was met and a sentence, None where there is room for all."""
    for folder in WRITABLE:
        room = os.statvfs(folder)
        if room.f_bavail * room.f_frsize < min(_FULL_BYTES, room.f_blocks * room.f_frsize // 10):
            return "limit.disk", f"disk limit reached in {folder}"
        if room.f_files and room.f_favail < _FULL_FILES:
            return "limit.inodes", f"there can be no more files in {folder}"
    if exit_code == 128 + signal.SIGXFSZ:
        return "limit.file-size", "wrote a file that is larger than a file may be"
    if path := _full_grown():
        return "limit.file-size", f"{path} is as large as a file may be"
    return None


def class_of(number: int | None) -> str | None:
    """Return the class of an error's number where it tells a limit."""
    if number == errno.EFBIG:
        return "limit.file-size"
    return "limit.disk" if number in {errno.ENOSPC, errno.EDQUOT} else None


def _full_grown() -> str | None:
    """Return a file that the kernel has stopped from growing."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    waiting, looked_at = [*WRITABLE], 0
    while waiting and looked_at < _MOST_LOOKED_AT:
        try:
            entries = os.scandir(waiting.pop())
        except OSError:  # a folder that may not be read
            continue
        with entries:
            for entry in entries:
                looked_at += 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_size == limit:
                    return entry.path
    return None
