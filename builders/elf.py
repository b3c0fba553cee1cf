"""What machine code needs of the system that loads it, and whether a wheel's platform tag promises as much.

Reads only what the loader reads: program headers and the dynamic section. Every offset is a stranger's.
Sources: the ELF specification; the Linux Standard Base (symbol versions); PEP 513, 571, 599, 600, 656.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from buildthrough.builders.archive_entry import quoted, refusal
from buildthrough.builders.archived_file import open_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from buildthrough.builders.archive import Archive
    from buildthrough.builders.archive_entry import Entry

_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRTAB, _STRSZ, _VERNEED = 1, 5, 10, 0x6FFFFFFE
_IDENT_BYTES = 16
_FARTHEST = 1 << 40
_MAX_HEADERS, _MAX_DYNAMIC, _MAX_STRINGS, _MAX_STEPS = 256, 1 << 16, 64 << 20, 4096
_MACHINES = {
    "i686": 3, "ppc64le": 21, "s390x": 22, "armv7l": 40, "x86_64": 62, "aarch64": 183, "riscv64": 243,
    "loongarch64": 258,
}  # fmt: skip
_PLATFORM = re.compile(
    r"(?:(?P<old>manylinux(?:1|2010|2014))|(?P<libc>manylinux|musllinux)_(?P<major>\d+)_(?P<minor>\d+))_(?P<arch>\w+)"
)
_OLD = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}
_DT_RELR_SINCE = 36
_LIBSTDCXX = ((39, 33), (35, 30), (34, 29), (31, 28), (27, 24), (24, 22), (17, 19), (12, 13), (0, 8))
"""From this glibc 2.x on, libstdc++ up to GLIBCXX_3.4.y is everywhere: PEP 600's rule, as auditwheel reads it."""
_EVERYWHERE = re.compile(
    r"ld-?linux[\w.-]*|ld64\.so\.[12]"
    r"|lib(?:c|m)\.so\.6|lib(?:mvec|rt|anl|nsl|util|z|gcc_s|atomic|expat)\.so\.1|libdl\.so\.2|libpthread\.so\.0"
    r"|libresolv\.so\.2|libstdc\+\+\.so\.6|lib(?:X11|Xext|ICE|SM)\.so\.6|lib(?:Xrender|GL)\.so\.1"
    r"|lib(?:gobject|gthread|glib)-2\.0\.so\.0"
)
_EVERYWHERE_MUSL = re.compile(r"libc\.so|libc\.musl-\w+\.so\.1|ld-musl-\w+\.so\.1|libz\.so\.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """What one file of machine code is and needs."""

    machine: int
    """``e_machine``."""
    needed: tuple[str, ...]
    """Libraries (``DT_NEEDED``)."""
    versions: tuple[tuple[str, str], ...]
    """Library and symbol version, such as ``libc.so.6`` and ``GLIBC_2.17``."""

    @property
    def weight(self) -> int:
        """Roughly the bytes of memory that knowing this takes."""
        names = (*self.needed, *(name for pair in self.versions for name in pair))
        return sum(len(name) + 100 for name in names)


def is_elf(head: bytes) -> bool:
    """Whether a file that begins like this is ELF."""
    return head.startswith(b"\x7fELF")


def read_elf(archive: Archive, entry: Entry) -> Elf:
    """Read one file of an archive. Raise `PackageFault` where it is malformed."""
    try:
        return parse_elf(open_entry(archive, entry))
    except (struct.error, ValueError) as error:
        raise refusal("bad-elf", f"{quoted(entry.path)} is malformed machine code") from error


def parse_elf(file: BinaryIO) -> Elf:
    """Read an ELF file that can be read anywhere. Raise ValueError or `struct.error` where it is malformed."""
    ident = _at(file, 0, _IDENT_BYTES)
    if len(ident) < _IDENT_BYTES or ident[:4] != b"\x7fELF" or ident[4] not in {1, 2} or ident[5] not in {1, 2}:
        msg = "no ELF file"
        raise ValueError(msg)
    return _Reader(file, wide=ident[4] == 2, order="<" if ident[5] == 1 else ">").read()  # noqa: PLR2004 # ELFCLASS64


def check_platform(elves: Mapping[str, Elf], platforms: Iterable[str]) -> None:
    """Refuse a wheel whose machine code needs more than one of its platform tags promises."""
    bundled = {path.rpartition("/")[2] for path in elves}
    for platform in sorted(platforms):
        match = _PLATFORM.fullmatch(platform)
        if match is None:
            continue
        machine = _MACHINES.get(match["arch"])
        for path, elf in sorted(elves.items()):
            if machine is not None and elf.machine != machine:
                if path.endswith(".so"):
                    raise refusal("wrong-machine", f"{quoted(path)} is not made for {match['arch']}")
                continue  # data for another machine, which nothing loads here
            needs = _excess(elf, bundled, match)
            if needs:
                raise refusal(
                    "unearned-tag", f"{quoted(path)} needs {quoted(needs)}, which {platform} does not promise"
                )


def _excess(elf: Elf, bundled: set[str], platform: re.Match[str]) -> str | None:
    """Return a library or symbol version beyond the platform's promise."""
    musl = platform["libc"] == "musllinux"
    everywhere = _EVERYWHERE_MUSL if musl else _EVERYWHERE
    for library in elf.needed:
        if library.rpartition("/")[2] not in bundled and not everywhere.fullmatch(library):
            return library
    minor = _OLD[platform["old"]] if platform["old"] else int(platform["minor"])
    for library, version in elf.versions:
        if library in bundled:
            continue
        family, _, number = version.partition("_")
        if family == "GLIBC" and (musl or _glibc_minor(number) > minor):
            return version
        if family == "GLIBCXX" and not musl and _numbers(number)[2:3] > (_libstdcxx(minor),):
            return version
    return None


def _glibc_minor(number: str) -> int:
    """Return y of the glibc 2.y that has a symbol version; far too much for a private one."""
    if number == "ABI_DT_RELR":
        return _DT_RELR_SINCE
    numbers = _numbers(number)
    return numbers[1] if len(numbers) > 1 and numbers[0] == 2 else 1 << 16  # noqa: PLR2004 # there is no glibc 3


def _libstdcxx(minor: int) -> int:
    return next(newest for since, newest in _LIBSTDCXX if minor >= since)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")) if re.fullmatch(r"\d{1,5}(?:\.\d{1,5})*", text) else ()


class _Reader:
    def __init__(self, file: BinaryIO, *, wide: bool, order: str) -> None:
        self._file = file
        self._wide = wide
        self._order = order
        self._loads: list[tuple[int, int, int]] = []

    def read(self) -> Elf:
        header = self._unpack("HHIQQQIHHHHHH" if self._wide else "HHIIIIIHHHHHH", 16)
        machine, table, size, count = header[1], header[4], header[8], header[9]
        if count > _MAX_HEADERS:
            msg = "too many program headers"
            raise ValueError(msg)
        dynamic: tuple[int, int] | None = None
        for index in range(count):
            kind, offset, address, length = self._segment(table + index * size)
            if kind == _LOAD:
                self._loads.append((address, offset, length))
            elif kind == _DYNAMIC:
                dynamic = (offset, length)
        if dynamic is None:
            return Elf(machine=machine, needed=(), versions=())
        entries = list(self._dynamic(*dynamic))
        values = dict(entries)
        strings = (
            _at(self._file, self._offset(values[_STRTAB]), min(values[_STRSZ], _MAX_STRINGS))
            if (_STRTAB in values and _STRSZ in values)
            else b""
        )
        needed = tuple(_string(strings, value) for tag, value in entries if tag == _NEEDED)
        versions = self._versions(values[_VERNEED], strings) if _VERNEED in values else ()
        return Elf(machine=machine, needed=needed, versions=tuple(versions))

    def _segment(self, position: int) -> tuple[int, int, int, int]:
        if self._wide:
            kind, _, offset, address, _, length = self._unpack("IIQQQQ", position)
        else:
            kind, offset, address, _, length = self._unpack("IIIII", position)
        return kind, offset, address, length

    def _dynamic(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        pair = "QQ" if self._wide else "II"
        step = struct.calcsize(f"{self._order}{pair}")
        for position in range(offset, offset + min(length, _MAX_DYNAMIC) - step + 1, step):
            tag, value = self._unpack(pair, position)
            if tag == 0:
                return
            yield tag, value

    def _versions(self, address: int, strings: bytes) -> Iterator[tuple[str, str]]:
        position = self._offset(address)
        left = _MAX_STEPS  # in all: records may overlap
        while left > 0:
            _, count, name, first, following = self._unpack("HHIII", position)
            library = _string(strings, name)
            detail = position + first
            for _ in range(min(count, left)):
                left -= 1
                _, _, _, version, another = self._unpack("IHHII", detail)
                yield library, _string(strings, version)
                if not another:
                    break
                detail += another
            if not following:
                return
            position += following
            left -= 1
        msg = "too many version records"
        raise ValueError(msg)

    def _offset(self, address: int) -> int:
        for start, offset, length in self._loads:
            if start <= address < start + length:
                return address - start + offset
        msg = "an address outside every segment"
        raise ValueError(msg)

    def _unpack(self, form: str, position: int) -> tuple[int, ...]:
        layout = struct.Struct(self._order + form)
        return layout.unpack(_at(self._file, position, layout.size))


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Return what is there, less at the end of the file."""
    if offset > _FARTHEST:
        raise ValueError("an offset beyond the end of any file")
    file.seek(offset)
    return file.read(size)


def _string(strings: bytes, offset: int) -> str:
    end = strings.find(b"\0", offset, offset + 1024)
    if end < 0:
        msg = "a string without an end"
        raise ValueError(msg)
    return strings[offset:end].decode()
