"""Whether the project list on the disk is sound: each of its renditions has its digest in its name."""

from __future__ import annotations

import gzip
import hashlib
import re
import sys
import zlib
from typing import TYPE_CHECKING, Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

_RENDITION: Final = re.compile(r"[0-9a-f]{32}\.[^./]+\.(?P<coding>gzip|zstd|identity)\.(?P<digest>[0-9a-f]{32})")
_PIECE: Final = 1 << 20


def renditions(folder: Path) -> Iterator[Path]:
    """Go through the renditions."""
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if _RENDITION.fullmatch(path.name))


def is_sound(path: Path) -> bool:
    """Read a rendition; whether it has its digest, or is no longer there. Raise ValueError for another name."""
    named = _RENDITION.fullmatch(path.name)
    if named is None:
        raise ValueError("this is no rendition's name")
    digest = hashlib.sha256()
    try:
        with _opened(path, named["coding"]) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except FileNotFoundError:
        return True
    except (OSError, EOFError, zlib.error, zstd.ZstdError):
        return False
    return digest.hexdigest().startswith(named["digest"])


def _opened(path: Path, coding: str) -> gzip.GzipFile | zstd.ZstdFile | BufferedReader:
    if coding == "gzip":
        return gzip.GzipFile(path)
    return zstd.ZstdFile(path) if coding == "zstd" else path.open("rb")
