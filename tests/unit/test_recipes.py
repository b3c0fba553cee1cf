"""Recipes: how they are read and refused, which apply, and how several become one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from buildthrough.builders.faults import PackageFault
from buildthrough.builders.packages import missing_packages
from buildthrough.builders.recipe import Recipe, RecipeBook, merge
from buildthrough.builders.recipe_mount import advised, bounded
from buildthrough.builders.request import BuildRequest
from buildthrough.builders.sandbox import Limits
from buildthrough.config.recipe_files import load_recipes, read_recipes
from buildthrough.config.schema import SettingsError

TARGET = SimpleNamespace(
    slug="cp311-cp311-manylinux_2_36_x86_64", interpreter=SimpleNamespace(markers={"python_full_version": "3.11.7"})
)
DIFF = "--- a/setup.py\n+++ b/setup.py\n@@ -1 +1 @@\n-old\n+new\n"


def written(folder, body, name="some.toml"):
    path = folder / name
    path.write_text(f'[[recipe]]\nproject = "sample"\nwhy = "It has to."\n{body}\n')
    return path


def read(folder, body):
    (recipe,) = read_recipes(written(folder, body))
    return recipe


def test_every_key_is_read(tmp_path):
    (tmp_path / "fix.patch").write_text(DIFF)
    recipe = read(
        tmp_path,
        f"""
versions = ">=1,<2"
python = ">=3.11"
target = "cp311-*"
replaces = true
requires = ["numpy<2", "cython<3"]
without = ["NumPy_Financial"]
constraints = ["setuptools<58"]
config_settings = {{ "--build-option" = ["a", "b"], x = "1" }}
environment = {{ SETUPTOOLS_SCM_PRETEND_VERSION = "1.0" }}
patches = ["fix.patch", '''{DIFF}''']
delete = ["src/*.c"]
system_packages = ["libpq-dev"]
limits = {{ wall_seconds = 10, memory_bytes = "1 GiB" }}
imports = ["sample.core"]
skip_import = "It needs a screen."
skip = "Not today."
""",
    )
    assert recipe.without == ("numpy-financial",)
    assert recipe.config_settings == {"--build-option": ("a", "b"), "x": "1"}
    assert [patch.text for patch in recipe.patches] == [DIFF, DIFF]
    assert recipe.limits == {"wall_seconds": 10, "memory_bytes": 1 << 30}
    assert recipe.imports == ("sample.core",)
    assert recipe.place == "some.toml"
    assert set(recipe.document()) == {
        "requires", "without", "constraints", "config_settings", "environment", "patches", "delete",
        "system_packages", "limits", "imports", "skip_import", "skip",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('require = ["numpy"]', "no key 'require'; did you mean requires"),
        ('versions = "about 3"', "versions must be a version specifier"),
        ('python = "3.11"', "python must be a version specifier"),
        ('requires = "numpy"', "requires must be a list"),
        ('requires = ["numpy @ https://example.org/n.whl"]', "must name versions of the index"),
        ('constraints = ["=="]', "constraints must be requirements"),
        ('without = ["a b"]', "without must be the name of a project"),
        ('patches = ["missing.patch"]', "patches names missing.patch, which cannot be read"),
        ('patches = ["../fix.patch"]', "patches must name files beside the recipe"),
        ('patches = ["a\\nb"]', "patches has a unified diff that cannot be used"),
        ('delete = ["/etc/passwd"]', "delete must be patterns of files within the sources"),
        ('delete = ["../x"]', "delete must be patterns"),
        ('environment = { LD_PRELOAD = "x" }', "environment must not set LD_PRELOAD"),
        ('environment = { PATH = "x" }', "environment must not set PATH"),
        ('environment = { PYTHONPATH = "x" }', "environment must not set PYTHONPATH"),
        ('environment = { SOURCE_DATE_EPOCH = "0" }', "environment must not set SOURCE_DATE_EPOCH"),
        ('environment = { "A=B" = "0" }', "no variable's name"),
        ("environment = { A = 1 }", "environment must be one line of text"),
        ("limits = { memory = 1 }", "there is no limit 'memory'"),
        ("limits = { wall_seconds = -1 }", "the limit wall_seconds is a number above 0"),
        ('limits = { memory_bytes = "much" }', "limits must be a number of bytes"),
        ('imports = ["a-b"]', "imports must be names of modules"),
        ('system_packages = ["libpq-dev; reboot"]', "system_packages must be names of Debian packages"),
        ("replaces = 1", "replaces must be true or false"),
        ("skip = true", "skip must be one line of text"),
    ],
)
def test_what_cannot_be_used_is_refused_with_file_recipe_and_key(tmp_path, body, told):
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, body)
    sentence = str(caught.value)
    assert told in sentence
    assert f"{tmp_path / 'some.toml'}, recipe 1 (sample)" in sentence


def test_a_file_that_is_none_is_refused(tmp_path):
    for text in ("= 1", "[recipes]\n", "", "recipe = 1", '[[recipe]]\nproject = "x"', '[[recipe]]\nwhy = "x"'):
        (tmp_path / "some.toml").write_text(text)
        with pytest.raises(SettingsError, match=r"some\.toml"):
            list(read_recipes(tmp_path / "some.toml"))


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no folder"):
        load_recipes([str(tmp_path / "nowhere")])


def test_all_that_is_shipped_can_be_used():
    book = load_recipes([])
    assert book.shipped
    assert not book.own
    assert all(len(recipe.why) > 10 for recipe in book.shipped)
    assert all(recipe.document() for recipe in book.shipped)


def recipe(**values):
    return Recipe(project="sample", **values)


@pytest.mark.parametrize(
    ("values", "version", "fits"),
    [
        ({}, "1.0", True),
        ({"versions": "<2"}, "1.5rc1", True),
        ({"versions": "<2"}, "2.0", False),
        ({"versions": "==1.4.*"}, "1.4.2", True),
        ({"versions": "<2"}, "no version", False),
        ({"python": ">=3.11"}, "1.0", True),
        ({"python": "<3.11"}, "1.0", False),
        ({"target": "cp311-*"}, "1.0", True),
        ({"target": "pp*"}, "1.0", False),
    ],
)
def test_what_a_recipe_is_for(values, version, fits):
    book = RecipeBook(own=(recipe(**values),))
    assert bool(book.matching("sample", version, TARGET)) is fits
    assert not book.matching("other", version, TARGET)


def test_the_more_specific_comes_later_and_the_operators_last():
    book = RecipeBook(
        shipped=(recipe(versions="==1.0", place="pin"), recipe(place="all"), recipe(versions="<2", place="range")),
        own=(recipe(place="own"),),
    )
    assert [each.place for each in book.matching("sample", "1.0", TARGET)] == ["all", "range", "pin", "own"]


def test_several_become_one():
    merged = merge(
        [
            recipe(
                requires=("numpy<2", "cython"), without=("wheel",), environment={"A": "1", "B": "1"}, skip="no",
                delete=("x",), limits={"wall_seconds": 1},
            ),
            recipe(requires=("Cython<3",), without=("numpy",), environment={"B": "2"}, skip="", delete=("x", "y")),
        ]
    )  # fmt: skip
    assert merged.requires == ("Cython<3",)
    assert merged.without == ("wheel", "numpy")
    assert merged.environment == {"A": "1", "B": "2"}
    assert merged.delete == ("x", "y")
    assert merged.limits == {"wall_seconds": 1}
    assert not merged.skip


def test_one_that_replaces_forgets_the_others():
    book = RecipeBook(shipped=(recipe(skip="no"),), own=(recipe(replaces=True, place="own"),))
    assert book.of("sample", "1.0", TARGET) is None


def test_the_digest_is_of_what_it_does():
    one = recipe(environment={"A": "1"}, place="here", why="so")
    assert one.digest == replace(one, place="there", why="else", versions="<9").digest
    assert one.digest != replace(one, environment={"A": "2"}).digest


def test_a_recipe_makes_another_request():
    request = BuildRequest(
        project="sample", version="1.0", sdist="sample-1.0.tar.gz", sdist_sha256="0" * 64, target=TARGET.slug
    )
    keys = {
        RecipeBook(own=recipes).identify(request, TARGET).key
        for recipes in ((), (recipe(skip="no"),), (recipe(skip="never"),))
    }
    assert len(keys) == 3
    assert RecipeBook(own=(recipe(versions=">5", skip="no"),)).identify(request, TARGET).key == request.key


def test_a_recipe_has_limits_of_its_own():
    limits = Limits(wall_seconds=900)
    assert bounded(limits, None) == limits
    assert bounded(limits, recipe(limits={"wall_seconds": 5400})) == replace(limits, wall_seconds=5400)


def test_what_the_system_lacks_is_told_with_the_recipes_packages():
    known = recipe(system_packages=("libpq-dev",))
    fault = PackageFault("build", "syslib.tool", "Error: pg_config executable not found.")
    assert advised(fault, known).line == "Error: pg_config executable not found. (apt install libpq-dev)"
    assert advised(fault, None) is fault
    other = PackageFault("build", "compiler", "a.c:1:1: error: no")
    assert advised(other, known) is other


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="only Debian's own know what is installed")
async def test_packages_that_are_not_installed_are_found():
    here = recipe(system_packages=("libc6", "no-such-package-at-all"))
    assert await missing_packages([here]) == {"sample": ("no-such-package-at-all",)}
    assert await missing_packages([recipe(system_packages=("dpkg",))]) == {}
