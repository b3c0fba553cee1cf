"""A recipe, inside: changes sources and build requirements, gives the hooks their settings and variables."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from buildthrough.builders.inside.dialogue import Fault
from buildthrough.builders.inside.patch import DoesNotApply, NotAPatch, apply_patch, parse_patch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

APPENDED = frozenset({"CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "FFLAGS", "FCFLAGS", "RUSTFLAGS"})
"""Environment variables that are put behind what is there, with a blank: others are replaced."""


@dataclass(frozen=True)
class Instructions:
    """What is to be done otherwise than the sdist says. The host made it of a `buildthrough.builders.recipe.Recipe`."""

    requires: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    config_settings: Mapping[str, str | list[str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    patches: tuple[tuple[str, str], ...] = ()
    """Names and unified diffs."""
    delete: tuple[str, ...] = ()

    def change(self, source: Path) -> None:
        """Remove files of the sources and patch them. Raise `Fault` where they are not what the recipe expects."""
        for pattern in self.delete:
            _delete(source, pattern)
        for name, text in self.patches:
            print(f"==> the recipe's patch {name}", flush=True)
            try:
                apply_patch(source, parse_patch(text.encode("utf-8", "surrogateescape")))
            except (DoesNotApply, NotAPatch) as problem:
                raise Fault("recipe.patch", f"the recipe's patch {name} does not apply: {problem}") from problem

    def required(self, stated: Iterable[Any]) -> list[Any]:
        """Return build requirements without those that are left out, and with those that are added."""
        gone = {*self.without, *map(_name, self.requires)}
        kept = (text for text in stated if not isinstance(text, str) or _name(text) not in gone)  # a hook's: anything
        return sorted({*kept, *self.requires}, key=str)

    def surround(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return environment variables with the recipe's."""
        both = dict(environment)
        for name, value in self.environment.items():
            both[name] = f"{both[name]} {value}" if name in APPENDED and both.get(name) else value
        return both


def read_instructions(path: str | None) -> Instructions:
    """Return what a file of the host says; nothing is done otherwise where there is none."""
    if path is None:
        return Instructions()
    told = json.loads(Path(path).read_text(encoding="utf-8"))
    return Instructions(
        requires=tuple(told["requires"]),
        without=tuple(told["without"]),
        config_settings=told["config_settings"],
        environment=told["environment"],
        patches=tuple((name, text) for name, text in told["patches"]),
        delete=tuple(told["delete"]),
    )


def _delete(source: Path, pattern: str) -> None:
    found = [
        path
        for path in source.glob(pattern)
        if stat.S_ISREG(path.lstat().st_mode) and path.parent.resolve().is_relative_to(source.resolve())
    ]
    if not found:
        raise Fault("recipe.delete", f"the recipe deletes {pattern}, and there is no such file")
    print(f"==> the recipe deletes {pattern}: {len(found)} files", flush=True)
    for path in found:
        path.unlink()


def _name(requirement: str) -> str:
    try:
        return canonicalize_name(Requirement(requirement).name)
    except (InvalidRequirement, RecursionError):
        return requirement  # whoever resolves it refuses it
