"""What builds are lent from this machine: tools, libraries and interpreters, readable by the user that builds."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from buildthrough.builders.copies import compile_modules, copy_once
from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.lending import CannotLend, lend_driver, lend_interpreter, lend_toolchain
from buildthrough.builders.permissions import is_readable_by
from buildthrough.builders.sandbox import Command, Mount
from buildthrough.builders.tool_files import tool_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from buildthrough.builders.interpreters import Discovery
    from buildthrough.builders.roots import Found
    from buildthrough.builders.sandbox import Limits
    from buildthrough.builders.target import Interpreter, Target

INSIDE = "/sbx"
"""Where the kit's folder is seen inside."""
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
    tools = copy_once(folder, f"tools-{sys.implementation.cache_tag}", dict(tool_files()), used, finish=_compile)
    if not is_readable_by(tools, uid):
        raise InfrastructureFault(
            "infra.kit", f"the user that builds cannot reach {tools}: make each folder above it searchable for others"
        )
    interpreters: dict[Path, tuple[Mount, ...]] = {}
    targets, sentences = [], _passed_over(discovery, uid)
    lend = partial(lend_interpreter, folder, uid=uid, used=used)
    driver = lend_driver(discovery, lend, interpreters)
    for target in discovery.targets:
        executable = target.interpreter.executable
        try:
            interpreters[executable] = interpreters.get(executable) or lend(target.interpreter)
        except CannotLend as problem:
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
            lent.append(lend_toolchain(folder, path, uid=uid, used=used))
        except (CannotLend, OSError) as problem:
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
