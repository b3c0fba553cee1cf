"""``buildthrough recipes [NAME[==VERSION]]``: what is done for projects that need more than their sdists say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.build import pin
from buildthrough.proxy.commands.table import table
from buildthrough.proxy.logs import escape

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from buildthrough.builders.recipe import Recipe

SUMMARY = "list the recipes, or show those that apply to a project"
_HEAD = ("PROJECT", "VERSIONS", "ONLY FOR", "FROM", "WHY")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("pin", metavar="NAME[==VERSION]", type=pin, nargs="?", help="only what applies to it, in full")
    options.add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the recipes."""
    from buildthrough.config.recipe_files import load_recipes  # noqa: PLC0415 - other commands start without it

    book = load_recipes(options.settings_of(arguments).settings.build.recipes)
    if arguments.pin is None:
        for line in overview((*book.shipped, *book.own)):
            print(escape(line))
        return 0
    name, version = arguments.pin
    found = book.about(name, version)
    if not found:
        print(escape(f"No recipe applies to {name}{'' if version is None else f'=={version}'}."))
        return 0
    for line in details(found):
        print(escape(line))
    return 0


def overview(recipes: Sequence[Recipe]) -> list[str]:
    """Return one line for each recipe."""
    rows = [(each.project, each.versions or "all", _condition(each), each.place, each.why) for each in recipes]
    return list(table(_HEAD, rows))


def details(recipes: Sequence[Recipe]) -> list[str]:
    """Return all that each recipe does, in the order in which they are merged."""
    return [line for recipe in recipes for line in _detail(recipe)][1:]


def _detail(recipe: Recipe) -> Iterator[str]:
    yield ""
    only = "" if _condition(recipe) == "-" else f", only for {_condition(recipe)}"
    yield f"{recipe.place}: {recipe.project} {recipe.versions or '(all versions)'}{only}"
    yield f"  {recipe.why}"
    if recipe.replaces:
        yield "  forgets what the recipes above say"
    for name, value in recipe.document().items():
        yield f"  {name} = {json.dumps(value)}"


def _condition(recipe: Recipe) -> str:
    said = (f"Python {recipe.python}" if recipe.python else "", recipe.target)
    return ", ".join(part for part in said if part) or "-"
