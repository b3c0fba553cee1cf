"""Recipes: what a project needs to be built that its sdist does not say. Values, and which apply; nothing is read.

Several may fit a request. They are merged, the most specific last, the operator's after those that are shipped; what
the merged recipe says has a digest, which is part of the build's identity.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from buildthrough.builders.request import BuildRequest
    from buildthrough.builders.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A change of an sdist's sources."""

    name: str
    """Of its file, or which of the recipe's own it is."""
    text: str
    """A unified diff, paths as ``a/setup.py`` and ``b/setup.py``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is done for the versions of one project that it fits; where merged, what is done for one request."""

    project: str
    """Normalised name."""
    versions: str = ""
    """A version specifier (PEP 440), pre-releases included; empty for all."""
    python: str = ""
    """A version specifier for the target's Python; empty for all."""
    target: str = ""
    """A pattern of the target's slug such as ``cp311-*``; empty for all."""
    place: str = ""
    """Where it is written, for people."""
    why: str = ""
    replaces: bool = False
    """Forgets what less specific recipes and those before it say."""
    requires: tuple[str, ...] = ()
    """Build requirements to add; each replaces those of the same project."""
    without: tuple[str, ...] = ()
    """Projects, normalised, whose build requirements are left out, whoever states them."""
    constraints: tuple[str, ...] = ()
    """Requirements that bound what is chosen, without asking for it."""
    config_settings: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """For the backend's hooks (PEP 517)."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """For the backend's hooks. Compilers' flags are put behind those that are there."""
    patches: tuple[Patch, ...] = ()
    delete: tuple[str, ...] = ()
    """Patterns of files in the sources that are removed, before the patches are applied; each has to fit some."""
    system_packages: tuple[str, ...] = ()
    """Debian packages that the build needs on this machine."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Fields of `buildthrough.builders.sandbox.Limits` that are others for this build."""
    imports: tuple[str, ...] | None = None
    """Modules that the import check imports in place of the top-level ones."""
    skip_import: str | None = None
    """Why a wheel that cannot be imported is published all the same; empty or None where it is not."""
    skip: str | None = None
    """Why nothing is built; empty or None where something is."""

    @property
    def digest(self) -> str:
        """What makes two recipes the same: sha256 of all that they do, 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """Return all that it does as JSON's types, without what is empty; patches by name and sha256."""
        told = {name: getattr(self, name) for name in _DOES if getattr(self, name)}
        return {name: _plain(value) for name, value in told.items()}

    def serves(self, target: Target) -> bool:
        """Whether it is for a target."""
        python = target.interpreter.markers["python_full_version"].removesuffix("+")
        return _contains(self.python, python) and fnmatchcase(target.slug, self.target or "*")


_WHERE = ("project", "versions", "python", "target", "place", "why", "replaces")
_DOES = tuple(item.name for item in fields(Recipe) if item.name not in _WHERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeBook:
    """All recipes: those that are shipped, then the operator's."""

    shipped: tuple[Recipe, ...] = ()
    own: tuple[Recipe, ...] = ()

    def about(self, project: str, version: str | None) -> tuple[Recipe, ...]:
        """Return the recipes of a version, None for any, on whatever target, in the order in which they are merged."""
        return tuple(
            recipe
            for group in (self.shipped, self.own)
            for recipe in sorted(group, key=_rank)
            if recipe.project == project and (version is None or _contains(recipe.versions, version))
        )

    def matching(self, project: str, version: str, target: Target) -> tuple[Recipe, ...]:
        """Return the recipes that fit, in the order in which they are merged."""
        return tuple(recipe for recipe in self.about(project, version) if recipe.serves(target))

    def of(self, project: str, version: str, target: Target) -> Recipe | None:
        """Return all that applies as one recipe, None where nothing does."""
        found = merge(self.matching(project, version, target))
        return found if found is not None and found.document() else None

    def identify(self, request: BuildRequest, target: Target) -> BuildRequest:
        """Return the request with the digest of the recipe that applies to it now."""
        recipe = self.of(request.project, request.version, target)
        return replace(request, recipe=None if recipe is None else recipe.digest)


def merge(recipes: Sequence[Recipe]) -> Recipe | None:
    """Return one recipe that does what all of them do, the later ones having the last word; None for none."""
    merged: Recipe | None = None
    for recipe in recipes:
        merged = recipe if merged is None or recipe.replaces else _over(merged, recipe)
    return merged


def _over(below: Recipe, above: Recipe) -> Recipe:
    kept = tuple(text for text in below.requires if _name(text) not in above.without)
    return replace(
        above,
        place=f"{below.place}, {above.place}",
        why=" ".join(why for why in (below.why, above.why) if why),
        requires=_by_name(kept, above.requires),
        without=_union(below.without, above.without),
        constraints=_by_name(below.constraints, above.constraints),
        config_settings={**below.config_settings, **above.config_settings},
        environment={**below.environment, **above.environment},
        patches=(*below.patches, *above.patches),
        delete=_union(below.delete, above.delete),
        system_packages=_union(below.system_packages, above.system_packages),
        limits={**below.limits, **above.limits},
        imports=above.imports if above.imports is not None else below.imports,
        skip_import=above.skip_import if above.skip_import is not None else below.skip_import,
        skip=above.skip if above.skip is not None else below.skip,
    )


def _rank(recipe: Recipe) -> tuple[int, int]:
    """Order by how much a recipe asks of the version, then of the target."""
    pinned = "==" in recipe.versions and not recipe.versions.endswith(".*")
    return (2 if pinned else 1 if recipe.versions else 0, bool(recipe.python) + bool(recipe.target))


def _union(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _by_name(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Join requirements; one of the second replaces those of the same project among the first."""
    named = set(map(_name, second))
    return (*(text for text in first if _name(text) not in named), *second)


def _name(requirement: str) -> str:
    try:
        return canonicalize_name(Requirement(requirement).name)
    except (InvalidRequirement, RecursionError):
        return requirement


def _contains(specifier: str, version: str) -> bool:
    if not specifier:
        return True
    try:
        return SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def _plain(value: Any) -> Any:  # noqa: ANN401 - what JSON can hold
    match value:
        case Patch(name=name, text=text):
            return {"name": name, "sha256": hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()}
        case tuple():
            return [_plain(each) for each in value]
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case _:
            return value
