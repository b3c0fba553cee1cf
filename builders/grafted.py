"""Which libraries of the machine auditwheel put into a wheel, and where they come from.

auditwheel names a copy by the digest of what it copied, so the source can be found and proven without believing
anything that came out of a sandbox. Names of Debian's packages come from dpkg's own lists.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from buildthrough.builders.archive import open_archive
from buildthrough.builders.facts import GraftedLibrary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from buildthrough.builders.artifact import CheckedWheel

_COPY = re.compile(r"[^/]+\.libs/(?P<base>[^/.]+)-(?P<digest>[0-9a-f]{8})\.(?P<rest>so[^/]*)")
_FOLDERS = ("usr/lib", "usr/lib64", "usr/local/lib", "usr/local/lib64", "lib", "lib64", "opt")
_MOST = 200
_MOST_ENTRIES = 500_000
"""Files of the machine that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    path: Path
    sha256: str


def find_grafted(wheel: CheckedWheel, root: Path | None) -> tuple[GraftedLibrary, ...]:
    """Return the libraries in a checked wheel that auditwheel brought, by name. ``root`` is the target's. Blocking."""
    copies = dict(sorted((file, match) for file in wheel.files if (match := _COPY.fullmatch(file)))[:_MOST])
    if not copies:
        return ()
    base = root or Path("/")
    digests = _digests(wheel.path, copies)
    names = {f"{match['base']}.{match['rest']}" for match in copies.values()}
    candidates = [_Source(path=path, sha256=_sha256(path)) for path in _files(base, names)]
    found = []
    for file, match in copies.items():
        name = f"{match['base']}.{match['rest']}"
        source = next((one for one in candidates if one.path.name == name and one.sha256[:8] == match["digest"]), None)
        found.append(_describe(file, digests[file], source, base))
    return tuple(found)


def sentence(library: GraftedLibrary) -> str:
    """Say where a library comes from, for the log."""
    if not library.source:
        return f"{library.file} came with the wheel, nobody here knows from where"
    of = f" of {library.package} {library.version}" if library.package else ""
    return f"{library.file} is {library.source}{of}"


def _describe(file: str, sha256: str, source: _Source | None, base: Path) -> GraftedLibrary:
    if source is None:
        return GraftedLibrary(file=file, sha256=sha256)
    seen = f"/{source.path.relative_to(base)}"
    package, version = _owner(base / "var/lib/dpkg", seen)
    return GraftedLibrary(
        file=file,
        sha256=sha256,
        soname=_soname(source.path),
        source=seen,
        source_sha256=source.sha256,
        package=package,
        version=version,
    )


def _digests(path: Path, wanted: Iterable[str]) -> dict[str, str]:
    """Return the sha256 of files in a wheel that was found sound."""
    found = {}
    with path.open("rb") as file:
        archive = open_archive(file, max_files=1_000_000, max_bytes=1 << 40)
        for entry in archive.entries:
            if entry.path in wanted:
                digest = hashlib.sha256()
                for chunk in archive.chunks(entry):
                    digest.update(chunk)
                found[entry.path] = digest.hexdigest()
    return found


def _files(base: Path, names: set[str]) -> Iterator[Path]:
    """Yield the regular files of these names where libraries lie."""
    left = _MOST_ENTRIES
    for folder in _FOLDERS:
        if (base / folder).is_symlink():
            continue
        for parent, _, files in os.walk(base / folder):
            left -= len(files)
            if left < 0:
                return
            for name in names.intersection(files):
                path = Path(parent, name)
                if path.is_file() and not path.is_symlink():
                    yield path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _soname(path: Path) -> str:
    """Return what a library of this machine is called; its file's name where it does not say so."""
    try:
        with path.open("rb") as file:
            section = ELFFile(file).get_section_by_name(".dynamic")
            tags = section.iter_tags("DT_SONAME") if isinstance(section, DynamicSection) else ()
            return next((str(tag.soname) for tag in tags), path.name)  # type: ignore[attr-defined] # made by its kind
    except ELFError:
        return path.name


def _owner(database: Path, path: str) -> tuple[str, str]:
    """Return the Debian package that a file belongs to, and its version; both empty where nobody knows.

    Lists may name it by where it was before /lib was joined with /usr/lib.
    """
    wanted = {f"{path}\n".encode(), f"{path.removeprefix('/usr')}\n".encode()}
    for listed in sorted((database / "info").glob("*.list")):
        with listed.open("rb") as lines:
            if not wanted.isdisjoint(lines):
                package = listed.name.removesuffix(".list").partition(":")[0]
                return package, _version(database / "status", package)
    return "", ""


def _version(status: Path, package: str) -> str:
    here = False
    with status.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("Package: "):
                here = line.removeprefix("Package: ").strip() == package
            elif here and line.startswith("Version: "):
                return line.removeprefix("Version: ").strip()
    return ""
