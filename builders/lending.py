"""How folders of this machine are lent to builds: bound where they are, or as copies that who builds can read."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.builders.copies import copy_once
from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.permissions import is_readable_by
from buildthrough.builders.sandbox import Mount

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildthrough.builders.interpreters import Discovery
    from buildthrough.builders.target import Interpreter

_LEFT_OUT = frozenset({"site-packages", "dist-packages", "test", "tests", "man"})
_OLDEST_DRIVER = (3, 11)
_MOST_BYTES = 1 << 30
"""Of an interpreter that has to be copied."""
_SYSTEM = frozenset(map(Path, ("/", "/usr", "/usr/local", "/bin", "/lib", "/lib64", "/opt", "/root", "/home")))


class CannotLend(Exception):
    """An interpreter cannot be given to a build; the message says why."""


def lend_driver(
    discovery: Discovery,
    lend: Callable[[Interpreter], tuple[Mount, ...]],
    interpreters: dict[Path, tuple[Mount, ...]],
) -> Interpreter:
    """Return an interpreter of the server's own environment, else another that the kit's libraries work with.

    The one that was chosen as the target comes first: where the server's own lies in a folder that builds cannot read,
    that is one that need not be copied.
    """
    others = [target.interpreter for target in discovery.targets]
    alike = [other for other in others if other.environment == discovery.own.environment]
    why = ""
    for candidate in (*alike, discovery.own, *others):
        environment = candidate.environment
        if environment.implementation == "cp" and environment.python >= _OLDEST_DRIVER:
            try:
                interpreters[candidate.executable] = lend(candidate)
            except CannotLend as problem:
                why = why or str(problem)
            else:
                return candidate
    raise InfrastructureFault("infra.kit", f"the server's own Python cannot be lent to builds: {why}")


def lend_interpreter(folder: Path, interpreter: Interpreter, *, uid: int | None, used: set[str]) -> tuple[Mount, ...]:
    """Return the mounts that show an interpreter at the paths that are compiled into it. Raise `CannotLend`."""
    mounts = []
    for prefix in interpreter.prefixes:
        if prefix == Path("/usr") or Path("/usr") in prefix.parents:
            continue  # every sandbox has it
        if prefix in _SYSTEM:
            raise CannotLend(f"its prefix is {prefix}, which holds much more than Python")
        source = prefix.resolve()
        if not is_readable_by(source, uid):
            files = _interpreter_files(source)
            source = copy_once(folder, "python", files, used, by_links=True)
        mounts += [Mount(source=source, target=str(seen)) for seen in dict.fromkeys((prefix, prefix.resolve()))]
    return tuple(mounts)


def lend_toolchain(folder: Path, path: Path, *, uid: int | None, used: set[str]) -> Mount:
    """Return the mount that shows a folder of tools, under a name that says nothing of this machine."""
    if path in _SYSTEM:
        raise CannotLend("it holds much more than tools")
    if not (path / "bin").is_dir():
        raise CannotLend("it has no folder bin")
    source = path
    if not is_readable_by(path, uid):
        source = copy_once(folder, "toolchain", _toolchain_files(path), used, by_links=True)
    name = re.sub(r"[^A-Za-z0-9._-]", "-", path.name) or "tools"
    return Mount(source=source, target=f"/toolchains/{name}")


def _toolchain_files(folder: Path) -> dict[str, Path]:
    """Return what is needed of a toolchain: not its documentation."""
    found = {}
    for parent, folders, files in os.walk(folder):
        if Path(parent) == folder:
            folders[:] = sorted(set(folders) - {"share", "doc", "docs"})
        for name in files:
            path = Path(parent, name)
            if stat.S_IFMT(path.lstat().st_mode) in {stat.S_IFREG, stat.S_IFLNK}:
                found[str(path.relative_to(folder))] = path
    if sum(path.lstat().st_size for path in found.values()) > _MOST_BYTES:
        raise CannotLend(f"builds cannot read it, and it has more than the {_MOST_BYTES} bytes that are lent as a copy")
    return found


def _interpreter_files(prefix: Path) -> dict[str, Path]:
    """Return what an interpreter needs of its prefix: not what is installed into it, nor its own tests."""
    if prefix.is_file():
        return {"": prefix}
    found: dict[str, Path] = {}
    size = 0
    for parent, folders, files in os.walk(prefix):
        links = {folder for folder in folders if Path(parent, folder).is_symlink()}
        folders[:] = sorted(set(folders) - _LEFT_OUT - links)
        for name in sorted([*files, *(links - _LEFT_OUT)]):
            path = Path(parent, name)
            if name.endswith(".a") or stat.S_IFMT(path.lstat().st_mode) not in {stat.S_IFREG, stat.S_IFLNK}:
                continue
            size += path.lstat().st_size
            found[str(path.relative_to(prefix))] = path
    if size > _MOST_BYTES:
        raise CannotLend(f"builds cannot read {prefix}, and its {size} bytes are too many to copy")
    return found
