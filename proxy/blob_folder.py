"""Files by their sha256 in a local folder: the layout, and the steps on it. Every call blocks; each is one thread hop.

<folder>/v1/ab/cd/abcd...   a file by its digest; its mtime is when it was last used, a minute more or less
<folder>/v1/incoming/       files being written, cleared at the start
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from buildthrough.proxy.errors import DiskFull, StorageFault
from buildthrough.proxy.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOUCH_SECONDS: Final = 60.0
"""A file's time of use is at most this much behind."""

SHELVES: Final = tuple(f"{number:02x}" for number in range(256))
"""Names of the folders of the first level."""
_LEVEL: Final = 2
"""Letters of such a name."""
_PIECE: Final = 1 << 20
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_REASONS: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "its permissions forbid it",
    errno.EIO: "the disk reports an error",
}


class KeptFile(NamedTuple):
    """A file in its place."""

    used: float
    """Unix seconds."""
    size: int
    sha256: str


class Look(NamedTuple):
    """What a file is, as it was read."""

    used: float
    """Unix seconds."""
    size: int
    is_sound: bool
    """Whether it has the digest that it is named after."""


class BlobFolder:
    """The folder. What is counted in `tally` is exact once the folder was walked through, and stays so."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "v1"
        self.incoming = self._root / "incoming"
        self.tally = Tally()

    def clear(self) -> None:
        """Make the folder where needed, and clear what a dead process left half written."""
        with storage_faults():
            self.incoming.mkdir(parents=True, exist_ok=True)
            for path in self.incoming.iterdir():
                path.unlink()

    def place(self, sha256: str) -> Path:
        """Return where a digest's bytes are kept. Raise ValueError for what is no digest: it touches no path."""
        if _SHA256.fullmatch(sha256) is None:
            raise ValueError("a sha256 has 64 lower-case hexadecimal digits")
        return self._root / sha256[:2] / sha256[2:4] / sha256

    def use(self, path: Path) -> int | None:
        """Return a file's size and note that it was used; None where it is not there."""
        with storage_faults():
            try:
                status = path.stat()
            except FileNotFoundError:
                return None
            if not stat.S_ISREG(status.st_mode):
                return None
        now = time.time()
        if not now - TOUCH_SECONDS <= status.st_mtime <= now:
            with suppress(OSError):  # a read-only folder still serves; only its order of use stands still
                os.utime(path, (now, now))
        return status.st_size

    def take_in(self, descriptor: int, temporary: Path, sha256: str, kept: Callable[[], object] = lambda: None) -> Path:
        """Make a written file durable and rename it to its place; return that. Call ``kept`` when it is counted.

        That is before its folder is durable too: who counted it both as kept and as being written until then would
        think that there is less room than there is, and remove what may stay.
        """
        path = self.place(sha256)
        with storage_faults():
            os.fchmod(descriptor, 0o444)
            os.fsync(descriptor)
            fresh = [folder for folder in (path.parent, path.parent.parent) if not folder.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            with self.tally.changing(sha256) as change:
                before = _status(path)
                temporary.rename(path)
                kept()
                change(os.fstat(descriptor).st_size - (before.st_size if before else 0), 0 if before else 1)
            for folder in (path.parent, *(folder.parent for folder in fresh)):
                _fsync_folder(folder)
        return path

    def remove(self, sha256: str, used: float | None = None) -> int | None:
        """Remove a file and return its size; None where there is none, or where it was used at another time than this.

        Who has it open may read it to its end.
        """
        path = self.place(sha256)
        with storage_faults(), self.tally.changing(sha256) as change:
            status = _status(path)
            if status is None or used not in {None, status.st_mtime}:
                return None
            path.unlink()
            change(-status.st_size, -1)
        return status.st_size

    def look(self, sha256: str, note: Callable[[int], object] = lambda _size: None) -> Look | None:
        """Read a file to its end; None where there is none. ``note`` is told the size of each piece."""
        try:
            descriptor = os.open(self.place(sha256), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageFault(f"A file in the data folder cannot be read: {error.strerror}.") from error
        digest = hashlib.sha256()
        try:
            status = os.fstat(descriptor)
            while data := os.read(descriptor, _PIECE):
                digest.update(data)
                note(len(data))
        except OSError:  # the disk cannot read it any more: that is damage
            return Look(status.st_mtime, status.st_size, is_sound=False)
        finally:
            os.close(descriptor)
        return Look(status.st_mtime, status.st_size, is_sound=digest.hexdigest() == sha256)

    def shelves(self) -> list[str]:
        """Return the folders of the first level, in order."""
        with storage_faults(), os.scandir(self._root) as entries:
            return sorted(entry.name for entry in entries if len(entry.name) == _LEVEL)

    def shelf(self, name: str) -> list[KeptFile]:
        """Return the files in a folder of the first level."""
        files: list[KeptFile] = []
        with storage_faults():
            for folder in _listing(self._root / name):
                files += _files(Path(folder.path))
        return files

    def foreign(self, name: str) -> list[Path]:
        """Return what lies in a folder of the first level and is none of the store's files."""
        with storage_faults():
            found: list[Path] = []
            for folder in _listing(self._root / name):
                if not folder.is_dir(follow_symlinks=False):
                    found.append(Path(folder.path))
                    continue
                found += [Path(entry.path) for entry in _listing(Path(folder.path)) if not self._is_ours(entry)]
            return found

    def _is_ours(self, entry: os.DirEntry[str]) -> bool:
        is_named_so = _SHA256.fullmatch(entry.name) is not None and entry.is_file(follow_symlinks=False)
        return is_named_so and self.place(entry.name) == Path(entry.path)

    def count(self, name: str) -> list[KeptFile]:
        """Return the files in a folder of the first level, and count them: the next step of the tally's walk."""
        files: list[KeptFile] = []
        with storage_faults():
            for folder in self.tally.enter(name, lambda: [entry.name for entry in _listing(self._root / name)]):
                with self.tally.counting(folder) as note:
                    found = [file for file in _files(self._root / name / folder) if file.sha256[2:4] == folder]
                    note(sum(file.size for file in found), len(found))
                files += found
        return files


@contextmanager
def storage_faults() -> Iterator[None]:
    """Say in a sentence what the disk refused: OSError becomes `StorageFault`."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or os.strerror(error.errno or 0).lower()
        kind = DiskFull if error.errno in _FULL else StorageFault
        raise kind(f"The data folder cannot be used: {reason}.") from error


def _status(path: Path) -> os.stat_result | None:
    """Return what a file is; None where there is none, or something that is no file."""
    try:
        status = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _files(folder: Path) -> list[KeptFile]:
    """Return the files of a folder of the second level. What has no digest for a name is not ours."""
    files = []
    for entry in _listing(folder):
        if _SHA256.fullmatch(entry.name) is not None:
            with suppress(FileNotFoundError):  # removed while we look
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    files.append(KeptFile(status.st_mtime, status.st_size, entry.name))
    return files


def _listing(folder: Path) -> list[os.DirEntry[str]]:
    """Return a folder's entries by name: at most 256, or what one such part of all digests has."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
