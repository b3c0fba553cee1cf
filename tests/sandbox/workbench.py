"""Builds the packages of tests/packages for real: in the sandbox, with this machine's interpreters."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fakes import uids
from tests.fakes.sdists import Sdist, make_sdist

from buildthrough.builders.bubblewrap import BubblewrapSandbox
from buildthrough.builders.build import build_wheel
from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.interpreters import find_targets
from buildthrough.builders.kit import prepare_kit
from buildthrough.builders.permissions import is_readable_by
from buildthrough.builders.request import BuildRequest
from buildthrough.builders.sandbox import Limits
from buildthrough.builders.slot import claim_slots
from buildthrough.builders.toolchain import find_toolchains

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.import_check import ImportRule
    from buildthrough.builders.kit import Kit
    from buildthrough.builders.recipe import Recipe
    from buildthrough.builders.sandbox import Sandbox
    from buildthrough.builders.slot import Slot
    from buildthrough.builders.target import Target

FOLDER = Path(__file__).parents[1] / "packages"
FIRST_UID = uids.WORKBENCH
"""Of these tests alone, so that they do not count other tests' processes."""
WHEELS = Path(os.environ.get("BUILDTHROUGH_TEST_WHEELS") or FOLDER.parents[1] / ".cache" / "wheels")
TOOLCHAIN_WHEELS = WHEELS.with_name("toolchains")
"""Large ones, for few."""
LIMITS = Limits(memory_bytes=512 << 20, disk_bytes=128 << 20, wall_seconds=240, silence_seconds=120)


def package(
    name: str, *, project: str = "sample", version: str = "1.0", more: Mapping[str, bytes] | None = None
) -> Sdist:
    """Pack a folder of tests/packages as an sdist, with the module beside it that makes wheels, and ``more`` files."""
    folder = FOLDER / name
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return make_sdist(
        project, version, {"wheelwright.py": (FOLDER / "wheelwright.py").read_bytes(), **files, **(more or {})}
    )


@dataclass
class Asked:
    """A resolver that answers from a folder of wheels and remembers what it was asked for."""

    requirements: list[tuple[str, ...]] = field(default_factory=list)
    fault: Exception | None = None
    wheels: Sequence[Path] = ()
    """What it answers with; all that lies in the folder if not given."""

    async def __call__(self, requirements: Sequence[str], folder: Path) -> None:
        self.requirements.append(tuple(requirements))
        if self.fault is not None:
            raise self.fault
        assert WHEELS.is_dir(), "make install fetches the wheels that tests build with"
        for wheel in self.wheels or WHEELS.glob("*.whl"):
            copy = folder / wheel.name
            shutil.copyfile(wheel, copy)
            copy.chmod(0o600)  # as a temporary file is


@dataclass
class Workbench:
    """A slot, a kit and a folder that the slot's user can reach."""

    folder: Path
    kit: Kit
    sandbox: Sandbox

    @property
    def target(self) -> Target:
        """CPython's, which is the first."""
        return self.kit.targets[0]

    async def build(
        self,
        sdist: Sdist,
        *,
        target: Target | None = None,
        resolve: Asked | None = None,
        log: BuildLog | None = None,
        max_wheel_bytes: int = 64 << 20,
        recipe: Recipe | None = None,
        import_rule: ImportRule | None = None,
        **limits: float,
    ) -> CheckedWheel:
        """Build; the wheel stays until the workbench is cleared."""
        folder = Path(tempfile.mkdtemp(prefix="build-", dir=self.folder))
        path = folder / sdist.filename
        path.write_bytes(sdist.data)
        target = target or self.target
        return await build_wheel(
            request=BuildRequest(
                project=sdist.project,
                version=sdist.version,
                sdist=sdist.filename,
                sdist_sha256=sdist.sha256,
                target=target.slug,
            ),
            sdist=path,
            target=target,
            sandbox=self.sandbox,
            kit=self.kit,
            folder=folder,
            resolve=resolve or Asked(),
            limits=replace(LIMITS, **limits),
            log=log or BuildLog(),
            max_wheel_bytes=max_wheel_bytes,
            recipe=recipe,
            import_rule=import_rule,
        )


@contextmanager
def workbench(*, slot: int = 0, make: Callable[[Slot, Path], Sandbox] = BubblewrapSandbox) -> Iterator[Workbench]:
    """Set one up, in a folder that every user can reach; pytest's own is its owner's alone.

    Workbenches of different slots have users of their own.
    """
    folder = Path(tempfile.mkdtemp(prefix="workbench-"))
    folder.chmod(0o755)
    try:
        yield asyncio.run(_set_up(folder, slot, make))
    finally:
        shutil.rmtree(folder)


async def _set_up(folder: Path, number: int, make: Callable[[Slot, Path], Sandbox]) -> Workbench:
    slot = claim_slots(number + 1, first_uid=FIRST_UID)[number]
    discovery = await find_targets(
        named=(), search_path=os.environ["PATH"], is_readable=partial(is_readable_by, uid=slot.uid)
    )
    toolchains = await find_toolchains((), os.environ["PATH"])
    kit = await prepare_kit(folder=folder / "kit", discovery=discovery, uid=slot.uid, toolchains=toolchains)
    (folder / "hidden").mkdir()
    return Workbench(folder=folder, kit=kit, sandbox=make(slot, folder / "hidden"))
