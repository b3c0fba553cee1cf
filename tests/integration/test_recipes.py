"""Recipes and the server: read at its start, part of what is asked for, and a reason to build nothing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes.sandbox import FakeSandbox, Sleep
from tests.fakes.sdists import pure_sdist
from tests.fakes.waiting import until
from tests.integration.assembled import PIP, Site, serving, workshop

from buildthrough.config.schema import SettingsError


def write(folder, **keys: str) -> None:
    folder.mkdir(exist_ok=True)
    told = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    (folder / "own.toml").write_text(f'[[recipe]]\nproject = "demo"\nwhy = "A test."\n{told}')


async def ended(site: Site, count: int = 1) -> list[dict[str, Any]]:
    """Return the builds once there are so many and none is under way."""
    builds: list[dict[str, Any]] = []

    async def are_ended() -> bool:
        builds[:] = (await site.ask("/api/v1/builds")).json["builds"]
        return len(builds) >= count and all(build["state"] not in {"QUEUED", "RUNNING"} for build in builds)

    await until(are_ended)
    return builds


async def missed(site: Site) -> None:
    """Download the sdist as pip does."""
    entry = (await site.listed("demo"))["demo-1.0.tar.gz"]
    assert (await site.ask(entry["url"], User_Agent=PIP)).status == 200


@pytest.fixture
def demo(pypi):
    return pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data)


async def test_a_skip_says_why_and_a_changed_recipe_asks_again(pypi, demo, tmp_path):
    recipes = tmp_path / "recipes"
    seen = []
    for count, reason in enumerate(("Use demo2 instead.", "Use demo3 instead."), 1):
        write(recipes, skip=reason)
        idle = workshop(FakeSandbox((Sleep(3600),)))
        async with serving(pypi.simple, tmp_path, building=idle, build__recipes=recipes) as site:
            for _ in range(2):
                await missed(site)
                builds = await ended(site, count)
            seen.append([(build["fault"], build["line"]) for build in builds])
            assert all(build["recipe"] for build in builds)
    first, second = ("skipped.recipe", "Use demo2 instead."), ("skipped.recipe", "Use demo3 instead.")
    assert seen == [[first], [second, first]]


async def test_a_good_wheel_stays_when_a_recipe_comes(pypi, demo, tmp_path):
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    async with serving(pypi.simple, tmp_path, build__recipes=recipes) as site:
        wheel = await site.publish(demo)
    write(recipes, skip="No more.")
    idle = workshop(FakeSandbox((Sleep(3600),)))
    async with serving(pypi.simple, tmp_path, building=idle, build__recipes=recipes) as site:
        await missed(site)
        await site.tells("buildthrough_sdist_downloads_total{")
        assert wheel.filename in await site.listed("demo")
        (build,) = await ended(site)
        assert build["state"] == "SUCCEEDED"


async def test_a_build_that_waits_is_dropped_when_its_recipe_changes(pypi, demo, tmp_path):
    recipes = tmp_path / "recipes"
    write(recipes, skip="")
    async with serving(
        pypi.simple, tmp_path, building=workshop(FakeSandbox((Sleep(3600),))), build__recipes=recipes
    ) as site:
        await missed(site)
        await until(site.store.queue.list)
    write(recipes, skip="No more.")
    async with serving(
        pypi.simple, tmp_path, building=workshop(FakeSandbox((Sleep(3600),))), build__recipes=recipes
    ) as site:
        (build,) = await ended(site)
        assert (build["state"], build["fault"]) == ("CANCELLED", "cancelled.recipe")


async def test_a_recipe_that_cannot_be_used_keeps_the_server_from_starting(pypi, tmp_path):
    recipes = tmp_path / "recipes"
    write(recipes, skipp="x")
    with pytest.raises(SettingsError, match=r"no key 'skipp'; did you mean skip .*own\.toml, recipe 1 \(demo\)"):
        async with serving(pypi.simple, tmp_path, build__recipes=recipes):
            pass


async def test_a_recipe_that_asks_for_more_than_there_is_is_refused_with_a_class(pypi, demo, tmp_path):
    recipes = tmp_path / "recipes"
    write(recipes)
    with (recipes / "own.toml").open("a") as file:
        file.write('limits = { memory_bytes = "1024 TiB", cpus = 3 }\n')
    async with serving(
        pypi.simple, tmp_path, building=workshop(FakeSandbox((Sleep(3600),))), build__recipes=recipes
    ) as site:
        await missed(site)
        (build,) = await ended(site)
        assert (build["state"], build["fault"], build["stage"]) == ("FAILED", "limit.budget", "plan")
        assert "3 processors" in build["line"]
        assert "pool_memory_bytes" in build["advice"]
