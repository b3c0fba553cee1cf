"""Build tags: a rebuilt wheel gets a file name of its own, because nobody looks twice at a name that he has cached.

uv keeps what it once got under a file name, pip keeps what it once got under a URL; a build tag, which ranks
after all else, is what makes both take the new wheel. Source: the binary distribution format specification.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from buildthrough.builders.archive import Archive, open_archive
from buildthrough.builders.record import SIGNATURES, write_record

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from buildthrough.builders.archive_entry import Entry
    from buildthrough.builders.artifact import CheckedWheel

_PARTS_WITHOUT_TAG = 5
_REGULAR = 0o100644
_UNIX = 3
_SMALL = 1 << 20


def next_build_tag(filenames: Mapping[str, str], wheel: CheckedWheel) -> int | None:
    """Return the number that tells a wheel from the ones of its name that there were before, None where it needs none.

    ``filenames`` are all file names that were ever used, also by wheels that are purged, each with its sha256.
    The number is above every number used, not the first gap: the newest wheel has to rank highest.
    """
    if filenames.get(wheel.filename) == wheel.sha256:
        return None
    project, version, build, tags = parse_wheel_filename(wheel.filename)
    used: list[int] = []
    for filename in filenames:
        try:
            other = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        if (other[0], str(other[1]), other[3]) == (project, str(version), tags):
            used.append(other[2][0] if other[2] else 0)
    own = build[0] if build else 0
    return max(used) + 1 if used and own <= max(used) else None


def with_build_tag(wheel: CheckedWheel, number: int, folder: Path) -> CheckedWheel:
    """Write the wheel again with a build tag: file name, ``Build`` in WHEEL, RECORD. Blocking: call it in a thread.

    The same wheel and number give the same bytes. Signatures of the RECORD are left out: they no longer hold.
    """
    filename = _renamed(wheel.filename, number)
    path = folder / filename
    with wheel.path.open("rb") as file, path.open("xb") as out:
        archive = open_archive(file, max_files=1 << 32, max_bytes=1 << 62)  # it was checked, with limits
        tops = (entry.path.partition("/")[0] for entry in archive.entries)
        info = next(top for top in tops if top.endswith(".dist-info"))
        _rewrite(archive, out, info, number)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return replace(wheel, path=path, filename=filename, sha256=sha256, size=path.stat().st_size)


def _rewrite(archive: Archive, out: io.BufferedWriter, info: str, number: int) -> None:
    left_out = {f"{info}/{name}" for name in SIGNATURES}
    digests: dict[str, tuple[bytes, int]] = {}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in archive.entries:
            if entry.is_folder or entry.path in left_out:
                continue
            chunks = archive.chunks(entry)
            if entry.path == f"{info}/WHEEL":
                chunks = iter([_tagged(archive.read(entry, limit=_SMALL), number)])
            digests[entry.path] = _write(target, _entry(entry), chunks)
        record = f"{info}/RECORD"
        target.writestr(_entry(next(e for e in archive.entries if e.path == record)), write_record(digests, record))


def _write(target: zipfile.ZipFile, header: zipfile.ZipInfo, chunks: Iterator[bytes]) -> tuple[bytes, int]:
    digest = hashlib.sha256()
    size = 0
    with target.open(header, "w") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
    return digest.digest(), size


def _entry(entry: Entry) -> zipfile.ZipInfo:
    """Return a header that keeps path and mode; the time is the earliest that zip knows."""
    header = zipfile.ZipInfo(entry.path)
    header.create_system = _UNIX
    header.external_attr = (entry.mode or _REGULAR) << 16
    header.compress_type = zipfile.ZIP_DEFLATED
    header.file_size = entry.size
    return header


def _tagged(wheel_file: bytes, number: int) -> bytes:
    lines = [line for line in wheel_file.decode().splitlines() if not line.lower().startswith("build:")]
    end = lines.index("") if "" in lines else len(lines)
    return "\n".join([*lines[:end], f"Build: {number}", *lines[end:], ""]).encode()


def _renamed(filename: str, number: int) -> str:
    parts = filename.split("-")
    tail = parts[2:] if len(parts) == _PARTS_WITHOUT_TAG else parts[3:]
    return "-".join([*parts[:2], str(number), *tail])
