"""In what two wheels differ: for people who want to know why a rebuild gave other bytes.

The build tag is no difference: it is what tells a rebuild from the wheel before (``Build`` in WHEEL, RECORD).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from buildthrough.builders.archive import open_archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from buildthrough.builders.archive import Archive
    from buildthrough.builders.archive_entry import Entry

_MOST_FILES, _MOST_BYTES = 50_000, 2 << 30
_SMALL = 1 << 16
_SHOWN = 80
"""Characters, or half as many bytes, of each side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One file that is not the same in both."""

    path: str
    what: str
    """Where they part, with a piece of each."""


def compare(first: Path, second: Path) -> Iterator[Difference]:
    """Yield in what the files of two wheels differ, by name. Blocking.

    Raise `PackageFault` for one whose archive is not sound.
    """
    with first.open("rb") as one, second.open("rb") as two:
        old, new = (open_archive(file, max_files=_MOST_FILES, max_bytes=_MOST_BYTES) for file in (one, two))
        ours, theirs = ({entry.path: entry for entry in archive.entries} for archive in (old, new))
        for path in sorted(ours.keys() | theirs.keys()):
            if path.endswith(".dist-info/RECORD"):
                continue
            if path not in theirs or path not in ours:
                yield Difference(path=path, what=f"only in the {'first' if path in ours else 'second'}")
                continue
            what = _parted(_chunks(old, ours[path]), _chunks(new, theirs[path]))
            if what is None and ours[path].mode & 0o777 != theirs[path].mode & 0o777:
                what = f"mode {ours[path].mode & 0o777:o}, then {theirs[path].mode & 0o777:o}"
            if what is not None:
                yield Difference(path=path, what=what)


def _chunks(archive: Archive, entry: Entry) -> Iterator[bytes]:
    """Yield the content in pieces of one size, so that two files can be held side by side."""
    if entry.path.endswith(".dist-info/WHEEL"):
        lines = archive.read(entry, limit=_SMALL).splitlines(keepends=True)
        yield b"".join(line for line in lines if not line.startswith(b"Build:"))
        return
    held = b""
    for chunk in archive.chunks(entry):
        held += chunk
        while len(held) >= _SMALL:
            yield held[:_SMALL]
            held = held[_SMALL:]
    yield held


def _parted(ours: Iterator[bytes], theirs: Iterator[bytes]) -> str | None:
    """Return where two contents part, None where they do not."""
    offset, lines = 0, 1
    for one, two in zip_longest(ours, theirs, fillvalue=b""):
        if one == two:
            offset, lines = offset + len(one), lines + one.count(b"\n")
            continue
        place = next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
        if b"\0" in one or b"\0" in two:
            pieces = (piece[place : place + _SHOWN // 2].hex() or "the end" for piece in (one, two))
            return f"from byte {offset + place}: {' / '.join(pieces)}"
        start = one.rfind(b"\n", 0, place) + 1
        pieces = (ascii(_line(piece, start, place)) for piece in (one, two))
        return f"from line {lines + one.count(bytes([10]), 0, place)}: {' / '.join(pieces)}"
    return None


def _line(piece: bytes, start: int, place: int) -> str:
    """Return the line in which they part, or what of it is around that place."""
    start = max(start, place - _SHOWN // 2)
    end = piece.find(b"\n", place)
    return piece[start : len(piece) if end < 0 else end][:_SHOWN].decode("utf-8", "replace")
