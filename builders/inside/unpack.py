"""Unpacks an sdist, trusting nothing: regular files, folders, and links that stay inside; bounded in files and bytes.

``tarfile``'s own data filter is not relied upon: some Pythons lack it, and it let CVE-2025-4517 pass. Here the files
are written first and every link last, so that nothing is ever written through one.
"""

from __future__ import annotations

import calendar
import gzip
import os
import posixpath
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING, cast

from buildthrough.builders.inside.dialogue import Fault, blamed_on

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

MOST_FILES = 100_000
_EARLIEST = 315532800
"""1980 began: the first time stamp that a zip archive, and so a wheel, can hold. Seconds since 1970."""
_LATEST = 4354819198
"""2107 ends: the last one."""
_PIECE = 1 << 20
_LONGEST_PATH = 4000
_DEEPEST = 100
_LARGEST_HEADER = 4 << 20
"""What is read from a tar archive at once: more is a header that claims to be huge."""
_PASSES = 8
"""How many times as much as it may hold a tar archive may have unpacked: hard links make it start again."""


class Unpacker:
    """Writes the members of one archive below a folder."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """Write below the folder, ``most_bytes`` in all."""
        self._folder = folder
        self._left = most_bytes
        self._most_bytes = most_bytes
        self._members = 0
        self._links: list[tuple[Path, str]] = []
        self._times: list[tuple[Path, float]] = []
        self._tops: set[str] = set()

    def place(self, name: str) -> Path | None:
        """Return where a member belongs, None for one to pass over. Raise `Fault` for a name that climbs."""
        self._members += 1
        if self._members > MOST_FILES:
            raise Fault("source.unsafe", f"the sdist has more than {MOST_FILES} files")
        path = posixpath.normpath(name)
        if name.startswith("/") or "\\" in name or "\0" in name or path.split("/")[0] == "..":
            raise Fault("source.unsafe", f"the sdist holds {name[:100]!r}, which lies outside of its folder")
        if len(name) > _LONGEST_PATH:
            raise Fault("source.unsafe", "the sdist holds a path that is too long")
        if path.count("/") > _DEEPEST:
            raise Fault("source.unsafe", f"the sdist has folders more than {_DEEPEST} deep")
        top = path.split("/")[0]
        if path == "." or (top.startswith("._") and "/" not in path):
            return None  # macOS leaves such resource forks beside the folder
        self._tops.add(top)
        return self._folder / path

    def folder(self, path: Path) -> None:
        """Make a folder."""
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise Fault("source.unsafe", f"the sdist holds {path.name[:100]!r} as a file and as a folder") from None

    def file(self, path: Path, content: IO[bytes], *, executable: bool, mtime: float) -> None:
        """Write a regular file; a second one of the same name replaces the first, as with tar."""
        self.folder(path.parent)
        if path.is_dir():
            raise Fault("source.unsafe", f"the sdist holds {path.name[:100]!r} as a file and as a folder")
        path.unlink(missing_ok=True)
        with path.open("xb") as file:
            while piece := content.read(_PIECE):
                self._left -= len(piece)
                if self._left < 0:
                    raise Fault("source.unsafe", f"the sdist unpacks to more than {self._most_bytes} bytes")
                file.write(piece)
        path.chmod(0o755 if executable else 0o644)
        self._times.append((path, min(_LATEST, max(_EARLIEST, mtime))))  # in this order: NaN becomes the earliest

    def link(self, path: Path, target: str) -> None:
        """Remember a symbolic link. Raise `Fault` where it leads out of the archive's folder."""
        inside = posixpath.normpath(posixpath.join(path.parent.relative_to(self._folder).as_posix(), target))
        if target.startswith("/") or "\0" in target or inside.split("/")[0] == "..":
            raise Fault("source.unsafe", f"the sdist holds a link to {target[:100]!r}, outside of its folder")
        self._links.append((path, target))

    def finish(self) -> Path:
        """Make the links, set the times and return the one folder at the top. Raise `Fault` where there are more."""
        for path, mtime in self._times:
            if path.exists():
                os.utime(path, (mtime, mtime))
        for path, target in self._links:
            if any((self._folder / each).is_symlink() for each in path.relative_to(self._folder).parents):
                raise Fault("source.unsafe", f"the sdist holds the link {path.name[:100]!r} behind another link")
            self.folder(path.parent)
            if not path.exists():
                path.symlink_to(target)
        if len(self._tops) != 1:
            raise Fault("source.invalid", f"the sdist has {len(self._tops)} entries at its top, not one folder")
        top = self._folder / self._tops.pop()
        if not stat.S_ISDIR(top.lstat().st_mode):
            raise Fault("source.invalid", "the sdist holds no folder")
        return top


def unpack(archive: Path, folder: Path, most_bytes: int) -> Path:
    """Unpack a ``.tar.gz`` or ``.zip`` below the folder and return its top folder. Raise `Fault`."""
    unpacker = Unpacker(folder, most_bytes)
    with blamed_on("source.invalid", "the sdist cannot be unpacked"):
        if archive.name.endswith(".zip"):
            _unpack_zip(archive, unpacker)
        elif archive.name.endswith((".tar.gz", ".tgz")):
            _unpack_tar(archive, unpacker, most_bytes)
        else:
            raise Fault("source.invalid", f"{archive.name[:100]} is neither a .tar.gz nor a .zip file")
        return unpacker.finish()
    raise AssertionError("nothing is swallowed there")


class _Bounded:
    """A decompressed tar archive that is read in pieces of bounded size, and not again and again."""

    def __init__(self, file: gzip.GzipFile, most_bytes: int) -> None:
        self._file = file
        self._left = _PASSES * most_bytes

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LARGEST_HEADER:
            raise Fault("source.unsafe", f"the sdist has a header of {size} bytes")
        self._work(size)
        return self._file.read(size)

    def seek(self, position: int) -> int:
        here = self._file.tell()
        self._work(position - here if position >= here else position)
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()

    def _work(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Fault("source.unsafe", "the sdist unpacks to far too much, or over and over again")


def _unpack_tar(archive: Path, unpacker: Unpacker, most_bytes: int) -> None:
    with gzip.open(archive) as unpacked:
        bounded = cast("IO[bytes]", _Bounded(unpacked, most_bytes))
        with tarfile.open(fileobj=bounded, mode="r:", errorlevel=2) as tar:
            for member in tar:
                path = unpacker.place(member.name)
                if path is None:
                    continue
                if member.isdir():
                    unpacker.folder(path)
                elif member.issym():
                    unpacker.link(path, member.linkname)
                elif member.isreg() or member.islnk():
                    _write_member(tar, member, path, unpacker)
                else:
                    raise Fault("source.unsafe", f"the sdist holds {member.name[:100]!r}, a device or a pipe")


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, unpacker: Unpacker) -> None:
    try:
        content = tar.extractfile(member)  # a hard link's is that of the member that it names
    except KeyError:
        content = None
    if content is None:
        raise Fault("source.unsafe", f"the sdist holds {member.name[:100]!r}, a link to nothing in it")
    unpacker.file(path, content, executable=bool(member.mode & 0o100), mtime=member.mtime)


def _unpack_zip(archive: Path, unpacker: Unpacker) -> None:
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            path = unpacker.place(member.filename)
            if path is None:
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.is_dir():
                unpacker.folder(path)
            elif kind not in {0, stat.S_IFREG}:
                raise Fault("source.unsafe", f"the sdist holds {member.filename[:100]!r}, which is no regular file")
            else:
                with zipped.open(member) as content:
                    executable = bool((member.external_attr >> 16) & 0o100)
                    unpacker.file(path, content, executable=executable, mtime=_time_of(member))


def _time_of(member: zipfile.ZipInfo) -> float:
    """Return a member's time as if it were UTC: the archive does not say which zone it means."""
    try:
        return calendar.timegm((*member.date_time, 0, 0, 0))
    except ValueError:  # the archive can hold a month 0
        return _EARLIEST
