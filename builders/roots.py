"""Root file systems: folders that hold another distribution, whose Pythons can be built for as well.

Its programs run in the sandbox alone, the Pythons that describe themselves among them: they are another machine's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import platform
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.interpreters import NotUsable, read_facts
from buildthrough.builders.root_folders import TOOLS
from buildthrough.builders.sandbox import Command, Limits, Mount
from buildthrough.builders.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from buildthrough.builders.kit import Kit
    from buildthrough.builders.sandbox import Channel, Sandbox
    from buildthrough.builders.target import Interpreter

_FOLDERS = ("usr/local/bin", "usr/bin")
_NAME = re.compile(r"(?:python3\.\d{1,2}t?|pypy3)")
_MOST = 16
"""Pythons of one root that are asked."""
_OLDEST_DRIVER = (3, 11)
_PROBE = Path(__file__).with_name("inside") / "probe.py"
_LIMITS = Limits(memory_bytes=512 << 20, wall_seconds=60, silence_seconds=60, cpu_seconds=60, processes=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a root file system offers."""

    root: Path
    driver: Interpreter
    """The interpreter of the root that runs the driver of a build."""
    targets: tuple[Target, ...]
    tools: tuple[Mount, ...] = ()
    """Tools for another processor, in the place of this machine's."""


async def add_roots(
    kit: Kit,
    roots: Iterable[Path],
    sandbox: Sandbox,
    *,
    memory: Path,
    can_change_root: bool,
    is_readable: Callable[[Path], bool],
) -> Kit:
    """Return the kit with the targets of root file systems; what cannot be used is told in its sentences.

    What their Pythons said of themselves is kept in the folder ``memory``.
    """
    sentences = list(kit.sentences)
    drivers = dict(kit.roots)
    targets = {target.environment: target for target in kit.targets}
    for root in roots:
        why = "" if can_change_root else "builds cannot see another root file system at this level of isolation"
        if not why and not is_readable(root / "usr"):
            why = "the user that builds cannot get there: make each folder above it searchable"
        if why:
            sentences.append(f"{root}: {why}.")
            continue
        try:
            found = await _find(root, sandbox, memory)
        except NotUsable as problem:
            sentences.append(str(problem))
            continue
        drivers[root] = found
        for target in found.targets:
            other = targets.get(target.environment)
            if other is not None and other.root is not None:
                sentences.append(f"{root}: {target.slug} is left out, since {other.root} is for the same environment.")
                continue
            if other is not None:
                here = other.interpreter.executable
                sentences.append(f"{target.slug}: {root} is built in, in the place of {here} of this machine.")
            targets[target.environment] = target
    return replace(kit, targets=tuple(targets.values()), sentences=tuple(sentences), roots=drivers)


async def _find(root: Path, sandbox: Sandbox, memory: Path) -> Found:
    """Ask the Pythons of a root to describe themselves. Raise `NotUsable` where none can be built with."""
    candidates = await asyncio.to_thread(_candidates, root)
    if not candidates:
        raise NotUsable(f"{root}: holds no /usr/bin/python3.N that could be built for.")
    interpreters: list[Interpreter] = []
    why = ""
    for path in candidates[:_MOST]:
        try:
            interpreters.append(await _describe(root, path, sandbox, memory))
        except NotUsable as problem:
            why = why or str(problem)
    driver = next((one for one in interpreters if _can_drive(one)), None)
    if driver is None:
        raise NotUsable(why or f"{root}: has no CPython of 3.11 or later, which builds in it need.")
    targets = {one.environment: Target(environment=one.environment, interpreter=one, root=root) for one in interpreters}
    tools: tuple[Mount, ...] = ()
    if driver.environment.arch != platform.machine():
        if not (root / TOOLS / "uv").is_file():
            raise NotUsable(f"{root}: is for {driver.environment.arch} and has no /{TOOLS}/uv for it.")
        tools = (Mount(source=root / TOOLS, target="/sbx/bin"),)
    return Found(root=root, driver=driver, targets=tuple(targets.values()), tools=tools)


async def _describe(root: Path, path: str, sandbox: Sandbox, memory: Path) -> Interpreter:
    """Return what a Python of the root says of itself; it is asked once, in the sandbox. Raise `NotUsable`."""
    script = await asyncio.to_thread(_PROBE.read_text)
    told = await asyncio.to_thread(_remembered, memory, root, path, script)
    known = await asyncio.to_thread(told.read_text) if told.exists() else None
    said = known or await _asked(root, path, sandbox, script)
    try:
        facts: dict[str, Any] = json.loads(said)
        interpreter = await asyncio.to_thread(read_facts, facts, Path(path), root)
    except (ValueError, KeyError, TypeError) as problem:
        raise NotUsable(f"{root}: {path} does not describe itself: {said[:200]!a}.") from problem
    if known is None:
        await asyncio.to_thread(_remember, told, said)
    return interpreter


async def _asked(root: Path, path: str, sandbox: Sandbox, script: str) -> str:
    command = Command(argv=(path, "-I", "-c", script), mounts=(), limits=_LIMITS, root=root, gives_way=False)
    try:
        _, ending = await sandbox.run(command, _nothing)
    except InfrastructureFault as fault:
        raise NotUsable(f"{root}: {path} cannot be run in the sandbox ({fault.line}).") from fault
    return ending.log.decode("utf-8", "replace").strip().rpartition("\n")[2]


def _remembered(memory: Path, root: Path, path: str, script: str) -> Path:
    """Return the file that holds what a Python said, while it is the same; under emulation it takes seconds to say."""
    found = (root / path.lstrip("/")).stat()
    key = f"{root}\0{path}\0{found.st_size}\0{found.st_mtime_ns}\0{script}"
    return memory / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _remember(file: Path, said: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(said)
    part.replace(file)


async def _nothing(_channel: Channel) -> None:
    return None


def _can_drive(interpreter: Interpreter) -> bool:
    environment = interpreter.environment
    return environment.implementation == "cp" and environment.python >= _OLDEST_DRIVER


def _candidates(root: Path) -> Sequence[str]:
    """Return the Pythons of a root as they are seen inside, without those that are links to another of them."""
    found: dict[str, str] = {}
    for folder in _FOLDERS:
        place = root / folder
        names = sorted(each.name for each in place.iterdir()) if place.is_dir() else []
        for name in names:
            if _NAME.fullmatch(name):
                link = place / name
                real = str(link.readlink()).rpartition("/")[2] if link.is_symlink() else name
                found.setdefault(real, f"/{folder}/{name}")
    return tuple(found.values())
