"""From a build request and its sdist to a checked wheel: one sandbox to build, one to make portable, one check."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from buildthrough.builders.canonical import canonical
from buildthrough.builders.dialogue import Dialogue, converse, lend_files, lend_folder
from buildthrough.builders.import_check import check_import
from buildthrough.builders.inspection import inspect_wheel
from buildthrough.builders.parallelism import parallelism
from buildthrough.builders.portable import make_portable
from buildthrough.builders.profile import ETC_FILES
from buildthrough.builders.recipe_mount import follow
from buildthrough.builders.sandbox import Mount
from buildthrough.builders.stages import told
from buildthrough.builders.wheel import check_wheel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.build_log import BuildLog
    from buildthrough.builders.import_check import ImportRule
    from buildthrough.builders.kit import Kit
    from buildthrough.builders.recipe import Recipe
    from buildthrough.builders.request import BuildRequest
    from buildthrough.builders.sandbox import Limits, Sandbox
    from buildthrough.builders.target import Target

_WHEELS = "/wheels"


async def build_wheel(
    *,
    request: BuildRequest,
    sdist: Path,
    target: Target,
    sandbox: Sandbox,
    kit: Kit,
    folder: Path,
    resolve: Callable[[Sequence[str], Path], Awaitable[None]],
    limits: Limits,
    log: BuildLog,
    max_wheel_bytes: int,
    recipe: Recipe | None = None,
    import_rule: ImportRule | None = None,
) -> CheckedWheel:
    """Build the wheel of an sdist for a target, make it portable, check it, import what is in it.

    ``folder`` is this build's own: sub-folders are made in it, and it is made readable for the user that builds.
    ``resolve`` puts the wheels that satisfy requirements into a folder; it is asked a few times, each time for all of
    them together. ``recipe`` is all that applies to the request. ``import_rule`` None imports nothing. Raise
    `PackageFault` with the stage and the class, `InfrastructureFault`, or what ``resolve`` raised.
    """
    log.note(f"{request.project} {request.version} from {request.sdist} (sha256 {request.sdist_sha256})")
    log.note(f"for {target.slug} with {target.interpreter.executable}")
    wheels, built = folder / "wheels", folder / "built"
    for each in (wheels, built):
        await asyncio.to_thread(lend_folder, each)
    await asyncio.to_thread(sdist.chmod, 0o644)
    wanted: list[str] = []

    async def provide(requirements: tuple[str, ...]) -> None:
        wanted.extend(requirements)
        if not wanted:
            return
        log.note(f"required: {', '.join(requirements)}")
        await resolve(tuple(wanted), wheels)
        await asyncio.to_thread(lend_files, wheels)

    instructions = await follow(recipe, folder=folder, log=log)
    plan = {
        "sdist": f"/sdist/{sdist.name}",
        "python": str(target.interpreter.executable),
        "python_version": target.interpreter.markers["python_full_version"],
        "wheels": _WHEELS,
        "uv": kit.uv,
        "most_bytes": limits.disk_bytes,
        "recipe": None if instructions is None else instructions.target,
        "hosts": ETC_FILES["/etc/hosts"].decode(),
    }
    command = kit.command(
        "driver",
        plan,
        target=target,
        limits=limits,
        mounts=(
            Mount(source=sdist, target=f"/sdist/{sdist.name}"),
            Mount(source=wheels, target=_WHEELS),
            *(() if instructions is None else (instructions,)),
        ),
        environment={"PATH": kit.build_path(target), **parallelism(limits.cpus)},
    )
    dialogue = Dialogue(stage="unpack", output=built, max_wheel_bytes=max_wheel_bytes, provide=provide)
    try:
        wheel = await converse(sandbox=sandbox, command=command, dialogue=dialogue, log=log)
    finally:
        stages = dialogue.clock.stop()
        log.note(told(stages))
        log.learn(stages=stages)
    if dialogue.told is not None:
        markers = target.interpreter.markers
        python = f"{markers['implementation_name']} {markers['python_full_version']}"
        toolchain = {"python": python, **dialogue.told.toolchain}
        log.learn(source_date_epoch=dialogue.told.source_date_epoch, toolchain=toolchain)
    wheel = await make_portable(
        wheel,
        target=target,
        sandbox=sandbox,
        kit=kit,
        folder=folder,
        limits=limits,
        log=log,
        max_wheel_bytes=max_wheel_bytes,
    )
    checked = await asyncio.to_thread(
        check_wheel,
        wheel,
        project=request.project,
        version=request.version,
        environment=target.environment,
        max_archive_bytes=max_wheel_bytes,
    )
    again = folder / "canonical"
    await asyncio.to_thread(lend_folder, again)
    checked = await asyncio.to_thread(canonical, checked, again)
    log.note(f"{checked.filename} (sha256 {checked.sha256}, {checked.size} bytes)")
    for warning in checked.warnings:
        log.note(f"warning: {warning}")
    await asyncio.to_thread(inspect_wheel, checked, project=request.project, root=target.root, log=log)
    if import_rule is not None:
        await check_import(
            checked,
            rule=import_rule,
            project=request.project,
            target=target,
            sandbox=sandbox,
            kit=kit,
            folder=folder,
            limits=limits,
            log=log,
        )
    return checked
