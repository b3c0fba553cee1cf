"""Core metadata out of a wheel that an index lists without a sidecar for it. Its bytes are a stranger's.

It need not be as sound as a wheel that we publish: older tools wrote what is refused there. It is read with bounded
memory, and only what is stored or deflated: other methods take as much memory as the archive says.
Source: the binary distribution format.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 16 << 20
"""Bytes of METADATA."""
_DIRECTORY_BYTES = 32 << 20
_MEMBERS = 200_000
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_MALFORMED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, NotImplementedError, IndexError,
    OSError,
)  # fmt: skip


def metadata_of(path: Path) -> bytes:
    """Return METADATA. Raise ValueError where there is none, or none that can be read. Blocking."""
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(_Bounded(file)) as archive:
                return _read(archive)
        except _MALFORMED as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


def _read(archive: zipfile.ZipFile) -> bytes:
    members = archive.infolist()
    if len(members) > _MEMBERS:
        raise ValueError(f"it holds {len(members)} files")
    found = [member for member in members if _METADATA.fullmatch(member.filename)]
    if len(found) != 1:
        raise ValueError("it has no METADATA file" if not found else "it has several METADATA files")
    if found[0].compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError("its METADATA is packed in a rare way")
    with archive.open(found[0]) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"its METADATA has more than {LARGEST} bytes")
    return content


class _Bounded(io.BufferedIOBase):
    """A file that is never read by more than a directory of bounded size at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int | None = -1) -> bytes:
        asked = _DIRECTORY_BYTES + 1 if size is None or size < 0 else size
        if asked > _DIRECTORY_BYTES and size is not None and size >= 0:
            raise ValueError(f"its central directory has {size} bytes")
        found = self._file.read(asked)
        if len(found) > _DIRECTORY_BYTES:
            raise ValueError("its end is absurdly long")
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
