"""Following a recipe on the host's side: what it refuses and bounds, and what the driver inside is told of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from buildthrough.builders.faults import PackageFault
from buildthrough.builders.sandbox import Mount

if TYPE_CHECKING:
    from pathlib import Path

    from buildthrough.builders.build_log import BuildLog
    from buildthrough.builders.recipe import Recipe
    from buildthrough.builders.sandbox import Limits

_INSIDE = "/recipe.json"


def check_skip(recipe: Recipe | None) -> None:
    """Raise `PackageFault` of the class ``skipped.recipe`` where the recipe says that nothing is to be built."""
    if recipe is not None and recipe.skip:
        raise PackageFault("plan", "skipped.recipe", recipe.skip)


def bounded(limits: Limits, recipe: Recipe | None) -> Limits:
    """Return the limits with those that the recipe sets."""
    return limits if recipe is None else limits.overridden(**recipe.limits)


def advised(fault: PackageFault, recipe: Recipe | None) -> PackageFault:
    """Return a fault for want of something of the system with the Debian packages that the recipe names for it."""
    if recipe is None or not recipe.system_packages or not fault.kind.startswith("syslib."):
        return fault
    return PackageFault(
        fault.stage, fault.kind, f"{fault.line[:400]} (apt install {' '.join(recipe.system_packages)})"[:500]
    )


async def follow(recipe: Recipe | None, *, folder: Path, log: BuildLog) -> Mount | None:
    """Note what applies, and return what the driver has to be shown of it; None where there is no recipe."""
    if recipe is None:
        return None
    log.learn(recipe={**recipe.document(), "digest": recipe.digest})
    log.note(f"by the recipe {recipe.place}: {recipe.why}")
    path = folder / "recipe.json"
    await asyncio.to_thread(_write, recipe, path)
    return Mount(source=path, target=_INSIDE)


def _write(recipe: Recipe, path: Path) -> None:
    told = {
        "requires": recipe.requires,
        "without": recipe.without,
        "config_settings": recipe.config_settings,
        "environment": recipe.environment,
        "patches": [(patch.name, patch.text) for patch in recipe.patches],
        "delete": recipe.delete,
    }
    path.write_text(json.dumps(told), encoding="utf-8")
    path.chmod(0o644)
