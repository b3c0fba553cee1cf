"""Have the C library give memory back that is no longer used."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8  # numbers of <malloc.h>


def give_back(at_least: int = 128 << 10) -> bool:
    """Let each piece of at least so many bytes go back to the system when it is freed; whether that could be asked.

    Left alone, glibc raises that bound to the largest piece it has seen, 32 MiB at most: a page of ten megabytes, in
    bytes, as text, and compressed, leaves holes behind that nothing fits into, in an arena for each thread.
    """
    with suppress(AttributeError, OSError):  # musl and others have no such function, and need none
        mallopt = ctypes.CDLL(None).mallopt
        return all(
            mallopt(parameter, value) == 1
            for parameter, value in ((_MMAP_THRESHOLD, at_least), (_TRIM_THRESHOLD, at_least), (_ARENA_MAX, 2))
        )
    return False
