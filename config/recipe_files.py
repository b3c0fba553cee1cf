"""Recipes in files: ``*.toml`` in the folder that is shipped and in those that the operator names.

Each file holds ``[[recipe]]`` tables. Whatever is wrong with one is a `SettingsError` that names the file, the recipe
and what to do, so that the server does not start with a recipe that is not what its author meant.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildthrough.builders.recipe import Recipe, RecipeBook
from buildthrough.config.recipe_keys import KEYS
from buildthrough.config.schema import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAX_FILE_BYTES = 1 << 20
_MAX_FILES = 1000


def load_recipes(folders: Iterable[str]) -> RecipeBook:
    """Read and check all recipes: those that are shipped, and the operator's. Blocking. Raise `SettingsError`."""
    with as_file(files("buildthrough.config").joinpath("recipes")) as folder:
        shipped = tuple(_read_folder(folder))
    own: list[Recipe] = []
    for name in folders:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise SettingsError(f"build.recipes names {folder}, which is no folder: make it, or take it out.")
        own += _read_folder(folder)
    return RecipeBook(shipped=shipped, own=tuple(own))


def read_recipes(path: Path) -> Iterator[Recipe]:
    """Read one file. Raise `SettingsError`."""
    try:
        table = tomllib.loads(_text(path))
    except OSError as error:
        raise SettingsError(f"The recipes {path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"The recipes {path} are no TOML: {error}.") from error
    for key in table:
        if key != "recipe":
            raise SettingsError(f"In the recipes {path}, there is no {key!r}: each recipe begins with [[recipe]].")
    tables = table.get("recipe")
    if not isinstance(tables, list) or not all(isinstance(each, Mapping) for each in tables):
        raise SettingsError(f"The file {path} holds no recipe: each begins with [[recipe]].")
    for number, each in enumerate(tables, start=1):
        yield _recipe(each, path, f"{path}, recipe {number} ({each.get('project', 'without a project')})")


def _read_folder(folder: Path) -> Iterator[Recipe]:
    paths = sorted(folder.glob("*.toml"))
    if len(paths) > _MAX_FILES:
        raise SettingsError(f"The folder {folder} of build.recipes holds more than {_MAX_FILES} files.")
    for path in paths:
        yield from read_recipes(path)


def _text(path: Path) -> str:
    with path.open("rb") as handle:
        content = handle.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise ValueError(f"it is longer than {_MAX_FILE_BYTES} bytes")
    return content.decode()


def _recipe(table: Mapping[str, object], path: Path, where: str) -> Recipe:
    values: dict[str, Any] = {"place": path.name}
    for key, written in table.items():
        if key not in KEYS:
            near = get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]}" if near else f"there are {', '.join(KEYS)}"
            raise SettingsError(f"A recipe has no key {key!r}; {hint} ({where}).")
        try:
            values[key] = KEYS[key](written, path.parent)
        except ValueError as error:
            raise SettingsError(f"In a recipe, {key} {error} ({where}).") from error
    for key in ("project", "why"):
        if not values.get(key):
            raise SettingsError(f"A recipe needs {key!r} ({where}).")
    return Recipe(**values)
