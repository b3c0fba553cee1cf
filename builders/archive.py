"""Zip archives, read with distrust: one meaning only, whoever reads them.

Some readers follow the central directory, others the local headers in stream order. An archive passes only
where both say the same, without a byte before, between or after: names, sizes, checksums, methods, zip64. So
does PyPI check uploads, and uv what it unpacks. Data descriptors are refused as PyPI refuses them.
Source: the .ZIP file format specification (APPNOTE 6.3).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from buildthrough.builders.archive_entry import DEFLATED, UTF8, Entry, check_entry, check_unique, quoted, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_WORD, _SHORT = 0xFFFFFFFF, 0xFFFF
_ZIP64 = 0x0001
_SECOND_NAMES = frozenset({0x7075, 0x6375})
"""Extra fields with another name, or another comment, in Unicode."""
_NEWEST_NEEDED = 63
"""Version 6.3 of the format: pip, by way of `zipfile`, reads nothing that says it needs a newer one."""
_DIRECTORY_BYTES = 32 << 20
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An archive whose structure was checked by `open_archive`. Contents are checked as they are read."""

    file: BinaryIO
    entries: tuple[Entry, ...]
    """In stream order."""

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """Yield the content. Raise `PackageFault` as soon as it is longer than announced, or not what was announced."""
        self.file.seek(entry.offset + _LOCAL.size)
        header = _LOCAL.unpack(_at(self.file, entry.offset, _LOCAL.size))
        self.file.seek(header[9] + header[10], 1)
        count = crc = 0
        for chunk in self._inflated(entry):
            count += len(chunk)
            if count > entry.size:
                raise refusal("size", f"{quoted(entry.path)} unpacks to more than the {entry.size} bytes announced")
            crc = zlib.crc32(chunk, crc)
            yield chunk
        if (count, crc) != (entry.size, entry.crc):
            raise refusal("checksum", f"{quoted(entry.path)} is not what its checksum says")

    def read(self, entry: Entry, *, limit: int) -> bytes:
        """Return the content of at most ``limit`` bytes."""
        if entry.size > limit:
            raise refusal("too-large", f"{quoted(entry.path)} has {entry.size} bytes, more than {limit}")
        return b"".join(self.chunks(entry))

    def _inflated(self, entry: Entry) -> Iterator[bytes]:
        left = entry.packed
        inflate = zlib.decompressobj(-15) if entry.method == DEFLATED else None
        while left:
            packed = self.file.read(min(_CHUNK, left))
            if not packed:
                raise refusal("truncated", f"the archive ends inside {quoted(entry.path)}")
            left -= len(packed)
            if inflate is None:
                yield packed
                continue
            while packed and not inflate.eof:
                try:
                    chunk = inflate.decompress(packed, _CHUNK)
                except zlib.error as error:
                    raise refusal("compression", f"{quoted(entry.path)} cannot be decompressed") from error
                packed = inflate.unconsumed_tail
                yield chunk
            if inflate.eof and (left or packed or inflate.unused_data):  # at once: zlib would collect all of it
                raise refusal("compression", f"{quoted(entry.path)} ends before its compressed data do")
        while inflate is not None and (chunk := inflate.decompress(b"", _CHUNK)):
            yield chunk  # what did not fit into the last piece
        if inflate is not None and not inflate.eof:
            raise refusal("compression", f"{quoted(entry.path)} does not end where its compressed data end")


def open_archive(file: BinaryIO, *, max_files: int, max_bytes: int) -> Archive:
    """Check the structure of the archive in a seekable file and return its entries.

    ``max_bytes`` bounds what all of it unpacks to. Raise `PackageFault` (stage check) where it is not sound.
    """
    start, size, count = _find_directory(file)
    if count > max_files:
        raise refusal("too-many-files", f"the archive holds {count} files, more than {max_files}")
    entries = sorted(_read_directory(file, start, size, count), key=lambda entry: entry.offset)
    if sum(entry.size for entry in entries) > max_bytes:
        raise refusal("too-large", f"the archive unpacks to more than {max_bytes} bytes")
    position = 0
    for entry in entries:
        if entry.offset != position:
            word = "prepended" if position == 0 else "hidden-data"
            raise refusal(word, f"there are foreign bytes, or shared ones, before {quoted(entry.path)}")
        position = _check_local(file, entry)
    if position != start:
        raise refusal("hidden-data", "there are foreign bytes, or shared ones, before the central directory")
    check_unique(entries)
    return Archive(file=file, entries=tuple(entries))


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise refusal("truncated", "the archive ends too early")
    return data


def _find_directory(file: BinaryIO) -> tuple[int, int, int]:
    """Return offset, size in bytes and number of entries of the central directory."""
    total = file.seek(0, 2)
    if total < _END.size:
        raise refusal("not-a-zip", "the file is no zip archive")
    tail = _at(file, max(0, total - _END.size - _SHORT), min(total, _END.size + _SHORT))
    if not tail[-_END.size :].startswith(b"PK\5\6"):
        if b"PK\5\6" in tail:
            raise refusal("trailing-bytes", "there are bytes after the end of the archive")
        raise refusal("not-a-zip", "the file is no zip archive")
    end = total - _END.size
    _, disk, first_disk, count_here, count, size, start, comment = _END.unpack(tail[-_END.size :])
    if end >= _LOCATOR_64.size and _at(file, end - _LOCATOR_64.size, 4) == b"PK\6\7":
        _, _, where, _ = _LOCATOR_64.unpack(_at(file, end - _LOCATOR_64.size, _LOCATOR_64.size))
        end -= _LOCATOR_64.size + _END_64.size
        if where != end or end < 0:
            raise refusal("zip64", "the zip64 end record is not where it should be")
        wide = _END_64.unpack(_at(file, end, _END_64.size))
        if wide[0] != b"PK\6\6" or wide[1] != _END_64.size - 12:
            raise refusal("zip64", "the zip64 end record is malformed")
        narrow = ((count_here, _SHORT), (count, _SHORT), (size, _WORD), (start, _WORD))
        if any(low not in (high, full) for (low, full), high in zip(narrow, wide[6:10], strict=True)):
            raise refusal("zip64", "the zip64 end record and the end record differ")
        disk, first_disk, count_here, count, size, start = wide[4:10]
    if disk or first_disk or count_here != count or comment:
        raise refusal("not-a-zip", "the archive is split, or has a comment")
    if start + size != end:
        raise refusal("prepended", "there are bytes before the archive, or its end record is wrong")
    return start, size, count


def _read_directory(file: BinaryIO, start: int, size: int, count: int) -> Iterator[Entry]:
    if not count * _CENTRAL.size <= size <= count * (_CENTRAL.size + 3 * _SHORT):
        raise refusal("central-directory", "the central directory has the wrong size")
    if size > _DIRECTORY_BYTES:
        raise refusal("too-large", f"the names in the archive take more than {_DIRECTORY_BYTES} bytes")
    position = start
    for _ in range(count):
        fields = _CENTRAL.unpack(_at(file, position, _CENTRAL.size))
        flags, method, crc = fields[3], fields[4], fields[7]
        name_size, extra_size, comment_size, disk = fields[10:14]
        if fields[0] != b"PK\1\2" or disk or comment_size or fields[2] > _NEWEST_NEEDED:
            raise refusal("central-directory", "the central directory is malformed")
        name = _at(file, position + _CENTRAL.size, name_size)
        extra = _extra_fields(file.read(extra_size), extra_size)
        packed_size, unpacked_size, offset = fields[8], fields[9], fields[16]
        unpacked_size, packed_size, offset = _widened(extra, (unpacked_size, packed_size, offset))
        unix = fields[1] >> 8 == 3  # noqa: PLR2004 # "version made by": 3 is Unix, whose mode is in the upper half
        entry = Entry(
            path=_decoded(name, flags),
            mode=fields[15] >> 16 if unix else 0,
            flags=flags,
            method=method,
            crc=crc,
            packed=packed_size,
            size=unpacked_size,
            offset=offset,
            raw_name=name,
        )
        check_entry(entry)
        yield entry
        position += _CENTRAL.size + name_size + extra_size
    if position != start + size:
        raise refusal("central-directory", "the central directory has the wrong size")


def _check_local(file: BinaryIO, entry: Entry) -> int:
    """Compare an entry with its local header. Return where the next one should begin."""
    fields = _LOCAL.unpack(_at(file, entry.offset, _LOCAL.size))
    name_size, extra_size = fields[9:11]
    if fields[0] != b"PK\3\4" or file.read(name_size) != entry.raw_name:
        raise refusal("local-header", f"the local header of {quoted(entry.path)} names another file")
    if fields[1] > _NEWEST_NEEDED:
        raise refusal("local-header", f"{quoted(entry.path)} says that it needs a newer reader than there is")
    extra = _extra_fields(file.read(extra_size), extra_size)
    size, packed = _widened(extra, (fields[8], fields[7]), always=True)
    if (fields[2], fields[3], fields[6], packed, size) != (
        entry.flags,
        entry.method,
        entry.crc,
        entry.packed,
        entry.size,
    ):
        raise refusal("local-header", f"the local header of {quoted(entry.path)} and the central directory differ")
    return entry.offset + _LOCAL.size + int(name_size) + int(extra_size) + entry.packed


def _extra_fields(data: bytes, size: int) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    position = 0
    while position < size:
        if len(data) - position < 4:  # noqa: PLR2004 # identifier and length, two bytes each
            raise refusal("extra-field", "an extra field of the archive is malformed")
        kind, length = struct.unpack_from("<2H", data, position)
        content = data[position + 4 : position + 4 + length]
        if len(content) != length or kind in fields:
            raise refusal("extra-field", "an extra field of the archive is malformed")
        if kind in _SECOND_NAMES:
            raise refusal("name-encoding", "the archive gives a file a second name")
        fields[kind] = content
        position += 4 + length
    return fields


def _widened(extra: dict[int, bytes], values: tuple[int, ...], *, always: bool = False) -> tuple[int, ...]:
    """Replace the values that are too large for 32 bits by those of the zip64 field."""
    wide = [index for index, value in enumerate(values) if value == _WORD]
    content = extra.get(_ZIP64)
    if content is None:
        if wide:
            raise refusal("zip64", "a zip64 field is missing")
        return values
    if always and not wide and len(content) == 8 * len(values):
        wide = list(range(len(values)))  # some writers fill the field and the header alike
        if values != struct.unpack(f"<{len(values)}Q", content):
            raise refusal("zip64", "a zip64 field contradicts its header")
    if len(content) != 8 * len(wide):
        raise refusal("zip64", "a zip64 field has the wrong size")
    result = list(values)
    for index, value in zip(wide, struct.unpack(f"<{len(wide)}Q", content), strict=True):
        result[index] = value
    return tuple(result)


def _decoded(name: bytes, flags: int) -> str:
    try:
        return name.decode("utf-8" if flags & UTF8 else "ascii")
    except UnicodeDecodeError as error:
        raise refusal("name-encoding", f"{name[:60]!r} is not the UTF-8 that it should be") from error
