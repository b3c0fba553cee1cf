"""Whether a part of a file lies in the kernel's page cache, and bringing it there.

`os.sendfile` waits for the disk where it must, on the event loop: 60 ms for a megabyte that lies on a busy disk.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from buildthrough.proxy.ranges import Part

_STRIDE: Final = 256 << 10
"""The kernel reads ahead and evicts in stretches: one byte of each tells of the rest, nearly always."""
_PIECE: Final = 1 << 20
_NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)


def at_hand(descriptor: int, part: Part) -> bool:
    """Whether reading the part would wait for no disk, as far as this system can tell."""
    if not _NOWAIT:
        return True
    byte = [bytearray(1)]
    try:
        for offset in range(part.begin, part.end, _STRIDE):
            os.preadv(descriptor, byte, offset, _NOWAIT)
        os.preadv(descriptor, byte, part.end - 1, _NOWAIT)
    except BlockingIOError:
        return False
    except OSError:  # a file system that cannot tell, or one that fails: reading will say so
        return True
    return True


def bring(descriptor: int, part: Part) -> None:
    """Read the part from the disk and forget it; it blocks. What fails is left to whoever reads it then."""
    with suppress(OSError):
        os.posix_fadvise(descriptor, part.begin, part.end - part.begin, os.POSIX_FADV_WILLNEED)
        for offset in range(part.begin, part.end, _PIECE):
            os.pread(descriptor, min(_PIECE, part.end - offset), offset)
