"""One file or folder of a zip archive: what it may be called, and what it may be.

Names count as equal where any file system in use would take them for one.
"""

from __future__ import annotations

import stat
import unicodedata
from dataclasses import dataclass

from buildthrough.builders.faults import PackageFault

STORED, DEFLATED = 0, 8
_ENCRYPTED, _DESCRIPTOR, UTF8 = 0x1, 0x8, 0x800
_KNOWN_FLAGS = 0x6 | UTF8
_PATH_CHARACTERS, _SEGMENT_BYTES = 1024, 255
_DEPTH = 100
_FOLDERS = 100_000
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that nobody sees, or that reorder what is seen."""
_IGNORED = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that some file systems leave out of a comparison; so they do with `_SELECTORS`."""
_SELECTORS = range(0xFE00, 0xFE10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file or folder of an archive. Sizes and offsets in bytes."""

    path: str
    mode: int
    """Unix mode, 0 where the archive says none."""
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    raw_name: bytes

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder: by convention its name ends in a slash."""
        return self.path.endswith("/")


def refusal(word: str, sentence: str) -> PackageFault:
    """Return the fault of a wheel that is not published: class ``output.<word>``."""
    return PackageFault("check", f"output.{word}", sentence[:500])


def quoted(text: str) -> str:
    """Return text of a stranger for use in a sentence: short, and without control characters."""
    return ascii(text if len(text) <= 120 else f"{text[:117]}...")  # noqa: PLR2004 # a good part of one line


def check_entry(entry: Entry) -> None:
    """Refuse an entry that is no plain file or folder below where it is unpacked, or is packed in a rare way."""
    _check_path(entry.path)
    if entry.flags & _ENCRYPTED:
        raise refusal("encrypted", f"{quoted(entry.path)} is encrypted")
    if entry.flags & _DESCRIPTOR:
        raise refusal("data-descriptor", f"{quoted(entry.path)} has its sizes after its data")
    if entry.flags & ~_KNOWN_FLAGS or entry.method not in (STORED, DEFLATED):
        raise refusal("compression", f"{quoted(entry.path)} is neither stored nor deflated")
    if entry.method == STORED and entry.packed != entry.size:
        raise refusal("size", f"{quoted(entry.path)} is stored but has two sizes")
    kind = stat.S_IFMT(entry.mode)
    if kind not in (0, stat.S_IFDIR if entry.is_folder else stat.S_IFREG) or (entry.is_folder and entry.size):
        raise refusal("file-type", f"{quoted(entry.path)} is neither a regular file nor a folder")
    if entry.mode & (stat.S_ISUID | stat.S_ISGID):
        raise refusal("setuid", f"{quoted(entry.path)} asks for set-user-id or set-group-id")


def _check_path(path: str) -> None:
    if not path.isprintable() and any(unicodedata.category(c) in _INVISIBLE for c in path):
        raise refusal("control-character", f"{quoted(path)} has a control character in its name")
    if "\\" in path:
        raise refusal("backslash", f"{quoted(path)} has a backslash in its name")
    if path.startswith("/"):
        raise refusal("absolute-path", f"{quoted(path)} is an absolute path")
    if path[1:2] == ":":
        raise refusal("drive-letter", f"{quoted(path)} begins with a drive letter")
    segments = path.removesuffix("/").split("/")
    if any(segment in {"", ".", ".."} for segment in segments):
        raise refusal("path-traversal", f"{quoted(path)} climbs, or has an empty part")
    if len(segments) > _DEPTH:
        raise refusal("long-path", f"{quoted(path)} is more than {_DEPTH} folders deep")
    if len(path) > _PATH_CHARACTERS or any(len(segment.encode()) > _SEGMENT_BYTES for segment in segments):
        raise refusal("long-path", f"{quoted(path)} is too long for a file system")


def check_unique(entries: list[Entry]) -> None:
    """Refuse paths that are one on some file system, and files that are folders as well."""
    seen: dict[str, Entry] = {}
    for entry in entries:
        key = name_key(entry.path)
        if key in seen:
            word = "duplicate" if seen[key].path == entry.path else "case-duplicate"
            raise refusal(word, f"{quoted(entry.path)} is there twice")
        seen[key] = entry
    folders: set[str] = set()
    for key in seen:
        folder = key.rpartition("/")[0]
        while folder and folder not in folders:
            if folder in seen and not seen[folder].is_folder:
                raise refusal("duplicate", f"{quoted(seen[folder].path)} is a file and a folder")
            folders.add(folder)
            if len(folders) > _FOLDERS:
                raise refusal("too-many-files", f"the archive holds more than {_FOLDERS} folders")
            folder = folder.rpartition("/")[0]


def name_key(path: str) -> str:
    """Return the same for two paths that some file system in use takes for one.

    NTFS and APFS do not mind case, APFS and ext4's own folding nor how accents are written, and ext4 nor invisible
    characters; Windows leaves out dots and spaces at the end of a name.
    """
    plain = path.removesuffix("/")
    if not plain.isascii():
        kept = "".join(c for c in plain if c not in _IGNORED and ord(c) not in _SELECTORS)
        plain = unicodedata.normalize("NFD", unicodedata.normalize("NFD", kept).upper().casefold())
    return "/".join(segment.rstrip(". ") or segment for segment in plain.casefold().split("/"))
