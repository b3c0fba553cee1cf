"""Copies of files of this machine that other users can read, made once and known again by their content."""

from __future__ import annotations

import compileall
import hashlib
import os
import py_compile
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def files_below(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Return the files of a folder, each with its place below ``name``; no byte code."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        for file in sorted(files):
            path = Path(parent, file)
            yield f"{name}/{path.relative_to(folder)}", path


def copy_once(
    folder: Path,
    kind: str,
    files: Mapping[str, Path],
    used: set[str],
    finish: Callable[[Path], None] = lambda _place: None,
    *,
    by_links: bool = False,
) -> Path:
    """Copy files once, under a name that tells when they changed; return the folder, or the file for a single one.

    ``finish`` may add to a new copy before it gets its name. With ``by_links`` files are given a second name where that
    does as well, which takes no time and no room.
    """
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        found = path.lstat()
        digest.update(f"{name}\0{path}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    place = folder / f"{kind}-{digest.hexdigest()[:16]}"
    used.add(place.name)
    if not _is_whole(place, files):
        shutil.rmtree(place, ignore_errors=True)
        part = folder / f"{place.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        _copy_files(part, files, by_links=by_links)
        finish(part)
        part.rename(place)
    return place / "only" if list(files) == [""] else place


def compile_modules(library: Path, seen_as: str) -> None:
    """Write the byte code of all modules of a copied library, for this Python; others compile them each time anew.

    ``seen_as`` is where the library will be seen: what a traceback names.
    """
    compileall.compile_dir(
        library,
        quiet=2,
        force=True,
        stripdir=str(library),
        prependdir=seen_as,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,  # its place is named by its content
    )
    for cache in library.rglob("__pycache__"):
        cache.chmod(0o755)
        for file in cache.iterdir():
            file.chmod(0o644)


def _copy_files(place: Path, files: Mapping[str, Path], *, by_links: bool) -> None:
    place.mkdir(mode=0o755)
    for name, path in files.items():
        target = place / (name or "only")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (by_links and _linked(path, target)):
            shutil.copy2(path, target, follow_symlinks=False)
            if not target.is_symlink():
                target.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    for parent, _, _ in os.walk(place):
        Path(parent).chmod(0o755)


def _linked(path: Path, target: Path) -> bool:
    """Give a file a second name where that is as good as a copy: on one disk, when everybody may read it already."""
    found = path.lstat()
    wanted = 0o555 if found.st_mode & 0o100 else 0o444
    if not stat.S_ISREG(found.st_mode) or found.st_mode & wanted != wanted or found.st_mode & 0o022:
        return False
    try:
        os.link(path, target)
    except OSError:  # another disk, or a file system without links
        return False
    return True


def _is_whole(place: Path, files: Mapping[str, Path]) -> bool:
    """Whether each file is there with its size: a machine may have stopped in the middle."""
    try:
        return all((place / (name or "only")).lstat().st_size == path.lstat().st_size for name, path in files.items())
    except OSError:
        return False
