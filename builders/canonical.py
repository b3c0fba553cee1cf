"""The one form in which wheels are published: of the same files it has the same bytes, whoever packed them.

A backend, auditwheel and zipfile each leave their own order, times, modes and compression in an archive. Here a wheel
that was checked is written again: the dist-info folder last, as PEP 427 wishes, RECORD at its very end, everything
else by name, one time, two modes, one compression. What installers make of it stays the same.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

from buildthrough.builders.archive import Archive, open_archive
from buildthrough.builders.record import SIGNATURES, write_record

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path

    from buildthrough.builders.archive_entry import Entry
    from buildthrough.builders.artifact import CheckedWheel

_LEVEL = 6
_UNIX = 3
_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""What a zip archive can hold. Not the sdist's time: no installer keeps it, and nobody need wonder where it is from."""
_PLAIN, _EXECUTABLE = 0o100644, 0o100755
_ANY_EXECUTE = 0o111
_SMALL = 1 << 20


def canonical(wheel: CheckedWheel, folder: Path) -> CheckedWheel:
    """Write a checked wheel into an empty folder, in the one form. Blocking: call it in a thread."""
    return write_again(wheel, folder / wheel.filename)


def write_again(wheel: CheckedWheel, path: Path, *, build: int | None = None) -> CheckedWheel:
    """Write a checked wheel to a path, in the one form; with a number also as ``Build`` in WHEEL. Blocking.

    The same files and number give the same bytes, as far as zlib's versions agree. Entries of folders are left out,
    and signatures of the RECORD: they no longer hold.
    """
    with wheel.path.open("rb") as file, path.open("xb") as out:
        archive = open_archive(file, max_files=1 << 32, max_bytes=1 << 62)  # it was checked, with limits
        tops = (entry.path.partition("/")[0] for entry in archive.entries)
        info = next(top for top in tops if top.endswith(".dist-info"))
        _write_all(archive, out, info, build)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return replace(wheel, path=path, filename=path.name, sha256=sha256, size=path.stat().st_size)


def _write_all(archive: Archive, out: io.BufferedWriter, info: str, build: int | None) -> None:
    record = f"{info}/RECORD"
    left_out = {f"{info}/{name}" for name in SIGNATURES} - {record}
    files = [entry for entry in archive.entries if not entry.is_folder and entry.path not in left_out]
    digests: dict[str, tuple[bytes, int]] = {}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as target:
        for entry in sorted(files, key=lambda one: (one.path.startswith(f"{info}/"), one.path)):
            if entry.path == record:
                continue
            chunks = archive.chunks(entry)
            if build is not None and entry.path == f"{info}/WHEEL":
                chunks = iter([_tagged(archive.read(entry, limit=_SMALL), build)])
            digests[entry.path] = _write(target, _header(entry), chunks)
        own = next(entry for entry in files if entry.path == record)
        target.writestr(_header(own), write_record(digests, record), zipfile.ZIP_DEFLATED, _LEVEL)


def _write(target: zipfile.ZipFile, header: zipfile.ZipInfo, chunks: Iterator[bytes]) -> tuple[bytes, int]:
    digest = hashlib.sha256()
    size = 0
    with target.open(header, "w") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
    return digest.digest(), size


def _header(entry: Entry) -> zipfile.ZipInfo:
    header = zipfile.ZipInfo(entry.path, _EARLIEST)
    header.create_system = _UNIX
    header.external_attr = (_EXECUTABLE if entry.mode & _ANY_EXECUTE else _PLAIN) << 16
    header.compress_type = zipfile.ZIP_DEFLATED
    header.file_size = entry.size
    return header


def _tagged(wheel_file: bytes, number: int) -> bytes:
    lines = [line for line in wheel_file.decode().splitlines() if not line.lower().startswith("build:")]
    end = lines.index("") if "" in lines else len(lines)
    return "\n".join([*lines[:end], f"Build: {number}", *lines[end:], ""]).encode()
