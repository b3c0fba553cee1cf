"""Recipes in real builds: what they change of the sources, of the requirements and of what the hooks are given."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.fakes.sdists import pure_sdist
from tests.sandbox.workbench import Asked, Workbench, package, workbench

from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.faults import PackageFault
from buildthrough.builders.recipe import Patch, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKS = """\
--- a/backend.py
+++ b/backend.py
@@ -7,3 +7,3 @@

-WORKS = False
+WORKS = True

"""


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with workbench() as bench:
        yield bench


def recipe(**values: object) -> Recipe:
    return Recipe(project="sample", why="It has to.", place="here", **values)


async def test_a_recipe_makes_a_package_build(bench: Workbench) -> None:
    resolve, log = Asked(), BuildLog()
    known = recipe(
        requires=("flit_core<9",),
        without=("not-on-any-index",),
        config_settings={"one": "1", "--build-option": ("a", "b")},
        environment={"SAMPLE": "yes", "CFLAGS": "-DX"},
        patches=(Patch(name="works.patch", text=WORKS),),
        delete=("src/*.c",),
    )

    wheel = await bench.build(package("needs-a-recipe"), resolve=resolve, log=log, recipe=known)

    with zipfile.ZipFile(wheel.path) as archive:
        told = json.loads(archive.read("told.json"))
    assert told["settings"] == {"one": "1", "--build-option": ["a", "b"]}
    assert told["variables"]["SAMPLE"] == "yes"
    assert told["variables"]["CFLAGS"].endswith("-DX")
    assert told["sources"] == ["kept.pyx"]
    assert told["modules"] == ["setuptools", "wheel", "flit_core"]
    assert resolve.requirements[0] == ("flit_core<9", "setuptools")
    assert resolve.requirements[1] == ("flit_core<9", "setuptools", "wheel")
    assert log.facts.recipe["digest"] == known.digest
    assert "by the recipe here: It has to." in log.text()


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        ({"patches": (Patch(name="works.patch", text=WORKS),)}, "recipe.patch", "works.patch does not apply"),
        ({"delete": ("*.c",)}, "recipe.delete", "*.c, and there is no such file"),
    ],
)
async def test_a_recipe_that_does_not_fit_is_told_apart(
    bench: Workbench, values: dict[str, object], kind: str, told: str
) -> None:
    with pytest.raises(PackageFault) as caught:
        await bench.build(pure_sdist(), recipe=recipe(**values))

    assert (caught.value.stage, caught.value.kind) == ("plan", kind)
    assert told in caught.value.line
