"""The Pythons of this machine: each is run once and describes itself; those of one environment are one target."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from buildthrough.builders.target import Environment, Interpreter, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from buildthrough.builders.target import Implementation, System

OLDEST = (3, 8)
"""What uv and the hook caller of the build frontend still serve."""
_MAX_CANDIDATES = 64
_MOST_SHOWN = 3
_PROBE_SECONDS = 15
_PROBE_BYTES = 64 << 10
_NAME = re.compile(r"(python3|pypy3)(\.\d+t?)?")
_PROBE = Path(__file__).with_name("inside") / "probe.py"
_PYPY_ABI = re.compile(r"pypy\d+-pp\d+")
_NARROW = {"x86_64": "i686", "aarch64": "armv7l"}
"""What a 32-bit interpreter on a 64-bit kernel really is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What was found on this machine."""

    own: Interpreter
    """The interpreter that runs this server; the driver inside the sandbox runs on one of its environment."""
    targets: tuple[Target, ...]
    """What can be built for: the server's own environment first, then in the order of discovery."""
    sentences: tuple[str, ...]
    """What was left out, and why, for the operator."""


class NotUsable(Exception):
    """An interpreter cannot be a target; the message is a sentence for the operator."""


async def find_targets(*, named: Sequence[Path], search_path: str, is_readable: Callable[[Path], bool]) -> Discovery:
    """Ask the server's interpreter, the named ones and those on the search path to describe themselves.

    ``is_readable`` says whether the user that builds can read a path: of several interpreters of one environment the
    first one with headers is taken, a readable one before others. Raise `NotUsable` only where the server's own
    interpreter cannot be described, which leaves nothing to run the driver on.
    """
    own = await describe(Path(sys.executable))
    found, sentences = [own], []
    for path in named:
        try:
            found.append(await describe(path))
        except NotUsable as problem:
            sentences.append(str(problem))
    candidates = await asyncio.to_thread(_on_path, search_path)
    answers = await asyncio.gather(*(describe(path) for path in candidates), return_exceptions=True)
    silent = []
    for path, answer in zip(candidates, answers, strict=True):
        if isinstance(answer, NotUsable):
            silent.append(str(path))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found.append(answer)
    if silent:
        shown = ", ".join(silent[:_MOST_SHOWN]) + (", …" if len(silent) > _MOST_SHOWN else "")
        sentences.append(f"{len(silent)} files on PATH are called like a Python but are none of 3.8 or later: {shown}.")
    targets = await asyncio.to_thread(choose_targets, found, is_readable)
    sentences += [
        f"{target.slug}: {target.interpreter.executable} has no Python.h, so only packages without C code can be built."
        for target in targets
        if not target.interpreter.has_headers
    ]
    return Discovery(own=own, targets=targets, sentences=tuple(sentences))


def choose_targets(found: Iterable[Interpreter], is_readable: Callable[[Path], bool]) -> tuple[Target, ...]:
    """Take one interpreter per environment: one with headers first, then a readable one, then the first."""
    best: dict[Environment, tuple[tuple[bool, bool], Interpreter]] = {}
    for interpreter in found:
        merit = (interpreter.has_headers, is_readable(interpreter.executable))
        rival = best.get(interpreter.environment)
        if rival is None or merit > rival[0]:
            best[interpreter.environment] = (merit, interpreter)
    return tuple(Target(environment=key, interpreter=chosen) for key, (_, chosen) in best.items())


async def describe(path: Path) -> Interpreter:
    """Run an interpreter, isolated from settings, and read what it says about itself. Raise `NotUsable`."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(path), "-I", str(_PROBE)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
        )
    except OSError as problem:
        raise NotUsable(f"{path}: cannot be run ({problem.strerror}).") from problem
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            answer = await _read(process, path)
    except TimeoutError:
        raise NotUsable(f"{path}: did not describe itself within {_PROBE_SECONDS} seconds.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        facts = json.loads(answer)
    except ValueError:
        raise NotUsable(f"{path}: is no Python, or one that cannot run (exit code {process.returncode}).") from None
    return await asyncio.to_thread(read_facts, facts, path)


async def _read(process: asyncio.subprocess.Process, path: Path) -> bytes:
    if process.stdout is None:
        raise AssertionError(path)
    pieces, size = [], 0
    while piece := await process.stdout.read(4096):
        size += len(piece)
        if size > _PROBE_BYTES:
            raise NotUsable(f"{path}: says more than a Python would.")
        pieces.append(piece)
    await process.wait()
    return b"".join(pieces)


def read_facts(facts: dict[str, Any], path: Path, root: Path = Path("/")) -> Interpreter:
    """Make an interpreter of what the probe printed. Raise `NotUsable` for one that cannot be a target.

    The paths that it names are below ``root``.
    """
    version = (int(facts["version"][0]), int(facts["version"][1]))
    if version < OLDEST:
        raise NotUsable(f"{path}: Python {version[0]}.{version[1]} is too old; 3.8 or later can be built for.")
    folders = [Path(folder) for folder in facts["folders"] if folder]
    executable = Path(facts["executable"])
    return Interpreter(
        executable=executable,
        prefixes=_outermost([*folders, executable]),
        environment=_environment(facts, path, version),
        markers=dict(facts["markers"]),
        has_headers=any((root / folder.lstrip("/") / "Python.h").is_file() for folder in facts["include"]),
    )


def _environment(facts: dict[str, Any], path: Path, version: tuple[int, int]) -> Environment:
    implementation = {"cpython": "cp", "pypy": "pp"}.get(facts["implementation"])
    if implementation is None:
        raise NotUsable(f"{path}: {facts['implementation']} is neither CPython nor PyPy.")
    if implementation == "cp":
        threading, debug = ("t" if facts["free_threaded"] else ""), ("d" if facts["debug"] else "")
        abi = f"cp{version[0]}{version[1]}{threading}{debug}"
    else:
        match = _PYPY_ABI.search(facts["soabi"] or "") or _PYPY_ABI.search(facts["ext_suffix"] or "")
        if match is None:
            raise NotUsable(f"{path}: this PyPy does not name its ABI.")
        abi = match[0].replace("-", "_")
    system, libc = facts["libc"] or (None, (0, 0))
    if system not in {"manylinux", "musllinux"}:
        raise NotUsable(f"{path}: its C library is neither glibc nor musl, so no portable wheel can be made with it.")
    machine = facts["machine"]
    return Environment(
        implementation=cast("Implementation", implementation),
        python=version,
        abi=abi,
        system=cast("System", system),
        system_version=(int(libc[0]), int(libc[1])),
        arch=_NARROW.get(machine, machine) if facts["bits"] == 32 else machine,  # noqa: PLR2004 # bits of a pointer
    )


def _outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the paths, in order, without those that lie below another one."""
    unique = dict.fromkeys(paths)
    return tuple(path for path in unique if not any(other in path.parents for other in unique))


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def managed_folders(home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders in which pyenv's and uv's installations have their programs. Blocking."""
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    places = (
        Path(environment.get("PYENV_ROOT") or home / ".pyenv") / "versions",
        Path(environment.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python"),
    )
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            versions = [one for one in place.iterdir() if one.is_dir() and not one.is_symlink()]
            found += sorted((one / "bin" for one in versions), key=_by_version, reverse=True)
    return tuple(found)


def _by_version(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.parent.name)[:3])


def _on_path(search_path: str) -> list[Path]:
    """Return programs called like a Python, one for each real file, in the order of the search path.

    Scripts are passed over: they are the launchers of version managers, slow, and often for a Python that is not there.
    """
    found: dict[Path, Path] = {}
    for folder in filter(None, search_path.split(os.pathsep)):
        try:
            names = sorted(path.name for path in Path(folder).iterdir())
        except OSError:
            continue  # a search path commonly names folders that do not exist
        for name in names:
            path = Path(folder, name)
            if _NAME.fullmatch(name) and path.is_file() and os.access(path, os.X_OK) and _is_elf(path):
                found.setdefault(path.resolve(), path)
    return list(found.values())[:_MAX_CANDIDATES]
