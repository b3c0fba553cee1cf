"""The Debian packages that recipes name, and which of them this machine lacks."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from buildthrough.builders.recipe import Recipe

_SECONDS = 20
_FORM = "${binary:Package} ${db:Status-Status}\n"


async def missing_packages(recipes: Iterable[Recipe]) -> dict[str, tuple[str, ...]] | None:
    """Return, by project, the packages that are not installed here; None where this machine cannot tell."""
    wanted = _by_project(recipes)
    installed = await _installed({name for names in wanted.values() for name in names})
    if installed is None:
        return None
    lacking = {project: tuple(name for name in names if name not in installed) for project, names in wanted.items()}
    return {project: names for project, names in lacking.items() if names}


def _by_project(recipes: Iterable[Recipe]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for recipe in recipes:
        if recipe.system_packages:
            found[recipe.project] = tuple(dict.fromkeys((*found.get(recipe.project, ()), *recipe.system_packages)))
    return found


async def _installed(names: Collection[str]) -> frozenset[str] | None:
    program = shutil.which("dpkg-query")
    if program is None:
        return None
    process = await asyncio.create_subprocess_exec(
        program, "--show", f"--showformat={_FORM}", "--", *sorted(names),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        told, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    words = (line.split() for line in told.decode("utf-8", "replace").splitlines())
    return frozenset(row[0].partition(":")[0] for row in words if row[1:] == ["installed"])
